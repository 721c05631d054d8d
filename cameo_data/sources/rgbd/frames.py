"""Frames of one recording: colour, depth and pose brought together, every misfit counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Failure, Reason
from cameo_data.io import aspects, depth_files, files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import TurnedPictureError, rule_of_stated_size
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import Listed, is_text, list_files, printable
from cameo_data.sources.common.stated_intrinsics import Mirrored, doubts
from cameo_data.sources.rgbd import (
    calibration as rgbd_calibration,
)
from cameo_data.sources.rgbd import (
    pairs,
    times,
    unused,
)
from cameo_data.sources.rgbd import (
    poses as rgbd_poses,
)
from cameo_data.sources.rgbd.options import Recording
from cameo_data.sources.rgbd.pairs import Candidate
from cameo_data.types import Camera, DepthRef, ExifRule, FloatArray, Frame, Scene

# Models that ``undistortion`` knows; a pinhole has no coefficients.
CAMERA_MODELS = ("pinhole", "opencv")


@dataclass(frozen=True, eq=False, kw_only=True)
class RecordingCalibration:
    """What all frames of a recording share."""

    K: FloatArray
    hw: tuple[int, int]
    depth_K: FloatArray | None
    depth_hw: tuple[int, int]
    color_from_depth: FloatArray | None
    exif: ExifRule
    mirrored: Mirrored
    notes: tuple[str, ...] = ()


def read_scene(
    folder: Path, recording: Recording, dataset: str, scene_id: str, others: Sequence[str] = ()
) -> Scene:
    """The scene's frames and the failures of listing; only a few headers are read.

    Args:
        others: folders in this one that are recordings of their own.

    Raises:
        DataError: no frames, or a defect that leaves nothing of the scene to use.
    """
    try:
        found = pairs.inventory(folder, recording)
        trajectory = rgbd_poses.read_poses(folder, recording)
        unit, notes = times.unit_of(recording, found, trajectory)
        candidates = pairs.pair(found, recording, unit)
        poses = rgbd_poses.open_poses(folder, recording, trajectory, candidates, unit)
        pose_of, notes = poses.pose_of, [*found.notes, *notes, *poses.notes]
        calibration = _calibrate(folder, recording, candidates)
        masks = _masks(folder, recording)
    except FileDefect as defect:
        raise defect.at(dataset, scene_id) from None
    frames: list[Frame] = []
    failures: list[Failure] = []
    for candidate in candidates:
        try:
            frames.append(_frame(folder, recording, calibration, candidate, pose_of, masks))
        except FileDefect as defect:
            failures.append(defect.at(dataset, scene_id, printable(candidate.frame_id)).failure)
    alone = unused.poses_alone(recording, candidates, poses.files)
    failures += [defect.at(dataset, scene_id, name).failure for name, defect in alone]
    stated = (
        *(poses.stated.notes if poses.stated is not None else ()),
        *calibration.mirrored.notes,
        *calibration.notes,
    )
    return Scene(
        dataset,
        scene_id,
        tuple(frames),
        recording.unit,
        tuple(failures),
        notes=(*notes, *image_sizes.exif_notes(frames), *stated),
        unused=unused.unused(
            folder, recording, candidates, poses.files, masks or {}, poses.rows_alone, others
        ),
    )


def _frame(
    folder: Path,
    recording: Recording,
    calibration: RecordingCalibration,
    candidate: Candidate,
    pose_of: Callable[[Candidate], FloatArray],
    masks: Mapping[str, Path] | None,
) -> Frame:
    color, depth = _both(candidate)
    if not is_text(candidate.frame_id):
        raise FileDefect(
            Reason.BAD_NAME,
            "a name with control characters or undecodable bytes",
            "printable text",
            "rename the file",
        )
    _check_file(folder, color, Reason.UNREADABLE_IMAGE)
    _check_file(folder, depth, Reason.UNREADABLE_DEPTH)
    world_from_cam = pose_of(candidate)
    if recording.pose_camera == "depth" and calibration.color_from_depth is not None:
        world_from_cam = world_from_cam @ transforms.invert(calibration.color_from_depth)
    mirrored = calibration.mirrored
    cam_from_world = mirrored.cam_from_world(transforms.invert(world_from_cam))
    return Frame(
        frame_id=candidate.frame_id,
        camera=Camera(calibration.K, calibration.hw, cam_from_world),
        image_path=color,
        depth=_depth_ref(depth, recording, calibration),
        mask_path=None if masks is None else _mask(folder, masks, candidate.frame_id),
        distortion=mirrored.distortion(recording.distortion) or None,
        timestamp=candidate.time,
        exif_orientation=calibration.exif,
    )


def _depth_ref(path: Path, recording: Recording, calibration: RecordingCalibration) -> DepthRef:
    own_size = calibration.depth_hw != calibration.hw
    return DepthRef(
        path=path,
        codec=recording.depth_codec,
        scale=recording.depth_scale,
        camera_K=calibration.depth_K,
        hw=calibration.depth_hw if own_size else None,
        color_from_depth=calibration.mirrored.between(calibration.color_from_depth),
        invalid=recording.depth_invalid,
    )


def _mask(folder: Path, masks: Mapping[str, Path], frame_id: str) -> Path:
    if frame_id not in masks:
        raise _missing(f"no mask for frame {frame_id}")
    _check_file(folder, masks[frame_id], Reason.UNREADABLE_IMAGE)
    return masks[frame_id]


def _calibrate(
    folder: Path, recording: Recording, candidates: Sequence[Candidate]
) -> RecordingCalibration:
    if recording.camera_model.lower() not in CAMERA_MODELS:
        raise FileDefect(
            Reason.UNKNOWN_CAMERA_MODEL,
            f"camera model {recording.camera_model!r}",
            " or ".join(CAMERA_MODELS),
            "undistort the recording first",
        )
    exif: ExifRule = recording.exif_orientation
    stated = rgbd_calibration.stated_hw(folder, recording.intrinsics, recording.intrinsics_size)
    if stated is not None:
        exif = rule_of_stated_size(exif)
    depth_hw = _commonest_hw(
        folder,
        (c.depth for c in candidates),
        lambda path: depth_files.depth_hw(path, recording.depth_codec),
    )
    try:
        hw = _commonest_hw(
            folder,
            (c.color for c in candidates),
            lambda path: image_files.read_hw(path, exif, stated),
        )
    except TurnedPictureError as turned:
        raise turned.beside(depth_hw) from None
    if recording.depth_intrinsics is None:
        aspects.check_depth(recording.depth, depth_hw, hw)
    center = recording.pixel_center
    K = rgbd_calibration.read_intrinsics(
        folder, recording.intrinsics, center, hw, recording.intrinsics_size
    )
    mirrored = Mirrored.of([(K[0, 0], K[1, 1])])
    K = mirrored.K(K)
    depth_K = color_from_depth = None
    if recording.depth_intrinsics is not None:
        depth_K = rgbd_calibration.read_intrinsics(
            folder, recording.depth_intrinsics, center, depth_hw
        )
        depth_K = mirrored.K(depth_K)
    if recording.color_from_depth is not None:
        given = rgbd_calibration.read_transform(folder, recording.color_from_depth)
        color_from_depth = None if np.array_equal(given, np.eye(4)) else given
    if (
        color_from_depth is None
        and hw == depth_hw
        and depth_K is not None
        and np.array_equal(K, depth_K)
    ):
        depth_K = None  # the same camera: its pixels stay untouched
    notes = (
        *rgbd_calibration.unread_keys(folder, recording.intrinsics, recording.distortion),
        *doubts(K, hw, "correct intrinsics: their order is fx,fy,cx,cy"),
    )
    return RecordingCalibration(
        K=K,
        hw=hw,
        depth_K=depth_K,
        depth_hw=depth_hw,
        color_from_depth=color_from_depth,
        exif=exif,
        mirrored=mirrored,
        notes=notes,
    )


def _commonest_hw(
    folder: Path,
    listed: Iterable[Listed | None],
    read_hw: Callable[[Path], tuple[int, int]],
) -> tuple[int, int]:
    paths = [one.path for one in listed if one is not None]
    if not paths:
        raise _missing("no file to take the image size from")
    return image_sizes.commonest_hw(folder, paths, read_hw)


def _masks(folder: Path, recording: Recording) -> dict[str, Path] | None:
    if recording.mask is None:
        return None
    return {listed.name: listed.path for listed in list_files(folder, recording.mask)}


def _both(candidate: Candidate) -> tuple[Path, Path]:
    """Paths of colour and depth.

    Raises:
        FileDefect: one is missing, or the candidate was found defective when pairing.
    """
    if candidate.defect is not None:
        raise candidate.defect
    if candidate.color is None:
        assert candidate.depth is not None
        raise _missing(f"depth {candidate.depth.path.name} has no colour image")
    if candidate.depth is None:
        raise FileDefect(
            Reason.NO_DEPTH,
            f"{candidate.color.path.name} has no depth image",
            "one of the same name",
            "restore it, or leave the frame out",
        )
    return candidate.color.path, candidate.depth.path


def _check_file(folder: Path, path: Path, unreadable: Reason) -> None:
    files.checked_size(files.inside(folder, path), files.MAX_FRAME_BYTES, unreadable)


def _missing(found: str) -> FileDefect:
    return FileDefect(Reason.MISSING_FILE, found, "a file", "restore it, or leave the frame out")
