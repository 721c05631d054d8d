"""A finished build, looked at again: are its files whole, and is its input still what it was?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cameo_data.build.folder import Folder
from cameo_data.build.plan import BuildPlan
from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.errors import DataError
from cameo_data.io.records import canonical_json
from cameo_data.io.whole_files import file_sha256
from cameo_data.io.work_folder import read_bytes_or_none, read_json
from cameo_data.shards.index import INDEX, BuildIndex, read_index

# Frames named of a scene that changed.
MAX_FRAMES = 3


@dataclass(frozen=True)
class Finished:
    """A build that has an index.

    Attributes:
        index: None where it is damaged.
        damage: files that are gone or not as they were written, each in a few words.
    """

    index: BuildIndex | None
    damage: tuple[str, ...]


def look(folder: Folder) -> Finished | None:
    """What is left of a finished build; None where there is no index. Shards are not read."""
    if not folder.index.exists():
        return None
    try:
        index = read_index(folder.root)
    except DataError as error:
        return Finished(None, (f"{INDEX} is damaged ({error.failure.found})",))
    return Finished(index, damage(folder, index))


def damage(folder: Folder, index: BuildIndex) -> tuple[str, ...]:
    """Files that are not as the index says, each in a few words: shards by their size alone."""
    return tuple(_damage(folder, index))


def _damage(folder: Folder, index: BuildIndex) -> Iterator[str]:
    files = [(folder.shards / shard.name, shard.bytes, "") for shard in index.shards]
    # shards are too large to be read for this; the files beside them are not
    files += [(folder.root / name, r.bytes, r.sha256) for name, r in index.companions.items()]
    for path, size, sha256 in files:
        name = path.relative_to(folder.root)
        if not path.is_file():
            yield f"{name} is missing"
        elif (found := path.stat().st_size) != size:
            yield f"{name} has {found} bytes instead of {size}"
        elif sha256 and file_sha256(path) != sha256:
            yield f"{name} has other bytes than were written"


def compared(folder: Folder) -> bool:
    """Whether it is known what the build was made of; not in a copy without ``.build``."""
    return folder.plan.exists()


def changes(
    folder: Folder, plan: BuildPlan, surveys: Sequence[SceneSurvey], failure_lines: bytes
) -> list[str]:
    """How the input differs from what the build was made of, each difference in a few words."""
    saved: Mapping[str, Any] = read_json(folder.plan) or {}
    out = list(_scene_changes(saved, plan, surveys))
    tasks = [asdict(task) for task in plan.tasks]
    if not out and canonical_json(saved.get("tasks")) != canonical_json(tasks):
        out.append("other samples follow from it")
    if not out and canonical_json(without(saved.get("counts"))) != canonical_json(
        without(plan.counts)
    ):
        out.append("the counts of what is found differ")
    if not out and read_bytes_or_none(folder.failures) != failure_lines:
        out.append("other frames fail")
    lost = sum(not folder.record(number).exists() for number in range(len(plan.tasks)))
    if not out and lost:
        out.append(f"{lost} shard{' has' if lost == 1 else 's have'} no record of it")
    return out


def without(counts: Any) -> Any:
    """Counts without what may change under one recipe: the allowance, and the check."""
    if not isinstance(counts, Mapping):
        return counts
    kept = {key: value for key, value in counts.items() if key != "check"}
    failures = kept.get("failures")
    if isinstance(failures, Mapping):
        kept["failures"] = {key: value for key, value in failures.items() if key != "allowed"}
    return kept


def _scene_changes(
    saved: Mapping[str, Any], plan: BuildPlan, surveys: Sequence[SceneSurvey]
) -> Iterator[str]:
    before = _inputs(saved.get("tasks", ()))
    now = _inputs([asdict(task) for task in plan.tasks])
    known = set((saved.get("counts") or {}).get("per_scene", {}))
    by_id = {survey.scene_id: survey for survey in surveys}
    for scene_id in sorted({*known, *by_id}):
        survey = by_id.get(scene_id)
        if survey is None:
            yield f"scene {scene_id} is gone"
        elif scene_id not in known:
            yield f"scene {scene_id} is new"
        elif survey.changed:
            more = " …" if survey.changed[MAX_FRAMES:] else ""
            frames = ", ".join(survey.changed[:MAX_FRAMES]) + more
            yield f"scene {scene_id} changed (frames {frames})"
        elif scene_id in before and before.get(scene_id) != now.get(scene_id):
            yield f"scene {scene_id} changed"


def _inputs(tasks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {scene: mark for task in tasks for scene, mark in task["inputs"].items()}
