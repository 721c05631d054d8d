"""``transforms.json``: its records, of all frames and of each.

Fields as in nerfstudio's data conventions (https://docs.nerf.studio/quickstart/data_conventions.html)
and instant-ngp's ``src/nerf_loader.cu``; nerfstudio's own reader is
``nerfstudio/data/dataparsers/nerfstudio_dataparser.py``. The format is open: writers add keys of
their own (``sharpness``, ``aabb_scale``, ``ply_file_path`` …), which are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data import files
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.sources.listing import printable

FILE_NAME = "transforms.json"
SPLITS = ("train", "val", "test")
FISHEYE = "OPENCV_FISHEYE"
# No measurement is larger; what is would overflow on the way.
Number = Annotated[float, Field(ge=-1e9, le=1e9)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
_FOCAL_KEYS = {"fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "x_fov", "y_fov"}


class CameraRecord(BaseModel):
    """Intrinsics, of all frames at the top of the file or of one in its entry.

    Attributes:
        w, h: size that the other numbers are for; that of the images where they are missing.
        fl_x, fl_y: focal lengths in pixels; equal where one is missing.
        camera_angle_x, camera_angle_y: whole field of view in radians, in their place.
        x_fov, y_fov: the same in degrees.
        cx, cy: principal point in pixels, the first pixel's centre at (0.5, 0.5); the middle.
        k1 … k4, p1, p2: OpenCV's, or OpenCV's fisheye model's k1 … k4.
        distortion_params: (k1, k2, k3, k4, p1, p2), in their place.
        is_fisheye: instant-ngp's way of saying OPENCV_FISHEYE.
        ftheta_p0, latlong, equirectangular: turn on instant-ngp's other lenses.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    camera_model: str | None = None
    is_fisheye: bool = False
    w: Positive | None = None
    h: Positive | None = None
    fl_x: Number | None = None
    fl_y: Number | None = None
    camera_angle_x: float | None = Field(None, gt=0, lt=np.pi)
    camera_angle_y: float | None = Field(None, gt=0, lt=np.pi)
    x_fov: float | None = Field(None, gt=0, lt=180)
    y_fov: float | None = Field(None, gt=0, lt=180)
    cx: Number | None = None
    cy: Number | None = None
    k1: Number = 0.0
    k2: Number = 0.0
    k3: Number = 0.0
    k4: Number = 0.0
    p1: Number = 0.0
    p2: Number = 0.0
    distortion_params: tuple[Number, Number, Number, Number, Number, Number] | None = None
    ftheta_p0: Any = None
    latlong: Any = None
    equirectangular: Any = None

    @property
    def model(self) -> str:
        """One of nerfstudio's names."""
        return self.camera_model or (FISHEYE if self.is_fisheye else "OPENCV")

    @property
    def coefficients(self) -> tuple[float, float, float, float, float, float]:
        """(k1, k2, k3, k4, p1, p2)."""
        own = (self.k1, self.k2, self.k3, self.k4, self.p1, self.p2)
        return own if self.distortion_params is None else self.distortion_params


class FrameRecord(BaseModel):
    """A frame's entry, without its intrinsics.

    Attributes:
        transform_matrix: camera-to-world 4×4 or 3×4, OpenGL axes.
        depth_file_path: nerfstudio's name; depth_path: instant-ngp's.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    file_path: str = Field(min_length=1)
    transform_matrix: list[Any] | None = None
    mask_path: str | None = None
    depth_file_path: str | None = None
    depth_path: str | None = None


class FileRecord(BaseModel):
    """What the file says of all frames, besides intrinsics.

    Attributes:
        applied_transform: 3×4 from the world before the writer turned it to the file's.
        applied_scale: by which the writer then multiplied the cameras' positions, but no depth.
        integer_depth_scale: scene units per stored depth unit, instant-ngp's.
        depth_unit_scale_factor: the same of some writers for nerfstudio, where it is an option.
        train_filenames, val_filenames, test_filenames: file_path of the frames of each split.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    frames: list[Any]
    applied_transform: list[Any] | None = None
    applied_scale: Positive = 1.0
    integer_depth_scale: Positive | None = None
    depth_unit_scale_factor: Positive | None = None
    train_filenames: list[str] | None = None
    val_filenames: list[str] | None = None
    test_filenames: list[str] | None = None


