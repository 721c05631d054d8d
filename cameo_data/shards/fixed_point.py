"""Correspondences as integers: pixels in 1/64 px as uint16, confidences as uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Half a step of 1/64 px (0.008 px) is below the mean error of the geometry itself (0.01 px), and
# the codes reach 1023 px; larger images get 1/32, 1/16, … px.
FINEST_STEPS_PER_PX = 64


def steps_per_px(hw: tuple[int, int]) -> int:
    """Largest power of two, at most 64, whose codes reach across an image of ``hw``.

    Raises:
        ValueError: a side is longer than 65535 pixels.
    """
    steps = FINEST_STEPS_PER_PX
    while max(hw) * steps > np.iinfo(np.uint16).max:
        steps //= 2
    if steps < 1:
        raise ValueError(f"image of {hw[0]}×{hw[1]} (h×w) is too large for 16-bit pixels")
    return steps


def encode_xy(xy: NDArray[np.float32], hw: tuple[int, int], steps: int) -> NDArray[np.uint16]:
    """Codes (..., 2) for pixels (..., 2) in an image of size ``hw``; (0, 0) where ``xy`` is NaN.

    Codes stay in 1 … side · steps − 1, since 0 means NaN and decoded pixels must be inside the
    image. So the error is half a step, and up to a whole step in the outermost step of the image.
    """
    known = np.isfinite(xy).all(-1, keepdims=True)
    last = np.array([hw[1], hw[0]], np.float64) * steps - 1
    codes = np.clip(np.rint(np.where(known, xy, 0).astype(np.float64) * steps), 1, last)
    return np.where(known, codes, 0).astype(np.uint16)


def decode_xy(codes: NDArray[np.uint16], steps: int) -> NDArray[np.float32]:
    """Pixels (..., 2) float32 for codes; NaN where the codes are 0."""
    xy = codes.astype(np.float32) / np.float32(steps)
    xy[(codes == 0).any(-1)] = np.nan
    return xy


def encode_confidence(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Codes round(255 · c) for confidences c in [0, 1]."""
    return np.rint(np.clip(confidence, 0, 1) * 255).astype(np.uint8)


def decode_confidence(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Confidences in [0, 1] for codes."""
    return codes.astype(np.float32) / np.float32(255)
