"""CO3D's annotation files: their records, checked. ``index`` finds one sequence's frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.gzip_json import Records, no_list, unpacked

FRAMES = "frame_annotations.jgz"
SEQUENCES = "sequence_annotations.jgz"
# CO3D v2 has 19 000 sequences in all.
MAX_RECORDS = 100_000

M = TypeVar("M", bound=BaseModel)
Row = tuple[float, float, float]


class Record(BaseModel):
    """Base of the records; unknown and missing fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageRecord(Record):
    path: str  # relative to the dataset's root
    size: tuple[int, int]  # height, width


class DepthRecord(Record):
    path: str
    scale_adjustment: float  # depth = value in the PNG × scale_adjustment
    mask_path: str | None = None  # where the depth agrees with other views'


class MaskRecord(Record):
    path: str  # PNG of 255 × probability of foreground
    mass: float | None = None  # sum of the probabilities
    bounding_box_xywh: tuple[float, float, float, float] | None = None


class ViewpointRecord(Record):
    """A PyTorch3D camera: row vectors, X_cam = X_world @ R + T; x left, y up, z forward."""

    R: tuple[Row, Row, Row]
    T: Row
    focal_length: tuple[float, float]
    principal_point: tuple[float, float]
    intrinsics_format: str = "ndc_norm_image_bounds"  # or ndc_isotropic


class Co3dFrameRecord(Record):
    sequence_name: str
    frame_number: int = Field(ge=0)
    frame_timestamp: float  # seconds from the video's start
    image: ImageRecord
    depth: DepthRecord | None = None
    mask: MaskRecord | None = None
    viewpoint: ViewpointRecord | None = None
    meta: dict[str, Any] | None = None
    camera_name: Any = None  # in the files, not in the publisher's data_types.py


class PointCloudRecord(Record):
    path: str
    quality_score: float
    n_points: int | None = None


class SequenceRecord(Record):
    sequence_name: str
    category: str
    video: dict[str, Any] | None = None
    point_cloud: PointCloudRecord | None = None
    viewpoint_quality_score: float | None = None  # higher is better


def parse(model: type[M], values: Any, name: str) -> M:
    """The checked record.

    Raises:
        FileDefect: an unknown, missing or malformed field; it is named.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field_name = ".".join(str(part) for part in first["loc"]) or "record"
        given = "" if first["type"] == "missing" else f" = {str(first['input'])[:60]!r}"
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{name}: field {field_name}{given}: {first['msg'].lower()}",
            "the fields of CO3D's data_types.py",
            "take the file as published, or convert it to CO3D v2",
        ) from None


def read_records(path: Path) -> Iterator[Any]:
    """The values of a gzipped JSON list, one by one.

    Raises:
        FileDefect: missing, damaged, too large, or not a JSON list.
    """
    for number, (value, _) in enumerate(Records(unpacked(path), path.name)):
        if number >= MAX_RECORDS:
            raise no_list(path.name, f"more than {MAX_RECORDS} records")
        yield value
