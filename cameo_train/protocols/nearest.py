"""The two nearest of many vectors, without a matrix of all distances."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROW_ENTRIES = 1 << 24  # entries of a block of the matrix: 64 MB in float32


def two_best(
    score: Callable[[Tensor], Tensor], queries: Tensor, keys: int
) -> tuple[Tensor, Tensor]:
    """Highest two scores of each query, and their keys.

    Args:
        score: function that gives (n, keys) scores of n queries; larger is nearer.
        queries: (Q, C), passed to ``score`` in blocks.
        keys: number of keys, at least 2.

    Returns:
        (Q, 2) scores, the highest first, and (Q, 2) int64.
    """
    rows = max(1, ROW_ENTRIES // keys)
    found = [score(block).topk(2, dim=1) for block in torch.split(queries, rows)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])
