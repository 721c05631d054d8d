"""Depth codecs: one function per on-disk encoding, ``CODECS`` by name.

Each returns the stored values as (H, W) float32, not yet scaled to scene units; 0 means none.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import files, image_io
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.types import DepthMap, DepthRef

FloatImage = NDArray[np.float32]

# Raw Kinect disparity to metres: 351.3 / (1092.5 − raw), in NYU Depth v2's toolbox
# (get_instance… ``camera_params.m``: depthParam1 351.3, depthParam2 1092.5). 2047 means none.
_NYU_NUMERATOR = 351.3
_NYU_OFFSET = 1092.5


def read_uint16(path: Path) -> FloatImage:
    """Values of a 16-bit one-channel PNG, PGM (high byte first, as Netpbm says) or TIFF."""
    return _one_channel_16(path).astype(np.float32)


def read_uint16_swapped(path: Path) -> FloatImage:
    """As ``read_uint16`` of a file whose writer put the low byte first, e.g. a raw-memory PGM."""
    return _one_channel_16(path).byteswap().astype(np.float32)


def read_sun_rotated(path: Path) -> FloatImage:
    """Millimetres of a SUN RGB-D PNG, which stores each value rotated left by three bits."""
    p = _one_channel_16(path)
    return ((p >> 3) | (p << 13)).astype(np.float32)


def read_nyu_disparity(path: Path) -> FloatImage:
    """Metres of NYU Depth v2's raw Kinect disparity, in PGMs with the low byte first."""
    raw = _one_channel_16(path).byteswap().astype(np.float32)
    known = raw < _NYU_OFFSET  # beyond, depth would be negative; 2047 means none
    return np.where(known, _NYU_NUMERATOR / np.where(known, _NYU_OFFSET - raw, 1), 0).astype(
        np.float32
    )


def read_float(path: Path) -> FloatImage:
    """Values of a float32 one-channel TIFF, PFM or OpenEXR file."""
    values = _read_exr(path) if path.suffix.lower() == ".exr" else _unchanged(path)
    if values.ndim != 2 or values.dtype.kind != "f":
        raise _wrong_kind(path, values, "one channel of floating point")
    return values.astype(np.float32)


def read_npy(path: Path) -> FloatImage:
    """Values of a NumPy file holding (H, W) or (H, W, 1) numbers; never unpickled."""
    array = _map_npy(path)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise _wrong_kind(path, array, "an (H, W) array of numbers")
    if array.size > image_io.MAX_PIXELS:
        raise _wrong_kind(path, array, f"at most {image_io.MAX_PIXELS} pixels")
    return array.astype(np.float32)


CODECS: dict[str, Callable[[Path], FloatImage]] = {
    "uint16": read_uint16,
    "uint16_swapped": read_uint16_swapped,
    "sun_rotated": read_sun_rotated,
    "nyu_disparity": read_nyu_disparity,
    "float": read_float,
    "npy": read_npy,
}


def read_depth(depth: DepthRef) -> DepthMap:
    """The depth map as stored, in scene units, in the depth camera's own pixels.

    Raises:
        FileDefect: missing, damaged, too large, of another encoding.
        ValueError: no such codec.
    """
    if depth.codec not in CODECS:
        raise ValueError(
            f"unknown depth codec {depth.codec!r}; expected one of {', '.join(CODECS)}"
        )
    values = CODECS[depth.codec](depth.path)
    for marker in depth.invalid:
        values = np.where(values == np.float32(marker), np.float32(0), values)
    return DepthMap.from_array(values * np.float32(depth.scale))


def depth_hw(path: Path) -> tuple[int, int]:
    """Height and width from a depth file's header.

    Raises:
        FileDefect: missing, unreadable, too large.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        height, width = _map_npy(path).shape[:2]
        return int(height), int(width)
    if suffix == ".exr":
        return _exr_hw(path)
    return image_io.read_hw(path, Reason.UNREADABLE_DEPTH)


def _unchanged(path: Path) -> NDArray[np.generic]:
    return image_io.read_unchanged(path, Reason.UNREADABLE_DEPTH)


def _one_channel_16(path: Path) -> NDArray[np.uint16]:
    values = _unchanged(path)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise _wrong_kind(path, values, "one channel of 16 bits")
    return values.astype(np.uint16, copy=False)


def _map_npy(path: Path) -> NDArray[Any]:
    """The array in a .npy file, mapped and not yet read."""
    files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise _unreadable(path, f"cannot be read ({error})", "a complete .npy file") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise _unreadable(path, "is an archive of arrays", "one array in a .npy file")
    if array.ndim < 2:
        raise _wrong_kind(path, array, "an (H, W) array of numbers")
    return array


def _open_exr() -> ModuleType:
    """The OpenEXR package (opencv's wheels are built without it)."""
    try:
        exr = import_module("OpenEXR")
    except ImportError:
        raise FileDefect(
            Reason.UNREADABLE_DEPTH,
            "depth is an OpenEXR file and the package OpenEXR is not installed",
            "a reader for it",
            "pip install OpenEXR, or convert the depth to TIFF or .npy",
        ) from None
    return exr


def _exr_hw(path: Path) -> tuple[int, int]:
    exr = _open_exr()
    files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    try:
        with exr.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(path, f"cannot be read ({error})", "a complete OpenEXR file") from None
    height, width = int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1
    if height * width > image_io.MAX_PIXELS:
        raise _unreadable(
            path, f"is {height}×{width} (h×w)", f"at most {image_io.MAX_PIXELS} pixels"
        )
    return height, width


def _read_exr(path: Path) -> NDArray[np.generic]:
    """Channel Z of an EXR file, else its one channel, or one of several that are equal."""
    _exr_hw(path)  # refuses too large a file before its pixels are read
    try:
        with _open_exr().File(str(path), separate_channels=True) as file:
            named = {name: np.array(c.pixels) for name, c in file.channels().items()}
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(path, f"cannot be read ({error})", "a complete OpenEXR file") from None
    if "Z" in named:  # OpenEXR's reserved name for depth
        return named["Z"]
    channels = [values for name, values in named.items() if name != "A"]
    if not channels or any(not np.array_equal(channels[0], c) for c in channels[1:]):
        raise _unreadable(path, f"has {len(channels)} channels that differ", "one channel of depth")
    return channels[0]


def _wrong_kind(path: Path, values: NDArray[Any], expected: str) -> FileDefect:
    shape = "×".join(str(n) for n in values.shape)
    return _unreadable(path, f"holds {values.dtype} of shape {shape}", expected)


def _unreadable(path: Path, defect: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.UNREADABLE_DEPTH,
        f"{path.name} {defect}",
        expected,
        "choose the depth codec that fits, or convert the file",
    )
