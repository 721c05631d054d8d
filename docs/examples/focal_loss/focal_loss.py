"""Focal cross-entropy on the supervised layer: rows that match well already count less.

Σ −w (1 − p)^γ log p over the target tokens of each row, after Lin et al., Focal Loss for Dense
Object Detection, equation 4; γ = 0 is the ordinary loss.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from cameo_train import SupervisedRows, Supervision, TappedAttention

GAMMA = 2.0  # what section 5.1 of that paper found best


def focal(logits: Tensor, index: Tensor, weight: Tensor, *, gamma: float) -> Tensor:
    """Sum of the costs of rows with logits (R, K), target tokens and weights (R, T)."""
    log_p = logits.log_softmax(-1).gather(-1, index)
    missed = 1 - log_p.exp()
    # an empty slot costs nothing, even where its logarithm is −∞
    return -(weight * torch.where(weight > 0, missed**gamma * log_p, 0)).sum()


class FocalLoss(Supervision):
    """Focal loss towards ``nearest`` targets."""

    targets = "nearest"

    def __init__(self, gamma: float = GAMMA) -> None:
        self.gamma = gamma

    def loss(self, attention: TappedAttention, rows: SupervisedRows, normalizer: Tensor) -> Tensor:
        return attention.row_loss(rows, partial(focal, gamma=self.gamma), normalizer)


FOCAL = FocalLoss()
