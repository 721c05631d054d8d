"""The best candidate of every query, for all pairs of a group in a few matrix products.

All queries to be found in one view, whichever view they come from, are rows of one product with
that view's candidates, a chunk of rows at a time; points that are not visible cost nothing.

The result does not depend on chunks, batches or devices: if float32 rounding leaves more than one
candidate, these are compared in float64. Shapes: V views, K cells, C channels, N queries.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cameo_train.matchers.best_candidate import CPU_CHUNK, best_of
from cameo_train.matchers.mutual_nearest import mutual_best
from cameo_train.matchers.queries import Queries

# From this share of entries that serve both directions, one product is faster than two.
SHARED = 0.15


def matched_tokens(q: Tensor, k: Tensor, asked: Queries, *, chunk: int | None = None) -> Tensor:
    """(N,) int64 on the CPU: for each query the cell of view 1 with the largest product.

    Args:
        q, k: (V, K, C) float32; normalised for cosine similarity. The product is that of
            attention: with heads concatenated, it is the sum over heads. If both are the same
            tensor, a CPU computes one product for both ordered pairs of two views.
        chunk: number of products held at a time.

    Raises:
        ValueError: the shapes do not fit.
    """
    if q.ndim != 3 or k.ndim != 3 or q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2]:
        raise ValueError(f"q and k are (V, K, C) both, got {tuple(q.shape)} and {tuple(k.shape)}")
    if not len(asked):
        return torch.zeros(0, dtype=torch.int64)
    if q is k and q.device.type == "cpu":
        return _by_two_views(q.contiguous(), asked, chunk)
    return _by_key_view(q.contiguous(), k.contiguous(), asked, chunk)


def _by_key_view(q: Tensor, k: Tensor, asked: Queries, chunk: int | None) -> Tensor:
    cells = q.shape[1]
    rows = torch.from_numpy(asked.view0 * cells + asked.token).to(q.device)
    flat = q.reshape(-1, q.shape[2])
    starts = np.searchsorted(asked.view1, np.arange(len(k) + 1))
    found = [
        best_of(flat.index_select(0, rows[start:stop]), k[view], chunk=chunk)
        for view, (start, stop) in enumerate(pairwise(starts.tolist()))
        if stop > start
    ]
    return torch.cat(found)


def _by_two_views(units: Tensor, asked: Queries, chunk: int | None) -> Tensor:
    views, cells, _ = units.shape
    starts = np.searchsorted(asked.view1 * views + asked.view0, np.arange(views**2 + 1))
    token = torch.from_numpy(asked.token)
    found = torch.empty(len(asked), dtype=torch.int64)
    step = max(1, (chunk or CPU_CHUNK) // cells)
    for b in range(views):
        for a in range(b):
            # Queries of A to be found in B, and the reverse.
            there = slice(*starts[b * views + a : b * views + a + 2].tolist())
            back = slice(*starts[a * views + b : a * views + b + 2].tolist())
            best = None
            if len(token[there]) * len(token[back]) > SHARED * cells**2:
                best = mutual_best(units[a], units[b], token[there], token[back], step=step)
            if best is None:
                best = (
                    best_of(units[a].index_select(0, token[there]), units[b], chunk=chunk),
                    best_of(units[b].index_select(0, token[back]), units[a], chunk=chunk),
                )
            found[there], found[back] = best
    return found


def unit_vectors(features: Tensor) -> Tensor:
    """(V, h·w, C) float32 unit vectors from (V, C, h, w); a zero vector stays zero."""
    # One view at a time: torch transposes single matrices four times as fast as stacks.
    rows = torch.stack([view.flatten(1).T.contiguous() for view in features.float()])
    length = torch.linalg.vector_norm(rows, dim=2, keepdim=True)
    return rows.div_(torch.where(length > 0, length, 1.0))
