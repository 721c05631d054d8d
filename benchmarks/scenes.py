"""Exact scenes and view pairs on which the geometry core is measured (also by the tests)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cameo_data import transforms
from cameo_data.geometry.raycast import Primitive, orbit_rotation, placed
from cameo_data.types import Camera

UP = (0.0, 0.0, 1.0)


def acceptance_scene(seed: int = 0) -> list[Primitive]:
    """Floor, two walls, a poster 2 % in front of its wall, a pole, a slanted card, spheres, sky.

    Metres, z up. Nothing closes the scene behind the cameras or above them.
    """
    rng = np.random.default_rng(seed)
    jitter = rng.uniform(-0.1, 0.1, (8, 3))
    tilt = transforms.look_at((0, 0, 0), (1.0, 0.5, 0.7))[:3, :3].T
    return [
        placed("rect", (0, 0, 0), (7, 7, 1)),  # floor
        placed("rect", (0, 3.0, 1.1), (7, 2.2, 1), _facing_y()),  # back wall
        placed("rect", (-3.2, 0, 1.0), (6, 2.0, 1), _facing_x()),  # side wall
        # cameras stand 4.5–6 m from the back wall: 0.1 m is 2 % of that
        placed("box", (0.6 + jitter[0, 0], 2.9, 1.2), (1.3, 0.02, 0.9)),  # poster
        placed("cylinder", (0.45 + jitter[1, 0], 0.9, 0.9), (0.04, 0.04, 1.8)),  # thin pole
        placed("box", (-1.2 + jitter[2, 0], 0.6, 0.8), (0.9, 1.3, 0.02), tilt),  # slanted card
        placed("sphere", (-0.3, 0.2 + jitter[3, 1], 0.5), (0.9, 0.9, 0.9)),
        placed("sphere", (1.5, 1.2 + jitter[4, 1], 0.8), (0.8, 0.8, 0.8)),
        placed("sphere", (0.9, -0.3 + jitter[5, 1], 0.25), (0.4, 0.4, 0.4)),
        placed("box", (-2.1, 1.9, 0.4), (0.7, 0.7, 0.8), orbit_rotation(25 + 20 * jitter[6, 0])),
    ]


@dataclass(frozen=True)
class ViewPair:
    """Two cameras and what moves between them."""

    name: str
    camera0: Camera
    camera1: Camera


def view_pairs(hw: tuple[int, int]) -> Iterator[ViewPair]:
    """Orbits of 5–60°, a dolly, a roll of 40° and a zoom, in both directions."""
    target = np.array([0.0, 0.8, 0.75])
    focal = 0.9 * hw[1]

    def at(
        azimuth_deg: float,
        radius: float = 3.4,
        height: float = 1.45,
        roll_deg: float = 0.0,
        zoom: float = 1.0,
    ) -> Camera:
        a = np.radians(azimuth_deg)
        eye = np.array([radius * np.sin(a), target[1] - radius * np.cos(a), height])
        cam_from_world = transforms.look_at(eye, target, UP)
        r = np.radians(roll_deg)
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]]
        # off-centre on purpose: nothing lands on half-pixels by symmetry
        K = np.array(
            [[focal * zoom, 0, hw[1] / 2 + 3.3], [0, focal * zoom, hw[0] / 2 - 2.7], [0, 0, 1]]
        )
        return Camera(K, hw, turn @ cam_from_world)

    pairs = [(f"orbit {d}°", at(-d / 2 + 7), at(d / 2 + 7)) for d in (5, 10, 20, 30, 45, 60)]
    pairs += [
        ("dolly", at(4, radius=3.8), at(4, radius=2.9)),
        ("roll 40°", at(-6), at(2, roll_deg=40.0)),
        ("zoom", at(-4), at(4, zoom=1.7)),
    ]
    for name, camera0, camera1 in pairs:
        yield ViewPair(name, camera0, camera1)
        yield ViewPair(f"{name} back", camera1, camera0)


def _facing_y() -> np.ndarray:
    """Object x → world x, object y → world z, object z → world −y."""
    return np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])


def _facing_x() -> np.ndarray:
    """Object x → world y, object y → world z, object z → world x."""
    return np.array([[0, 0, 1.0], [1.0, 0, 0], [0, 1.0, 0]])
