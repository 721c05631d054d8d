"""A small rendered recording in the rgbd layout of one's own choice, with one mistake planted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.check import SceneCheck, check_scene
from cameo_data.check.fixes import current_options, fix_of, named
from cameo_data.geometry.raycast import placed
from cameo_data.sources import open_source
from cameo_data.synth import render
from cameo_data.synth.stage import Sky, Stage, Surface
from cameo_data.types import Camera

HW = (150, 200)
K = np.array([[170.0, 0, 100.0], [0, 170.0, 75.0], [0, 0, 1]])
COUNT = 7


@dataclass(frozen=True, eq=False)
class Shot:
    """A rendered view: picture, exact depth, camera."""

    camera: Camera
    rgb: NDArray[np.uint8]
    z: NDArray[np.float32]


def stage() -> Stage:
    """Two walls, a floor and boxes at different distances, all strongly textured."""
    patterns = ("noise", "tiles", "voronoi", "bricks")
    solids = [
        placed("box", (0, 4.0, 0), (10, 0.1, 8), surface=0),
        placed("box", (-3.0, 1.0, 0), (0.1, 10, 8), surface=1),
        placed("box", (0, 0, -1.2), (10, 10, 0.1), surface=2),
        placed("box", (0.4, 2.4, -0.6), (0.9, 0.8, 1.2), _turned(25), surface=3),
        placed("box", (-1.2, 2.9, -0.3), (0.7, 0.7, 1.8), _turned(-35), surface=2),
        placed("sphere", (1.5, 3.1, 0.2), (1.0, 1.0, 1.0), surface=1),
    ]
    surfaces = tuple(Surface(name, "earth", 0.16, 11 + i) for i, name in enumerate(patterns))
    return Stage(tuple(solids), surfaces, Sky((0.5, 0.6, 0.7), (0.2, 0.3, 0.6), 3))


def _turned(degrees: float) -> NDArray[np.float64]:
    return Rotation.from_euler("z", degrees, degrees=True).as_matrix()


def hand_held(count: int = COUNT) -> list[NDArray[np.float64]]:
    """``cam_from_world`` of an uneven walk that also rolls: no two steps are alike."""
    rng = np.random.default_rng(8)
    poses = []
    for i in range(count):
        eye = np.array([0.32 * i - 1.1, 0.25 * np.sin(1.9 * i) - 0.3, 0.3 * np.cos(2.3 * i) + 0.2])
        target = np.array([0.1 * i - 0.5, 3.0, -0.4]) + rng.normal(0, 0.12, 3)
        roll = np.eye(4)
        roll[:3, :3] = _turned(float(rng.uniform(-35, 35)))
        poses.append(roll @ transforms.look_at(eye, target))
    return poses


def sideways(count: int = COUNT) -> list[NDArray[np.float64]]:
    """``cam_from_world`` of a rectified rig: no rotation, uneven steps along x."""
    steps = np.cumsum([0, 0.10, 0.16, 0.08, 0.2, 0.12, 0.09, 0.15][:count])
    base = transforms.look_at((-0.5, -0.4, 0.2), (-0.5, 3.0, 0.2))
    poses = []
    for x in steps:
        shift = np.eye(4)
        shift[0, 3] = -x
        poses.append(shift @ base)
    return poses


@functools.cache
def shots(path: str = "hand_held") -> tuple[Shot, ...]:
    """Rendered once per test run."""
    return tuple(
        shoot(Camera(K, HW, pose))
        for pose in {"hand_held": hand_held, "sideways": sideways}[path]()
    )


@functools.cache
def _packed() -> Any:
    return render.pack(stage())


def shoot(camera: Camera) -> Shot:
    picture = render.render_packed(_packed(), camera, 6)
    return Shot(camera, picture.image, picture.z)


@dataclass(frozen=True)
class Written:
    """What a recording's files say; each field may be planted wrong.

    Attributes:
        poses: 4×4 as written; camera-to-world unless ``options`` say otherwise.
        stored: depth as stored, uint16.
        K: in the convention of ``options``.
    """

    rgb: tuple[NDArray[np.uint8], ...]
    stored: tuple[NDArray[np.uint16], ...]
    poses: tuple[NDArray[np.float64], ...]
    K: NDArray[np.float64]
    options: dict[str, str]


# a tenth of a millimetre: rounding must not hide half a pixel
DEPTH_UNIT = 1e-4


def right(taken: Sequence[Shot] | None = None) -> Written:
    """A recording without mistakes."""
    taken = shots() if taken is None else taken
    return Written(
        rgb=tuple(shot.rgb for shot in taken),
        stored=tuple(stored(shot.z) for shot in taken),
        poses=tuple(shot.camera.world_from_cam for shot in taken),
        K=K.copy(),
        options={"pixel_center": "half", "depth_scale": str(DEPTH_UNIT)},
    )


def stored(z: NDArray[Any], unit: float = DEPTH_UNIT) -> NDArray[np.uint16]:
    return np.round(np.clip(z / unit, 0, 65535)).astype(np.uint16)


def ray_length() -> NDArray[np.float64]:
    rays = cameras.unproject_to_camera(K, cameras.query_xy(HW), np.ones(HW))
    return np.asarray(np.linalg.norm(rays, axis=-1))


def write(folder: Path, written: Written) -> dict[str, Any]:
    """The files; returns the options to read them with, as a person who is mistaken would."""
    (folder / "color").mkdir(parents=True)
    (folder / "depth").mkdir()
    for i, (rgb, depth) in enumerate(zip(written.rgb, written.stored, strict=True)):
        cv2.imwrite(str(folder / f"color/{i:03d}.png"), rgb[..., ::-1])
        cv2.imwrite(str(folder / f"depth/{i:03d}.png"), depth)
    lines = [" ".join(f"{v:.12g}" for v in pose.ravel()) for pose in written.poses]
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    numbers = written.K[0, 0], written.K[1, 1], written.K[0, 2], written.K[1, 2]
    return {
        "color": "color/*.png",
        "depth": "depth/*.png",
        "poses": "poses.txt",
        "intrinsics": ",".join(f"{v:.12g}" for v in numbers),
        **written.options,
    }


def checked(folder: Path, options: dict[str, Any]) -> tuple[SceneCheck, list[str], dict[str, str]]:
    """The check, the mistakes named in it, and the options that it says undo them."""
    source = open_source("rgbd", folder, options)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    check = check_scene(scene, views=COUNT, pairs=9)
    current = current_options("rgbd", options, source, scene_id)
    names, given = [], {}
    for mistake in check.mistakes:
        name = named(mistake.suspect, "rgbd", current)
        fix = fix_of(name, mistake.values, current, scene.frames[0])
        current |= fix.options
        given |= fix.options
        names.append(name)
    return check, names, given


Plant = Callable[[Written], Written]


def with_poses(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Plant:
    return lambda w: replace(w, poses=tuple(change(pose) for pose in w.poses))


def with_depths(change: Callable[[NDArray[np.uint16]], NDArray[Any]]) -> Plant:
    return lambda w: replace(
        w, stored=tuple(np.clip(change(d), 0, 65535).astype(np.uint16) for d in w.stored)
    )
