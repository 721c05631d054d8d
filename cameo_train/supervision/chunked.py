"""Losses over supervised rows, a chunk of rows at a time, without any attention map.

Only rows that carry a target are computed, one (query, key view) pair each, in float32. A chunk's
gradient is taken as soon as its loss is known, so nothing but the gradients of queries, keys and
mixing head is kept for the backward pass. What a row costs is a function of its logits.

Shapes: B, V views, K tokens per view, h heads, d channels per head, R supervised rows, T slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cameo_train.supervision.supervised_rows import Group, SupervisedRows

# mixed logits (R, K), target tokens (R, T), weights (R, T) -> sum of the rows' costs, a scalar
Cost = Callable[[Tensor, Tensor, Tensor], Tensor]
# Logits (rows × keys × heads) of a chunk. On a CPU they and the four times larger hidden layer
# should stay in the cache; on a GPU a chunk has to fill it, and takes some 0.5 GB.
CPU_CHUNK_LOGITS = 1 << 18
GPU_CHUNK_LOGITS = 1 << 24


def row_loss(
    q: Tensor,
    k: Tensor,
    rows: SupervisedRows,
    cost: Cost,
    *,
    head_mix: nn.Module,
    scale: float | None = None,
    chunk: int | None = None,
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Sum of the rows' costs over ``normalizer``, a float32 scalar; exactly 0 without rows.

    Arguments as of ``correspondence_loss``. Under ``torch.no_grad`` it is only evaluated.

    Args:
        cost: of some rows, all of one key view; differentiable in the logits, additive over rows.

    Raises:
        ValueError: sizes that do not fit each other.
    """
    work = RowWork.of(q, k, rows, head_mix, scale, chunk)
    if normalizer is None:
        normalizer = rows.total_weight
    inverse = torch.as_tensor(normalizer, dtype=torch.float32, device=q.device)
    inverse = torch.where(inverse > 0, 1 / inverse.clamp_min(torch.finfo(torch.float32).tiny), 0)
    total: Tensor
    if torch.is_grad_enabled():
        total = _ChunkedLoss.apply(q, k, work, cost, *head_mix.parameters())  # type: ignore[no-untyped-call]
    else:
        with in_float32(q):
            total = _evaluate(q, k, work, cost, (), (False, False))[0]
    return total * inverse


def chunk_rows(device: torch.device, heads: int, keys: int) -> int:
    """Rows that make a chunk of a good size on a device."""
    logits = CPU_CHUNK_LOGITS if device.type == "cpu" else GPU_CHUNK_LOGITS
    return max(1, logits // (heads * keys))


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


def in_float32(q: Tensor) -> torch.autocast:
    """Switches autocast off, which would round the products of the gradients too."""
    return torch.autocast(q.device.type, enabled=False)


def rows_of(q: Tensor, batch: int, query: Tensor) -> Tensor:
    return q[batch].detach().index_select(1, query).float()


@dataclass(frozen=True, eq=False)
class RowWork:
    """What is computed of q and k, apart from its derivatives."""

    rows: SupervisedRows
    head_mix: nn.Module
    scale: float
    chunk: int

    @classmethod
    def of(
        cls,
        q: Tensor,
        k: Tensor,
        rows: SupervisedRows,
        head_mix: nn.Module,
        scale: float | None = None,
        chunk: int | None = None,
    ) -> RowWork:
        """With the usual scale and the device's chunk where none is given.

        Raises:
            ValueError: sizes that do not fit each other.
        """
        _check(q, k, rows, chunk)
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        chunk = chunk or chunk_rows(q.device, heads=q.shape[1], keys=rows.tokens)
        return cls(rows, head_mix, scale, chunk)

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


class _ChunkedLoss(torch.autograd.Function):
    """Sum of all rows' losses; the forward pass takes the gradients along, chunk by chunk.

    The loss is a scalar, so its gradients only have to be multiplied in the backward pass, and no
    chunk is computed twice, as it would be under ``torch.utils.checkpoint``.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, work: RowWork, cost: Cost, *parameters: Tensor
    ) -> Tensor:
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], *ctx.needs_input_grad[4:]]
        with in_float32(q):
            total, gradients = _evaluate(q, k, work, cost, parameters, wanted)
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
        return (gradients[0], gradients[1], None, None, *gradients[2:])


def _gradients(
    loss: Tensor, sources: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Gradient in each source, None where not wanted or where the loss does not depend on it."""
    inputs = [s for s, w in zip(sources, wanted, strict=True) if w]
    found = iter(torch.autograd.grad(loss, inputs, allow_unused=True) if inputs else ())
    return [next(found) if w else None for w in wanted]


def _evaluate(
    q: Tensor,
    k: Tensor,
    work: RowWork,
    cost: Cost,
    parameters: Sequence[Tensor],
    wanted: Sequence[bool],
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
            queries = rows_of(q, group.batch, query).requires_grad_(wanted[0])
            with torch.set_grad_enabled(any(wanted)):
                logits = work.logits(queries, keys)
                loss = cost(logits, work.rows.index[part], work.rows.weight[part])
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
