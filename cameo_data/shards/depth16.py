"""Depth maps as 16-bit inverse-depth codes.

Inverse depth is uniform in disparity: the error of a code moves a point by the same number of
pixels in another view at any distance. Code 0 is invalid; codes 1 … 65535 run from the
farthest to the nearest depth of the view, so the codes do not depend on the scene's unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cameo_data.types import DepthMap

STEPS = 65534  # between code 1 and code 65535

# The range spans at least this share of the nearest depth, so that even a flat view has a range.
# Half a step is then over 1.1e-7 of a depth, more than float32 rounds (6e-8), so a decoded value
# always encodes to its own code.
LEAST_SPAN = 2.0**-6

# Pixels this many times nearer than the median depth are stored as invalid. One such speck (stereo
# and learned depth have them) would take the codes that all other pixels need. With the limit, the
# relative error of a depth at the median or nearer is at most 256 / (2 · 65534) = 0.2 %.
NEAREST_OF_MEDIAN = 256.0

# Well inside float32's range, so that nothing below overflows or becomes subnormal.
LEAST_Z, LARGEST_Z = 2.0**-100, 2.0**100


@dataclass(frozen=True, eq=False)
class EncodedDepth:
    """Codes and their scale.

    Attributes:
        codes: (H, W) uint16; 0 is invalid.
        inv_min, inv_max: inverse depths of codes 1 and 65535, in 1 / scene units; both 0 where
            no pixel is valid. Code c ≥ 1 means the inverse depth
            inv_min + (c − 1) / 65534 · (inv_max − inv_min).
        max_rel_error: bound of |stored − true| / true over the valid pixels.
        dropped: valid pixels stored as invalid, see ``NEAREST_OF_MEDIAN``.
    """

    codes: NDArray[np.uint16]
    inv_min: float
    inv_max: float
    max_rel_error: float
    dropped: int = 0


def encode_depth(depth: DepthMap) -> EncodedDepth:
    """Codes of a depth map; encoding what ``decode_depth`` gives back changes nothing."""
    valid = depth.valid & (depth.z >= LEAST_Z) & (depth.z <= LARGEST_Z)
    before = int(np.count_nonzero(depth.valid))
    while valid.any():
        codes, inv_min, inv_max = _quantise(depth.z, valid)
        median = np.array(_median_code(codes), np.uint16)
        limit = NEAREST_OF_MEDIAN * float(_inverse_depths(median, inv_min, inv_max))
        if inv_max <= limit:
            dropped = before - int(np.count_nonzero(valid))
            return EncodedDepth(codes, inv_min, inv_max, max_rel_error(inv_min, inv_max), dropped)
        valid = valid & (_inverse_depths(codes, inv_min, inv_max) <= limit)
    return EncodedDepth(np.zeros(depth.hw, np.uint16), 0.0, 0.0, 0.0, before)


def decode_depth(encoded: EncodedDepth) -> DepthMap:
    """The depth map that the codes stand for."""
    if encoded.inv_max == 0.0:
        return DepthMap(np.zeros(encoded.codes.shape, np.float32), encoded.codes > 0)
    valid = encoded.codes > 0
    # a small map has fewer pixels than there are codes; in a large one a table saves divisions
    small = encoded.codes.size < STEPS
    codes = encoded.codes if small else np.arange(STEPS + 2, dtype=np.uint16)
    decoded = (1.0 / _inverse_depths(codes, encoded.inv_min, encoded.inv_max)).astype(np.float32)
    z = decoded if small else decoded[encoded.codes]
    z[~valid] = 0.0
    return DepthMap(z, valid)


def quantise_depth(depth: DepthMap) -> DepthMap:
    """The depth map as a shard will hold it; compute correspondences from this one."""
    return decode_depth(encode_depth(depth))


def max_rel_error(inv_min: float, inv_max: float) -> float:
    """Bound of the relative error of a decoded depth: half a step at the farthest depth."""
    if inv_max == 0.0:
        return 0.0
    return (inv_max - inv_min) / (2 * STEPS) / inv_min + float(np.finfo(np.float32).eps)


def _quantise(
    z: NDArray[np.float32], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.uint16], float, float]:
    values = z[valid].astype(np.float64)
    near = values.min()
    # both ends are float32 depths: they decode to themselves, so the scale survives a round trip
    far = max(values.max(), float(np.float32(near * (1.0 + LEAST_SPAN))))
    inv_min, inv_max = 1.0 / far, 1.0 / near
    codes = np.zeros(z.shape, np.uint16)
    steps = np.rint((1.0 / values - inv_min) * (STEPS / (inv_max - inv_min)))
    codes[valid] = (1 + np.clip(steps, 0, STEPS)).astype(np.uint16)
    return codes, float(inv_min), float(inv_max)


def _inverse_depths(
    codes: NDArray[np.uint16], inv_min: float, inv_max: float
) -> NDArray[np.float64]:
    """Inverse depth of each code; code 0 stands for nothing and gets a positive one."""
    steps = np.maximum(codes, 1).astype(np.float64) - 1.0
    return inv_min + steps / STEPS * (inv_max - inv_min)


def _median_code(codes: NDArray[np.uint16]) -> int:
    """Upper median of the valid codes (there is at least one)."""
    counts = np.bincount(codes.ravel(), minlength=STEPS + 2)
    counts[0] = 0
    cumulative = np.cumsum(counts)
    return int(np.searchsorted(cumulative, cumulative[-1] // 2, side="right"))
