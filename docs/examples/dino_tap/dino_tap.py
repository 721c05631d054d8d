"""Taps on DINOv2 with registers and DINOv3 of transformers.

Load the models with ``attn_implementation="sdpa"``: a tap reads torch's own attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from cameo_train import TokenLayout


class Dino:
    """Says which models it knows, which modules attend, and how their tokens lie."""

    def accepts(self, model: nn.Module) -> bool:
        kind = getattr(getattr(model, "config", None), "model_type", "")
        return kind in ("dinov2_with_registers", "dinov3_vit")

    def layers(self, model: nn.Module) -> Sequence[str]:
        return [name for name, _ in model.named_modules() if name.endswith(".attention")]

    def layout(self, model: nn.Module, layer: str, views: int, hw: tuple[int, int]) -> TokenLayout:
        config: Any = model.config
        grid = hw[0] // config.patch_size, hw[1] // config.patch_size
        before = 1 + config.num_register_tokens  # the class token, then the registers
        return TokenLayout(views, grid, per_view=(before, 0))
