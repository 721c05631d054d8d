"""Image files, decoded only once their header, size and completeness are known.

Decoders differ in what they do with half a file: some fill the rest with grey. A truncated file is
an error here, whatever the decoder's version.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cameo_data import files
from cameo_data.errors import Reason
from cameo_data.files import FileDefect

# Larger images are refused before decoding: 100 Mpx is a 10-fold margin over any video frame.
MAX_PIXELS = 100_000_000
# Only these decoders ever see a file; Pillow alone knows forty more.
FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "TIFF", "BMP")
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}

_EXIF_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself.

    Attributes:
        format: one of ``FORMATS``.
        mode: Pillow's name of the pixel format, e.g. ``RGB``.
        turned: whether EXIF asks viewers to turn or mirror the image, which we never do.
    """

    hw: tuple[int, int]
    format: str
    mode: str
    turned: bool


@dataclass(frozen=True, eq=False)
class RgbFile:
    """A decoded colour image and the bytes that it came from.

    Attributes:
        rgb: (H, W, 3) uint8.
        plain: whether every decoder finds these very pixels in the bytes: 8-bit RGB, not turned.
    """

    rgb: NDArray[np.uint8]
    data: bytes
    header: ImageHeader
    plain: bool


def read_hw(path: Path, reason: Reason = Reason.UNREADABLE_IMAGE) -> tuple[int, int]:
    """Height and width from the file's header; no pixel is decoded.

    Raises:
        FileDefect: missing, no image, or too large.
    """
    files.checked_size(path, files.MAX_FRAME_BYTES, reason)
    with path.open("rb") as stream:
        return _header(stream, path.name, reason).hw


def read_rgb(path: Path) -> RgbFile:
    """A colour image as stored: EXIF orientation is ignored, alpha dropped, grey made RGB.

    Raises:
        FileDefect: missing, no image, truncated, damaged, or too large.
    """
    return decode_rgb(files.read_bytes(path, Reason.UNREADABLE_IMAGE), path.name)


def decode_rgb(data: bytes, name: str) -> RgbFile:
    """As ``read_rgb``, of an image file's bytes that lie in memory; ``name`` is for messages.

    Raises:
        FileDefect: no image, truncated, damaged, or too large.
    """
    header = _checked(data, name, Reason.UNREADABLE_IMAGE)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    rgb = _decode(data, flags, name, Reason.UNREADABLE_IMAGE)
    plain = header.mode == "RGB" and not header.turned and header.format in EXTENSIONS
    # Pillow calls 16-bit colour PNGs "RGB" too; byte 24 is the bit depth (PNG specification, IHDR)
    if header.format == "PNG" and data[24] != 8:
        plain = False
    return RgbFile(rgb, data, header, plain)


def read_unchanged(path: Path, reason: Reason) -> NDArray[np.generic]:
    """An image as stored, in its own type and number of channels.

    Raises:
        FileDefect: as ``read_rgb``, with ``reason``.
    """
    data = files.read_bytes(path, reason)
    _checked(data, path.name, reason)
    return _decode(data, cv2.IMREAD_UNCHANGED, path.name, reason)


def read_mask(path: Path, threshold: float | None = None) -> NDArray[np.bool_]:
    """A foreground mask (H, W): True from a share of white (255) on.

    Without ``threshold``, from half of the file's white on, which is 1 in files of 0 and 1.

    Raises:
        FileDefect: as ``read_rgb``.
    """
    data = files.read_bytes(path, Reason.UNREADABLE_IMAGE)
    _checked(data, path.name, Reason.UNREADABLE_IMAGE)
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    grey = _decode(data, flags, path.name, Reason.UNREADABLE_IMAGE)
    if threshold is not None:
        return np.asarray(grey >= threshold * 255, np.bool_)
    white = 1 if grey.max() <= 1 else 255
    return np.asarray(2 * grey.astype(np.uint16) >= white, np.bool_)


def _checked(data: bytes, name: str, reason: Reason) -> ImageHeader:
    """The header of an image file that is complete and of a size worth decoding."""
    header = _header(io.BytesIO(data), name, reason)
    if header.format == "PNG":
        defect = _png_defect(data)
    elif header.format == "JPEG":
        defect = _jpeg_defect(data)
    else:
        defect = None  # their decoders refuse what is cut short
    if defect is not None:
        raise _undecodable(name, defect, reason)
    return header


def _header(stream: IO[bytes], name: str, reason: Reason) -> ImageHeader:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on size and damaged EXIF: we judge both below
            image = Image.open(stream, formats=FORMATS)
            width, height = image.size
            # not image.getexif(), which decodes a PNG
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
            turned = exif.get(_EXIF_ORIENTATION, 1) != 1
    except Image.DecompressionBombError:
        raise _too_large(name, "header of a huge image", reason) from None
    except (OSError, SyntaxError, ValueError, TypeError, struct.error, EOFError):
        raise _undecodable(name, "is no image that we know", reason) from None
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{height}×{width} pixels (h×w)", reason)
    assert image.format is not None
    return ImageHeader((height, width), image.format, image.mode, turned)


def _decode(data: bytes, flags: int, name: str, reason: Reason) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise _undecodable(name, "cannot be decoded", reason)
    decoded: NDArray[np.uint8] = image
    return decoded


def _png_defect(data: bytes) -> str | None:
    """What is wrong with a PNG's chunks (lengths, checksums, IEND), or None."""
    position = len(_PNG_SIGNATURE)
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


def _jpeg_defect(data: bytes) -> str | None:
    """Whether a JPEG lacks its end-of-image marker after the first scan starts.

    Cameras put thumbnails, which have an end marker of their own, before the first scan.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xDA:  # start of scan
            break
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    if data.rfind(b"\xff\xd9") > position:
        return None
    return f"is cut short after {len(data)} bytes"


def _undecodable(name: str, defect: str, reason: Reason) -> FileDefect:
    return FileDefect(
        reason, f"{name} {defect}", "a complete image file", "copy it again or remove its frame"
    )


def _too_large(name: str, found: str, reason: Reason) -> FileDefect:
    return FileDefect(
        reason,
        f"{name}: {found}",
        f"at most {MAX_PIXELS} pixels",
        "make it smaller, and scale the intrinsics with it",
    )
