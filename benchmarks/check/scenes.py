"""The scenes that mistakes are planted in: rendered, with exact depth and cameras, and written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.geometry.raycast import placed
from cameo_data.geometry.sparse_matches import Tracks
from cameo_data.synth import generate, render
from cameo_data.synth.stage import Sky, Stage, Surface
from cameo_data.types import Camera, DepthCodec, DepthRef, FloatArray, Frame, Scene

HW = (150, 200)
FRAMES = 10
# Half a millimetre: rounding must not hide half a pixel, and 32 m must fit.
DEPTH_UNIT = 5e-4
TRACKS = 400


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame to write.

    Attributes:
        z: depth in metres as the file is to state it, of any size.
        K: of the camera as stated; the picture's size is ``rgb``'s.
        depth_K: of depth, where it is stated by itself.
    """

    rgb: NDArray[np.uint8]
    z: NDArray[np.float32] | None
    K: FloatArray
    cam_from_world: FloatArray
    depth_K: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Capture:
    """A scene in memory.

    Attributes:
        taken: the right shots.
        shoot: renders another camera.
        tracks: frame number -> ids and pixels of points, where the scene has tracks.
        encode: metres to what is stored.
        codec, scale: what the reader believes of that.
    """

    taken: tuple[Shot, ...]
    shoot: Callable[[Camera], Shot]
    tracks: dict[str, tuple[NDArray[np.int64], FloatArray]] | None = None
    encode: Callable[[NDArray[Any]], NDArray[np.uint16]] = lambda z: stored(z)
    codec: DepthCodec = DepthCodec.UINT16
    scale: float = DEPTH_UNIT


def stored(z: NDArray[Any], unit: float = DEPTH_UNIT) -> NDArray[np.uint16]:
    """Depth in units, as 16-bit files hold it."""
    return np.round(np.clip(z / unit, 0, 65535)).astype(np.uint16)


def written(capture: Capture, folder: Path) -> Scene:
    """The scene, its files in ``folder``."""
    folder.mkdir(parents=True)
    frames = []
    for number, shot in enumerate(capture.taken):
        name = f"{number:03d}"
        cv2.imwrite(str(folder / f"{name}.png"), shot.rgb[..., ::-1])
        depth = None
        if shot.z is not None:
            path = folder / f"{name}_depth.png"
            cv2.imwrite(str(path), capture.encode(shot.z))
            hw = (shot.z.shape[0], shot.z.shape[1])
            depth = DepthRef(path, capture.codec, capture.scale, camera_K=shot.depth_K, hw=hw)
        h, w = shot.rgb.shape[:2]
        camera = Camera(shot.K, (h, w), shot.cam_from_world)
        frames.append(Frame(name, camera, folder / f"{name}.png", depth))
    tracks = capture.tracks
    matches = None if tracks is None else Tracks((), lambda name: tracks[name])
    return Scene("planted", folder.name, tuple(frames), "metre", matches=matches)


def _capture(stage: Stage, views: Sequence[Camera]) -> Capture:
    packed = render.pack(stage)

    def shoot(camera: Camera) -> Shot:
        picture = render.render_packed(packed, camera, 6)
        return Shot(picture.image, picture.z, camera.K, camera.cam_from_world)

    return Capture(tuple(shoot(camera) for camera in views), shoot)


def _synthetic(kind: str, path: str, seed: int, rotation_range_deg: float) -> Capture:
    (settings,) = generate.plan(
        1, kind=kind, path=path, seed=seed, frames=FRAMES, hw=HW,
        rotation_range_deg=rotation_range_deg, texture_scale=0.6,
    )  # fmt: skip
    stage, views = generate.make_scene(settings)
    rng = np.random.default_rng(seed)
    # off-centre, with rolls: nothing holds by symmetry
    K = views[0].K + np.array([[0, 0, 4.3], [0, 0, -3.1], [0, 0, 0]])
    rolled = [Camera(K, HW, _roll(rng.uniform(-12, 12)) @ view.cam_from_world) for view in views]
    return _capture(stage, rolled)


def orbit() -> Capture:
    """Round a pile of objects, as in CO3D."""
    return _synthetic("objects", "orbit", 3, 70.0)


def room() -> Capture:
    """A walk through a room."""
    return _synthetic("room", "video", 5, 60.0)


