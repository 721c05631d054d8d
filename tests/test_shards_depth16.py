"""Laws of the 16-bit depth codec."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from cameo_data.shards.depth16 import decode_depth, encode_depth, quantise_depth
from cameo_data.types import DepthMap


def random_depth(seed: int, near: float, ratio: float, holes: float = 0.2) -> NDArray[np.float32]:
    """(20, 30) depths from ``near`` to ``near · ratio``, some of them missing."""
    rng = np.random.default_rng(seed)
    z = near * ratio ** rng.random((20, 30))
    return np.where(rng.random(z.shape) < holes, 0, z).astype(np.float32)


@given(
    seed=st.integers(0, 2**32 - 1),
    log_near=st.floats(-6, 6),
    log_spread=st.one_of(st.just(0.0), st.floats(-9, 3)),
)
def test_codes_and_scale_survive_a_round_trip(
    seed: int, log_near: float, log_spread: float
) -> None:
    z = random_depth(seed, 10**log_near, 1 + 10**log_spread)
    once = encode_depth(DepthMap.from_array(z))
    twice = encode_depth(decode_depth(once))
    assert_array_equal(once.codes, twice.codes)
    assert (once.inv_min, once.inv_max) == (twice.inv_min, twice.inv_max)
    assert twice.dropped == 0
    assert_array_equal(decode_depth(once).z, decode_depth(twice).z)


@pytest.mark.parametrize("ratio", [1.0, 1.0001, 1.01, 4.0, 100.0])
def test_error_stays_within_the_stated_bound(ratio: float) -> None:
    z = random_depth(1, 0.7, ratio)
    encoded = encode_depth(DepthMap.from_array(z))
    decoded = decode_depth(encoded)
    assert_array_equal(decoded.valid, z > 0)
    assert_array_equal(decoded.z > 0, decoded.valid)
    valid = decoded.valid
    error = np.abs(decoded.z[valid].astype(np.float64) - z[valid]) / z[valid]
    assert error.max() <= encoded.max_rel_error
    assert encoded.max_rel_error <= (ratio - 1) / 131068 * 1.0001 + 2.5e-7 or ratio < 1.02
    # the bound is no idle one: some pixel comes near half a step
    if ratio >= 1.01:
        assert error.max() > 0.3 * encoded.max_rel_error


def test_nearest_and_farthest_are_exact() -> None:
    z = random_depth(2, 0.3, 50)
    decoded = decode_depth(encode_depth(DepthMap.from_array(z)))
    assert decoded.z.max() == z.max()
    assert decoded.z[decoded.valid].min() == z[z > 0].min()


@pytest.mark.parametrize("exponent", [-10, -1, 1, 10])
def test_codes_do_not_depend_on_the_unit(exponent: int) -> None:
    z = random_depth(3, 0.5, 20)
    here = encode_depth(DepthMap.from_array(z))
    scaled = encode_depth(DepthMap.from_array(z * np.float32(2.0**exponent)))
    assert_array_equal(here.codes, scaled.codes)
    assert scaled.max_rel_error == here.max_rel_error


@pytest.mark.parametrize("factor", [0.001, 1000.0])
def test_codes_move_by_rounding_only_under_other_factors(factor: float) -> None:
    z = random_depth(4, 0.5, 20)
    here = encode_depth(DepthMap.from_array(z)).codes.astype(int)
    scaled = encode_depth(DepthMap.from_array(z * np.float32(factor))).codes.astype(int)
    assert np.abs(here - scaled).max() <= 1
    assert np.mean(here != scaled) < 0.05


def test_a_range_just_as_narrow_as_allowed_survives_a_round_trip() -> None:
    for near in np.random.default_rng(7).uniform(0.5, 2, 300).astype(np.float32):
        farthest = np.float32(float(near) * (1 + 2.0**-6))
        for far in (np.nextafter(farthest, near), farthest, np.nextafter(farthest, np.float32(9))):
            once = encode_depth(DepthMap.from_array(np.array([[near, far]])))
            twice = encode_depth(decode_depth(once))
            assert_array_equal(once.codes, twice.codes)
            assert (once.inv_min, once.inv_max) == (twice.inv_min, twice.inv_max)


def test_a_near_speck_is_dropped_and_counted() -> None:
    z = random_depth(5, 2.0, 2.0, holes=0)
    z[3, 4] = np.median(z) / 500
    encoded = encode_depth(DepthMap.from_array(z))
    assert encoded.dropped == 1
    assert encoded.codes[3, 4] == 0
    assert np.count_nonzero(encoded.codes) == z.size - 1
    assert encoded.max_rel_error < 1e-5
    z[3, 4] = np.median(z) / 250
    kept = encode_depth(DepthMap.from_array(z))
    assert kept.dropped == 0
    # as near as a speck may be, it still leaves 0.2 % at the median depth and nearer
    near = z <= np.median(z)
    assert np.abs(decode_depth(kept).z[near] / z[near] - 1).max() < 0.002


def test_a_far_sentinel_costs_nothing_near() -> None:
    z = random_depth(6, 2.0, 2.0)
    z[0, 0] = 1e10
    decoded = quantise_depth(DepthMap.from_array(z))
    near = (z > 0) & (z < 10)
    assert np.abs(decoded.z[near] / z[near] - 1).max() < 2 / 65534


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-40, 3e38])
def test_no_usable_depth(value: float) -> None:
    encoded = encode_depth(DepthMap.from_array(np.full((4, 5), value)))
    assert not encoded.codes.any()
    assert (encoded.inv_min, encoded.inv_max, encoded.max_rel_error) == (0, 0, 0)
    assert encoded.dropped == (20 if value in (1e-40, 3e38) else 0)
    decoded = decode_depth(encoded)
    assert not decoded.valid.any()
    assert not decoded.z.any()


def test_one_pixel() -> None:
    z = np.zeros((3, 3), np.float32)
    z[1, 2] = 0.123
    assert_array_equal(quantise_depth(DepthMap.from_array(z)).z, z)
