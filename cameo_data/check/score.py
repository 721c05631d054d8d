"""Two readings compared pair by pair, so that what is hard about a pair counts for neither.

Each pair gives up to five numbers (``MEASURES``); their logarithms add up, since a reading that is
right is better by a factor in all of them, whatever the pair's baseline and texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cameo_data.check.measure import (
    LEAST_POINTS,
    WORST_PIXELS,
    Dense,
    PairMeasure,
    correlation,
)
from cameo_data.types import FloatArray

MEASURES = ("epipolar", "transfer", "depth", "colour", "tracks")
# Between these a factor counts; below, it is the noise of features, rounded depth and resampling.
_EPIPOLAR_FLOOR_PX = 0.05
_TRANSFER_FLOOR_PX = 0.1
_DEPTH_RANGE = (1e-3, 0.5)
_COLOUR_RANGE = (0.01, 1.0)
# Fewer of a view's points than this land where the other sees anything: no agreement at all.
LEAST_COVISIBLE = 0.05
# Colour is compared where depths agree this well; a larger difference means a nearer surface.
SAME_SURFACE = 0.10
# A suspect must gain this factor over all measures together in the median pair, gain in this share
# of the pairs that change, and make no measure worse by more than this factor. Right readings of
# ten real sets gain up to 1.15 by some suspect, mistakes planted there 1.7 and more: docs/check.md.
LEAST_GAIN = 1.35
_SAME = 0.01
LEAST_SHARE = 0.75
LEAST_CHANGED = 3
MOST_LOSS = 1.15
# What gains this much may lose a little more: depth that is warped is resampled.
GREAT_GAIN, MOST_LOSS_OF_GREAT = 10.0, 1.3


def pair_scores(measures: Sequence[PairMeasure | None]) -> FloatArray:
    """(P, 5) natural logarithms per pair and measure; NaN where there is nothing to measure."""
    rows = [[np.nan] * len(MEASURES) if m is None else _scores(m) for m in measures]
    return np.array(rows, np.float64).reshape(-1, len(MEASURES))


def _scores(m: PairMeasure) -> list[float]:
    worst = WORST_PIXELS * m.diagonal_px
    epipolar = _log_median(m.epipolar_px, _EPIPOLAR_FLOOR_PX, worst)
    transfer = np.nan
    if m.transfer_px is not None:
        transfer = _log_median(m.transfer_px, _TRANSFER_FLOOR_PX, worst)
    tracks = _log_median(m.tracks_px, _EPIPOLAR_FLOOR_PX, worst)
    return [epipolar, transfer, _depth_score(m.dense), _colour_score(m.dense), tracks]


def _log_median(values: FloatArray, low: float, high: float) -> float:
    return float(np.log(np.clip(np.median(values), low, high))) if len(values) else np.nan


def _depth_score(dense: Sequence[Dense]) -> float:
    both = [d for d in dense if d.has_other_depth]
    if not both:
        return np.nan
    parts = [
        np.abs(d.residual) if d.covisible >= LEAST_COVISIBLE else np.full(1, _DEPTH_RANGE[1])
        for d in both
    ]
    return float(np.mean([_log_median(part, *_DEPTH_RANGE) for part in parts]))


def _colour_score(dense: Sequence[Dense]) -> float:
    if not dense:
        return np.nan
    return float(np.mean([np.log(_disagreement(d)) for d in dense]))


def _disagreement(d: Dense) -> float:
    """1 − correlation of grey levels where both views see one surface, in _COLOUR_RANGE."""
    same = d.same_surface(SAME_SURFACE)
    if same.sum() < LEAST_POINTS or same.sum() < LEAST_COVISIBLE * d.queries:
        return _COLOUR_RANGE[1]
    return float(np.clip(1 - correlation(d.grey[:, same]), *_COLOUR_RANGE))


@dataclass(frozen=True, eq=False)
class Gain:
    """How much better one reading is than another.

    Attributes:
        factor: of the median pair of those that change, all measures together; above 1 is better.
        share: of pairs that are better, among those that are better or worse at all (a pair whose
            matches are wrong is at its worst under any reading).
        by_measure: factor per measure in the median pair; absent where nothing was measured.
    """

    factor: float
    share: float
    by_measure: dict[str, float]

    @property
    def convincing(self) -> bool:
        """Whether the better reading may be named as the right one."""
        return self.harmless and self.factor >= LEAST_GAIN and self.share >= LEAST_SHARE

    @property
    def harmless(self) -> bool:
        """Whether no measure becomes worse."""
        most = MOST_LOSS if self.factor < GREAT_GAIN else MOST_LOSS_OF_GREAT
        return all(factor >= 1 / most for factor in self.by_measure.values())


def gain(before: FloatArray, after: FloatArray) -> Gain:
    """What ``after`` gains over ``before``, both (P, 5) of ``pair_scores``.

    A pair without a camera in one of the two counts for neither; a measure that only one of the
    two has (its depth cannot be read, say) counts as the worst for the other.
    """
    compared = np.zeros(len(before), np.bool_)
    for name in ("epipolar", "depth", "tracks"):
        column = MEASURES.index(name)
        compared |= np.isfinite(before[:, column]) & np.isfinite(after[:, column])
    if not compared.any():
        return Gain(1.0, 0.0, {})
    difference = _filled(before, after)[compared] - _filled(after, before)[compared]
    total = np.nansum(difference, axis=1)
    measured = np.asarray(np.isfinite(difference).any(0), np.bool_)
    by_measure = {
        name: float(np.exp(np.nanmedian(difference[:, i])))
        for i, name in enumerate(MEASURES)
        if measured[i]
    }
    better, worse = (total > _SAME).sum(), (total < -_SAME).sum()
    share = float(better / max(1, better + worse))
    # a pair that does not change, as where its matches are wrong under any reading, says nothing
    changed = total[np.abs(total) > _SAME]
    said = changed if len(changed) >= LEAST_CHANGED else total
    return Gain(float(np.exp(np.median(said))), share, by_measure)


def _filled(scores: FloatArray, other: FloatArray) -> FloatArray:
    """``scores`` with the worst value where only ``other`` has one."""
    worst = other + np.log(2)  # pixels have no range of their own: twice as bad as the other
    for name, value in (("depth", _DEPTH_RANGE[1]), ("colour", _COLOUR_RANGE[1])):
        column = MEASURES.index(name)
        worst[:, column] = np.where(np.isfinite(other[:, column]), np.log(value), np.nan)
    return np.where(np.isfinite(scores), scores, worst)
