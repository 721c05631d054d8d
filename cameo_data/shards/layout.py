"""The layout of a shard: member names and the record in each sample's ``.json``.

The format is specified in ``docs/shards.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from cameo_data.io.records import canonical_json

# The version that is written; version 1, without checksums of the members, can still be read.
FORMAT_VERSION: Literal[2] = 2
FormatVersion = Literal[1, 2]
SHARD_FOLDER = "shards"

# One path component without a dot; with the longest member name it fits into ustar's 100 bytes.
KEY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,71}")
SHARD_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,120}\.tar")

IMAGE_EXTS = ("jpg", "png", "webp")
JSON = "json"
CRC32 = "crc32"
INTRINSICS = "intrinsics.npy"
CAM_FROM_WORLD = "cam_from_world.npy"
MATCH_VIEWS = "match_views.npy"
MATCH_XY = "match_xy.npy"

# Stride 1 would take megabytes of raw array per pair, so it is stored as compressed maps instead.
FULL_STRIDE = 1

MAX_VIEWS = 64
MAX_PIXELS = 100_000_000


_DEPTH = "depth.png16"


def image_member(view: int, ext: str) -> str:
    """Member name of an image, e.g. ``0.jpg``."""
    return f"{view}.{ext}"


def depth_member(view: int) -> str:
    """Member name of a depth map, e.g. ``0.depth.png16``."""
    return f"{view}.{_DEPTH}"


def depth_views(members: Iterable[str]) -> int:
    """Number of depth maps among a sample's members.

    >>> depth_views(["0.jpg", "0.depth.png16", "1.depth.png16"])
    2
    """
    return sum(name.endswith(f".{_DEPTH}") for name in members)


def mask_member(view: int) -> str:
    """Member name of a foreground mask, e.g. ``0.mask.png8``."""
    return f"{view}.mask.png8"


def array_member(what: str, stride: int) -> str:
    """Member name of ``xy``, ``verdict`` or ``confidence`` at one stride, e.g. ``xy8.npy``."""
    return f"{what}{stride}.npy"


def map_member(what: str, pair: tuple[int, int], ext: str) -> str:
    """Member name of one ordered pair's full-resolution map, e.g. ``xy1.0-1.x.png16``."""
    plane = "" if "." not in what else what[what.index(".") :]
    return f"{what.split('.')[0]}{FULL_STRIDE}.{pair[0]}-{pair[1]}{plane}.{ext}"


def ordered_pairs(views: int) -> Iterator[tuple[int, int]]:
    """All (a, b) with a ≠ b, row by row."""
    return ((a, b) for a in range(views) for b in range(views) if a != b)


def expected_members(
    meta: SampleMeta, image_exts: Sequence[str], masks: bool, matches: bool = False
) -> frozenset[str]:
    """Names of the members of a sample with this record."""
    views = range(len(meta.frame_ids))
    names = [JSON, INTRINSICS, CAM_FROM_WORLD, *map(depth_member, views)]
    names += [image_member(n, ext) for n, ext in zip(views, image_exts, strict=True)]
    names += [mask_member(n) for n in views] if masks else []
    names += [MATCH_VIEWS, MATCH_XY] if matches else []
    names += [CRC32] if meta.format_version > 1 else []
    for stride in meta.strides:
        if stride != FULL_STRIDE:
            names += [array_member(what, stride) for what in ("xy", "verdict", "confidence")]
            continue
        for pair in ordered_pairs(len(views)):
            names += [map_member(f"xy.{axis}", pair, "png16") for axis in "xy"]
            names += [map_member(what, pair, "png8") for what in ("verdict", "confidence")]
    return frozenset(names)


Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1, le=65535)]


class SampleMeta(BaseModel):
    """A sample's ``.json``.

    Attributes:
        hw: height and width in pixels of all the sample's images, depths and masks.
        strides: of the stored correspondences, rising; empty where none are stored.
        depth_inverse_range: per view, the inverse depths of codes 1 and 65535.
        depth_max_rel_error: per view, bound of |stored − given| / given.
        xy_steps_per_px: a pixel coordinate is its code divided by this.
        restricted_to_mask: whether queries and targets are restricted to the masks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format_version: FormatVersion
    key: Annotated[str, Field(pattern=f"^{KEY_PATTERN.pattern}$")]
    dataset: str
    scene_id: str
    frame_ids: Annotated[tuple[str, ...], Field(min_length=2, max_length=MAX_VIEWS)]
    hw: tuple[Positive, Positive]
    unit: Literal["metre", "arbitrary"]
    strides: tuple[Positive, ...]
    rotation_deg: tuple[tuple[Annotated[float, Field(ge=0, le=180)], ...], ...]
    overlap: tuple[tuple[Share, ...], ...]
    overlap_stride: Positive
    depth_source: str
    depth_inverse_range: tuple[tuple[Finite, Finite], ...]
    depth_max_rel_error: tuple[Finite, ...]
    xy_steps_per_px: Positive
    restricted_to_mask: bool
    extra: dict[str, JsonValue]

    @model_validator(mode="after")
    def _consistent(self) -> SampleMeta:
        views = len(self.frame_ids)
        for name in ("rotation_deg", "overlap"):
            if [len(row) for row in getattr(self, name)] != [views] * views:
                raise ValueError(f"{name} is not {views}×{views}")
        for name in ("depth_inverse_range", "depth_max_rel_error"):
            if len(getattr(self, name)) != views:
                raise ValueError(f"{name} is not of length {views}")
        if list(self.strides) != sorted(set(self.strides)):
            raise ValueError("strides do not rise")
        if self.hw[0] * self.hw[1] > MAX_PIXELS:
            raise ValueError(f"images of {self.hw[0]}×{self.hw[1]} exceed {MAX_PIXELS} pixels")
        for low, high in self.depth_inverse_range:
            if not (0 < low < high or low == high == 0):
                raise ValueError(f"inverse depths from {low} to {high} are not a range")
        return self

    def to_json(self) -> bytes:
        """The member's bytes: sorted keys, no spaces, ASCII."""
        return canonical_json(self.model_dump(mode="json"))
