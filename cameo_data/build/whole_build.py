"""A whole build on this machine, from the beginning or from wherever it was stopped."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cameo_data import __version__, commands
from cameo_data.build import consistency, finished
from cameo_data.build import plan as plans
from cameo_data.build.folder import Folder, as_recorded, claimed, sweep
from cameo_data.build.plan import BuildPlan
from cameo_data.build.result import BuildResult, too_many_failures
from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.build.survey import SurveyJob, survey_scene
from cameo_data.build.task import finished_record, load_plan, run_task
from cameo_data.catalog import forget_sources, open_source, slug
from cameo_data.errors import DataError, UsageError
from cameo_data.executors import local
from cameo_data.io.records import failure_lines
from cameo_data.io.work_folder import write_bytes, write_json
from cameo_data.recipe import Recipe
from cameo_data.shards.index import write_index
from cameo_data.shards.writer import ShardRecord
from cameo_data.types import Progress

LOG = logging.getLogger(__name__)
# Reasons named for building a finished build again.
MAX_REASONS = 5


def _silent(stage: str, done: int, total: int) -> None:
    pass


def build(
    recipe: Recipe,
    root: Path | str,
    *,
    workers: int = 1,
    progress: Progress = _silent,
    check: bool = False,
) -> BuildResult:
    """A finished build in ``root``, going on from whatever an earlier run of the recipe left there.

    No shard is made before all scenes are surveyed: a build that would exceed its allowance of
    failures stops with ``failures.jsonl`` written and the surveys kept, so that a repaired dataset
    or a larger allowance costs only what has changed. A finished build is looked at again: shards
    that are gone or cut, and those whose input changed, are made again. Notes and warnings are
    logged as they arise, and the result has them too.

    Args:
        root: folder for the shards; made where there is none.
        workers: processes.
        progress: is called with a stage, how many of it are done, and of how many.
        check: look whether the geometry of some scenes is consistent; never changes a shard.

    Raises:
        TooManyFailures: more failures than ``recipe.max_failures``, or not one sample.
        UsageError: ``recipe`` is not a Recipe, or there is no worker.
        ValueError: the folder is another build's or in use.
        DataError: the dataset as a whole cannot be read.
        OSError: the folder cannot be written.

    Example:
        >>> from cameo_data.recipe import SourceRecipe
        >>> source = SourceRecipe(name="synthetic", root="scenes")
        >>> result = build(Recipe(source=source, views=3), "shards")  # doctest: +SKIP
        >>> result.samples, result.failures  # doctest: +SKIP
        (12, 0)
    """
    local.refuse_unguarded_script()
    _check(recipe, workers)
    root = Path(root)
    forget_sources()
    recipe = as_recorded(root, recipe)
    with claimed(root, recipe) as folder:
        run = _Run(recipe, folder, workers, progress, check)
        if folder.replaced:
            run.note(folder.replaced)
        return run.go_on()


def _check(recipe: Recipe, workers: int) -> None:
    if not isinstance(recipe, Recipe):
        raise UsageError(
            f"recipe is a {type(recipe).__name__}; expected a Recipe: "
            "Recipe(source=SourceRecipe(…), …)"
        )
    if workers < 1:
        raise UsageError(f"workers is {workers}; expected 1 or more")


@dataclass
class _Run:
    """One run of a build in its claimed folder; ``notes`` are those made so far."""

    recipe: Recipe
    folder: Folder
    workers: int
    progress: Progress
    check: bool
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)
        LOG.info("%s", text)

    def go_on(self) -> BuildResult:
        before = finished.look(self.folder)
        whole = before is not None and not before.damage
        if before is not None and whole and not finished.compared(self.folder):
            self.note("its input was not compared: the folder has no .build, it was copied")
            return self._was_finished(before)
        try:
            plan, surveys = _survey_and_plan(self.recipe, self.folder, self.workers, self.progress)
        except DataError as error:
            if before is None or not whole:
                raise
            self.note(f"its input was not compared: {error}")
            return self._was_finished(before)
        lines = failure_lines(plan.failures)
        if before is not None:
            changed = finished.changes(self.folder, plan, surveys, lines)
            if whole and not changed:
                return self._was_finished(before, surveys)
            self._say_why(before, changed)
            if plan.allowance_exceeded:
                self.note("the finished build was left as it is")
                raise too_many_failures(plan, None, self.recipe)
            self.folder.index.unlink()
        write_bytes(self.folder.failures, lines)
        if plan.allowance_exceeded:
            raise too_many_failures(plan, self.folder.failures, self.recipe)
        return self._make(plan, surveys)

    def _say_why(self, before: finished.Finished, changed: Sequence[str]) -> None:
        reasons = [*before.damage]
        if not finished.compared(self.folder):
            reasons.append("there is no .build to tell which shards are still right")
        else:
            reasons += [f"input: {change}" for change in changed]
        more = f"; and {len(reasons) - MAX_REASONS} more" if reasons[MAX_REASONS:] else ""
        self.note(
            f"{self.folder.root} was finished, but {'; '.join(reasons[:MAX_REASONS])}{more}: "
            "what is affected is built again"
        )

    def _make(self, plan: BuildPlan, surveys: Sequence[SceneSurvey]) -> BuildResult:
        recipe, folder = self.recipe, self.folder
        # tasks read it, and it may have been edited since a finished build wrote it
        write_bytes(folder.recipe, recipe.yaml().encode())
        sweep(folder, {task.shard for task in plan.tasks})
        write_json(folder.plan, {"tasks": [asdict(t) for t in plan.tasks], "counts": plan.counts})
        found = self._checked(plan.counts, surveys)
        kept = _run_tasks(recipe, folder, plan, self.workers, self.progress)
        result = finish(folder.root, recipe, _with_check(plan, found), kept)
        return self._told(result)

    def _checked(
        self, counts: Mapping[str, Any], surveys: Sequence[SceneSurvey]
    ) -> dict[str, Any] | None:
        """What ``check`` says of some scenes; None where it was not asked for."""
        if not self.check:
            return None
        found = check_surveyed(
            self.recipe, self.folder, counts, surveys, self.workers, self.progress
        )
        for line in geometry_warnings(self.recipe, found):
            LOG.warning("%s", line)
        return found

    def _was_finished(
        self, before: finished.Finished, surveys: Sequence[SceneSurvey] = ()
    ) -> BuildResult:
        """The result of a build in which nothing is to be done but, perhaps, its check."""
        assert before.index is not None
        counts: Mapping[str, Any] = before.index.counts
        if surveys and self.check and "check" not in counts:
            plan_tasks = load_plan(self.folder)[1]
            found = self._checked(counts, surveys)
            plan = BuildPlan(plan_tasks, {**counts, "check": found}, ())
            return self._told(finish(self.folder.root, self.recipe, plan, len(plan_tasks)))
        index = before.index
        shards = len(index.shards)
        result = BuildResult(
            root=self.folder.root,
            samples=index.samples,
            shards=shards,
            bytes=index.bytes,
            counts=counts,
            made=0,
            kept=shards,
        )
        return self._told(result)

    def _told(self, result: BuildResult) -> BuildResult:
        found = result.counts.get("check")
        lines = geometry_warnings(self.recipe, found) if found else []
        return replace(result, notes=tuple(self.notes), warnings=tuple(lines))


def _with_check(plan: BuildPlan, found: Mapping[str, Any] | None) -> BuildPlan:
    return plan if found is None else replace(plan, counts={**plan.counts, "check": found})


def check_surveyed(
    recipe: Recipe,
    folder: Folder | None,
    counts: Mapping[str, Any],
    surveys: Sequence[SceneSurvey],
    workers: int,
    progress: Progress,
) -> dict[str, Any]:
    """``consistency.look`` at some of the scenes that samples are made of."""
    used = [s for s in surveys if counts["per_scene"][s.scene_id]["samples"]]
    return consistency.look(recipe, folder, used, workers, progress)


def geometry_warnings(recipe: Recipe, found: Mapping[str, Any]) -> list[str]:
    """A line per scene whose geometry looks wrong."""
    return consistency.warnings(found, commands.of_source("check", recipe.source))


def dry_run(
    recipe: Recipe, *, workers: int = 1, progress: Progress = _silent, check: bool = False
) -> BuildPlan:
    """The plan that a build would follow; every frame is read, nothing is written."""
    _check(recipe, workers)
    forget_sources()
    plan, surveys = _survey_and_plan(recipe, None, workers, progress)
    if not check or plan.allowance_exceeded:
        return plan
    found = check_surveyed(recipe, None, plan.counts, surveys, workers, progress)
    return _with_check(plan, found)


def _survey_and_plan(
    recipe: Recipe, folder: Folder | None, workers: int, progress: Progress
) -> tuple[BuildPlan, list[SceneSurvey]]:
    source = open_source(recipe.source)
    scene_ids = source.scene_ids()
    threads = max(1, workers // max(1, len(scene_ids)))
    jobs = [
        SurveyJob(recipe, scene_id, _cache(folder, scene_id), threads) for scene_id in scene_ids
    ]
    surveys: list[SceneSurvey] = []
    progress("scenes surveyed", 0, len(jobs))
    running = local.run(survey_scene, jobs, workers=workers, described=_scene_of)
    with closing(running) as results:
        for _, survey in results:
            surveys.append(survey)
            progress("scenes surveyed", len(surveys), len(jobs))
    surveys.sort(key=lambda survey: survey.scene_id)
    return plans.make_plan(recipe, source.dataset, surveys, source.failures), surveys


def _scene_of(job: SurveyJob) -> str:
    return f"scene {job.scene_id}"


def _cache(folder: Folder | None, scene_id: str) -> Path | None:
    return None if folder is None else folder.survey(slug(scene_id, 80))


def _run_tasks(
    recipe: Recipe, folder: Folder, plan: BuildPlan, workers: int, progress: Progress
) -> int:
    """Makes the shards that are not there yet; how many were."""
    todo = [
        index
        for index, task in enumerate(plan.tasks)
        if finished_record(folder, recipe, task, index) is None
    ]
    done = kept = len(plan.tasks) - len(todo)
    progress("shards", done, len(plan.tasks))
    make = functools.partial(run_task, folder.root)

    def described(index: int) -> str:
        task = plan.tasks[index]
        return f"{task.shard} (scenes {', '.join(sorted(task.inputs)[:3])})"

    running = local.run(make, todo, workers=workers, described=described)
    with closing(running) as results:
        for _ in results:
            done += 1
            progress("shards", done, len(plan.tasks))
    return kept


def finish(root: Path, recipe: Recipe, plan: BuildPlan, kept: int = 0) -> BuildResult:
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
        root=root,
        samples=index_record.samples,
        shards=len(records),
        bytes=index_record.bytes,
        counts=plan.counts,
        made=made,
        kept=kept,
    )
