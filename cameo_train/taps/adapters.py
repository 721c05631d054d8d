"""What a tap needs to know about an architecture: its attention layers and their token grids.

An adapter for another architecture is a small object with the three methods of ``TapAdapter``; a
package offers it through the entry point group ``cameo_train.taps``. See ``docs/taps.md``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Protocol, runtime_checkable

from torch import nn

from cameo_data.plugins import Registry
from cameo_train.taps.layout import TokenLayout

REGISTRY = Registry("tap adapter", "cameo_train.taps", {})


@runtime_checkable
class TapAdapter(Protocol):
    """Attention layers of one kind of model."""

    def accepts(self, model: nn.Module) -> bool:
        """Whether this adapter can handle the model."""
        ...

    def layers(self, model: nn.Module) -> Sequence[str]:
        """Paths of the self-attention modules in execution order."""
        ...

    def layout(self, model: nn.Module, layer: str, views: int, hw: tuple[int, int]) -> TokenLayout:
        """Layout of the layer's tokens for a model input of size ``hw``.

        Leave ``joint`` unset: the number of tokens shows whether all views share a sequence.
        """
        ...


class DiffusersUNet:
    """``UNet2DConditionModel`` and forks of it, by the names of their modules."""

    _block = re.compile(r"(?:^|\.)(?:(down|up)_blocks\.(\d+)|mid_block)\.")

    def accepts(self, model: nn.Module) -> bool:
        return all(
            any(name.endswith(part) for name, _ in model.named_modules())
            for part in ("down_blocks", "mid_block", "up_blocks")
        )

    def layers(self, model: nn.Module) -> Sequence[str]:
        found = [
            name
            for name, module in model.named_modules()
            if hasattr(module, "to_q")
            and self._block.search(name)
            and not getattr(module, "is_cross_attention", name.endswith("attn2"))
        ]
        # Modules are registered down, up, mid, but run down, mid, up.
        return sorted(found, key=lambda name: ("down", "mid", "up").index(self._place(name)[0]))

    def layout(self, model: nn.Module, layer: str, views: int, hw: tuple[int, int]) -> TokenLayout:
        step = 2 ** self.level(model, layer)
        # A stride-2 convolution with padding 1 halves the size and rounds up.
        return TokenLayout(views, (-(-hw[0] // step), -(-hw[1] // step)))

    def level(self, model: nn.Module, layer: str) -> int:
        """Number of times the input was halved before this layer; 0 at the finest resolution."""
        blocks = next(m for n, m in model.named_modules() if n.endswith("down_blocks"))
        deepest = len(list(blocks.children())) - 1
        part, index = self._place(layer)
        return {"down": index, "mid": deepest, "up": deepest - index}[part]

    def _place(self, layer: str) -> tuple[str, int]:
        """Part of the UNet, and which block of it."""
        match = self._block.search(layer)
        if match is None:
            raise ValueError(f"{layer} is not in a block of the UNet")
        return match[1] or "mid", int(match[2] or 0)


class DiffusersTransformer:
    """``HunyuanDiT2DModel`` and transformers built like it: ``blocks``, ``pos_embed``."""

    def accepts(self, model: nn.Module) -> bool:
        return self._patch(model) is not None and bool(self.layers(model))

    def layers(self, model: nn.Module) -> Sequence[str]:
        return [
            name
            for name, module in model.named_modules()
            if hasattr(module, "to_q") and not getattr(module, "is_cross_attention", False)
        ]

    def layout(self, model: nn.Module, layer: str, views: int, hw: tuple[int, int]) -> TokenLayout:
        patch = self._patch(model)
        assert patch is not None  # accepts() has checked this
        return TokenLayout(views, (hw[0] // patch, hw[1] // patch))

    @staticmethod
    def _patch(model: nn.Module) -> int | None:
        # Read the module's own attribute: diffusers' models also look in their configuration and
        # then warn.
        sizes = [vars(module).get("patch_size") for module in model.modules()]
        return next((size for size in sizes if isinstance(size, int)), None)


class ByPath:
    """Any other module: it must run the product exactly once, and the caller gives the layout."""

    def accepts(self, model: nn.Module) -> bool:
        return True

    def layers(self, model: nn.Module) -> Sequence[str]:
        return [name for name, _ in model.named_modules() if name]

    def layout(self, model: nn.Module, layer: str, views: int, hw: tuple[int, int]) -> TokenLayout:
        raise ValueError(
            f"the token layout of {type(model).__name__} is unknown; pass tap() a layout, or "
            f"offer an adapter through the entry point group {REGISTRY.group}"
        )


BUILT_IN: tuple[TapAdapter, ...] = (DiffusersUNet(), DiffusersTransformer())


@cache
def _installed() -> tuple[TapAdapter, ...]:
    return tuple(
        REGISTRY.load(name, TapAdapter, classes=True)  # type: ignore[type-abstract]
        for name in REGISTRY.names()
    )


def adapter_of(model: nn.Module) -> TapAdapter:
    """The model's own ``tap_adapter``; else the first to accept it: packages', ours, by path."""
    own = getattr(model, "tap_adapter", None)
    if isinstance(own, TapAdapter):
        return own
    known = (*_installed(), *BUILT_IN)
    return next((adapter for adapter in known if adapter.accepts(model)), ByPath())
