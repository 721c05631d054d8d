"""The colours of every picture and plot, fixed so that one colour means one thing everywhere.

Verdicts use the eight colours of Okabe and Ito ("Color Universal Design", 2008), chosen to stay
apart under protanopia, deuteranopia and tritanopia. Pictures never rely on colour alone where two
verdicts would otherwise need the same mark: hidden points are rings and crosses, seen ones discs.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cameo_data.types import Verdict

Rgb = tuple[int, int, int]

VERDICT_RGB: dict[Verdict, Rgb] = {
    Verdict.NO_DEPTH: (60, 60, 66),
    Verdict.BEHIND: (204, 121, 167),
    Verdict.OUTSIDE: (86, 180, 233),
    Verdict.UNKNOWN: (240, 228, 66),
    Verdict.OCCLUDED: (213, 94, 0),
    Verdict.VISIBLE: (0, 158, 115),
}

# Stronger than the overlay's OCCLUDED, of the same hue: marks are small, overlays are large.
HIDDEN_RGB: Rgb = (225, 60, 0)

VERDICT_MEANING: dict[Verdict, str] = {
    Verdict.NO_DEPTH: "A knows no depth here",
    Verdict.BEHIND: "the point lies behind camera B",
    Verdict.OUTSIDE: "it lands outside image B",
    Verdict.UNKNOWN: "B knows nothing there, or contradicts A",
    Verdict.OCCLUDED: "B sees something nearer there",
    Verdict.VISIBLE: "B sees this very point",
}


def verdict_table() -> NDArray[np.uint8]:
    """(6, 3) uint8 RGB, indexed by the verdict's code."""
    return np.array([VERDICT_RGB[v] for v in Verdict], np.uint8)


def hex_of(rgb: Rgb) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def position_rgb(xy: ArrayLike, hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(..., 3) RGB that says where in an image of size ``hw`` pixels (..., 2) lie.

    Hue runs from left to right, brightness from top to bottom, so that a match drawn in the colour
    of its place in A shows at a glance whether its surroundings moved with it.
    """
    points = np.asarray(xy, np.float64)
    if not points.size:  # which OpenCV refuses
        return np.zeros((*points.shape[:-1], 3), np.uint8)
    across = np.clip(points[..., 0] / hw[1], 0.0, 1.0)
    down = np.clip(points[..., 1] / hw[0], 0.0, 1.0)
    # 300 of 360 degrees: the left and right borders must not look alike. OpenCV counts hue to 180.
    hsv = np.stack(
        [150.0 * across, np.full_like(across, 205.0), 255.0 - 95.0 * down], axis=-1
    ).astype(np.uint8)
    flat = cv2.cvtColor(hsv.reshape(1, -1, 3), cv2.COLOR_HSV2RGB)
    return np.asarray(flat, np.uint8).reshape(*points.shape[:-1], 3)


def heat_rgb(value: ArrayLike) -> NDArray[np.uint8]:
    """(..., 3) RGB of values in [0, 1] on OpenCV's viridis: dark is 0, yellow is 1."""
    levels = np.asarray(np.clip(np.asarray(value, np.float64), 0, 1) * 255 + 0.5, np.uint8)
    mapped = cv2.applyColorMap(levels.reshape(1, -1), cv2.COLORMAP_VIRIDIS)
    return np.asarray(mapped[..., ::-1], np.uint8).reshape(*levels.shape, 3)
