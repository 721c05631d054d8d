"""What a build ends in: its numbers, or too many failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data import commands
from cameo_data.build.plan import BuildPlan
from cameo_data.errors import Reason
from cameo_data.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A finished build.

    Attributes:
        counts: see ``plan.BuildPlan``; ``check`` among them where scenes were checked.
        made, kept: shards made by this run, and found finished.
        notes: what this run found out about what was in the folder before.
        warnings: scenes whose geometry looks wrong, a line each.
    """

    root: Path
    samples: int
    shards: int
    bytes: int
    counts: Mapping[str, Any]
    made: int
    kept: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def failures(self) -> int:
        return int(self.counts["failures"]["total"])


class TooManyFailures(ValueError):
    """More was left out than the recipe allows, or nothing is left; the message says what to do.

    Attributes:
        counts: see ``plan.BuildPlan``.
    """

    def __init__(self, plan: BuildPlan, written: Path | None, recipe: Recipe) -> None:
        self.counts = plan.counts
        self.failures = plan.failures
        by_reason = plan.counts["failures"]["by_reason"]
        reasons = ", ".join(f"{n} {r}" for r, n in by_reason.items())
        # of the most frequent kind: what follows from it, such as too few views, says less
        most = max(by_reason, key=by_reason.get, default=None)
        shown = next((f for f in plan.failures if f.reason.value == most), None)
        first = "the dataset is empty" if shown is None else f"first: {shown.message}"
        count = len(plan.failures)
        where = f"all in {written}; " if written and plan.failures else ""
        remedy = "repair the data or raise --max-failures, and run again"
        if most == Reason.NO_DEPTH and recipe.source.depth is None:
            remedy = commands.make_depth(recipe.source)
        super().__init__(
            f"{count} failure{'' if count == 1 else 's'} ({reasons or 'none'}), "
            f"{plan.counts['failures']['allowed']} allowed, {plan.counts['samples']} samples; "
            f"{first}; {where}{remedy}"
        )
