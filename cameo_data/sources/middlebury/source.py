"""Middlebury stereo: a pair of rectified images with disparities, as a scene of two views.

The right camera is ``baseline`` to the right of the left one and may have another principal
point: x_right = x_left − d, so z = f · baseline / (d + cx_right − cx_left), where ``calib.txt``
calls the last difference ``doffs`` (vision.middlebury.edu/stereo/data/scenes2014, "Calibration").
Pairs before 2014 state no calibration: any f, baseline and cx give the same matches, since only
f · baseline and the difference of the two cx enter. For the same reason it does not matter whether
cx counts from a pixel's corner or centre, which ``calib.txt`` does not say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from cameo_data.errors import Reason
from cameo_data.io import files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.scene_folders import (
    FolderSource,
    find_scenes,
    looks_like,
    nothing_found,
)
from cameo_data.sources.common.stated_intrinsics import check_view
from cameo_data.sources.common.unused import unused_files
from cameo_data.sources.middlebury.files import (
    LAYOUTS,
    StereoCalibration,
    StereoPair,
    find_pair,
    read_calib,
    read_dmin,
)
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.types import Camera, DepthRef, Frame, Scene, Unit

DATASET = "middlebury"


class MiddleburyOptions(PictureOptions):
    """How to read pairs that state no calibration.

    Attributes:
        focal_px, baseline: of a pair without ``calib.txt``; None chooses the image's width, and 1.
            2005 and 2006 pairs: 3740 px at full size, 0.16 (metres).
        disparity_factor: stored value of one pixel of disparity in 8-bit maps; None takes the
            documented one for the pair's year and size.
        warp_right: give the right view the left one's depth, moved, where it has none of its own.
    """

    focal_px: float | None = Field(None, gt=0)
    baseline: float | None = Field(None, gt=0)
    disparity_factor: float | None = Field(None, gt=0)
    warp_right: bool = True


def open_middlebury(root: Path, options: MiddleburyOptions) -> FolderSource:
    """The pairs in ``root``, which is one pair's folder or a folder of them.

    Raises:
        DataError: no such folder, or no pair in it.
    """
    folders, failures = find_scenes(root, DATASET, _is_scene)
    if not folders:
        names = "; ".join(f"{x.left}, {x.right}, {x.left_disparity}" for x in LAYOUTS)
        expected, remedy = f"a folder with {names}", "unpack the pair's archive there"
        raise nothing_found(DATASET, root, "stereo pair", failures, expected, remedy)

    def read(folder: Path, scene_id: str) -> Scene:
        return _scene(folder, scene_id, options)

    return FolderSource(DATASET, folders, failures, read)


def _is_scene(folder: Path) -> bool:
    return find_pair(folder) is not None


def _scene(folder: Path, scene_id: str, options: MiddleburyOptions) -> Scene:
    pair = find_pair(folder)
    if pair is None:
        raise FileDefect(Reason.MISSING_FILE, "no stereo pair", "two images", "unpack it again")
    for path in pair.paths():
        files.inside(folder, path)
    exif = options.exif_orientation
    hw = image_files.read_hw(pair.left, exif)
    factor = _factor(pair, hw, options)
    calibration = _calibration(pair, hw, factor, options)
    check_view(calibration.K_left, hw, "correct calib.txt, or give -o focal_px")
    if calibration.hw != hw:
        raise FileDefect(
            Reason.WRONG_SIZE,
            f"{pair.left.name} is {hw[1]}×{hw[0]}, calib.txt says "
            f"{calibration.hw[1]}×{calibration.hw[0]} (w×h)",
            "one size",
            "take calib.txt from this size's archive",
        )
    right_from_left = np.eye(4)
    right_from_left[0, 3] = -calibration.baseline
    left = _disparity(pair.left_disparity, calibration, pair, factor)
    right = None
    if pair.right_disparity is not None:
        right = _disparity(pair.right_disparity, calibration, pair, factor)
    elif options.warp_right:
        # what only the right camera sees stays unknown
        K_left, source = calibration.K_left, "left disparity, moved"
        right = replace(
            left, camera_K=K_left, hw=hw, color_from_depth=right_from_left, source=source
        )
    cameras = Camera(calibration.K_left, hw), Camera(calibration.K_right, hw, right_from_left)
    frames = (
        Frame(pair.left.stem, cameras[0], pair.left, left, exif_orientation=exif),
        Frame(pair.right.stem, cameras[1], pair.right, right, exif_orientation=exif),
    )
    unused = unused_files(folder, pair.paths(), ())
    return Scene(DATASET, scene_id, frames, calibration.unit, unused=unused)


def _disparity(
    path: Path, calibration: StereoCalibration, pair: StereoPair, factor: float
) -> DepthRef:
    """Disparities of one view as depth; those of the right view too are x_left − x_right."""
    return DepthRef(
        path,
        codec=pair.codec,
        scale=1 / factor,
        invalid=(0.0,) if pair.eight_bit else (),  # 0 is "unknown" in 8-bit maps only
        stereo=(float(calibration.K_left[0, 0]) * calibration.baseline, calibration.doffs),
        source="disparity",
    )


def _calibration(
    pair: StereoPair, hw: tuple[int, int], factor: float, options: MiddleburyOptions
) -> StereoCalibration:
    """The pair's ``calib.txt``; without one, from the options or chosen freely."""
    if pair.calib is not None:
        return read_calib(pair.calib)
    doffs = 0.0 if pair.dmin is None else read_dmin(pair.dmin) / factor
    focal_px = options.focal_px or float(hw[1])
    K_left = np.array([[focal_px, 0, hw[1] / 2], [0, focal_px, hw[0] / 2], [0, 0, 1]])
    K_right = K_left + np.array([[0, 0, doffs], [0, 0, 0], [0, 0, 0]])
    known = options.focal_px is not None and options.baseline is not None
    unit: Unit = "metre" if known else "arbitrary"
    return StereoCalibration(K_left, K_right, hw, options.baseline or 1.0, doffs, unit)


def _factor(pair: StereoPair, hw: tuple[int, int], options: MiddleburyOptions) -> float:
    """Stored value per pixel of disparity, e.g. 4 in the 450×375 maps of 2003.

    Raises:
        FileDefect: the size is not a published one.
    """
    if not pair.eight_bit:
        return 1.0
    if options.disparity_factor is not None:
        return options.disparity_factor
    for least, largest, factor in pair.factors:
        if least <= hw[1] <= largest:
            return float(factor)
    raise FileDefect(
        Reason.BAD_METADATA,
        f"{pair.left_disparity.name} is of a {hw[1]}×{hw[0]} image (w×h), not a size that was "
        "published",
        "a known number of grey levels per pixel of disparity",
        "give it: -o disparity_factor=8 (2001 pairs; tsukuba 16)",
    )


def _recognise(root: Path) -> bool:
    return looks_like(root, _is_scene)


def _open(root: Path, options: Any) -> FolderSource:
    return open_middlebury(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="Middlebury stereo pairs of 2001 to 2021, each a scene of two views",
    layout="; ".join(f"{x.left}, {x.right}, {x.left_disparity}" for x in LAYOUTS),
    conventions="disparities PFM, 8-bit × factor or npz; x_right = x_left − d; "
    "z = f · baseline / (d + doffs); calib.txt in millimetres -> metres",
    licence="free for research with citation (see each data set's page)",
    download="vision.middlebury.edu/stereo/data",
    options=MiddleburyOptions,
    open=_open,
    recognise=_recognise,
    is_scene=_is_scene,
)
