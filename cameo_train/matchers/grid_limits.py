"""The limits that the grid sets: precision of the best matcher of its cells, and of blind choice.

Both are computed from the true positions of the points, without simulation. The code is compiled,
since every query of every pair needs the floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cameo_train.protocols.measurement import Protocol


def ceiling_px(xy1: NDArray[np.float64], protocol: Protocol) -> NDArray[np.float64]:
    """(N,) error of the candidate nearest to each point (N, 2)."""
    rows, columns = protocol.grid_hw
    cell = np.floor(xy1 / protocol.stride)
    # If whole cells do not fill the image, points beyond them take the last cell.
    nearest = np.clip(cell, 0, np.array([columns - 1, rows - 1]))
    return distance_px((nearest + 0.5) * protocol.stride, xy1)


def token_error_px(
    token: NDArray[np.int64], xy1: NDArray[np.float64], protocol: Protocol
) -> NDArray[np.float64]:
    """(N,) error of the cells that a matcher chose."""
    row, column = np.divmod(token, protocol.grid_hw[1])
    return distance_px((np.stack([column, row], -1) + 0.5) * protocol.stride, xy1)


def distance_px(found: NDArray[np.float64], xy1: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) between points (N, 2)."""
    difference: NDArray[np.float64] = np.hypot(found[:, 0] - xy1[:, 0], found[:, 1] - xy1[:, 1])
    return difference


def chance(xy1: NDArray[np.float64], protocol: Protocol) -> NDArray[np.float64]:
    """(N, T) share of the candidates that count as right: the precision of blind choice."""
    rows, columns = protocol.grid_hw
    counts: NDArray[np.float64] = _within(
        np.ascontiguousarray(xy1), protocol.thresholds_px, rows, columns, float(protocol.stride)
    )
    return counts / (rows * columns)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _within(
    xy: Any, radii: Any, rows: int, columns: int, stride: float
) -> Any:  # pragma: no cover — compiled
    """(N, T) number of cell centres within a radius, counted one column of cells at a time."""
    counts = np.zeros((len(xy), len(radii)))
    for n in range(len(xy)):
        for t in range(len(radii)):
            total = 0
            for column in range(columns):
                dx = (column + 0.5) * stride - xy[n, 0]
                height = radii[t] * radii[t] - dx * dx
                if height < 0:
                    continue
                half = np.sqrt(height)
                low = np.ceil((xy[n, 1] - half) / stride - 0.5)
                high = np.floor((xy[n, 1] + half) / stride - 0.5)
                total += max(0, int(min(high, rows - 1)) - int(max(low, 0)) + 1)
            counts[n, t] = total
    return counts
