"""The kinds of scene: where objects are placed, and the ring in which cameras may move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cameo_data.synth import furniture
from cameo_data.synth.builder import FACING, Builder, Spot, tilted
from cameo_data.synth.stage import Stage


@dataclass(frozen=True)
class CameraSpace:
    """Where cameras may be and what they look at, about the world's z axis.

    Attributes:
        radii: half axes (x, y) of the ellipse that cameras circle on; it is free of solids.
        slack: how far cameras may move inwards from it, as a share of ``radii``.
        heights: lowest and highest camera.
        target: the middle of the scene that cameras look at.
        target_radius: how far from ``target`` a camera may look.
        fov_deg: least and most field of view across the image's shorter side.
    """

    radii: tuple[float, float]
    slack: float
    heights: tuple[float, float]
    target: tuple[float, float, float]
    target_radius: float
    fov_deg: tuple[float, float]


Layout = tuple[Stage, CameraSpace]

_SOLIDS: tuple[Literal["box", "sphere", "cylinder"], ...] = ("box", "sphere", "cylinder")
_SHAPES: tuple[Literal["box", "sphere", "cylinder", "pole", "card", "stack"], ...] = (
    *_SOLIDS,
    "pole",
    "card",
    "stack",
)


def objects(rng: np.random.Generator, texture_scale: float = 1.0) -> Layout:
    """A pile of objects on the ground under the sky, for cameras that circle it as in CO3D."""
    builder = Builder(rng, texture_scale)
    ground = builder.surface(cell=(0.3, 0.5))
    around = builder.at(0, 0)
    around.add("rect", (0, 0, 0), (14, 14, 1), ground)
    around.add("cylinder", (0, 0, 0.05), (2.2, 2.2, 0.1), builder.surface())
    for i in range(int(rng.integers(5, 9))):
        angle = i * 2.4 + rng.uniform(-0.4, 0.4)  # the golden angle spreads them
        radius = 0.26 * np.sqrt(i) * rng.uniform(0.9, 1.15)
        spot = builder.at(radius * np.cos(angle), radius * np.sin(angle), 0, 0.1)
        _object(spot)
    for i in range(int(rng.integers(7, 11))):
        angle = i * 0.75 + rng.uniform(-0.2, 0.2)
        far = rng.uniform(4.6, 6.2)
        spot = builder.at(far * np.cos(angle), far * np.sin(angle), rng.uniform(0, 360))
        size = rng.uniform(0.5, 1.5, 3)
        kind = _SOLIDS[int(rng.integers(3))]
        surface = builder.surface(cell=(0.25, 0.45))
        spot.add(kind, (0, 0, size[2] / 2), size, surface)
    radius = float(rng.uniform(2.3, 2.9))
    space = CameraSpace((radius, radius), 0.2, (0.5, 1.7), (0, 0, 0.42), 0.25, (42, 52))
    return builder.stage(), space


def _object(spot: Spot) -> None:
    """A solid, a thin pole with something on it, or a thin card."""
    rng, builder = spot.rng, spot.builder
    surface = builder.surface(cell=(0.1, 0.22))
    choice = _SHAPES[int(rng.integers(6))]
    if choice == "pole":
        top = rng.uniform(0.7, 1.1)
        spot.pole((0, 0, 0), (*rng.uniform(-0.2, 0.2, 2), top), rng.uniform(0.02, 0.05), surface)
        flag = builder.surface(cell=(0.08, 0.16))
        spot.add("box", (0.1, 0, 0.8 * top), (0.3, 0.01, 0.2), flag)
    elif choice == "card":
        size = (rng.uniform(0.4, 0.7), rng.uniform(0.3, 0.5), 0.012)
        spot.add("box", (0, 0, 0.34), size, surface, FACING @ tilted(rng, 30))
    elif choice == "stack":
        z, turn = 0.0, spot
        for _ in range(3):
            extent = rng.uniform(0.18, 0.4, 3) * (1, 1, 0.7)
            turn = turn.spot(0, 0, float(rng.uniform(0, 90)))
            turn.box((0, 0, z + extent[2] / 2), extent, builder.surface(cell=(0.1, 0.22)))
            z += float(extent[2])
    else:
        extent = rng.uniform(0.3, 0.6, 3)
        tilt = tilted(rng, 20 if choice != "sphere" else 60)
        spot.add(choice, (0, 0, 0.45 * extent[2]), extent, surface, tilt)


def room(rng: np.random.Generator, texture_scale: float = 1.0) -> Layout:
    """A furnished room, closed on all sides."""
    builder = Builder(rng, texture_scale)
    half = rng.uniform(2.3, 3.0, 2)
    height = float(rng.uniform(2.5, 2.9))
    middle = builder.at(0, 0)
    middle.add("rect", (0, 0, 0), (2 * half[0], 2 * half[1], 1), builder.surface(cell=(0.25, 0.4)))
    ceiling = builder.surface(tone="pale", cell=(0.4, 0.6))
    middle.add("rect", (0, 0, height), (2 * half[0], 2 * half[1], 1), ceiling)
    for wall, across in _walls(builder, half):
        paint = builder.surface(cell=(0.3, 0.5))
        wall.add("rect", (0, 0, height / 2), (2 * across, height, 1), paint, FACING)
        _furnish_wall(wall, across)
    rug = (rng.uniform(2.0, 2.8), rng.uniform(1.6, 2.2), 0.012)
    carpet = builder.at(0, 0, float(rng.uniform(-30, 30)))
    carpet.box((0, 0, 0.006), rug, builder.surface(furniture.CLOTH))
    _furnish_middle(builder)
    space = CameraSpace(
        (float(half[0] - 0.85), float(half[1] - 0.85)), 0.1, (1.15, 1.75), (0, 0, 0.75), 0.45,
        (60, 72),
    )  # fmt: skip
    return builder.stage(), space


def bare_room(rng: np.random.Generator, texture_scale: float = 1.0) -> Layout:
    """An empty room, seen from high up: correspondences follow almost from the cameras alone, and
    no point hides another."""
    builder = Builder(rng, texture_scale)
    half = rng.uniform(2.3, 3.0, 2)
    height = float(rng.uniform(2.5, 2.9))
    size = (2 * half[0], 2 * half[1], 1)
    for z in (0.0, height):
        builder.at(0, 0).add("rect", (0, 0, z), size, builder.surface(cell=(0.25, 0.4)))
    for wall, across in _walls(builder, half):
        paint = builder.surface(cell=(0.25, 0.4))
        wall.add("rect", (0, 0, height / 2), (2 * across, height, 1), paint, FACING)
    space = CameraSpace(
        (float(half[0] - 0.6), float(half[1] - 0.6)), 0.1, (1.4, 2.2), (0, 0, 0.5), 0.45, (60, 72)
    )
    return builder.stage(), space


def _walls(builder: Builder, half: NDArray[np.float64]) -> Iterator[tuple[Spot, float]]:
    """The four walls of a room with half sizes (x, y): the place of each, and half its width."""
    for side in range(4):
        yaw = 90.0 * side
        across, away = (half[0], half[1]) if side % 2 == 0 else (half[1], half[0])
        spot = builder.at(-away * np.sin(np.radians(yaw)), away * np.cos(np.radians(yaw)), yaw)
        yield spot, float(across)


def _furnish_wall(wall: Spot, across: float) -> None:
    """Two pieces in the halves of a wall; corners stay free for the furniture near them."""
    for x in (-0.45 * across, 0.45 * across):
        piece = wall.rng.choice(["shelf", "cupboard", "picture", "plant", "lamp"])
        spot = wall.spot(x, -0.01)
        if piece == "plant":
            furniture.plant(wall.spot(x, -0.28))
        elif piece == "lamp":
            furniture.lamp(wall.spot(x, -0.22))
        elif piece == "shelf":
            furniture.shelf(spot)
        elif piece == "cupboard":
            furniture.cupboard(spot)
        if piece in ("picture", "plant"):
            furniture.picture(spot)


def _furnish_middle(builder: Builder) -> None:
    """A table with chairs, or a bed, and a lamp beside it; only the lamp is above the cameras."""
    rng = builder.rng
    center = builder.at(0, 0, float(rng.uniform(0, 360)))
    if rng.random() < 0.7:
        width, depth = float(rng.uniform(1.0, 1.4)), float(rng.uniform(0.65, 0.8))
        furniture.table(center, width, depth)
        for y, yaw in ((-0.62, 180.0), (0.62, 0.0)):
            for x in (-0.27, 0.27):
                if rng.random() < 0.75:
                    seat = center.spot(x * width, y, yaw + float(rng.uniform(-20, 20)))
                    furniture.chair(seat)
    else:
        furniture.bed(center.spot(0, 0.95))
    furniture.lamp(center.spot(0.85, 0.3))


def outdoor(rng: np.random.Generator, texture_scale: float = 1.0) -> Layout:
    """A square between houses, with trees, cars, benches and lamp posts, under the sky."""
    builder = Builder(rng, 2.2 * texture_scale)
    builder.at(0, 0).add("rect", (0, 0, 0), (60, 60, 1), builder.surface(cell=(0.3, 0.45)))
    angle = 0.0
    while angle < 330.0:
        width = float(rng.uniform(3.5, 5.5))
        angle += np.degrees(width / 11.5) / 2
        heading = np.radians(angle)
        away = rng.uniform(9.8, 11.5)
        # a house's front faces the middle of the square
        front = builder.at(-away * np.sin(heading), away * np.cos(heading), angle)
        furniture.building(front, width)
        angle += np.degrees(width / 11.5) / 2 + rng.uniform(2, 10)
    pieces: list[Callable[[Spot], None]] = [
        furniture.tree, furniture.car, furniture.bench, furniture.lamp_post, furniture.car,
        furniture.tree, furniture.bench,
    ]  # fmt: skip
    for i, index in enumerate(rng.permutation(len(pieces))[: int(rng.integers(5, 8))]):
        around = i * 2.4 + rng.uniform(-0.2, 0.2)
        radius = 1.35 * np.sqrt(i + 0.3)
        x, y = radius * np.cos(around), radius * np.sin(around)
        pieces[int(index)](builder.at(x, y, float(rng.uniform(0, 360))))
    radius = float(rng.uniform(6.6, 7.4))
    space = CameraSpace((radius, radius), 0.06, (1.3, 3.0), (0, 0, 1.1), 0.9, (50, 62))
    return builder.stage(), space


# name -> (rng, factor on the size of all texture cells) -> its layout
LAYOUTS: dict[str, Callable[[np.random.Generator, float], Layout]] = {
    "objects": objects,
    "room": room,
    "outdoor": outdoor,
    "bare-room": bare_room,
}
# a mixed set takes these in turn
MIXED = ("objects", "room", "outdoor")
