"""A folder of depth: its paths and its records. ``docs/depth.md`` describes the layout.

depth.json                     index, written last
failures.jsonl
scenes/SCENE/scene.json        cameras and files of a finished scene
scenes/SCENE/matches.csv       sparse matches, from methods that give these instead
scenes/SCENE/FRAME.npz         depth (H, W) float32, 0 = none; confidence (H, W) uint8
.depth/                        what a stopped run needs to go on
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io import array_files, depth_files, files, records
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import MAX_JSON_BYTES
from cameo_data.io.work_folder import changes, locked, read_json, write_bytes, write_json
from cameo_data.types import DepthMap, EstimatedDepth

FORMAT_VERSION = 1
# Keys of a run's identity that say which scenes get depth, not how it is made.
CHOICE = frozenset({"source.scenes", "source.limit"})
# Confidence on disk: 255 is certain.
CONFIDENCE_STEPS = 255


class FrameEntry(BaseModel):
    """One depth map.

    Attributes:
        file: its name, beside the scene's record.
        hw: its height and width.
        image_hw, K, cam_from_world: the frame's camera that it was made for.
        known_share: share of its pixels that have depth.
        mean_confidence: mean over those pixels, or None.
        facts: what the method reports about it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_id: str
    file: str
    hw: tuple[int, int]
    image_hw: tuple[int, int]
    K: tuple[tuple[float, ...], ...]
    cam_from_world: tuple[tuple[float, ...], ...]
    known_share: float
    mean_confidence: float | None
    facts: dict[str, JsonValue]


class SceneEntry(BaseModel):
    """``scene.json``.

    Attributes:
        inputs: hash of what the depth was made from.
        found: number of frames, including those that listing rejected.
        failures: those of frames, and at most one for the whole scene.
        matches: whether ``matches.csv`` beside the record stands in for depth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1]
    dataset: str
    scene_id: str
    unit: Literal["metre", "arbitrary"]
    inputs: str
    found: int
    frames: tuple[FrameEntry, ...]
    failures: tuple[Failure, ...]
    matches: bool = False


class DepthIndex(BaseModel):
    """``depth.json``.

    Attributes:
        source: the recipe's ``source`` that the depth was made from.
        scenes: folder below ``scenes/`` by scene id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1]
    tool_version: str
    method: str
    options: dict[str, JsonValue]
    source: dict[str, JsonValue]
    counts: dict[str, JsonValue]
    scenes: dict[str, str]


@dataclass(frozen=True)
class DepthFolder:
    """Paths of a folder of depth."""

    root: Path

    @property
    def index(self) -> Path:
        return self.root / "depth.json"

    @property
    def failures(self) -> Path:
        return self.root / "failures.jsonl"

    @property
    def work(self) -> Path:
        return self.root / ".depth"

    @property
    def identity(self) -> Path:
        return self.work / "identity.json"

    def scene(self, name: str) -> Path:
        return self.root / "scenes" / name

    def scene_record(self, name: str) -> Path:
        return self.scene(name) / "scene.json"

    def matches(self, name: str) -> Path:
        return self.scene(name) / "matches.csv"

    def scene_work(self, name: str) -> Path:
        """Working folder of an unfinished scene."""
        return self.work / "scenes" / name


def save_depth(path: Path, found: EstimatedDepth, **arrays: Any) -> None:
    """Writes a depth map whole or not at all, with further ``arrays``; same input, same bytes."""
    z = np.where(found.depth.valid, found.depth.z, np.float32(0))
    members = {"depth": z.astype(np.float32), **arrays}
    if found.confidence is not None:
        steps = np.clip(np.rint(found.confidence * CONFIDENCE_STEPS), 0, CONFIDENCE_STEPS)
        members["confidence"] = np.where(found.depth.valid, steps, 0).astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)
    write_bytes(path, buffer.getvalue())


def load_depth(path: Path) -> EstimatedDepth:
    """What ``save_depth`` wrote, without facts.

    Raises:
        FileDefect: missing or damaged.
    """
    depth = DepthMap.from_array(array_files.read_npz(path, "depth"))
    try:
        with np.load(path, allow_pickle=False) as file:
            unsure = "confidence" not in file.files
    except Exception:  # read_npz has read the depth; read_confidence below names any defect
        unsure = True
    return EstimatedDepth(depth, None if unsure else depth_files.read_confidence(path))


