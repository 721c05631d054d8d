"""One frame of a ``cameo.json``: its entry becomes a camera and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import aspects, depth_files, files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import rule_of_stated_size
from cameo_data.sources.common.stated_intrinsics import (
    Mirrored,
    check_size,
    check_view,
    doubts,
    scale_to,
    unsigned,
)
from cameo_data.sources.common.stated_paths import StatedPaths, safe_name
from cameo_data.sources.common.stated_poses import StatedPoses
from cameo_data.sources.generic.records import (
    FILE_NAME,
    GenericFrameRecord,
    GenericSceneRecord,
    Intrinsics,
)
from cameo_data.types import Camera, DepthRef, ExifRule, FloatArray, Frame, intrinsics_defect


@dataclass(frozen=True, eq=False)
class Shared:
    """What the frames of a scene share.

    Attributes:
        doubts: sentences on intrinsics that can be right but seldom are.
    """

    folder: Path
    scene: GenericSceneRecord
    poses: StatedPoses
    mirrored: Mirrored
    paths: StatedPaths
    doubts: dict[str, None] = field(default_factory=dict, init=False)

    @classmethod
    def of(
        cls, folder: Path, scene: GenericSceneRecord, records: Sequence[GenericFrameRecord]
    ) -> Shared:
        """From all records of the scene's frames."""
        poses = StatedPoses.of([record.pose for record in records], scene.poses, "pose")
        Ks = [K for r in records if (K := r.K if r.K is not None else scene.K) is not None]
        mirrored = Mirrored.of((K[0][0], K[1][1]) for K in Ks)
        return cls(folder, scene, poses, mirrored, StatedPaths(folder))

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.doubts, *self.poses.notes, *self.mirrored.notes, *self.paths.notes)


def make_frame(shared: Shared, record: GenericFrameRecord, frame_id: str, exif: ExifRule) -> Frame:
    """The frame; of its files only headers are read.

    Raises:
        FileDefect: no K, no rigid pose, or a file is missing or of an unknown kind.
    """
    scene, mirrored = shared.scene, shared.mirrored
    image = existing(shared.paths, record.image, "image")
    _, size = _stated_K(scene, record)
    rule, like_hw = exif, None
    if size is not None and min(size) > 0:
        rule, like_hw = rule_of_stated_size(exif), (size[1], size[0])
    hw = image_files.read_hw(image, rule, like_hw)
    K = mirrored.K(_intrinsics(scene, record, hw))
    check_view(K, hw, f"correct K in {FILE_NAME}, or state K_size if the images were resized")
    remedy = "correct K: the order of four numbers is fx, fy, cx, cy"
    shared.doubts.update(dict.fromkeys(doubts(K, hw, remedy)))
    camera = Camera(K, hw, mirrored.cam_from_world(_cam_from_world(scene, shared.poses, record)))
    distortion = record.distortion if record.distortion is not None else scene.distortion
    return Frame(
        frame_id=frame_id,
        camera=camera,
        image_path=image,
        depth=_depth(shared, record, camera),
        mask_path=None if record.mask is None else existing(shared.paths, record.mask, "mask"),
        mask_threshold=scene.mask_threshold,
        distortion=mirrored.distortion(distortion) if distortion else None,
        timestamp=record.timestamp,
        exif_orientation=rule,
    )


def _intrinsics(
    scene: GenericSceneRecord, record: GenericFrameRecord, hw: tuple[int, int]
) -> FloatArray:
    """K in pixels of the image, the first pixel's centre at (0.5, 0.5), signs as stated."""
    given, size = _stated_K(scene, record)
    if given is None:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            "no K, neither for the frame nor for the scene",
            "3×3 numbers, or fx, fy, cx, cy",
            f"add it to {FILE_NAME}",
        )
    K = np.array(given)
    if (defect := intrinsics_defect(unsigned(K))) is not None:
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
        factors = scale_to((size[1], size[0]), hw, "correct K_size")
        K[:2] *= np.array(factors)[:, None]
    else:
        check_size(K, hw, "state K_size, the width and height that K is for")
    return K


def _stated_K(
    scene: GenericSceneRecord, record: GenericFrameRecord
) -> tuple[Intrinsics | None, tuple[int, int] | None]:
    """The K that is given for a frame, and the (width, height) that it is for."""
    return (record.K, record.K_size) if record.K is not None else (scene.K, scene.K_size)


def _cam_from_world(
    scene: GenericSceneRecord, poses: StatedPoses, record: GenericFrameRecord
) -> FloatArray:
    pose = poses.rigid(record.pose)
    cam_from_world = pose if scene.poses == "cam_from_world" else transforms.invert(pose)
    if scene.axes == "opengl":
        cam_from_world = transforms.OPENCV_FROM_OPENGL @ cam_from_world
    return cam_from_world


def _depth(shared: Shared, record: GenericFrameRecord, camera: Camera) -> DepthRef | None:
    scene = shared.scene
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
    path = existing(shared.paths, record.depth, "depth")
    hw = depth_files.depth_hw(path, scene.depth_codec)
    aspects.check_depth(safe_name(record.depth), hw, camera.hw)
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


def existing(paths: StatedPaths, name: str, key: str) -> Path:
    """The path of an existing file inside the folder.

    Raises:
        FileDefect: it is missing, or leads out of the folder.
    """
    path = files.inside(paths.folder, paths.folder / paths.find(name, key))
    if not path.is_file():
        remedy = f"restore it, or take its entry out of {FILE_NAME}"
        raise files.missing(path, safe_name(name), remedy)
    return path
