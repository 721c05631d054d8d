"""RealEstate10K's camera lines, and the pinhole camera that a line states for a frame.

A file is the video's address and a line of 19 numbers per frame (the dataset's own page,
https://google.github.io/realestate10k/download.html):

    1      timestamp    integer, microseconds
    2-5    fx fy cx cy  divided by the width (fx, cx) and height (fy, cy) of the frame
    6-7    0 0          always zero
    8-19   r11 … t3     world-to-camera 3×4, row by row, OpenCV axes

Pixels follow from the frame's own size: ``fx·W, fy·H, cx·W, cy·H``, with the first pixel's centre
at (0.5, 0.5). That holds for every resizing, even one that stretches the picture. A crop changes
it: then the film's aspect, which square pixels make fy / fx, says what was cut away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import same_aspect
from cameo_data.sources.common.stated_intrinsics import check_view
from cameo_data.types import Camera, FloatArray, intrinsics_defect

Fit = Literal["stretched", "cropped"]

NUMBERS = 19
# Frame sizes are whole pixels: 455×256 of 16:9 is 1.7773. Other film aspects differ by 4 % or more.
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class CameraLine:
    """One frame's line.

    Attributes:
        number: place among the frames of the file, from 0, whether or not others are readable.
        timestamp_us: microseconds.
        normalised: (fx, fy, cx, cy), divided by width and height.
        cam_from_world: (3, 4) as written.
    """

    number: int
    timestamp_us: int
    normalised: tuple[float, float, float, float]
    cam_from_world: FloatArray


@dataclass(frozen=True, eq=False)
class CameraFile:
    """All lines of a file; ``broken`` are those that state no camera, by their number."""

    lines: tuple[CameraLine, ...]
    broken: dict[int, FileDefect]

    @property
    def count(self) -> int:
        """Frames in the file, broken ones included."""
        return len(self.lines) + len(self.broken)


def read(path: Path) -> CameraFile:
    """The lines of a camera file.

    Raises:
        FileDefect: missing, not text, without the address line, or without frames.
    """
    text = files.read_text(path, files.MAX_TEXT_BYTES)
    texts = [line for _, line in parsing.lines(text, path.name)]
    rows = [line.split() for line in texts[1:] if line.strip()]
    if not texts or not texts[0].strip() or len(texts[0].split()) == NUMBERS:
        raise _malformed(path, "does not start with an address", "the video's address, then frames")
    if not rows:
        raise _malformed(path, "has no frames", f"lines of {NUMBERS} numbers")
    lines, broken = [], {}
    for number, words in enumerate(rows):
        try:
            lines.append(_line(path, number, words))
        except FileDefect as defect:
            broken[number] = defect
    return CameraFile(tuple(lines), broken)


def from_rows(timestamps: tuple[int, ...], rows: FloatArray) -> CameraFile:
    """The same for a chunk's (N, 18) array, whose columns are those after the timestamp."""
    lines = [
        CameraLine(number, time, _four(row[:4]), row[6:].reshape(3, 4).copy())
        for number, (time, row) in enumerate(zip(timestamps, rows, strict=True))
    ]
    return CameraFile(tuple(lines), {})


def camera(line: CameraLine, hw: tuple[int, int], fit: Fit) -> Camera:
    """The camera of a frame of ``hw`` pixels.

    Raises:
        FileDefect: no pinhole camera, or no rigid pose.
    """
    K = intrinsics(line.normalised, hw, fit)
    pose = np.vstack([line.cam_from_world, [0.0, 0, 0, 1]])
    if (defect := transforms.rotation_defect(pose)) is not None:
        raise FileDefect(
            Reason.BAD_POSE, f"the pose is a {defect}", "world-to-camera 3×4", "leave the frame out"
        )
    return Camera(K, hw, transforms.nearest_rotation(pose))


def depth_K(
    line: CameraLine, depth_hw: tuple[int, int], image_hw: tuple[int, int]
) -> FloatArray | None:
    """K of a depth map with the film's aspect beside frames with another; else None.

    Raises:
        FileDefect: no pinhole camera.
    """
    K = intrinsics(line.normalised, depth_hw, "stretched")
    square_pixels = abs(K[0, 0] / K[1, 1] - 1) <= ASPECT_TOLERANCE  # so the film's own aspect
    own = square_pixels and not same_aspect(depth_hw, image_hw)
    return K if own else None


def intrinsics(
    normalised: tuple[float, float, float, float], hw: tuple[int, int], fit: Fit
) -> FloatArray:
    """K in pixels of a frame of ``hw``.

    A cropped frame is the middle of the film's picture at the scale at which it just covers the
    frame: with the film's aspect a = fy / fx, the picture is H·a × H if that is wider than the
    frame, else W × W/a. The window's corner is subtracted from the principal point.

    Raises:
        FileDefect: no pinhole camera.
    """
    fx, fy, cx, cy = normalised
    height, width = float(hw[0]), float(hw[1])
    picture_width, picture_height = width, height
    if fit == "cropped" and fx > 0 and fy > 0:
        aspect = fy / fx
        if abs(width / height / aspect - 1) > ASPECT_TOLERANCE:
            picture_width = max(width, height * aspect)
            picture_height = max(height, width / aspect)
    left, top = (picture_width - width) / 2, (picture_height - height) / 2
    K = np.array(
        [
            [fx * picture_width, 0, cx * picture_width - left],
            [0, fy * picture_height, cy * picture_height - top],
            [0, 0, 1],
        ]
    )
    if (defect := intrinsics_defect(K)) is not None:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"the intrinsics are a {defect}",
            "positive fx and fy divided by width and height",
            "leave the frame out",
        )
    check_view(K, hw, "leave the frame out")
    return K


def _line(path: Path, number: int, words: list[str]) -> CameraLine:
    where = f"frame line {number + 1} of {path.name}"
    if len(words) != NUMBERS:
        raise _broken(f"{where} has {len(words)} numbers", f"{NUMBERS}: time, intrinsics, pose")
    try:
        timestamp = int(words[0])
        values = np.array([float(word) for word in words[1:]])
    except ValueError:
        raise _broken(f"{where}: not a number", f"{NUMBERS} numbers") from None
    if timestamp < 0:
        raise _broken(f"{where} has the timestamp {timestamp}", "microseconds from 0 on")
    if values[4] != 0 or values[5] != 0:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"{where} has {words[5]} {words[6]} in columns 6 and 7",
            "zeros: the format has no distortion",
            "undistort the frames and write zeros",
        )
    return CameraLine(number, timestamp, _four(values[:4]), values[6:].reshape(3, 4))


def _four(values: FloatArray) -> tuple[float, float, float, float]:
    fx, fy, cx, cy = (float(v) for v in values)
    return fx, fy, cx, cy


def _malformed(path: Path, found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA, f"{path.name} {found}", expected, "download the camera file again"
    )


def _broken(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.BAD_METADATA, found, expected, "download the camera file again")
