"""Depth of one view against that of others: what others see at the same place is kept.

A pixel's point is moved to another view, that view's depth there is moved back, and the two must
agree: by the distance in pixels between where they started and came back, and in depth. What
several views agree on is averaged in inverse depth, in which their errors are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.correspondence import sample_depth
from cameo_data.types import Camera, DepthMap, FloatArray

# Distance in pixels after going there and back, and relative difference in depth, up to which two
# views agree (as Yao et al., ECCV 2018, section 4.2: 1 px and 1 %).
SAME_PX = 1.5
SAME_DEPTH = 0.015
# Relative difference in depth from which a view contradicts another: nothing can be where it sees
# something farther.
BEYOND = 0.05
# A pixel continues a confirmed surface where that fills so much of the pixels around it, and its
# mean inverse depth is the pixel's to this relative difference; it goes this far, this many times.
GROW_SHARE, GROW_DEPTH, GROW_RADIUS, GROW_ROUNDS = 0.3, 0.01, 3, 3


@dataclass(frozen=True, eq=False)
class Confirmed:
    """What other views say of a depth map.

    Attributes:
        count: (H, W) views that agree.
        seen: (H, W) views that know any depth at the place.
        through: (H, W) views that look through the place at something farther away.
        z: (H, W) mean of the view's own depth and of those that agree.
    """

    count: NDArray[np.int64]
    seen: NDArray[np.int64]
    through: NDArray[np.int64]
    z: FloatArray


def confirm(
    depth: DepthMap,
    camera: Camera,
    others: Sequence[tuple[DepthMap, Camera]],
    same_px: float = SAME_PX,
    same_depth: float = SAME_DEPTH,
) -> Confirmed:
    """How many of the other views confirm each pixel's depth."""
    xy = cameras.query_xy(camera.hw)
    known = depth.valid
    points = cameras.unproject(camera, xy, np.where(known, depth.z, 1.0))
    count = np.zeros(camera.hw, np.int64)
    seen = np.zeros(camera.hw, np.int64)
    through = np.zeros(camera.hw, np.int64)
    inverse = np.where(known, 1.0 / np.where(known, depth.z, 1.0), 0.0)
    for other_depth, other in others:
        there, z_moved = cameras.project(other, points)
        z_there, sampled = sample_depth(other_depth, there)
        sampled = sampled & known
        at = np.where(sampled[..., None], there, 0.5)
        back = cameras.unproject(other, at, np.where(sampled, z_there, 1.0))
        xy_back, z_back = cameras.project(camera, back)
        with np.errstate(invalid="ignore"):
            off = np.linalg.norm(xy_back - xy, axis=-1)
            agrees = sampled & (off <= same_px) & (np.abs(z_back - depth.z) <= same_depth * depth.z)
        count += agrees
        seen += sampled
        through += sampled & (z_there > z_moved * (1 + BEYOND))
        inverse += np.where(agrees, 1.0 / np.where(agrees, z_back, 1.0), 0.0)
    z = np.where(known, (1 + count) / np.where(known, inverse, 1.0), 0.0)
    return Confirmed(count, seen, through, z)


def grown(kept: NDArray[np.bool_], w: FloatArray, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``kept`` and those ``allowed`` pixels that continue its surface, a few pixels far.

    Args:
        w: (H, W) inverse depth.
    """
    import cv2

    size = (2 * GROW_RADIUS + 1, 2 * GROW_RADIUS + 1)
    for _ in range(GROW_ROUNDS):
        share = cv2.boxFilter(kept.astype(np.float64), -1, size)
        mean = cv2.boxFilter(np.where(kept, w, 0.0), -1, size)
        near = np.abs(mean - w * share) <= GROW_DEPTH * w * share
        kept = kept | (allowed & (share >= GROW_SHARE) & near)
    return kept


def without_specks(kept: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """``kept`` without connected pieces of fewer than ``least`` pixels."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    found: NDArray[np.bool_] = large[labels]
    return found
