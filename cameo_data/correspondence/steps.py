"""Whether a depth map is stored in whole steps, and how large they are.

8-bit disparities are whole steps of inverse depth; depth in millimetres is whole steps of depth.
Both turn slanted walls into stairs, and chance decides on which of two treads a point falls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Number of values examined. Steps below a ten-thousandth of the range are neither found nor needed.
SAMPLES = 4096
# Fewer levels may also be the few walls of a simple scene.
LEAST_LEVELS = 10
# Values in steps differ by whole multiples of a step. The smallest differences between neighbouring
# levels (a quantile, because float32 rounds some) are one step. Differences of a few steps deviate
# from whole steps by less than this share of a step on average; in continuous depth, by a quarter.
SMALLEST, FEW_STEPS, WHOLE = 0.01, 4.5, 0.08
# Among the places where the slope changes, the share where it changes by about one step: low at the
# edges of flat walls, one in stairs.
LEAST_STAIRS = 0.25


class Steps(NamedTuple):
    """Sizes of steps, of inverse depth or of depth; at most one is not 0."""

    inverse: float = 0.0
    depth: float = 0.0


NO_STEPS = Steps()


def steps_of(inverse: NDArray[np.float32]) -> Steps:
    """The steps of a map of inverse depth, in which 0 is unknown."""
    values = _sample(inverse)
    if values.size < LEAST_LEVELS:
        return NO_STEPS
    step, off = _step(values)
    step_z, off_z = _step(np.float32(1) / values)
    # in a narrow range, steps of one kind look like steps of the other
    if step and off <= off_z:
        return Steps(inverse=step) if _stairs(_rows(inverse), step) else NO_STEPS
    if step_z:
        rows = _rows(inverse)
        with np.errstate(divide="ignore"):
            rows = np.where(rows > 0, np.float32(1) / rows, np.float32(0))
        return Steps(depth=step_z) if _stairs(rows, step_z) else NO_STEPS
    return NO_STEPS


def _sample(inverse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some of the known values, or all of them where there are few."""
    some = inverse.ravel()[:: max(1, inverse.size // SAMPLES)]
    some = some[some > 0]
    if some.size >= SAMPLES // 2:
        return some
    values = inverse[inverse > 0]
    return values[:: max(1, values.size // SAMPLES)]


def _rows(a: NDArray[np.float32]) -> NDArray[np.float32]:
    return a[:: max(1, a.shape[0] // 64)]


def _step(values: NDArray[np.float32]) -> tuple[float, float]:
    """(step of which all differences are multiples, mean deviation as a share of it)."""
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    # smaller gaps are one level, rounded to float32 in different ways
    gaps = gaps[gaps > np.float32(1e-6) * ordered[-1]]
    if gaps.size < LEAST_LEVELS - 1:
        return 0.0, 1.0
    gaps = np.sort(gaps)
    smallest = gaps[int(SMALLEST * gaps.size)]
    ones = gaps[: np.searchsorted(gaps, 1.5 * smallest)]
    step = ones[ones.size // 2]
    few = gaps[: np.searchsorted(gaps, FEW_STEPS * step)] / step
    off = float(np.mean(np.abs(few - np.rint(few))))
    if off > WHOLE or few.size < 0.5 * gaps.size:
        return 0.0, 1.0
    return float(step), off


def _stairs(rows: NDArray[np.float32], size: float) -> bool:
    """Whether neighbours form stairs of this size, or too few are known to tell. A tilted plane has
    equal steps too, one per pixel, but no treads."""
    known = (rows[:, :-2] > 0) & (rows[:, 1:-1] > 0) & (rows[:, 2:] > 0)
    bend = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])[known]
    if bend.size < 50:
        return True
    bent = bend > 0.1 * size
    if bent.sum() < 0.005 * bend.size:
        return False
    return bool((bent & (bend < 1.5 * size)).sum() >= LEAST_STAIRS * bent.sum())