def noisy() -> Capture:
    """A room as a depth sensor sees it: 1.5 % of noise in blocks, rounded, with holes."""
    capture = _synthetic("room", "video", 9, 50.0)
    rng = np.random.default_rng(1)

    def sensed(shot: Shot) -> Shot:
        assert shot.z is not None
        blocks = rng.normal(0, 0.015, (HW[0] // 5, HW[1] // 5))
        z = shot.z * (1 + np.kron(blocks, np.ones((5, 5))))
        holes = cv2.resize(rng.random((15, 20)), HW[::-1]) > 0.72
        return replace(shot, z=np.where(holes, 0, z).astype(np.float32))

    return replace(capture, taken=tuple(sensed(shot) for shot in capture.taken))


def drive() -> Capture:
    """Forward between two rows of boxes, with the slight turns of a car."""
    rng = np.random.default_rng(4)
    solids = [
        placed("box", (0, 12, -1.5), (40, 40, 0.1), surface=0),
        placed("box", (0, 28.0, 3), (40, 0.2, 12), surface=1),
    ]
    for i in range(9):
        for side in (-1, 1):
            at = (side * rng.uniform(2.6, 4.2), 3 + 3 * i + rng.uniform(-0.8, 0.8), 0.3)
            size = tuple(rng.uniform(1.2, 2.6, 3))
            solids.append(placed("box", at, size, surface=2 + i % 2))
    surfaces = tuple(
        Surface(pattern, "earth", cell, 21 + i)
        for i, (pattern, cell) in enumerate(
            (("noise", 0.4), ("tiles", 1.1), ("voronoi", 0.45), ("bricks", 0.5))
        )
    )
    stage = Stage(tuple(solids), surfaces, Sky((0.5, 0.6, 0.7), (0.2, 0.3, 0.6), 3))
    K = np.array([[170.0, 0, 104.0], [0, 170.0, 71.0], [0, 0, 1]])
    views = []
    for i in range(FRAMES):
        eye = np.array([0.25 * np.sin(0.9 * i), -1 + 0.75 * i + rng.uniform(-0.1, 0.1), 0.1])
        ahead = eye + np.array([0.8 * np.sin(0.5 * i), 8, rng.uniform(-0.3, 0.2)])
        pose = _roll(rng.uniform(-4, 4)) @ transforms.look_at(eye, ahead)
        views.append(Camera(K, HW, pose))
    return _capture(stage, views)


def wall() -> Capture:
    """Along a flat wall, hardly any parallax beyond the plane's."""
    rng = np.random.default_rng(6)
    solids = (
        placed("box", (0, 4.0, 0), (16, 0.1, 12), surface=0),
        placed("box", (0.3, 3.9, 0.4), (1.2, 0.1, 0.9), surface=1),
    )
    surfaces = (Surface("voronoi", "earth", 0.25, 31), Surface("tiles", "earth", 0.3, 32))
    stage = Stage(solids, surfaces, Sky((0.5, 0.6, 0.7), (0.2, 0.3, 0.6), 3))
    K = np.array([[180.0, 0, 97.0], [0, 180.0, 78.0], [0, 0, 1]])
    views = []
    for i in range(FRAMES):
        eye = np.array([0.22 * i - 1.0 + rng.uniform(-0.05, 0.05), rng.uniform(-0.2, 0.2), 0.1])
        target = np.array([0.22 * i - 1.0 + rng.uniform(-0.5, 0.5), 4.0, rng.uniform(-0.4, 0.4)])
        pose = _roll(rng.uniform(-10, 10)) @ transforms.look_at(eye, target)
        views.append(Camera(K, HW, pose))
    return _capture(stage, views)


def tracked() -> Capture:
    """Without depth, with the tracks of a reconstruction, pictures a little out of focus."""
    capture = _synthetic("outdoor", "orbit", 12, 60.0)
    first = capture.taken[::3]
    rng = np.random.default_rng(2)
    p_world = np.concatenate([_points(shot, rng) for shot in first])
    tracks = {
        f"{number:03d}": _seen(shot, p_world, rng) for number, shot in enumerate(capture.taken)
    }
    blurred = tuple(
        replace(shot, rgb=np.asarray(cv2.GaussianBlur(shot.rgb, (0, 0), 1.2), np.uint8), z=None)
        for shot in capture.taken
    )
    return replace(capture, taken=blurred, tracks=tracks)


def _points(shot: Shot, rng: np.random.Generator) -> FloatArray:
    assert shot.z is not None
    row, column = rng.integers(0, HW[0], TRACKS), rng.integers(0, HW[1], TRACKS)
    z = shot.z[row, column].astype(np.float64)
    xy = np.stack([column + 0.5, row + 0.5], -1)[z > 0]
    p_cam = cameras.unproject_to_camera(shot.K, xy, z[z > 0])
    return transforms.apply(transforms.invert(shot.cam_from_world), p_cam)


def _seen(
    shot: Shot, p_world: FloatArray, rng: np.random.Generator
) -> tuple[NDArray[np.int64], FloatArray]:
    """The points that this frame sees, half a pixel off as features are."""
    xy, z = cameras.project(Camera(shot.K, HW, shot.cam_from_world), p_world)
    assert shot.z is not None
    inside = (z > 0) & ((xy >= 0) & (xy < (HW[1], HW[0]))).all(1)
    column, row = np.floor(np.where(inside[:, None], xy, 0)).astype(int).T
    ids = np.flatnonzero(inside & (np.abs(shot.z[row, column] - z) < 0.02 * z))
    return ids.astype(np.int64), xy[ids] + rng.normal(0, 0.3, (len(ids), 2))


def _roll(degrees: float) -> FloatArray:
    a = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return turn


SCENES: dict[str, Callable[[], Capture]] = {
    "orbit": orbit,
    "room": room,
    "drive": drive,
    "wall": wall,
    "noisy": noisy,
    "tracks": tracked,
}


@functools.cache
def capture(name: str) -> Capture:
    """Rendered once per process."""
    return SCENES[name]()
