"""The loss by the shards' verdicts: each query has a target in every view that sees its point."""

from __future__ import annotations

from torch import Tensor

from cameo_train.supervision.loss import correspondence_loss
from cameo_train.supervision.strategy import Supervision, TappedAttention
from cameo_train.supervision.supervised_rows import SupervisedRows
from cameo_train.supervision.targets import TargetKind


class PerKeyView(Supervision):
    """``correspondence_loss`` with one kind of token targets."""

    def __init__(self, targets: TargetKind) -> None:
        self.targets = targets

    def loss(self, attention: TappedAttention, rows: SupervisedRows, normalizer: Tensor) -> Tensor:
        """Mean cross-entropy of the rows."""
        return correspondence_loss(
            attention.q, attention.k, rows,
            head_mix=attention.head_mix, scale=attention.scale, normalizer=normalizer,
        )  # fmt: skip


NEAREST = PerKeyView("nearest")
BILINEAR = PerKeyView("bilinear")
PATCH = PerKeyView("patch")
