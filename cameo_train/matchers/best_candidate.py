"""The best candidate of every query in products of features, the same on every device.

If float32 rounding leaves more than one candidate, these are compared in float64. Shapes: n
queries, K candidates, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Products (rows × candidates) per chunk. On a CPU, 2 MB stay in a core's cache; a GPU needs more
# work at a time.
CPU_CHUNK = 1 << 19


GPU_CHUNK = 1 << 26


_EXACT = 1 << 14  # rivals compared at a time


_UNIT = 2.0**-24  # roundoff of float32


def best_of(queries: Tensor, keys: Tensor, *, chunk: int | None = None) -> Tensor:
    """(n,) int64 on the CPU: the row of ``keys`` (K, C) with the largest product for each (n, C).

    Ties go to the first row.
    """
    size = chunk or (CPU_CHUNK if queries.device.type == "cpu" else GPU_CHUNK)
    step = max(1, size // max(1, len(keys)))
    room, columns = room_of(queries, keys), keys.T
    found = [
        best_of_product(rows @ columns, rows, keys, room) for rows in torch.split(queries, step)
    ]
    return torch.cat(found).cpu()


def room_of(queries: Tensor, keys: Tensor) -> float:
    """Largest difference by which rounding may reverse two products, for a query of norm 1.

    A product's error is at most C roundoffs of the norms' product (Higham 2002, section 3.1), and
    two products are compared.
    """
    return 2 * (queries.shape[1] + 1) * _UNIT * float(keys.norm(dim=1).max())


def best_of_product(
    product: Tensor, queries: Tensor, keys: Tensor, room: float, names: Tensor | None = None
) -> Tensor:
    """(n,) best key of each query from their products (n, K), which are overwritten.

    Args:
        names: (K,) int64 names of the keys; ties go to the smallest name.
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

    Runs on the CPU even if the products come from a GPU, so that the order of addition is the same.
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
