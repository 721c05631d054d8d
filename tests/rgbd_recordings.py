"""A tiny exact scene, written in each layout of an RGB-D recording."""

from __future__ import annotations

import functools
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.errors import DataError, Failure
from cameo_data.frames import read_view
from cameo_data.geometry import raycast
from cameo_data.sources import open_source
from cameo_data.types import Camera, View

HW = (48, 64)
# as a file states it: the first pixel's centre is (0, 0)
INTRINSICS = "60,61,31.5,23.25"
K = np.array([[60.0, 0, 32.0], [0, 61.0, 23.75], [0, 0, 1]])


@dataclass(frozen=True, eq=False)
class TrueFrame:
    camera: Camera
    millimetres: NDArray[np.uint16]
    bgr: NDArray[np.uint8]


@functools.cache
def true_frames(count: int = 3) -> tuple[TrueFrame, ...]:
    """Views of a wall, a floor and a box, coloured by place, from a slowly moving camera."""
    scene = [
        raycast.placed("box", (0, 3.0, 0), (8, 0.1, 6)),
        raycast.placed("box", (0, 0, -1.0), (8, 8, 0.1)),
        raycast.placed("box", (0.2, 2.0, -0.3), (0.6, 0.5, 0.7)),
    ]
    frames = []
    for i in range(count):
        pose = transforms.look_at((0.15 * i - 0.1, -0.2, 0.4), (0.1 * i, 2.5, 0.0))
        camera = Camera(K, HW, pose)
        hits = raycast.render(scene, camera)
        depth = raycast.depth_of(hits)
        bgr = (127 + 120 * np.sin(5 * np.nan_to_num(hits.p_object) + [0, 1, 2])).astype(np.uint8)
        frames.append(TrueFrame(camera, np.round(1000 * depth).astype(np.uint16), bgr))
    return tuple(frames)


def save(path: Path, image: NDArray[Any]) -> None:
    """Like ``cv2.imwrite``, for any name and any depth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written, data = cv2.imencode(path.suffix, image)
    assert written
    path.write_bytes(data.tobytes())


def lines(matrix: NDArray[np.float64]) -> str:
    return "\n".join(" ".join(f"{v:.9f}" for v in row) for row in matrix) + "\n"


def quaternion_line(camera: Camera) -> str:
    """``tx ty tz qx qy qz qw`` of ``world_from_cam``."""
    from scipy.spatial.transform import Rotation

    pose = camera.world_from_cam
    numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return " ".join(f"{v:.9f}" for v in numbers)


def write_7scenes(folder: Path, count: int = 3) -> Path:
    for i, frame in enumerate(true_frames(count)):
        save(folder / f"frame-{i:06d}.color.png", frame.bgr)
        save(folder / f"frame-{i:06d}.depth.png", frame.millimetres)
        (folder / f"frame-{i:06d}.pose.txt").write_text(lines(frame.camera.world_from_cam))
    return folder


# 7-Scenes' own default calibration is for 640×480
OPTIONS_7SCENES = {
    "intrinsics": INTRINSICS,
    "depth_intrinsics": INTRINSICS,
    "color_from_depth": "0,0,0",
}


def write_tum(folder: Path, count: int = 3) -> Path:
    """Depth is taken 5 ms after colour; poses at colour's time and 10 ms before and after."""
    rgb, depth, poses = ["# color"], ["# depth"], ["# timestamp tx ty tz qx qy qz qw"]
    for i, frame in enumerate(true_frames(count)):
        time = 1305031102.0 + i / 2
        save(folder / f"rgb/{time:.6f}.png", frame.bgr)
        save(folder / f"depth/{time + 0.005:.6f}.png", 5 * frame.millimetres)
        rgb.append(f"{time:.6f} rgb/{time:.6f}.png")
        depth.append(f"{time + 0.005:.6f} depth/{time + 0.005:.6f}.png")
        for shift in (-0.01, 0.0, 0.01):
            poses.append(f"{time + shift:.4f} {quaternion_line(frame.camera)}")
    for name, text in (("rgb.txt", rgb), ("depth.txt", depth), ("groundtruth.txt", poses)):
        (folder / name).write_text("\n".join(text) + "\n")
    return folder


def write_scannet(folder: Path, count: int = 3) -> Path:
    (folder / "intrinsic").mkdir(parents=True)
    file_K = np.eye(4)
    file_K[:3, :3] = K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    for camera in ("color", "depth"):
        (folder / f"intrinsic/intrinsic_{camera}.txt").write_text(lines(file_K))
        (folder / f"intrinsic/extrinsic_{camera}.txt").write_text(lines(np.eye(4)))
    (folder / "pose").mkdir()
    for i, frame in enumerate(true_frames(count)):
        save(folder / f"color/{i}.jpg", frame.bgr)
        save(folder / f"depth/{i}.png", frame.millimetres)
        (folder / f"pose/{i}.txt").write_text(lines(frame.camera.world_from_cam))
    return folder


def write_open3d(folder: Path, count: int = 3, color: str = "color") -> Path:
    log = ""
    for i, frame in enumerate(true_frames(count)):
        save(folder / color / f"{i + 1:05d}-{i * 33333:012d}.jpg", frame.bgr)
        save(folder / "depth" / f"{i + 1:05d}-{i * 33367:012d}.png", frame.millimetres)
        log += f"{i} {i} {i + 1}\n" + lines(frame.camera.world_from_cam)
    (folder / "trajectory.log").write_text(log)
    record = {
        "width": HW[1],
        "height": HW[0],
        "intrinsic_matrix": [60.0, 0, 0, 0, 61.0, 0, 31.5, 23.25, 1],  # column by column
    }
    (folder / "camera_intrinsic.json").write_text(json.dumps(record))
    return folder


def write_dvmvs(folder: Path, count: int = 3) -> Path:
    poses = ""
    for i, frame in enumerate(true_frames(count)):
        save(folder / f"images/{i + 11:05d}.png", frame.bgr)
        save(folder / f"depth/{i + 11:05d}.png", frame.millimetres)
        poses += lines(frame.camera.world_from_cam).replace("\n", " ") + "\n"
    (folder / "poses.txt").write_text(poses)
    (folder / "K.txt").write_text(lines(K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]))
    return folder


@dataclass(frozen=True)
class Collected:
    """All that became of a recording's frames."""

    views: dict[str, View]
    failures: dict[str, Failure]


def collect(folder: Path, options: dict[str, Any] | None = None) -> Collected:
    """Views and failures of the one scene in ``folder``; a frame is in exactly one of the two."""
    source = open_source("rgbd", folder, options)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    views: dict[str, View] = {}
    failures = {str(failure.frame_id): failure for failure in scene.failures}
    assert len(failures) == len(scene.failures)
    for frame in scene.frames:
        try:
            views[frame.frame_id] = read_view(frame, dataset=source.dataset, scene_id=scene_id)
        except DataError as error:
            failures[frame.frame_id] = error.failure
    assert not views.keys() & failures.keys()
    return Collected(views, failures)


def png_that_claims(hw: tuple[int, int]) -> bytes:
    """A PNG of a few bytes whose header claims any size."""
    header = struct.pack(">IIBBBBB", hw[1], hw[0], 8, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )
