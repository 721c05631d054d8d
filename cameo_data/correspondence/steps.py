"""Whether a depth map is stored in whole steps, and how large they are.

Disparities in 8 bits are whole steps of inverse depth, depth in millimetres of depth. Both make
stairs of slanted walls; which of two neighbouring treads a point is on is chance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Values looked at. Finer steps than a ten-thousandth of the range are not found, nor needed.
SAMPLES = 4096
# Fewer levels are as well the few walls of a simple scene.
LEAST_LEVELS = 10
# Values in steps differ by no less than a step: the smallest of their differences (a quantile, for
# float32 rounds some) is about as large as the usual one. Differences of other values are not.
SMALLEST, ALIKE = 0.01, 0.45
# Of the places where the slope changes at all, the share at which it changes by about one step: few
# beside the edges of flat walls, all in stairs.
LEAST_STAIRS = 0.25


class Steps(NamedTuple):
    """Sizes of steps, of inverse depth or of depth; at most one is not 0."""

    inverse: float = 0.0
    depth: float = 0.0


def steps_of(inverse: NDArray[np.float32]) -> Steps:
    """The steps of a map of inverse depth, in which 0 is unknown."""
    values = inverse[inverse > 0]
    values = values[:: max(1, values.size // SAMPLES)]
    if (size := _step(values)) and _stairs(inverse, size):
        return Steps(inverse=size)
    if values.size and (size := _step(np.float32(1) / values)):
        rows = _rows(inverse)
        with np.errstate(divide="ignore"):
            depth = np.where(rows > 0, np.float32(1) / rows, np.float32(0))
        if _stairs(depth, size):
            return Steps(depth=size)
    return Steps()


def _rows(a: NDArray[np.float32]) -> NDArray[np.float32]:
    return a[:: max(1, a.shape[0] // 64)]


def _step(values: NDArray[np.float32]) -> float:
    """The step of which all values are multiples but for an offset, or 0."""
    ordered = np.sort(values)
    if not ordered.size:
        return 0.0
    gaps = np.diff(ordered)
    # the same level, rounded to float32 in different ways
    gaps = gaps[gaps > np.float32(1e-6) * ordered[-1]]
    if gaps.size < LEAST_LEVELS - 1:
        return 0.0
    smallest, usual = np.quantile(gaps, [SMALLEST, 0.5])
    if smallest < ALIKE * usual:
        return 0.0
    return float(np.quantile(gaps, 0.1))


def _stairs(a: NDArray[np.float32], size: float) -> bool:
    """Whether neighbours lie on stairs of this size. A tilted plane has equal steps as well, one a
    pixel, but no treads. Where too few neighbours are known to tell, they may."""
    rows = _rows(a)
    known = (rows[:, :-2] > 0) & (rows[:, 1:-1] > 0) & (rows[:, 2:] > 0)
    bend = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])[known]
    if bend.size < 50:
        return True
    bent = bend > 0.1 * size
    if bent.sum() < 0.005 * bend.size:
        return False
    return bool((bent & (bend < 1.5 * size)).sum() >= LEAST_STAIRS * bent.sum())
