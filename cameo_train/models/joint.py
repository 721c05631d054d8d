"""Self-attention over the tokens of all views of a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class ViewShape:
    """Number of views per group and size of one view's latents in the current forward pass."""

    views: int = 1
    hw: tuple[int, int] = (0, 0)


class JointViews:
    """A diffusers attention processor that puts the views of a group into one sequence.

    The processor that was there before computes the attention; with one view nothing changes. The
    rotary embedding is the same for each view: tokens at the same place of two views are rotated
    equally, and the ray maps tell the views apart.
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
        """(B·V, K, C) tokens of the same shape as the input."""
        assert encoder_hidden_states is None
        assert attention_mask is None
        views = self.shape.views
        joined = hidden_states.reshape(-1, views * hidden_states.shape[1], hidden_states.shape[2])
        rotary = {}
        if image_rotary_emb is not None:
            rotary["image_rotary_emb"] = tuple(part.repeat(views, 1) for part in image_rotary_emb)
        out = self.inner(attn, joined, temb=temb, **rotary)
        return out.reshape(hidden_states.shape)
