"""What a build ends in: its numbers, or too many failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data import commands
from cameo_data.build.plan import BuildPlan
from cameo_data.errors import Reason, TooManyFailures
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


def too_many_failures(plan: BuildPlan, written: Path | None, recipe: Recipe) -> TooManyFailures:
    """The error of a plan with more failures than allowed; where depth is all that is missing, it
    says how to make some."""
    by_reason = plan.counts["failures"]["by_reason"]
    left = f"{plan.counts['samples']} samples"
    most = max(by_reason, key=by_reason.get, default=None)
    if most == Reason.NO_DEPTH and recipe.source.depth is None:
        remedy = commands.make_depth(recipe.source)
        return TooManyFailures(
            plan.counts, plan.failures, left=left, written=written, remedy=remedy
        )
    return TooManyFailures(plan.counts, plan.failures, left=left, written=written)
