"""``transforms.json``: its records, for all frames and for each one.

Fields as in nerfstudio's data conventions (https://docs.nerf.studio/quickstart/data_conventions.html)
and instant-ngp's ``src/nerf_loader.cu``; nerfstudio's own reader is
``nerfstudio/data/dataparsers/nerfstudio_dataparser.py``. The format is open: writers add keys of
their own (``sharpness``, ``aabb_scale``, ``ply_file_path`` …), which ``keys`` lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.stated_paths import safe_name

FILE_NAME = "transforms.json"
FISHEYE = "OPENCV_FISHEYE"
# No measurement is larger, and larger numbers would overflow later.
Number = Annotated[float, Field(ge=-1e9, le=1e9)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
# What writers other than nerfstudio call its models, which it writes in capitals.
_MODEL_NAMES = {"PERSPECTIVE": "OPENCV", "FISHEYE": FISHEYE}
_LISTS = ("frames", "test_frames")
_FOCAL_KEYS = {"fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "x_fov", "y_fov"}


class CameraRecord(BaseModel):
    """Intrinsics, for all frames at the top of the file or for one in its entry.

    Attributes:
        w, h: size that the other numbers are for; the images' size if missing.
        fl_x, fl_y: focal lengths in pixels; equal if one is missing.
        camera_angle_x, camera_angle_y: whole field of view in radians, instead.
        x_fov, y_fov: the same in degrees.
        cx, cy: principal point in pixels, the first pixel's centre at (0.5, 0.5); by default
            the middle.
        k1 … k4, p1, p2: OpenCV's, or OpenCV's fisheye model's k1 … k4.
        distortion_params: (k1, k2, k3, k4, p1, p2), instead.
        is_fisheye: instant-ngp's way of saying OPENCV_FISHEYE.
        ftheta_p0, latlong, equirectangular: turn on instant-ngp's other lenses.
        rolling_shutter: instant-ngp's; zeros where the picture is taken at one time.
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
    rolling_shutter: list[Number] | None = None

    @property
    def model(self) -> str:
        """One of nerfstudio's names."""
        stated = (self.camera_model or "").upper()
        stated = _MODEL_NAMES.get(stated, stated)
        return stated or (FISHEYE if self.is_fisheye else "OPENCV")

    @property
    def coefficients(self) -> tuple[float, float, float, float, float, float]:
        """(k1, k2, k3, k4, p1, p2)."""
        own = (self.k1, self.k2, self.k3, self.k4, self.p1, self.p2)
        return own if self.distortion_params is None else self.distortion_params


class NerfstudioFrameRecord(BaseModel):
    """A frame's entry, without its intrinsics.

    Attributes:
        transform_matrix: camera-to-world 4×4 or 3×4, OpenGL axes.
        transform_matrix_start: instant-ngp's, of a camera that moves during the exposure; its
            ``transform_matrix_end`` goes with it.
        depth_file_path: nerfstudio's name; depth_path: instant-ngp's.
        is_bad: ScanNet++'s flag of blurred pictures.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    file_path: str = Field(min_length=1)
    transform_matrix: list[Any] | None = None
    transform_matrix_start: list[Any] | None = None
    transform_matrix_end: list[Any] | None = None
    is_bad: bool = False
    mask_path: str | None = None
    depth_file_path: str | None = None
    depth_path: str | None = None


class TransformsRecord(BaseModel):
    """What the file says about all frames, apart from intrinsics.

    Attributes:
        applied_transform: 3×4 from the world before the writer turned it to the file's.
        applied_scale: factor that the writer then applied to camera positions, but not to depth.
        integer_depth_scale: scene units per stored depth unit, instant-ngp's.
        depth_unit_scale_factor: the same from some writers for nerfstudio, where it is an option.
        train_filenames, val_filenames, test_filenames: file_path of the frames of each split.
        test_frames: ScanNet++'s held-out frames, which ``frames`` does not hold.
        camera_convention: axes of the posed cameras; OpenGL's where the key is missing (WAI).
        from_mitsuba, from_na: instant-ngp's switches to other axes.
        scale_type: WAI's: ``metric`` says that the unit is the metre.
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
    test_frames: list[Any] = Field(default_factory=list)
    camera_convention: str | None = None
    from_mitsuba: bool = False
    from_na: bool = False
    scale_type: str | None = None


@dataclass(frozen=True, eq=False)
class Transforms:
    """One file: its record, and the raw intrinsics of all frames."""

    name: str
    record: TransformsRecord
    shared: dict[str, Any]


@dataclass(frozen=True, eq=False)
class FrameRecords:
    """One frame's records."""

    frame: NerfstudioFrameRecord
    camera: CameraRecord


def read(path: Path) -> Transforms:
    """A ``transforms.json``; its frames are not checked yet.

    Raises:
        FileDefect: missing, not JSON, or without frames.
    """
    text = files.read_text(path, parsing.MAX_JSON_BYTES)
    try:
        values = parsing.parse_json(text)
    except ValueError as error:
        raise _malformed(f"{path.name} is not JSON ({error})", "a complete file") from None
    if not isinstance(values, dict) or not isinstance(values.get("frames"), list):
        raise _malformed(f"{path.name} has no list called frames", '{"frames": [ … ], …}')
    try:
        record = TransformsRecord.model_validate(values)
    except ValidationError as error:
        raise _malformed(f"{path.name}: {_problem(error)}", "numbers as documented") from None
    return Transforms(path.name, record, {k: v for k, v in values.items() if k not in _LISTS})


def read_entry(file: Transforms, values: Any) -> FrameRecords:
    """A frame's entry; its own intrinsics override those of all frames.

    Raises:
        FileDefect: no ``file_path``, or malformed numbers.
    """
    if not isinstance(values, dict):
        raise _malformed(f"an entry of {file.name} is not an object", "file_path, transform_matrix")
    shared = file.shared
    if _FOCAL_KEYS & values.keys():
        shared = {key: value for key, value in shared.items() if key not in _FOCAL_KEYS}
    both = {**shared, **values}
    try:
        return FrameRecords(
            NerfstudioFrameRecord.model_validate(values), CameraRecord.model_validate(both)
        )
    except ValidationError as error:
        raise _invalid(f"{file.name}: {_problem(error)}", error) from None


def frame_name(values: Any, number: int) -> str:
    """An entry in messages and lists of splits: its file_path without ``./``, or its number."""
    text = values.get("file_path") if isinstance(values, dict) else None
    if not isinstance(text, str) or not text:
        return f"number {number}"
    return printable(str(PurePosixPath(safe_name(text).replace("\\", "/"))))


def _problem(error: ValidationError) -> str:
    item = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in item["loc"])
    given = "" if item["type"] == "missing" else f" = {printable(str(item['input'])[:60])}"
    return f"{key}{given}: {item['msg'].lower()}"


def _invalid(found: str, error: ValidationError) -> FileDefect:
    item = error.errors(include_url=False)[0]
    key = str(item["loc"][-1])
    if key.startswith("camera_angle_") and item["type"] == "less_than":
        axis = key[-1]
        remedy = f"convert it; or call it {axis}_fov, which is in degrees"
        return FileDefect(Reason.BAD_METADATA, found, "an angle in radians, below π", remedy)
    return _malformed(found, "numbers as documented")


def _malformed(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.BAD_METADATA, found, expected, "write the file again")
