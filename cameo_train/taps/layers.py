"""Attention layers by number, by official number, or by (part of) their name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from cameo_data.errors import UsageError
from cameo_data.suggestions import nearest

# Names that wrappers insert into module paths: DDP, torch.compile, FSDP, activation checkpointing.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DDP, FSDP and ``torch.compile``."""
    while True:
        inner = getattr(model, "_orig_mod", None) or getattr(model, "_fsdp_wrapped_module", None)
        if inner is None and isinstance(model, nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def plain(name: str) -> str:
    """A module's path without the wrappers."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def official_order(layers: Sequence[str]) -> list[str]:
    """Layers as the official CAMEO code numbers them: self-attention sorted by name.

    On Stable Diffusion's UNet that is the order of the network (down, mid, up), and layer 10 is
    ``up_blocks.2.attentions.0``. With ten blocks or more it is not: ``blocks.10`` comes before
    ``blocks.2``.
    """
    return sorted(layers, key=plain)


def resolve(layers: Sequence[str], layer: int | str) -> str:
    """The path of one layer.

    Args:
        layers: paths in execution order.
        layer: a number in that order from 0 (10, "10", −1 for the last); "official:10" in the
            official order; a path; or a part of a path that no other layer has
            (``up_blocks.2.attentions.0``), with … for anything omitted between two parts.

    Raises:
        UsageError: no layer or more than one fits; the message names the nearest.
    """
    text = str(layer).strip()
    match = re.fullmatch(r"(official:)?(-?\d+)", text)
    if match:
        order = official_order(layers) if match[1] else list(layers)
        index = int(match[2])
        if not -len(order) <= index < len(order):
            raise UsageError(
                f"there is no attention layer {text}; this model has {len(order)}, "
                f"0 ({plain(order[0])}) to {len(order) - 1} ({plain(order[-1])})"
                if order
                else f"there is no attention layer {text}; this model has no known attention layer"
            )
        return order[index]
    exact = [name for name in layers if plain(name) == text]
    pattern = ".*".join(re.escape(part) for part in re.split(r"…|\.\.\.|\*", text))
    partial = [name for name in layers if re.search(rf"(?:^|\.){pattern}(?:\.|$)", plain(name))]
    found = exact or partial
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(plain(name) for name in found[:4])
        raise UsageError(f"{text!r} fits {len(found)} attention layers ({shown}, …); name one")
    names = [plain(name) for name in layers]
    near = nearest(text, names) or names[:3]
    raise UsageError(f"there is no attention layer {text!r}; nearest: {', '.join(near)}")
