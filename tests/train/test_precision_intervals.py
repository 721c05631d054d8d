"""Intervals hold what they should as often as they should; blind choice is what is computed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cameo_train.matchers import grid_limits
from cameo_train.matchers.dense import Chance
from cameo_train.matchers.group import Found, MatcherGroup
from cameo_train.matchers.queries import Queries
from cameo_train.precision import intervals
from cameo_train.precision.tally import Tally
from cameo_train.protocols.measurement import protocol_of

PLAN = protocol_of((48, 64), [4], bins_deg=(0, 30, 60, 90, 180))
SEEDS = 24


def made_up(key: str, rng: np.random.Generator) -> MatcherGroup:
    """Three views whose points land anywhere: chance is alike in all scenes."""
    pairs = [(a, b) for b in range(3) for a in range(3) if a != b]
    bins = rng.integers(0, PLAN.bins, len(pairs))
    parts = []
    for (a, b), bin_ in zip(pairs, bins, strict=True):
        token = np.flatnonzero(rng.random(192) < rng.random())
        xy1 = rng.random((len(token), 2)) * (64, 48)
        parts.append((np.full(len(token), a), np.full(len(token), b), token, xy1,
                      np.full(len(token), bin_)))  # fmt: skip
    counts = np.bincount(bins, minlength=PLAN.bins)
    queries = Queries(*(np.concatenate(x) for x in zip(*parts, strict=True)), counts, 0)
    return MatcherGroup(SimpleNamespace(key=key), torch.zeros(3, 3, 1, 1), queries)  # type: ignore[arg-type]


def tally_of(scenes, found) -> Tally:
    tally = Tally.empty(len(scenes), PLAN)
    for unit, group in enumerate(scenes):
        tally.add_pairs(unit, group.queries.pairs, 0)
        tally.add(unit, found(group), PLAN)
    return tally


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(3)
    return [made_up(f"scene {n}", rng) for n in range(12)]


@pytest.fixture(scope="module")
def drawn(scenes):
    """Random features of many seeds."""
    matchers = [Chance("chance", PLAN, seed) for seed in range(SEEDS)]
    return [tally_of(scenes, lambda g, m=m: next(m.found([g]))[0]) for m in matchers]


@pytest.fixture(scope="module")
def floor(scenes):
    return tally_of(
        scenes, lambda g: Found(g.queries.bin, None, grid_limits.chance(g.queries.xy1, PLAN))
    )


def spans(tally):
    weights = intervals.draws(len(tally.queries))
    return intervals.interval(
        intervals.precision(tally), intervals.precision_draws(tally, weights),
        intervals.scenes_with_queries(tally), "share",
    )  # fmt: skip


def test_random_features_come_to_chance_in_every_bin_at_every_threshold(drawn, floor):
    truth = intervals.precision(floor)
    assert truth.shape == (5, 4)
    assert (truth > 0).all()
    # over the seeds, random features miss chance by no more than their own scatter explains
    off = np.array([intervals.precision(tally) for tally in drawn]) - truth
    z = off.mean(0) / (off.std(0, ddof=1) / np.sqrt(SEEDS))
    assert np.abs(z).max() < 3.5
    assert abs(z.mean()) < 0.8
    # and chance lies in the interval of the row as often as 95 % should, in every single place
    low, high = np.moveaxis(np.array([spans(tally) for tally in drawn]), -1, 0)
    held = (low <= truth) & (truth <= high)
    assert held.mean() == pytest.approx(0.95, abs=0.03)
    assert held.mean(0).min() >= 0.8
    # the row that users see: seed 0
    assert held[0].all()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_scenes_do_not_make_intervals_too_narrow(drawn, floor, count):
    rng, held = np.random.default_rng(0), []
    for tally in drawn:
        some = np.sort(rng.choice(12, count, replace=False))
        part, truth = (
            replace(t, pairs=t.pairs[some], queries=t.queries[some], hits=t.hits[some],
                    errors=t.errors[some]) for t in (tally, floor)
        )  # fmt: skip
        low, high = np.moveaxis(spans(part), -1, 0)
        told = ~np.isnan(low)
        expected = intervals.precision(truth)
        held += list(((low <= expected) & (expected <= high))[told])
    assert len(held) > 300
    assert 0.92 <= np.mean(held) <= 1


@pytest.mark.parametrize("mean", [0.3, 0.95])
@pytest.mark.parametrize("count", [2, 4, 12])
def test_intervals_hold_the_truth_behind_scenes_that_differ(mean, count):
    """Scenes of different difficulty and size, as of any matcher."""
    plan = replace(PLAN, bins_deg=(0.0, 180.0), thresholds=PLAN.thresholds[:1])
    rng, held = np.random.default_rng(count), []
    for _ in range(400):
        asked = rng.poisson(300 * rng.gamma(4, 0.25, count)) + 1
        right = rng.binomial(asked, rng.beta(10 * mean, 10 * (1 - mean), count))
        tally = Tally.empty(count, plan)
        tally.queries[:, 0], tally.hits[:, 0, 0] = asked, right
        low, high = spans(tally)[-1, 0]
        held.append(low <= mean <= high)
    # shares near 1 of scenes that differ are skewed: a few less than 95 % hold it
    assert 0.88 <= np.mean(held) <= 0.99


def test_an_interval_is_the_spread_of_the_draws_by_students_t():
    values = np.array([[0.2], [0.4], [0.6], [0.4]])
    # three scenes: t of two degrees of freedom, and the variance of a mean of three
    width = 4.302653 * np.sqrt(3 / 2) * np.std(values)
    plain, share, size = (
        intervals.interval(np.array([0.4]), values, np.array([3]), scale)[0]
        for scale in ("difference", "share", "size")
    )
    np.testing.assert_allclose(plain, (0.4 - width, 0.4 + width), rtol=1e-6)
    odds = np.log(share / (1 - share)) - np.log(0.4 / 0.6)
    np.testing.assert_allclose(odds, np.array([-1, 1]) * width / 0.24, rtol=1e-6)
    np.testing.assert_allclose(np.log(size / 0.4), np.array([-1, 1]) * width / 0.4, rtol=1e-6)


def test_what_says_nothing_of_scenes_has_no_interval():
    def told(values, scenes):
        values = np.asarray(values, float)
        return intervals.interval(values.mean(0), values, np.array([scenes]), "share")

    assert np.isnan(told([[0.2], [0.4]], 1)).all()
    for value in (0.0, 1.0):  # nothing or all is right: not certain, but not known how much
        assert np.isnan(told([[value], [value]], 5)).all()
    assert np.isfinite(told([[0.2], [0.4]], 2)).all()
    assert np.isfinite(intervals.interval(np.array([0.3]), np.array([[0.2], [np.nan], [0.4]]),
                                          np.array([2]), "share")).all()  # fmt: skip
