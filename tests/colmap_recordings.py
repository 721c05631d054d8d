"""A tiny exact scene as COLMAP would leave it: models as text or binary, dense workspaces."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from rgbd_recordings import save
from scipy.spatial.transform import Rotation

from cameo_data import transforms
from cameo_data.geometry import raycast
from cameo_data.types import Camera, Lens

HW = (48, 64)
K = np.array([[60.0, 0, 32.0], [0, 61.0, 23.75], [0, 0, 1]])
PINHOLE = Lens("PINHOLE", (60.0, 61.0, 32.0, 23.75), HW)

# every model of COLMAP's, bent as far as the scene's field of view bears
_F, _C = (60.0, 61.0), (32.0, 23.75)
LENSES = {
    "SIMPLE_PINHOLE": (60.0, *_C),
    "PINHOLE": (*_F, *_C),
    "SIMPLE_RADIAL": (60.0, *_C, -0.15),
    "RADIAL": (60.0, *_C, -0.15, 0.05),
    "OPENCV": (*_F, *_C, -0.15, 0.05, 0.01, -0.01),
    "FULL_OPENCV": (*_F, *_C, -0.15, 0.05, 0.01, -0.01, 0.01, 0.02, 0.01, 0.01),
    "FOV": (*_F, *_C, 0.8),
    "SIMPLE_RADIAL_FISHEYE": (60.0, *_C, 0.05),
    "RADIAL_FISHEYE": (60.0, *_C, 0.05, -0.01),
    "OPENCV_FISHEYE": (*_F, *_C, 0.05, -0.01, 0.004, 0.001),
    "THIN_PRISM_FISHEYE": (*_F, *_C, 0.05, -0.01, 0.002, 0.003, 0.004, 0.001, 0.002, 0.001),
    "RAD_TAN_THIN_PRISM_FISHEYE": (*_F, *_C, 0.05, -0.01, *[0.001] * 10),
    "SIMPLE_DIVISION": (60.0, *_C, -0.2),
    "DIVISION": (*_F, *_C, -0.2),
    "SIMPLE_FISHEYE": (60.0, *_C),
    "FISHEYE": (*_F, *_C),
    "EUCM": (*_F, *_C, 0.6, 1.1),
}

SCENE = [
    raycast.placed("box", (0, 3.0, 0), (8, 0.1, 6)),
    raycast.placed("box", (0, 0, -1.0), (8, 8, 0.1)),
    raycast.placed("box", (0.2, 2.0, -0.3), (0.6, 0.5, 0.7)),
]


@functools.cache
def poses(count: int = 3) -> tuple[NDArray[np.float64], ...]:
    """``cam_from_world`` of a slowly moving camera that also rolls."""
    out = []
    for i in range(count):
        pose = transforms.look_at((0.15 * i - 0.1, -0.2, 0.4), (0.1 * i, 2.5, 0.0))
        roll = np.eye(4)
        roll[:3, :3] = Rotation.from_euler("z", 4.0 * i, degrees=True).as_matrix()
        out.append(roll @ pose)
    return tuple(out)


@dataclass(frozen=True)
class Picture:
    """What a camera stores: colour by place, and z-depth, at each stored pixel."""

    bgr: NDArray[np.uint8]
    z: NDArray[np.float32]


def rays_of(lens: Lens, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3) rays in the camera's frame with z = 1 through stored pixels."""
    camera = pycolmap.Camera(
        model=lens.model, width=lens.hw[1], height=lens.hw[0], params=list(lens.params)
    )
    rays = camera.cam_ray_from_img(np.ascontiguousarray(xy.reshape(-1, 2)))
    return (rays / rays[:, 2:]).reshape(*xy.shape[:-1], 3)


def take(lens: Lens, cam_from_world: NDArray[np.float64], center: float = 0.5) -> Picture:
    """Rendered with the ray of row r, column c through (c + center, r + center)."""
    columns, rows = np.meshgrid(np.arange(lens.hw[1]), np.arange(lens.hw[0]))
    xy = np.stack([columns, rows], -1) + center
    world_from_cam = transforms.invert(cam_from_world)
    directions = rays_of(lens, xy) @ world_from_cam[:3, :3].T
    origins = np.broadcast_to(world_from_cam[:3, 3], directions.shape)
    hits = raycast.cast(SCENE, origins, directions)
    return Picture(colour_of(hits), raycast.depth_of(hits))


def colour_of(hits: raycast.Hits) -> NDArray[np.uint8]:
    waves = 127 + 120 * np.sin(2 * np.nan_to_num(hits.p_object) + [0, 1, 2])
    return waves.astype(np.uint8)


def names(count: int = 3) -> list[str]:
    return [f"view{i + 1}.png" for i in range(count)]


def pose_words(pose: NDArray[np.float64]) -> str:
    """``QW QX QY QZ TX TY TZ`` as COLMAP writes them."""
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return " ".join(f"{v:.17g}" for v in (w, x, y, z, *pose[:3, 3]))


