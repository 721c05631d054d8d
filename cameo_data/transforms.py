"""Rigid transforms as 4×4 float64 matrices, named ``a_from_b`` and read right to left."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# OpenGL cameras look along −z with y up, OpenCV cameras along +z with y down.
OPENCV_FROM_OPENGL: FloatArray = np.diag([1.0, -1.0, -1.0, 1.0])

# Largest entry of |R Rᵀ − I| that still counts as a rotation: poses printed with four decimals
# reach 1e-4 per entry, and 7-Scenes' tracker drifts to about 1e-3.
ROTATION_TOLERANCE = 5e-3


def invert(b_from_a: ArrayLike) -> FloatArray:
    """``a_from_b``, shape (..., 4, 4), from rigid transforms ``b_from_a`` of the same shape.

    Example:
        >>> invert([[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])[:3, 3].tolist()
        [-5.0, -6.0, -7.0]
    """
    m = np.asarray(b_from_a, np.float64)
    out = np.zeros_like(m)
    rotation = np.swapaxes(m[..., :3, :3], -1, -2)
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, m[..., :3, 3])
    out[..., 3, 3] = 1.0
    return out


def apply(b_from_a: ArrayLike, p_a: ArrayLike) -> FloatArray:
    """Points ``p_b``, shape (..., 3), from points ``p_a``, shape (..., 3).

    Args:
        b_from_a: (..., 4, 4) rigid transforms.
        p_a: (..., 3). The leading dimensions broadcast with those of the transforms: one transform
            moves any number of points; (B, 4, 4) moves (B, 3), one point each, and as
            ``b_from_a[:, None]`` it moves (B, N, 3).

    Raises:
        ValueError: shapes that do not broadcast.

    Example:
        >>> half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
        >>> apply(half_turn, [[1, 2, 3], [4, 5, 6]]).tolist()
        [[-1.0, -2.0, 3.0], [-4.0, -5.0, 6.0]]
    """
    m, points = np.asarray(b_from_a, np.float64), np.asarray(p_a, np.float64)
    if m.shape[-2:] != (4, 4):
        raise ValueError(f"transforms have shape {m.shape}; expected (..., 4, 4)")
    if points.shape[-1:] != (3,):
        raise ValueError(f"points have shape {points.shape}; expected (..., 3)")
    moved: FloatArray
    if m.ndim == 2:
        moved = points @ m[:3, :3].T + m[:3, 3]
        return moved
    try:
        moved = np.einsum("...ij,...j->...i", m[..., :3, :3], points) + m[..., :3, 3]
    except ValueError:
        raise ValueError(
            f"transforms {m.shape} and points {points.shape} do not broadcast; use "
            "b_from_a[:, None] to move many points by each transform"
        ) from None
    return moved


def rotation_angle_deg(b_from_a: ArrayLike) -> FloatArray:
    """Angle of the rotation part in degrees, in [0, 180], shape (...).

    Uses ``atan2`` of the quaternion's two parts, written without square-root cancellation. It is
    exact to rounding near 0° and 180°, where ``arccos`` of the trace is not.
    """
    r = np.asarray(b_from_a, np.float64)[..., :3, :3]
    axis = np.stack(
        [
            r[..., 2, 1] - r[..., 1, 2],
            r[..., 0, 2] - r[..., 2, 0],
            r[..., 1, 0] - r[..., 0, 1],
        ],
        -1,
    )
    twice_sin = np.linalg.norm(axis, axis=-1)
    twice_cos = np.trace(r, axis1=-2, axis2=-1) - 1.0
    angle: FloatArray = np.degrees(np.arctan2(twice_sin, twice_cos))
    return angle


def relative_rotation_deg(cam_from_world: ArrayLike) -> FloatArray:
    """(V, V) rotation angles in degrees between all views, from (V, 4, 4) transforms."""
    m = np.asarray(cam_from_world, np.float64)[:, :3, :3]
    relative = np.einsum("aij,bkj->abik", m, m)
    angles = rotation_angle_deg(relative)
    np.fill_diagonal(angles, 0.0)
    return angles


def from_quaternion(xyzw: ArrayLike, translation: ArrayLike) -> FloatArray:
    """4×4 transform from a quaternion (x, y, z, w), normalised here, and a translation.

    Raises:
        ValueError: the quaternion has no length or is not finite.
    """
    # not scipy: other last bits, which shards store (docs/decisions/008)
    q = np.asarray(xyzw, np.float64)
    with np.errstate(all="ignore"):  # huge entries overflow to inf, which has no direction
        norm = np.linalg.norm(q)
    if not np.isfinite(norm) or norm < 1e-12:
        raise ValueError(f"quaternion {q.tolist()} has no direction")
    x, y, z, w = q / norm
    out = np.eye(4)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, 3] = translation
    return out


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> FloatArray:
    """``cam_from_world`` of an OpenCV camera at ``eye`` looking at ``target``, with ``up`` upwards.

    Raises:
        ValueError: the viewing direction is zero or parallel to ``up``.
    """
    eye, target, up = (np.asarray(v, np.float64) for v in (eye, target, up))
    forward = target - eye
    right = np.cross(forward, up)
    if np.linalg.norm(right) <= 1e-9 * np.linalg.norm(up) * np.linalg.norm(forward):
        raise ValueError("viewing direction is zero or parallel to the up vector")
    forward = forward / np.linalg.norm(forward)
    right = right / np.linalg.norm(right)
    down = np.cross(forward, right)
    out = np.eye(4)
    out[:3, :3] = np.stack([right, down, forward])
    out[:3, 3] = -out[:3, :3] @ eye
    return out


def rotation_defect(b_from_a: ArrayLike) -> str | None:
    """What keeps a 4×4 matrix from being a rigid transform, in words, or None.

    Reports non-finite entries, a wrong shape or last row, a scale, a reflection, a non-rotation.
    """
    m = np.asarray(b_from_a, np.float64)
    if m.shape != (4, 4):
        return f"matrix of shape {m.shape}"
    if not np.isfinite(m).all():
        return "matrix with NaN or infinite entries"
    if not np.allclose(m[3], [0, 0, 0, 1], atol=1e-6):
        return f"matrix with last row {m[3].tolist()}"
    rotation = m[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):  # huge entries give inf or NaN
        determinant = float(np.linalg.det(rotation))
        defect = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if not defect <= ROTATION_TOLERANCE:
        return f"matrix whose 3×3 part is not a rotation (|R·Rᵀ − I| = {defect:.2g})"
    return "reflection (determinant −1)" if determinant < 0 else None


def uniform_scale(b_from_a: ArrayLike) -> float | None:
    """The factor s > 0 of a 3×3 part that is s times a rotation; None for any other.

    The tolerance is that of ``rotation_defect``, relative to s.
    """
    m = np.asarray(b_from_a, np.float64)[:3, :3]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = float(np.cbrt(np.linalg.det(m)))
        if not 1e-9 < scale < 1e9:
            return None
        rotation = m / scale
        defect = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    return scale if defect <= ROTATION_TOLERANCE else None


def nearest_rotation(b_from_a: ArrayLike) -> FloatArray:
    """The rigid transform nearest to a nearly rigid one (polar decomposition of its 3×3 part)."""
    m = np.array(b_from_a, np.float64)
    # not scipy: other last bits, as in from_quaternion
    u, _, vt = np.linalg.svd(m[:3, :3])
    m[:3, :3] = u @ vt
    return m
