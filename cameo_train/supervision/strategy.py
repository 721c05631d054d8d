"""What a loss on the supervised layer is: which rows it takes, and what they cost.

A loss of another package is a small object of a class below ``Supervision``, offered through the
entry point group ``cameo_train.losses``. See ``docs/supervision.md``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from cameo_train.supervision.chunked import Cost, row_loss
from cameo_train.supervision.supervised_rows import Direction, SupervisedRows, supervised_rows
from cameo_train.supervision.targets import TargetKind, TokenTargets


class SupervisedBatch(Protocol):
    """What a loss may use of a batch; ``cameo_train.data.batches.Batch`` has the shapes."""

    @property
    def images(self) -> Tensor: ...
    @property
    def K(self) -> Tensor: ...
    @property
    def cam_from_world(self) -> Tensor: ...
    @property
    def depth(self) -> Tensor: ...
    @property
    def reference(self) -> Tensor: ...
    @property
    def targets(self) -> TokenTargets | None: ...


@dataclass(frozen=True, eq=False)
class TappedAttention:
    """The supervised layer in one forward pass.

    Attributes:
        q, k: (B, h, V·K, d), as they enter the attention product, tokens of view 0 first, without
            extra tokens.
        scale: of the product.
        head_mix: module taking logits (h, rows, K) to (rows, K).
        grid_hw: tokens per view, row-major.
    """

    q: Tensor
    k: Tensor
    scale: float
    head_mix: nn.Module
    grid_hw: tuple[int, int]

    def row_loss(self, rows: SupervisedRows, cost: Cost, normalizer: Tensor | float) -> Tensor:
        """Sum of the costs of rows over ``normalizer``, computed a chunk of rows at a time."""
        return row_loss(
            self.q, self.k, rows, cost,
            head_mix=self.head_mix, scale=self.scale, normalizer=normalizer,
        )  # fmt: skip


class Supervision(ABC):
    """A loss on the supervised layer.

    Attributes:
        targets: the kind of token targets that the data workers make of the matches, see
            ``token_targets``; None for a loss that finds its own.
        refuses: options of the configuration that must keep their defaults with this loss.
    """

    targets: TargetKind | None = "nearest"
    refuses: Sequence[str] = ()

    def rows(
        self, batch: SupervisedBatch, grid_hw: tuple[int, int], directions: Sequence[Direction]
    ) -> SupervisedRows:
        """The rows that this loss needs, by default those with a target.

        Args:
            batch: on the CPU or on the device; rows are moved afterwards.
            grid_hw: tokens per view.
        """
        if batch.targets is None:
            raise ValueError(
                f"{type(self).__name__} has no targets, so it must define rows(); "
                "or set targets to a kind"
            )
        return supervised_rows(batch.targets, batch.reference, directions)

    @abstractmethod
    def loss(self, attention: TappedAttention, rows: SupervisedRows, normalizer: Tensor) -> Tensor:
        """A float32 scalar, with gradients in q, k and the head mix; 0 if there are no rows.

        Args:
            normalizer: what to divide a weighted sum over rows by: the sum of all weights, over
                the processes divided by their number.
        """
