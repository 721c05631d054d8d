"""The best candidate of every query, for all pairs of a group in a few matrix products.

All queries sought in one view, from whatever view they come, are rows of one product with that
view's candidates, a chunk of rows at a time; points that are not visible cost nothing.

The answer does not depend on chunks, batches or devices: where rounding of float32 leaves more than
one candidate, these are compared in float64. Shapes: V views, K cells, C channels, N queries.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cameo_train.precision.queries import Queries

# Products (rows × candidates) of a chunk: 2 MB, which stays in a core's cache; a GPU has to be
# filled.
CPU_CHUNK = 1 << 19
GPU_CHUNK = 1 << 26
_EXACT = 1 << 14  # rivals compared at a time
_UNIT = 2.0**-24  # roundoff of float32


def matched_tokens(q: Tensor, k: Tensor, asked: Queries, *, chunk: int | None = None) -> Tensor:
    """(N,) int64 on the CPU: for each query the cell of view 1 with the largest product.

    Args:
        q, k: (V, K, C) float32; for cosine similarity normalised. The product is what attention
            multiplies: with heads concatenated, it is the sum over heads.
        chunk: products held at a time.

    Raises:
        ValueError: shapes that do not fit.
    """
    if q.ndim != 3 or k.ndim != 3 or q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2]:
        raise ValueError(f"q and k are (V, K, C) both, got {tuple(q.shape)} and {tuple(k.shape)}")
    q, k = q.contiguous(), k.contiguous()  # a transposed view costs half as much again
    cells = q.shape[1]
    rows = torch.from_numpy(asked.view0 * cells + asked.token).to(q.device)
    flat = q.reshape(-1, q.shape[2])
    starts = torch.searchsorted(
        torch.from_numpy(np.ascontiguousarray(asked.view1)), torch.arange(q.shape[0] + 1)
    ).tolist()
    found = [
        best_of(flat[rows[start:stop]], k[view], chunk=chunk)
        for view, (start, stop) in enumerate(pairwise(starts))
        if stop > start
    ]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)


def unit_vectors(features: Tensor) -> Tensor:
    """(V, h·w, C) float32 of length 1, of (V, C, h, w); a zero vector stays one."""
    rows = features.float().flatten(2).transpose(1, 2).contiguous()
    length = rows.norm(dim=2, keepdim=True)
    return rows / torch.where(length > 0, length, 1.0)


def best_of(queries: Tensor, keys: Tensor, *, chunk: int | None = None) -> Tensor:
    """(n,) int64 on the CPU: the row of ``keys`` (K, C) with the largest product, of (n, C).

    Of equal ones the first.
    """
    size = chunk or (CPU_CHUNK if queries.device.type == "cpu" else GPU_CHUNK)
    step = max(1, size // max(1, len(keys)))
    # a product's error is at most C roundoffs of the norms' product (Higham 2002, section 3.1),
    # and two are compared
    room = 2 * (queries.shape[1] + 1) * _UNIT * float(keys.norm(dim=1).max())
    columns = keys.T
    found = []
    for rows in torch.split(queries, step):
        product = rows @ columns
        best = _argmax(product)[:, None]
        top = product.gather(1, best)
        least = top - room * rows.norm(dim=1, keepdim=True)
        product.scatter_(1, best, -torch.inf)
        close = (product.amax(1) >= least[:, 0]).nonzero()[:, 0]
        if len(close):
            product.scatter_(1, best, top)
            candidates = (product[close] >= least[close]).nonzero()
            best[close, 0] = _settled(rows[close], keys, candidates)
        found.append(best[:, 0])
    return torch.cat(found).cpu()


def _argmax(product: Tensor) -> Tensor:
    if product.device.type == "cpu":  # NumPy's is vectorised, ten times as fast as torch's
        return torch.from_numpy(product.numpy().argmax(1))
    return product.argmax(1)


def _settled(queries: Tensor, keys: Tensor, candidates: Tensor) -> Tensor:
    """(n,) best key of each query among (M, 2) candidates (query, key), in float64."""
    row, key = candidates.T.contiguous()
    exact = torch.cat(
        [
            (queries[r].double() * keys[k].double()).sum(1)
            for r, k in zip(torch.split(row, _EXACT), torch.split(key, _EXACT), strict=True)
        ]
    )
    top = exact.new_full((len(queries),), -torch.inf).scatter_reduce(0, row, exact, "amax")
    winners = exact == top[row]
    first = key.new_full((len(queries),), len(keys))
    settled: Tensor = first.scatter_reduce(0, row[winners], key[winners], "amin")
    return settled
