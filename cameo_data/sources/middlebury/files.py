"""File names of Middlebury's stereo pairs by year, and what ``calib.txt`` and ``dmin.txt`` say."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthCodec, FloatArray, Unit, intrinsics_defect


@dataclass(frozen=True)
class PairLayout:
    """Names of one year's files, one form per layout; ``*`` stands for the pair's name.

    Attributes:
        factors: (least width, largest width, grey levels per pixel of disparity) of 8-bit maps in
            the published sizes: a map shrunk n times stores n levels per pixel.
    """

    left: str
    right: str
    left_disparity: str
    right_disparity: str
    codec: DepthCodec
    factors: tuple[tuple[int, int, int], ...] = ()


# vision.middlebury.edu/stereo/data/scenes2003 and scenes2006 (2005's are alike).
_FACTORS_2003 = ((450, 450, 4), (900, 900, 2), (1800, 1800, 1))
_FACTORS_2006 = ((400, 480, 3), (600, 720, 2), (1200, 1440, 1))

LAYOUTS = (
    PairLayout("im0.png", "im1.png", "disp0.pfm|disp0GT.pfm", "disp1.pfm|disp1GT.pfm",
               DepthCodec.PFM),
    PairLayout("im2.png|im2.ppm", "im6.png|im6.ppm", "disp2.pgm|disp2.png", "disp6.pgm|disp6.png",
               DepthCodec.UINT8, _FACTORS_2003),
    PairLayout("view1.png", "view5.png", "disp1.png", "disp5.png", DepthCodec.UINT8, _FACTORS_2006),
    PairLayout("*_left.png", "*_right.png", "*_disp.npz", "*_right_disp.npz", DepthCodec.NPZ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StereoPair:
    """The files of one pair; ``dmin`` and ``calib`` are texts that some pairs have."""

    left: Path
    right: Path
    left_disparity: Path
    right_disparity: Path | None
    calib: Path | None
    codec: DepthCodec
    factors: tuple[tuple[int, int, int], ...]
    dmin: Path | None

    @property
    def eight_bit(self) -> bool:
        return self.codec == DepthCodec.UINT8

    def paths(self) -> list[Path]:
        every = (self.left, self.right, self.left_disparity, self.right_disparity,
                 self.calib, self.dmin)  # fmt: skip
        return [path for path in every if path is not None]


@dataclass(frozen=True, eq=False)
class StereoCalibration:
    """What ``calib.txt`` says.

    Attributes:
        K_left, K_right: (3, 3), equal but for cx.
        baseline: in metres where known.
        doffs: cx_right − cx_left in pixels.
    """

    K_left: FloatArray
    K_right: FloatArray
    hw: tuple[int, int]
    baseline: float
    doffs: float
    unit: Unit


def find_pair(folder: Path) -> StereoPair | None:
    """The pair in a folder, in the first layout whose images and left disparity are there."""
    try:
        names = set(os.listdir(folder))  # noqa: PTH208 - names only, of every folder there is
    except OSError:
        return None
    for layout in LAYOUTS:
        for star in _stars(layout.left, names):

            def find(wanted: str, star: str = star) -> Path | None:
                every = (name.replace("*", star) for name in wanted.split("|"))
                return next((folder / name for name in every if name in names), None)

            left, right = find(layout.left), find(layout.right)
            disparity = find(layout.left_disparity)
            if left is not None and right is not None and disparity is not None:
                return StereoPair(
                    left=left,
                    right=right,
                    left_disparity=disparity,
                    right_disparity=find(layout.right_disparity),
                    calib=find("calib.txt"),
                    codec=layout.codec,
                    factors=layout.factors,
                    dmin=find("dmin.txt"),
                )
    return None


def _stars(wanted: str, names: set[str]) -> list[str]:
    """What ``*`` may stand for so that the name exists; ``""`` if there is no ``*``."""
    if "*" not in wanted:
        return [""]
    ending = wanted.removeprefix("*")
    return sorted(name.removesuffix(ending) for name in names if name.endswith(ending))


def read_calib(path: Path) -> StereoCalibration:
    """``calib.txt``: lines ``key=value``, matrices as ``[a b c; d e f; g h i]``, lengths in mm.

    ``ndisp``, ``isint``, ``vmin`` and the like, which some files add, are no part of the geometry.

    Raises:
        FileDefect: a key is missing or malformed, or the two cameras do not fit each other.
    """
    values: dict[str, str] = {}
    for line in files.read_text(path).splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = value.strip()
    try:
        K = [_matrix(values[key]) for key in ("cam0", "cam1")]
        numbers = {key: float(values[key]) for key in ("doffs", "baseline", "width", "height")}
    except (KeyError, ValueError) as error:
        found = f"no {error.args[0]}" if isinstance(error, KeyError) else f"{error}"
        raise _bad(path, found, "cam0, cam1, doffs, baseline, width and height") from None
    hw = (int(numbers["height"]), int(numbers["width"]))
    if not all(math.isfinite(x) for x in numbers.values()) or numbers["baseline"] <= 0:
        raise _bad(path, f"baseline={numbers['baseline']:g}", "finite numbers, a positive baseline")
    focal_differs = abs(K[0][0, 0] - K[1][0, 0]) > 1e-3
    doffs = K[1][0, 2] - K[0][0, 2]
    # printed with three decimals each
    if focal_differs or abs(doffs - numbers["doffs"]) > 2e-3:
        found = f"f {K[0][0, 0]:g}, {K[1][0, 0]:g}, cx1 − cx0 {doffs:g}, doffs {numbers['doffs']:g}"
        raise _bad(path, found, "equal f, and cx1 − cx0 = doffs (a rectified pair)")
    metres = numbers["baseline"] / 1000
    return StereoCalibration(K[0], K[1], hw, metres, float(doffs), "metre")


def read_dmin(path: Path) -> float:
    """``dmin.txt``: what 2005 and 2006 pairs add to disparities at full size, z = f·B / (d + dmin).

    Raises:
        FileDefect: not a number.
    """
    try:
        return float(files.read_text(path))
    except ValueError:
        raise _bad(path, "no number", "one number") from None


def _matrix(text: str) -> FloatArray:
    rows = [[float(x) for x in row.split()] for row in text.strip("[]").split(";")]
    matrix = np.array(rows)
    if (defect := intrinsics_defect(matrix)) is not None:
        raise ValueError(defect)
    return matrix


def _bad(path: Path, found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_INTRINSICS,
        f"{path.name}: {found}",
        expected,
        "restore the file from the pair's archive",
    )
