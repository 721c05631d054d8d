"""Camera paths: around a scene as in CO3D, or hand-held through part of it as in a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from cameo_data import transforms
from cameo_data.geometry import raycast
from cameo_data.geometry.raycast import Primitive
from cameo_data.synth.layouts import CameraSpace
from cameo_data.types import Camera, FloatArray

PATHS = ("orbit", "video")

# Least distance of a camera to a solid, in metres, checked in CLEARANCE_RAYS directions.
CLEARANCE = 0.15
CLEARANCE_RAYS = 200


def camera_path(
    space: CameraSpace,
    path: str,
    frames: int,
    hw: tuple[int, int],
    rotation_range_deg: float,
    rng: np.random.Generator,
) -> list[Camera]:
    """Cameras in capture order; no two differ in rotation by more than ``rotation_range_deg``.

    ``orbit`` looks at the middle and, at 180°, closes the circle; ``video`` walks along a part of
    it with a drifting viewing direction and a slight roll. The arc is chosen so that the widest
    rotation between two cameras is ``rotation_range_deg`` (as near as the path's wobble allows).

    Raises:
        ValueError: unknown path, no frames, or a range outside (0, 180].
    """
    if path not in PATHS:
        raise ValueError(f"unknown path {path!r}; expected {', '.join(PATHS)}")
    if frames < 1:
        raise ValueError(f"{frames} frames; expected at least 1")
    if not 0 < rotation_range_deg <= 180:
        raise ValueError(f"rotation range is {rotation_range_deg}°; expected 0 to 180, without 0")
    poses_of = (_orbit if path == "orbit" else _video)(space, frames, rng)
    share = _share_for(poses_of, rotation_range_deg)
    K = _intrinsics(space, hw, rng)
    return [Camera(K, hw, pose) for pose in poses_of(share)]


def clear_of(primitives: Sequence[Primitive], cameras: Sequence[Camera]) -> bool:
    """Whether no camera is within ``CLEARANCE`` of a solid."""
    index = np.arange(CLEARANCE_RAYS) + 0.5
    z = 1 - 2 * index / CLEARANCE_RAYS
    turn = np.pi * (1 + 5**0.5) * index  # the golden angle: evenly spread on the sphere
    flat = np.sqrt(1 - z * z)
    directions = np.stack([flat * np.cos(turn), flat * np.sin(turn), z], -1)
    eyes = np.array([camera.world_from_cam[:3, 3] for camera in cameras])
    hits = raycast.cast(
        primitives, np.repeat(eyes, CLEARANCE_RAYS, 0), np.tile(directions, (len(cameras), 1))
    )
    return bool((hits.t > CLEARANCE).all())


def _share_for(poses_of: Callable[[float], list[FloatArray]], rotation_range_deg: float) -> float:
    """Largest share in (0, 1] of a path's arc at which no rotation exceeds the range."""

    def widest(share: float) -> float:
        return float(transforms.relative_rotation_deg(np.stack(poses_of(share))).max())

    low, high = 0.0, 1.0
    if rotation_range_deg == 180 or widest(high) <= rotation_range_deg:
        return high
    for _ in range(12):  # accurate to a 4096th of the arc
        middle = (low + high) / 2
        low, high = (middle, high) if widest(middle) <= rotation_range_deg else (low, middle)
    return low


def _orbit(
    space: CameraSpace, frames: int, rng: np.random.Generator
) -> Callable[[float], list[FloatArray]]:
    """Poses on a circle about the middle, given the share of the circle that is used."""
    start, direction = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    phase = rng.uniform(0, 2 * np.pi, 3)
    middle_height = rng.uniform(0.3, 0.7)
    look = np.array(space.target) + space.target_radius * rng.uniform(-0.3, 0.3, 3)

    def poses(share: float) -> list[FloatArray]:
        # a whole circle does not visit its start twice
        steps = np.arange(frames) / (frames if share == 1.0 else max(frames - 1, 1))
        turn = 2 * np.pi * share * direction * steps
        inwards = space.slack * (0.5 + 0.5 * np.sin(turn + phase[0]))
        height = middle_height + share * 0.3 * np.sin(2 * turn + phase[1])
        return [
            transforms.look_at(_on_ring(space, start + turn[i], inwards[i], height[i]), look)
            for i in range(frames)
        ]

    return poses


def _video(
    space: CameraSpace, frames: int, rng: np.random.Generator
) -> Callable[[float], list[FloatArray]]:
    """Poses of a hand-held walk, given the share of half a circle (and of all wobble) to use."""
    knots = 6
    start, direction = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    advance = np.cumsum(rng.uniform(0.4, 1.6, knots))
    advance = (advance - advance[0]) / (advance[-1] - advance[0])
    # smooth curves through random knots: inwards, height, look (3), roll
    wobble = rng.uniform(-1, 1, (knots, 6))

    def poses(share: float) -> list[FloatArray]:
        time = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
        at = np.linspace(0, 1, knots)
        curve = np.clip(CubicSpline(at, wobble)(time), -1, 1)
        turn = start + direction * np.pi * share * CubicSpline(at, advance)(time)
        look = np.array(space.target) + share * space.target_radius * curve[:, 2:5]
        out = []
        for i in range(frames):
            inwards = space.slack * (0.5 + 0.5 * curve[i, 0])
            eye = _on_ring(space, turn[i], inwards, 0.5 + 0.5 * share * curve[i, 1])
            out.append(
                _rolled(np.radians(5 * share * curve[i, 5])) @ transforms.look_at(eye, look[i])
            )
        return out

    return poses


def _on_ring(space: CameraSpace, azimuth: float, inwards: float, height: float) -> FloatArray:
    """A place on the camera ellipse, moved inwards by a share of it, at a share of the heights."""
    low, high = space.heights
    x, y = np.array(space.radii) * (1 - inwards) * (np.cos(azimuth), np.sin(azimuth))
    return np.array([x, y, low + (high - low) * height])


def _rolled(angle: float) -> FloatArray:
    """A rotation about the optical axis."""
    out = np.eye(4)
    out[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return out


def _intrinsics(space: CameraSpace, hw: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """K with a random field of view; its centre is slightly off, as in real cameras."""
    short = min(hw)
    focal = 0.5 * short / np.tan(np.radians(rng.uniform(*space.fov_deg)) / 2)
    off = 0.02 * short * rng.uniform(-1, 1, 2)
    return np.array([[focal, 0, hw[1] / 2 + off[0]], [0, focal, hw[0] / 2 + off[1]], [0, 0, 1]])
