"""The steps of a depth run, one scene or one frame at a time; any process can do any of them."""

from __future__ import annotations

import functools
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cameo_data.catalog import open_scene, slug
from cameo_data.depth import match_table, method_spec, work_files
from cameo_data.depth.method import DepthScene, MethodOptions, MethodSpec
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.whole_files import remove_partials
from cameo_data.io.work_folder import read_json, write_bytes, write_json
from cameo_data.recipe import SourceRecipe
from cameo_data.sources.attached_depth import folder as folders
from cameo_data.sources.attached_depth.folder import DepthFolder, FrameEntry, SceneEntry
from cameo_data.types import EstimatedDepth, Scene


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


def _work(job: DepthJob, scene_id: str) -> Path:
    """The scene's work folder."""
    return DepthFolder(job.root).scene_work(scene_name(scene_id))


def prepare_scene(job: DepthJob, scene_id: str) -> SceneState:
    """Opens a scene and does what all its frames need; a scene that cannot be used is recorded."""
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    try:
        scene = open_scene(job.source, scene_id)
    except DataError as error:
        folders.forget_scene(folder, name)
        entry = _unopened(scene_id, error.failure)
        write_json(folder.scene_record(name), entry.model_dump(mode="json"))
        return SceneState(scene_id, 0, True)
    inputs = fingerprint(job, scene)
    if is_finished(job, scene_id, inputs):
        return SceneState(scene_id, len(scene.frames), True)
    work = folder.scene_work(name)
    if (read_json(work / "inputs.json") or {}).get("inputs") != inputs:
        folders.forget_scene(folder, name)
        write_json(work / "inputs.json", {"inputs": inputs})
    if (work / "prepared.npz").exists():
        return SceneState(scene_id, len(scene.frames), False)
    try:
        if not scene.frames:
            raise FileDefect(Reason.TOO_FEW_VIEWS, "no frame can be used", "posed frames", "see "
                             "failures.jsonl")  # fmt: skip
        prepare = job.spec.prepare
        arrays = {} if prepare is None else dict(prepare(_depth_scene(job, scene_id), job.options))
    except (FileDefect, DataError) as error:
        failure = work_files.failure_of(error, scene, None)
        _write_record(job, scene, inputs, [], [*scene.failures, failure])
        return SceneState(scene_id, 0, True)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(work / "prepared.npz", buffer.getvalue())
    return SceneState(scene_id, len(scene.frames), False)


def is_finished(job: DepthJob, scene_id: str, inputs: str) -> bool:
    """Whether the scene's record belongs to these inputs and its files are whole."""
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    try:
        entry = folders.read_scene(job.root, name)
    except DataError:
        return False
    return entry.inputs == inputs and folders.is_whole(folder, name, entry)


def is_current(job: DepthJob, scene_id: str) -> bool:
    """Whether a run would find the scene finished, be it as one that cannot be opened."""
    try:
        scene = open_scene(job.source, scene_id)
    except DataError:
        return is_finished(job, scene_id, "")
    return is_finished(job, scene_id, fingerprint(job, scene))


def estimate_frame(job: DepthJob, where: tuple[str, int]) -> None:
    """One frame's depth, before it is compared with others; kept in the scene's work folder."""
    scene_id, number = where
    work = DepthFolder(job.root).scene_work(scene_name(scene_id))
    if work_files.raw_path(work, number).exists() or work_files.failed_path(work, number).exists():
        return
    scene = _depth_scene(job, scene_id)
    try:
        found = job.spec.estimate(
            scene,
            number,
            job.options,
            work_files.prepared(_work(job, scene_id)),
        )
        _check_result(job, scene, number, found)
        work_files.keep(work_files.raw_path(work, number), found)
    except (FileDefect, DataError) as error:
        work_files.keep_failure(work_files.failed_path(work, number), error, scene.scene, number)


def check_frame(job: DepthJob, where: tuple[str, int]) -> None:
    """One frame's depth as it is kept, compared with those of other frames."""
    scene_id, number = where
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    work = folder.scene_work(name)
    if (
        work_files.checked_path(work, number).exists()
        or work_files.failed_path(work, number).exists()
    ):
        return
    scene = _depth_scene(job, scene_id)
    estimates = functools.lru_cache(maxsize=16)(functools.partial(work_files.load_raw, work))
    found = work_files.load_raw(work, number)
    assert found is not None
    try:
        if job.spec.check is not None:
            prepared = work_files.prepared(_work(job, scene_id))
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
        write_json(
            work_files.checked_path(work, number), {"file": path.name, "facts": dict(found.facts)}
        )
    except (FileDefect, DataError) as error:
        work_files.keep_failure(work_files.failed_path(work, number), error, scene.scene, number)


def finish_scene(job: DepthJob, scene_id: str) -> SceneEntry:
    """Writes the scene's record, once all its frames are done, and clears its work folder."""
    scene = open_scene(job.source, scene_id)
    folder, name = DepthFolder(job.root), scene_name(scene_id)
    work = folder.scene_work(name)
    failures = list(scene.failures)
    entries: list[FrameEntry] = []
    for number, frame in enumerate(scene.frames):
        if (failed := read_json(work_files.failed_path(work, number))) is not None:
            failures.append(Failure.of_record(failed))
            continue
        checked = read_json(work_files.checked_path(work, number))
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
    found = job.spec.matches(
        scene,
        job.options,
        work_files.prepared(_work(job, scene_id)),
    )
    data = match_table.table(scene, found)
    if data is not None:
        write_bytes(DepthFolder(job.root).matches(scene_name(scene_id)), data)
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
        failures=tuple(failures),
        matches=matches,
    )
    if folder.scene(name).is_dir():
        remove_partials(folder.scene(name))  # of a killed run
    write_json(folder.scene_record(name), entry.model_dump(mode="json"))
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
        failures=(failure,),
    )


def fingerprint(job: DepthJob, scene: Scene) -> str:
    """As ``work_files.fingerprint``."""
    return work_files.fingerprint(scene, job.spec, job.options)


def _check_result(job: DepthJob, scene: DepthScene, number: int, found: EstimatedDepth) -> None:
    """A method of another package may fail in any way."""
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
    return str((read_json(work / "inputs.json") or {}).get("inputs"))


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
