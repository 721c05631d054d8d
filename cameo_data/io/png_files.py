"""PNG files, checked to the last byte before a decoder sees them.

libpng reports every defect on stderr, even damaged profiles in sound pictures. So this module
checks the file (chunks, checksums, header, compressed pixels), and decoders get only the pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import IO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]  # type, body

# PNG specification, table 11.1: colour type -> (channels, bit depths).
_CHANNELS = {
    0: (1, (1, 2, 4, 8, 16)),
    2: (3, (8, 16)),
    3: (1, (1, 2, 4, 8)),
    4: (2, (8, 16)),
    6: (4, (8, 16)),
}
_PALETTE = 3
# Adam7's passes: first column, first row, step right, step down (PNG specification, 8.2).
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
_LAST_FILTER = 4
# EXIF and XMP take kilobytes.
_MOST_METADATA = 10_000_000
# The largest file that is read, in libpng's chunks of 8 kB, has 65 000 of them.
_MOST_CHUNKS = 200_000


def chunks(data: bytes) -> list[Chunk]:
    """The chunks, up to IEND, of a PNG that passes ``chunk_defect``."""
    found: list[Chunk] = []
    position = len(SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        (length,) = struct.unpack_from(">I", data, position)
        body = data[position + 8 : position + 8 + length]
        found.append((data[position + 4 : position + 8], body))
        position += 12 + length
    return found


def join(parts: Iterable[Chunk]) -> bytes:
    """The PNG file made of these chunks."""
    out = [SIGNATURE]
    for kind, body in parts:
        checksum = zlib.crc32(body, zlib.crc32(kind))
        out += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)]
    return b"".join(out)


def chunk_defect(data: bytes) -> str | None:
    """What is wrong with a PNG's chunks (lengths, checksums, IEND), or None."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        checksum = zlib.crc32(memoryview(data)[position + 4 : end - 4])
        if checksum != struct.unpack_from(">I", data, end - 4)[0]:
            return f"is damaged (checksum of chunk {kind!r} differs)"
        if kind == b"IEND":
            return None
        position = end
    return f"is cut short after {len(data)} bytes"


def late_metadata(stream: IO[bytes]) -> dict[str, bytes]:
    """``exif`` and ``xmp`` after a PNG's pixels, where readers of headers do not look."""
    found: dict[str, bytes] = {}
    stream.seek(len(SIGNATURE))
    seen_pixels = False
    for _ in range(_MOST_CHUNKS):
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        length, kind = struct.unpack(">I4s", head)
        seen_pixels |= kind == b"IDAT"
        wanted = seen_pixels and length <= _MOST_METADATA and kind in (b"eXIf", b"iTXt")
        body = stream.read(length) if wanted else b""
        if kind == b"eXIf" and wanted:
            found["exif"] = body
        elif body.startswith(b"XML:com.adobe.xmp"):
            found["xmp"] = body
        stream.seek(length - len(body) + 4, 1)
    return found


def pixels_only(data: bytes) -> bytes | str:
    """The same pixels as a PNG that libpng decodes silently, or a text that says what is wrong.

    Check the size first, since this unpacks all pixels.
    """
    if (defect := chunk_defect(data)) is not None:
        return defect
    parts = chunks(data)
    header = parts[0][1]
    if parts[0][0] != b"IHDR" or len(header) != 13:
        return "is damaged (it does not start with a header)"
    width, height, depth, color, compression, filters, interlaced = struct.unpack(
        ">IIBBBBB", header
    )
    channels, depths = _CHANNELS.get(color, (0, ()))
    if depth not in depths or compression or filters or interlaced > 1 or not width * height:
        return f"is damaged (header {header.hex()})"
    kept = [(b"IHDR", header)]
    if color == _PALETTE:
        palette = next((body for kind, body in parts if kind == b"PLTE"), b"")
        if not palette or len(palette) % 3 or len(palette) > 3 << depth:
            return f"is damaged (palette of {len(palette)} bytes)"
        kept.append((b"PLTE", palette.ljust(3 << depth, b"\0")))
    packed = b"".join(body for kind, body in parts if kind == b"IDAT")
    packed_or_defect = _checked_pixels(packed, (height, width), depth * channels, interlaced)
    if isinstance(packed_or_defect, str):
        return packed_or_defect
    return join([*kept, (b"IDAT", packed_or_defect), (b"IEND", b"")])


def _checked_pixels(
    packed: bytes, hw: tuple[int, int], bits_per_pixel: int, interlaced: int
) -> bytes | str:
    """The compressed pixels, without bytes that some writers leave after them; or what is wrong."""
    passes = []  # rows, bytes per row including the filter's number
    for x, y, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        rows, columns = -((y - hw[0]) // dy), -((x - hw[1]) // dx)
        if rows > 0 and columns > 0:
            passes.append((rows, 1 + (columns * bits_per_pixel + 7) // 8))
    expected = sum(rows * row_bytes for rows, row_bytes in passes)
    inflate = zlib.decompressobj()
    try:
        raw = np.frombuffer(inflate.decompress(packed, expected + 1), np.uint8)
    except zlib.error as error:
        return f"is damaged (its pixels cannot be unpacked: {error})"
    if len(raw) < expected or (len(raw) == expected and not inflate.eof):
        return f"is damaged (its pixels unpack to {len(raw)} bytes of {expected})"
    start = 0
    for rows, row_bytes in passes:
        end = start + rows * row_bytes
        if raw[start:end:row_bytes].max() > _LAST_FILTER:
            return "is damaged (a row is filtered in an unknown way)"
        start = end
    return packed if len(raw) == expected else zlib.compress(raw[:expected].tobytes(), 1)
