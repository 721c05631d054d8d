"""CO3D's annotation files: records, and one sequence's frames out of a category's without the rest.

``frame_annotations.jgz`` is one gzipped JSON list of all frames of a category, 100 MB and more once
unpacked. It is read once, record by record, to note where each sequence lies; a sequence is later
unpacked from the nearest resuming point on.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.sources.gzip_json import Point, Records, no_list, unpacked

FRAMES = "frame_annotations.jgz"
SEQUENCES = "sequence_annotations.jgz"

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


class FrameRecord(Record):
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
    viewpoint_quality_score: float | None = None  # the bigger the better


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
        FileDefect: missing, damaged, too large, or no JSON list.
    """
    for value, _ in Records(unpacked(path), path.name):
        yield value


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Where in ``frame_annotations.jgz`` each sequence's frames are.

    Attributes:
        spans: first and last byte, unpacked, of each run of a sequence's records: s0, e0, s1, …
        points: resuming points in rising order.
    """

    path: Path
    spans: dict[str, array[int]]
    points: tuple[Point, ...]

    def read(self, sequence: str) -> list[Any]:
        """The sequence's frame records, not yet checked, in the file's order; [] without any.

        Raises:
            FileDefect: the file changed or is gone.
        """
        spans = self.spans.get(sequence, array("q"))
        found: list[Any] = []
        for start, end in zip(spans[::2], spans[1::2], strict=True):
            text = self._text(start, end)
            try:
                found += json.loads(b"[%s]" % text)
            except ValueError:
                raise no_list(self.path.name, "changed while it was read") from None
        return found

    def _text(self, start: int, end: int) -> bytes:
        point = max((p for p in self.points if p.unpacked <= start), key=lambda p: p.unpacked)
        text = bytearray()
        place = point.unpacked
        for chunk in unpacked(self.path, point):
            if place + len(chunk) > start:
                text += chunk[max(0, start - place) : end - place]
            place += len(chunk)
            if place >= end:
                break
        return bytes(text)


def index_frames(path: Path) -> FrameIndex:
    """Reads the file once from end to end; its memory does not grow with the number of frames.

    Raises:
        FileDefect: as ``read_records``, or a record without a sequence's name.
    """
    points: list[Point] = []
    spans: dict[str, array[int]] = {}
    last = None
    for value, (start, end) in Records(unpacked(path, keep=points), path.name):
        name = value.get("sequence_name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise no_list(path.name, f"a record without sequence_name at byte {start}")
        if name == last:
            spans[name][-1] = end  # the usual case: a sequence's frames stand together
        else:
            spans.setdefault(name, array("q")).extend((start, end))
        last = name
    return FrameIndex(path, spans, tuple(points))
