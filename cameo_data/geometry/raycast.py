"""Exact ray casting of simple solids: the ground truth that everything else is tested against.

A primitive is a unit shape under an affine map, so spheres become ellipsoids and cubes become
slabs. All arithmetic is float64 and closed form; nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numba as nb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.types import Camera, Correspondence, FloatArray, Verdict

Kind = Literal["box", "sphere", "cylinder", "rect"]
KINDS: tuple[Kind, ...] = ("box", "sphere", "cylinder", "rect")

# A ray from a camera to a surface point is free when its first hit is that point, up to rounding:
# float64 intersections are accurate to about 1e-12 of the distance, and nothing real is this thin.
SAME_POINT = 1e-8


@dataclass(frozen=True, eq=False)
class Primitive:
    """A unit shape placed in the world.

    Attributes:
        kind: ``box`` (cube [−½, ½]³), ``sphere`` (radius ½), ``cylinder`` (radius ½, z in [−½, ½],
            capped) or ``rect`` (the square |x|, |y| ≤ ½ in z = 0, seen from both sides).
        world_from_object: (4, 4) affine, any non-singular scale.
        surface: index of its material or texture; its meaning is up to the caller.

    Raises:
        ValueError: unknown kind or singular map.
    """

    kind: Kind
    world_from_object: FloatArray
    surface: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown primitive {self.kind!r}; expected one of {', '.join(KINDS)}")
        matrix = np.array(self.world_from_object, np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise ValueError("world_from_object is not a finite 4×4 matrix")
        if abs(np.linalg.det(matrix[:3, :3])) == 0.0:
            raise ValueError("world_from_object is singular")
        object.__setattr__(self, "world_from_object", matrix)


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of rays, all of shape (...).

    Attributes:
        t: distance along the ray in lengths of its direction; +inf where nothing is hit.
        primitive: index of the primitive, int32; −1 where nothing is hit.
        p_object: (..., 3) hit point in the primitive's own coordinates; NaN where nothing is hit.
        normal_world: (..., 3) unit normal, turned towards the ray's origin; NaN likewise.
    """

    t: FloatArray
    primitive: NDArray[np.int32]
    p_object: FloatArray
    normal_world: FloatArray

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Whether each ray hit anything."""
        return self.primitive >= 0


def placed(
    kind: Kind,
    center: ArrayLike,
    size: ArrayLike,
    rotation: ArrayLike | None = None,
    surface: int = 0,
) -> Primitive:
    """A primitive of full extent ``size`` (3,) about ``center`` (3,), turned by a 3×3 rotation."""
    matrix = np.eye(4)
    turn = np.eye(3) if rotation is None else np.asarray(rotation, np.float64)
    matrix[:3, :3] = turn * np.asarray(size, np.float64)
    matrix[:3, 3] = center
    return Primitive(kind, matrix, surface)


def cast(primitives: Sequence[Primitive], origins: ArrayLike, directions: ArrayLike) -> Hits:
    """First hits of rays.

    Args:
        origins: (3,) for all rays, or (..., 3).
        directions: (..., 3), any length; hits are at ``origin + t · direction`` with t > 0.
    """
    directions = np.asarray(directions, np.float64)
    shape = directions.shape[:-1]
    origins = np.asarray(origins, np.float64)
    if origins.ndim > 1:
        origins = np.broadcast_to(origins, directions.shape)
    rays = np.ascontiguousarray(directions.reshape(-1, 3))
    starts = np.ascontiguousarray(origins.reshape(-1, 3))
    if not primitives:
        nothing = np.full((*shape, 3), np.nan)
        return Hits(np.full(shape, np.inf), np.full(shape, -1, np.int32), nothing, nothing)
    kinds = np.array([KINDS.index(p.kind) for p in primitives], np.int64)
    maps = np.stack([np.linalg.inv(p.world_from_object)[:3] for p in primitives])
    t, index, p_object, normal = _cast(kinds, maps, starts, rays)
    return Hits(
        t.reshape(shape),
        index.reshape(shape),
        p_object.reshape(*shape, 3),
        normal.reshape(*shape, 3),
    )


def pixel_rays(camera: Camera, xy: ArrayLike) -> FloatArray:
    """(..., 3) world directions through pixels (..., 2), scaled so that t is z-depth."""
    xy = np.asarray(xy, np.float64)
    in_camera = cameras.unproject_to_camera(camera.K, xy, np.ones(xy.shape[:-1]))
    rays: FloatArray = in_camera @ camera.cam_from_world[:3, :3]
    return rays


def cast_pixels(primitives: Sequence[Primitive], camera: Camera, xy: ArrayLike) -> Hits:
    """First hits through pixels (..., 2); ``t`` is z-depth."""
    return cast(primitives, camera.world_from_cam[:3, 3], pixel_rays(camera, xy))


def render(primitives: Sequence[Primitive], camera: Camera) -> Hits:
    """First hits at every pixel's centre, shape (H, W); ``t`` is z-depth."""
    return cast_pixels(primitives, camera, cameras.query_xy(camera.hw))


