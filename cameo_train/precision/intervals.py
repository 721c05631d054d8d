"""Uncertainty from the scenes: a bootstrap that draws whole scenes, the same for every number.

Queries of one pair of views, and pairs of one scene, go right or wrong together; drawing them one
by one would give intervals many times too narrow. One draw of scenes serves all bins, thresholds
and rows, so differences between rows are those of the same scenes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cameo_train.precision.tally import Tally, median_share

DRAWS = 1000  # the standard error is right to 2 %
LEVEL = 0.95
Scale = Literal["share", "size", "difference"]
_SEED = 20_251  # of the draws; fixed, so that a table is the same every time


def draws(units: int, count: int = DRAWS) -> NDArray[np.float64]:
    """(count, units): how often each scene is drawn; a row sums to their number."""
    rng = np.random.default_rng(_SEED)
    return rng.multinomial(units, np.full(units, 1 / units), count).astype(np.float64)


def present(tally: Tally) -> NDArray[np.bool_]:
    """(S,) which places hold any pair: the others are not of this part of the build."""
    found: NDArray[np.bool_] = tally.pairs.sum(1) > 0
    return found


def precision(tally: Tally) -> NDArray[np.float64]:
    """(B + 1, T): hits per query of each bin, and of all bins together last; NaN of no query."""
    return _ratio(_with_all(tally.hits.sum(0)), _with_all(tally.queries.sum(0))[:, None])


def precision_draws(tally: Tally, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, B + 1, T): the same of every draw (draws, S)."""
    hits = np.einsum("ds,sbt->dbt", weights, tally.hits)
    queries = weights @ tally.queries
    hits = np.concatenate([hits, hits.sum(1, keepdims=True)], 1)
    queries = np.concatenate([queries, queries.sum(1, keepdims=True)], 1)
    return _ratio(hits, queries[..., None])


def medians(tally: Tally) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B + 1,) median error as a share of the diagonal, and how far off it may be."""
    return median_share(_with_all(tally.errors.sum(0, dtype=np.int64)))


def median_draws(tally: Tally, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, B + 1): the median of every draw."""
    _, bins, levels = tally.errors.shape
    out = np.empty((len(weights), bins + 1))
    total = np.zeros((len(weights), levels))
    for b in range(bins):
        counts = weights @ tally.errors[:, b].astype(np.float64)
        total += counts
        out[:, b] = median_share(counts)[0]
    out[:, bins] = median_share(total)[0]
    return out


def interval(
    value: NDArray[np.float64],
    drawn: NDArray[np.float64],
    scenes: NDArray[np.int64],
    scale: Scale,
) -> NDArray[np.float64]:
    """(..., 2) interval of 95 % about numbers (...), from the same of every draw (draws, ...).

    The spread of the draws is the standard error, Student's t of the scenes less one widens it: few
    scenes hardly say how much scenes differ. Percentiles of the draws, which never leave the range
    of the scenes, would hold the truth of two scenes half of the time and of four in 88 %. The
    interval is symmetric on the scale of the number, log-odds of a share and logarithm of a size
    (as Stata's ``svy: proportion`` has it), so that it ends among the possible values.

    NaN where fewer than two scenes count, and where no draw differs, as where nothing at all is
    right: how scenes differ is then not known.

    Args:
        value: (B + 1, ...); drawn: draws without any query of a bin are NaN and left out.
        scenes: (B + 1,) that have queries in each bin.
        scale: of the numbers: ``share`` of queries, positive ``size``, or ``difference``.
    """
    count = scenes.reshape(-1, *[1] * (value.ndim - 1)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of bins that no draw has
        error = np.nanstd(drawn, 0)
        # the draws' variance is that of the mean of scenes, but for this factor
        width = _t(count - 1) * np.sqrt(count / (count - 1)) * error
        ends = on_scale(value, width, scale)
    told = (count >= 2) & (error > 1e-12)
    found: NDArray[np.float64] = np.where(told[..., None], ends, np.nan)
    return found


def on_scale(
    value: NDArray[np.float64], width: NDArray[np.float64], scale: Scale
) -> NDArray[np.float64]:
    """(..., 2) ends of an interval that reaches ``width`` to either side of ``value``.

    The interval is symmetric on the scale of the number and so ends among its possible values: in
    (0, 1) for a ``share``, above 0 for a ``size``. ``width`` is in the number's own unit and
    carried to the scale by the delta method.
    """
    sides = np.array([-1.0, 1.0])
    value, width = np.asarray(value)[..., None], np.asarray(width)[..., None]
    if scale == "share":
        place = np.log(value / (1 - value))
        return np.asarray(1 / (1 + np.exp(-(place + sides * width / (value * (1 - value))))))
    if scale == "size":
        return np.asarray(value * np.exp(sides * width / value))
    return np.asarray(value + sides * width)


def mean_interval(values: Sequence[float], scale: Scale) -> tuple[float, float] | None:
    """95 % interval of the mean of independent measurements (Student's t), on the numbers' scale.

    None where it is not known how they differ: of fewer than two, of equal ones, and of a mean
    share of exactly 0 or 1.
    """
    count, mean = len(values), float(np.mean(values))
    error = float(np.std(values, ddof=1)) / np.sqrt(count) if count > 1 else 0.0
    if error < 1e-12 or (scale == "share" and not 0 < mean < 1):
        return None
    width = _t(np.array(count - 1.0)) * error
    low, high = on_scale(np.array(mean), width, scale)
    return float(low), float(high)


def _t(freedom: NDArray[np.float64]) -> NDArray[np.float64]:
    quantile: NDArray[np.float64] = stats.t.ppf((1 + LEVEL) / 2, freedom)
    return quantile


def scenes_with_queries(tally: Tally) -> NDArray[np.int64]:
    """(B + 1,)."""
    asked = tally.queries > 0
    return np.append(asked.sum(0), asked.any(1).sum())


def _with_all(counts: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([counts, counts.sum(0, keepdims=True)])


def _ratio(top: NDArray[np.generic], below: NDArray[np.generic]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = np.divide(top, below)
    return np.where(np.broadcast_to(below, found.shape) == 0, np.nan, found)
