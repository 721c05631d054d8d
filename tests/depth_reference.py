"""Slow, obvious twins of the kernels of ``planesweep``: one pixel, one hypothesis at a time."""

from __future__ import annotations

import numpy as np

from cameo_data import camera as cameras
from cameo_data.depth.sweep import NO_VIEW_COST, NOISE_VARIANCE
from cameo_data.types import Camera


def bilinear(image: np.ndarray, x: float, y: float) -> float:
    """The image at a continuous pixel; beyond its outermost pixel centres it repeats itself."""
    height, width = image.shape
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    column, row = min(int(x), width - 2), min(int(y), height - 2)
    u, v = x - column, y - row
    above = (1 - u) * image[row, column] + u * image[row, column + 1]
    below = (1 - u) * image[row + 1, column] + u * image[row + 1, column + 1]
    return float((1 - v) * above + v * below)


def pair_cost(
    grey0: np.ndarray,
    camera0: Camera,
    grey1: np.ndarray,
    camera1: Camera,
    w: np.ndarray,
    radius: int,
) -> np.ndarray:
    """(H, W) 1 − ZNCC, with each pixel of a window moved by its own inverse depth."""
    height, width = grey0.shape
    warped = np.zeros((height, width))
    inside = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            xy = np.array([column + 0.5, row + 0.5])
            point = cameras.unproject(camera0, xy, 1 / w[row, column])
            (x, y), z = cameras.project(camera1, point)
            inside[row, column] = z > 0 and 0 < x < grey1.shape[1] and 0 < y < grey1.shape[0]
            warped[row, column] = bilinear(grey1, x, y) if z > 0 else 0
    out = np.full((height, width), NO_VIEW_COST)
    for row in range(height):
        for column in range(width):
            if not inside[row, column]:
                continue
            window = (
                slice(max(0, row - radius), row + radius + 1),
                slice(max(0, column - radius), column + radius + 1),
            )
            a, b = grey0[window], warped[window]
            covariance = ((a - a.mean()) * (b - b.mean())).mean()
            norm = np.sqrt((a.var() + NOISE_VARIANCE) * (b.var() + NOISE_VARIANCE))
            out[row, column] = np.clip(1 - covariance / norm, 0, 1)
    return out


def one_path(costs: np.ndarray, jumps: np.ndarray, step: float) -> np.ndarray:
    """(N, D) semi-global path over N pixels in a row; ``jumps`` (N,) into each of them."""
    out = costs.astype(np.float64).copy()
    for n in range(1, len(costs)):
        before = out[n - 1]
        for d in range(costs.shape[1]):
            ways = [before[d], before.min() + jumps[n]]
            ways += [before[e] + step for e in (d - 1, d + 1) if 0 <= e < costs.shape[1]]
            out[n, d] += min(ways) - before.min()
    return out
