"""Objects for scenes, each built at a ``Spot``: x across, y to the back, z up.

Objects at a wall have their back at y = 0. Sizes are everyday ones, in metres. No two visible faces
share a plane, since rounding would decide which of them a ray hits.
"""

from __future__ import annotations

import numpy as np

from cameo_data.synth.builder import FACING, Spot, tilted

WOOD = ("noise", "bricks", "weave")
CLOTH = ("weave", "dots", "voronoi", "arcs", "tiles")
PRINTED = ("glyphs", "tiles", "dots", "arcs")


def table(spot: Spot, width: float, depth: float) -> None:
    """A table with four thin legs and a few things on it."""
    rng, height = spot.rng, float(spot.rng.uniform(0.68, 0.78))
    top = spot.builder.surface(CLOTH)
    legs = spot.builder.surface(WOOD, "earth")
    spot.box((0, 0, height - 0.02), (width, depth, 0.04), top)
    for x in (-1.0, 1.0):
        for y in (-1.0, 1.0):
            foot = (x * (width / 2 - 0.06), y * (depth / 2 - 0.06))
            spot.pole((*foot, 0), (*foot, height - 0.04), 0.045, legs)
    for i in range(int(rng.integers(2, 5))):
        across = (i + rng.uniform(0.2, 0.8)) / 5 * width - 0.5 * width
        along = rng.uniform(-0.3, 0.3) * depth
        knick_knack(spot.spot(across, along, float(rng.uniform(0, 360)), height))


def knick_knack(spot: Spot) -> None:
    """A ball, a vase with a stalk, a pile of books or a picture frame."""
    rng, cover = spot.rng, spot.builder.surface(cell=(0.06, 0.14))
    choice = rng.integers(4)
    if choice == 0:
        d = rng.uniform(0.12, 0.26)
        spot.add("sphere", (0, 0, d / 2), (d, d, d), cover)
    elif choice == 1:
        d, h = rng.uniform(0.09, 0.16), rng.uniform(0.16, 0.3)
        spot.add("cylinder", (0, 0, h / 2), (d, d, h), cover)
        spot.pole((0, 0, h), (rng.uniform(-0.1, 0.1), 0.05, h + 0.22), 0.014, cover)
    elif choice == 2:
        z = 0.0
        for _ in range(int(rng.integers(2, 5))):
            thick = float(rng.uniform(0.02, 0.05))
            book = spot.spot(0, 0, float(rng.uniform(-25, 25)), z)
            size = (rng.uniform(0.16, 0.24), rng.uniform(0.12, 0.18), thick)
            book.box((0, 0, thick / 2), size, spot.builder.surface(PRINTED, cell=(0.05, 0.1)))
            z += thick
    else:
        lean = FACING @ tilted(rng, 1.0)
        spot.add("box", (0, 0, 0.13), (0.2, 0.25, 0.012), cover, lean)


def chair(spot: Spot) -> None:
    """A seat on four legs with a back of thin slats at y = 0.2."""
    cloth, wood = spot.builder.surface(CLOTH), spot.builder.surface(WOOD, "earth")
    spot.box((0, 0, 0.45), (0.42, 0.42, 0.04), cloth)
    for x in (-0.18, 0.18):
        spot.pole((x, -0.18, 0), (x, -0.18, 0.44), 0.035, wood)
        spot.pole((x, 0.19, 0), (x, 0.21, 0.92), 0.035, wood)
    for z in (0.62, 0.74, 0.86):
        spot.box((0, 0.205, z), (0.36, 0.015, 0.06), cloth)


