"""The camera and pose that an entry of ``transforms.json`` states, in our conventions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cameo_data import transforms, undistortion
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.sources.listing import printable
from cameo_data.sources.nerfstudio_records import FISHEYE, CameraRecord, FrameRecord
from cameo_data.types import Camera, FloatArray, Lens, intrinsics_defect

# nerfstudio's names of its perspective model: all take k1, k2, k3, p1, p2 as OpenCV does
# (CAMERA_MODEL_TO_TYPE in nerfstudio/cameras/cameras.py).
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "RADIAL", "SIMPLE_RADIAL")
# instant-ngp's other lenses, each turned on by the presence of a key.
_NGP_LENSES = ("ftheta_p0", "latlong", "equirectangular")
# Sizes of reduced images are rounded to whole pixels; a turned or cropped one is off by far more.
_ASPECT_TOLERANCE = 0.02


def world_from_cam(record: FrameRecord) -> FloatArray:
    """(4, 4) in the file's world, OpenCV axes: the stored matrix times ``OPENCV_FROM_OPENGL``.

    Raises:
        FileDefect: none, or not rigid.
    """
    rows = record.transform_matrix
    if rows is None:
        raise _bad_pose("no transform_matrix")
    return to_rigid(rows) @ transforms.OPENCV_FROM_OPENGL


def to_rigid(rows: list[Any]) -> FloatArray:
    """The rigid 4×4 transform that a 3×4 or 4×4 list of rows states.

    Raises:
        FileDefect: of another shape, or not rigid.
    """
    try:
        matrix = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise _bad_pose("the pose is no matrix of numbers") from None
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0.0, 0, 0, 1]])
    if (defect := transforms.rotation_defect(matrix)) is not None:
        raise _bad_pose(f"the pose is a {defect}")
    return transforms.nearest_rotation(matrix)


def camera(
    record: CameraRecord, hw: tuple[int, int], cam_from_world: FloatArray
) -> tuple[Camera, tuple[float, ...] | Lens | None]:
    """The pinhole camera of an image of ``hw``, and how the stored image is distorted.

    Raises:
        FileDefect: no focal length, no pinhole matrix, an image of another shape, an unknown model.
    """
    if lens_key := next((key for key in _NGP_LENSES if getattr(record, key)), None):
        raise _unknown_model(f"a lens with {lens_key}")
    K = _stated_K(record, hw)
    k1, k2, k3, k4, p1, p2 = record.coefficients
    if record.model == FISHEYE and not (p1 or p2):
        lens = Lens(FISHEYE, (K[0, 0], K[1, 1], K[0, 2], K[1, 2], k1, k2, k3, k4), hw)
        pinhole_K, pinhole_hw = undistortion.pinhole_of(lens)
        return Camera(pinhole_K, pinhole_hw, cam_from_world), lens
    if record.model not in PERSPECTIVE or k4:
        with_k = f" with k4 = {k4:g}" if record.model in PERSPECTIVE else ""
        with_k += f" with p1, p2 = {p1:g}, {p2:g}" if record.model == FISHEYE else ""
        raise _unknown_model(f"camera model {printable(record.model[:40])}{with_k}")
    distortion = (k1, k2, p1, p2, k3) if k3 else (k1, k2, p1, p2)
    return Camera(K, hw, cam_from_world), distortion if any(distortion) else None


def _stated_K(record: CameraRecord, hw: tuple[int, int]) -> FloatArray:
    """K of an image of ``hw``, scaled from the size that the record is for."""
    width, height = record.w or hw[1], record.h or hw[0]
    scale_x, scale_y = hw[1] / width, hw[0] / height
    if abs(scale_x / scale_y - 1) > _ASPECT_TOLERANCE:
        raise FileDefect(
            Reason.WRONG_SIZE,
            f"image is {hw[0]}×{hw[1]}, its intrinsics are for {height:g}×{width:g} (h×w)",
            "an image of that shape, of any size",
            "correct w and h, or give the frame its own intrinsics",
        )
    fx = _focal(record.fl_x, record.camera_angle_x, record.x_fov, width)
    fy = _focal(record.fl_y, record.camera_angle_y, record.y_fov, height)
    if fx is None and fy is None:
        raise _bad_intrinsics("no focal length")
    cx = width / 2 if record.cx is None else record.cx
    cy = height / 2 if record.cy is None else record.cy
    fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
    K *= np.array([scale_x, scale_y, 1.0])[:, None]
    if (defect := intrinsics_defect(K)) is not None:
        raise _bad_intrinsics(f"the intrinsics are a {defect}")
    return K


def _focal(
    pixels: float | None, radians: float | None, degrees: float | None, side: float
) -> float | None:
    """Focal length in pixels from the first of the three that is given."""
    if pixels is not None:
        return pixels
    if radians is None and degrees is not None:
        radians = float(np.deg2rad(degrees))
    return None if radians is None else side / (2 * float(np.tan(radians / 2)))


def _bad_pose(found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_POSE, found, "rigid camera-to-world transform_matrix", "leave the frame out"
    )


def _bad_intrinsics(found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_INTRINSICS,
        found,
        "fl_x, camera_angle_x or x_fov above zero",
        "add it for all frames or in the entry",
    )


def _unknown_model(found: str) -> FileDefect:
    return FileDefect(
        Reason.UNKNOWN_CAMERA_MODEL,
        found,
        f"one of {', '.join(PERSPECTIVE)} (k1, k2, k3, p1, p2) or {FISHEYE} (k1 … k4)",
        "undistort the images first",
    )
