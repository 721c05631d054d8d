"""The content of a procedural scene: solids, their surfaces, and the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.geometry.raycast import Primitive
from cameo_data.synth import textures


@dataclass(frozen=True)
class Surface:
    """A material.

    Attributes:
        pattern: name in ``textures.PATTERNS``.
        tone: name in ``textures.TONES``.
        cell: size of the pattern's cell in metres.
        seed: chooses colours and cells.

    Raises:
        ValueError: unknown pattern or tone, or a cell that is not positive.
    """

    pattern: str
    tone: str
    cell: float
    seed: int

    def __post_init__(self) -> None:
        if self.pattern not in textures.PATTERNS:
            raise ValueError(
                f"unknown pattern {self.pattern!r}; expected {', '.join(textures.PATTERNS)}"
            )
        if self.tone not in textures.TONES:
            raise ValueError(f"unknown tone {self.tone!r}; expected {', '.join(textures.TONES)}")
        if not (np.isfinite(self.cell) and self.cell > 0):
            raise ValueError(f"cell is {self.cell}; expected a positive length")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed is {self.seed}; expected 0 to 2⁶³ − 1")


@dataclass(frozen=True)
class Sky:
    """What rays that hit nothing see: linear RGB at the horizon and overhead, and cloud noise."""

    horizon: tuple[float, float, float]
    zenith: tuple[float, float, float]
    seed: int


@dataclass(frozen=True, eq=False)
class Stage:
    """Everything that can be seen, in metres, z up.

    Raises:
        ValueError: a primitive names a surface that does not exist.
    """

    primitives: tuple[Primitive, ...]
    surfaces: tuple[Surface, ...]
    sky: Sky

    def __post_init__(self) -> None:
        for primitive in self.primitives:
            if not 0 <= primitive.surface < len(self.surfaces):
                raise ValueError(
                    f"a primitive has surface {primitive.surface}; "
                    f"expected 0 to {len(self.surfaces) - 1}"
                )


@dataclass(frozen=True, eq=False)
class PackedStage:
    """A stage as the arrays that the render kernel reads; K primitives.

    Attributes:
        kinds: (K,) index into ``raycast.KINDS``.
        maps: (K, 3, 4) object_from_world.
        scales: (K, 3) lengths of the object's unit axes in metres.
        corners: (K, 8, 3) world corners of the unit cube around it.
        patterns, cells, seeds: (K,) material; the seed differs from primitive to primitive.
        palettes: (K, COLOURS + 1, 3) linear RGB.
    """

    kinds: NDArray[np.int64]
    maps: NDArray[np.float64]
    scales: NDArray[np.float64]
    corners: NDArray[np.float64]
    patterns: NDArray[np.int64]
    cells: NDArray[np.float64]
    seeds: NDArray[np.uint64]
    palettes: NDArray[np.float64]
    sky: NDArray[np.float64]
    sky_seed: np.uint64

    @property
    def kernel_stage(self) -> tuple[NDArray[Any], ...]:
        """The arrays that colours need, in the kernel's order."""
        return (
            self.kinds, self.maps, self.scales, self.patterns, self.cells, self.seeds,
            self.palettes,
        )  # fmt: skip
