"""Matches that a method gives instead of depth, as the table that ``matches.read_pairs`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import cv2
import numpy as np

from cameo_data.depth.method import DepthScene
from cameo_data.geometry import undistortion
from cameo_data.geometry.sparse_matches import COLUMNS
from cameo_data.types import FloatArray

Rows = Iterable[tuple[str, str, FloatArray, FloatArray]]


def table(scene: DepthScene, rows: Rows) -> bytes | None:
    """A CSV file in pixels of the images as stored, or None without a match."""
    number = {frame.frame_id: n for n, frame in enumerate(scene.scene.frames)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for frame0, frame1, xy0, xy1 in rows:
        stored0 = _stored(scene, number[frame0], xy0)
        stored1 = _stored(scene, number[frame1], xy1)
        for line in np.concatenate([stored0, stored1], 1):
            if np.isfinite(line).all():
                writer.writerow([frame0, frame1, *(f"{value:.3f}" for value in line)])
                count += 1
    return text.getvalue().encode() if count else None


def _stored(scene: DepthScene, number: int, xy: FloatArray) -> FloatArray:
    """Pixels in the stored image of pixels of the reduced, undistorted one."""
    frame, hw = scene.frame(number), scene.camera(number).hw
    step = np.array([frame.camera.hw[1] / hw[1], frame.camera.hw[0] / hw[0]])
    full = xy * step
    if frame.distortion is None or not undistortion.is_distorted(frame):
        return np.asarray(full, np.float64)
    grid = undistortion.stored_xy(frame.camera, frame.distortion).astype(np.float32)
    # OpenCV counts from pixel centres
    at = (full - 0.5).astype(np.float32)[:, None]
    looked_up = cv2.remap(grid, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(looked_up[:, 0], np.float64)
