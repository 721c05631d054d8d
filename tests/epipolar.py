"""How far features matched by SIFT lie from their epipolar lines: cameras tested by pictures."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.frames import read_image
from cameo_data.types import Camera, Scene


def median_px(scene: Scene, gap: int) -> list[float]:
    """Medians of the pairs of frames at most ``gap`` apart that share at least 20 features."""
    features = [_features(scene, i) for i in range(len(scene.frames))]
    cameras = [frame.camera for frame in scene.frames]
    medians = []
    for a, b in combinations(range(len(cameras)), 2):
        if b - a > gap:
            continue
        xy0, xy1 = _matched(features[a], features[b])
        if len(xy0) >= 20:
            medians.append(float(np.median(distance_px(cameras[a], cameras[b], xy0, xy1))))
    return medians


def distance_px(
    camera0: Camera, camera1: Camera, xy0: NDArray[np.float64], xy1: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of ``xy1`` from the line in image 1 on which ``xy0`` must lie."""
    cam1_from_cam0 = camera1.cam_from_world @ transforms.invert(camera0.cam_from_world)
    x, y, z = cam1_from_cam0[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ cam1_from_cam0[:3, :3]
    rays0 = np.c_[xy0, np.ones(len(xy0))] @ np.linalg.inv(camera0.K).T
    lines1 = rays0 @ essential.T @ np.linalg.inv(camera1.K)
    inner = (np.c_[xy1, np.ones(len(xy1))] * lines1).sum(1)
    return np.abs(inner) / np.hypot(lines1[:, 0], lines1[:, 1])


def _features(scene: Scene, i: int) -> tuple[NDArray[np.float64], Any]:
    image = read_image(scene.frames[i], dataset=scene.dataset, scene_id=scene.scene_id)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT_create(1500).detectAndCompute(grey, None)
    return np.array([point.pt for point in points]) + 0.5, descriptors


def _matched(first: Any, second: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = cv2.BFMatcher().knnMatch(first[1], second[1], k=2)
    sure = [one for one, other in pairs if one.distance < 0.75 * other.distance]
    return first[0][[m.queryIdx for m in sure]], second[0][[m.trainIdx for m in sure]]
