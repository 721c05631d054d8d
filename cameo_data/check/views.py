"""Views that a check looks at: chosen by seed, read once, with features found in them.

Poses are what is in doubt, so frames are chosen near each other in capture order (failing that, by
similar poses). ``matching`` forms pairs of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.camera import hw_within
from cameo_data.errors import DataError, Failure
from cameo_data.frames import read_image, read_view, resize_view
from cameo_data.io import boundary
from cameo_data.types import DepthMap, FloatArray, Frame, Scene, View

# Longer sides at which features are found and at which depth and colour are compared.
FEATURE_SIDE = 1024
DENSE_SIDE = 640
FEATURES = 1500


@dataclass(frozen=True, eq=False)
class CheckedView:
    """A frame as the check needs it.

    Attributes:
        place: of the frame in its scene.
        rgb: (h, w, 3) uint8, at most DENSE_SIDE long.
        depth: at ``rgb``'s size, or None.
        xy: (N, 2) features in the full image's pixels.
        descriptors: (N, 128) float32.
    """

    frame: Frame
    place: int
    rgb: NDArray[np.uint8]
    depth: DepthMap | None
    xy: FloatArray
    descriptors: NDArray[np.float32]

    @property
    def hw(self) -> tuple[int, int]:
        """Of the full image."""
        return self.frame.camera.hw

    @property
    def step(self) -> FloatArray:
        """Full-image pixels (x, y) per pixel of ``rgb`` and ``depth``."""
        h, w = self.rgb.shape[:2]
        return np.array([self.hw[1] / w, self.hw[0] / h])


def choose_places(count: int, views: int, seed: int) -> list[int]:
    """Places of the frames to look at: all, or bursts of four at growing gaps, spread evenly."""
    if count <= views:
        return list(range(count))
    gap = min(max(1, round(count / 60)), 10)
    offsets = [0, gap, 3 * gap, 7 * gap]
    bursts = max(1, views // len(offsets))
    rng = np.random.default_rng([seed, count])
    room = max(1, count - offsets[-1])
    starts = (np.arange(bursts) + rng.random(bursts)) * room / bursts
    places = {min(int(start) + offset, count - 1) for start in starts for offset in offsets}
    rest = [place for place in rng.permutation(count).tolist() if place not in places]
    return sorted([*places, *rest[: views - len(places)]])


def choose_by_pose(frames: Sequence[Frame], views: int, seed: int) -> list[int]:
    """Places of some frames and the three nearest to each by pose: for pictures in no order.

    Poses that are near as matrices are near when inverted too, or when axes are flipped, so this
    holds even for poses that are wrong.
    """
    poses = np.array([frame.camera.cam_from_world for frame in frames])
    t = poses[:, :3, 3] - np.median(poses[:, :3, 3], axis=0)
    # cameras that look at the origin from one distance have one translation but for rounding
    least = 1e-3 * float(np.median(np.linalg.norm(poses[:, :3, 3], axis=1)))
    size = max(float(np.median(np.linalg.norm(t, axis=1))), least) or 1.0
    points = np.concatenate([poses[:, :3, :3].reshape(-1, 9), t / size], 1)
    places: set[int] = set()
    for anchor in np.random.default_rng([seed, 2]).permutation(len(frames)):
        if len(places) > views - 4:
            break
        places |= set(np.argsort(np.linalg.norm(points - points[anchor], axis=1))[:4].tolist())
    return sorted(places)


def read_views(scene: Scene, places: Sequence[int]) -> tuple[list[CheckedView], list[Failure]]:
    """The scene's frames at these places that can be read, and failures of those that cannot."""
    found: list[CheckedView] = []
    failures: list[Failure] = []
    for place in places:
        try:
            with boundary.reading(scene.dataset, scene.scene_id, scene.frames[place].frame_id):
                found.append(_read(scene, scene.frames[place], place))
        except DataError as error:
            failures.append(error.failure)
    return found, failures


def _read(scene: Scene, frame: Frame, place: int) -> CheckedView:
    if frame.depth is None:
        rgb, depth = read_image(frame, dataset=scene.dataset, scene_id=scene.scene_id), None
        small = _shrunk(rgb, DENSE_SIDE)
    else:
        view = read_view(frame, dataset=scene.dataset, scene_id=scene.scene_id)
        rgb = view.image
        reduced = resize_view(view, hw_within(view.camera.hw, DENSE_SIDE))
        small, depth = reduced.image, reduced.depth
    xy, descriptors = features(rgb)
    return CheckedView(frame, place, small, depth, xy, descriptors)


def read_depth_again(scene: Scene, view: CheckedView, frame: Frame) -> DepthMap | None:
    """The view's depth at ``view.rgb``'s size, had its frame been ``frame``; None if unreadable."""
    try:
        with (
            boundary.reading(scene.dataset, scene.scene_id, frame.frame_id),
            np.errstate(over="ignore", invalid="ignore"),  # bits of another encoding are anything
        ):
            full: View = read_view(frame, dataset=scene.dataset, scene_id=scene.scene_id)
            return resize_view(full, (view.rgb.shape[0], view.rgb.shape[1])).depth
    except DataError:
        return None


def _shrunk(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    h, w = hw_within((rgb.shape[0], rgb.shape[1]), side)
    if (h, w) == rgb.shape[:2]:
        return rgb
    return np.asarray(cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA), np.uint8)


def features(rgb: NDArray[np.uint8]) -> tuple[FloatArray, NDArray[np.float32]]:
    """SIFT features in full-image pixels: OpenCV counts from pixel centres, we from the corner."""
    small = _shrunk(rgb, FEATURE_SIDE)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    # without the precise upscaling all features lie a quarter of a pixel off
    sift = cv2.SIFT.create(nfeatures=FEATURES, enable_precise_upscale=True)
    points, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    step = np.array([rgb.shape[1] / small.shape[1], rgb.shape[0] / small.shape[0]])
    xy = (np.array([point.pt for point in points], np.float64) + 0.5) * step
    return xy, np.asarray(descriptors, np.float32)
