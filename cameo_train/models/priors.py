"""3-D priors: the references' colours and points, moved into every view by the references' depth.

After MVGenMaster (section 3.2): reference pixels are lifted by their depth and projected into the
target camera; points that are hidden there, or that no reference sees, stay empty. The target's
own depth is never used.

Shapes: V views, H, W pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.geometry.registration import SAME_SURFACE, register
from cameo_data.types import Camera, DepthMap

Float32Array = NDArray[np.float32]


class Warped(NamedTuple):
    """The references as each view of a group sees them.

    Attributes:
        colors: (V, 3, H, W) float32, 0 where unknown.
        points_world: (V, H, W, 3) float32, 0 where unknown.
        known: (V, H, W) bool.
    """

    colors: Float32Array
    points_world: Float32Array
    known: NDArray[np.bool_]


def warp_references(
    images: Float32Array, depth: Float32Array, views: list[Camera], reference: NDArray[np.bool_]
) -> Warped:
    """References seen from all views; a reference sees itself, by its own depth.

    Args:
        images: (V, 3, H, W) float32; depth: (V, H, W), 0 where unknown. Only the references'
            entries are read.
        views: V cameras of the images' size.
        reference: (V,) bool.
    """
    count, height, width = depth.shape
    out = Warped(
        np.zeros((count, 3, height, width), np.float32),
        np.zeros((count, height, width, 3), np.float32),
        np.zeros((count, height, width), np.bool_),
    )
    depths = {int(r): DepthMap.from_array(depth[r]) for r in np.flatnonzero(reference)}
    for view, camera in enumerate(views):
        if reference[view]:
            seen = depths[view]
            _fill(out, view, camera, seen.z, images[view], seen.valid)
            continue
        nearest = np.full((height, width), np.inf, np.float32)
        for r in depths:
            here_from_there = camera.cam_from_world @ views[r].world_from_cam
            seen = register(depths[r], views[r].K, here_from_there, camera.K, (height, width))
            nearer = seen.valid & (seen.z < nearest)
            colors = _colors_from(images[r], depths[r], views[r], camera, seen)
            _fill(out, view, camera, seen.z, colors, nearer)
            nearest = np.where(nearer, seen.z, nearest)
    return out


def _fill(
    out: Warped, view: int, camera: Camera, z: Float32Array, colors: Float32Array,
    where: NDArray[np.bool_],
) -> None:  # fmt: skip
    out.colors[view][:, where] = colors[:, where]
    xy = cameras.query_xy(camera.hw)[where]
    out.points_world[view][where] = cameras.unproject(camera, xy, z[where])
    out.known[view] |= where


def _colors_from(
    image: Float32Array, depth: DepthMap, there: Camera, here: Camera, seen: DepthMap
) -> Float32Array:
    """(3, H, W): another image at the points that this camera sees; 0 where it sees none."""
    there_from_pixel = np.zeros((3, 4))
    there_from_here = there.cam_from_world @ here.world_from_cam
    there_from_pixel[:, :3] = there.K @ there_from_here[:3, :3] @ np.linalg.inv(here.K)
    there_from_pixel[:, 3] = there.K @ there_from_here[:3, 3]
    out = np.zeros((3, *here.hw), np.float32)
    _sample(image, depth.z, depth.valid, seen.z, seen.valid, there_from_pixel, out)
    return out


@nb.njit(cache=True, error_model="numpy")
def _sample(image, z, valid, z_here, known, there_from_pixel, out):  # type: ignore[no-untyped-def]
    """Interpolates the four pixels if they see one surface; else takes the one nearest in depth."""
    M = there_from_pixel
    height, width = z.shape
    share = np.empty(4)
    for row in range(known.shape[0]):
        for column in range(known.shape[1]):
            if not known[row, column]:
                continue
            u, v, w = column + 0.5, row + 0.5, 1.0 / z_here[row, column]
            depth = M[2, 0] * u + M[2, 1] * v + M[2, 2] + M[2, 3] * w
            x = (M[0, 0] * u + M[0, 1] * v + M[0, 2] + M[0, 3] * w) / depth - 0.5
            y = (M[1, 0] * u + M[1, 1] * v + M[1, 2] + M[1, 3] * w) / depth - 0.5
            depth *= z_here[row, column]
            c, r = math.floor(x), math.floor(y)
            best, least, total = 0, np.inf, 0.0
            for i in range(4):
                ri = min(max(r + i // 2, 0), height - 1)
                ci = min(max(c + i % 2, 0), width - 1)
                near = 1 - abs(y - r - i // 2)
                share[i] = near * (1 - abs(x - c - i % 2))
                off = abs(z[ri, ci] / depth - 1) if valid[ri, ci] else np.inf
                if off < least:
                    best, least = i, off
                if not off < SAME_SURFACE:
                    share[i] = 0.0
                total += share[i]
            if total == 0:
                share[best], total = 1.0, 1.0
            for i in range(4):
                ri = min(max(r + i // 2, 0), height - 1)
                ci = min(max(c + i % 2, 0), width - 1)
                for channel in range(3):
                    if share[i] > 0:
                        out[channel, row, column] += image[channel, ri, ci] * (share[i] / total)


def canonical(warped: Warped, depth: Float32Array, views: list[Camera], first: int) -> Float32Array:
    """(V, 3, H, W) points in the first reference's frame, in [−2, 2], 0 where unknown.

    A point has the same coordinates in all views. The unit is the median depth of that reference;
    beyond one unit, space is contracted as in Mip-NeRF 360 (equation 10).
    """
    z = depth[first]
    valid = np.isfinite(z) & (z > 0)
    unit = float(np.median(z[valid])) if valid.any() else 1.0
    points = transforms.apply(views[first].cam_from_world, warped.points_world) / unit
    length = np.linalg.norm(points, axis=-1, keepdims=True)
    beyond = length > 1
    safe = np.where(beyond, length, 1.0)
    points = np.where(beyond, (2 - 1 / safe) / safe, 1.0) * points
    points[~warped.known] = 0
    return np.moveaxis(points, -1, 1).astype(np.float32)


def encode_coordinates(points: Tensor, octaves: int) -> Tensor:
    """(…, 6·octaves, h, w) sines and cosines of (…, 3, h, w) in [−2, 2], from one period up."""
    frequency = math.pi / 2 * 2.0 ** torch.arange(octaves, device=points.device)
    angles = points.unsqueeze(-4) * frequency.view(-1, 1, 1, 1)
    return torch.cat([angles.sin(), angles.cos()], -4).flatten(-4, -3)
