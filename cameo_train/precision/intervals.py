"""Uncertainty from the scenes: a bootstrap that draws whole scenes, the same for every number.

Queries of one pair of views, and pairs of one scene, go right or wrong together; drawing them one
by one would give intervals many times too narrow. One draw of scenes serves all bins, thresholds
and rows, so differences between rows are those of the same scenes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cameo_train.precision.tally import Tally, median_share

DRAWS = 2000
LEVEL = 0.95
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


def interval(values: NDArray[np.float64], scenes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(..., 2) percentile interval over the first axis; NaN where fewer than two scenes count.

    A bootstrap of few scenes gives intervals that are too narrow; the percentiles are moved
    outwards by as much as Student's t and the bias of the variance ask for (expanded percentile
    interval, Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3).

    Args:
        values: (draws, B + 1, ...); draws without any query of a bin are left out of it.
        scenes: (B + 1,) that have queries in each bin.
    """
    out = np.full((*values.shape[1:], 2), np.nan)
    for b in np.flatnonzero(scenes >= 2):
        found = values[:, b]
        found = found[~np.isnan(found.reshape(len(found), -1)).any(1)]
        if len(found):
            tail = 100 * tail_share(int(scenes[b]))
            out[b] = np.moveaxis(np.percentile(found, [tail, 100 - tail], axis=0), 0, -1)
    return out


def tail_share(scenes: int) -> float:
    """Share of the draws below the interval, and above it; 2.5 % of very many scenes."""
    t = float(stats.t.ppf((1 + LEVEL) / 2, scenes - 1))
    return float(stats.norm.cdf(-t * math.sqrt(scenes / (scenes - 1))))


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
