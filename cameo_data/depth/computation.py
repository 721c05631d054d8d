"""Depth for all scenes of a dataset, from the beginning or from wherever a run was stopped."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data import __version__
from cameo_data.catalog import forget_sources, open_source
from cameo_data.depth import method_spec, task
from cameo_data.depth.method import MethodOptions
from cameo_data.depth.task import DepthJob, SceneState
from cameo_data.errors import DataError, Failure, TooManyFailures, UsageError
from cameo_data.executors import local
from cameo_data.io.records import failure_lines
from cameo_data.io.work_folder import read_bytes_or_none, read_json, write_bytes
from cameo_data.recipe import SourceRecipe, allowance, allowed, spelled_as
from cameo_data.sources.attached_depth import folder as folders
from cameo_data.sources.attached_depth.folder import (
    DepthFolder,
    DepthIndex,
    SceneEntry,
)
from cameo_data.types import Progress

# Scenes whose work is shared out together: enough to keep all processes busy, few enough that what
# is kept on disk between the steps stays small.
SCENES_PER_WORKER = 2


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class DepthResult:
    """A finished run.

    Attributes:
        counts: frames and scenes found, used and failed; failures by reason.
        made, kept: scenes that this run finished, and that were finished before.
        known_share: of all pixels of the depth maps, the mean over frames; None without any.
    """

    root: Path
    method: str
    counts: Mapping[str, Any]
    made: int
    kept: int
    known_share: float | None

    @property
    def failures(self) -> int:
        return int(self.counts["failures"]["total"])


def method_options(name: str, values: Mapping[str, Any]) -> MethodOptions:
    """The checked options of a method.

    Raises:
        UsageError: no such method, or an option that it does not have; one line.
    """
    return method_spec(name).options.checked(values, f"method {name!r}")


def estimate(
    method: str,
    options: Mapping[str, Any],
    source: SourceRecipe,
    root: Path,
    *,
    workers: int = 1,
    max_failures: int | float = 0.1,
    progress: Progress = _silent,
) -> DepthResult:
    """Writes depth for every frame of ``source`` to ``root``, going on from what is there.

    Args:
        options: of the method, as they stand behind ``-m``.
        max_failures: a count, or a share of the frames found.

    Raises:
        UsageError: unknown method or option.
        TooManyFailures: more failures than allowed, or not one depth map.
        ValueError: the folder holds something else or is in use.
        DataError: the dataset as a whole cannot be read.
        OSError: the folder cannot be written.
    """
    local.refuse_unguarded_script()
    forget_sources()
    source = as_recorded(root, source)
    resolved = method_options(method, options)
    job = DepthJob(root, method, resolved.model_dump_json(), source)
    identity = {
        "method": method,
        "options": resolved.model_dump(mode="json"),
        "source": source.model_dump(mode="json"),
        "tool_version": __version__,
        "format_version": folders.FORMAT_VERSION,
    }
    with folders.claimed(root, identity) as folder:
        opened = open_source(source)
        scene_ids = list(opened.scene_ids())
        known = _finished(job, folder, opened.failures, scene_ids)
        if known is not None:
            return known
        # written again at the end: a run may find other frames than the one before it
        folder.index.unlink(missing_ok=True)
        states = _all_scenes(job, scene_ids, workers, progress)
        entries = [folders.read_scene(root, task.scene_name(scene_id)) for scene_id in scene_ids]
        failures = [*opened.failures, *_failures(entries)]
        counts = _counts(entries, opened.failures, failures, max_failures)
        write_bytes(folder.failures, failure_lines(failures))
        if len(failures) > counts["failures"]["allowed"] or not counts["frames"]["used"]:
            left = f"depth for {counts['frames']['used']} of {counts['frames']['found']} frames"
            raise TooManyFailures(counts, failures, left=left, written=folder.failures)
        _write_index(folder, identity, counts, entries)
        kept = sum(state.finished for state in states)
        return DepthResult(root, method, counts, len(states) - kept, kept, _known_share(entries))


def _finished(
    job: DepthJob, folder: DepthFolder, listing: Sequence[Failure], scene_ids: Sequence[str]
) -> DepthResult | None:
    """What a finished run made, where it is whole and its input is still the same; else None."""
    try:
        index = folders.read_index(job.root)
    except DataError:
        return None
    if list(index.scenes) != list(scene_ids):
        return None
    if not all(task.is_current(job, scene_id) for scene_id in scene_ids):
        return None
    entries = [folders.read_scene(job.root, index.scenes[scene_id]) for scene_id in scene_ids]
    failures = [*listing, *_failures(entries)]
    if read_bytes_or_none(folder.failures) != failure_lines(failures):
        return None
    share = _known_share(entries)
    return DepthResult(job.root, job.method, index.counts, 0, len(entries), share)


def as_recorded(root: Path, source: SourceRecipe) -> SourceRecipe:
    """The source, its folders spelled as by the work that is in ``root`` already."""
    before = read_json(DepthFolder(root).identity)
    recorded = before.get("source") if before is not None else None
    return spelled_as(recorded if isinstance(recorded, Mapping) else None, source)


def dry_run(
    method: str, options: Mapping[str, Any], source: SourceRecipe, root: Path
) -> dict[str, Any]:
    """What a run would do; scenes are listed, nothing is written.

    Raises:
        UsageError, DataError: as ``estimate``.
    """
    forget_sources()
    source = as_recorded(root, source)
    job = DepthJob(root, method, method_options(method, options).model_dump_json(), source)
    opened = open_source(source)
    frames = kept = 0
    failures = list(opened.failures)
    for scene_id in opened.scene_ids():
        try:
            scene = opened.scene(scene_id)
        except DataError as error:
            failures.append(error.failure)
            continue
        failures += scene.failures
        frames += len(scene.frames)
        try:
            record = folders.read_scene(root, task.scene_name(scene_id))
            kept += len(scene.frames) if record.inputs == task.fingerprint(job, scene) else 0
        except DataError:
            pass
    return {
        "scenes": len(opened.scene_ids()),
        "frames": frames,
        "frames_kept": kept,
        "failures": [failure.record() for failure in failures],
    }


def _all_scenes(
    job: DepthJob, scene_ids: Sequence[str], workers: int, progress: Progress
) -> list[SceneState]:
    """Takes all scenes through all steps, some at a time."""
    states: list[SceneState] = []
    batch = max(1, SCENES_PER_WORKER * workers)
    single = len(scene_ids) <= batch
    progress("scenes", 0, len(scene_ids))
    for start in range(0, len(scene_ids), batch):
        part = scene_ids[start : start + batch]
        prepare = functools.partial(task.prepare_scene, job)
        found = _run(prepare, part, workers, None)
        todo = [state for state in found if not state.finished]
        frames = [(state.scene_id, n) for state in todo for n in range(state.frames)]
        shown = progress if single else None
        for stage, step in (
            ("frames estimated", task.estimate_frame),
            ("frames checked", task.check_frame),
        ):
            _run(functools.partial(step, job), frames, workers, shown, stage)
        _run(functools.partial(task.finish_scene, job), [s.scene_id for s in todo], 1, None)
        states += found
        progress("scenes", len(states), len(scene_ids))
    return states


def _run(
    step: Callable[[Any], Any],
    items: Sequence[Any],
    workers: int,
    progress: Progress | None,
    stage: str = "",
) -> list[Any]:
    """Results of all items, in their order."""
    results: dict[int, Any] = {}
    with closing(local.run(step, items, workers=workers, described=_described)) as done:
        for index, result in done:
            results[index] = result
            if progress is not None:
                progress(stage, len(results), len(items))
    return [results[index] for index in range(len(items))]


def _described(item: str | tuple[str, int]) -> str:
    return f"scene {item}" if isinstance(item, str) else f"scene {item[0]} frame {item[1]}"


def _failures(entries: Sequence[SceneEntry]) -> list[Failure]:
    return [failure for scene in entries for failure in scene.failures]


def _counts(
    entries: Sequence[SceneEntry],
    listing: Sequence[Failure],
    failures: Sequence[Failure],
    max_failures: int | float,
) -> dict[str, Any]:
    found, used = sum(e.found for e in entries), sum(len(e.frames) for e in entries)
    scenes = len(entries) + sum(failure.scene_id is not None for failure in listing)
    with_depth = sum(bool(entry.frames) for entry in entries)
    reasons = Counter(failure.reason.value for failure in failures)
    return {
        "frames": {"found": found, "used": used, "failed": found - used},
        "scenes": {"found": scenes, "used": with_depth, "failed": scenes - with_depth},
        "failures": {
            "total": len(failures),
            "allowed": allowed(max_failures, found),
            "by_reason": dict(sorted(reasons.items())),
        },
    }


def _known_share(entries: Sequence[SceneEntry]) -> float | None:
    shares = [frame.known_share for entry in entries for frame in entry.frames]
    return sum(shares) / len(shares) if shares else None


def _write_index(
    folder: DepthFolder,
    identity: Mapping[str, Any],
    counts: Mapping[str, Any],
    entries: Sequence[SceneEntry],
) -> None:
    index = DepthIndex(
        format_version=1,
        tool_version=__version__,
        method=str(identity["method"]),
        options=identity["options"],
        source=identity["source"],
        counts=dict(counts),
        scenes={entry.scene_id: task.scene_name(entry.scene_id) for entry in entries},
    )
    text = json.dumps(index.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    write_bytes(folder.index, text.encode() + b"\n")


def parse_allowance(text: str) -> int | float:
    """``--max-failures``: a number (5) or a share of the frames found (10%).

    Raises:
        UsageError: neither.
    """
    try:
        value: int | float = allowance(text)
    except ValueError as error:
        raise UsageError(f"max_failures: {text!r}: {error}") from None
    return value
