"""Frames that disagree with the others, which agree among themselves.

Medians over all pairs do not see two frames exchanged among many. Here each frame is judged by its
own pairs: their poses by features and tracks, their depth by depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cameo_data.check.matching import MatchedPair
from cameo_data.check.score import MEASURES
from cameo_data.types import FloatArray

Part = Literal["pose", "depth"]
# A pair is bad if it is this many times worse than the scene's better pairs (their lower quartile:
# two frames of seven are in half of the pairs), and worse than what good captures show: a share of
# the diagonal, a relative difference of depth.
TIMES_WORSE = 5.0
LEAST_BAD_EPIPOLAR = 0.004
LEAST_BAD_DEPTH = 0.02
# A frame is odd if so many of its pairs, and this share of them, are bad.
LEAST_BAD_PAIRS = 3
LEAST_BAD_SHARE = 0.75
# More odd frames than this share, and it is the scene that is bad.
MOST_ODD = 0.4


@dataclass(frozen=True)
class OddFrame:
    """A view that disagrees.

    Attributes:
        view: its index.
        part: what of it disagrees.
        value, usual: median over its pairs, and over pairs of the other views: pixels for ``pose``,
            relative depth difference for ``depth``.
    """

    view: int
    part: Part
    value: float
    usual: float

    def line(self, frame_id: str) -> str:
        """For people."""
        if self.part == "pose":
            return (
                f"frame {frame_id} disagrees with the others: its features are "
                f"{self.value:.1f} px from their epipolar lines, the others' {self.usual:.1f} px"
            )
        return (
            f"the depth of frame {frame_id} disagrees with the others': by "
            f"{100 * self.value:.1f} %, the others' by {100 * self.usual:.1f} %"
        )


def odd_frames(
    scores: FloatArray, pairs: Sequence[MatchedPair], diagonal_px: float
) -> list[OddFrame]:
    """The views that disagree with most of those they share something with.

    Args:
        scores: (P, 5) of ``pair_scores``.
    """
    ends = np.array([(pair.a, pair.b) for pair in pairs], np.intp).reshape(-1, 2)
    features, tracks = (scores[:, MEASURES.index(name)] for name in ("epipolar", "tracks"))
    epipolar = np.exp(np.where(np.isfinite(features), features, tracks))
    found = _odd(epipolar, ends, "pose", LEAST_BAD_EPIPOLAR * diagonal_px)
    depth = np.exp(scores[:, MEASURES.index("depth")])
    astray = [odd.view for odd in found]
    depth[np.isin(ends, astray).any(1)] = np.nan
    return [*found, *_odd(depth, ends, "depth", LEAST_BAD_DEPTH)]


def _odd(values: FloatArray, ends: NDArray[np.intp], part: Part, least: float) -> list[OddFrame]:
    known = np.isfinite(values)
    values, ends = values[known], ends[known]
    if not len(values):
        return []
    views = len(np.unique(ends))
    found: list[OddFrame] = []
    while len(values):
        limit = max(TIMES_WORSE * float(np.quantile(values, 0.25)), least)
        worst = _worst(values > limit, ends)
        if worst is None:
            break
        own = (ends == worst).any(1)
        rest = values[~own]
        usual = float(np.median(rest)) if len(rest) else 0.0
        found.append(OddFrame(worst, part, float(np.median(values[own])), usual))
        values, ends = rest, ends[~own]
    return found if len(found) <= MOST_ODD * views else []


def _worst(bad: NDArray[np.bool_], ends: NDArray[np.intp]) -> int | None:
    """The view with the largest share of bad pairs, if that is large enough."""
    best: tuple[float, int, int] | None = None
    for view in np.unique(ends):
        own = (ends == view).any(1)
        count, share = int(bad[own].sum()), float(bad[own].mean())
        if count >= LEAST_BAD_PAIRS and share >= LEAST_BAD_SHARE:
            best = max(best or (0.0, 0, 0), (share, count, int(view)))
    return None if best is None else best[2]
