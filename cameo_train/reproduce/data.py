"""Scenes and shards of the experiment, made by ``cameo_data``; kept for the next run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cameo_data.build import build
from cameo_data.recipe import Recipe
from cameo_data.synth import generate
from cameo_train.reproduce.presets import Preset, Scenes

Progress = Callable[[str, int, int], None]  # stage, done, total
# a rough image is enough: it is seen at a few pixels a pattern
SAMPLES_PER_PIXEL = 6


@dataclass(frozen=True)
class Data:
    """Folders of two finished builds."""

    train: Path
    held_out: Path


def prepare(preset: Preset, out: Path, workers: int, progress: Progress) -> Data:
    """Renders the scenes and builds the shards below ``out``; what is there is kept.

    Raises:
        ValueError: scenes or shards of other settings are in the way.
        OSError: the disk refuses.
    """
    return Data(
        _split(preset, preset.train, out / "train", workers, progress),
        _split(preset, preset.held_out, out / "held-out", workers, progress),
    )


def _split(preset: Preset, scenes: Scenes, out: Path, workers: int, progress: Progress) -> Path:
    shards = out / "shards"
    wanted = generate.plan(
        scenes.count, kind="room", path="orbit", seed=scenes.seed, frames=preset.frames,
        hw=(preset.size, preset.size), rotation_range_deg=preset.rotation_range_deg,
        texture_scale=preset.texture_scale, samples=SAMPLES_PER_PIXEL,
    )  # fmt: skip
    generate.write_scenes(out / "scenes", wanted, workers=workers, progress=progress)
    recipe = Recipe.model_validate(
        {
            "source": {"name": "synthetic", "root": os.path.relpath(out / "scenes")},
            "views": preset.views,
            "groups_per_scene": scenes.groups,
            "strides": [preset.stride],
            "samples_per_shard": 512,
        }
    )
    build(recipe, shards, workers=workers, progress=progress)
    return shards
