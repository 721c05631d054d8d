"""The camera and pose that an entry of ``transforms.json`` states, in our conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.geometry import undistortion
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.stated_intrinsics import (
    Mirrored,
    check_view,
    other_size,
    scale_to,
    unsigned,
)
from cameo_data.sources.common.stated_poses import StatedPoses
from cameo_data.sources.nerfstudio import focal
from cameo_data.sources.nerfstudio.keys import check_motion, stated_from_opencv
from cameo_data.sources.nerfstudio.options import NerfstudioOptions
from cameo_data.sources.nerfstudio.records import FISHEYE, CameraRecord, FrameRecords, Transforms
from cameo_data.types import Camera, FloatArray, Lens, intrinsics_defect

# nerfstudio's names for its perspective model: all take k1, k2, k3, p1, p2 as OpenCV does
# (CAMERA_MODEL_TO_TYPE in nerfstudio/cameras/cameras.py).
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "RADIAL", "SIMPLE_RADIAL")
# instant-ngp's other lenses, each turned on by the presence of a key.
_NGP_LENSES = ("ftheta_p0", "latlong", "equirectangular")


@dataclass(eq=False)
class Cameras:
    """The cameras of one scene, and what was noticed about them.

    Attributes:
        poses, mirrored: what all frames share (``stated_poses``, ``stated_intrinsics``).
    """

    options: NerfstudioOptions
    poses: StatedPoses
    mirrored: Mirrored
    _notes: dict[str, None] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, options: NerfstudioOptions, entries: Sequence[FrameRecords]) -> Cameras:
        """From all entries of the scene."""
        matrices = [e.frame.transform_matrix for e in entries if e.frame.transform_matrix]
        poses = StatedPoses.of(matrices, "world_from_cam", "transform_matrix")
        signs = [(e.camera.fl_x or 1.0, e.camera.fl_y or e.camera.fl_x or 1.0) for e in entries]
        return cls(options, poses, Mirrored.of(signs))

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._notes, *self.poses.notes, *self.mirrored.notes)

    def cam_from_world(self, entry: FrameRecords, file: Transforms) -> FloatArray:
        """(4, 4), OpenCV axes.

        Raises:
            FileDefect: no pose, none that is rigid, or axes of unknown meaning.
        """
        check_motion(entry)
        if entry.frame.transform_matrix is None:
            raise _bad_pose("no transform_matrix")
        pose = self.poses.rigid(entry.frame.transform_matrix)
        pose = pose @ stated_from_opencv(file, self.options.axes)
        if self.options.world == "original":
            pose[:3, 3] /= file.record.applied_scale
            if (applied := file.record.applied_transform) is not None:
                rows = StatedPoses("applied_transform", "world_from_cam").rigid(applied)
                pose = transforms.invert(rows) @ pose
        return self.mirrored.cam_from_world(transforms.invert(pose))

    def camera(
        self, record: CameraRecord, hw: tuple[int, int], cam_from_world: FloatArray
    ) -> tuple[Camera, tuple[float, ...] | Lens | None]:
        """The pinhole camera of an image of ``hw``, and how the stored image is distorted.

        Raises:
            FileDefect: no focal length, no pinhole matrix, statements that contradict each other,
                an image of another shape, an unknown model.
        """
        if lens_key := next((key for key in _NGP_LENSES if getattr(record, key)), None):
            raise _unknown_model(f"a lens with {lens_key}")
        K = self.mirrored.K(self._stated_K(record, hw))
        k1, k2, k3, k4, p1, p2 = record.coefficients
        if record.model == FISHEYE and not (p1 or p2):
            lens = Lens(FISHEYE, (K[0, 0], K[1, 1], K[0, 2], K[1, 2], k1, k2, k3, k4), hw)
            pinhole_K, pinhole_hw = undistortion.pinhole_of(lens)
            return Camera(pinhole_K, pinhole_hw, cam_from_world), lens
        if record.model not in PERSPECTIVE or k4:
            with_k = f" with k4 = {k4:g}" if record.model in PERSPECTIVE else ""
            with_k += f" with p1, p2 = {p1:g}, {p2:g}" if record.model == FISHEYE else ""
            raise _unknown_model(f"camera model {printable(record.model[:40])}{with_k}")
        check_view(K, hw, "state fl_x and fl_y in pixels of a picture of w × h")
        stated = (k1, k2, p1, p2, k3) if k3 else (k1, k2, p1, p2)
        distortion = self.mirrored.distortion(stated)
        return Camera(K, hw, cam_from_world), distortion if any(distortion) else None

    def _stated_K(self, record: CameraRecord, hw: tuple[int, int]) -> FloatArray:
        """K of an image of ``hw``, scaled from the size that the record is for."""
        width, height = record.w or hw[1], record.h or hw[0]
        remedy = "correct w and h, or give the frame its own intrinsics"
        scale_x, scale_y = scale_to((height, width), hw, remedy)
        if (height, width) != hw:
            self._notes[
                f"w and h say {width:g}×{height:g}, the pictures are {hw[1]}×{hw[0]} (w×h): K is "
                "scaled to them"
            ] = None
        options = self.options
        # a fisheye's angle of view does not state its focal length
        fisheye = record.model == FISHEYE and record.fl_x is not None
        choice = "pixels" if fisheye else options.focal
        fx, fy = focal.focal_lengths(record, (height, width), choice, options.angle_side)
        cx = width / 2 if record.cx is None else record.cx
        cy = height / 2 if record.cy is None else record.cy
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        if (defect := intrinsics_defect(unsigned(K))) is not None:
            raise focal.bad_intrinsics(f"the intrinsics are a {defect}")
        if (size := other_size(K, (round(height), round(width)))) is not None:
            if record.w is None:
                raise focal.bad_size(size)
            self._notes[f"{size}; is it cx and cy, or w and h, that is wrong?"] = None
        self._notes.update(dict.fromkeys(focal.doubts(record, K, (height, width), options)))
        K *= np.array([scale_x, scale_y, 1.0])[:, None]
        return K


def _bad_pose(found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_POSE, found, "rigid camera-to-world transform_matrix", "leave the frame out"
    )


def _unknown_model(found: str) -> FileDefect:
    return FileDefect(
        Reason.UNKNOWN_CAMERA_MODEL,
        found,
        f"one of {', '.join(PERSPECTIVE)} (k1, k2, k3, p1, p2) or {FISHEYE} (k1 … k4)",
        "undistort the images first",
    )
