"""Headers of image files: size, format and orientation, without decoding a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

from PIL import Image, TiffImagePlugin

from cameo_data.io import orientation, png_files

# Only these decoders ever see a file; Pillow has forty more.
FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "TIFF", "BMP")
_BIG_TIFF_STARTS = (b"II+\0", b"MM\0+")
_TIFF_STARTS = (b"II*\0", b"MM\0*", *_BIG_TIFF_STARTS)
# Tags of TIFF 6.0
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SAMPLE_FORMAT = 256, 257, 339
_TIFF_FLOAT = 3


@dataclass(frozen=True)
class ImageHeader:
    """What an image file's header says.

    Attributes:
        hw: size of the pixels as stored.
        format: one of ``FORMATS``.
        mode: Pillow's name for the pixel format, e.g. ``RGB``; ``float`` for floating-point TIFFs.
        orientation: EXIF's, 1 to 8; 1 where viewers show the pixels as they are stored.
    """

    hw: tuple[int, int]
    format: str
    mode: str
    orientation: int = orientation.STORED


def parse(stream: IO[bytes]) -> ImageHeader:
    """The header of an image file; the stream's position afterwards is undefined.

    Whatever Pillow raises for damaged files passes through; the types vary.
    """
    start = stream.read(4)
    stream.seek(0)
    return _tiff_header(stream) if start in _TIFF_STARTS else _pillow_header(stream)


def _pillow_header(stream: IO[bytes]) -> ImageHeader:
    image = Image.open(stream, formats=FORMATS)
    width, height = image.size
    # not image.getexif(), which decodes a PNG
    exif, found = Image.Exif(), dict(image.info)
    assert image.format is not None
    if image.format == "PNG":
        late: dict[Any, Any] = dict(png_files.late_metadata(stream))
        found = {**late, **found}
    exif.load(found.get("exif") or _profile_bytes(found.get("Raw profile type exif", "")))
    xmp = found.get("xmp") or found.get("XML:com.adobe.xmp")
    return ImageHeader((height, width), image.format, image.mode, orientation.tag_of(exif, xmp))


def _profile_bytes(text: str) -> bytes:
    """EXIF as ImageMagick writes it into PNGs: three lines, then hexadecimal digits."""
    return bytes.fromhex("".join(text.split("\n")[3:]))


def _tiff_header(stream: IO[bytes]) -> ImageHeader:
    """The header from the file's tags: Pillow gives displayed sizes and lacks 64-bit numbers."""
    start = stream.read(8)
    if start[:4] in _BIG_TIFF_STARTS:
        start += stream.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(start)
    stream.seek(tags.next)
    tags.load(stream)
    height, width = int(tags[_TIFF_HEIGHT]), int(tags[_TIFF_WIDTH])
    if min(height, width) < 1:
        raise ValueError(f"{height}×{width} pixels")
    kinds = tags.get(_TIFF_SAMPLE_FORMAT, (1,))
    floating = _TIFF_FLOAT in (kinds if isinstance(kinds, tuple) else (kinds,))
    mode = "float" if floating else "TIFF"
    return ImageHeader((height, width), "TIFF", mode, orientation.tag_of(tags, None))
