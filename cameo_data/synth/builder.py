"""Builds a stage from solids, in metres and in the coordinates of the object being built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cameo_data.geometry.raycast import Kind, Primitive, orbit_rotation, placed
from cameo_data.synth import textures
from cameo_data.synth.stage import Sky, Stage, Surface

# Object x and y along the wall and up, object z into the room.
FACING = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])


@dataclass
class Builder:
    """Collects primitives and surfaces; every choice comes from ``rng``.

    Attributes:
        cell_scale: factor on all cell sizes; larger objects have larger patterns.
    """

    rng: np.random.Generator
    cell_scale: float = 1.0
    primitives: list[Primitive] = field(default_factory=list)
    surfaces: list[Surface] = field(default_factory=list)

    def surface(
        self,
        patterns: Sequence[str] = textures.PATTERNS,
        tone: str | None = None,
        cell: tuple[float, float] = (0.14, 0.3),
    ) -> int:
        """Index of a new surface, drawn from the given patterns and range of cell sizes."""
        self.surfaces.append(
            Surface(
                pattern=str(self.rng.choice(list(patterns))),
                tone=tone or str(self.rng.choice(textures.TONES, p=(0.6, 0.2, 0.2))),
                cell=round(self.cell_scale * float(self.rng.uniform(*cell)), 3),
                seed=int(self.rng.integers(1 << 40)),
            )
        )
        return len(self.surfaces) - 1

    def at(self, x: float, y: float, yaw_deg: float = 0.0, z: float = 0.0) -> Spot:
        """A place to build at, with its x axis turned by ``yaw_deg`` about the world's z."""
        return Spot(self, np.array([x, y, z]), orbit_rotation(yaw_deg))

    def stage(self) -> Stage:
        """The stage that was built, under a new sky."""
        warm = self.rng.uniform(0, 1)
        horizon = (0.55 + 0.3 * warm, 0.6 + 0.1 * warm, 0.75 - 0.2 * warm)
        zenith = tuple(np.array((0.06, 0.16, 0.5)) * self.rng.uniform(0.7, 1.6))
        sky = Sky(_rounded(horizon), _rounded(zenith), int(self.rng.integers(1 << 40)))
        return Stage(tuple(self.primitives), tuple(self.surfaces), sky)


def _rounded(rgb: Sequence[float]) -> tuple[float, float, float]:
    return (round(rgb[0], 4), round(rgb[1], 4), round(rgb[2], 4))


@dataclass(frozen=True, eq=False)
class Spot:
    """A local frame: x, y on the ground, z up; centres and rotations are relative to it."""

    builder: Builder
    origin: NDArray[np.float64]
    rotation: NDArray[np.float64]

    @property
    def rng(self) -> np.random.Generator:
        """The builder's random generator."""
        return self.builder.rng

    def spot(self, x: float, y: float, yaw_deg: float = 0.0, z: float = 0.0) -> Spot:
        """A place relative to this one."""
        origin = self.origin + self.rotation @ np.array([x, y, z])
        return Spot(self.builder, origin, self.rotation @ orbit_rotation(yaw_deg))

    def add(
        self,
        kind: Kind,
        center: ArrayLike,
        size: ArrayLike,
        surface: int,
        rotation: ArrayLike | None = None,
    ) -> None:
        """A primitive of full extent ``size`` about ``center``."""
        turn = self.rotation if rotation is None else self.rotation @ np.asarray(rotation)
        where = self.origin + self.rotation @ np.asarray(center, np.float64)
        self.builder.primitives.append(placed(kind, where, size, turn, surface))

    def box(self, center: ArrayLike, size: ArrayLike, surface: int) -> None:
        """A box."""
        self.add("box", center, size, surface)

    def pole(self, start: ArrayLike, end: ArrayLike, diameter: float, surface: int) -> None:
        """A cylinder from one point to another."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        along = b - a
        length = float(np.linalg.norm(along))
        rotation = _turn_z_to(along / length)
        self.add("cylinder", (a + b) / 2, (diameter, diameter, length), surface, rotation)


def _turn_z_to(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation whose third column is ``direction`` (unit)."""
    helper = np.eye(3)[int(np.argmin(np.abs(direction)))]
    x = np.cross(helper, direction)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(direction, x), direction], 1)


def tilted(rng: np.random.Generator, most_deg: float = 35.0) -> NDArray[np.float64]:
    """A rotation by a random yaw and a random tilt of up to ``most_deg``."""
    tilt, heading = np.radians(rng.uniform(0, most_deg)), rng.uniform(0, 2 * np.pi)
    up = np.array([np.sin(tilt) * np.cos(heading), np.sin(tilt) * np.sin(heading), np.cos(tilt)])
    return _turn_z_to(up) @ orbit_rotation(float(rng.uniform(0, 360)))
