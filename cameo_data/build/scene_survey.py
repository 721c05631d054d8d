"""Surveys kept on disk, valid as long as the frames they were made from have not changed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.build.folder import identity
from cameo_data.errors import Failure
from cameo_data.io.records import canonical_json
from cameo_data.io.work_folder import mark_of_files, mark_of_frames, write_bytes
from cameo_data.recipe import Recipe
from cameo_data.types import Frame, Scene, Unit, Unused

# Hexadecimal digits of a frame's mark: two marks of one frame agree by chance once in 10^19.
MARK_DIGITS = 16


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SceneSurvey:
    """A scene's N usable views.

    Attributes:
        found: frames found, those that failed included.
        frame_ids: N.
        position: (N,) places among the candidates, those that failed included; rising.
        cam_from_world: (N, 4, 4).
        overlap: (N, N) float32 share of VISIBLE from row to column.
        image_exts: N extensions of files that can be stored as they are, or None.
        hw: size of all N views, or None where N is 0.
        masked: whether any view has a mask.
        failures: of frames, and at most one of the whole scene.
        inputs: hash of everything the scene's samples are made from.
        matched: whether sparse matches stand in for depth.
        notes, unused: see ``Scene``.
        marks: per candidate frame, what changes when its record or one of its files does.
        changed: candidates whose mark is another than in the survey kept before; not kept itself.
    """

    scene_id: str
    unit: Unit
    found: int
    frame_ids: tuple[str, ...]
    position: NDArray[np.int64]
    cam_from_world: NDArray[np.float64]
    overlap: NDArray[np.float32]
    image_exts: tuple[str | None, ...]
    hw: tuple[int, int] | None
    masked: bool
    failures: tuple[Failure, ...]
    inputs: str
    matched: bool = False
    notes: tuple[str, ...] = ()
    unused: tuple[Unused, ...] = ()
    marks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    changed: tuple[str, ...] = ()


def frame_marks(frames: Sequence[Frame]) -> dict[str, str]:
    """By frame id: changes when a camera or (by size or time of change) a file does."""
    digests = {f.frame_id: hashlib.sha256(mark_of_frames([f])).hexdigest() for f in frames}
    return {frame_id: digest[:MARK_DIGITS] for frame_id, digest in digests.items()}


def fingerprint(recipe: Recipe, scene: Scene, frames: Sequence[Frame]) -> str:
    """Changes when what listing found does, a camera, or (by size or time of change) a file."""
    return fingerprint_of(recipe, scene, frame_marks(frames))


def fingerprint_of(recipe: Recipe, scene: Scene, marks: Mapping[str, str]) -> str:
    """Changes when what listing found or one of the frames' ``marks`` does."""
    listed = [len(scene.frames), scene.unit, [failure.record() for failure in scene.failures]]
    said = [list(scene.notes), [dataclasses.asdict(unused) for unused in scene.unused]]
    basis = [identity(recipe), listed, said, list(marks.items())]
    digest = hashlib.sha256(canonical_json(basis))
    if scene.matches is not None:
        digest.update(mark_of_files(scene.matches.paths))
    return digest.hexdigest()


_ARRAYS = ("position", "cam_from_world", "overlap")


def save(path: Path, survey: SceneSurvey) -> None:
    """Keeps a survey."""
    plain = {
        field.name: getattr(survey, field.name)
        for field in dataclasses.fields(survey)
        if field.name not in (*_ARRAYS, "failures", "unused", "changed")
    }
    plain["failures"] = [dataclasses.asdict(failure) for failure in survey.failures]
    plain["unused"] = [dataclasses.asdict(unused) for unused in survey.unused]
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, text=text, **{name: getattr(survey, name) for name in _ARRAYS})
    write_bytes(path, buffer.getvalue())


def _open(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            plain = json.loads(file["text"].tobytes())
            return plain, {name: file[name] for name in _ARRAYS}
    except Exception:  # cut short, or not ours: zipfile, NumPy and json have errors of their own
        return None


def differences(path: Path, marks: Mapping[str, str]) -> tuple[str, ...]:
    """Frames that are new, gone or changed since the survey kept at ``path``; none without one."""
    if (kept := _open(path)) is None:
        return ()
    before = kept[0].get("marks", {})
    ids = dict.fromkeys((*marks, *before))
    return tuple(frame_id for frame_id in ids if marks.get(frame_id) != before.get(frame_id))


def load(path: Path, inputs: str) -> SceneSurvey | None:
    """A saved survey of the same inputs, or None."""
    if (kept := _open(path)) is None or kept[0]["inputs"] != inputs:
        return None
    plain, arrays = kept
    failures = tuple(map(Failure.of_record, plain["failures"]))
    return SceneSurvey(
        **{
            **plain,
            **arrays,
            "failures": failures,
            "notes": tuple(plain["notes"]),
            "unused": tuple(
                Unused(one["what"], one["count"], tuple(one["examples"])) for one in plain["unused"]
            ),
            "frame_ids": tuple(plain["frame_ids"]),
            "image_exts": tuple(plain["image_exts"]),
            "hw": None if plain["hw"] is None else tuple(plain["hw"]),
        }
    )
