"""Pictures of a pair's correspondences, as pure functions from arrays to RGB images.

Every function takes images (H, W, 3) uint8 RGB and a ``Correspondence`` from view A (0) to view B
(1), and returns a new (H', W', 3) uint8 RGB image. Conventions: docs/conventions.md.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.report import palette
from cameo_data.types import Correspondence, Verdict

Image = NDArray[np.uint8]
Scalar = TypeVar("Scalar", bound=np.generic)

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def cells(values: NDArray[Scalar], stride: int, hw: tuple[int, int]) -> NDArray[Scalar]:
    """A (h, w, ...) map at ``stride`` laid over ``hw`` pixels; the last cells repeat outwards."""
    rows = np.minimum(np.arange(hw[0]) // stride, values.shape[0] - 1)
    columns = np.minimum(np.arange(hw[1]) // stride, values.shape[1] - 1)
    laid: NDArray[Scalar] = values[rows[:, None], columns[None, :]]
    return laid


def sample_image(image: Image, xy: NDArray[Any]) -> Image:
    """(..., 3) colours at pixels (..., 2) by bilinear interpolation; NaN gives black."""
    points = np.asarray(xy, np.float32)
    known = np.logical_and(np.isfinite(points[..., 0]), np.isfinite(points[..., 1]))
    safe = np.where(known[..., None], points, np.float32(0.5)).reshape(points.shape[0], -1, 2)
    # OpenCV counts from the centre of the top-left pixel, we from its corner
    colours = cv2.remap(
        image,
        safe[..., 0] - np.float32(0.5),
        safe[..., 1] - np.float32(0.5),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    out = np.asarray(colours, np.uint8).reshape(*points.shape[:-1], 3)
    out[~known] = 0
    return out


def faded(image: Image, strength: float = 0.25) -> Image:
    """The image in dim grey, hatched by diagonal lines: a backdrop that claims nothing."""
    grey = (image @ _LUMA)[..., None] * strength + 34.0
    height, width = image.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    grey = grey + np.where((rows + columns) % 8 == 0, 26.0, 0.0)[..., None]
    return np.broadcast_to(np.clip(grey, 0, 255), image.shape).astype(np.uint8)


def warp(image0: Image, image1: Image, match: Correspondence) -> Image:
    """B warped into A: B's colour at ``xy1`` where VISIBLE, elsewhere A faded and hatched."""
    hw = image0.shape[:2]
    colours = cells(sample_image(image1, match.xy1), match.stride, hw)
    visible = cells(np.equal(match.verdict, Verdict.VISIBLE), match.stride, hw)
    return np.where(visible[..., None], colours, faded(image0)).astype(np.uint8)


def colour_difference(
    image0: Image, image1: Image, match: Correspondence
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean absolute RGB difference in 8-bit levels at every query: warped, and left unwarped.

    Returns:
        (h, w) float32 each, NaN where the query is not VISIBLE. The second compares A with B at
        the same place in the frame, which is what no correspondence at all would give.
    """
    hw0, hw1 = image0.shape[:2], image1.shape[:2]
    xy0 = cameras.query_xy((hw0[0], hw0[1]), match.stride)
    target = sample_image(image0, xy0).astype(np.float32)
    same_place = xy0 * np.array([hw1[1] / hw0[1], hw1[0] / hw0[0]])
    hidden = match.verdict != Verdict.VISIBLE
    found = []
    for xy1 in (match.xy1, same_place):
        moved = sample_image(image1, np.asarray(xy1)).astype(np.float32)
        difference = np.abs(moved - target).mean(-1)
        found.append(np.where(hidden, np.float32(np.nan), difference).astype(np.float32))
    return found[0], found[1]


def difference(
    image0: Image, image1: Image, match: Correspondence, full_scale: float = 64
) -> Image:
    """Colour difference of A and B warped, black 0 to yellow ``full_scale`` levels and above."""
    hw = image0.shape[:2]
    warped, _ = colour_difference(image0, image1, match)
    level = cells(warped, match.stride, hw)
    known = np.isfinite(level)
    heat = np.clip(np.where(known, level, 0) / full_scale, 0, 1)[..., None]
    # black through red to yellow: dark where the two agree, so that agreement is quiet
    red, green = np.minimum(heat * 2, 1), np.clip(heat * 2 - 1, 0, 1)
    colours = np.concatenate([red, green, heat * 0.15], -1) * 255
    return np.where(known[..., None], colours, faded(image0)).astype(np.uint8)


def verdicts(image0: Image, match: Correspondence, opacity: float = 0.62) -> Image:
    """A's verdicts as a coloured overlay on A in grey, with outlines between verdicts."""
    hw = image0.shape[:2]
    codes = cells(match.verdict, match.stride, hw)
    colours = palette.verdict_table()[codes].astype(np.float64)
    grey = (image0 @ _LUMA)[..., None]
    # multiplying by the picture's own light keeps its shapes readable under the colour
    shaded = colours * (0.45 + 0.55 * grey / 255.0)
    out = opacity * shaded + (1 - opacity) * grey
    edge = np.zeros(hw, bool)
    edge[:, 1:] |= codes[:, 1:] != codes[:, :-1]
    edge[1:] |= codes[1:] != codes[:-1]
    out[edge] *= 0.55
    return np.asarray(np.clip(out, 0, 255), np.uint8)


def confidence(image0: Image, match: Correspondence) -> Image:
    """Confidence of OCCLUDED and VISIBLE queries on A in grey, purple 0 to yellow 1; else A faded.

    Every query shows the least confidence of its 3×3 neighbours: doubt runs along outlines one
    query wide, and must survive being shown at half size.
    """
    hw = image0.shape[:2]
    judged = np.greater_equal(match.verdict, Verdict.OCCLUDED)
    least = cv2.erode(np.where(judged, match.confidence, np.float32(1)), np.ones((3, 3), np.uint8))
    heat = palette.heat_rgb(np.asarray(cells(np.asarray(least), match.stride, hw)))
    shaded = heat * (0.55 + 0.45 * (image0 @ _LUMA)[..., None] / 255.0)
    known = cells(judged, match.stride, hw)
    return np.where(known[..., None], shaded, faded(image0)).astype(np.uint8)
