"""BlendedMVS and BlendedMVG: blended images with depth rendered from their reconstruction.

Layout (github.com/YoYo000/BlendedMVS, README, "Dataset Structure"): ``PID/blended_images``,
``PID/cams/*_cam.txt`` and ``PID/rendered_depth_maps/*.pfm``, all of one size.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from cameo_data.errors import Failure, Reason
from cameo_data.io import files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import list_files
from cameo_data.sources.common.mvsnet_cameras import check_center, read_cam
from cameo_data.sources.common.scene_folders import (
    FolderSource,
    find_scenes,
    looks_like,
    nothing_found,
    read_scene_list,
)
from cameo_data.sources.common.unused import unused_files
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.types import Camera, DepthCodec, DepthRef, ExifRule, Frame, Scene, Unused

DATASET = "blendedmvs"
IMAGES, CAMS, DEPTHS = "blended_images", "cams", "rendered_depth_maps"


class BlendedMvsOptions(PictureOptions):
    """Options: which images of which scenes.

    Attributes:
        split: only the scenes that ``NAME.txt`` or ``NAME_list.txt`` in the root lists, as the
            publisher gives them: ``training``, ``validation``, ``BlendedMVG`` …
        images: ``blended``, or ``masked``: black where the reconstruction has no surface.
    """

    split: str | None = None
    images: Literal["blended", "masked"] = "blended"


def open_blendedmvs(root: Path, options: BlendedMvsOptions) -> FolderSource:
    """The scenes in ``root``: one scene's folder, or the folder of an archive.

    Raises:
        DataError: no such folder, no scene in it, or no list of that split.
    """
    folders, failures = find_scenes(root, DATASET, _is_scene)
    if options.split is not None and folders:
        wanted = read_scene_list(root, options.split, DATASET)
        folders = {name: path for name, path in folders.items() if path.name in wanted}
    if not folders:
        expected = f"folders with {IMAGES}, {CAMS} and {DEPTHS}"
        remedy = "unpack the archive, and give the folder that holds the scenes"
        raise nothing_found(DATASET, root, "scene", failures, expected, remedy)

    def read(folder: Path, scene_id: str) -> Scene:
        return _scene(folder, scene_id, options)

    return FolderSource(DATASET, folders, failures, read)


def _is_scene(folder: Path) -> bool:
    return (folder / CAMS).is_dir() and (folder / IMAGES).is_dir()


def _scene(folder: Path, scene_id: str, options: BlendedMvsOptions) -> Scene:
    suffix = "_masked" if options.images == "masked" else ""
    cams = list_files(folder, f"{CAMS}/*_cam.txt")
    if not cams:
        raise FileDefect(
            Reason.MISSING_FILE, f"no camera in {CAMS}", "*_cam.txt files", "unpack it again"
        )
    frames: list[Frame] = []
    failures: list[Failure] = []
    for cam in cams:
        try:
            image = folder / IMAGES / f"{cam.name}{suffix}.jpg"
            frames.append(_frame(folder, cam.name, cam.path, image, options.exif_orientation))
        except FileDefect as defect:
            failures.append(defect.at(DATASET, scene_id, cam.name).failure)
    lost = _without_camera(folder, scene_id, {cam.name for cam in cams})
    names = [*(cam.name for cam in cams), *(str(failure.frame_id) for failure in lost)]
    unused = _unused(folder, names, suffix)
    return Scene(DATASET, scene_id, tuple(frames), "arbitrary", (*failures, *lost), unused=unused)


def _unused(folder: Path, names: Iterable[str], suffix: str) -> tuple[Unused, ...]:
    named = [
        path
        for name in names
        for path in (
            folder / IMAGES / f"{name}{suffix}.jpg",
            folder / CAMS / f"{name}_cam.txt",
            folder / DEPTHS / f"{name}.pfm",
        )
    ]
    kinds = (
        (f"{IMAGES}/*.jpg", "copies of the pictures (choose masked or blended: -o images=…)"),
        (f"{DEPTHS}/*", "depth maps without a camera file"),
    )
    return unused_files(folder, named, kinds)


def _frame(folder: Path, frame_id: str, cam_path: Path, image: Path, exif: ExifRule) -> Frame:
    cam = read_cam(files.inside(folder, cam_path))
    hw = image_files.read_hw(files.inside(folder, image), exif)
    check_center(cam_path, cam.K, hw)
    depth = files.inside(folder, folder / DEPTHS / f"{frame_id}.pfm")
    ref = None
    if depth.is_file():
        ref = DepthRef(depth, codec=DepthCodec.PFM, scale=1.0, source="rendered mesh")
    camera = Camera(cam.K, hw, cam.cam_from_world)
    return Frame(frame_id, camera, image, ref, exif_orientation=exif)


def _without_camera(folder: Path, scene_id: str, known: set[str]) -> list[Failure]:
    """Failures of images that have no camera file."""
    found = {image.name.removesuffix("_masked") for image in list_files(folder, f"{IMAGES}/*.jpg")}
    return [
        Failure(
            reason=Reason.UNASSOCIATED,
            dataset=DATASET,
            scene_id=scene_id,
            frame_id=name,
            found=f"no {name}_cam.txt",
            expected="a camera file",
            remedy="unpack it again",
        )
        for name in sorted(found - known)
    ]


def _has_depth(folder: Path) -> bool:
    return _is_scene(folder) and (folder / DEPTHS).is_dir()


def _recognise(root: Path) -> bool:
    return looks_like(root, _has_depth)


def _open(root: Path, options: Any) -> FolderSource:
    return open_blendedmvs(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="BlendedMVS, BlendedMVG: blended images, cameras and rendered depth of 502 scenes",
    layout=f"PID/{IMAGES}/00000000.jpg, PID/{CAMS}/00000000_cam.txt, PID/{DEPTHS}/00000000.pfm",
    conventions="world-to-camera, OpenCV axes, first pixel's centre (0.5, 0.5), unit arbitrary; "
    "PFM rows from the bottom up; depth 0 is none",
    licence="CC BY 4.0",
    download="github.com/YoYo000/BlendedMVS",
    options=BlendedMvsOptions,
    open=_open,
    recognise=_recognise,
    is_scene=_has_depth,
)
