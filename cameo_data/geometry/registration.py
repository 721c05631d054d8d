"""One camera's depth as seen from another camera beside it: a forward warp with a z-buffer.

Each depth pixel is a small piece of plane; neighbours on the same surface give its tilt. Pieces of
one surface touch, so magnification leaves no holes. Pieces on two sides of a depth edge stay apart,
so what the depth camera did not see stays unknown. The warp is exact on planes.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from cameo_data import transforms
from cameo_data.types import DepthMap, FloatArray

# Neighbours with a larger relative difference in inverse depth are two surfaces: Kinect's steps are
# below 1 % per pixel up to 5 m, and a wall slanted by 80° changes by 1 % per pixel at f = 525.
SAME_SURFACE = 0.02
# Pieces overlap by this much of a depth pixel, which closes cracks between noisy neighbours: noise
# of 1 % at 0.5 m shifts a pixel by 0.25 px for a baseline of 25 mm at f = 525, at 2 m by 0.06 px.
OVERLAP = 0.1
# A piece may grow this many times beyond the ratio of focal lengths (the other camera is nearer).
MAX_APPROACH = 4.0


def register(
    depth: DepthMap,
    depth_K: FloatArray,
    color_from_depth: FloatArray,
    color_K: FloatArray,
    color_hw: tuple[int, int],
) -> DepthMap:
    """The depth map of a camera (``color_K``, ``color_hw``) from that of a camera beside it."""
    depth_from_color = transforms.invert(color_from_depth)
    growth = float(np.max(np.diag(color_K)[:2] / np.diag(depth_K)[:2]))
    w = np.zeros(color_hw)
    _splat(
        depth.z,
        depth.valid,
        np.ascontiguousarray(depth_K, np.float64),
        np.linalg.inv(depth_K),
        np.ascontiguousarray(color_from_depth, np.float64),
        depth_from_color,
        np.ascontiguousarray(color_K, np.float64),
        np.linalg.inv(color_K),
        math.ceil(MAX_APPROACH * growth) + 4,
        w,
        np.full(color_hw, np.inf),
    )
    known = w > 0
    return DepthMap((known / np.where(known, w, 1.0)).astype(np.float32), known)


@nb.njit(cache=True, error_model="numpy")
def _splat(  # type: ignore[no-untyped-def]
    z, valid, Kd, Kd_inv, c_from_d, d_from_c, Kc, Kc_inv, max_size, w_out, distance
):
    """Fill ``w_out`` (inverse depth, 0 = none); ``distance`` is scratch for the best piece's."""
    height, width = w_out.shape
    reach = 0.5 + OVERLAP
    plane = np.empty(3)
    for row in range(z.shape[0]):
        for column in range(z.shape[1]):
            if not valid[row, column]:
                continue
            u, v = column + 0.5, row + 0.5
            w = 1.0 / z[row, column]
            gx = _slope(z, valid, row, column, 0, 1)
            gy = _slope(z, valid, row, column, 1, 0)
            if not _plane(w - gx * u - gy * v, gx, gy, Kd, c_from_d, plane):
                continue
            left, right, top, bottom = _bounds(u, v, w, gx, gy, reach, Kd_inv, c_from_d, Kc)
            if not (right - left <= max_size and bottom - top <= max_size):
                continue
            for y in range(max(0, math.ceil(top - 0.5)), min(height, math.floor(bottom + 0.5))):
                for x in range(max(0, math.ceil(left - 0.5)), min(width, math.floor(right + 0.5))):
                    rx = Kc_inv[0, 0] * (x + 0.5) + Kc_inv[0, 1] * (y + 0.5) + Kc_inv[0, 2]
                    ry = Kc_inv[1, 1] * (y + 0.5) + Kc_inv[1, 2]
                    w_here = plane[0] * rx + plane[1] * ry + plane[2]
                    if w_here <= 0:
                        continue
                    u_here, v_here, _ = _transfer(rx, ry, w_here, d_from_c, Kd)
                    off = max(abs(u_here - u), abs(v_here - v))
                    best = w_out[y, x]
                    nearer = w_here > best * (1 + SAME_SURFACE)
                    same = w_here >= best * (1 - SAME_SURFACE)
                    if off <= reach and (nearer or (same and off < distance[y, x])):
                        w_out[y, x] = w_here
                        distance[y, x] = off


@nb.njit(cache=True, error_model="numpy")
def _plane(w, gx, gy, Kd, c_from_d, out):  # type: ignore[no-untyped-def]
    """Write n of the plane n · p = 1 in the colour camera's frame to ``out``; False if behind it.

    Inverse depth over depth pixels is gx·x + gy·y + w, and n · ray is inverse depth along a ray.
    """
    nx = gx * Kd[0, 0]
    ny = gx * Kd[0, 1] + gy * Kd[1, 1]
    nz = gx * Kd[0, 2] + gy * Kd[1, 2] + w
    scale = 1.0
    for k in range(3):
        out[k] = c_from_d[k, 0] * nx + c_from_d[k, 1] * ny + c_from_d[k, 2] * nz
        scale += out[k] * c_from_d[k, 3]
    out /= scale
    return scale > 0


@nb.njit(cache=True, error_model="numpy")
def _slope(z, valid, row, column, down, right):  # type: ignore[no-untyped-def]
    """Change of inverse depth per pixel in one direction, from neighbours on the same surface."""
    w = 1.0 / z[row, column]
    total = 0.0
    count = 0
    for sign in (-1, 1):
        r, c = row + sign * down, column + sign * right
        if 0 <= r < z.shape[0] and 0 <= c < z.shape[1] and valid[r, c]:
            step = 1.0 / z[r, c] - w
            if abs(step) <= SAME_SURFACE * w:
                total += sign * step
                count += 1
    return total / count if count else 0.0


@nb.njit(cache=True, error_model="numpy")
def _bounds(u, v, w, gx, gy, reach, Kd_inv, c_from_d, Kc):  # type: ignore[no-untyped-def]
    """Extent in colour pixels of a piece: left, right, top, bottom; NaN if partly behind."""
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for sy in (-reach, reach):
        for sx in (-reach, reach):
            rx = Kd_inv[0, 0] * (u + sx) + Kd_inv[0, 1] * (v + sy) + Kd_inv[0, 2]
            ry = Kd_inv[1, 1] * (v + sy) + Kd_inv[1, 2]
            x, y, depth = _transfer(rx, ry, w + gx * sx + gy * sy, c_from_d, Kc)
            if not depth > 0:
                return np.nan, np.nan, np.nan, np.nan
            left, right = min(left, x), max(right, x)
            top, bottom = min(top, y), max(bottom, y)
    return left, right, top, bottom


@nb.njit(cache=True, error_model="numpy")
def _transfer(rx, ry, w, b_from_a, Kb):  # type: ignore[no-untyped-def]
    """Pixel in b, and depth in b over depth in a, of the point on ray (rx, ry, 1) at depth 1/w."""
    px = b_from_a[0, 0] * rx + b_from_a[0, 1] * ry + b_from_a[0, 2] + b_from_a[0, 3] * w
    py = b_from_a[1, 0] * rx + b_from_a[1, 1] * ry + b_from_a[1, 2] + b_from_a[1, 3] * w
    pz = b_from_a[2, 0] * rx + b_from_a[2, 1] * ry + b_from_a[2, 2] + b_from_a[2, 3] * w
    return (
        (Kb[0, 0] * px + Kb[0, 1] * py) / pz + Kb[0, 2],
        Kb[1, 1] * py / pz + Kb[1, 2],
        pz,
    )