@dataclass(frozen=True, eq=False)
class Transforms:
    """One file: its record, and the raw intrinsics of all frames."""

    name: str
    record: FileRecord
    shared: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Entry:
    """One frame's records."""

    frame: FrameRecord
    camera: CameraRecord


FILE_NAMES = (FILE_NAME, *(f"transforms_{split}.json" for split in SPLITS))


def is_scene(folder: Path) -> bool:
    """Whether a file of this format lies in the folder."""
    return any((folder / name).is_file() for name in FILE_NAMES)


def read(path: Path) -> Transforms:
    """A ``transforms.json``; its frames are not looked at yet.

    Raises:
        FileDefect: missing, no JSON, or without frames.
    """
    text = files.read_text(path, files.MAX_TEXT_BYTES)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"{path.name} is no JSON ({error})", "a complete file") from None
    if not isinstance(values, dict) or not isinstance(values.get("frames"), list):
        raise _malformed(f"{path.name} has no list called frames", '{"frames": [ … ], …}')
    try:
        record = FileRecord.model_validate(values)
    except ValidationError as error:
        raise _malformed(f"{path.name}: {_problem(error)}", "numbers as documented") from None
    return Transforms(path.name, record, {k: v for k, v in values.items() if k != "frames"})


def read_entry(file: Transforms, values: Any) -> Entry:
    """A frame's entry; its own intrinsics go before those of all frames.

    Raises:
        FileDefect: no ``file_path``, or malformed numbers.
    """
    if not isinstance(values, dict):
        raise _malformed(f"an entry of {file.name} is no object", "file_path, transform_matrix")
    shared = file.shared
    if _FOCAL_KEYS & values.keys():
        shared = {key: value for key, value in shared.items() if key not in _FOCAL_KEYS}
    both = {**shared, **values}
    try:
        return Entry(FrameRecord.model_validate(values), CameraRecord.model_validate(both))
    except ValidationError as error:
        raise _malformed(f"{file.name}: {_problem(error)}", "numbers as documented") from None


def entries(folder: Path, split: str | None) -> Iterator[tuple[Transforms, Any]]:
    """Every entry, of the split asked for, with the file that it is in."""
    whole = folder / FILE_NAME
    if split is None:
        parts = [whole] if whole.is_file() else [folder / _part_name(s) for s in SPLITS]
        for path in (part for part in parts if part.is_file()):
            file = read(files.inside(folder, path))
            yield from ((file, values) for values in file.record.frames)
        return
    if whole.is_file():
        file = read(files.inside(folder, whole))
        chosen = getattr(file.record, f"{split}_filenames")
        if chosen is not None:
            names = {_normal(name) for name in chosen}
            for number, values in enumerate(file.record.frames):
                if frame_name(values, number) in names:
                    yield file, values
            return
    path = folder / _part_name(split)
    if not path.is_file():
        raise FileDefect(
            Reason.MISSING_FILE,
            f"no split {split!r}",
            f"{path.name}, or {split}_filenames in {FILE_NAME}",
            "leave the split out to use all frames",
        )
    file = read(files.inside(folder, path))
    yield from ((file, values) for values in file.record.frames)


def _part_name(split: str) -> str:
    return f"transforms_{split}.json"


def frame_name(values: Any, number: int) -> str:
    """The frame's id: its file_path without ``./``; its number where it has none."""
    text = values.get("file_path") if isinstance(values, dict) else None
    return _normal(text) if isinstance(text, str) and text else f"number {number}"


def _normal(text: str) -> str:
    return printable(str(PurePosixPath(text.replace("\\", "/"))))


def _problem(error: ValidationError) -> str:
    item = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in item["loc"])
    given = "" if item["type"] == "missing" else f" = {printable(str(item['input'])[:60])}"
    return f"{key}{given}: {item['msg'].lower()}"


def _malformed(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.BAD_METADATA, found, expected, "write the file again")
