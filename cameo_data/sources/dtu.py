"""DTU as MVSNet processed it: 640×512 images under seven lights, depth at a quarter of that size.

Layout (github.com/YoYo000/MVSNet, ``preprocess.py``, ``gen_dtu_resized_path``)::

    Cameras/train/00000000_cam.txt                    K for the 160×128 depth maps
    Rectified/scan1_train/rect_001_3_r5000.png        view 0 (counted from 1) under light 3
    Depths/scan1_train/depth_map_0000.pfm             millimetres
    Depths/scan1_train/depth_visual_0000.png          white where the scan has a surface

The images are 1600×1200 ones halved and cropped to 640×512; depth is a quarter of them. K of the
cameras fits the depth maps, so that of the images is four times it: 361.5, 82.9, 66.4 (fx, cx, cy)
become 1446, 331.6, 265.5, which is the calibration's 2892, 823.2, 619.1 halved and cropped by
80 and 44.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io import depth_files, files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import first_number, list_files
from cameo_data.sources.common.mvsnet_cameras import CamFile, check_center, read_cam
from cameo_data.sources.common.scene_folders import FolderSource, subfolders
from cameo_data.sources.common.unused import unused_files
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.types import Camera, DepthCodec, DepthRef, ExifRule, Frame, Scene, Unused

DATASET = "dtu"
CAMERAS, IMAGES, DEPTHS = "Cameras/train", "Rectified", "Depths"
METRES_PER_UNIT = 1e-3
SUFFIX = "_train"
# github.com/YoYo000/MVSNet, preprocess.py: validation and evaluation sets; the rest is training.
VALIDATION = frozenset((3, 5, 17, 21, 28, 35, 37, 38, 40, 43, 56, 59, 66, 67, 82, 86, 106, 117))
EVALUATION = frozenset(
    (1, 4, 9, 10, 11, 12, 13, 15, 23, 24, 29, 32, 33, 34, 48, 49, 62, 75, 77, 110, 114, 118)
)


class DtuOptions(PictureOptions):
    """Options: which scans, under which light.

    Attributes:
        split: MVSNet's division of the scans.
        light: 0 to 6; MVSNet validates with 3. A scene has one light, as matches need.
    """

    split: Literal["training", "validation", "evaluation"] | None = None
    light: int = Field(3, ge=0, le=6)


def open_dtu(root: Path, options: DtuOptions) -> FolderSource:
    """The scans in ``root``, the folder that holds Cameras, Depths and Rectified.

    Raises:
        DataError: no such folder, or no scan in it.
    """
    folders = {}
    found, failures = subfolders(root / IMAGES, DATASET) if _recognise(root) else ([], ())
    for path in found:
        scan = path.name.removesuffix(SUFFIX)
        if path.name.endswith(SUFFIX) and options.split in (None, _split(scan)):
            folders[scan] = path
    if not folders:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=DATASET,
            found=f"no scan of the split in {root}" if _recognise(root) else f"no DTU in {root}",
            expected=f"{CAMERAS}, {DEPTHS} and {IMAGES}/scan1{SUFFIX}",
            remedy="unpack MVSNet's mvs_training.zip, and give its folder dtu",
        )

    def read(folder: Path, scene_id: str) -> Scene:
        return _scene(root, folder, scene_id, options)

    return FolderSource(DATASET, folders, failures, read)


def _split(scan: str) -> str:
    number = int(scan[4:]) if scan.startswith("scan") and scan[4:].isdigit() else -1
    if number in VALIDATION:
        return "validation"
    return "evaluation" if number in EVALUATION else "training"


def _scene(root: Path, folder: Path, scene_id: str, options: DtuOptions) -> Scene:
    light, exif = options.light, options.exif_orientation
    images = list_files(files.inside(root, folder), f"rect_*_{light}_r5000.png")
    if not images:
        raise FileDefect(
            Reason.MISSING_FILE,
            f"no image under light {light}",
            f"rect_001_{light}_r5000.png and so on",
            "choose another light (-o light=…), or unpack the archive again",
        )
    frames: list[Frame] = []
    failures: list[Failure] = []
    for image in images:
        try:
            frames.append(_frame(root, scene_id, image.name, image.path, exif))
        except FileDefect as defect:
            failures.append(defect.at(DATASET, scene_id, image.name).failure)
    unused = _unused(root, scene_id, [image.path for image in images])
    return Scene(DATASET, scene_id, tuple(frames), "metre", tuple(failures), unused=unused)


def _unused(root: Path, scene_id: str, images: Sequence[Path]) -> tuple[Unused, ...]:
    pictures, depths = (f"{place}/{scene_id}{SUFFIX}" for place in (IMAGES, DEPTHS))
    named = list(images)
    for image in images:
        view = first_number(image.name.removeprefix("rect_"))
        if view is not None:
            for name in (f"depth_map_{view - 1:04d}.pfm", f"depth_visual_{view - 1:04d}.png"):
                named.append(root / depths / name)
    kinds = (
        (f"{IMAGES}/*", "pictures under another light (choose it with -o light=…)"),
        (f"{DEPTHS}/*", "depth maps without a picture"),
    )
    return unused_files(root, named, kinds, within=(pictures, depths))


def _frame(root: Path, scene_id: str, frame_id: str, image: Path, exif: ExifRule) -> Frame:
    if not frame_id.isdigit() or int(frame_id) < 1:
        raise FileDefect(
            Reason.BAD_NAME, f"{image.name} has no view number", "rect_001_…", "rename it"
        )
    view = int(frame_id) - 1  # images count from 1, cameras and depths from 0
    cam_path = files.inside(root, root / CAMERAS / f"{view:08d}_cam.txt")
    cam: CamFile = read_cam(cam_path)
    hw = image_files.read_hw(files.inside(root, image), exif)
    depth_path = files.inside(root, root / DEPTHS / f"{scene_id}{SUFFIX}/depth_map_{view:04d}.pfm")
    depth, depth_hw = None, (hw[0] // 4, hw[1] // 4)
    if depth_path.is_file():
        depth_hw = depth_files.depth_hw(depth_path, DepthCodec.DTU)
        depth = DepthRef(
            depth_path,
            codec=DepthCodec.DTU,
            scale=METRES_PER_UNIT,
            hw=depth_hw,
            source="structured light",
        )
    check_center(cam_path, cam.K, depth_hw)
    K = cam.K * np.array([[hw[1] / depth_hw[1]], [hw[0] / depth_hw[0]], [1.0]])
    cam_from_world = cam.cam_from_world.copy()
    cam_from_world[:3, 3] *= METRES_PER_UNIT
    return Frame(frame_id, Camera(K, hw, cam_from_world), image, depth, exif_orientation=exif)


def _recognise(root: Path) -> bool:
    try:
        return all((root / name).is_dir() for name in (CAMERAS, IMAGES))
    except OSError:
        return False


def _open(root: Path, options: Any) -> FolderSource:
    return open_dtu(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="DTU in MVSNet's processed form: 49 views under 7 lights with scanned depth",
    layout=f"{CAMERAS}/00000000_cam.txt, {IMAGES}/scan1{SUFFIX}/rect_001_3_r5000.png, "
    f"{DEPTHS}/scan1{SUFFIX}/depth_map_0000.pfm",
    conventions="world-to-camera, OpenCV axes, first pixel's centre (0.5, 0.5), K for the quarter-"
    "size depth, millimetres -> metres; depth counts where depth_visual is white",
    licence="free for research with citation (see the data set's page)",
    download="github.com/YoYo000/MVSNet (processed), roboimagedata.compute.dtu.dk (original)",
    options=DtuOptions,
    open=_open,
    recognise=_recognise,
)
