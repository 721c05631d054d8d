"""The mistakes that explain a scene: those after whose undoing it is good.

Every suspect is undone in turn. One that gains convincingly and leaves nothing to complain of is an
explanation. Where none is, two and three at once are tried, for mistakes come in pairs, and neither
need gain anything by itself. What gains and still leaves the scene bad explains nothing, and is
reported as that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cameo_data.check import score
from cameo_data.check.figures import MOST_EPIPOLAR
from cameo_data.check.judgement import judge, measured_pairs
from cameo_data.check.measure import Reading
from cameo_data.check.states import Named, SearchResult, State
from cameo_data.check.suspects import (
    CAMERA_SUSPECTS,
    COLOUR_SUSPECTS,
    DEPTH_SUSPECTS,
    PAIRED_SUSPECTS,
    Context,
    Maker,
    Suspect,
    Variant,
    exchanged,
)
from cameo_data.types import FloatArray

# Mistakes named at most: more than three at once and the description is another data set's.
MOST_MISTAKES = 3
# Readings from which the search for a further mistake goes on, and pairs of cameras' mistakes that
# are looked at in full: the best by features.
BEAM = 3
CAMERA_PAIRS = 6
# Variants that are looked at in full: so many by features, and those that are as good as the best
# but for this much of a logarithm.
LEAST_TRIED = 6
AS_GOOD = 0.3


def search(context: Context, base: Reading) -> SearchResult:
    """The mistakes in a reading, as far as the suspects explain it."""
    start = State(base, score.pair_scores(measured_pairs(context, base)), judge(context, base))
    searcher = _Searcher(context, start.scores)
    best = searcher.explanation(start)
    if best is not None:
        best = searcher.refined(best)
        return SearchResult(start.judgement, best.mistakes)
    partial = () if start.judgement.good else searcher.partial(start)
    return SearchResult(start.judgement, (), partial)


class _Searcher:
    """One scene's search: what all its steps share."""

    def __init__(self, context: Context, at_first: FloatArray) -> None:
        self.context = context
        self.at_first = at_first
        self.screen = context.screen
        self._steps: dict[State, list[State]] = {}

    def explanation(self, start: State) -> State | None:
        """The best good state one, two or three mistakes away."""
        singles = self.steps(start)
        if best := _best(state for state in singles if state.judgement.good):
            return best
        if start.judgement.good:
            return None
        beam = _ranked(singles)[:BEAM]
        if not any(self._cameras_agree(state) for state in (start, *beam)):
            beam += self.camera_pairs(start)
        good = [state for state in beam if state.judgement.good]
        for state in beam:
            if len(state.mistakes) < MOST_MISTAKES:
                good += [further for further in self.steps(state) if further.judgement.good]
        return _best(good)

    def _cameras_agree(self, state: State) -> bool:
        """Whether what is left, if anything, is depth's."""
        figures = state.judgement.figures
        known = [px for px in (figures.epipolar_px, figures.tracks_px) if px is not None]
        return all(px <= MOST_EPIPOLAR * figures.diagonal_px for px in known)

    def refined(self, state: State) -> State:
        """The state with what else gains convincingly and leaves it good."""
        while len(state.mistakes) < MOST_MISTAKES:
            further = _best(one for one in self.steps(state) if one.judgement.good)
            if further is None:
                break
            state = further
        return state

    def partial(self, start: State) -> tuple[Named, ...]:
        ranked = _ranked(self.steps(start))
        return ranked[0].mistakes if ranked else ()

    def steps(self, state: State) -> list[State]:
        """All states with one mistake more undone that gain convincingly."""
        if state not in self._steps:
            self._steps[state] = [
                found
                for variant in self.variants(state)
                if (found := self._undone(state, variant)) is not None
            ]
        return self._steps[state]

    def variants(self, state: State) -> Iterator[Variant]:
        """Those not undone yet that features do not speak against."""
        yield from self._screened(state)
        if any(depth is not None for depth in state.reading.depths):
            # as long as features speak against the cameras, depth alone explains nothing
            makers = DEPTH_SUSPECTS if self._cameras_agree(state) else COLOUR_SUSPECTS
            for maker in makers:
                for variant in maker(self.context, state.reading):
                    if variant.suspect not in state.undone:
                        yield variant
        odd = state.judgement.odd
        if odd:
            yield from exchanged.exchanged_frames(self.context, state.reading, odd)
            yield from exchanged.depth_of_another_frame(self.context, state.reading, odd)

    def _screened(self, state: State) -> Iterator[Variant]:
        """The cameras' variants that are best by features, or as good as those."""
        before = self.screen.costs(state.reading)
        found: list[tuple[float, Variant]] = []
        for variant in _camera_variants(self.context, state):
            costs = self.screen.costs(variant.reading)
            if self.screen.harmless(before, costs):
                change = costs - before
                known = np.isfinite(change)
                found.append((float(np.median(change[known])) if known.any() else 0.0, variant))
        best = sorted(cost for cost, _ in found)
        limit = max([*best[:1], *best[LEAST_TRIED - 1 : LEAST_TRIED]], default=0.0)
        for cost, variant in found:
            if cost <= max(limit, best[0] + AS_GOOD):
                yield variant

    def camera_pairs(self, start: State) -> list[State]:
        """The best pairs of cameras' mistakes by features, and all about them."""
        if not self.context.featured:
            return []
        screen = self.context.small_screen
        before = screen.costs(start.reading)
        found: list[tuple[float, Variant, Variant]] = []
        for first in _camera_variants(self.context, start, PAIRED_SUSPECTS):
            state = State(first.reading, start.scores, start.judgement)
            for second in _camera_variants(self.context, state, PAIRED_SUSPECTS):
                if second.suspect != first.suspect:
                    costs = screen.costs(second.reading)
                    if screen.harmless(before, costs):
                        found.append((float(np.nanmedian(costs)), first, second))
        found.sort(key=lambda one: one[0])
        states: list[State | None] = []
        seen: list[Reading] = []
        for _, first, second in found:
            if len(states) == CAMERA_PAIRS or any(_same(second.reading, one) for one in seen):
                continue
            seen.append(second.reading)
            states.append(self._pair(start, first, second))
        return [state for state in states if state is not None]

    def _pair(self, start: State, first: Variant, second: Variant) -> State | None:
        found = self._undone(start, second)
        if found is None:
            return None
        middle = judge(self.context, first.reading)
        gain = found.mistakes[-1].gain
        both = (
            Named(first.suspect, first.values, gain, middle.figures),
            Named(second.suspect, second.values, gain, found.judgement.figures),
        )
        return State(found.reading, found.scores, found.judgement, both, found.factor)

    def _undone(self, state: State, variant: Variant) -> State | None:
        """The state once the variant's mistake is undone, if that gains convincingly."""
        before = state.scores
        # features are quick to move, dense depth is not: what already fails there is dropped
        if self.context.featured:
            quick = score.pair_scores(measured_pairs(self.context, variant.reading, 0))
            if not score.gain(_without_dense(before), quick).harmless:
                return None
        after = score.pair_scores(measured_pairs(self.context, variant.reading))
        gain = score.gain(before, after)
        of_frames = variant.suspect in FRAME_SUSPECTS
        if not (of_frames or gain.convincing):
            return None
        judgement = judge(self.context, variant.reading)
        # single frames are few among all pairs: they are mended where fewer of them disagree
        if of_frames and not (judgement.good or 0 < len(judgement.odd) < len(state.judgement.odd)):
            return None
        named = Named(variant.suspect, variant.values, gain, judgement.figures)
        mistakes = (*state.mistakes, named)
        # gains of steps do not multiply: each is of another median pair
        together = score.gain(self.at_first, after).factor
        return State(variant.reading, after, judgement, mistakes, together)


