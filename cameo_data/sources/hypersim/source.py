"""Hypersim: rendered indoor scenes with exact depth, each camera trajectory a scene of its own.

What the files mean (github.com/apple/ml-hypersim, README and ``contrib/mikeroberts3000``):

- positions are in asset units, ``meters_per_asset_unit`` of ``metadata_scene.csv`` converts them;
- orientations take the camera's axes to the world's, OpenGL's: x right, y up, z backwards;
- ``depth_meters`` is the distance from the camera's centre, not z;
- ``metadata_camera_parameters.csv`` gives each scene's own projection. Its ``M_cam_from_uv`` takes
  (u, v, 1), with u right and v up from −1 to 1 across the image, to a ray. In scenes with shifted
  or tilted lenses (288 of 482) that is not a plain pinhole along the camera's axis, but any such
  matrix is one along another axis: see ``pinhole``.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Failure, Reason
from cameo_data.io import array_files, files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import first_number, list_files
from cameo_data.sources.common.scene_folders import (
    FolderSource,
    find_scenes,
    looks_like,
    nothing_found,
)
from cameo_data.sources.common.stated_intrinsics import check_view
from cameo_data.sources.hypersim import tables
from cameo_data.sources.hypersim import unused as hypersim_unused
from cameo_data.sources.hypersim.unused import FRAME, KEYFRAME_FILES
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.types import Camera, DepthCodec, DepthRef, ExifRule, FloatArray, Frame, Scene

DATASET = "hypersim"
_PREVIEW = re.compile(r"scene_(cam_\w+)_final_preview")


class HypersimOptions(PictureOptions):
    """Options: which scenes, and the table of their projections.

    Attributes:
        camera_parameters: ``metadata_camera_parameters.csv``; None looks in the root for it.
        split: a split in ``metadata_images_split_scene_v1.csv`` in the root.
    """

    camera_parameters: Path | None = None
    split: Literal["train", "val", "test"] | None = None


def open_hypersim(root: Path, options: HypersimOptions) -> FolderSource:
    """The trajectories of the scenes in ``root``.

    Raises:
        DataError: no such folder, no scene in it, or no table of projections.
    """
    scenes, failures = find_scenes(root, DATASET, _is_scene)
    try:
        if options.split is not None and scenes:
            wanted = tables.read_split(root, options.split)
            scenes = {name: path for name, path in scenes.items() if path.name in wanted}
        folders = {
            f"{name}/{camera}": path for name, path in scenes.items() for camera in _cameras(path)
        }
        if not folders:
            expected = "folders ai_VVV_NNN with _detail and images"
            remedy = "unpack the scenes' archives there"
            raise nothing_found(DATASET, root, "scene", failures, expected, remedy)
        projections = tables.read_projections(root, options.camera_parameters)
    except FileDefect as defect:
        raise defect.at(DATASET, None) from None

    def read(folder: Path, scene_id: str) -> Scene:
        projection = projections.get(folder.name)
        if projection is None:
            raise FileDefect(
                Reason.BAD_INTRINSICS,
                f"{folder.name} is not in {tables.PARAMETERS}",
                "a row for every scene",
                "restore the publisher's table",
            )
        return _scene(folder, scene_id, projection, options.exif_orientation)

    return FolderSource(DATASET, folders, failures, read)


def pinhole(cam_from_uv: FloatArray, hw: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """(K, new_from_cam): the pinhole camera, in OpenCV axes, whose rays are those of the matrix.

    A pixel's ray is B (x, y, 1) with B = axes · M_cam_from_uv · uv_from_pixel. The decomposition
    B = Q · U into a rotation and an upper triangle reads: the camera turned by Qᵀ is a pinhole
    camera with K = U⁻¹ up to scale. Distances from the centre do not change.

    Raises:
        FileDefect: the matrix mirrors the image or is singular.
    """
    height, width = hw
    uv_from_pixel = np.array([[2 / width, 0, -1], [0, -2 / height, 1], [0, 0, 1]])
    rays = transforms.OPENCV_FROM_OPENGL[:3, :3] @ cam_from_uv @ uv_from_pixel
    if not np.isfinite(rays).all() or np.linalg.det(rays) <= 0:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"M_cam_from_uv is {np.array2string(cam_from_uv, precision=4)}",
            "a projection that does not mirror the image",
            f"restore {tables.PARAMETERS}",
        )
    rotation, triangle = np.linalg.qr(rays)
    signs = np.sign(np.diag(triangle))
    rotation, triangle = rotation * signs, triangle * signs[:, None]
    K = np.linalg.inv(triangle)
    K /= K[2, 2]
    K[1, 0] = K[2, 0] = K[2, 1] = 0.0  # zero but for rounding
    new_from_cam = np.eye(4)
    new_from_cam[:3, :3] = rotation.T
    return K, new_from_cam


def _is_scene(folder: Path) -> bool:
    return (folder / "_detail").is_dir() and (folder / "images").is_dir()


def _cameras(folder: Path) -> list[str]:
    """Names of the trajectories with released images: ``cam_00`` and so on."""
    try:
        names = os.listdir(folder / "images")  # noqa: PTH208 - names only, of every scene
    except OSError:
        return []
    found = [_PREVIEW.fullmatch(name) for name in names]
    return sorted(match[1] for match in found if match is not None)


def _scene(folder: Path, scene_id: str, projection: FloatArray, exif: ExifRule) -> Scene:
    camera = scene_id.rpartition("/")[2]
    files.inside(folder, folder / "_detail" / camera)
    poses = _poses(folder, camera)
    images = list_files(folder, f"images/scene_{camera}_final_preview/{FRAME}")
    if not images:
        raise FileDefect(Reason.MISSING_FILE, "no image", FRAME, "unpack the archive again")
    hw = image_files.read_hw(files.inside(folder, images[0].path), exif)
    K, new_from_cam = pinhole(projection, hw)
    check_view(K, hw, f"restore {tables.PARAMETERS}")
    frames: list[Frame] = []
    failures: list[Failure] = []
    for image in images:
        try:
            cam_from_world = new_from_cam @ _pose(poses, image.name)
            depth = folder / f"images/scene_{camera}_geometry_hdf5"
            depth = files.inside(folder, depth / f"frame.{image.name}.depth_meters.hdf5")
            ref = None
            if depth.is_file():
                ref = DepthRef(
                    depth, DepthCodec.HDF5, 1.0, camera_K=K, source="exact", along_ray=True
                )
            path = files.inside(folder, image.path)
            found = Camera(K, hw, cam_from_world)
            frames.append(Frame(image.name, found, path, ref, exif_orientation=exif))
        except FileDefect as defect:
            failures.append(defect.at(DATASET, scene_id, image.name).failure)
    unused = hypersim_unused.unused(folder, camera, [image.name for image in images], len(poses))
    return Scene(DATASET, scene_id, tuple(frames), "metre", tuple(failures), unused=unused)


def _poses(folder: Path, camera: str) -> FloatArray:
    """(N, 4, 4) OpenCV-axes ``cam_from_world`` of all keyframes, in metres."""
    detail = folder / "_detail" / camera
    orientations = _keyframes(folder, detail / KEYFRAME_FILES[0], (3, 3))
    positions = _keyframes(folder, detail / KEYFRAME_FILES[1], (3,))
    if len(orientations) != len(positions):
        raise FileDefect(
            Reason.BAD_POSE,
            f"{len(orientations)} orientations and {len(positions)} positions of {camera}",
            "as many of each",
            "unpack the archive again",
        )
    world_from_cam = np.zeros((len(positions), 4, 4))
    world_from_cam[:, :3, :3] = orientations
    world_from_cam[:, :3, 3] = positions * tables.read_metres_per_unit(folder)
    world_from_cam[:, 3, 3] = 1.0
    return transforms.OPENCV_FROM_OPENGL @ transforms.invert(world_from_cam)


def _keyframes(folder: Path, path: Path, shape: tuple[int, ...]) -> FloatArray:
    try:
        values = array_files.read_hdf5(files.inside(folder, path), "dataset")
    except FileDefect as defect:
        raise replace(defect, reason=Reason.BAD_POSE) from None
    if values.shape[1:] != shape:
        expected = "×".join(("N", *(str(n) for n in shape)))
        raise FileDefect(
            Reason.BAD_POSE,
            f"{path.name} is {'×'.join(str(n) for n in values.shape)}",
            expected,
            "unpack the archive again",
        )
    return values.astype(np.float64)


def _pose(poses: FloatArray, frame: str) -> FloatArray:
    number = first_number(frame)
    if number is None or number >= len(poses):
        raise FileDefect(
            Reason.UNASSOCIATED,
            f"{len(poses)} camera keyframes",
            f"one with index {frame}",
            "unpack the archive again",
        )
    defect = transforms.rotation_defect(poses[number])
    if defect is not None:
        raise FileDefect(Reason.BAD_POSE, f"pose is a {defect}", "a rigid pose", "leave it out")
    return transforms.nearest_rotation(poses[number])


def _released(folder: Path) -> bool:
    return _is_scene(folder) and bool(_cameras(folder))


def _recognise(root: Path) -> bool:
    return looks_like(root, _released)


def _open(root: Path, options: Any) -> FolderSource:
    return open_hypersim(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="Hypersim: 461 rendered indoor scenes with exact depth, one scene per trajectory",
    layout="ai_001_001/_detail/cam_00/camera_keyframe_*.hdf5, "
    f"ai_001_001/images/scene_cam_00_final_preview/{FRAME}, "
    "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.*.depth_meters.hdf5, "
    f"{tables.PARAMETERS}",
    conventions="OpenGL axes, orientations world-from-camera, asset units -> metres; distance "
    "along the ray -> z; tilted and shifted lenses -> the pinhole camera with the same rays",
    licence="CC BY-SA 3.0",
    download="github.com/apple/ml-hypersim",
    options=HypersimOptions,
    open=_open,
    recognise=_recognise,
    is_scene=_released,
)
