"""``cameo.json``: a scene described in a few lines of JSON, and what its records mean.

docs/datasets/generic.md is the description for people; a test holds the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from cameo_data.errors import Reason
from cameo_data.geometry.undistortion import COEFFICIENT_COUNTS
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.sources.source import CodecOption
from cameo_data.types import DepthCodec

FILE_NAME = "cameo.json"
FORMAT = "cameo-1"
M = TypeVar("M", bound=BaseModel)
Row3 = tuple[float, float, float]
Row4 = tuple[float, float, float, float]


def _matrix(value: Any) -> Any:
    """K from fx, fy, cx, cy."""
    if isinstance(value, list) and len(value) == 4 and not isinstance(value[0], list):
        fx, fy, cx, cy = value
        return [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    return value


Intrinsics = Annotated[tuple[Row3, Row3, Row3], BeforeValidator(_matrix)]


class _Record(BaseModel):
    """Base of the records; unknown keys are errors, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Defaults(_Record):
    """What may be given once for the scene, and again in a frame for that frame alone."""

    K: Intrinsics | None = None  # 3×3, or fx, fy, cx, cy; pixels of the image
    K_size: tuple[int, int] | None = None  # width, height that K is for, where images were resized
    distortion: tuple[float, ...] | None = None  # OpenCV's k1, k2, p1, p2[, k3 …]
    depth_scale: float | None = Field(None, gt=0)  # scene units per stored unit

    @field_validator("distortion")
    @classmethod
    def _coefficients(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values and len(values) not in COEFFICIENT_COUNTS:
            raise ValueError(f"expected {', '.join(map(str, COEFFICIENT_COUNTS))} numbers")
        return values


class GenericFrameRecord(Defaults):
    """One frame. Paths start from the folder of ``cameo.json`` and stay in it."""

    image: str
    pose: (
        tuple[Row4, Row4, Row4] | tuple[Row4, Row4, Row4, Row4]
    )  # see ``GenericSceneRecord.poses``
    id: str | None = Field(None, min_length=1)  # the image's name without folder and ending
    depth: str | None = None
    mask: str | None = None
    timestamp: float | None = None  # seconds


class GenericSceneRecord(Defaults):
    """A scene.

    ``frames`` are ``GenericFrameRecord``s, checked one by one, so that a bad one fails alone.
    """

    format: Literal["cameo-1"]
    poses: Literal["cam_from_world", "world_from_cam"]  # which way every ``pose`` points
    frames: list[dict[str, Any]]
    axes: Literal["opencv", "opengl"] = "opencv"  # x right, y down, z forward; or y up, z back
    pixel_center: Literal["half", "integer"] = "half"  # of the first pixel in K: (0.5, 0.5), (0, 0)
    unit: Literal["metre", "arbitrary"] = "arbitrary"
    depth_codec: CodecOption = DepthCodec.UINT16
    depth_invalid: tuple[float, ...] = ()  # stored values without depth; 0, NaN and infinity always
    depth_along_ray: bool = False  # depth is the distance to the camera's centre, not z
    depth_source: str = Field("sensor", min_length=1)
    mask_threshold: float | None = Field(None, gt=0, le=1)  # share of white; None: half
    matches: str | None = None  # CSV: frame0,frame1,x0,y0,x1,y1


def read_scene(folder: Path) -> GenericSceneRecord:
    """The folder's ``cameo.json``.

    Raises:
        FileDefect: missing, not JSON, or a key is unknown, missing or malformed; it is named.
    """
    text = files.read_text(files.inside(folder, folder / FILE_NAME), parsing.MAX_JSON_BYTES)
    try:
        values = parsing.parse_json(text)
    except ValueError as error:
        raise _wrong(f"not JSON ({error})", "a JSON table") from None
    return _checked(GenericSceneRecord, values)


def read_frame(values: dict[str, Any]) -> GenericFrameRecord:
    """One entry of ``frames``.

    Raises:
        FileDefect: a key is unknown, missing or malformed; it is named.
    """
    return _checked(GenericFrameRecord, values)


def _checked(model: type[M], values: Any) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("tuple"))
        given = "" if first["type"] == "missing" else f" = {str(first['input'])[:60]!r}"
        message = first["msg"].removeprefix("Value error, ").lower()
        raise _wrong(f"key {key or 'of the record'}{given}: {message}", "known keys") from None


def _wrong(found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"{FILE_NAME}: {found}",
        f"{expected} as in docs/datasets/generic.md",
        "correct the file",
    )