def points_seen(
    lens: Lens, view_poses: Sequence[NDArray[np.float64]]
) -> list[tuple[NDArray[np.float64], list[tuple[int, NDArray[np.float64]]]]]:
    """World points with (view, stored pixel) of each view that sees them, without noise."""
    camera = pycolmap.Camera(
        model=lens.model, width=lens.hw[1], height=lens.hw[0], params=list(lens.params)
    )
    grid = np.stack(np.meshgrid(np.arange(6, 60, 6.0), np.arange(6, 44, 6.0)), -1)
    first = Camera(K, HW, view_poses[0])
    hits = raycast.cast_pixels(SCENE, first, grid)
    points = []
    for xy, z in zip(grid.reshape(-1, 2), hits.t.reshape(-1), strict=True):
        ray = np.append(np.linalg.solve(K, [*xy, 1.0]) * z, 1.0)
        world = transforms.invert(view_poses[0]) @ ray
        seen = []
        for view, pose in enumerate(view_poses):
            p_cam = (pose @ world)[:3]
            pixel = camera.img_from_cam(p_cam[None])[0]
            blocked = raycast.cast(
                SCENE, transforms.invert(pose)[:3, 3], world[:3] - transforms.invert(pose)[:3, 3]
            )
            inside = (pixel >= 0).all() and pixel[0] < lens.hw[1] and pixel[1] < lens.hw[0]
            if inside and abs(float(blocked.t) - 1) < 1e-6:
                seen.append((view, pixel))
        if len(seen) > 1:
            points.append((world[:3], seen))
    return points


def write_text_model(
    folder: Path, lens: Lens, view_poses: Sequence[NDArray[np.float64]], tracks: bool = True
) -> Path:
    """``cameras.txt``, ``images.txt`` and ``points3D.txt`` as COLMAP wrote them before rigs."""
    folder.mkdir(parents=True, exist_ok=True)
    words = " ".join(repr(float(p)) for p in lens.params)
    cameras = f"# Camera list\n7 {lens.model} {lens.hw[1]} {lens.hw[0]} {words}\n"
    seen: list[list[str]] = [[] for _ in view_poses]
    points = ["# 3D point list"]
    for number, (world, views) in enumerate(points_seen(lens, view_poses) if tracks else []):
        track = []
        for view, pixel in views:
            track.append(f"{view + 1} {len(seen[view])}")
            seen[view].append(f"{pixel[0]:.17g} {pixel[1]:.17g} {number + 1}")
        place = " ".join(f"{v:.17g}" for v in world)
        points.append(f"{number + 1} {place} 9 8 7 0.1 {' '.join(track)}")
    images = ["# Image list"]
    for i, (name, pose) in enumerate(zip(names(len(view_poses)), view_poses, strict=True)):
        images += [f"{i + 1} {pose_words(pose)} 7 {name}", " ".join(seen[i])]
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text("\n".join(images) + "\n")
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")
    return folder


def to_binary(text: Path, folder: Path, rigs: bool = True) -> Path:
    """The same model as COLMAP writes it in binary, with rigs and frames or as it was before."""
    folder.mkdir(parents=True, exist_ok=True)
    model = pycolmap.Reconstruction()
    model.read_text(str(text))
    model.write_binary(str(folder))
    if not rigs:
        (folder / "rigs.bin").unlink()
        (folder / "frames.bin").unlink()
    return folder


def write_sparse(root: Path, lens: Lens = PINHOLE, count: int = 3) -> Path:
    """``images/`` and ``sparse/0/*.txt``."""
    for name, pose in zip(names(count), poses(count), strict=True):
        save(root / "images" / name, take(lens, pose).bgr)
    write_text_model(root / "sparse/0", lens, poses(count))
    return root


def array_bytes(z: NDArray[np.float32]) -> bytes:
    return f"{z.shape[1]}&{z.shape[0]}&1&".encode() + z.astype("<f4").tobytes()


def write_dense(root: Path, kind: str = "geometric", count: int = 3, shrunk: int = 1) -> Path:
    """A dense workspace whose images and depth both hold for COLMAP's dense rays.

    Depth maps may be smaller by ``shrunk``, as with ``--PatchMatchStereo.max_image_size``.
    """
    small = Lens(
        "PINHOLE", tuple(p / shrunk for p in PINHOLE.params), tuple(n // shrunk for n in HW)
    )
    for name, pose in zip(names(count), poses(count), strict=True):
        # a pixel of a shrunk depth map shows what its block of the image shows
        save(root / "images" / name, take(PINHOLE, pose, 0.5 - 0.5 * shrunk).bgr)
        path = root / "stereo/depth_maps" / f"{name}.{kind}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(array_bytes(take(small, pose, 0.0).z))
    text = write_text_model(root / "text", PINHOLE, poses(count))
    to_binary(text, root / "sparse")
    for file in text.iterdir():
        file.unlink()
    text.rmdir()
    return root
