"""Pinhole cameras: pixel grids, projection, unprojection, resize and crop.

Conventions: ``docs/conventions.md``. Pixels are continuous; the image covers [0, W) × [0, H).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from cameo_data import transforms
from cameo_data.types import Camera, FloatArray


def query_grid_hw(hw: tuple[int, int], stride: int) -> tuple[int, int]:
    """Rows and columns of the query grid: whole cells only."""
    return hw[0] // stride, hw[1] // stride


def query_xy(hw: tuple[int, int], stride: int = 1) -> FloatArray:
    """(h, w, 2) cell centres in pixels; stride 1 gives every pixel's centre."""
    rows, columns = query_grid_hw(hw, stride)
    x = (np.arange(columns) + 0.5) * stride
    y = (np.arange(rows) + 0.5) * stride
    return np.stack(np.meshgrid(x, y), -1)


def unproject(camera: Camera, xy: ArrayLike, z: ArrayLike) -> FloatArray:
    """World points, shape (..., 3), for pixels (..., 2) at z-depth (...)."""
    return transforms.apply(camera.world_from_cam, unproject_to_camera(camera.K, xy, z))


def unproject_to_camera(K: ArrayLike, xy: ArrayLike, z: ArrayLike) -> FloatArray:
    """Points in the camera's own frame, shape (..., 3)."""
    xy, z = np.asarray(xy, np.float64), np.asarray(z, np.float64)
    homogeneous = np.concatenate([xy, np.ones_like(xy[..., :1])], -1)
    rays: FloatArray = homogeneous @ np.linalg.inv(np.asarray(K, np.float64)).T
    points: FloatArray = rays * z[..., None]
    return points


def project(camera: Camera, p_world: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Pixels (..., 2) and z-depth (...) of world points; pixels are NaN where z ≤ 0."""
    p_cam = transforms.apply(camera.cam_from_world, p_world)
    z = p_cam[..., 2]
    in_front = z > 0
    safe = np.where(in_front, z, 1.0)
    xy = (p_cam @ camera.K.T)[..., :2] / safe[..., None]
    return np.where(in_front[..., None], xy, np.nan), z


def field_of_view_deg(K: ArrayLike, hw: tuple[int, int]) -> tuple[float, float]:
    """Horizontal and vertical field of view, in degrees, of a pinhole image of size ``hw``.

    Each is the angle between the rays through the middles of opposite sides, wherever the
    principal point is.
    """
    k = np.asarray(K, np.float64)
    across = []
    for axis, side in ((0, hw[1]), (1, hw[0])):
        focal, center = float(k[axis, axis]), float(k[axis, 2])
        across.append(np.degrees(np.arctan2(side - center, focal) + np.arctan2(center, focal)))
    return float(across[0]), float(across[1])


def resize(camera: Camera, hw: tuple[int, int]) -> Camera:
    """The camera of the same image resampled to ``hw``: K's rows scale, nothing else changes."""
    scale = np.array([hw[1] / camera.hw[1], hw[0] / camera.hw[0], 1.0])
    return replace(camera, K=camera.K * scale[:, None], hw=hw)


def crop(camera: Camera, top: int, left: int, hw: tuple[int, int]) -> Camera:
    """The camera of a window of the image; the window must stay inside the image.

    Raises:
        ValueError: the window leaves the image.
    """
    if top < 0 or left < 0 or top + hw[0] > camera.hw[0] or left + hw[1] > camera.hw[1]:
        raise ValueError(
            f"window {hw[0]}×{hw[1]} at row {top}, column {left} leaves the "
            f"{camera.hw[0]}×{camera.hw[1]} image"
        )
    K = camera.K.copy()
    K[0, 2] -= left
    K[1, 2] -= top
    return replace(camera, K=K, hw=hw)


def hw_within(hw: tuple[int, int], side: int) -> tuple[int, int]:
    """``hw``, scaled down if its longer side exceeds ``side``; each side has at least one pixel."""
    scale = min(1.0, side / max(hw))
    return max(1, round(hw[0] * scale)), max(1, round(hw[1] * scale))


def cover_hw(hw: tuple[int, int], target_hw: tuple[int, int]) -> tuple[int, int]:
    """Smallest size with the aspect of ``hw``, in whole pixels, that covers ``target_hw``."""
    scale = max(target_hw[0] / hw[0], target_hw[1] / hw[1])
    return (
        max(target_hw[0], round(hw[0] * scale)),
        max(target_hw[1], round(hw[1] * scale)),
    )
