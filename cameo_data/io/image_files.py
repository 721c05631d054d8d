"""Image files, decoded only after their header, size and completeness are checked.

Decoders treat half a file differently, and some fill the rest with grey. Here a truncated file is
an error with every decoder version. The caller decides whether to follow EXIF orientation
(``orientation``), never the decoder.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cameo_data.errors import Reason
from cameo_data.io import (
    file_kinds,
    files,
    image_headers,
    image_metadata,
    jpeg_files,
    orientation,
    png_files,
)
from cameo_data.io.files import FileDefect
from cameo_data.io.image_headers import ImageHeader
from cameo_data.types import ExifRule

# Larger images are refused before decoding: 100 Mpx is a 10-fold margin over any video frame.
MAX_PIXELS = 100_000_000
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}

_READABLE = "JPEG, PNG, WebP, TIFF, BMP or PNM"


@dataclass(frozen=True, eq=False)
class RgbFile:
    """A decoded colour image and bytes that hold it.

    Attributes:
        rgb: (H, W, 3) uint8, turned where EXIF orientation is followed.
        data: the file's bytes, without an orientation tag.
        plain: whether every decoder reads exactly these pixels from ``data``.
    """

    rgb: NDArray[np.uint8]
    data: bytes
    header: ImageHeader
    plain: bool


def read_header(path: Path, reason: Reason = Reason.UNREADABLE_IMAGE) -> ImageHeader:
    """The file's header; no pixel is decoded.

    Raises:
        FileDefect: missing, not an image, or too large.
    """
    files.checked_size(path, files.MAX_FRAME_BYTES, reason)
    with path.open("rb") as stream:
        return _header(stream, path.name, reason)


def read_hw(
    path: Path,
    exif: ExifRule = "refuse",
    like_hw: tuple[int, int] | None = None,
    *,
    reason: Reason = Reason.UNREADABLE_IMAGE,
) -> tuple[int, int]:
    """Height and width of the picture that ``read_rgb`` would give; no pixel is decoded.

    Raises:
        FileDefect: missing, not an image, too large, or turned by EXIF against the rule ``exif``.
    """
    header = read_header(path, reason)
    turn = orientation.settle(exif, header.orientation, header.hw, like_hw, path.name, reason)
    return orientation.turned_hw(header.hw, turn)


def read_rgb(
    path: Path, exif: ExifRule = "refuse", like_hw: tuple[int, int] | None = None
) -> RgbFile:
    """A colour image, turned by EXIF only where ``exif`` says so; alpha dropped, grey made RGB.

    Args:
        like_hw: for the rule ``by_size``, the size that the picture should have.

    Raises:
        FileDefect: missing, not an image, truncated, damaged, too large, or turned against the
            rule.
    """
    return decode_rgb(files.read_bytes(path, Reason.UNREADABLE_IMAGE), path.name, exif, like_hw)


def decode_rgb(
    data: bytes, name: str, exif: ExifRule = "refuse", like_hw: tuple[int, int] | None = None
) -> RgbFile:
    """Like ``read_rgb``, from an image file's bytes; ``name`` is for messages.

    Raises:
        FileDefect: as ``read_rgb``.
    """
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    header = _header(io.BytesIO(data), name, Reason.UNREADABLE_IMAGE)
    turn = orientation.settle(exif, header.orientation, header.hw, like_hw, name)
    rgb = _turned(_decode(data, header, flags, name, Reason.UNREADABLE_IMAGE), header, turn)
    plain = header.mode == "RGB" and turn == orientation.STORED and header.format in EXTENSIONS
    # Pillow calls 16-bit colour PNGs "RGB" too; byte 24 is the bit depth (PNG specification, IHDR)
    if header.format == "PNG" and data[24] != 8:
        plain = False
    if plain and header.orientation != orientation.STORED:
        data = image_metadata.without_orientation(data, header.format) or data
        left = _header(io.BytesIO(data), name, Reason.UNREADABLE_IMAGE)
        plain = left.orientation == orientation.STORED
    return RgbFile(rgb, data, header, plain)


def read_unchanged(path: Path, reason: Reason) -> NDArray[np.generic]:
    """An image as stored, in its own type and number of channels; an orientation tag is refused.

    Raises:
        FileDefect: as ``read_rgb``, with ``reason``.
    """
    data = files.read_bytes(path, reason)
    header = _header(io.BytesIO(data), path.name, reason)
    orientation.settle("refuse", header.orientation, header.hw, None, path.name, reason)
    return _decode(data, header, cv2.IMREAD_UNCHANGED, path.name, reason)


def read_mask(
    path: Path,
    threshold: float | None = None,
    exif: ExifRule = "refuse",
    like_hw: tuple[int, int] | None = None,
) -> NDArray[np.bool_]:
    """A foreground mask (H, W), True where the share of white (255 or 65535) reaches ``threshold``.

    Without ``threshold``, half of the file's own white suffices, which is 1 in files of 0 and 1.

    Raises:
        FileDefect: as ``read_rgb``.
    """
    grey = read_grey(path, exif, like_hw)
    white = int(np.iinfo(grey.dtype).max)
    if threshold is not None:
        return np.asarray(grey >= threshold * white, np.bool_)
    white = 1 if grey.max() <= 1 else white
    return np.asarray(2 * grey.astype(np.uint32) >= white, np.bool_)


def read_grey(
    path: Path, exif: ExifRule = "refuse", like_hw: tuple[int, int] | None = None
) -> NDArray[np.uint8 | np.uint16]:
    """(H, W) grey levels of an image, with the file's bit depth.

    Raises:
        FileDefect: as ``read_rgb``.
    """
    data = files.read_bytes(path, Reason.UNREADABLE_IMAGE)
    header = _header(io.BytesIO(data), path.name, Reason.UNREADABLE_IMAGE)
    turn = orientation.settle(exif, header.orientation, header.hw, like_hw, path.name)
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    grey = _decode(data, header, flags, path.name, Reason.UNREADABLE_IMAGE)
    turned: NDArray[np.uint8 | np.uint16] = _turned(grey, header, turn)
    return turned


def _turned(pixels: NDArray[Any], header: ImageHeader, turn: int) -> NDArray[Any]:
    """Decoded pixels, turned by ``turn``."""
    if header.format == "TIFF" and header.orientation != orientation.STORED:
        # OpenCV turns TIFFs despite IMREAD_IGNORE_ORIENTATION
        return (
            pixels
            if turn != orientation.STORED
            else orientation.turn_back(pixels, header.orientation)
        )
    return pixels if turn == orientation.STORED else orientation.turn(pixels, turn)


def _header(stream: IO[bytes], name: str, reason: Reason) -> ImageHeader:
    start = stream.read(file_kinds.START_BYTES)
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # size and damaged EXIF are checked below
            header = image_headers.parse(stream)
    except Image.DecompressionBombError:
        raise _too_large(name, "header of a huge image", reason) from None
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError,
            AttributeError, struct.error, EOFError):  # fmt: skip
        if (kind := file_kinds.unread_kind(start)) is not None:
            raise _unread(name, *kind, reason) from None
        found = "is not an image that can be read"
        raise _undecodable(name, found, reason) from None
    height, width = header.hw
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{height}×{width} pixels (h×w)", reason)
    return header


def _decode(
    data: bytes, header: ImageHeader, flags: int, name: str, reason: Reason
) -> NDArray[Any]:
    """Pixels of a complete file."""
    if header.format == "PNG":
        pixels = png_files.pixels_only(data)
        if isinstance(pixels, str):
            raise _undecodable(name, pixels, reason)
        data = pixels
    elif header.format == "JPEG" and (defect := jpeg_files.cut_defect(data)) is not None:
        raise _undecodable(name, defect, reason)
    elif header.mode == "float" and flags != cv2.IMREAD_UNCHANGED:
        found = "a TIFF of floating-point numbers with an unknown white level"
        raise _unread(name, found, "convert to 8-bit PNG or JPEG", reason)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise _undecodable(name, "cannot be decoded", reason)
    decoded: NDArray[Any] = image
    return decoded


def _undecodable(name: str, defect: str, reason: Reason) -> FileDefect:
    return FileDefect(
        reason, f"{name} {defect}", "a complete image file", "copy it again or remove its frame"
    )


def _unread(name: str, kind: str, remedy: str, reason: Reason) -> FileDefect:
    return FileDefect(reason, f"{name} is {kind}, which is not supported", _READABLE, remedy)


def _too_large(name: str, found: str, reason: Reason) -> FileDefect:
    return FileDefect(
        reason,
        f"{name}: {found}",
        f"at most {MAX_PIXELS} pixels",
        "make it smaller, and scale the intrinsics with it",
    )
