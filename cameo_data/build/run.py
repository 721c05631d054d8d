"""A whole build on this machine, from the beginning or from wherever it was stopped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cameo_data import __version__
from cameo_data.build import plan as plans
from cameo_data.build.folder import Folder, as_recorded, claimed, sweep
from cameo_data.build.opened import forget_sources, open_source
from cameo_data.build.plan import Plan
from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.build.survey import SurveyJob, survey_scene
from cameo_data.build.task import finished_record, run_task
from cameo_data.errors import Failure
from cameo_data.executors import local
from cameo_data.recipe import Recipe, canonical_json
from cameo_data.shards.index import read_index, write_index
from cameo_data.shards.writer import ShardRecord
from cameo_data.work_folder import write_bytes, write_json

Progress = Callable[[str, int, int], None]  # stage, done, total


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class BuildResult:
    """A finished build.

    Attributes:
        counts: see ``plan.Plan``.
        made, kept: shards made by this run, and found finished.
    """

    root: Path
    samples: int
    shards: int
    bytes: int
    counts: Mapping[str, Any]
    made: int
    kept: int

    @property
    def failures(self) -> int:
        return int(self.counts["failures"]["total"])


class TooManyFailures(ValueError):
    """More was left out than the recipe allows, or nothing is left; the message says what to do.

    Attributes:
        counts: see ``plan.Plan``.
    """

    def __init__(self, plan: Plan, written: Path | None) -> None:
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
        super().__init__(
            f"{count} failure{'' if count == 1 else 's'} ({reasons or 'none'}), "
            f"{plan.counts['failures']['allowed']} allowed, {plan.counts['samples']} samples; "
            f"{first}; {where}repair the data or raise --max-failures, and run again"
        )


def build(
    recipe: Recipe, root: Path, *, workers: int = 1, progress: Progress = _silent
) -> BuildResult:
    """Builds into ``root``, going on from whatever an earlier run of the same recipe left there.

    No shard is made before all scenes are surveyed: a build that would exceed its allowance of
    failures stops with ``failures.jsonl`` written and the surveys kept, so that a repaired dataset
    or a larger allowance costs only what has changed.

    Raises:
        TooManyFailures: more failures than ``recipe.max_failures``, or not one sample.
        ValueError: the folder is another build's or in use.
        DataError: the dataset as a whole cannot be read.
        OSError: the folder cannot be written.
    """
    forget_sources()
    recipe = as_recorded(root, recipe)
    with claimed(root, recipe) as folder:
        if folder.index.exists():
            return _finished(folder)
        plan = _survey_and_plan(recipe, folder, workers, progress)
        write_bytes(folder.failures, _failure_lines(plan.failures))
        if plan.allowance_exceeded:
            raise TooManyFailures(plan, folder.failures)
        sweep(folder, {task.shard for task in plan.tasks})
        write_json(folder.plan, {"tasks": [asdict(t) for t in plan.tasks], "counts": plan.counts})
        kept = _run_tasks(recipe, folder, plan, workers, progress)
        return finish(root, recipe, plan, kept)


def dry_run(recipe: Recipe, *, workers: int = 1, progress: Progress = _silent) -> Plan:
    """The plan that a build would follow; every frame is read, nothing is written."""
    forget_sources()
    return _survey_and_plan(recipe, None, workers, progress)


def _survey_and_plan(
    recipe: Recipe, folder: Folder | None, workers: int, progress: Progress
) -> Plan:
    source = open_source(recipe.source)
    scene_ids = source.scene_ids()
    threads = max(1, workers // max(1, len(scene_ids)))
    jobs = [
        SurveyJob(recipe, scene_id, _cache(folder, scene_id), threads) for scene_id in scene_ids
    ]
    surveys: list[SceneSurvey] = []
    progress("scenes surveyed", 0, len(jobs))
    with closing(local.run(survey_scene, jobs, workers=workers)) as results:
        for _, survey in results:
            surveys.append(survey)
            progress("scenes surveyed", len(surveys), len(jobs))
    return plans.make_plan(recipe, source.dataset, surveys, source.failures)


def _cache(folder: Folder | None, scene_id: str) -> Path | None:
    return None if folder is None else folder.survey(plans.slug(scene_id, 80))


def _run_tasks(recipe: Recipe, folder: Folder, plan: Plan, workers: int, progress: Progress) -> int:
    """Makes the shards that are not there yet; how many were."""
    todo = [
        index
        for index, task in enumerate(plan.tasks)
        if finished_record(folder, recipe, task, index) is None
    ]
    done = kept = len(plan.tasks) - len(todo)
    progress("shards", done, len(plan.tasks))
    make = functools.partial(run_task, folder.root)
    with closing(local.run(make, todo, workers=workers)) as results:
        for _ in results:
            done += 1
            progress("shards", done, len(plan.tasks))
    return kept


def finish(root: Path, recipe: Recipe, plan: Plan, kept: int = 0) -> BuildResult:
    """Writes the companions and, last, ``index.json``, once all tasks have run.

    Raises:
        ValueError: a shard is missing; the message says which.
    """
    folder = Folder(root)
    records: list[ShardRecord] = []
    for index, task in enumerate(plan.tasks):
        record = finished_record(folder, recipe, task, index)
        if record is None:
            raise ValueError(f"{folder.shards / task.shard} is not finished; run the build again")
        records.append(record)
    write_bytes(folder.recipe, recipe.yaml().encode())
    index_record = write_index(
        root,
        recipe=recipe.record(),
        recipe_hash=recipe.hash(),
        tool_version=__version__,
        shards=records,
        counts=plan.counts,
        name=plan.tasks[0].shard.rpartition("-")[0],
    )
    made = len(records) - kept
    return BuildResult(
        root, index_record.samples, len(records), index_record.bytes, plan.counts, made, kept
    )


def _finished(folder: Folder) -> BuildResult:
    index = read_index(folder.root)
    shards = len(index.shards)
    return BuildResult(
        folder.root, index.samples, shards, index.bytes, index.counts, made=0, kept=shards
    )


def _failure_lines(failures: Sequence[Failure]) -> bytes:
    return b"".join(canonical_json(failure.record()) + b"\n" for failure in failures)
