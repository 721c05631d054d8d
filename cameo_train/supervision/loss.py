"""Correspondence loss: masked cross-entropy between one layer's attention and token targets.

Attention is taken before its softmax: the logits of all heads are mixed into one, and the softmax
runs over the tokens of one key view at a time. Only rows that carry a target are computed, one
(query, key view) pair each, a chunk of rows at a time, in float32. A chunk's gradient is taken as
soon as its loss is known, so nothing but the gradients of queries, keys and mixing head is kept
for the backward pass.

Method and measurements: ``docs/supervision.md``. Shapes: B, V views, K tokens a view, h heads,
d channels a head, R supervised rows, T slots.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cameo_train.supervision.supervised_rows import (
    DIRECTIONS,
    Direction,
    Group,
    SupervisedRows,
    supervised_rows,
)
from cameo_train.supervision.targets import TokenTargets

# what the loss is multiplied by beside the diffusion loss, as in the official configuration
DEFAULT_WEIGHT = 0.02
# Logits (rows × keys × heads) of a chunk. On a CPU they and the four times larger hidden layer
# should stay in the cache; on a GPU a chunk has to fill it, and takes some 0.5 GB.
CPU_CHUNK_LOGITS = 1 << 18
GPU_CHUNK_LOGITS = 1 << 24


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
    """
    rows = (
        targets
        if isinstance(targets, SupervisedRows)
        else supervised_rows(targets, reference, directions)
    )
    _check(q, k, rows, chunk)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    chunk = chunk or chunk_rows(q.device, heads=q.shape[1], keys=rows.tokens)
    if normalizer is None:
        normalizer = rows.total_weight
    inverse = torch.as_tensor(normalizer, dtype=torch.float32, device=q.device)
    inverse = torch.where(inverse > 0, 1 / inverse.clamp_min(torch.finfo(torch.float32).tiny), 0)
    work = _Work(rows, head_mix, scale, chunk, floor)
    total: Tensor
    if torch.is_grad_enabled():
        total = _ChunkedLoss.apply(q, k, work, *head_mix.parameters())  # type: ignore[no-untyped-call]
    else:
        with _in_float32(q):
            total = _evaluate(q, k, work, (), (False, False))[0]
    return total * inverse


