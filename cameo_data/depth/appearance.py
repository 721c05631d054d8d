"""Whether pixels of one view look the same in others, if they are as deep as somebody supposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.depth import sweep
from cameo_data.types import Camera, DepthMap, FloatArray

Mask = NDArray[np.bool_]

# Standard deviation of the smoothing: noise must not look like a difference.
SMOOTHING_PX = 1.0
# Relative difference in depth from which what a view knows contradicts a supposed depth.
BEYOND = 0.05
# Colours differ from this many of 255 levels, beyond what the region as a whole does (exposure).
DIFFERENT = 10.0
# Pixels that are sampled as one row.
ROW = 1024


@dataclass(frozen=True, eq=False)
class SmoothedView:
    """Another view: its smoothed picture, and what it is sure of.

    Attributes:
        A, b: as ``sweep.epipolar``: where pixels of the first view are.
        w: (h, w) inverse depth; 0 where it is not sure.
    """

    A: FloatArray
    b: FloatArray
    image: NDArray[np.float32]
    w: NDArray[np.float32]


def view(own: Camera, camera: Camera, image: NDArray[np.uint8], sure: DepthMap) -> SmoothedView:
    """A view to hold planes of the view ``own`` against."""
    A, b = sweep.epipolar(own, camera)
    w = np.where(sure.valid, 1 / np.where(sure.valid, sure.z, 1), 0)
    return SmoothedView(A, b, smoothed(image), w.astype(np.float32))


def smoothed(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) in 0 to 255."""
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), SMOOTHING_PX), np.float32)


def share_different(
    pixels: NDArray[np.int64],
    w: FloatArray,
    picture: NDArray[np.float32],
    views: Sequence[SmoothedView],
) -> float:
    """Share of the pixels that look different where they are seen, over all views; 1 if nowhere."""
    seen = bad = 0
    for other in views:
        there = look(pixels, w, picture, other)
        seen += int(there.seen.sum())
        bad += int((there.seen & there.different).sum())
    return bad / seen if seen else 1.0


def same_colour(
    pixels: NDArray[np.int64],
    w: FloatArray,
    picture: NDArray[np.float32],
    views: Sequence[SmoothedView],
    needed: int,
) -> Mask:
    """(N,) whether enough views show the same there, and no more of them look through it."""
    same = np.zeros(len(pixels), np.int64)
    through = np.zeros(len(pixels), np.int64)
    for other in views:
        there = look(pixels, w, picture, other)
        same += there.seen & ~there.different & ~there.through
        through += there.through
    return (same >= needed) & (through <= same)


@dataclass(frozen=True, eq=False)
class Look:
    """(N,) each: whether the pixel's point is in the other view; whether it looks different there;
    whether that view knows something farther there."""

    seen: Mask
    different: Mask
    through: Mask


def look(
    pixels: NDArray[np.int64], w: FloatArray, picture: NDArray[np.float32], other: SmoothedView
) -> Look:
    """(N, 2) pixels, row and column, of the smoothed ``picture`` at inverse depths w (N,)."""
    homogeneous = np.stack([pixels[:, 1] + 0.5, pixels[:, 0] + 0.5, np.ones(len(pixels))], 1)
    moved = homogeneous @ other.A.T + w[:, None] * other.b
    ahead = moved[:, 2] > 0
    depth = np.where(ahead, moved[:, 2], 1.0)
    at = moved[:, :2] / depth[:, None]
    height, width = other.w.shape
    seen = ahead & (at > 0.5).all(1) & (at < (width - 0.5, height - 0.5)).all(1)
    colour = _sampled(other.image, at, cv2.INTER_LINEAR)
    known = _sampled(other.w, at, cv2.INTER_NEAREST)
    here = w / depth  # inverse depth as the other view has it
    apart = colour - picture[tuple(pixels.T)]
    if seen.any():
        apart -= np.median(apart[seen], axis=0)
    through = seen & (known > 0) & (known < here * (1 - BEYOND))
    return Look(seen, np.abs(apart).max(1) > DIFFERENT, through)


def _sampled(image: NDArray[np.float32], at: FloatArray, how: int) -> NDArray[np.float32]:
    """(N, ...) values at (N, 2) pixels; OpenCV takes them as a picture, of at most 32,766 rows."""
    places = np.zeros((-(-len(at) // ROW) * ROW, 2), np.float32)
    places[: len(at)] = at - 0.5
    values = cv2.remap(image, places.reshape(-1, ROW, 2), None, how)
    return np.asarray(values.reshape(-1, *image.shape[2:])[: len(at)], np.float32)
