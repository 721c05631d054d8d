"""The steps of a depth run, one scene or one frame at a time; any process can do any of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import array_files
from cameo_data.build.opened import open_scene
from cameo_data.build.plan import slug
from cameo_data.depth import folder as folders
from cameo_data.depth import match_table, method_spec
from cameo_data.depth.base import Arrays, DepthScene, EstimatedDepth, MethodOptions, MethodSpec
from cameo_data.depth.folder import DepthFolder, FrameEntry, SceneEntry
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.files import FileDefect
from cameo_data.recipe import SourceRecipe
from cameo_data.types import Scene


@dataclass(frozen=True)
class DepthJob:
    """What a run does, the same for all its scenes.

    Attributes:
        options_json: of the method, resolved.
    """

    root: Path
    method: str
    options_json: str
    source: SourceRecipe

    @property
    def spec(self) -> MethodSpec:
        return method_spec(self.method)

    @property
    def options(self) -> MethodOptions:
        return self.spec.options.model_validate_json(self.options_json)


@dataclass(frozen=True)
class SceneState:
    """How far a scene is after ``prepare_scene``.

    Attributes:
        frames: to estimate.
        finished: its record is there and belongs to these inputs.
    """

    scene_id: str
    frames: int
    finished: bool


def scene_name(scene_id: str) -> str:
    """The scene's folder."""
    return slug(scene_id, 80)


def prepare_scene(job: DepthJob, scene_id: str) -> SceneState:
    """Opens a scene and does what all its frames need; a scene that cannot be used is recorded."""
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    try:
        scene = open_scene(job.source, scene_id)
    except DataError as error:
        folders.forget_scene(folder, name)
        entry = _unopened(scene_id, error.failure)
        folders.write_json(folder.scene_record(name), entry.model_dump(mode="json"))
        return SceneState(scene_id, 0, True)
    inputs = fingerprint(job, scene)
    try:
        finished = folders.read_scene(job.root, name).inputs == inputs
    except DataError:
        finished = False
    if finished:
        return SceneState(scene_id, len(scene.frames), True)
    work = folder.scene_work(name)
    if (folders.read_json(work / "inputs.json") or {}).get("inputs") != inputs:
        folders.forget_scene(folder, name)
        folders.write_json(work / "inputs.json", {"inputs": inputs})
    if (work / "prepared.npz").exists():
        return SceneState(scene_id, len(scene.frames), False)
    try:
        if not scene.frames:
            raise FileDefect(Reason.TOO_FEW_VIEWS, "no frame can be used", "posed frames", "see "
                             "failures.jsonl")  # fmt: skip
        prepare = job.spec.prepare
        arrays = {} if prepare is None else dict(prepare(_depth_scene(job, scene_id), job.options))
    except (FileDefect, DataError) as error:
        failure = _failure(error, scene, None)
        _write_record(job, scene, inputs, [], [*scene.failures, failure])
        return SceneState(scene_id, 0, True)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    folders.write_bytes(work / "prepared.npz", buffer.getvalue())
    return SceneState(scene_id, len(scene.frames), False)


def estimate_frame(job: DepthJob, where: tuple[str, int]) -> None:
    """One frame's depth, before it is compared with others; kept in the scene's work folder."""
    scene_id, number = where
    work = DepthFolder(job.root).scene_work(scene_name(scene_id))
    if _raw(work, number).exists() or _failed(work, number).exists():
        return
    scene = _depth_scene(job, scene_id)
    try:
        found = job.spec.estimate(scene, number, job.options, _prepared(job.root, scene_id))
        _check_result(job, scene, number, found)
        _keep(_raw(work, number), found)
    except (FileDefect, DataError) as error:
        _keep_failure(_failed(work, number), error, scene.scene, number)


def check_frame(job: DepthJob, where: tuple[str, int]) -> None:
    """One frame's depth as it is kept, compared with those of other frames."""
    scene_id, number = where
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    work = folder.scene_work(name)
    if _checked(work, number).exists() or _failed(work, number).exists():
        return
    scene = _depth_scene(job, scene_id)
    estimates = functools.lru_cache(maxsize=16)(functools.partial(_load_raw, work))
    found = _load_raw(work, number)
    assert found is not None
    try:
        if job.spec.check is not None:
            prepared = _prepared(job.root, scene_id)
            found = job.spec.check(scene, number, job.options, prepared, estimates)
        if not found.depth.valid.any():
            raise FileDefect(
                Reason.EMPTY_DEPTH,
                f"{job.method} kept no pixel",
                "depth that other views confirm",
                "check the poses with `cameo-data check`; views need texture and a baseline",
            )
        frame_id = scene.frame(number).frame_id
        path = folder.scene(name) / f"{slug(frame_id, 80)}.npz"
        folders.save_depth(path, found)
        folders.write_json(_checked(work, number), {"file": path.name, "facts": dict(found.facts)})
    except (FileDefect, DataError) as error:
        _keep_failure(_failed(work, number), error, scene.scene, number)


def finish_scene(job: DepthJob, scene_id: str) -> SceneEntry:
    """Writes the scene's record, once all its frames are done, and clears its work folder."""
    scene = open_scene(job.source, scene_id)
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    work = folder.scene_work(name)
    failures = list(scene.failures)
    entries: list[FrameEntry] = []
    for number, frame in enumerate(scene.frames):
        if (failed := folders.read_json(_failed(work, number))) is not None:
            failures.append(Failure(**{**failed, "reason": Reason(failed["reason"])}))
            continue
        checked = folders.read_json(_checked(work, number))
        if checked is None:
            raise ValueError(f"{scene_id} frame {frame.frame_id} is not finished; run it again")
        found = folders.load_depth(folder.scene(name) / checked["file"])
        known, confidence = found.depth.valid, found.confidence
        mean = None if confidence is None else round(float(confidence[known].mean()), 4)
        entries.append(
            FrameEntry(
                frame_id=frame.frame_id,
                file=checked["file"],
                hw=found.depth.hw,
                image_hw=frame.camera.hw,
                K=_rows(frame.camera.K),
                cam_from_world=_rows(frame.camera.cam_from_world),
                known_share=round(float(known.mean()), 4),
                mean_confidence=mean,
                facts=checked["facts"],
            )
        )
    matched = _write_matches(job, scene_id)
    return _write_record(job, scene, fingerprint(job, scene), entries, failures, matched)


