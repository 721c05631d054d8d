"""Renders pictures and exact depth of a stage.

Each sample of a pixel casts its own exact ray. The planes of a tile's frustum limit the primitives
that its rays may hit, and never drop one that the tile sees. A surface's colour depends only on the
place (pattern and fixed lights), so views agree about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.geometry.raycast import KINDS, pixel_rays
from cameo_data.synth import render_kernel, textures
from cameo_data.synth.stage import PackedStage, Stage
from cameo_data.types import Camera

# Samples per pixel; docs/datasets/synthetic.md states the measured noise and cost of other counts.
DEFAULT_SAMPLES = 12


@dataclass(frozen=True, eq=False)
class RenderedPicture:
    """A rendered view.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        z: (H, W) float32 z-depth at the pixels' centres; 0 for the sky.
        primitive: (H, W) int32 index of the primitive at the pixels' centres; −1 for the sky.
    """

    image: NDArray[np.uint8]
    z: NDArray[np.float32]
    primitive: NDArray[np.int32]


def pack(stage: Stage) -> PackedStage:
    """Arrays for ``render_packed``, computed once for all views of a stage."""
    count = len(stage.primitives)
    maps = np.zeros((count, 3, 4))
    scales = np.zeros((count, 3))
    corners = np.zeros((count, 8, 3))
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    palettes = np.zeros((count, textures.COLOURS + 1, 3))
    seeds = np.zeros(count, np.uint64)
    for k, primitive in enumerate(stage.primitives):
        matrix = primitive.world_from_object
        surface = stage.surfaces[primitive.surface]
        maps[k] = np.linalg.inv(matrix)[:3]
        scales[k] = np.linalg.norm(matrix[:3, :3], axis=0)
        flat = np.array([1.0, 1.0, 0.0]) if primitive.kind == "rect" else np.ones(3)
        corners[k] = (unit * flat) @ matrix[:3, :3].T + matrix[:3, 3]
        palettes[k] = textures.palette(surface.seed, surface.tone)
        seeds[k] = surface.seed * 1_000_003 + k
    chosen = [stage.surfaces[p.surface] for p in stage.primitives]
    return PackedStage(
        kinds=np.array([KINDS.index(p.kind) for p in stage.primitives], np.int64),
        maps=maps,
        scales=scales,
        corners=corners,
        patterns=np.array([textures.PATTERNS.index(s.pattern) for s in chosen], np.int64),
        cells=np.array([s.cell for s in chosen], np.float64),
        seeds=seeds,
        palettes=palettes,
        sky=np.array([stage.sky.horizon, stage.sky.zenith], np.float64),
        sky_seed=np.uint64(stage.sky.seed),
    )


def render(stage: Stage, camera: Camera, samples: int = DEFAULT_SAMPLES) -> RenderedPicture:
    """Picture and depth of one view."""
    return render_packed(pack(stage), camera, samples)


def render_packed(
    packed: PackedStage, camera: Camera, samples: int = DEFAULT_SAMPLES
) -> RenderedPicture:
    """Like ``render``, for a packed stage; releases the interpreter lock.

    Raises:
        ValueError: fewer than one sample per pixel.
    """
    if samples < 1:
        raise ValueError(f"{samples} samples per pixel; expected at least 1")
    height, width = camera.hw
    image = np.empty((height, width, 3), np.uint8)
    z = np.empty((height, width), np.float32)
    primitive = np.empty((height, width), np.int32)
    eye = np.ascontiguousarray(camera.world_from_cam[:3, 3])
    ray_from_xy = camera.cam_from_world[:3, :3].T @ np.linalg.inv(camera.K)
    render_kernel.render(
        packed.kernel_stage, packed.corners, packed.sky, packed.sky_seed,
        eye, np.ascontiguousarray(ray_from_xy), pixel_rays(camera, cameras.query_xy(camera.hw)),
        _offsets(samples), 1.0 / (camera.K[0, 0] * np.sqrt(samples)),
        image, z, primitive,
    )  # fmt: skip
    return RenderedPicture(image, z, primitive)


def _offsets(samples: int) -> NDArray[np.float64]:
    """(N, 2) Hammersley points: N different rows and N different columns in every pixel."""
    index = np.arange(samples)
    reversed_bits = np.zeros(samples)
    weight, rest = 0.5, index.copy()
    while rest.any():
        reversed_bits += weight * (rest & 1)
        rest >>= 1
        weight /= 2
    # shifted by half a step, so that the points' mean is the pixel's centre
    return np.stack([(index + 0.5) / samples, reversed_bits + 0.5 - reversed_bits.mean()], -1)
