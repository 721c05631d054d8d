"""Loads weights of transformers' models from a local folder or the hub; safetensors only."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import torch

from cameo_train.matchers.feature_model import MissingWeights

REASON_WIDTH = 240  # characters kept of other libraries' messages, which may list every weight


def pretrained(cls: Any, weights: str, kind: str, subfolder: str | None = None) -> Any:
    """A model of a class with all its weights, frozen.

    Args:
        weights: folder or hub id; ``subfolder`` is in it.

    Raises:
        MissingWeights: weights are missing, unreadable, incomplete or of another size.
    """
    where = {} if subfolder is None else {"subfolder": subfolder}
    try:
        model, info = cls.from_pretrained(
            weights,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **where,
        )
    except Exception as error:  # OSError, ValueError, safetensors' and the hub's own kinds
        raise unusable(kind, weights, error, subfolder) from None
    # The token that replaces hidden patches in training; some published files leave it out.
    missing = sorted(n for n in info["missing_keys"] if not n.endswith("mask_token"))
    if missing:
        raise MissingWeights(
            f"{kind}: {weights} lacks {len(missing)} weights of {cls.__name__}, first "
            f"{missing[0]}; give weights of the right model"
        )
    return model.eval().requires_grad_(False)


def unusable(
    kind: str, weights: str, error: Exception, subfolder: str | None = None
) -> MissingWeights:
    """A one-line error for any failure to fetch or read weights."""
    place = weights if subfolder is None else f"{weights}/{subfolder}"
    reason = textwrap.shorten(str(error) or type(error).__name__, REASON_WIDTH, placeholder=" …")
    is_path = Path(weights).exists() or weights.startswith(("/", ".", "~"))
    remedy = (
        "give the folder that holds config.json and model.safetensors"
        if is_path
        else f"fetch it on a machine with a network: hf download {weights}, or give a local folder"
    )
    return MissingWeights(f"{kind}: no weights at {place} ({reason}); {remedy}")


def no_weights(kind: str, examples: str) -> MissingWeights:
    """The error for a kind that needs weights but was given none."""
    return MissingWeights(f"{kind} needs a folder or hub id: {kind}:WEIGHTS, such as {examples}")
