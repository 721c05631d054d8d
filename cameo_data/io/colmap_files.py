"""COLMAP's binary files: reads arrays of dense workspaces, checks that a model's files are whole.

COLMAP's library trusts its files, and some files that are cut short make it read for ever. So each
file is walked before the library sees it.
Formats: https://colmap.github.io/format.html and, in its source code, ``mvs/mat.h`` and
``scene/reconstruction_io_binary.cc``.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import files, image_files
from cameo_data.io.files import FileDefect

# An image with 30 000 features takes 720 kB, a point with 100 observations 850 bytes: this limit
# admits a model of about 2 000 such images. Text takes more.
MAX_MODEL_BYTES = 2_000_000_000
POINTS = "points3D"
MODEL_FILES = ("cameras", "images", POINTS)
RIG_FILES = ("rigs", "frames")  # models of COLMAP before 3.12 have none

_ARRAY_HEADER = re.compile(rb"(\d{1,6})&(\d{1,6})&(\d{1,6})&")  # width, height, channels
_LONGEST_HEADER = 21


def array_hw(path: Path) -> tuple[int, int]:
    """Height and width of a depth map in a dense workspace, from its header.

    Raises:
        FileDefect: missing, of another kind, too large, or not as long as its header states.
    """
    size = files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    with path.open("rb") as file:
        header = _ARRAY_HEADER.match(file.read(_LONGEST_HEADER))
    if header is None:
        raise _unreadable(path, "does not begin with width&height&channels&")
    width, height, channels = (int(number) for number in header.groups())
    if channels != 1 or not 0 < height * width <= image_files.MAX_PIXELS:
        raise _unreadable(path, f"is {height}×{width} (h×w) with {channels} channels")
    if size != header.end() + 4 * height * width:
        raise _unreadable(path, f"holds {size} bytes but states {height}×{width} (h×w)")
    return height, width


def read_array(path: Path) -> NDArray[np.float32]:
    """(H, W) values of a depth map in a dense workspace: little-endian float32, row by row.

    Raises:
        FileDefect: as ``array_hw``.
    """
    hw = array_hw(path)
    data = files.read_bytes(path, Reason.UNREADABLE_DEPTH)
    return np.frombuffer(data[-4 * hw[0] * hw[1] :], "<f4").reshape(hw).astype(np.float32)


def model_ext(folder: Path | str) -> str | None:
    """``bin`` or ``txt``, as COLMAP prefers them, if the folder holds a model; else None."""
    # pathlib would take most of the time when listing thousands of projects
    base = os.fspath(folder)
    for ext in ("bin", "txt"):
        names = (f"{base}/cameras.{ext}", f"{base}/images.{ext}")
        if all(os.path.isfile(name) for name in names):  # noqa: PTH113
            return ext
    return None


def check_model(folder: Path, ext: str, param_counts: Mapping[int, int]) -> None:
    """Check that a model's files, except its points, exist and have their stated length if binary.

    Args:
        param_counts: number of parameters by camera model code.

    Raises:
        FileDefect: missing, outside the folder, too large, cut short, or a camera whose model is
            not in ``param_counts``.
    """
    for name in ("cameras", "images"):
        _check_file(folder, name, ext, param_counts)
    for name in RIG_FILES:
        if has_content(folder / f"{name}.{ext}"):
            _check_file(folder, name, ext, param_counts)


def points_defect(folder: Path, ext: str) -> FileDefect | None:
    """What keeps ``points3D`` from being read, or None. An empty text file has no points."""
    path = folder / f"{POINTS}.{ext}"
    if ext == "txt" and path.is_file() and not has_content(path):
        return None
    try:
        _check_file(folder, POINTS, ext, {})
    except FileDefect as defect:
        return defect
    return None


def has_content(path: Path) -> bool:
    """Whether the path is a file with at least one byte."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _check_file(folder: Path, name: str, ext: str, param_counts: Mapping[int, int]) -> None:
    path = folder / f"{name}.{ext}"
    files.checked_size(files.inside(folder, path), MAX_MODEL_BYTES, Reason.BAD_METADATA)
    if ext == "bin":
        _walk(path, name, param_counts)


