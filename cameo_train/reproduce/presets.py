"""Presets of the experiment's size: scenes, model, steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def first_third(steps: int) -> int:
    """Number of steps with supervision if it stops early."""
    return max(1, steps // 3)


@dataclass(frozen=True)
class Scenes:
    """Procedural scenes of one split, from which groups are made.

    Attributes:
        seed: seed of the scenes, different in each split, so no scene is in two.
        groups: number of samples per scene.
    """

    seed: int
    count: int
    groups: int


@dataclass(frozen=True)
class ExperimentPreset:
    """An experiment without its arms and seeds.

    Attributes:
        size: side of the images in pixels.
        stride: pixels per token.
        frames: number of frames per scene.
        kind: kind of scene, see ``cameo-data synth``.
        rotation_bins_deg: edges of the bins for the rotation between a sample's views, which is
            spread evenly from the first to the last edge.
        texture_scale: scale of patterns, which must be larger than pixels, yet unpredictable.
        train, held_out: scenes for training and for measuring.
        stops: whether supervision ends after the first third of the steps.
        fit: keys of ``TrainConfig``.
        with_weights: model for pretrained weights; empty if the preset takes none.
        note: a note above all results, or empty.
    """

    name: str
    size: int
    stride: int
    views: int
    frames: int
    train: Scenes
    held_out: Scenes
    kind: str = "bare-room"
    rotation_bins_deg: tuple[float, ...] = (30.0, 60.0, 90.0, 120.0)
    texture_scale: float = 6.0
    stops: bool = False
    fit: Mapping[str, Any] = field(default_factory=dict)
    with_weights: str = ""
    note: str = ""

    def settings(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Keys of ``TrainConfig`` for all arms: the preset's, updated with ``overrides``."""
        settings = {**self.fit, **overrides}
        until = first_third(int(settings["steps"])) if self.stops else None
        return {"weight_until": until, **settings}

    def scenes_text(self) -> str:
        """A description of the scenes for readers."""
        low, high = self.rotation_bins_deg[0], self.rotation_bins_deg[-1]
        groups = f"{self.train.groups} and {self.held_out.groups} samples a scene"
        return (
            f"{self.train.count} of kind {self.kind} to train on, {self.held_out.count} others to "
            f"measure on; {self.frames} frames each; {groups}, views turned by {low:g} to {high:g}°"
        )


# Found by trial with seed 0. With the official weight of 0.02 and its head (`mlp`) the layer learns
# more slowly. The baseline learns as well at twice this rate, but not together with supervision.
_LAPTOP_FIT: Mapping[str, Any] = {
    "model": "hunyuan-dit-tiny",
    "steps": 900,
    "batch": 16,
    "workers": 0,
    "references": (1, 2),
    "weight": 0.2,
    "head_mix": "mean",
    "lr": 1.5e-3,
    "lr_warmup_steps": 50,
    "camera_dropout": 0.0,
    "reference_dropout": 0.0,
    "log_every": 50,
    "validate_every": 50,
    "validation_samples": 192,
    "sample_groups": 16,
    # One of them is at a third of the steps, where precision is compared.
    "checkpoint_every": 150,
    "keep_checkpoints": 6,
}
# The size is calculated for one 80 GB GPU and half an hour; it has not been run.
_GPU_FIT: Mapping[str, Any] = {
    **_LAPTOP_FIT,
    "model": "cat3d-sd21-patch",
    "steps": 3000,
    "batch": 8,
    "workers": 8,
    "references": (1, 3),
    "weight": 0.02,
    "head_mix": "mlp",
    "lr": 1e-4,
    "lr_warmup_steps": 100,
    "mixed_precision": "bf16",
    "validate_every": 150,
    "validation_samples": 64,
    "checkpoint_every": 1000,
    "keep_checkpoints": 3,
}

PRESETS: dict[str, ExperimentPreset] = {
    preset.name: preset
    for preset in (
        ExperimentPreset(
            "laptop", size=32, stride=4, views=3, frames=24,
            train=Scenes(seed=0, count=400, groups=24),
            held_out=Scenes(seed=1000, count=24, groups=8),
            stops=True, fit=_LAPTOP_FIT,
        ),
        ExperimentPreset(
            "quick", size=32, stride=4, views=3, frames=12,
            train=Scenes(seed=0, count=30, groups=12),
            held_out=Scenes(seed=1000, count=6, groups=4),
            stops=True,
            fit={
                **_LAPTOP_FIT, "steps": 60, "lr_warmup_steps": 10, "validate_every": 10,
                "validation_samples": 16, "sample_every": 60, "sample_groups": 2,
                "checkpoint_every": 20,
            },
            note="A smoke test of two minutes: too short to show anything but that all parts work.",
        ),
        ExperimentPreset(
            "gpu", size=256, stride=16, views=4, frames=24, kind="room", texture_scale=2.0,
            train=Scenes(seed=0, count=400, groups=24),
            held_out=Scenes(seed=1000, count=24, groups=8),
            fit=_GPU_FIT, with_weights="cat3d-sd21",
        ),
    )
}  # fmt: skip
