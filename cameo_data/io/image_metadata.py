"""Removes the metadata that make readers turn an image file's pixels; the pixels stay as coded.

EXIF and XMP both hold orientation. Both are removed whole: a tag changed in one place may remain in
another (thumbnails, XMP, ImageMagick's profiles), and readers differ in which they follow.
"""

from __future__ import annotations

import struct

from cameo_data.io import jpeg_files, png_files

# Text chunks that carry EXIF or XMP: ImageMagick's and Adobe's keywords.
_PNG_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp",
                 b"XML:com.adobe.xmp")  # fmt: skip
# The bits of a WebP's VP8X header which say that EXIF and XMP chunks follow.
_WEBP_EXIF_XMP = 0x08 | 0x04


def without_orientation(data: bytes, image_format: str) -> bytes | None:
    """A complete JPEG, PNG or WebP file without EXIF and XMP; None for another format."""
    if image_format == "JPEG":
        return jpeg_files.without_app1(data)
    if image_format == "PNG":
        parts = png_files.chunks(data)
        return png_files.join(c for c in parts if c[0] != b"eXIf" and not _is_png_profile(*c))
    if image_format == "WEBP":
        return _webp(data)
    return None


def _is_png_profile(kind: bytes, body: bytes) -> bool:
    return kind in (b"tEXt", b"zTXt", b"iTXt") and body.startswith(_PNG_PROFILES)


def _webp(data: bytes) -> bytes:
    """The file without the chunks EXIF and XMP and without the bits that announce them."""
    parts, position = [], 12
    while position + 8 <= len(data):
        kind, (length,) = (
            data[position : position + 4],
            struct.unpack_from("<I", data, position + 4),
        )
        end = position + 8 + length + length % 2
        chunk = data[position:end]
        if kind == b"VP8X" and length:
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_EXIF_XMP]) + chunk[9:]
        if kind not in (b"EXIF", b"XMP "):
            parts.append(chunk)
        position = end
    body = b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
