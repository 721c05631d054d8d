"""Where the pixels of an ideal pinhole image lie in the distorted image that a camera stored."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.types import Camera, FloatArray

# Coefficient counts of OpenCV's model: (k1, k2, p1, p2[, k3[, k4, k5, k6[, s1…s4[, τx, τy]]]])
COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)


def stored_xy(camera: Camera, distortion: tuple[float, ...]) -> FloatArray:
    """(H, W, 2) pixels in the stored image of each pixel of the pinhole image; NaN outside it.

    The model is a polynomial that is only meant to hold over the stored image: further out it may
    turn back and find the image a second time. Such pixels are NaN.

    Raises:
        ValueError: not a count of coefficients that the model has, or not finite.
    """
    if len(distortion) not in COEFFICIENT_COUNTS or not np.isfinite(distortion).all():
        raise ValueError(
            f"distortion {list(distortion)}; expected {COEFFICIENT_COUNTS} finite coefficients"
        )
    return _stored_xy(camera.K.tobytes(), camera.hw, tuple(float(k) for k in distortion))


@lru_cache(maxsize=4)  # one camera serves a whole scene; a map at 640×480 weighs 5 MB
def _stored_xy(k_bytes: bytes, hw: tuple[int, int], distortion: tuple[float, ...]) -> FloatArray:
    K = np.frombuffer(k_bytes, np.float64).reshape(3, 3)
    height, width = hw
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    normalised_y = (y - K[1, 2]) / K[1, 1]
    normalised_x = (x - K[0, 2] - K[0, 1] * normalised_y) / K[0, 0]
    rays = np.stack([normalised_x, normalised_y, np.ones_like(x)], -1).reshape(-1, 1, 3)
    coefficients = np.array(distortion)
    # unit camera: OpenCV's K has no skew, ours may
    distorted, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), np.eye(3), coefficients)
    xy = distorted.reshape(height, width, 2) @ K[:2, :2].T + K[:2, 2]
    radius = np.hypot(normalised_x, normalised_y)
    inside = (xy >= 0).all(-1) & (xy[..., 0] < width) & (xy[..., 1] < height)
    inside &= radius < _turning_radius(coefficients, float(radius.max()))
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
