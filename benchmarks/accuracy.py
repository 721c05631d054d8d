"""Verdicts against exact truth: clean depth, noisy depth, other units of length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth import THIN_GAP, Case, Curve, Tally, cases
from cameo_data.correspondence import correspond
from cameo_data.types import Camera, Correspondence, Verdict

Matcher = Callable[[Case], Correspondence]
Depth = NDArray[np.float32]


@lru_cache(maxsize=4)
def all_cases(hw: tuple[int, int], seed: int) -> tuple[Case, ...]:
    """The 18 ordered pairs of one scene."""
    return tuple(cases(hw, seed))


def match(case: Case) -> Correspondence:
    """The library's result through its public API."""
    pair = case.pair
    return correspond(case.depth0, pair.camera0, case.depth1, pair.camera1)


@dataclass(frozen=True)
class Figure:
    """One measured number and its target.

    Attributes:
        at_least: whether ``target`` is a floor (else a ceiling).
    """

    name: str
    value: float
    target: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def clean(found: Iterable[Case], matcher: Matcher = match) -> list[Figure]:
    """All figures for clean depth, over any number of cases."""
    everywhere, outline, one_surface = Tally(), Tally(), Tally()
    hidden, thin, thin_one = Tally(), Tally(), Tally()
    errors: list[NDArray[np.float64]] = []
    confidence: list[NDArray[np.float32]] = []
    right: list[NDArray[np.bool_]] = []
    for case in found:
        answer = matcher(case)
        said, true = answer.verdict == Verdict.VISIBLE, case.truth.verdict == Verdict.VISIBLE
        landed = case.truth.verdict >= Verdict.OCCLUDED
        covered = case.truth.verdict == Verdict.OCCLUDED
        everywhere.add(said, true)
        outline.add(said, true, case.outline)
        one_surface.add(said, true, case.one_surface & landed)
        hidden.add(said, true, covered)
        thin.add(said, true, covered & (case.gap < THIN_GAP))
        thin_one.add(said, true, covered & (case.gap < THIN_GAP) & case.one_surface)
        both = said & landed
        errors.append(np.linalg.norm(answer.xy1[both].astype(float) - case.truth.xy1[both], axis=1))
        confidence.append(answer.confidence[said])
        right.append(true[said])
    error = np.concatenate(errors)
    curve = Curve.of(confidence, right, everywhere.visible)
    return [
        Figure("position error of VISIBLE, mean (px)", float(error.mean()), 0.01, False),
        Figure("… 99.9th percentile (px)", float(np.percentile(error, 99.9)), 0.05, False),
        Figure("VISIBLE precision", everywhere.precision, 0.998),
        Figure("VISIBLE recall", everywhere.recall, 0.997),
        Figure("within 3 px of an outline: precision", outline.precision, 0.985),
        Figure("within 3 px of an outline: recall", outline.recall, 0.98),
        Figure("hidden points called VISIBLE", hidden.called_share, 0.01, False),
        Figure("… by something < 5 % nearer", thin.called_share, 0.02, False),
        Figure("four pixels see one surface: precision", one_surface.precision, 0.9999),
        Figure("four pixels see one surface: recall", one_surface.recall, 0.9995),
        Figure("… hidden by < 5 %, called VISIBLE", thin_one.called_share, 0.001, False),
        Figure("by confidence: recall at precision 0.9985", curve.recall_at(0.9985), 0.996),
        Figure("by confidence: precision at recall 0.98", curve.precision_at(0.98), 0.9995),
    ]


def degraded(
    depth: Depth, rng: np.random.Generator, block: int, noise: float, dropped: float
) -> Depth:
    """Depth with one relative error per block of pixels, and pixels missing at random."""
    h, w = depth.shape
    per_block = rng.standard_normal((-(-h // block), -(-w // block)))
    spread = np.kron(per_block, np.ones((block, block)))[:h, :w]
    out = (depth * (1 + noise * spread)).astype(np.float32)
    out[rng.random(depth.shape) < dropped] = 0
    return out


def noisy(
    found: Sequence[Case], block: int, noise: float = 0.005, dropped: float = 0.05
) -> list[Figure]:
    """Precision and recall among queries with known depth: at the query's own pixel, and at one of
    the four around the landing place."""
    rng = np.random.default_rng(1)
    tally, hidden = Tally(), Tally()
    for case in found:
        depth0 = degraded(case.depth0, rng, block, noise, dropped)
        depth1 = degraded(case.depth1, rng, block, noise, dropped)
        answer = match(replace(case, depth0=depth0, depth1=depth1))
        said, true = answer.verdict == Verdict.VISIBLE, case.truth.verdict == Verdict.VISIBLE
        knowable = (depth0 > 0) & near_known(case, depth1 > 0)
        tally.add(said, true, knowable)
        hidden.add(said, true, knowable & (case.truth.verdict == Verdict.OCCLUDED))
    return [
        Figure("precision", tally.precision, 0.98),
        Figure("recall", tally.recall, 0.92),
    ]


def near_known(case: Case, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether one of the four pixels around the true landing place is known."""
    xy = np.nan_to_num(case.truth.xy1.astype(np.float64)) - 0.5
    column, row = np.floor(xy[..., 0]).astype(int), np.floor(xy[..., 1]).astype(int)
    h, w = known.shape
    found = np.zeros(column.shape, bool)
    for dy in (0, 1):
        for dx in (0, 1):
            found |= known[np.clip(row + dy, 0, h - 1), np.clip(column + dx, 0, w - 1)]
    return found


def scaled(case: Case, factor: float) -> Case:
    """The same views with all lengths, depths and poses, multiplied."""

    def camera(old: Camera) -> Camera:
        moved = np.array(old.cam_from_world)
        moved[:3, 3] *= factor
        return Camera(old.K, old.hw, moved)

    pair = replace(case.pair, camera0=camera(case.pair.camera0), camera1=camera(case.pair.camera1))
    return replace(
        case,
        pair=pair,
        depth0=case.depth0 * np.float32(factor),
        depth1=case.depth1 * np.float32(factor),
    )


def changed_by_scale(found: Sequence[Case], factor: float) -> tuple[int, int]:
    """(verdicts that differ, all verdicts) when lengths are multiplied."""
    changed = total = 0
    for case in found:
        before, after = match(case), match(scaled(case, factor))
        changed += int((before.verdict != after.verdict).sum())
        total += before.verdict.size
    return changed, total
