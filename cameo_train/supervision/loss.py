"""Correspondence loss: masked cross-entropy between one layer's attention and token targets.

Attention is taken before its softmax: the logits of all heads are mixed into one, and the softmax
runs over the tokens of one key view at a time. How it is computed: ``chunked.py``.

Method and measurements: ``docs/supervision.md``. Shapes: B, V views, K tokens per view, h heads,
d channels per head, R supervised rows, T slots.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from cameo_train.supervision.chunked import RowWork, in_float32, row_loss, rows_of
from cameo_train.supervision.supervised_rows import (
    DIRECTIONS,
    Direction,
    SupervisedRows,
    supervised_rows,
)
from cameo_train.supervision.targets import TokenTargets

# what the loss is multiplied by beside the diffusion loss, as in the official configuration
DEFAULT_WEIGHT = 0.02


def correspondence_loss(
    q: Tensor,
    k: Tensor,
    targets: TokenTargets | SupervisedRows,
    *,
    head_mix: nn.Module,
    reference: Tensor | None = None,
    directions: Iterable[Direction] = DIRECTIONS,
    scale: float | None = None,
    chunk: int | None = None,
    normalizer: Tensor | float | None = None,
    floor: float = 0.0,
) -> Tensor:
    """Mean cross-entropy of the supervised rows, a float32 scalar; exactly 0 where there are none.

    The mean is weighted: Σ_rows Σ_t −w_t log p_t / Σ w. Uniform attention therefore costs log K
    whatever the weights. Under ``torch.no_grad`` it is only evaluated.

    Args:
        q, k: (B, h, V·K, d), as they enter the attention product, tokens of view 0 first, without
            extra tokens. Any float type.
        targets: of these views; or their rows, where those are needed for more than this.
        head_mix: module taking logits (h, rows, K) to (rows, K).
        reference, directions: see ``supervised_rows``; not used with rows.
        scale: of the attention product, d^-0.5 if None.
        chunk: rows computed at a time; by the device if None. Changes no result but rounding.
        normalizer: divide by this instead of the sum of weights; with several ranks or
            accumulated batches, the sum over all of them divided by their number.
        floor: added to each probability before the logarithm; the official code's 1e-8, else 0.

    Raises:
        ValueError: sizes that do not fit each other.

    Example:
        >>> from cameo_train import TokenTargets, build_head_mix
        >>> index = torch.zeros(1, 2, 2, 16, 1, dtype=torch.int64)
        >>> weight = (1 - torch.eye(2))[None, :, :, None, None].expand(index.shape).contiguous()
        >>> q = k = torch.zeros(1, 4, 2 * 16, 8)  # the same logit everywhere costs log 16
        >>> targets, mix = TokenTargets(index, weight), build_head_mix("mean", heads=4)
        >>> round(correspondence_loss(q, k, targets, head_mix=mix).item(), 3)
        2.773
    """
    rows = (
        targets
        if isinstance(targets, SupervisedRows)
        else supervised_rows(targets, reference, directions)
    )
    return row_loss(
        q, k, rows, partial(cross_entropy, floor=floor),
        head_mix=head_mix, scale=scale, chunk=chunk, normalizer=normalizer,
    )  # fmt: skip


def cross_entropy(logits: Tensor, index: Tensor, weight: Tensor, *, floor: float = 0.0) -> Tensor:
    """Σ −w log p of rows with logits (R, K), target tokens and weights (R, T)."""
    picked = logits.log_softmax(-1).gather(-1, index)
    if floor:
        picked = torch.logaddexp(picked, picked.new_tensor(math.log(floor)))
    # an empty slot costs nothing, even where its logarithm is −∞
    return -(weight * torch.where(weight > 0, picked, 0)).sum()


def matched_tokens(
    q: Tensor,
    k: Tensor,
    rows: SupervisedRows,
    *,
    head_mix: nn.Module,
    scale: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """(R,) int64: the key token with the most attention, of each row, through the mixing head."""
    work = RowWork.of(q, k, rows, head_mix, scale, chunk)
    with torch.no_grad(), in_float32(q):
        found = [
            work.logits(rows_of(q, group.batch, rows.query[part]), keys).argmax(-1)
            for group, keys, parts in work.by_group(k)
            for part in parts
        ]
    return torch.cat(found) if found else rows.query.new_zeros(0)


def matches_within(
    matched: Tensor, rows: SupervisedRows, grid_hw: tuple[int, int], tokens: float = 1.0
) -> Tensor:
    """Number of rows whose match is at most ``tokens`` from the heaviest target; on the device."""
    heaviest = rows.weight.argmax(-1, keepdim=True)
    target = rows.index.gather(-1, heaviest)[:, 0]
    dy = matched // grid_hw[1] - target // grid_hw[1]
    dx = matched % grid_hw[1] - target % grid_hw[1]
    return (dx * dx + dy * dy <= tokens**2).sum()


def precision_within(
    matched: Tensor, rows: SupervisedRows, grid_hw: tuple[int, int], tokens: float = 1.0
) -> float:
    """Share of rows matched at most ``tokens`` from the heaviest target; NaN without rows."""
    if not len(rows):
        return math.nan
    return float(matches_within(matched, rows, grid_hw, tokens)) / len(rows)
