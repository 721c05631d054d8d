"""The compiled part of ``render``: rays, tiles, shading."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from cameo_data.geometry.raycast import first_hit
from cameo_data.synth import textures

TILE = 16
# Directions to two soft lights (world, z up) and their strengths; with the ambient part they sum to
# about 1 on a surface that faces the first light.
_LIGHTS = np.array([[0.48, -0.36, 0.8, 0.42], [-0.7, 0.5, 0.3, 0.16]])
_AMBIENT = 0.42


def _srgb_table() -> NDArray[np.uint8]:
    """8-bit sRGB (IEC 61966-2-1) for linear light in 65535ths."""
    linear = np.arange(65536) / 65535
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)


_SRGB = _srgb_table()


_jit = nb.njit(cache=True, nogil=True, error_model="numpy")
_inline = nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")


@_jit
def _candidates(corners, eye, ray_from_xy, x0, y0, x1, y1, out):  # type: ignore[no-untyped-def]
    """Number of primitives that a window of the image may show; writes their indices to ``out``."""
    xs = (x0, x1, x1, x0)
    ys = (y0, y0, y1, y1)
    rays = np.empty((4, 3))
    for i in range(4):
        for c in range(3):
            rays[i, c] = ray_from_xy[c, 0] * xs[i] + ray_from_xy[c, 1] * ys[i] + ray_from_xy[c, 2]
    normals = np.empty((4, 3))
    for i in range(4):
        a, b = rays[i], rays[(i + 1) % 4]
        normals[i, 0] = a[1] * b[2] - a[2] * b[1]
        normals[i, 1] = a[2] * b[0] - a[0] * b[2]
        normals[i, 2] = a[0] * b[1] - a[1] * b[0]
    count = 0
    for k in range(corners.shape[0]):
        seen = True
        for i in range(4):
            largest = -np.inf
            reach = 0.0
            for j in range(8):
                side, length = 0.0, 0.0
                for c in range(3):
                    d = corners[k, j, c] - eye[c]
                    side += normals[i, c] * d
                    length += abs(normals[i, c] * d)
                largest = max(largest, side)
                reach = max(reach, length)
            if largest < -1e-9 * reach:
                seen = False
                break
        if seen:
            out[count] = k
            count += 1
    return count


@_inline
def _nearest(kinds, maps, local_eye, chosen, count, rx, ry, rz):  # type: ignore[no-untyped-def]
    """(t, primitive or −1, number of the normal) of a ray's first hit, as in ``raycast.cast``."""
    best, found, best_axis = np.inf, -1, 0
    for n in range(count):
        k = chosen[n]
        m = maps[k]
        dx = m[0, 0] * rx + m[0, 1] * ry + m[0, 2] * rz
        dy = m[1, 0] * rx + m[1, 1] * ry + m[1, 2] * rz
        dz = m[2, 0] * rx + m[2, 1] * ry + m[2, 2] * rz
        t, axis = first_hit(kinds[k], local_eye[k, 0], local_eye[k, 1], local_eye[k, 2], dx, dy, dz)
        if t < best:
            best, found, best_axis = t, k, axis
    return best, found, best_axis


@_inline
def _chart(kind, axis, p, s, above):  # type: ignore[no-untyped-def]
    """(face, u, v) of a place in a primitive's coordinates: the face, and metres on it.

    Spheres are mapped from six faces, stretched so that arc lengths are about right.
    """
    if kind == 3:
        return int(above), p[0] * s[0], p[1] * s[1]
    if kind == 2:
        if axis == 2:
            return int(p[2] > 0), p[0] * s[0], p[1] * s[1]
        return 2, np.arctan2(p[1], p[0]) * 0.25 * (s[0] + s[1]), p[2] * s[2]
    a = axis
    if kind == 1:
        a = 0 if abs(p[0]) >= abs(p[1]) else 1
        if abs(p[2]) > abs(p[a]):
            a = 2
    b, c = (a + 1) % 3, (a + 2) % 3
    face = 2 * a + int(p[a] > 0)
    if kind == 0:
        return face, p[b] * s[b], p[c] * s[c]
    # a face spans an angle of 90°, so half of it is π/4 of the radius
    stretch = 0.7854 * 0.5 / abs(p[a])
    return face, p[b] * s[b] * stretch, p[c] * s[c] * stretch


@_inline
def _normal(m, axis, p, rx, ry, rz, out):  # type: ignore[no-untyped-def]
    """Write the unit normal towards the eye to ``out``; return its cosine with the ray."""
    nx = p[0] if axis >= 3 else 1.0 * (axis == 0)
    ny = p[1] if axis >= 3 else 1.0 * (axis == 1)
    nz = p[2] if axis == 3 else 1.0 * (axis == 2)
    for c in range(3):
        out[c] = m[0, c] * nx + m[1, c] * ny + m[2, c] * nz
    length = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    along = (out[0] * rx + out[1] * ry + out[2] * rz) / length
    for c in range(3):
        out[c] /= -length if along > 0 else length
    return abs(along) / np.sqrt(rx * rx + ry * ry + rz * rz)


