"""One frame of a ``cameo.json``: its entry becomes a camera and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cameo_data import aspects, depth_io, files, image_io, transforms
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.orientation import rule_of_stated_size
from cameo_data.sources.generic_records import (
    FILE_NAME,
    FrameRecord,
    Intrinsics,
    SceneRecord,
    pose_matrix,
)
from cameo_data.types import Camera, DepthRef, ExifRule, FloatArray, Frame, intrinsics_defect


def make_frame(
    folder: Path, scene: SceneRecord, record: FrameRecord, frame_id: str, exif: ExifRule
) -> Frame:
    """The frame; of its files only headers are read.

    Raises:
        FileDefect: no K, no rigid pose, or a file is missing or of an unknown kind.
    """
    image = existing(folder, record.image)
    _, size = _stated_K(scene, record)
    rule, like_hw = exif, None
    if size is not None and min(size) > 0:
        rule, like_hw = rule_of_stated_size(exif), (size[1], size[0])
    hw = image_io.read_hw(image, rule, like_hw)
    camera = Camera(_intrinsics(scene, record, hw), hw, _cam_from_world(scene, record))
    distortion = record.distortion if record.distortion is not None else scene.distortion
    return Frame(
        frame_id=frame_id,
        camera=camera,
        image_path=image,
        depth=_depth(folder, scene, record, camera),
        mask_path=None if record.mask is None else existing(folder, record.mask),
        mask_threshold=scene.mask_threshold,
        distortion=distortion or None,
        timestamp=record.timestamp,
        exif_orientation=rule,
    )


def _intrinsics(scene: SceneRecord, record: FrameRecord, hw: tuple[int, int]) -> FloatArray:
    """K in pixels of the image, the first pixel's centre at (0.5, 0.5)."""
    given, size = _stated_K(scene, record)
    if given is None:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            "no K, neither of the frame nor of the scene",
            "3×3 numbers, or fx, fy, cx, cy",
            f"add it to {FILE_NAME}",
        )
    K = np.array(given)
    if (defect := intrinsics_defect(K)) is not None:
        raise FileDefect(
            Reason.BAD_INTRINSICS, f"K is a {defect}", "a pinhole matrix", "correct it"
        )
    if scene.pixel_center == "integer":
        K[:2, 2] += 0.5
    if size is not None:
        if min(size) < 1:
            raise FileDefect(
                Reason.BAD_INTRINSICS,
                f"K_size {size[0]}×{size[1]} (w×h)",
                "a width and a height in pixels",
                "correct it",
            )
        K[:2] *= np.array([hw[1] / size[0], hw[0] / size[1]])[:, None]
    return K


def _stated_K(
    scene: SceneRecord, record: FrameRecord
) -> tuple[Intrinsics | None, tuple[int, int] | None]:
    """The K that is given for a frame, and the (width, height) that it is for."""
    return (record.K, record.K_size) if record.K is not None else (scene.K, scene.K_size)


def _cam_from_world(scene: SceneRecord, record: FrameRecord) -> FloatArray:
    pose = pose_matrix(record)
    if (defect := transforms.rotation_defect(pose)) is not None:
        raise FileDefect(
            Reason.BAD_POSE,
            f"pose is a {defect}",
            "a rigid 3×4 or 4×4 matrix, row by row",
            "leave the frame out or correct its pose",
        )
    pose = transforms.nearest_rotation(pose)
    cam_from_world = pose if scene.poses == "cam_from_world" else transforms.invert(pose)
    if scene.axes == "opengl":
        cam_from_world = transforms.OPENCV_FROM_OPENGL @ cam_from_world
    return cam_from_world


def _depth(
    folder: Path, scene: SceneRecord, record: FrameRecord, camera: Camera
) -> DepthRef | None:
    if record.depth is None:
        return None
    scale = record.depth_scale if record.depth_scale is not None else scene.depth_scale
    if scale is None:
        raise FileDefect(
            Reason.BAD_METADATA,
            "depth without depth_scale",
            "scene units per stored unit, e.g. 0.001 for millimetres in metres",
            f"add depth_scale to {FILE_NAME}",
        )
    path = existing(folder, record.depth)
    hw = depth_io.depth_hw(path, scene.depth_codec)
    aspects.check_depth(record.depth, hw, camera.hw)
    own_K = camera.K * [[hw[1] / camera.hw[1]], [hw[0] / camera.hw[0]], [1.0]]
    return DepthRef(
        path,
        scene.depth_codec,
        scale,
        camera_K=own_K if scene.depth_along_ray else None,
        hw=None if hw == camera.hw else hw,
        invalid=scene.depth_invalid,
        source=scene.depth_source,
        along_ray=scene.depth_along_ray,
    )


def existing(folder: Path, name: str) -> Path:
    """The path of a file that is there, inside the folder.

    Raises:
        FileDefect: it is missing, or leads out of the folder.
    """
    path = files.inside(folder, folder / name)
    if not path.is_file():
        raise FileDefect(
            Reason.MISSING_FILE,
            f"{name} is missing",
            "a file",
            f"restore it, or take its entry out of {FILE_NAME}",
        )
    return path
