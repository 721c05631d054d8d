"""Multi-view diffusion models made of diffusers' networks; see ``docs/models.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cameo_train.models.conditioning import Conditioning
from cameo_train.models.hunyuan import MultiViewHunyuanDiT
from cameo_train.models.latents import Latents, PatchLatents, build_latents
from cameo_train.models.multiview import MultiViewModel
from cameo_train.models.presets import PRESETS, Preset, preset
from cameo_train.models.schedule import ddim, noised, target_loss, training_noise
from cameo_train.models.unet import MultiViewUNet

__all__ = [
    "PRESETS",
    "Conditioning",
    "Latents",
    "MultiViewModel",
    "PatchLatents",
    "Preset",
    "build",
    "build_latents",
    "ddim",
    "noised",
    "preset",
    "target_loss",
    "training_noise",
]

_CLASSES = {"unet": MultiViewUNet, "hunyuan-dit": MultiViewHunyuanDiT}


def build(
    name: str | Preset, *, weights: str | Path | None = None, **changes: Any
) -> MultiViewModel:
    """A model, with random weights (torch's global generator) or pretrained ones.

    Args:
        name: of a preset, or one.
        weights: folder or hub name in the layout of a diffusers pipeline.
        changes: fields of the preset to change, such as ``latents="patch:8"``.

    Raises:
        UsageError: no such preset, no weights there, or weights of another architecture.

    Example:
        >>> model = build("cat3d-tiny")
        >>> model(*model.example(batch=1, views=3)).shape
        torch.Size([1, 3, 48, 16, 16])
    """
    chosen = preset(name, **changes)
    model = _CLASSES[chosen.architecture](chosen)
    if weights is not None:
        model.load(weights)
    return model