@_inline
def _shade(normal):  # type: ignore[no-untyped-def]
    """Light on a surface from soft lamps that wrap around it; the same from every viewpoint."""
    light = _AMBIENT + 0.1 * normal[2]
    for i in range(2):
        cosine = normal[0] * _LIGHTS[i, 0] + normal[1] * _LIGHTS[i, 1] + normal[2] * _LIGHTS[i, 2]
        light += _LIGHTS[i, 3] * (0.35 + 0.65 * cosine if cosine > 0 else 0.35 + 0.35 * cosine)
    return light


@_jit
def _sky(rx, ry, rz, footprint, colours, seed, out):  # type: ignore[no-untyped-def]
    """Write the linear RGB of a direction to ``out``: a gradient, clouds above, haze below."""
    length = np.sqrt(rx * rx + ry * ry + rz * rz)
    up = rz / length
    flat = 1.0 / (abs(up) + 0.35)
    clouds = textures.octaves(
        2.2 * flat * rx / length, 2.2 * flat * ry / length, 2.2 * footprint / length, 4, seed
    )
    cover = min(1.0, max(0.0, 1.6 * clouds + 0.15)) * (1.0 if up > 0 else 0.3)
    height = min(1.0, max(0.0, 1.6 * up)) ** 0.5
    for c in range(3):
        clear = colours[0, c] + height * (colours[1, c] - colours[0, c])
        out[c] = (clear + cover * (0.9 - clear)) * (1.0 if up > 0 else 0.75)


@_inline
def _colour(  # type: ignore[no-untyped-def]
    k, t, axis, stage, local_eye, rx, ry, rz, pitch, p, normal, out
):
    """Write the linear RGB of the point that a ray hits at t on primitive k to ``out``."""
    kinds, maps, scales, patterns, cells, seeds, palettes = stage
    m = maps[k]
    for c in range(3):
        p[c] = local_eye[k, c] + t * (m[c, 0] * rx + m[c, 1] * ry + m[c, 2] * rz)
    cosine = _normal(m, axis, p, rx, ry, rz, normal)
    face, u, v = _chart(kinds[k], axis, p, scales[k], local_eye[k, 2] > 0)
    footprint = t * pitch / max(cosine, 0.1)
    textures.surface_colour(
        patterns[k], u, v, face, cells[k], footprint, seeds[k], palettes[k], out
    )
    light = _shade(normal)
    for c in range(3):
        out[c] *= light


@_jit
def render(  # type: ignore[no-untyped-def]
    stage, corners, sky, sky_seed, eye, ray_from_xy, center_rays, offsets, pitch, image, z, index
):
    """Fill ``image`` (H, W, 3) uint8, ``z`` (H, W) float32 and ``index`` (H, W) int32.

    Args:
        stage: (kinds, maps, scales, patterns, cells, seeds, palettes) of ``PackedStage``.
        ray_from_xy: (3, 3); its product with (x, y, 1) is a ray whose t is z-depth.
        center_rays: (H, W, 3), as ``raycast`` makes them, so that depth equals its depth exactly.
        offsets: (N, 2) places of the samples in a pixel.
        pitch: distance between samples at unit depth.
    """
    kinds, maps = stage[0], stage[1]
    height, width = z.shape
    local_eye = np.empty((kinds.shape[0], 3))
    for k in range(kinds.shape[0]):
        m = maps[k]
        for c in range(3):
            local_eye[k, c] = m[c, 0] * eye[0] + m[c, 1] * eye[1] + m[c, 2] * eye[2] + m[c, 3]
    chosen = np.empty(kinds.shape[0], np.int64)
    scratch = np.empty((4, 3))
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            count = _candidates(corners, eye, ray_from_xy, left, top, right, bottom, chosen)
            for row in range(top, bottom):
                for column in range(left, right):
                    ray = center_rays[row, column]
                    t, k, _ = _nearest(
                        kinds, maps, local_eye, chosen, count, ray[0], ray[1], ray[2]
                    )
                    z[row, column] = t if k >= 0 else 0.0
                    index[row, column] = k
                    _pixel(
                        stage, sky, sky_seed, local_eye, chosen, count, ray_from_xy, offsets,
                        pitch, row, column, image, scratch,
                    )  # fmt: skip


@_inline
def _pixel(  # type: ignore[no-untyped-def]
    stage,
    sky,
    sky_seed,
    local_eye,
    chosen,
    count,
    m,
    offsets,
    pitch,
    row,
    column,
    image,
    scratch,
):
    """Write the mean of the pixel's samples in linear light, as sRGB, to ``image``."""
    total, one, p, normal = scratch
    total[:] = 0.0
    for s in range(offsets.shape[0]):
        x, y = column + offsets[s, 0], row + offsets[s, 1]
        rx = m[0, 0] * x + m[0, 1] * y + m[0, 2]
        ry = m[1, 0] * x + m[1, 1] * y + m[1, 2]
        rz = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        t, k, axis = _nearest(stage[0], stage[1], local_eye, chosen, count, rx, ry, rz)
        if k < 0:
            _sky(rx, ry, rz, pitch, sky, sky_seed, one)
        else:
            _colour(k, t, axis, stage, local_eye, rx, ry, rz, pitch, p, normal, one)
        for c in range(3):
            # clip light per sample, so that a bright edge stays smooth
            total[c] += min(1.0, one[c])
    for c in range(3):
        image[row, column, c] = _SRGB[int(total[c] / offsets.shape[0] * 65535.0 + 0.5)]
