"""A tiny exact scene, written in the layouts of multi-view and stereo data sets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.correspondence import correspond
from cameo_data.frames import read_view
from cameo_data.geometry import raycast
from cameo_data.sources import open_source
from cameo_data.types import Camera, Scene, Verdict, View

HW = (48, 64)
K = np.array([[60.0, 0, 32.5], [0, 61.0, 23.75], [0, 0, 1]])
SCENE = (
    raycast.placed("box", (0, 3.0, 0), (8, 0.1, 6)),
    raycast.placed("box", (0, 0, -1.0), (8, 8, 0.1)),
    raycast.placed("box", (0.2, 2.0, -0.3), (0.6, 0.5, 0.7)),
)


@dataclass(frozen=True, eq=False)
class Truth:
    """A view of the scene: camera, z-depth (H, W) float32 and a picture coloured by place."""

    camera: Camera
    z: NDArray[np.float32]
    bgr: NDArray[np.uint8]


def truth(camera: Camera) -> Truth:
    hits = raycast.render(SCENE, camera)
    bgr = 127 + 120 * np.sin(5 * np.nan_to_num(hits.p_object) + [0, 1, 2])
    return Truth(camera, raycast.depth_of(hits), bgr.astype(np.uint8))


def pose(number: int) -> NDArray[np.float64]:
    """A camera that moves slowly past the scene."""
    return transforms.look_at((0.15 * number - 0.1, -0.2, 0.4), (0.1 * number, 2.5, 0.0))


@functools.cache
def truths(count: int = 3) -> tuple[Truth, ...]:
    return tuple(truth(Camera(K, HW, pose(i))) for i in range(count))


@functools.cache
def rectified_pair(doffs: float = 3.0, baseline: float = 0.2) -> tuple[Truth, Truth]:
    """Left and right views of a rectified pair with different principal points."""
    left = truth(Camera(K, HW, pose(0)))
    right_from_left = np.eye(4)
    right_from_left[0, 3] = -baseline
    K_right = K + np.array([[0, 0, doffs], [0, 0, 0], [0, 0, 0]])
    return left, truth(Camera(K_right, HW, right_from_left @ left.camera.cam_from_world))


def read_all(
    source: str, root: Path, options: dict[str, Any] | None = None
) -> tuple[Scene, list[View]]:
    """The only scene and all its views."""
    opened = open_source(source, root, options)
    (scene_id,) = opened.scene_ids()
    scene = opened.scene(scene_id)
    assert not scene.failures
    return scene, [
        read_view(frame, dataset=opened.dataset, scene_id=scene_id) for frame in scene.frames
    ]


def assert_exact(views: Sequence[View], truth: Sequence[Truth], rtol: float = 2e-6) -> None:
    """The reader gives the cameras and depths that were rendered, and exact matches."""
    assert len(views) == len(truth)
    for view, true in zip(views, truth, strict=True):
        assert view.camera.hw == true.camera.hw
        np.testing.assert_allclose(view.camera.K, true.camera.K, atol=1e-6)
        np.testing.assert_allclose(
            view.camera.cam_from_world, true.camera.cam_from_world, atol=1e-6
        )
        np.testing.assert_array_equal(view.depth.valid, true.z > 0)
        np.testing.assert_allclose(view.depth.z, true.z, rtol=rtol)
    assert_matches(views)


def assert_matches(views: Sequence[View], atol: float = 2e-3, share: float = 0.3) -> None:
    """VISIBLE matches of the views as read are within ``atol`` pixels of the exact ones."""
    first, last = views[0], views[-1]
    found = correspond(first.depth, first.camera, last.depth, last.camera)
    exact = raycast.oracle(SCENE, first.camera, last.camera)
    seen = (found.verdict == Verdict.VISIBLE) & (exact.verdict == Verdict.VISIBLE)
    assert seen.mean() > share
    np.testing.assert_allclose(found.xy1[seen], exact.xy1[seen], atol=atol)
    agree = np.mean(found.verdict == exact.verdict)
    assert agree > 0.97


def save_image(path: Path, image: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written, data = cv2.imencode(path.suffix, image)
    assert written
    path.write_bytes(data.tobytes())


def save_pfm(
    path: Path, values: NDArray[Any], *, big_endian: bool = False, scale: float = 1.0
) -> None:
    """Rows from the bottom up; the sign of the scale says which byte comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    sign = 1 if big_endian else -1
    data = values[::-1].astype(">f4" if big_endian else "<f4").tobytes()
    path.write_bytes(f"Pf\n{width} {height}\n{sign * scale:f}\n".encode() + data)


def save_hdf5(path: Path, name: str, values: NDArray[Any]) -> None:
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, compression="gzip")


def cam_text(K: NDArray[np.float64], cam_from_world: NDArray[np.float64]) -> str:
    """MVSNet's ``cam.txt``."""
    rows = ["extrinsic", *(" ".join(f"{v:.12f}" for v in row) for row in cam_from_world), ""]
    rows += ["intrinsic", *(" ".join(f"{v:.9f}" for v in row) for row in K), ""]
    return "\n".join([*rows, "0.5 0.01", ""])
