"""Maps pixels between an ideal pinhole image and the distorted image that a camera stored.

The distortion is given by OpenCV's coefficients about the camera's K, or by a lens of any COLMAP
model. COLMAP's library maps such lenses and is loaded only for them.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.image_files import MAX_PIXELS
from cameo_data.io.signal_handlers import kept_signal_handlers
from cameo_data.types import Camera, FloatArray, Frame, Lens, intrinsics_defect

# Coefficient counts of OpenCV's model: (k1, k2, p1, p2[, k3[, k4, k5, k6[, s1…s4[, τx, τy]]]])
COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)

# Where a pixel does not map back to its own ray within this (in tan of the angle), the model has
# turned back. COLMAP inverts its models to about 1e-11 where they hold.
_ROUND_TRIP = 1e-6
_PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")
_SPHERICAL = "EQUIRECTANGULAR"


def is_distorted(frame: Frame) -> bool:
    """Whether the frame's stored image differs from the pinhole image of its camera."""
    if isinstance(frame.distortion, Lens):
        return True
    return frame.distortion is not None and any(frame.distortion)


def stored_hw(frame: Frame) -> tuple[int, int]:
    """Size of the frame's image as stored."""
    lens = frame.distortion
    return lens.hw if isinstance(lens, Lens) else frame.camera.hw


def stored_xy(camera: Camera, distortion: tuple[float, ...] | Lens) -> FloatArray:
    """(H, W, 2) pixels in the stored image of each pixel of the pinhole image; NaN outside it.

    Most models are polynomials that hold only over the stored image: further out they may turn
    back and hit the image a second time. Such pixels are NaN.

    Raises:
        ValueError: the number of coefficients does not fit OpenCV's model, or one is not finite.
        FileDefect: COLMAP does not know the lens, or no pixel falls inside the stored image.
    """
    key = (camera.K.tobytes(), camera.hw)
    if isinstance(distortion, Lens):
        return _lens_stored_xy(*key, distortion)
    if len(distortion) not in COEFFICIENT_COUNTS or not np.isfinite(distortion).all():
        raise ValueError(
            f"distortion {list(distortion)}; expected {COEFFICIENT_COUNTS} finite coefficients"
        )
    return _stored_xy(*key, tuple(float(k) for k in distortion))


def pinhole_xy(frame: Frame, xy: FloatArray) -> FloatArray:
    """(N, 2) pixels of the stored image, mapped into the frame's pinhole image; NaN where outside.

    Raises:
        FileDefect: COLMAP does not know the lens.
    """
    if not is_distorted(frame) or frame.distortion is None:
        return np.array(xy, np.float64)
    K = frame.camera.K
    if isinstance(frame.distortion, Lens):
        rays = colmap_camera(frame.distortion).cam_ray_from_img(np.array(xy, np.float64))
        z = np.where(rays[:, 2:] > 0, rays[:, 2:], np.nan)
        rays = rays / z
    else:
        units = (np.asarray(xy, np.float64) - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T
        coefficients = np.array(frame.distortion)
        # the default of five iterations leaves an error of 0.01 px at wide angles
        until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        found = cv2.undistortImagePoints(
            units.reshape(-1, 1, 2), np.eye(3), coefficients, None, until
        )
        rays = np.concatenate([found.reshape(-1, 2), np.ones((len(units), 1))], -1)
    pixels: FloatArray = (rays @ K.T)[:, :2]
    return pixels


def is_pinhole(lens: Lens) -> bool:
    """Whether the lens has no distortion."""
    return lens.model in _PINHOLES


def pinhole_of(lens: Lens, focal_scale: float = 1.0) -> tuple[FloatArray, tuple[int, int]]:
    """K and size of the pinhole image to make from a lens's stored image.

    The stored size, principal point and focal length (times ``focal_scale``) are kept, so that the
    centre keeps its resolution; a panorama gives the square of 90° straight ahead.

    Raises:
        FileDefect: COLMAP does not know the lens, or refuses its parameters.
    """
    camera = colmap_camera(lens)
    if lens.model != _SPHERICAL:
        K = np.array(camera.calibration_matrix(), np.float64)
        K[:2, :2] *= focal_scale
        return K, lens.hw
    focal = lens.hw[1] / (2 * np.pi)  # pixels per radian at the equator
    side = max(1, round(2 * focal))
    return np.array(
        [[focal * focal_scale, 0, side / 2], [0, focal * focal_scale, side / 2], [0, 0, 1]]
    ), (side, side)


@lru_cache(maxsize=1)
def colmap() -> ModuleType:
    """COLMAP's library, loaded on first use; nothing else imports it."""
    with kept_signal_handlers():
        import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value  # it also raises what it would log
    module: ModuleType = pycolmap
    return module


@lru_cache(maxsize=64)
def colmap_camera(lens: Lens) -> Any:
    """The lens as COLMAP's camera.

    Raises:
        FileDefect: COLMAP does not know the model, or refuses its parameters.
    """
    library = colmap()
    known = [name for name in library.CameraModelId.__members__ if name != "INVALID"]
    if lens.model not in known:
        raise FileDefect(
            Reason.UNKNOWN_CAMERA_MODEL,
            f"camera model {lens.model!r}",
            f"one of {', '.join(known)}",
            "undistort the images first, or convert the camera",
        )
    height, width = lens.hw
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"{lens.model} camera of {width}×{height} pixels (w×h)",
            f"the size of the stored image, at most {MAX_PIXELS} pixels",
            "correct the camera",
        )
    try:
        camera = library.Camera(
            model=lens.model, width=lens.hw[1], height=lens.hw[0], params=list(lens.params)
        )
        sound = camera.verify_params()
    except (ValueError, RuntimeError):
        sound = False
    if not sound or not np.isfinite(lens.params).all():
        info = library.Camera.create_from_model_name(1, lens.model, 1.0, 1, 1).params_info
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"{lens.model} camera with {len(lens.params)} parameters {list(lens.params)}",
            f"finite {info}",
            "correct the camera",
        )
    if lens.model == _SPHERICAL:  # a panorama has no K
        return camera
    if (defect := intrinsics_defect(camera.calibration_matrix())) is not None:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"{lens.model} camera is a {defect}",
            "positive focal lengths, in pixels",
            "correct the camera",
        )
    return camera


