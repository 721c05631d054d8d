"""File kinds that Cameo does not read as pictures, recognised by first bytes, not by name."""

from __future__ import annotations

# This many bytes suffice for every signature below.
START_BYTES = 64

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_TO_PICTURE = "convert to JPEG or PNG"
# signature -> what the file is, what to do
_SIGNATURES = (
    (b"\xff\x0a", "JPEG XL", _TO_PICTURE),
    (b"\0\0\0\x0cJXL ", "JPEG XL", _TO_PICTURE),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", _TO_PICTURE),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _TO_PICTURE),
    (b"GIF8", "GIF", _TO_PICTURE),
    (b"\x76\x2f\x31\x01", "OpenEXR", "tone-map it and write 8-bit PNG or JPEG"),
    (b"#?R", "Radiance HDR", "tone-map it and write 8-bit PNG or JPEG"),
    (b"\x93NUMPY", "a NumPy array", "write it as PNG"),
    (b"\x89HDF", "HDF5", "write it as PNG"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (b"<!DOCTYPE", "a web page", "download the file again"),
    (b"<html", "a web page", "download the file again"),
)


def unread_kind(start: bytes) -> tuple[str, str] | None:
    """(what the file is, what to do with it) for a known kind that is not read as a picture."""
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        if brand in _HEIC_BRANDS:
            return "HEIC", _TO_PICTURE
        if brand in (b"avif", b"avis"):
            return "AVIF", _TO_PICTURE
        return "a video", "extract its frames as JPEG or PNG"
    for signature, kind, remedy in _SIGNATURES:
        if start.startswith(signature):
            return kind, remedy
    return None
