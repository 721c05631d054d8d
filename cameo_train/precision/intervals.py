"""Uncertainty from the scenes: a bootstrap that draws whole scenes, the same for every number.

Queries of one pair of views, and pairs of one scene, are right or wrong together; drawing them
individually would give intervals many times too narrow. One draw of scenes serves all bins,
thresholds and rows, so differences between rows are over the same scenes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cameo_train.precision.tally import Tally, median_share

DRAWS = 1000  # the standard error is accurate to 2 %
LEVEL = 0.95
Scale = Literal["share", "size", "difference"]
_SEED = 20_251  # seed of the draws; fixed, so that a table is the same every time


def draws(units: int, count: int = DRAWS) -> NDArray[np.float64]:
    """(count, units) times that each scene is drawn; a row sums to the number of scenes."""
    rng = np.random.default_rng(_SEED)
    return rng.multinomial(units, np.full(units, 1 / units), count).astype(np.float64)


def present(tally: Tally) -> NDArray[np.bool_]:
    """(S,) whether a place holds any pair; the others are not in this part of the build."""
    found: NDArray[np.bool_] = tally.pairs.sum(1) > 0
    return found


def precision(tally: Tally) -> NDArray[np.float64]:
    """(B + 1, T) hits per query in each bin, then in all bins together; NaN without queries."""
    return _ratio(_with_all(tally.hits.sum(0)), _with_all(tally.queries.sum(0))[:, None])


def precision_draws(tally: Tally, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, B + 1, T) hits per query in every draw (draws, S)."""
    hits = np.einsum("ds,sbt->dbt", weights, tally.hits)
    queries = weights @ tally.queries
    hits = np.concatenate([hits, hits.sum(1, keepdims=True)], 1)
    queries = np.concatenate([queries, queries.sum(1, keepdims=True)], 1)
    return _ratio(hits, queries[..., None])


def medians(tally: Tally) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B + 1,) median error as a share of the diagonal, and its largest deviation."""
    return median_share(_with_all(tally.errors.sum(0, dtype=np.int64)))


def median_draws(tally: Tally, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, B + 1) median error of every draw."""
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
    """(..., 2) 95 % interval of numbers (...), from their values in every draw (draws, ...).

    The spread of the draws is the standard error, widened by Student's t with one degree of freedom
    fewer than scenes, since few scenes hardly show how much scenes differ. Percentiles of the draws
    never leave the range of the scenes: they would contain the truth half of the time for two
    scenes and in 88 % for four. The interval is symmetric on the scale of the number, log-odds of a
    share and logarithm of a size (as in Stata's ``svy: proportion``), so its ends are possible
    values.

    NaN if fewer than two scenes count, or if no draw differs, for example if every match is wrong:
    how much scenes differ is then unknown.

    Args:
        value: (B + 1, ...); drawn: draws without any query in a bin are NaN and left out.
        scenes: (B + 1,) number of scenes with queries in each bin.
        scale: kind of the numbers: ``share`` of queries, positive ``size``, or ``difference``.
    """
    count = scenes.reshape(-1, *[1] * (value.ndim - 1)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # from bins that are empty in all draws
        error = np.nanstd(drawn, 0)
        # The draws' variance is that of the mean of the scenes up to this factor.
        width = _t(count - 1) * np.sqrt(count / (count - 1)) * error
        ends = on_scale(value, width, scale)
    told = (count >= 2) & (error > 1e-12)
    found: NDArray[np.float64] = np.where(told[..., None], ends, np.nan)
    return found


def on_scale(
    value: NDArray[np.float64], width: NDArray[np.float64], scale: Scale
) -> NDArray[np.float64]:
    """(..., 2) ends of an interval that extends ``width`` to either side of ``value``.

    The interval is symmetric on the scale of the number, so its ends are possible values: in (0, 1)
    for a ``share``, above 0 for a ``size``. ``width`` is in the number's own unit; the delta method
    converts it to the scale.
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

    None if their spread is unknown: for fewer than two, for equal ones, and for a mean share of
    exactly 0 or 1.
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
