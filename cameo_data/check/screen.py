"""Epipolar distances of a few matches of every pair at once: what a reading is worth, in a moment.

Many readings are looked at; most fail here already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.check import geometry
from cameo_data.check.matching import MatchedPair
from cameo_data.check.measure import WORST_PIXELS, Reading, turned_xy
from cameo_data.check.score import MOST_LOSS
from cameo_data.check.views import CheckedView
from cameo_data.types import FloatArray

# Matches per pair that are looked at.
SCREENED = 48
# The widest ratio of focal lengths that is tried: a field of view of 40° taken for one of 80°.
WIDEST_FOCAL_RATIO = 2.4


class Screen:
    """A sample of the matches of all pairs: features, or tracks where there are no features."""

    def __init__(self, views: Sequence[CheckedView], pairs: Sequence[MatchedPair]) -> None:
        rng = np.random.default_rng(0)
        ends: list[tuple[int, int]] = []
        xy: list[tuple[FloatArray, FloatArray]] = []
        self.hw: list[tuple[tuple[int, int], tuple[int, int]] | None] = []
        for pair in pairs:
            a, b = (pair.xy_a, pair.xy_b) if len(pair.xy_a) else (pair.tracks_a, pair.tracks_b)
            if len(a):
                rows = rng.integers(0, len(a), SCREENED)
                ends.append((pair.a, pair.b))
                sizes = views[pair.a].hw, views[pair.b].hw
                self.hw.append(None if len(pair.xy_a) else sizes)
                xy.append((a[rows], b[rows]))
        self.a, self.b = np.array(ends, np.intp).reshape(-1, 2).T
        self.xy_a, self.xy_b = (
            np.array([one[i] for one in xy]).reshape(-1, SCREENED, 2) for i in (0, 1)
        )
        diagonals = [float(np.hypot(*views[a].hw)) for a, _ in ends]
        self.worst = WORST_PIXELS * np.array(diagonals)

    def costs(self, reading: Reading) -> NDArray[np.float64]:
        """(P,) logarithms of median distances; NaN where a view has no camera."""
        a, b = self.a, self.b
        inverse = transforms.invert(reading.cam_from_world)
        between = reading.cam_from_world[b] @ inverse[a]
        xy_a, xy_b = self._matches(reading.tracks_turned)
        with np.errstate(all="ignore"):
            distance = geometry.epipolar_distance(reading.K[a], reading.K[b], between, xy_a, xy_b)
        median = np.median(np.minimum(distance, self.worst[:, None]), axis=1)
        usable = reading.usable[a] & reading.usable[b]
        return np.where(usable, np.log(np.maximum(median, 0.05)), np.nan)

    def _matches(self, tracks_turned: int) -> tuple[FloatArray, FloatArray]:
        """(P, SCREENED, 2) in both views, tracks turned as ``Reading`` says."""
        if not tracks_turned:
            return self.xy_a, self.xy_b
        xy_a, xy_b = self.xy_a.copy(), self.xy_b.copy()
        for row, sizes in enumerate(self.hw):
            if sizes is not None:
                xy_a[row] = turned_xy(xy_a[row], sizes[0], tracks_turned)
                xy_b[row] = turned_xy(xy_b[row], sizes[1], tracks_turned)
        return xy_a, xy_b

    def harmless(self, before: FloatArray, after: FloatArray) -> bool:
        """Whether the median pair does not get worse."""
        change = after - before
        known = np.isfinite(change)
        if not known.any():
            return not len(self.a)
        return bool(np.median(change[known]) <= np.log(MOST_LOSS))

    def focal_ratio(self, reading: Reading) -> float:
        """The factor on focal lengths under which matches lie nearest to their epipolar lines."""

        def cost(x: float) -> float:
            ratio = np.exp(x)
            zoomed = reading.K * np.array([[ratio, 1, 1], [1, ratio, 1], [1, 1, 1]])
            costs = self.costs(replace(reading, K=zoomed))
            known = costs[np.isfinite(costs)]
            return float(known.mean()) if len(known) else np.inf

        reach = np.log(WIDEST_FOCAL_RATIO)
        coarse = np.linspace(-reach, reach, 21)
        best = coarse[int(np.argmin([cost(x) for x in coarse]))]
        fine = best + np.linspace(-0.9, 0.9, 11) * (coarse[1] - coarse[0])
        return float(np.exp(fine[int(np.argmin([cost(x) for x in fine]))]))
