"""Self-attention over the tokens of all views of a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class ViewShape:
    """Views of a group and size of one view's latents in the run that is under way."""

    views: int = 1
    hw: tuple[int, int] = (0, 0)


class JointViews:
    """A diffusers attention processor that puts the views of a group into one sequence.

    What computes the attention is the processor that was there before; with one view nothing
    changes. A rotary embedding holds for each view: tokens at one place of two views are rotated
    alike, and which view is which is said by the ray maps.
    """

    def __init__(self, inner: Callable[..., Tensor], shape: ViewShape) -> None:
        self.inner, self.shape = inner, shape

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B·V, K, C) tokens to the same."""
        assert encoder_hidden_states is None
        assert attention_mask is None
        views = self.shape.views
        joined = hidden_states.reshape(-1, views * hidden_states.shape[1], hidden_states.shape[2])
        rotary = {}
        if image_rotary_emb is not None:
            rotary["image_rotary_emb"] = tuple(part.repeat(views, 1) for part in image_rotary_emb)
        out = self.inner(attn, joined, temb=temb, **rotary)
        return out.reshape(hidden_states.shape)