def _write_matches(job: DepthJob, scene_id: str) -> bool:
    """Writes the table of matches, if the method gives any."""
    if job.spec.matches is None:
        return False
    scene = _depth_scene(job, scene_id)
    found = job.spec.matches(scene, job.options, _prepared(job.root, scene_id))
    data = match_table.table(scene, found)
    if data is not None:
        folders.write_bytes(DepthFolder(job.root).matches(scene_name(scene_id)), data)
    return data is not None


def _write_record(
    job: DepthJob,
    scene: Scene,
    inputs: str,
    entries: list[FrameEntry],
    failures: list[Failure],
    matches: bool = False,
) -> SceneEntry:
    folder, name = DepthFolder(job.root), scene_name(scene.scene_id)
    rejected = sum(failure.frame_id is not None for failure in scene.failures)
    entry = SceneEntry(
        format_version=1,
        dataset=scene.dataset,
        scene_id=scene.scene_id,
        unit=scene.unit,
        inputs=inputs,
        found=len(scene.frames) + rejected,
        frames=tuple(entries),
        failures=tuple(folders.FailureEntry(**dataclasses.asdict(f)) for f in failures),
        matches=matches,
    )
    folders.write_json(folder.scene_record(name), entry.model_dump(mode="json"))
    shutil.rmtree(folder.scene_work(name), ignore_errors=True)
    return entry


def _unopened(scene_id: str, failure: Failure) -> SceneEntry:
    return SceneEntry(
        format_version=1,
        dataset=failure.dataset,
        scene_id=scene_id,
        unit="arbitrary",
        inputs="",
        found=0,
        frames=(),
        failures=(folders.FailureEntry(**dataclasses.asdict(failure)),),
    )


def fingerprint(job: DepthJob, scene: Scene) -> str:
    """Changes when a camera, what listing found, or (by size or time of change) a file does."""
    digest = hashlib.sha256(repr([f.message for f in scene.failures]).encode())
    for frame in scene.frames:
        paths: list[Path | None] = [frame.image_path, frame.mask_path]
        paths += [frame.depth.path] if frame.depth else []
        values = json.dumps(dataclasses.asdict(frame), default=_plain)
        digest.update(values.encode() + repr([_stamp(path) for path in paths]).encode())
    extra = job.spec.files(scene, job.options) if job.spec.files is not None else ()
    digest.update(repr([(str(path), _stamp(path)) for path in extra]).encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_size, status.st_mtime_ns)


def _check_result(job: DepthJob, scene: DepthScene, number: int, found: EstimatedDepth) -> None:
    """A method of another package may err."""
    hw = scene.camera(number).hw
    confidence = found.confidence
    if found.depth.hw != hw or (confidence is not None and confidence.shape != hw):
        raise ValueError(f"{job.method} made depth of {found.depth.hw}; expected {hw} (h×w)")


def _depth_scene(job: DepthJob, scene_id: str) -> DepthScene:
    inputs = _begun_from(job.root, scene_id)
    return _opened_by_json(job.source.model_dump_json(), job.options.side, scene_id, inputs)


@functools.lru_cache(maxsize=2)
def _opened_by_json(source: str, side: int | None, scene_id: str, _inputs: str) -> DepthScene:
    return DepthScene(open_scene(SourceRecipe.model_validate_json(source), scene_id), side)


def _begun_from(root: Path, scene_id: str) -> str:
    """What the scene's work folder was begun from."""
    work = DepthFolder(root).scene_work(scene_name(scene_id))
    return str((folders.read_json(work / "inputs.json") or {}).get("inputs"))


def _prepared(root: Path, scene_id: str) -> Arrays:
    path = DepthFolder(root).scene_work(scene_name(scene_id)) / "prepared.npz"
    return _load_arrays(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _load_arrays(path: Path, _stamp_ns: int) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _keep(path: Path, found: EstimatedDepth) -> None:
    facts = np.frombuffer(json.dumps(dict(found.facts)).encode(), np.uint8)
    folders.save_depth(path, found, facts=facts)


def _load_raw(work: Path, number: int) -> EstimatedDepth | None:
    path = _raw(work, number)
    if not path.exists():
        return None
    found = folders.load_depth(path)
    facts = json.loads(array_files.read_npz(path, "facts").tobytes())
    return dataclasses.replace(found, facts=facts)


def _keep_failure(path: Path, error: FileDefect | DataError, scene: Scene, number: int) -> None:
    failure = _failure(error, scene, scene.frames[number].frame_id)
    folders.write_json(path, dataclasses.asdict(failure))


def _failure(error: FileDefect | DataError, scene: Scene, frame_id: str | None) -> Failure:
    if isinstance(error, DataError):
        return error.failure
    return error.at(scene.dataset, scene.scene_id, frame_id).failure


def _raw(work: Path, number: int) -> Path:
    return work / f"{number:06d}.npz"


def _failed(work: Path, number: int) -> Path:
    return work / f"{number:06d}.failure.json"


def _checked(work: Path, number: int) -> Path:
    return work / f"{number:06d}.checked.json"


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
