"""Sparse and holey depth against exact scenes: what can be known is known, the rest UNKNOWN."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import all_cases, degraded
from benchmarks.imperfect import PATTERNS, thinned
from cameo_data import Camera, correspond
from cameo_data.correspondence import correspond_group, prepare, reference
from cameo_data.correspondence.core import noise_between
from cameo_data.types import Verdict

HW = (48, 64)
K = np.array([[55.0, 0, 33.1], [0, 54.0, 23.3], [0, 0, 1]])


def _pairs():
    return all_cases((240, 320), 0)[:16]  # without zoom, whose ways are not alike


@pytest.mark.parametrize("noise", [0.0, 0.005])
@pytest.mark.parametrize("share", [0.5, 0.25, 0.1, 0.05])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_can_be_known_is_known(pattern, share, noise):
    there, back = (thinned(_pairs()[way::2], pattern, share, noise) for way in (0, 1))
    both = thinned(_pairs(), pattern, share, noise)
    for figure in both.figures():
        assert figure.met, f"{figure.name}: {figure.value} against {figure.target}"
    assert abs(there.visible_recall - back.visible_recall) < 0.03


@pytest.mark.parametrize("pattern", PATTERNS)
def test_noise_is_estimated_from_what_is_known(pattern):
    case = _pairs()[2]
    rng = np.random.default_rng(3)

    def estimate(noise: float) -> float:
        views = []
        for depth, camera in (
            (case.depth0, case.pair.camera0), (case.depth1, case.pair.camera1)
        ):  # fmt: skip
            keep = PATTERNS[pattern](depth.shape, 0.1, rng)
            views.append(prepare(np.where(keep, degraded(depth, rng, 1, noise, 0), 0), camera))
        return noise_between(*views)

    for noise in (0.005, 0.02):
        assert noise < estimate(noise) < 2.5 * noise
    assert estimate(0) < 0.004


@pytest.mark.parametrize("offset", [0, 1])
def test_the_rows_that_are_known_are_those_that_are_compared(offset):
    # on a large map one known pixel in several is looked at, which must not step over the rows
    pair = all_cases((480, 640), 0)[2]
    rng = np.random.default_rng(5)
    views = []
    for depth, camera in ((pair.depth0, pair.pair.camera0), (pair.depth1, pair.pair.camera1)):
        rows = np.zeros_like(depth)
        rows[offset::2] = degraded(depth, rng, 1, 0.005, 0)[offset::2]
        views.append(prepare(rows, camera))
    assert 0.005 < noise_between(*views) < 0.0125
    seventh = np.zeros_like(depth)
    seventh[3::7] = depth[3::7]
    assert all(prepare(np.roll(seventh, k, 0), camera).sparse for k in range(7))


def _walls(count: int, *shares: float) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of a wall that know the same few pixels; in the second it is nearer by shares."""
    rng = np.random.default_rng(0)
    one, two = np.zeros((2, *HW), np.float32)
    places = rng.permutation(HW[0] * HW[1])[:count]
    one.flat[places] = 2.0
    two.flat[places] = 2.0 / (1 + np.resize(shares, count))
    return one, two


def test_without_any_measure_of_noise_little_is_claimed():
    camera = Camera(K, HW)
    one, two = _walls(5, 0.0, 0.0005, 0.02, 0.4, -0.4)
    found = correspond(one, camera, two, camera)
    verdict, confidence = found.verdict[one > 0], found.confidence[one > 0]
    order = np.argsort(two[one > 0])  # 0.4, 0.02, 0.0005, 0 nearer, 0.4 farther
    assert [Verdict(v).name for v in verdict[order]] == [
        "OCCLUDED", "UNKNOWN", "VISIBLE", "VISIBLE", "UNKNOWN",
    ]  # fmt: skip
    assert (confidence[verdict == Verdict.VISIBLE] <= 0.5).all()
    assert (confidence[verdict == Verdict.UNKNOWN] == 0).all()


def test_a_group_lends_its_noise_to_pairs_that_show_none():
    rng = np.random.default_rng(1)
    camera = Camera(K, HW)
    full = [(2 * (1 + 0.01 * rng.standard_normal(HW))).astype(np.float32) for _ in range(2)]
    few = np.zeros(HW, np.float32)
    few[24, 10:15] = 2 * (1 + 0.01 * rng.standard_normal(5))
    other = np.zeros(HW, np.float32)
    other[24, 10:15] = 2 * (1 + 0.01 * rng.standard_normal(5))
    alone = correspond(few, camera, other, camera)
    maps = correspond_group([prepare(d, camera) for d in (*full, few, other)], 1)
    assert (alone.verdict[24, 10:15] == Verdict.UNKNOWN).sum() >= 3
    assert (maps.verdict[2, 3][24, 10:15] == Verdict.VISIBLE).sum() >= 4


def test_a_query_between_pixels_takes_the_one_that_is_known():
    camera = Camera(K, HW)
    sparse = np.zeros(HW, np.float32)
    sparse[7::8, 7::8] = 2.0  # one of the four pixels around the centre of each cell of 16
    found = correspond(sparse, camera, sparse, camera, stride=16)
    assert (found.verdict == Verdict.VISIBLE).all()
    assert (found.confidence <= 0.5).all()
    # in a map that is known elsewhere, a quarter of a cell is its edge, not its surface
    dense = np.full(HW, 2.0, np.float32)
    dense[8, 8] = dense[8, 7] = dense[7, 8] = 0
    assert correspond(dense, camera, dense, camera, stride=16).verdict[0, 0] == Verdict.NO_DEPTH


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_agrees_with_its_slow_twin(pattern, share, stride):
    case = all_cases(HW, 1)[5]
    rng = np.random.default_rng(0)
    depths = [
        np.where(PATTERNS[pattern](HW, share, rng), degraded(d, rng, 1, 0.003, 0), 0)
        for d in (case.depth0, case.depth1)
    ]
    arguments = (depths[0], case.pair.camera0, depths[1], case.pair.camera1)
    fast = correspond(*arguments, stride=stride)
    slow = reference.correspond(*arguments, stride=stride)
    assert np.array_equal(fast.verdict, slow.verdict)
    np.testing.assert_allclose(fast.confidence, slow.confidence, atol=1e-5)
