"""How large the experiment is: scenes, model, steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scenes:
    """Procedural scenes of one split, of which groups are made.

    Attributes:
        seed: of the scenes; splits differ in it, so no scene is in two.
        groups: samples per scene.
    """

    seed: int
    count: int
    groups: int


@dataclass(frozen=True)
class Preset:
    """An experiment but for its arms and seeds.

    Attributes:
        size: side of the images in pixels.
        stride: pixels per token.
        frames: per scene.
        rotation_range_deg: between the views of a scene.
        texture_scale: patterns are to be larger than pixels, and yet unpredictable.
        train, held_out: scenes that are trained and measured on.
        fit: keys of ``TrainConfig``.
        note: what is said above all results, or nothing.
    """

    name: str
    size: int
    stride: int
    views: int
    frames: int
    train: Scenes
    held_out: Scenes
    rotation_range_deg: float = 90.0
    texture_scale: float = 3.0
    fit: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


_LAPTOP_FIT: Mapping[str, Any] = {
    "model": "hunyuan-dit-tiny",
    "steps": 1500,
    "batch": 16,
    "workers": 0,
    "references": (1, 2),
    "lr": 1e-3,
    "lr_warmup_steps": 50,
    "log_every": 50,
    "validate_every": 50,
    "validation_samples": 96,
    "sample_groups": 16,
    "checkpoint_every": 250,
}

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "laptop", size=32, stride=4, views=3, frames=24,
            train=Scenes(seed=0, count=400, groups=24),
            held_out=Scenes(seed=1000, count=24, groups=8),
            fit=_LAPTOP_FIT,
        ),
        Preset(
            "quick", size=32, stride=4, views=3, frames=12,
            train=Scenes(seed=0, count=30, groups=12),
            held_out=Scenes(seed=1000, count=6, groups=4),
            fit={
                **_LAPTOP_FIT, "steps": 60, "lr_warmup_steps": 10, "validate_every": 10,
                "validation_samples": 16, "sample_every": 60, "sample_groups": 2,
                "checkpoint_every": 30,
            },
            note="A smoke test of two minutes: too short to show anything but that all parts work.",
        ),
    )
}  # fmt: skip