def shelf(spot: Spot) -> None:
    """An open shelf against a wall: boards, sides, and books in many colours."""
    rng, builder = spot.rng, spot.builder
    wood = builder.surface(WOOD, "earth")
    width, height, depth = rng.uniform(0.8, 1.2), rng.uniform(1.3, 1.9), 0.3
    covers = [builder.surface(PRINTED, cell=(0.06, 0.14)) for _ in range(4)]
    for x in (-width / 2, width / 2):
        spot.box((x, -depth / 2, height / 2), (0.03, depth, height), wood)
    spot.box((0, -0.01, height / 2), (width, 0.02, height), builder.surface(CLOTH))
    boards = int(rng.integers(4, 6))
    for i in range(boards):
        z = height * i / (boards - 1)
        spot.box((0, -depth / 2, max(0.02, z - 0.015)), (width, depth - 0.02, 0.03), wood)
        x = -width / 2 + 0.03
        while i < boards - 1 and x < width / 2 - 0.25:
            w, h = rng.uniform(0.07, 0.22), rng.uniform(0.17, 0.26)
            cover = covers[int(rng.integers(4))]
            spot.box((x + w / 2, -0.14, max(0.035, z) + h / 2), (w, 0.2, h), cover)
            x += w + rng.choice([0.004, 0.15])


def cupboard(spot: Spot) -> None:
    """A closed cupboard with two doors, handles and a vase on top."""
    rng, builder = spot.rng, spot.builder
    width, height, depth = rng.uniform(0.9, 1.3), rng.uniform(0.85, 1.9), 0.42
    spot.box((0, -depth / 2, height / 2), (width, depth, height), builder.surface(cell=(0.2, 0.4)))
    handle = builder.surface(("noise",), "vivid")
    for x in (-1, 1):
        door = (x * width / 4, -depth - 0.01, height / 2)
        spot.box(door, (width / 2 - 0.03, 0.02, height - 0.1), builder.surface(cell=(0.2, 0.4)))
        grip = x * 0.07
        spot.pole(
            (grip, -depth - 0.05, height * 0.45), (grip, -depth - 0.05, height * 0.6), 0.02, handle
        )
    knick_knack(spot.spot(0, -depth / 2, 0, height))


def bed(spot: Spot) -> None:
    """A bed with its head at the wall, a blanket and two pillows."""
    builder, rng = spot.builder, spot.rng
    width = float(rng.uniform(1.0, 1.5))
    spot.box((0, -0.95, 0.18), (width, 1.9, 0.2), builder.surface(WOOD, "earth"))
    spot.box((0, -1.0, 0.36), (width - 0.06, 1.75, 0.2), builder.surface(CLOTH))
    spot.box((0, -1.2, 0.42), (width + 0.02, 1.2, 0.12), builder.surface(CLOTH))
    spot.box((0, -0.03, 0.5), (width + 0.06, 0.05, 1.0), builder.surface(WOOD))
    for x in (-0.25, 0.25):
        cloth = builder.surface(CLOTH)
        spot.add("sphere", (x * width, -0.3, 0.5), (0.45 * width, 0.34, 0.17), cloth)


def lamp(spot: Spot) -> None:
    """A standing lamp: foot, thin pole, shade."""
    builder, height = spot.builder, float(spot.rng.uniform(1.2, 1.7))
    metal = builder.surface(("noise", "bricks"))
    spot.add("cylinder", (0, 0, 0.02), (0.28, 0.28, 0.04), metal)
    spot.pole((0, 0, 0.04), (0, 0, height), 0.03, metal)
    shade = builder.surface(CLOTH)
    spot.add("cylinder", (0, 0, height + 0.1), (0.32, 0.32, 0.24), shade)


def plant(spot: Spot) -> None:
    """A pot with stalks and round leaves."""
    builder, rng = spot.builder, spot.rng
    spot.add("cylinder", (0, 0, 0.17), (0.3, 0.3, 0.34), builder.surface(cell=(0.08, 0.16)))
    leaf, stalk = builder.surface(("noise", "voronoi")), builder.surface(("noise",), "earth")
    for _ in range(int(rng.integers(4, 7))):
        tip = np.array([rng.uniform(-0.22, 0.22), rng.uniform(-0.22, 0.22), rng.uniform(0.6, 1.1)])
        spot.pole((0, 0, 0.34), tip, 0.02, stalk)
        spot.add("sphere", tip, (0.24, 0.16, 0.05), leaf, tilted(rng, 60))


