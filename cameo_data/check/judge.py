"""Whether a scene's cameras and depths are consistent, and if not, which mistake it is.

The reading is measured as it is. Then every suspect is undone in turn; the one that gains most, if
convincingly, is named, and the search goes on from there, for mistakes come in pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from cameo_data.check import score, suspects
from cameo_data.check.colour_camera import colour_not_registered
from cameo_data.check.figures import Figures, figures
from cameo_data.check.measure import (
    DENSE_POINTS,
    REPORTED_POINTS,
    PairMeasure,
    Reading,
    measure,
)
from cameo_data.check.score import Gain
from cameo_data.check.suspects import Context, Variant
from cameo_data.check.views import (
    CheckedView,
    MatchedPair,
    choose_by_pose,
    choose_places,
    match_pairs,
    read_views,
)
from cameo_data.errors import Failure
from cameo_data.types import FloatArray, Scene

Verdict = Literal["consistent", "inconsistent", "undecided"]

VIEWS, PAIRS = 16, 40
# Mistakes named at most: more than three at once and the description is another data set's.
MOST_MISTAKES = 3
# Fewest pairs that can convince.
LEAST_PAIRS = 3
# With fewer pairs the frames' order is taken to mean nothing.
FEW_PAIRS = 6


@dataclass(frozen=True, eq=False)
class Named:
    """A mistake found.

    Attributes:
        values: see ``suspects.Variant``.
        after: figures once it is undone (together with those named before it).
    """

    suspect: str
    values: dict[str, Any]
    gain: Gain
    after: Figures


@dataclass(frozen=True, eq=False)
class SceneCheck:
    """What was found of one scene.

    Attributes:
        views, pairs: that were looked at.
        mistakes: in the order found; undone all together they give ``mistakes[-1].after``.
        complaints: what is wrong with the figures as they are, in words.
        failures: frames that could not be read.
    """

    scene_id: str
    verdict: Verdict
    views: int
    pairs: int
    figures: Figures | None
    mistakes: tuple[Named, ...] = ()
    complaints: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = field(default=())


def check_scene(
    scene: Scene, *, views: int = VIEWS, pairs: int = PAIRS, seed: int = 0
) -> SceneCheck:
    """The verdict on one scene; the same for the same seed."""
    read, matched, failures = _look(scene, views, pairs, seed)
    context = Context(scene, read, matched)
    base = Reading.of_views(read) if read else None
    if base is None or len(matched) < min(LEAST_PAIRS, len(read) - 1) or not matched:
        few = f"{len(matched)} pairs of {len(read)} views share features"
        return SceneCheck(
            scene.scene_id, "undecided", len(read), len(matched), None, (), (few,), tuple(failures)
        )
    before, mistakes = _search(context, base)
    complaints = tuple(before.complaints())
    verdict: Verdict = "consistent"
    if mistakes or complaints:
        verdict = "inconsistent"
    elif before.epipolar_px is None and before.depth_within is None:
        verdict = "undecided"
        complaints = ("neither features nor depth to compare",)
    return SceneCheck(
        scene.scene_id,
        verdict,
        len(read),
        len(matched),
        before,
        tuple(mistakes),
        complaints,
        tuple(failures),
    )


def _look(
    scene: Scene, views: int, pairs: int, seed: int
) -> tuple[list[CheckedView], list[MatchedPair], list[Failure]]:
    """Views and pairs by capture order; by pose where that gives too few."""
    read, failures = read_views(scene, choose_places(len(scene.frames), views, seed))
    matched = match_pairs(read, pairs, seed)
    if _featured(matched) >= FEW_PAIRS or len(scene.frames) <= views:
        return read, matched, failures
    others, more = read_views(scene, choose_by_pose(scene.frames, views, seed))
    paired = match_pairs(others, pairs, seed)
    if _featured(paired) <= _featured(matched):
        return read, matched, failures
    return others, paired, more


def _featured(pairs: Sequence[MatchedPair]) -> int:
    return sum(len(pair.xy_a) > 0 for pair in pairs)


def _search(context: Context, base: Reading) -> tuple[Figures, list[Named]]:
    before = figures(_measure(context, base, REPORTED_POINTS))
    mistakes: list[Named] = []
    current, scores = base, score.pair_scores(_measure(context, base))
    while len(mistakes) < MOST_MISTAKES:
        tried = {named.suspect for named in mistakes}
        best = _best(context, current, scores, tried)
        if best is None:
            break
        variant, gain, scores = best
        current = variant.reading
        after = figures(_measure(context, current, REPORTED_POINTS))
        mistakes.append(Named(variant.suspect, variant.values, gain, after))
    return before, mistakes


def _best(
    context: Context, current: Reading, scores: FloatArray, tried: set[str]
) -> tuple[Variant, Gain, FloatArray] | None:
    """The convincing variant that gains most."""
    best: tuple[Variant, Gain, FloatArray] | None = None
    for variant in _variants(context, current):
        if variant.suspect in tried:
            continue
        # features are quick to move, dense depth is not: what already fails there is dropped
        quick = score.pair_scores(_measure(context, variant.reading, 0))
        if not score.gain(_without_dense(scores), quick).harmless:
            continue
        after = score.pair_scores(_measure(context, variant.reading))
        gain = score.gain(scores, after)
        if gain.convincing and (best is None or gain.factor > 1.02 * best[1].factor):
            best = variant, gain, after
    return best


def _variants(context: Context, current: Reading) -> Iterator[Variant]:
    for suspect in suspects.CAMERA_SUSPECTS:
        yield from suspect(context, current)
    if any(depth is not None for depth in current.depths):
        for suspect in (*suspects.DEPTH_SUSPECTS, colour_not_registered):
            yield from suspect(context, current)


def _without_dense(scores: FloatArray) -> FloatArray:
    return np.where([True, True, False, False], scores, np.nan)


def _measure(
    context: Context, reading: Reading, points: int = DENSE_POINTS
) -> Sequence[PairMeasure | None]:
    # depths that the variant blew up overflow harmlessly: the result counts as the worst
    with np.errstate(over="ignore", invalid="ignore"):
        return [measure(reading, context.views, pair, points) for pair in context.pairs]
