"""Bytes of single members: arrays and images, without pickle and with sizes checked first."""

from __future__ import annotations

import io
import math
import struct
import warnings
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cameo_data.io import npy_header
from cameo_data.shards.layout import MAX_PIXELS

# Measured on 16-bit depth of 512×512 (rendered, rendered with noise, 7-Scenes' Kinect): level 6 is
# 4–11 % smaller than 4 and takes twice as long, level 1 is 11–23 % larger. The filter "up" beats
# none by 25–50 % on smooth depth and is a third larger on a Kinect's raw steps, which only files
# stored without resizing have.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
_PIL_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_ORIENTATION_TAG = 0x0112


def encode_npy(array: NDArray[Any]) -> bytes:
    """A ``.npy`` file, version 1.0, C order, little endian."""
    buffer = io.BytesIO()
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def decode_npy(data: bytes, shape: tuple[int | None, ...], dtype: str) -> NDArray[Any]:
    """The array of a ``.npy`` file, which must have this shape (None: any length) and type.

    Raises:
        ValueError: the shape or type differs, or the file is damaged.
    """
    buffer = io.BytesIO(data)
    # check the header first: a damaged one must not decide how much memory is used
    header = npy_header.read_header(buffer)
    if header.version != (1, 0):
        raise ValueError("array is not in .npy version 1.0")
    found, fortran, kind = header.shape, header.fortran, header.dtype
    size = math.prod(found) * np.dtype(dtype).itemsize
    expected = (*found[:1], *shape[1:]) if shape[:1] == (None,) else shape
    if found != expected or kind != np.dtype(dtype) or fortran:
        raise ValueError(f"array is {kind} {found}; expected {np.dtype(dtype)} {shape}")
    if len(data) - buffer.tell() != size:
        raise ValueError(f"array holds {len(data) - buffer.tell()} bytes; expected {size}")
    return np.frombuffer(data, dtype, offset=buffer.tell()).reshape(found).copy()


def encode_png(codes: NDArray[np.uint16] | NDArray[np.uint8]) -> bytes:
    """A lossless grey PNG of 8 or 16 bits."""
    ok, data = cv2.imencode(".png", codes, _PNG)
    assert ok
    return bytes(data.tobytes())


def decode_png(data: bytes, hw: tuple[int, int], bits: int) -> NDArray[Any]:
    """The (H, W) uint16 or uint8 of a grey PNG, which must have this size and bit depth.

    Raises:
        ValueError: the size or depth differs, or the file is damaged.
    """
    header = data[:33]
    signature = header[:8] == b"\x89PNG\r\n\x1a\n" and header[12:16] == b"IHDR"
    if len(header) < 33 or not signature:
        raise ValueError("not a PNG")
    found = (int.from_bytes(header[20:24]), int.from_bytes(header[16:20]))
    if found != hw or header[24] != bits or header[25] != 0:
        raise ValueError(
            f"PNG is {found[0]}×{found[1]} (h×w) of {header[24]} bits, colour type {header[25]}; "
            f"expected {hw[0]}×{hw[1]} grey of {bits} bits"
        )
    if data[-8:-4] != b"IEND":
        raise ValueError("PNG is truncated")
    codes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if codes is None or codes.shape != hw:
        raise ValueError("PNG does not decode")
    return np.asarray(codes)


def check_image(data: bytes, ext: str, hw: tuple[int, int]) -> None:
    """Check that the file is an image of this kind and size that all readers turn the same way.

    Raises:
        ValueError: it is not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large sizes and odd EXIF, judged below
            image = Image.open(io.BytesIO(data), formats=(_PIL_FORMATS[ext],))
            exif = Image.Exif()  # Image.getexif would decode a PNG
            exif.load(image.info.get("exif", b""))
            orientation = exif.get(_ORIENTATION_TAG, 1)
    except Image.DecompressionBombError:
        raise ValueError(f"{ext} image of more than {MAX_PIXELS} pixels") from None
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        raise ValueError(f"not a {ext} image") from None
    found = (image.height, image.width)
    if found != hw or found[0] * found[1] > MAX_PIXELS:
        raise ValueError(f"image is {found[0]}×{found[1]}; expected {hw[0]}×{hw[1]} (h×w)")
    if orientation != 1:
        raise ValueError(
            f"image has EXIF orientation {orientation}, which some readers apply and some do not; "
            "expected none"
        )


def decode_image(data: bytes, ext: str, hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB.

    Raises:
        ValueError: the size or kind differs, or the image is damaged.
    """
    check_image(data, ext, hw)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or image.shape != (*hw, 3) or image.dtype != np.uint8:
        raise ValueError(f"{ext} image does not decode")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
