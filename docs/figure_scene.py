"""The scene of the figures: a small stage with everything that makes matching difficult."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.geometry.raycast import Primitive, orbit_rotation, placed
from cameo_data.synth import render
from cameo_data.synth.stage import Sky, Stage, Surface
from cameo_data.types import Camera, DepthMap

UP = (0.0, 0.0, 1.0)
_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])  # turns a rect's normal to −y
_SIDEWAYS = np.array([[0, 0, 1.0], [1.0, 0, 0], [0, 1.0, 0]])  # turns a rect's normal to +x
_SURFACES = {
    "floor": Surface("bricks", "earth", 0.62, 4),
    "wall": Surface("bricks", "pale", 0.75, 20),
    "side": Surface("voronoi", "pale", 0.5, 8),
    "poster": Surface("arcs", "vivid", 0.22, 3),
    "pole": Surface("weave", "vivid", 0.2, 5),
    "card": Surface("tiles", "vivid", 0.3, 11),
    "ball": Surface("voronoi", "vivid", 0.28, 2),
    "globe": Surface("dots", "vivid", 0.3, 14),
    "pebble": Surface("weave", "earth", 0.2, 6),
    "crate": Surface("glyphs", "pale", 0.24, 9),
}


@dataclass(frozen=True, eq=False)
class Shot:
    """A rendered view."""

    camera: Camera
    image: NDArray[np.uint8]
    depth: DepthMap


def stage() -> Stage:
    """Metres, z up: floor, two walls, poster, pole, slanted card, balls and a crate; open sky."""
    names = list(_SURFACES)

    def solid(
        kind: str, surface: str, centre: object, size: object, turn: object = None
    ) -> Primitive:
        return placed(kind, centre, size, turn, names.index(surface))  # type: ignore[arg-type]

    tilt = transforms.look_at((0, 0, 0), (1.0, 0.5, 0.6))[:3, :3].T
    solids = (
        solid("rect", "floor", (0, -0.5, 0), (7.4, 8, 1)),
        solid("rect", "wall", (0, 3.0, 1.15), (7.4, 2.3, 1), _UPRIGHT),
        solid("rect", "side", (-3.7, -0.5, 1.0), (7, 2.0, 1), _SIDEWAYS),
        solid("box", "poster", (0.75, 2.96, 1.25), (1.5, 0.04, 1.0)),
        solid("cylinder", "pole", (0.42, 0.9, 0.95), (0.07, 0.07, 1.9)),
        solid("box", "card", (-1.5, 0.7, 0.72), (0.9, 1.3, 0.03), tilt),
        solid("sphere", "ball", (-0.45, 0.15, 0.5), (1.0, 1.0, 1.0)),
        solid("sphere", "globe", (1.65, 1.25, 0.55), (1.1, 1.1, 1.1)),
        solid("sphere", "pebble", (0.85, -0.45, 0.22), (0.44, 0.44, 0.44)),
        solid("box", "crate", (-2.35, 1.9, 0.45), (0.9, 0.9, 0.9), orbit_rotation(24)),
    )
    sky = Sky((0.72, 0.78, 0.86), (0.2, 0.36, 0.66), 12)
    return Stage(solids, tuple(_SURFACES.values()), sky)


@cache
def _packed() -> object:
    return render.pack(stage())


def camera(
    eye: tuple[float, float, float],
    target: tuple[float, float, float],
    hw: tuple[int, int],
    focal: float = 0.9,
) -> Camera:
    """A camera at ``eye`` that looks at ``target``; ``focal`` is in image widths."""
    pixels = focal * hw[1]
    K = np.array([[pixels, 0, hw[1] / 2], [0, pixels, hw[0] / 2], [0, 0, 1.0]])
    return Camera(K, hw, transforms.look_at(eye, target, UP))


def shoot(view: Camera, samples: int = 24) -> Shot:
    """The scene as ``view`` sees it."""
    picture = render.render_packed(_packed(), view, samples)  # type: ignore[arg-type]
    return Shot(view, picture.image, DepthMap.from_array(picture.z))
