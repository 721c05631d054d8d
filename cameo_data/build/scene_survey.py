"""Surveys kept on disk, valid as long as the frames they were made from have not changed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cameo_data.build.folder import identity
from cameo_data.errors import Failure, Reason
from cameo_data.recipe import Recipe, canonical_json
from cameo_data.types import Frame, Scene, Unit
from cameo_data.work_folder import mark_of_files, mark_of_frames, write_bytes


@dataclasses.dataclass(frozen=True, eq=False)
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


def fingerprint(recipe: Recipe, scene: Scene, frames: Sequence[Frame]) -> str:
    """Changes when what listing found does, a camera, or (by size or time of change) a file."""
    listed = [len(scene.frames), scene.unit, [failure.record() for failure in scene.failures]]
    digest = hashlib.sha256(canonical_json([identity(recipe), listed]))
    digest.update(mark_of_frames(frames))
    if scene.matches is not None:
        digest.update(mark_of_files(scene.matches.paths))
    return digest.hexdigest()


_ARRAYS = ("position", "cam_from_world", "overlap")


def save(path: Path, survey: SceneSurvey) -> None:
    """Keeps a survey."""
    plain = {
        field.name: getattr(survey, field.name)
        for field in dataclasses.fields(survey)
        if field.name not in (*_ARRAYS, "failures")
    }
    plain["failures"] = [dataclasses.asdict(failure) for failure in survey.failures]
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, text=text, **{name: getattr(survey, name) for name in _ARRAYS})
    write_bytes(path, buffer.getvalue())


def load(path: Path, inputs: str) -> SceneSurvey | None:
    """A saved survey of the same inputs, or None."""
    try:
        with np.load(path, allow_pickle=False) as file:
            plain = json.loads(file["text"].tobytes())
            arrays = {name: file[name] for name in _ARRAYS}
    except Exception:  # cut short, or not ours: zipfile, NumPy and json have errors of their own
        return None
    if plain["inputs"] != inputs:
        return None
    failures = tuple(Failure(**{**f, "reason": Reason(f["reason"])}) for f in plain["failures"])
    return SceneSurvey(
        **{
            **plain,
            **arrays,
            "failures": failures,
            "frame_ids": tuple(plain["frame_ids"]),
            "image_exts": tuple(plain["image_exts"]),
            "hw": None if plain["hw"] is None else tuple(plain["hw"]),
        }
    )
