"""Both ordered pairs of two views from one matrix product, if queries and keys are the same.

The product of A's features with B's has the products of A's queries with B's cells in its rows, and
those of B's queries with A's cells in its columns. Only rows and columns with queries are computed:
for shares p and q this is p + q − pq of the whole product; two searches take p + q.

Shapes: K cells, C channels, n and m queries of A and of B.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cameo_train.matchers.best_candidate import best_of_product, room_of, settled

# Repeating features leave many candidates per query; such views are searched one way at a time.
MAX_CANDIDATES = 8


def mutual_best(
    a: Tensor, b: Tensor, asked_a: Tensor, asked_b: Tensor, *, step: int
) -> tuple[Tensor, Tensor] | None:
    """(n,) cells of B for the queries of A, and (m,) cells of A for the queries of B.

    The same as ``best_of`` of both, bit for bit; None if there are too many candidates.

    Args:
        a, b: (K, C) float32.
        asked_a, asked_b: (n,) and (m,) int64 cells that are queries, without repetition.
        step: rows of products held at a time.
    """
    order_b = _asked_first(asked_b, len(b))
    columns = b.index_select(0, order_b)  # five times as fast as b[order_b]
    room = room_of(a, b)
    upwards = _Upwards(columns[: len(asked_b)], room)
    forward = []
    for part in torch.split(asked_a, step):
        rows = a.index_select(0, part)
        product = rows @ columns.T
        upwards.add(product[:, : len(asked_b)], part)
        # This overwrites the product, so it comes last.
        forward.append(best_of_product(product, rows, columns, room, order_b))
    if len(asked_b):
        rest = _asked_first(asked_a, len(a))[len(asked_a) :]
        for part in torch.split(rest, step):
            upwards.add(a.index_select(0, part) @ columns[: len(asked_b)].T, part)
    backward = upwards.settled(a)
    if backward is None:
        return None
    return torch.cat(forward) if forward else asked_a.new_zeros(0), backward


class _Upwards:
    """Finds the best row of every column in products that arrive a few rows at a time."""

    def __init__(self, queries: Tensor, room: float) -> None:
        self.queries = queries
        self.least = room * queries.norm(dim=1)
        self.top = queries.new_full((len(queries),), -torch.inf)
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []
        self.count = 0

    def add(self, product: Tensor, cells: Tensor) -> None:
        """Takes products (rows, m) of further cells and keeps those that may still be the best."""
        if not product.numel() or self.count > MAX_CANDIDATES * len(self.queries):
            return
        self.top = torch.maximum(self.top, product.amax(0))
        # NumPy is four times as fast as torch here.
        near = np.greater_equal(product.numpy(), (self.top - self.least).numpy())
        place, count = torch.from_numpy(np.flatnonzero(near)), product.shape[1]
        row, column = place // count, place % count
        self.count += len(row)
        self.found.append((column, cells[row], product[row, column]))

    def settled(self, keys: Tensor) -> Tensor | None:
        """(m,) best cells; None if there were too many candidates."""
        if self.count > MAX_CANDIDATES * len(self.queries):
            return None
        if not self.found:
            return torch.zeros(0, dtype=torch.int64, device=keys.device)
        column, cell, value = (torch.cat(parts) for parts in zip(*self.found, strict=True))
        still = value >= (self.top - self.least)[column]
        column, cell = column[still], cell[still]
        many = column.bincount(minlength=len(self.queries)) > 1
        best = torch.empty(len(self.queries), dtype=torch.int64, device=keys.device)
        best[column] = cell
        if bool(many.any()):
            rivals = many[column]
            number = many.cumsum(0) - 1  # of the columns with rivals
            best[many] = settled(
                self.queries[many], keys, torch.stack([number[column[rivals]], cell[rivals]], 1)
            )
        return best


def _asked_first(asked: Tensor, count: int) -> Tensor:
    """All cells, the queries first."""
    others = torch.ones(count, dtype=torch.bool, device=asked.device)
    others[asked] = False
    return torch.cat([asked, others.nonzero()[:, 0]])