def chunk_rows(device: torch.device, heads: int, keys: int) -> int:
    """Rows that make a chunk of a good size on a device."""
    logits = CPU_CHUNK_LOGITS if device.type == "cpu" else GPU_CHUNK_LOGITS
    return max(1, logits // (heads * keys))


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
    _check(q, k, rows, chunk)
    work = _Work(
        rows,
        head_mix,
        q.shape[-1] ** -0.5 if scale is None else scale,
        chunk or chunk_rows(q.device, heads=q.shape[1], keys=rows.tokens),
        0.0,
    )
    with torch.no_grad(), _in_float32(q):
        found = [
            work.logits(_rows_of(q, group.batch, rows.query[part]), keys).argmax(-1)
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
    """Share of rows whose match is at most ``tokens`` from the heaviest target; NaN of no rows."""
    if not len(rows):
        return math.nan
    return float(matches_within(matched, rows, grid_hw, tokens)) / len(rows)


def _check(q: Tensor, k: Tensor, rows: SupervisedRows, chunk: int | None) -> None:
    if q.ndim != 4 or q.shape != k.shape:
        raise ValueError(
            f"q and k are (B, h, V·K, d) both, got {tuple(q.shape)} and {tuple(k.shape)}"
        )
    if q.shape[0] != rows.batch or q.shape[2] != rows.views * rows.tokens:
        raise ValueError(
            f"attention is of {q.shape[0]} groups of {q.shape[2]} tokens, the targets are of "
            f"{rows.batch} groups of {rows.views} views × {rows.tokens} tokens; take extra tokens "
            "off, and make targets at the layer's own grid"
        )
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected a number of rows")


def _in_float32(q: Tensor) -> torch.autocast:
    """Whatever the autocast around; it would round the gradients' products too."""
    return torch.autocast(q.device.type, enabled=False)


def _rows_of(q: Tensor, batch: int, query: Tensor) -> Tensor:
    return q[batch].detach().index_select(1, query).float()


@dataclass(frozen=True, eq=False)
class _Work:
    """What is computed of q and k, apart from its derivatives."""

    rows: SupervisedRows
    head_mix: nn.Module
    scale: float
    chunk: int
    floor: float

    def by_group(self, k: Tensor) -> Iterator[tuple[Group, Tensor, list[slice]]]:
        """Each group with the keys of its view, (h, K, d) float32, and its rows in chunks."""
        for group in self.rows.groups:
            first = group.key_view * self.rows.tokens
            keys = k[group.batch, :, first : first + self.rows.tokens].detach().float()
            starts = range(group.start, group.stop, self.chunk)
            yield group, keys, [slice(s, min(s + self.chunk, group.stop)) for s in starts]

    def logits(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(rows, K) mixed logits of (h, rows, d) and (h, K, d)."""
        mixed: Tensor = self.head_mix(torch.bmm(queries * self.scale, keys.transpose(1, 2)))
        return mixed

    def loss(self, queries: Tensor, keys: Tensor, part: slice) -> Tensor:
        """Σ −w log p of some rows."""
        log_p = self.logits(queries, keys).log_softmax(-1)
        picked = log_p.gather(-1, self.rows.index[part])
        if self.floor:
            picked = torch.logaddexp(picked, picked.new_tensor(math.log(self.floor)))
        weight = self.rows.weight[part]
        # an empty slot costs nothing, even where its logarithm is −∞
        return -(weight * torch.where(weight > 0, picked, 0)).sum()


class _ChunkedLoss(torch.autograd.Function):
    """Sum of all rows' losses; the forward pass takes the gradients along, chunk by chunk.

    The loss is a scalar, so its gradients only have to be multiplied in the backward pass, and no
    chunk is computed twice, as it would be under ``torch.utils.checkpoint``.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, work: _Work, *parameters: Tensor) -> Tensor:
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], *ctx.needs_input_grad[3:]]
        with _in_float32(q):
            total, gradients = _evaluate(q, k, work, parameters, wanted)
        ctx.dtypes = [q.dtype, k.dtype, *(p.dtype for p in parameters)]
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        # multiplied in float32 before rounding: in float16 the loss scale must come first
        gradients = [
            None if g is None else (g * outer).to(dtype)
            for g, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (gradients[0], gradients[1], None, *gradients[2:])


def _gradients(
    loss: Tensor, sources: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Gradient in each source, None where not wanted or where the loss does not depend on it."""
    inputs = [s for s, w in zip(sources, wanted, strict=True) if w]
    found = iter(torch.autograd.grad(loss, inputs, allow_unused=True) if inputs else ())
    return [next(found) if w else None for w in wanted]


def _evaluate(
    q: Tensor, k: Tensor, work: _Work, parameters: Sequence[Tensor], wanted: Sequence[bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """The loss and its gradient in q, k and the parameters, None where not wanted."""
    sources = (q, k, *parameters)
    gradients = [
        torch.zeros_like(s, dtype=torch.float32) if w else None
        for s, w in zip(sources, wanted, strict=True)
    ]
    total = torch.zeros((), dtype=torch.float32, device=q.device)
    for group, keys, parts in work.by_group(k):
        first = group.key_view * work.rows.tokens
        keys.requires_grad_(wanted[1])
        for part in parts:
            query = work.rows.query[part]
            queries = _rows_of(q, group.batch, query).requires_grad_(wanted[0])
            with torch.set_grad_enabled(any(wanted)):
                loss = work.loss(queries, keys, part)
            total += loss.detach()
            of_q, of_k, *of_parameters = _gradients(loss, (queries, keys, *parameters), wanted)
            if gradients[0] is not None and of_q is not None:
                gradients[0][group.batch].index_add_(1, query, of_q)
            if gradients[1] is not None and of_k is not None:
                gradients[1][group.batch, :, first : first + work.rows.tokens] += of_k
            for into, found in zip(gradients[2:], of_parameters, strict=True):
                if into is not None and found is not None:
                    into.add_(found)
    return total, gradients
