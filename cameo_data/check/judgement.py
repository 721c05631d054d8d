"""What one reading of a scene is worth: its figures, the frames that disagree, its complaints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cameo_data.check.figures import Figures, figures
from cameo_data.check.measure import (
    DENSE_POINTS,
    REPORTED_POINTS,
    PairMeasure,
    Reading,
    measure,
)
from cameo_data.check.odd import OddFrame, odd_frames
from cameo_data.check.score import pair_scores
from cameo_data.check.suspects.base import Context


@dataclass(frozen=True, eq=False)
class Judgement:
    """Of one reading.

    Attributes:
        odd: frames that disagree with the others.
        complaints: what is wrong, in words.
    """

    figures: Figures
    odd: tuple[OddFrame, ...]
    complaints: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether there is nothing to complain of."""
        return not self.complaints


def judge(context: Context, reading: Reading) -> Judgement:
    """The judgement on a reading, by as many points as a report takes."""
    measured = measured_pairs(context, reading, REPORTED_POINTS)
    found = figures(measured)
    odd = odd_frames(pair_scores(measured), context.pairs, found.diagonal_px)
    views = {one.view for one in odd}
    rest = [
        m for pair, m in zip(context.pairs, measured, strict=True) if not views & {pair.a, pair.b}
    ]
    # of a scene that is bad throughout no frame stands out
    if odd and not figures(rest).complaints():
        lines = [one.line(context.views[one.view].frame.frame_id) for one in odd]
        return Judgement(found, tuple(odd), tuple(lines))
    return Judgement(found, (), tuple(found.complaints()))


def measured_pairs(
    context: Context, reading: Reading, points: int = DENSE_POINTS
) -> Sequence[PairMeasure | None]:
    """The measures of all pairs under a reading."""
    # depths that the variant blew up overflow harmlessly: the result counts as the worst
    with np.errstate(over="ignore", invalid="ignore"):
        return [measure(reading, context.views, pair, points) for pair in context.pairs]
