"""What a scene's work folder holds between the steps of a depth run, and what it was begun from."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.depth.method import Arrays, MethodOptions, MethodSpec
from cameo_data.errors import DataError, Failure
from cameo_data.io import array_files
from cameo_data.io.files import FileDefect
from cameo_data.io.work_folder import mark_of_files, mark_of_frames, write_json
from cameo_data.sources.attached_depth import folder as folders
from cameo_data.types import EstimatedDepth, Scene


def fingerprint(scene: Scene, spec: MethodSpec, options: MethodOptions) -> str:
    """Changes when a camera, what listing found, or (by size or time of change) a file does."""
    digest = hashlib.sha256(repr([f.message for f in scene.failures]).encode())
    digest.update(mark_of_frames(scene.frames))
    digest.update(mark_of_files(spec.files(scene, options) if spec.files is not None else ()))
    return digest.hexdigest()


def prepared(work: Path) -> Arrays:
    """What the method's ``prepare`` made."""
    path = work / "prepared.npz"
    return _load_arrays(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _load_arrays(path: Path, _stamp_ns: int) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def keep(path: Path, found: EstimatedDepth) -> None:
    """Writes an estimate, whole or not at all."""
    facts = np.frombuffer(json.dumps(dict(found.facts)).encode(), np.uint8)
    folders.save_depth(path, found, facts=facts)


def load_raw(work: Path, number: int) -> EstimatedDepth | None:
    """The estimate of a frame, or None where it failed."""
    path = raw_path(work, number)
    if not path.exists():
        return None
    found = folders.load_depth(path)
    facts = json.loads(array_files.read_npz(path, "facts").tobytes())
    return dataclasses.replace(found, facts=facts)


def keep_failure(path: Path, error: FileDefect | DataError, scene: Scene, number: int) -> None:
    """Writes why a frame has no depth."""
    failure = failure_of(error, scene, scene.frames[number].frame_id)
    write_json(path, dataclasses.asdict(failure))


def failure_of(error: FileDefect | DataError, scene: Scene, frame_id: str | None) -> Failure:
    """What to count."""
    if isinstance(error, DataError):
        return error.failure
    return error.at(scene.dataset, scene.scene_id, frame_id).failure


def raw_path(work: Path, number: int) -> Path:
    """Of a frame's estimate."""
    return work / f"{number:06d}.npz"


def failed_path(work: Path, number: int) -> Path:
    """Of a frame's failure."""
    return work / f"{number:06d}.failure.json"


def checked_path(work: Path, number: int) -> Path:
    """Of the mark that a frame is done."""
    return work / f"{number:06d}.checked.json"