FRAME_SUSPECTS = frozenset(
    {Suspect.FRAMES_EXCHANGED, Suspect.FRAME_DOUBLED, Suspect.DEPTH_OF_ANOTHER_FRAME}
)


def _camera_variants(
    context: Context, state: State, makers: Sequence[Maker] = CAMERA_SUSPECTS
) -> Iterator[Variant]:
    for maker in makers:
        for variant in maker(context, state.reading):
            if variant.suspect not in state.undone:
                yield variant


def _best(states: Iterator[State] | Sequence[State]) -> State | None:
    """The one that gains most; of almost the same gains the first."""
    best: State | None = None
    for state in states:
        if best is None or state.credit > 1.02 * best.credit:
            best = state
    return best


def _ranked(states: Sequence[State]) -> list[State]:
    return sorted(states, key=lambda state: state.credit, reverse=True)


def _without_dense(scores: FloatArray) -> FloatArray:
    kept = [name in ("epipolar", "transfer", "tracks") for name in score.MEASURES]
    return np.where(kept, scores, np.nan)


def _same(one: Reading, two: Reading) -> bool:
    same = np.allclose(one.K, two.K) and np.allclose(one.cam_from_world, two.cam_from_world)
    return same and all(a is b for a, b in zip(one.depths, two.depths, strict=True))
