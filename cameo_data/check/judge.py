"""Whether a scene's cameras and depths are consistent, and if not, which mistake it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cameo_data.check.figures import Figures
from cameo_data.check.matching import MatchedPair, match_pairs
from cameo_data.check.measure import Reading
from cameo_data.check.search import search
from cameo_data.check.states import Named
from cameo_data.check.suspects import Context
from cameo_data.check.views import CheckedView, choose_by_pose, choose_places, read_views
from cameo_data.errors import DataError, Failure
from cameo_data.types import Scene

SceneVerdict = Literal["consistent", "inconsistent", "undecided"]

VIEWS, PAIRS = 16, 40
# Fewest pairs that can convince.
LEAST_PAIRS = 3
# With fewer pairs the frames' order is taken to mean nothing.
FEW_PAIRS = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class SceneCheck:
    """What was found of one scene.

    Attributes:
        views, pairs: that were looked at.
        mistakes: in the order found; undone all together they give ``mistakes[-1].after``, which
            leaves nothing to complain of.
        partial: mistakes whose undoing makes the scene better, but leaves it bad: no explanation.
        complaints: what is wrong with the figures as they are, in words.
        failures: frames that could not be read.
    """

    scene_id: str
    verdict: SceneVerdict
    views: int
    pairs: int
    figures: Figures | None
    mistakes: tuple[Named, ...] = ()
    complaints: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = field(default=())
    partial: tuple[Named, ...] = ()


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
            scene_id=scene.scene_id,
            verdict="undecided",
            views=len(read),
            pairs=len(matched),
            figures=None,
            mistakes=(),
            complaints=(few,),
            failures=tuple(failures),
        )
    found = search(context, base)
    before = found.before.figures
    complaints = found.before.complaints
    verdict: SceneVerdict = "consistent"
    if found.mistakes or complaints:
        verdict = "inconsistent"
    elif before.epipolar_px is None and before.tracks_px is None and before.depth_within is None:
        verdict = "undecided"
        complaints = ("neither features nor depth to compare",)
    return SceneCheck(
        scene_id=scene.scene_id,
        verdict=verdict,
        views=len(read),
        pairs=len(matched),
        figures=before,
        mistakes=found.mistakes,
        complaints=complaints,
        failures=tuple(failures),
        partial=found.partial,
    )


def _look(
    scene: Scene, views: int, pairs: int, seed: int
) -> tuple[list[CheckedView], list[MatchedPair], list[Failure]]:
    """Views and pairs by capture order; by pose where that gives too few."""
    read, failures = read_views(scene, choose_places(len(scene.frames), views, seed))
    matched = _matched(scene, read, pairs, seed, failures)
    if _featured(matched) >= FEW_PAIRS or len(scene.frames) <= views:
        return read, matched, failures
    others, more = read_views(scene, choose_by_pose(scene.frames, views, seed))
    paired = _matched(scene, others, pairs, seed, more)
    if _featured(paired) <= _featured(matched):
        return read, matched, failures
    return others, paired, more


def _matched(
    scene: Scene, views: Sequence[CheckedView], pairs: int, seed: int, failures: list[Failure]
) -> list[MatchedPair]:
    """Pairs by features and the scene's own matches; by features alone where those are damaged."""
    try:
        return match_pairs(views, pairs, seed, scene)
    except DataError as error:
        failures.append(error.failure)
        return match_pairs(views, pairs, seed)


def _featured(pairs: Sequence[MatchedPair]) -> int:
    return sum(len(pair.xy_a) > 0 or len(pair.tracks_a) > 0 for pair in pairs)