@lru_cache(maxsize=4)  # one camera serves a whole scene; a map at 640×480 takes 5 MB
def _lens_stored_xy(k_bytes: bytes, hw: tuple[int, int], lens: Lens) -> FloatArray:
    K = np.frombuffer(k_bytes, np.float64).reshape(3, 3)
    rays = _unit_depth_rays(K, hw).reshape(-1, 3)
    camera = colmap_camera(lens)
    xy = camera.img_from_cam(rays)
    with np.errstate(invalid="ignore", divide="ignore"):
        back = camera.cam_ray_from_img(xy)
        apart = np.abs(back[:, :2] / back[:, 2:] - rays[:, :2]).max(-1)
        # relative to the ray, whose length grows with the square of the tangent
        held = (apart < _ROUND_TRIP * (rays**2).sum(-1)) & (back[:, 2] > 0)
    return _inside(xy.reshape(*hw, 2), lens.hw, held.reshape(hw))


@lru_cache(maxsize=4)
def _stored_xy(k_bytes: bytes, hw: tuple[int, int], distortion: tuple[float, ...]) -> FloatArray:
    K = np.frombuffer(k_bytes, np.float64).reshape(3, 3)
    rays = _unit_depth_rays(K, hw)
    coefficients = np.array(distortion)
    # use a unit camera, because OpenCV's K has no skew and ours may
    distorted, _ = cv2.projectPoints(
        rays.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), np.eye(3), coefficients
    )
    xy = distorted.reshape(*hw, 2) @ K[:2, :2].T + K[:2, 2]
    radius = np.hypot(rays[..., 0], rays[..., 1])
    return _inside(xy, hw, radius < _turning_radius(coefficients, float(radius.max())))


def _unit_depth_rays(K: FloatArray, hw: tuple[int, int]) -> FloatArray:
    """(H, W, 3) points at depth 1 of each pixel's centre."""
    x, y = np.meshgrid(np.arange(hw[1]) + 0.5, np.arange(hw[0]) + 0.5)
    normalised_y = (y - K[1, 2]) / K[1, 1]
    normalised_x = (x - K[0, 2] - K[0, 1] * normalised_y) / K[0, 0]
    return np.stack([normalised_x, normalised_y, np.ones_like(x)], -1)


def _inside(xy: FloatArray, hw: tuple[int, int], held: NDArray[np.bool_]) -> FloatArray:
    """``xy`` where it is inside an image of size ``hw`` and the model holds, else NaN; read-only.

    Raises:
        FileDefect: no pixel qualifies.
    """
    inside = held & (xy >= 0).all(-1) & (xy[..., 0] < hw[1]) & (xy[..., 1] < hw[0])
    if not inside.any():
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"with its distortion the lens shows no pixel of its {hw[1]}×{hw[0]} image (w×h)",
            "a lens that shows a picture",
            "correct the camera's parameters",
        )
    found: FloatArray = np.where(inside[..., None], xy, np.nan)
    found.flags.writeable = False  # shared by all callers
    return found


def _turning_radius(coefficients: NDArray[np.float64], largest: float) -> float:
    """The radius at which the radial distortion stops growing outwards, or infinity."""
    k = np.zeros(8)
    k[: min(8, len(coefficients))] = coefficients[:8]
    r = np.linspace(0.0, largest, 2048)
    r2 = r * r
    numerator = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
    denominator = 1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
    with np.errstate(divide="ignore", invalid="ignore"):
        growing = np.diff(r * numerator / denominator) > 0
    return float(r[np.argmin(growing)]) if not growing.all() else float("inf")
