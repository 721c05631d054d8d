"""Summary of the runs: how soon each arm reaches its baseline's final loss, and its precision.

The loss is that of the target views of held-out scenes, with the same noise for all. A *crossing*
is the first step at or below a level, interpolated linearly between two measurements.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_train.precision.intervals import Scale, mean_interval
from cameo_train.reproduce.arms import Arm


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run: the lines of its ``metrics.jsonl``."""

    arm: Arm
    seed: int
    rows: Sequence[dict[str, Any]]

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every measurement of the metric."""
        return [(row["step"], row[name]) for row in self.rows if name in row]

    @property
    def final_loss(self) -> float:
        return self.curve("validation_loss")[-1][1]

    def seconds_at(self, step: float) -> float:
        """Training time up to a step, without measuring and sampling."""
        whole = int(step)
        spent = sum(row["seconds"] for row in self.rows[:whole])
        rest = self.rows[whole]["seconds"] if whole < len(self.rows) else 0.0
        return float(spent + (step - whole) * rest)


def read_run(arm: Arm, seed: int, folder: Path) -> Run:
    """The run in ``folder``."""
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return Run(arm, seed, [json.loads(line) for line in lines])


def crossing(curve: Sequence[tuple[int, float]], level: float) -> float | None:
    """First step at which the curve is at or below ``level``; None if it never is."""
    for number, (step, value) in enumerate(curve):
        if value <= level:
            if number == 0:
                return float(step)
            before, high = curve[number - 1]
            return before + (step - before) * (high - level) / (high - value)
    return None


def value_at(curve: Sequence[tuple[int, float]], step: float) -> float:
    """The measurement nearest to ``step``; NaN if there is none."""
    return min(curve, key=lambda point: abs(point[0] - step))[1] if curve else math.nan


def last_value(curve: Sequence[tuple[int, float]]) -> float:
    """The last measurement; NaN if there is none."""
    return curve[-1][1] if curve else math.nan


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95 % interval, see ``precision.intervals.mean_interval``.

    There is no interval for one seed, or for seeds that agree exactly.
    """

    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float], scale: Scale) -> Mean | None:
        """None if nothing was measured.

        Args:
            scale: ``share`` for numbers between 0 and 1; ``size`` for positive ones that may exceed
                1, such as a loss or the ratio of two numbers of steps; else ``difference``.
        """
        found = tuple(v for v in values if not math.isnan(v))
        if not found:
            return None
        low, high = mean_interval(found, scale) or (None, None)
        return cls(statistics.fmean(found), low, high, found)


def shown(value: Mean | None, form: str) -> str:
    """A mean in a format such as ``{:.1%}``, with its interval if it has one; empty if None."""
    if value is None:
        return ""
    text = form.format(value.mean)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{form.format(value.low)}, {form.format(value.high)}]"


@dataclass(frozen=True)
class Line:
    """An arm over all seeds.

    Attributes:
        loss: final loss of target views of held-out scenes.
        steps, seconds: steps and time until the final loss of the same seed's baseline is reached,
            as shares of those until the baseline itself first reaches it (before its end if it gets
            worse again); only for seeds that reach it.
        reached: number of seeds that reach it, out of ``seeds``.
        steps_by_seed: shares of steps in the order of the runs; None if never reached.
        precision_early, precision: precision of the layer within one token, after a third of the
            steps and at the end.
        reading: how its heads were read, see ``validation``.
        psnr: PSNR of sampled target views in dB.
    """

    arm: Arm
    seeds: int
    loss: Mean | None
    reached: int
    steps_by_seed: tuple[float | None, ...]
    steps: Mean | None
    seconds: Mean | None
    precision_early: Mean | None
    precision: Mean | None
    reading: str
    psnr: Mean | None


def summarise(runs: Sequence[Run]) -> list[Line]:
    """A line per arm, in the order of the runs.

    Raises:
        ValueError: an arm has no baseline.
    """
    by_key = {(run.arm.name, run.seed): run for run in runs}
    lines = []
    for name in dict.fromkeys(run.arm.name for run in runs):
        mine = [run for run in runs if run.arm.name == name]
        if missing := [r for r in mine if (r.arm.against, r.seed) not in by_key]:
            first = missing[0]
            raise ValueError(f"arm {name} has no {first.arm.against} of seed {first.seed}")
        lines.append(_line([(run, by_key[run.arm.against, run.seed]) for run in mine]))
    return lines


def _line(pairs: Sequence[tuple[Run, Run]]) -> Line:
    shares = [_shares(run, baseline) for run, baseline in pairs]
    reached = [share for share in shares if share is not None]
    runs = [run for run, _ in pairs]
    early = [value_at(r.curve("validation_precision"), len(r.rows) / 3) for r in runs]
    return Line(
        arm=runs[0].arm,
        seeds=len(runs),
        loss=Mean.of((run.final_loss for run in runs), "size"),
        reached=len(reached),
        steps_by_seed=tuple(None if share is None else share[0] for share in shares),
        steps=Mean.of((steps for steps, _ in reached), "size"),
        seconds=Mean.of((seconds for _, seconds in reached), "size"),
        precision_early=Mean.of(early, "share"),
        precision=Mean.of((last_value(r.curve("validation_precision")) for r in runs), "share"),
        reading=str(runs[-1].rows[-1].get("reading", "")),
        psnr=Mean.of((last_value(run.curve("psnr")) for run in runs), "difference"),
    )


def _shares(run: Run, baseline: Run) -> tuple[float, float] | None:
    """Steps and seconds until the baseline's final loss, over the baseline's; None if never."""
    step = crossing(run.curve("validation_loss"), baseline.final_loss)
    first = crossing(baseline.curve("validation_loss"), baseline.final_loss)
    if step is None or first is None:
        return None
    return step / first, run.seconds_at(step) / baseline.seconds_at(first)
