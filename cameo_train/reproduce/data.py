"""Scenes and shards of the experiment, made by ``cameo_data`` and kept for the next run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cameo_data.build import build
from cameo_data.errors import UsageError
from cameo_data.recipe import Recipe
from cameo_data.synth import generate
from cameo_data.types import Progress
from cameo_train.reproduce.noisy import Source, copy_scenes
from cameo_train.reproduce.presets import ExperimentPreset, Scenes

SCENES, SHARDS = "scenes", "shards"
# A rough image is enough: a pattern covers only a few pixels.
SAMPLES_PER_PIXEL = 6


@dataclass(frozen=True)
class Data:
    """Folders of finished builds.

    Attributes:
        worse: folder of builds of the same training scenes with worse depth, named by ``noisy``'s
            qualities; None if there are none.
    """

    train: Path
    held_out: Path
    worse: Path | None = None

    @classmethod
    def below(cls, out: Path) -> Data:
        """The folders that ``prepare`` writes."""
        return cls(out / "train" / SHARDS, out / "held-out" / SHARDS, out / "worse")

    def training(self, depth: Source) -> Path:
        """The build that an arm trains on.

        Raises:
            UsageError: there is no build with such depth.
        """
        if depth == "exact":
            return self.train
        if self.worse is None:
            raise UsageError("depth as an ablation needs the preset's own scenes, not --shards")
        return self.worse / depth / SHARDS


def prepare(
    preset: ExperimentPreset, out: Path, depths: Iterable[Source], workers: int, progress: Progress
) -> None:
    """Renders the scenes and builds the shards of ``Data.below(out)``; keeps what exists.

    Args:
        depths: kinds of depth that any arm trains on.

    Raises:
        ValueError: the folder has scenes or shards of other settings.
        OSError: the files cannot be written.
    """
    data = Data.below(out)
    for scenes, shards in ((preset.train, data.train), (preset.held_out, data.held_out)):
        _render(preset, scenes, shards.with_name(SCENES), workers, progress)
        _build(preset, scenes, shards, workers, progress)
    for depth in dict.fromkeys(depths):
        if depth != "exact":
            shards = data.training(depth)
            copy_scenes(data.train.with_name(SCENES), shards.with_name(SCENES), depth)
            _build(preset, preset.train, shards, workers, progress)


def _render(
    preset: ExperimentPreset, scenes: Scenes, out: Path, workers: int, progress: Progress
) -> None:
    wanted = generate.plan(
        scenes.count, kind=preset.kind, path="orbit", seed=scenes.seed, frames=preset.frames,
        hw=(preset.size, preset.size), rotation_range_deg=preset.rotation_bins_deg[-1],
        texture_scale=preset.texture_scale, samples=SAMPLES_PER_PIXEL,
    )  # fmt: skip
    generate.write_scenes(out, wanted, workers=workers, progress=progress)


def _build(
    preset: ExperimentPreset, scenes: Scenes, shards: Path, workers: int, progress: Progress
) -> None:
    recipe = Recipe.model_validate(
        {
            "source": {"name": "synthetic", "root": os.path.relpath(shards.with_name(SCENES))},
            "views": preset.views,
            "groups_per_scene": scenes.groups,
            "rotation_bins": preset.rotation_bins_deg,
            "strides": [preset.stride],
            "samples_per_shard": 512,
        }
    )
    build(recipe, shards, workers=workers, progress=progress)