def picture(spot: Spot) -> None:
    """A framed picture 2 cm in front of the wall at y = 0."""
    rng, builder = spot.rng, spot.builder
    width, height = rng.uniform(0.4, 1.0), rng.uniform(0.35, 0.7)
    z = rng.uniform(1.35, 1.7)
    spot.box((0, -0.01, z), (width + 0.08, 0.02, height + 0.08), builder.surface(WOOD, "earth"))
    size = (width, 0.012, height)
    spot.box((0, -0.025, z), size, builder.surface(PRINTED, cell=(0.08, 0.2)))


def tree(spot: Spot) -> None:
    """A trunk with a few balls of leaves."""
    rng, builder = spot.rng, spot.builder
    height = float(rng.uniform(1.6, 2.6))
    spot.pole((0, 0, 0), (0, 0, height), 0.22, builder.surface(WOOD, "earth"))
    for _ in range(int(rng.integers(2, 5))):
        d = rng.uniform(1.0, 1.7)
        center = (*rng.uniform(-0.5, 0.5, 2), height + rng.uniform(0.1, 0.9))
        spot.add("sphere", center, (d, d, 0.85 * d), builder.surface(("noise", "voronoi", "dots")))


def car(spot: Spot) -> None:
    """A small van: body, cabin, four wheels and a board on its roof."""
    builder = spot.builder
    body, wheel = builder.surface(), builder.surface(("arcs", "tiles"), cell=(0.1, 0.2))
    spot.box((0, 0, 0.55), (2.4, 1.2, 0.55), body)
    spot.box((-0.2, 0, 1.05), (1.5, 1.1, 0.5), builder.surface())
    for x in (-0.75, 0.75):
        for y in (-0.6, 0.6):
            spot.pole((x, y - 0.08, 0.3), (x, y + 0.08, 0.3), 0.58, wheel)
    spot.box((-0.2, 0, 1.45), (1.2, 0.04, 0.26), builder.surface(PRINTED, cell=(0.1, 0.2)))


def lamp_post(spot: Spot) -> None:
    """A thin tall post with a sign and a globe."""
    builder, height = spot.builder, float(spot.rng.uniform(2.2, 3.2))
    metal = builder.surface(("noise", "bricks"))
    spot.pole((0, 0, 0), (0, 0, height), 0.07, metal)
    spot.add("sphere", (0, 0, height + 0.14), (0.32, 0.32, 0.32), builder.surface())
    spot.box((0.25, 0, height * 0.7), (0.5, 0.02, 0.36), builder.surface(PRINTED))


def bench(spot: Spot) -> None:
    """A seat and a back of thin boards on two blocks."""
    builder = spot.builder
    wood, stone = builder.surface(WOOD), builder.surface(("noise", "voronoi"))
    for y in (-0.16, 0.0, 0.16):
        spot.box((0, y, 0.45), (1.5, 0.12, 0.04), wood)
    for z in (0.62, 0.78):
        spot.box((0, 0.25, z), (1.5, 0.03, 0.11), wood)
    for x in (-0.55, 0.55):
        spot.box((x, 0, 0.21), (0.12, 0.42, 0.43), stone)
        spot.box((x, 0.26, 0.45), (0.05, 0.04, 0.9), stone)


def building(spot: Spot, width: float) -> None:
    """A house front: different storeys, a door, a sign, and a chimney."""
    rng, builder = spot.rng, spot.builder
    z = 0.0
    for _ in range(int(rng.integers(2, 4))):
        height = float(rng.uniform(1.5, 2.6))
        spot.box((0, 1.5, z + height / 2), (width, 3, height), builder.surface(cell=(0.25, 0.5)))
        z += height
        width *= float(rng.uniform(0.75, 1.0))
    spot.box((rng.uniform(-1, 1), -0.03, 0.9), (0.9, 0.1, 1.8), builder.surface(WOOD))
    spot.box((rng.uniform(-1, 1), -0.3, 2.3), (1.4, 0.5, 0.5), builder.surface(PRINTED))
    spot.box((rng.uniform(-1, 1), 1.2, z + 0.5), (0.4, 0.4, 1.0), builder.surface(("bricks",)))