def depth_of(hits: Hits) -> NDArray[np.float32]:
    """Float32 z-depth of rendered hits; 0 where nothing is hit."""
    return np.where(hits.hit, hits.t, 0.0).astype(np.float32)


def oracle(
    primitives: Sequence[Primitive], camera0: Camera, camera1: Camera, stride: int = 1
) -> Correspondence:
    """The exact correspondence of two views: each verdict comes from a ray, with confidence 1.

    A point of a two-sided ``rect`` that camera 1 sees from its other side is OCCLUDED, since it is
    not the same piece of surface. UNKNOWN never occurs.
    """
    return oracle_at(primitives, camera0, camera1, cameras.query_xy(camera0.hw, stride), stride)[0]


def oracle_at(
    primitives: Sequence[Primitive],
    camera0: Camera,
    camera1: Camera,
    xy0: FloatArray,
    stride: int = 1,
) -> tuple[Correspondence, FloatArray]:
    """Like ``oracle``, for queries at given pixels (h, w, 2); also how far in front occluders are.

    Returns:
        The correspondence, and (h, w) float64: 1 − (occluder's distance / the point's distance)
        from camera 1 where OCCLUDED, else 0.
    """
    hits = cast_pixels(primitives, camera0, xy0)
    eye0, eye1 = camera0.world_from_cam[:3, 3], camera1.world_from_cam[:3, 3]
    p_world = eye0 + pixel_rays(camera0, xy0) * np.where(hits.hit, hits.t, 1.0)[..., None]
    xy1, z1 = cameras.project(camera1, p_world)
    height, width = camera1.hw
    with np.errstate(invalid="ignore"):
        inside = (
            (xy1[..., 0] >= 0) & (xy1[..., 0] < width) & (xy1[..., 1] >= 0) & (xy1[..., 1] < height)
        )
    towards = np.where(hits.hit[..., None], p_world - eye1, [0.0, 0.0, 1.0])
    seen = cast(primitives, eye1, towards)
    same_side = np.einsum("...i,...i->...", np.nan_to_num(hits.normal_world), towards) <= 0
    free = (seen.t >= 1.0 - SAME_POINT) & same_side
    verdict = np.full(hits.t.shape, Verdict.VISIBLE, np.uint8)
    verdict[~free] = Verdict.OCCLUDED
    verdict[~inside] = Verdict.OUTSIDE
    verdict[z1 <= 0] = Verdict.BEHIND
    verdict[~hits.hit] = Verdict.NO_DEPTH
    landed = (verdict == Verdict.OCCLUDED) | (verdict == Verdict.VISIBLE)
    gap = np.where(verdict == Verdict.OCCLUDED, np.clip(1.0 - seen.t, 0.0, 1.0), 0.0)
    return (
        Correspondence(
            xy1=np.where(landed[..., None], xy1, np.nan).astype(np.float32),
            verdict=verdict,
            confidence=landed.astype(np.float32),
            stride=stride,
        ),
        gap,
    )


