"""The claim, split into parts that the figures can test.

A claimed effect is met or missed. A few seeds can never show that something does *not* happen:
such a claim is contradicted, or there is no sign against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cameo_train.reproduce.arms import BASELINE, CAMEO, CONTROL
from cameo_train.reproduce.geometry import LARGE_DEG, Geometry
from cameo_train.reproduce.summary import Line, Run

# CAMEO claims half the iterations. The other limits would make that useful and credible.
MOST_STEPS = 0.5
MOST_SECONDS = 0.6
LEAST_PRECISION = 0.8
LEAST_LEAD = 3.0


class ClaimOutcome(StrEnum):
    """The outcome of a claim; pages show the value."""

    MET = "met"
    MISSED = "not met"
    UNCONTRADICTED = "no sign against it"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Claim:
    """One sentence and its outcome.

    Attributes:
        outcome: MET or MISSED for an effect, the other two for the absence of one.
        found: figures, one for each seed.
    """

    text: str
    outcome: ClaimOutcome
    found: str


def judge(runs: Sequence[Run], lines: Sequence[Line], geometry: Geometry) -> list[Claim]:
    """The claims about ``cameo`` and its control, in order of importance."""
    by_arm = {line.arm.name: line for line in lines}
    claims = []
    if (cameo := by_arm.get(CAMEO)) is not None:
        claims += [_half(cameo), _time(cameo)]
    if (control := by_arm.get(CONTROL)) is not None:
        claims.append(_control(control))
    if geometry.large_deg == LARGE_DEG:
        claims += _precision(runs, geometry)
    return claims


def _half(line: Line) -> Claim:
    return Claim(
        f"with supervision the baseline's final loss is reached within {MOST_STEPS:.0%} of its "
        "iterations, in every seed",
        _effect(all(s is not None and s <= MOST_STEPS for s in line.steps_by_seed)),
        _shares(line),
    )


def _time(line: Line) -> Claim:
    mean = None if line.seconds is None else line.seconds.mean
    return Claim(
        f"and within {MOST_SECONDS:.0%} of its time, in the mean",
        _effect(mean is not None and line.reached == line.seeds and mean <= MOST_SECONDS),
        "never" if mean is None else f"{mean:.0%}",
    )


def _control(line: Line) -> Claim:
    helped = [share for share in line.steps_by_seed if share is not None and share <= MOST_STEPS]
    return Claim(
        "shuffled correspondences do not do so in any seed",
        ClaimOutcome.CONTRADICTED if helped else ClaimOutcome.UNCONTRADICTED,
        _shares(line),
    )


def _precision(runs: Sequence[Run], geometry: Geometry) -> list[Claim]:
    cameo, lead = [], []
    for run in runs:
        if run.arm.name != CAMEO:
            continue
        mine = geometry.best(CAMEO, run.seed, geometry.early)
        other = geometry.best(BASELINE, run.seed, geometry.early)
        if mine is None or mine.large is None or other is None or not other.large:
            continue
        cameo.append(mine.large)
        lead.append(mine.large / other.large)
    if not cameo:
        return []
    where = f"after a third of the steps, over {LARGE_DEG:.0f}° of rotation,"
    return [
        Claim(
            f"{where} the supervised layer finds at least {LEAST_PRECISION:.0%} of the points, "
            "in every seed",
            _effect(min(cameo) >= LEAST_PRECISION),
            ", ".join(f"{v:.1%}" for v in cameo),
        ),
        Claim(
            f"and at least {LEAST_LEAD:g} times as many as the baseline's best layer",
            _effect(min(lead) >= LEAST_LEAD),
            ", ".join(f"{v:.1f}×" for v in lead),
        ),
    ]


def _effect(shown: bool) -> ClaimOutcome:
    return ClaimOutcome.MET if shown else ClaimOutcome.MISSED


def _shares(line: Line) -> str:
    return ", ".join("never" if s is None else f"{s:.0%}" for s in line.steps_by_seed)
