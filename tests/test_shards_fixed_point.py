"""Pixels and confidences as integers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cameo_data.shards import fixed_point


@pytest.mark.parametrize(
    "side, steps", [(16, 64), (1023, 64), (1024, 32), (2047, 32), (2048, 16), (65535, 1)]
)
def test_steps_reach_across_the_image(side: int, steps: int) -> None:
    assert fixed_point.steps_per_px((10, side)) == steps
    assert fixed_point.steps_per_px((side, 10)) == steps


def test_too_large() -> None:
    with pytest.raises(ValueError, match="too large"):
        fixed_point.steps_per_px((65536, 10))


@pytest.mark.parametrize("hw", [(48, 64), (1023, 1023), (1024, 2048)])
def test_error_and_range(hw: tuple[int, int]) -> None:
    steps = fixed_point.steps_per_px(hw)
    rng = np.random.default_rng(0)
    side = np.array([hw[1], hw[0]], np.float32)
    xy = (rng.random((50, 60, 2)) * side).astype(np.float32)
    xy[0, 0] = 0
    xy[0, 1] = np.nextafter(side, np.float32(0))
    xy[1, :20] = np.nan
    codes = fixed_point.encode_xy(xy, hw, steps)
    decoded = fixed_point.decode_xy(codes, steps)
    known = np.isfinite(xy).all(-1)
    assert_array_equal(np.isfinite(decoded).all(-1), known)
    assert_array_equal(codes[~known], 0)
    assert (codes[known] > 0).all()
    assert ((decoded[known] > 0) & (decoded[known] < side)).all()
    border = ((xy < 1 / steps) | (xy > side - 1 / steps)).any(-1)
    apart = np.abs(decoded - xy)
    assert apart[known & ~border].max() <= 0.5 / steps
    assert apart[known].max() <= 1 / steps
    assert_array_equal(fixed_point.encode_xy(decoded, hw, steps), codes)


def test_confidence() -> None:
    codes = np.arange(256, dtype=np.uint8)
    decoded = fixed_point.decode_confidence(codes)
    assert (decoded[0], decoded[255]) == (0, 1)
    assert_array_equal(fixed_point.encode_confidence(decoded), codes)
