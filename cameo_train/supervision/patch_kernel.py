"""Compiled: the tokens in which the cells of each patch land, and their shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def gather(
    xy: NDArray[np.float32],
    weight: NDArray[np.float32],
    rows: int,
    columns: int,
    rows_per_px: np.float32,
    columns_per_px: np.float32,
    slots: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(N, rows·columns, slots) tokens and shares of the patch, heaviest first; ties by token.

    Args:
        xy: (N, h, w, 2) px where each cell lands; h and w are multiples of rows and columns.
        weight: (N, h, w), 0 where a cell lands nowhere.
    """
    count, h, w = weight.shape
    high, wide = h // rows, w // columns
    index = np.zeros((count, rows * columns, slots), np.int64)
    share = np.zeros((count, rows * columns, slots), np.float32)
    mass = np.zeros(rows * columns, np.float64)  # of the tokens met in the patch at hand
    met = np.empty(high * wide, np.int64)
    for n in range(count):
        for query in range(rows * columns):
            top, left = (query // columns) * high, (query % columns) * wide
            tokens = 0
            for y in range(top, top + high):
                for x in range(left, left + wide):
                    if weight[n, y, x] > 0:
                        row = min(max(int(xy[n, y, x, 1] * rows_per_px), 0), rows - 1)
                        column = min(max(int(xy[n, y, x, 0] * columns_per_px), 0), columns - 1)
                        t = row * columns + column
                        if mass[t] == 0:
                            met[tokens] = t
                            tokens += 1
                        mass[t] += weight[n, y, x]
            for slot in range(min(slots, tokens)):
                best = 0
                for i in range(1, tokens):
                    a, b = mass[met[i]], mass[met[best]]
                    if a > b or (a == b and met[i] < met[best]):
                        best = i
                index[n, query, slot] = met[best]
                share[n, query, slot] = mass[met[best]] / (high * wide)
                mass[met[best]] = 0
                met[best] = met[tokens - 1]
                tokens -= 1
            for i in range(tokens):
                mass[met[i]] = 0
    return index, share
