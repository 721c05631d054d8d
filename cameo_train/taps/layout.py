"""The layout of an attention layer's tokens in the views.

Shapes: B groups, V views, K tokens per view's grid, h heads, d channels per head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


class TapError(RuntimeError):
    """A layer cannot be tapped as requested; one line says why and what helps."""


@dataclass(frozen=True)
class TokenLayout:
    """The position of each view's token grid in an attention sequence.

    A sequence is: shared tokens, then for each of its views (tokens before the grid, the grid in
    row-major order, tokens after it), then shared tokens.

    Attributes:
        views: V, the number of views per group.
        grid_hw: rows and columns of one view's grid.
        per_view: number of extra tokens (before, after) each view's grid, such as class and
            register tokens.
        shared: number of extra tokens (before, after) all views, such as text.
        joint: whether one sequence holds all views of a group; if not, it holds one view, and the
            views of a group are neighbours in the batch.
    """

    views: int
    grid_hw: tuple[int, int]
    per_view: tuple[int, int] = (0, 0)
    shared: tuple[int, int] = (0, 0)
    joint: bool = True

    @property
    def tokens_per_view(self) -> int:
        """K: cells of the grid."""
        return self.grid_hw[0] * self.grid_hw[1]

    @property
    def extra_tokens(self) -> int:
        """Number of tokens of a sequence outside the grids."""
        return self._sequence_views * sum(self.per_view) + sum(self.shared)

    @property
    def sequence(self) -> int:
        """Number of tokens of one sequence."""
        return self._sequence_views * self.tokens_per_view + self.extra_tokens

    @property
    def _sequence_views(self) -> int:
        return self.views if self.joint else 1

    def fitted(self, tokens: int) -> TokenLayout:
        """The same layout, joint or one view per sequence, whichever has this many tokens.

        Raises:
            TapError: neither has this many.
        """
        options = [replace(self, joint=joint) for joint in (True, False)]
        for option in options:
            if option.sequence == tokens:
                return option
        raise TapError(
            f"attention runs over {tokens} tokens; {self.views} views of "
            f"{self.grid_hw[0]}×{self.grid_hw[1]} tokens give {options[0].sequence} together or "
            f"{options[1].sequence} each; pass tap() the views and hw of the model's input"
        )

    def grid(self, x: Tensor) -> Tensor:
        """(B, h, V·K, d) tokens of the grids only, from sequences (N, h, tokens, d).

        Raises:
            TapError: the sequence or the batch has another length.
        """
        if x.shape[2] != self.sequence or (not self.joint and x.shape[0] % self.views):
            raise TapError(
                f"{x.shape[0]} sequences of {x.shape[2]} tokens do not hold groups of "
                f"{self.views} views, {self.sequence} tokens per sequence"
            )
        if self.extra_tokens:
            x = x[:, :, self.shared[0] : x.shape[2] - self.shared[1]]
            x = torch.stack(x.chunk(self._sequence_views, 2), 2)
            x = x[:, :, :, self.per_view[0] : x.shape[3] - self.per_view[1]].flatten(2, 3)
        if self.joint:
            return x
        split = x.reshape(-1, self.views, *x.shape[1:])
        return split.transpose(1, 2).flatten(2, 3)
