"""The segments of a JPEG before its first scan, found without decoding a pixel."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Markers of ITU-T T.81, table B.1.
APP1 = 0xE1
START_OF_SCAN = 0xDA
_FILL = 0xFF
_END_OF_IMAGE = b"\xff\xd9"
_FIRST_SEGMENT = 2


@dataclass(frozen=True)
class Segment:
    """Bytes ``start`` to ``end`` of the file, its marker included."""

    marker: int
    start: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """The segments before the first scan, in order, up to the first bytes that are not one."""
    position = _FIRST_SEGMENT
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _FILL:
            position += 1
            continue
        if marker == START_OF_SCAN:
            return
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        yield Segment(marker, position, end)
        position = end


def without_app1(data: bytes) -> bytes:
    """The file without the APP1 segments (EXIF, XMP) before the first scan."""
    kept, end = [data[:_FIRST_SEGMENT]], _FIRST_SEGMENT
    for segment in segments(data):
        if segment.marker != APP1:
            kept.append(data[segment.start : segment.end])
        end = segment.end
    return b"".join([*kept, data[end:]])


def cut_defect(data: bytes) -> str | None:
    """What is wrong with a JPEG that lacks its end-of-image marker after the first scan starts.

    Cameras put thumbnails, which have an end marker of their own, before the first scan.
    """
    end = _FIRST_SEGMENT
    for segment in segments(data):
        end = segment.end
    if data.rfind(_END_OF_IMAGE) > end:
        return None
    return f"is cut short after {len(data)} bytes"