def _walk(path: Path, name: str, param_counts: Mapping[int, int]) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _walk_data(path, data, name, param_counts)


def _walk_data(path: Path, data: mmap.mmap, name: str, param_counts: Mapping[int, int]) -> None:
    """Like ``_walk``, with the file mapped so that a model of gigabytes takes no memory."""
    step: Callable[[mmap.mmap, int], int] = {
        "cameras": lambda data, at: _after_camera(data, at, param_counts),
        "images": _after_image,
        "points3D": _after_point,
        "rigs": _after_rig,
        "frames": _after_frame,
    }[name]
    end = 8
    try:
        (count,) = struct.unpack_from("<Q", data, 0)
        for _ in range(count):
            end = step(data, end)
            if end > len(data):
                raise IndexError
    except (struct.error, IndexError):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} is cut short after {len(data)} bytes",
            "a whole COLMAP model",
            "copy it again",
        ) from None
    if end != len(data):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} holds {len(data) - end} bytes after its last entry",
            "a COLMAP model and nothing else",
            "copy it again, or write it with COLMAP",
        )


def _after_camera(data: mmap.mmap, at: int, param_counts: Mapping[int, int]) -> int:
    """Camera id u32, model i32, width and height u64, parameters f64."""
    model: int = struct.unpack_from("<i", data, at + 4)[0]
    if model not in param_counts:
        raise FileDefect(
            Reason.UNKNOWN_CAMERA_MODEL,
            f"camera model with code {model}",
            "a COLMAP camera model",
            "undistort the images with the tool that made the model",
        )
    params = param_counts[model]
    for value in struct.unpack_from(f"<{params}d", data, at + 24):
        check_camera_number(struct.unpack_from("<I", data, at)[0], value)
    return at + 24 + 8 * params


def check_camera_number(camera_id: object, value: str | float) -> None:
    """Check that a camera's parameter is finite; COLMAP's library would not name the camera.

    Raises:
        FileDefect: not finite.
    """
    try:
        sound = math.isfinite(float(value))
    except ValueError:
        return  # not a number at all: the library reports that
    if not sound:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"camera {camera_id} has a parameter {value}",
            "finite numbers",
            "correct the camera",
        )


def _after_image(data: mmap.mmap, at: int) -> int:
    """Image id u32, quaternion and translation 7 f64, camera id u32, name, u64 of (2 f64, u64)."""
    at += 64
    at = data.find(b"\0", at)
    if at < 0:
        raise IndexError
    (points,) = struct.unpack_from("<Q", data, at + 1)
    return int(at + 9 + 24 * points)


def _after_point(data: mmap.mmap, at: int) -> int:
    """Point id u64, position 3 f64, colour 3 u8, error f64, u64 of (u32, u32)."""
    (track,) = struct.unpack_from("<Q", data, at + 43)
    return int(at + 51 + 8 * track)


def _after_rig(data: mmap.mmap, at: int) -> int:
    """Rig id u32, u32 sensors: the first (i32, u32); others add a u8 flag and, if posed, 7 f64."""
    (sensors,) = struct.unpack_from("<I", data, at + 4)
    at += 8
    for n in range(sensors):
        at += 8
        if n > 0:
            at += 57 if data[at] else 1
    return at


def _after_frame(data: mmap.mmap, at: int) -> int:
    """Frame and rig id u32, pose 7 f64, u32 of (i32, u32, u64)."""
    (entries,) = struct.unpack_from("<I", data, at + 64)
    return int(at + 68 + 16 * entries)


def _unreadable(path: Path, defect: str) -> FileDefect:
    return FileDefect(
        Reason.UNREADABLE_DEPTH,
        f"{path.name} {defect}",
        "a depth map as COLMAP's patch_match_stereo writes it",
        "run it again for this image",
    )
