"""Loads pretrained weights into our models from a local folder or the hub; safetensors only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cameo_data.errors import UsageError
from cameo_data.io.parsing import one_line


def pretrained(cls: Any, weights: str | Path, subfolder: str) -> Any:
    """A diffusers model of a class, with weights.

    Args:
        weights: folder or hub name of a pipeline (with ``subfolder``) or of the model itself.

    Raises:
        UsageError: the weights are missing or belong to another class.
    """
    folder = Path(weights)
    inside = not folder.is_dir() or (folder / subfolder).is_dir()
    try:
        config = cls.load_config(str(weights), subfolder=subfolder if inside else None)
        found = config.get("_class_name", cls.__name__)
        if found != cls.__name__:
            raise UsageError(
                f"weights of another architecture: {weights} is of {found}, this model needs "
                f"{cls.__name__}"
            )
        return cls.from_pretrained(
            str(weights),
            subfolder=subfolder if inside else None,
            use_safetensors=True,
            torch_dtype=torch.float32,
        )
    except UsageError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(f"no weights of {cls.__name__} at {weights}: {one_line(error)}") from None


def adopt(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    widened: str,
    added: str | None = None,
    removed: str | None = None,
) -> None:
    """Loads pretrained weights into a model that may differ from theirs only in the named ways.

    Args:
        widened: name of the first convolution's weight; its added input channels start at zero,
            so the model starts as the pretrained one.
        added, removed: regular expressions for names that only the model, or only the weights,
            have.

    Raises:
        UsageError: they differ in other ways, so the weights belong to another architecture.
    """
    own = model.state_dict()
    new = {name: value for name, value in state.items() if not _has(name, removed)}
    first, target = new.get(widened), own[widened]
    if first is not None and first.shape[1] < target.shape[1]:
        wide = torch.zeros_like(target)
        if first.shape[0] == target.shape[0] and first.shape[2:] == target.shape[2:]:
            wide[:, : first.shape[1]] = first
            new[widened] = wide
    expected = {name for name in own if not _has(name, added)}
    odd = [
        *(f"{name} is missing" for name in sorted(expected - set(new))),
        *(f"{name} is not in the model" for name in sorted(set(new) - set(own))),
        *(
            f"{name} is {_size(new[name])}, the model has {_size(own[name])}"
            for name in sorted(expected & set(new))
            if new[name].shape != own[name].shape
        ),
    ]
    if odd:
        raise UsageError(
            f"weights of another architecture: {odd[0]}"
            + (f", and {len(odd) - 1} further differences" if len(odd) > 1 else "")
        )
    model.load_state_dict(new, strict=False)


def _has(name: str, pattern: str | None) -> bool:
    return pattern is not None and re.search(pattern, name) is not None


def _size(value: Tensor) -> str:
    return "×".join(map(str, value.shape))
