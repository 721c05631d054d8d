"""Multi-view diffusion models, by name; see ``docs/models.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cameo_data.errors import UsageError
from cameo_data.suggestions import suggestion
from cameo_train.models.architecture import Architecture
from cameo_train.models.conditioning import Conditioning
from cameo_train.models.latents import Latents, PatchLatents, build_latents
from cameo_train.models.model_preset import Preset
from cameo_train.models.multiview import MultiViewModel
from cameo_train.models.registry import architectures, preset, presets
from cameo_train.models.schedule import ddim, noised, target_loss, training_noise

__all__ = [
    "Architecture",
    "Conditioning",
    "Latents",
    "MultiViewModel",
    "PatchLatents",
    "Preset",
    "architectures",
    "build",
    "build_latents",
    "ddim",
    "noised",
    "preset",
    "presets",
    "target_loss",
    "training_noise",
]


def build(
    name: str | Preset, *, weights: str | Path | None = None, **changes: Any
) -> MultiViewModel:
    """A model, with random weights (torch's global generator) or pretrained ones.

    Args:
        name: a preset's name, or a preset.
        weights: folder or hub name in the layout of a diffusers pipeline.
        changes: fields of the preset to change, such as ``latents="patch:8"``.

    Raises:
        UsageError: there is no such preset or field, or the weights are missing or belong to
            another architecture.

    Example:
        >>> model = build("cat3d-tiny")
        >>> model(*model.example(batch=1, views=3)).shape
        torch.Size([1, 3, 48, 16, 16])
    """
    chosen = preset(name, **changes)
    known = architectures()
    if chosen.architecture not in known:
        raise UsageError(
            f"model {chosen.name!r}: there is no architecture {chosen.architecture!r}; "
            f"{suggestion(chosen.architecture, known)}"
        )
    model = known[chosen.architecture].model(chosen)
    if weights is not None:
        model.load(weights)
    return model
