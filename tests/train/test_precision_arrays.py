"""Precision of arrays: the numbers of the command, without files or a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cameo_data import ShardReader
from cameo_data.errors import UsageError
from cameo_train.matchers.dense import FeatureMatcher
from cameo_train.matchers.group import group_of
from cameo_train.matchers.queries import queries_of
from cameo_train.precision.arrays import PrecisionMeter
from cameo_train.precision.results import row_result
from cameo_train.precision.tally import Tally, units_of
from cameo_train.protocols.measurement import protocol_of

HW = (48, 64)
OPTIONS = {"thresholds": ("5px", "10%"), "bins_deg": (0, 20, 40, 180)}


@pytest.fixture(scope="module")
def samples(tiny_build):
    return list(ShardReader(tiny_build[0]))


class Colours:
    """Mean colour and its surroundings, on a grid of 12×16 cells."""

    name = "colours"

    def descriptors(self, images):
        small = torch.nn.functional.interpolate(images, (12, 16), mode="area")
        wide = torch.nn.functional.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
        return torch.cat([small, wide, torch.ones_like(small[:, :1])], 1)


def by_the_command(samples):
    """What ``cameo-train precision`` makes of these features."""
    protocol = protocol_of(HW, [8], **OPTIONS)
    units = units_of([s.scene_id for s in samples])
    tally = Tally.empty(len(units), protocol)
    matcher = FeatureMatcher(Colours(), "colours", protocol)
    groups = [group_of(s, queries_of(s, protocol), torch.device("cpu")) for s in samples]
    for group, (found,) in zip(groups, matcher.found(groups), strict=True):
        unit = units[group.sample.scene_id]
        tally.add_pairs(unit, group.queries.pairs, group.queries.left_out)
        tally.add(unit, found, protocol)
    return row_result(matcher.rows[0], tally, protocol).bins


def features_of(sample):
    pixels = torch.from_numpy(np.stack(sample.images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return Colours().descriptors(pixels)


def test_features_give_the_numbers_of_the_command(samples):
    meter = PrecisionMeter(**OPTIONS)
    for sample in samples:
        meter.add_features(sample, features_of(sample).numpy())
    assert meter.bins() == by_the_command(samples)
    assert meter.bins()[-1].label == "all"
    assert meter.bins()[-1].queries > 0
    assert meter.protocol.grid_hw == (6, 8)


def test_attention_sums_over_heads(samples):
    one, two = PrecisionMeter(**OPTIONS), PrecisionMeter(**OPTIONS)
    for sample in samples:
        views = len(sample.images)
        maps = features_of(sample)[:, :6, ::2, ::2]
        tokens = maps.flatten(2).permute(0, 2, 1)  # V, K, 6
        heads = tokens.reshape(views * 48, 2, 3).permute(1, 0, 2)
        one.add_attention(sample, heads, heads, (6, 8))
        joined = tokens.reshape(1, views * 48, 6)
        two.add_attention(sample, joined, joined, (6, 8))
    assert one.bins() == two.bins()


@pytest.mark.parametrize(
    "shape, says",
    [
        ((2, 4, 6, 8), "features are (2, 4, 6, 8); expected (V, C, h, w) of 3 views"),
        ((3, 4, 6, 20), "features: a grid of 6×20 features does not fit images of 48×64"),
    ],
)
def test_features_that_do_not_fit(samples, shape, says):
    with pytest.raises(ValueError) as caught:
        PrecisionMeter(**OPTIONS).add_features(samples[0], np.ones(shape))
    assert str(caught.value).startswith(says)


def test_what_cannot_be_measured_is_said(samples):
    with pytest.raises(ValueError, match="nothing was measured yet"):
        PrecisionMeter().bins()
    with pytest.raises(UsageError, match="threshold is 'far'"):
        PrecisionMeter(thresholds=["far"]).add_features(samples[0], np.ones((3, 4, 6, 8)))
    with pytest.raises(ValueError, match="NaN or infinite features"):
        PrecisionMeter().add_features(samples[0], np.full((3, 4, 6, 8), np.nan))
    with pytest.raises(ValueError, match=r"queries are \(2, 5, 3\); expected \(heads, 144, d\)"):
        PrecisionMeter().add_attention(samples[0], *[np.ones((2, 5, 3))] * 2, (6, 8))
