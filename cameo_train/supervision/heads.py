"""Mixing heads: the logits of all attention heads into one logit a (query, key).

They are trained along with the model and thrown away with the supervision. A mixing head may weigh
attention heads with either sign, so the supervised layer is to be read through it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class HeadMean(nn.Module):
    """The mean of the heads' logits; no parameters."""

    def forward(self, logits: Tensor) -> Tensor:
        """(rows, keys) of (heads, rows, keys)."""
        return logits.mean(0)


class HeadPick(nn.Module):
    """One head's logits; no parameters."""

    def __init__(self, head: int) -> None:
        super().__init__()
        self.head = head

    def forward(self, logits: Tensor) -> Tensor:
        """(rows, keys) of (heads, rows, keys)."""
        return logits[self.head]


class HeadLinear(nn.Module):
    """A learned weight per head; starts as the mean."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((heads,), 1 / heads))

    def forward(self, logits: Tensor) -> Tensor:
        """(rows, keys) of (heads, rows, keys)."""
        return (self.weight.to(logits) @ logits.flatten(1)).view(logits.shape[1:])


class HeadMLP(nn.Module):
    """heads → ratio · heads → 1 with GELU, applied to every (query, key) by itself.

    The parameters bear the names of the official head, so that its state loads.
    """

    def __init__(self, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(heads, ratio * heads), nn.GELU(), nn.Linear(ratio * heads, 1)
        )

    def forward(self, logits: Tensor) -> Tensor:
        """(rows, keys) of (heads, rows, keys)."""
        # heads first, as the logits come: no transposed copy of the largest tensor
        hidden = nn.functional.gelu(_linear_over_first(self.mlp[0], logits.flatten(1)))
        return _linear_over_first(self.mlp[2], hidden).view(logits.shape[1:])


def _linear_over_first(layer: nn.Module, x: Tensor) -> Tensor:
    """(out, N) of (in, N), in x's type whatever that of the weights."""
    assert isinstance(layer, nn.Linear)
    return torch.addmm(layer.bias.to(x)[:, None], layer.weight.to(x), x)


HEAD_MIXES: dict[str, Callable[[int], nn.Module]] = {
    "mlp": HeadMLP,
    "linear": HeadLinear,
    "mean": lambda heads: HeadMean(),
}


def build_head_mix(name: str, heads: int) -> nn.Module:
    """A new mixing head by its name in ``HEAD_MIXES``.

    Raises:
        ValueError: no such head.
    """
    if name not in HEAD_MIXES:
        raise ValueError(f"head mix is {name!r}; expected one of {', '.join(HEAD_MIXES)}")
    return HEAD_MIXES[name](heads)
