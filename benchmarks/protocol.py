"""The measures that the READMEs of the real sets state, computed from what a source gives.

Independent of ``cameo_data.check`` and of the matcher: every pixel is looked at, depth is looked up
at the nearest one, features are OpenCV's defaults. Pixels are ours (docs/conventions.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.frames import read_image
from cameo_data.types import Camera, FloatArray, Scene, View

Reading = Callable[[Camera], Camera]

# Lowe's ratio, and the distance in pixels within which a match agrees with its pair's fundamental
# matrix (RANSAC); pairs with fewer such matches are left out.
RATIO = 0.75
RANSAC_PX = 1.5
LEAST_MATCHES = 15
# Depths agree where colours are compared and ways back are measured.
SAME_SURFACE = 0.05


def as_read(camera: Camera) -> Camera:
    """The source's reading."""
    return camera


def inverted(camera: Camera) -> Camera:
    """Camera-to-world taken for world-to-camera."""
    return replace(camera, cam_from_world=camera.world_from_cam)


@dataclass(frozen=True, eq=False)
class Dense:
    """Pixels of view a that land inside view b where both know their depth.

    Attributes:
        known: pixels of a with a depth.
        residual: (N,) (moved depth − depth at the nearest pixel) / the latter.
        cycle_px: (N,) from the pixel to where the nearest pixel's depth leads back to.
        colour, in_place: (N,) mean absolute difference of RGB levels at the landing place
            (bilinear) and at the same place of the frame.
        grey: (2, N) mean of RGB here and at the landing place.
    """

    known: int
    residual: FloatArray
    cycle_px: FloatArray
    colour: FloatArray
    in_place: FloatArray
    grey: FloatArray

    @property
    def common(self) -> float:
        """Share of a's pixels with a depth."""
        return len(self.residual) / max(1, self.known)

    def within(self, tolerance: float) -> float:
        """Share of pixels whose depths differ less."""
        return float(np.mean(np.abs(self.residual) < tolerance))

    @property
    def same(self) -> NDArray[np.bool_]:
        """(N,) whether a and b see one surface."""
        seen: NDArray[np.bool_] = np.abs(self.residual) < SAME_SURFACE
        return seen


def dense(a: View, b: View, reading: Reading = as_read, *, b_depth: bool = True) -> Dense:
    """One ordered pair, every pixel.

    Args:
        b_depth: whether b has a depth; else all that land inside count, with residual 0.
    """
    camera_a, camera_b = reading(a.camera), reading(b.camera)
    xy, z = cameras.query_xy(a.camera.hw)[a.depth.valid], a.depth.z[a.depth.valid]
    p_world = cameras.unproject(camera_a, xy, z)
    landed, moved = cameras.project(camera_b, p_world)
    height, width = b.camera.hw
    # ties go to the even pixel, as NumPy rounds; disparities in quarters of a pixel have many
    nearest = np.rint(np.round(np.nan_to_num(landed - 0.5, nan=-1), 6))
    inside = (nearest >= 0).all(1) & (nearest < (width, height)).all(1)
    column, row = np.where(inside[:, None], nearest, 0).astype(np.intp).T
    if b_depth:
        inside &= b.depth.valid[row, column]
    seen = b.depth.z[row, column].astype(np.float64) if b_depth else moved
    xy, landed, moved, seen = xy[inside], landed[inside], moved[inside], seen[inside]
    back, _ = cameras.project(camera_a, cameras.unproject(camera_b, landed, seen))
    here, there = _colours(a.image, xy), _colours(b.image, landed)
    same_place = _colours(b.image, xy * (width / a.camera.hw[1], height / a.camera.hw[0]))
    return Dense(
        len(z),
        (moved - seen) / seen,
        np.linalg.norm(back - xy, axis=1),
        np.abs(there - here).mean(1),
        np.abs(same_place - here).mean(1),
        np.stack([here.mean(1), there.mean(1)]),
    )


def _colours(image: NDArray[np.uint8], xy: FloatArray) -> FloatArray:
    """(N, 3) bilinear colours at pixels (N, 2)."""
    height, width = image.shape[:2]
    index = np.clip(xy - 0.5, 0, (width - 1, height - 1))
    corner = np.minimum(np.floor(index).astype(np.intp), (max(width - 2, 0), max(height - 2, 0)))
    (x, y), (u, v) = corner.T, (index - corner).T[:, :, None]
    rows = [(1 - u) * image[y + i, x] + u * image[y + i, x + 1] for i in (0, 1)]
    blended: FloatArray = (1 - v) * rows[0] + v * rows[1]
    return blended


def correlation(pair: Dense) -> float:
    """Normalised correlation of grey levels on one surface."""
    return float(np.corrcoef(pair.grey[:, pair.same])[0, 1])


@dataclass(frozen=True, eq=False)
class Matched:
    """Features of two frames that show one point, (N, 2) pixels each."""

    a: int
    b: int
    camera_a: Camera
    camera_b: Camera
    xy_a: FloatArray
    xy_b: FloatArray

    def epipolar_px(self, reading: Reading = as_read) -> float:
        """Median distance from the epipolar line, mean of both views."""
        camera_a, camera_b = reading(self.camera_a), reading(self.camera_b)
        b_from_a = camera_b.cam_from_world @ transforms.invert(camera_a.cam_from_world)
        x, y, z = b_from_a[:3, 3]
        essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ b_from_a[:3, :3]
        F = np.linalg.inv(camera_b.K).T @ essential @ np.linalg.inv(camera_a.K)
        points_a, points_b = (np.c_[xy, np.ones(len(xy))] for xy in (self.xy_a, self.xy_b))
        lines_b, lines_a = points_a @ F.T, points_b @ F
        off = np.abs((points_b * lines_b).sum(1))
        far = (off / np.hypot(*lines_b[:, :2].T), off / np.hypot(*lines_a[:, :2].T))
        return float(np.median(sum(far) / 2))


def matched(scene: Scene, gaps: Sequence[int] | None = None) -> list[Matched]:
    """Pairs of a scene's frames, ``gaps`` frames apart (any), that share enough features."""
    features = [_features(scene, i) for i in range(len(scene.frames))]
    found = []
    for a, b in itertools.combinations(range(len(features)), 2):
        if gaps is not None and b - a not in gaps:
            continue
        nearest = cv2.BFMatcher().knnMatch(features[a][1], features[b][1], k=2)
        sure = [one for one, other in nearest if one.distance < RATIO * other.distance]
        xy_a = features[a][0][[match.queryIdx for match in sure]]
        xy_b = features[b][0][[match.trainIdx for match in sure]]
        if len(sure) < LEAST_MATCHES:
            continue
        cv2.setRNGSeed(0)
        _, kept = cv2.findFundamentalMat(xy_a, xy_b, cv2.FM_RANSAC, RANSAC_PX, 0.999)
        if kept is None or kept.sum() < LEAST_MATCHES:
            continue
        rows = kept.ravel() > 0
        ends = (scene.frames[a].camera, scene.frames[b].camera)
        found.append(Matched(a, b, *ends, xy_a[rows], xy_b[rows]))
    return found


def _features(scene: Scene, i: int) -> tuple[FloatArray, NDArray[np.float32]]:
    image = read_image(scene.frames[i], dataset=scene.dataset, scene_id=scene.scene_id)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create().detectAndCompute(grey, None)
    # OpenCV counts from pixel centres
    return np.array([point.pt for point in points], np.float64).reshape(-1, 2) + 0.5, descriptors