def read_index(root: Path) -> DepthIndex:
    """The index of a finished folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    index = _read(DepthFolder(root).index, DepthIndex, root)
    # a folder's name must not lead anywhere else
    odd = [name for name in index.scenes.values() if not _is_component(name)]
    if odd:
        raise _unfinished(root, f"{DepthFolder(root).index.name}: scene folder {odd[0][:80]!r}")
    return index


def read_scene(root: Path, name: str) -> SceneEntry:
    """The record of a scene in the folder ``scenes/name``.

    Raises:
        DataError: there is none, or it is damaged.
    """
    return _read(DepthFolder(root).scene_record(name), SceneEntry, root)


def _read(path: Path, model: type[records.M], root: Path) -> records.M:
    try:
        data = files.read_bytes(path, Reason.BAD_METADATA, MAX_JSON_BYTES)
        return records.parse(model, data, path.name)
    except FileDefect as defect:
        missing = defect.reason == Reason.MISSING_FILE
        found = f"{path.relative_to(root)} is missing" if missing else defect.found
    except ValueError as error:
        found = str(error)
    raise _unfinished(root, found)


def _is_component(name: str) -> bool:
    return name not in ("", "..") and Path(name).name == name and "\0" not in name


def _unfinished(root: Path, found: str) -> DataError:
    return DataError(
        Reason.BAD_METADATA,
        dataset=str(root),
        found=found,
        expected="a finished folder of depth",
        remedy="run `cameo-data depth` with this --out (again) to finish it",
    )


@contextmanager
def claimed(root: Path, identity: Mapping[str, Any]) -> Iterator[DepthFolder]:
    """The folder, locked against other runs; it is empty or holds this same work.

    Until it is finished, a run may choose other scenes: each scene's depth is independent.

    Args:
        identity: what must be equal for two runs to work on one folder.

    Raises:
        ValueError: the folder holds other files or other depth, or is being written to.
        OSError: it cannot be written.
    """
    folder = DepthFolder(root)
    with locked(root, folder.work, folder.index):
        before = read_json(folder.identity)
        now = json.loads(records.canonical_json(identity))
        different = list(changes(before or now, now))
        if different:
            _refuse_other_work(folder, different)
        if before != now:
            write_json(folder.identity, identity)
        yield folder


def is_whole(folder: DepthFolder, name: str, entry: SceneEntry) -> bool:
    """Whether the files of a scene's record exist and are not cut off; nothing is decoded."""
    # a zip file has its directory at its end, and a table ends with a line break
    if not all(zipfile.is_zipfile(folder.scene(name) / frame.file) for frame in entry.frames):
        return False
    if not entry.matches:
        return True
    path = folder.matches(name)
    return path.is_file() and path.read_bytes().endswith(b"\n")


def _refuse_other_work(folder: DepthFolder, different: Sequence[tuple[str, Any, Any]]) -> None:
    """Refuses a folder that holds depth of other work; removes what a run without depth left."""
    told = "; ".join(f"{key}: {there} there, {here} here" for key, there, here in different)
    only_choice = all(key in CHOICE for key, _, _ in different)
    if only_choice and not folder.index.exists():
        return
    begun = any(folder.root.glob("scenes/*/*.npz")) or any(folder.root.glob("scenes/*/*.csv"))
    if folder.index.exists() or begun:
        what = "finished depth of other scenes" if only_choice else "depth made differently"
        raise ValueError(
            f"{folder.root} holds {what} ({told}); give another --out, or delete that folder to "
            "start again"
        )
    # a run that failed before its first depth map must not block the corrected one
    for place in (folder.root / "scenes", folder.work / "scenes"):
        shutil.rmtree(place, ignore_errors=True)
    folder.failures.unlink(missing_ok=True)


def forget_scene(folder: DepthFolder, name: str) -> None:
    """Removes everything written for a scene, finished or not."""
    shutil.rmtree(folder.scene(name), ignore_errors=True)
    shutil.rmtree(folder.scene_work(name), ignore_errors=True)
