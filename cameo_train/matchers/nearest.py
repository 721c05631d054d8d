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

from cameo_train.matchers.queries import Queries

# Products (rows × candidates) of a chunk: 2 MB, which stays in a core's cache; a GPU has to be
# filled.
CPU_CHUNK = 1 << 19
GPU_CHUNK = 1 << 26
# Share of a product's entries that serve both ways, from which on one product beats two.
SHARED = 0.15
_EXACT = 1 << 14  # rivals compared at a time
_UNIT = 2.0**-24  # roundoff of float32


def matched_tokens(q: Tensor, k: Tensor, asked: Queries, *, chunk: int | None = None) -> Tensor:
    """(N,) int64 on the CPU: for each query the cell of view 1 with the largest product.

    Args:
        q, k: (V, K, C) float32; for cosine similarity normalised. The product is what attention
            multiplies: with heads concatenated, it is the sum over heads. Where both are the same
            tensor, a CPU makes one product for both ordered pairs of two views.
        chunk: products held at a time.

    Raises:
        ValueError: shapes that do not fit.
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
    from cameo_train.matchers.mutual_nearest import mutual_best

    views, cells, _ = units.shape
    starts = np.searchsorted(asked.view1 * views + asked.view0, np.arange(views**2 + 1))
    token = torch.from_numpy(asked.token)
    found = torch.empty(len(asked), dtype=torch.int64)
    step = max(1, (chunk or CPU_CHUNK) // cells)
    for b in range(views):
        for a in range(b):
            # queries of A that are sought in B, and the other way round
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
    """(V, h·w, C) float32 of length 1, of (V, C, h, w); a zero vector stays one."""
    # view by view: torch transposes matrices four times as fast as stacks of them
    rows = torch.stack([view.flatten(1).T.contiguous() for view in features.float()])
    length = torch.linalg.vector_norm(rows, dim=2, keepdim=True)
    return rows.div_(torch.where(length > 0, length, 1.0))


def best_of(queries: Tensor, keys: Tensor, *, chunk: int | None = None) -> Tensor:
    """(n,) int64 on the CPU: the row of ``keys`` (K, C) with the largest product, of (n, C).

    Of equal ones the first.
    """
    size = chunk or (CPU_CHUNK if queries.device.type == "cpu" else GPU_CHUNK)
    step = max(1, size // max(1, len(keys)))
    room, columns = room_of(queries, keys), keys.T
    found = [
        best_of_product(rows @ columns, rows, keys, room) for rows in torch.split(queries, step)
    ]
    return torch.cat(found).cpu()


def room_of(queries: Tensor, keys: Tensor) -> float:
    """How far two computed products with keys may lie apart the wrong way, a unit of the query.

    A product's error is at most C roundoffs of the norms' product (Higham 2002, section 3.1), and
    two are compared.
    """
    return 2 * (queries.shape[1] + 1) * _UNIT * float(keys.norm(dim=1).max())


def best_of_product(
    product: Tensor, queries: Tensor, keys: Tensor, room: float, names: Tensor | None = None
) -> Tensor:
    """(n,) best key of each query, of their products (n, K), which are overwritten.

    Args:
        names: (K,) int64 what the keys are called; of equal ones the smallest name is the best.
    """
    best = _argmax(product)[:, None]
    top = product.gather(1, best)
    least = top - room * queries.norm(dim=1, keepdim=True)
    product.scatter_(1, best, -torch.inf)
    close = (product.amax(1) >= least[:, 0]).nonzero()[:, 0]
    found = best[:, 0] if names is None else names[best[:, 0]]
    if len(close):
        product.scatter_(1, best, top)
        candidates = (product[close] >= least[close]).nonzero()
        found[close] = settled(queries[close], keys, candidates, names)
    return found


def _argmax(product: Tensor) -> Tensor:
    if product.device.type == "cpu":  # NumPy's is vectorised, ten times as fast as torch's
        return torch.from_numpy(product.numpy().argmax(1))
    return product.argmax(1)


def settled(
    queries: Tensor, keys: Tensor, candidates: Tensor, names: Tensor | None = None
) -> Tensor:
    """(n,) best key of each query among (M, 2) candidates (query, key), in float64.

    On the CPU, where the products may be from a GPU: both then add in the same order.
    """
    device = queries.device
    row, key = candidates.T.contiguous()
    exact = torch.cat(
        [
            (queries[r].cpu().double() * keys[k].cpu().double()).sum(1)
            for r, k in zip(torch.split(row, _EXACT), torch.split(key, _EXACT), strict=True)
        ]
    )
    row, key = row.cpu(), key.cpu()
    names = None if names is None else names.cpu()
    top = exact.new_full((len(queries),), -torch.inf).scatter_reduce(0, row, exact, "amax")
    winners = exact == top[row]
    name = key if names is None else names[key]
    first = key.new_full((len(queries),), len(keys))
    best: Tensor = first.scatter_reduce(0, row[winners], name[winners], "amin")
    return best.to(device)