def orbit_rotation(angle_deg: float) -> FloatArray:
    """3×3 rotation about the world's z axis (up), for placing primitives."""
    half = np.radians(angle_deg) / 2
    return transforms.from_quaternion((0, 0, np.sin(half), np.cos(half)), np.zeros(3))[:3, :3]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _cast(kinds, maps, starts, rays):  # type: ignore[no-untyped-def]
    n = rays.shape[0]
    t_out = np.full(n, np.inf)
    index = np.full(n, -1, np.int32)
    p_object = np.full((n, 3), np.nan)
    normal = np.full((n, 3), np.nan)
    local_origin = np.empty(3)
    for i in range(n):
        start = starts[i if starts.shape[0] > 1 else 0]
        ray = rays[i]
        best = np.inf
        found = -1
        best_axis = 0
        for k in range(kinds.shape[0]):
            m = maps[k]
            ox = m[0, 0] * start[0] + m[0, 1] * start[1] + m[0, 2] * start[2] + m[0, 3]
            oy = m[1, 0] * start[0] + m[1, 1] * start[1] + m[1, 2] * start[2] + m[1, 3]
            oz = m[2, 0] * start[0] + m[2, 1] * start[1] + m[2, 2] * start[2] + m[2, 3]
            dx = m[0, 0] * ray[0] + m[0, 1] * ray[1] + m[0, 2] * ray[2]
            dy = m[1, 0] * ray[0] + m[1, 1] * ray[1] + m[1, 2] * ray[2]
            dz = m[2, 0] * ray[0] + m[2, 1] * ray[1] + m[2, 2] * ray[2]
            t, axis = first_hit(kinds[k], ox, oy, oz, dx, dy, dz)
            if t < best:
                best = t
                found = k
                best_axis = axis
                local_origin[0] = ox + t * dx
                local_origin[1] = oy + t * dy
                local_origin[2] = oz + t * dz
        if found >= 0:
            t_out[i] = best
            index[i] = found
            nx = ny = nz = 0.0
            px, py, pz = local_origin[0], local_origin[1], local_origin[2]
            if best_axis == 0:
                nx = 1.0
            elif best_axis == 1:
                ny = 1.0
            elif best_axis == 2:
                nz = 1.0
            elif best_axis == 3:  # round in all directions
                nx, ny, nz = px, py, pz
            else:  # a cylinder's side
                nx, ny = px, py
            m = maps[found]
            wx = m[0, 0] * nx + m[1, 0] * ny + m[2, 0] * nz
            wy = m[0, 1] * nx + m[1, 1] * ny + m[2, 1] * nz
            wz = m[0, 2] * nx + m[1, 2] * ny + m[2, 2] * nz
            length = np.sqrt(wx * wx + wy * wy + wz * wz)
            if wx * ray[0] + wy * ray[1] + wz * ray[2] > 0:
                length = -length
            normal[i, 0] = wx / length
            normal[i, 1] = wy / length
            normal[i, 2] = wz / length
            p_object[i, 0] = px
            p_object[i, 1] = py
            p_object[i, 2] = pz
    return t_out, index, p_object, normal


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def first_hit(kind, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Smallest t > 0 at which a ray hits a unit shape, and normal: 0–2 axis, 3 round, 4 side."""
    least = 1e-9
    if kind == 0:
        near, far = -np.inf, np.inf
        near_axis, far_axis = 0, 0
        for axis in range(3):
            o = ox if axis == 0 else (oy if axis == 1 else oz)
            d = dx if axis == 0 else (dy if axis == 1 else dz)
            if d == 0.0:
                if abs(o) > 0.5:
                    return np.inf, 0
                continue
            a = (-0.5 - o) / d
            b = (0.5 - o) / d
            if a > b:
                a, b = b, a
            if a > near:
                near, near_axis = a, axis
            if b < far:
                far, far_axis = b, axis
        if near > far or far <= least:
            return np.inf, 0
        if near > least:
            return near, near_axis
        return far, far_axis
    if kind == 1:
        a = dx * dx + dy * dy + dz * dz
        b = ox * dx + oy * dy + oz * dz
        c = ox * ox + oy * oy + oz * oz - 0.25
        disc = b * b - a * c
        if disc < 0.0:
            return np.inf, 0
        root = np.sqrt(disc)
        # the two roots without cancellation
        q = -(b + root) if b > 0 else -(b - root)
        if q == 0.0:
            return np.inf, 0
        t0, t1 = q / a, c / q
        if t0 > t1:
            t0, t1 = t1, t0
        if t0 > least:
            return t0, 3
        if t1 > least:
            return t1, 3
        return np.inf, 0
    if kind == 2:
        best = np.inf
        axis_out = 4
        a = dx * dx + dy * dy
        b = ox * dx + oy * dy
        c = ox * ox + oy * oy - 0.25
        disc = b * b - a * c
        if a > 0.0 and disc >= 0.0:
            root = np.sqrt(disc)
            q = -(b + root) if b > 0 else -(b - root)
            if q != 0.0:
                for t in (q / a, c / q):
                    if t > least and t < best and abs(oz + t * dz) <= 0.5:
                        best = t
        if dz != 0.0:
            for side in (-0.5, 0.5):
                t = (side - oz) / dz
                if t > least and t < best:
                    x, y = ox + t * dx, oy + t * dy
                    if x * x + y * y <= 0.25:
                        best = t
                        axis_out = 2
        return best, axis_out
    if dz == 0.0:
        return np.inf, 0
    t = -oz / dz
    if t > least and abs(ox + t * dx) <= 0.5 and abs(oy + t * dy) <= 0.5:
        return t, 2
    return np.inf, 0
