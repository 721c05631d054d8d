"""The exact scene of ``rgbd_recordings`` as transforms.json scenes of several writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rgbd_recordings import HW, save, true_frames

from cameo_data import transforms
from cameo_data.types import Camera

INTRINSICS = {"fl_x": 60.0, "fl_y": 61.0, "cx": 32.0, "cy": 23.75, "w": HW[1], "h": HW[0]}


def opengl(camera: Camera) -> list[list[float]]:
    """Camera-to-world as the format has it: x right, y up, z back."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    matrix: list[list[float]] = (transforms.invert(camera.cam_from_world) @ flip).tolist()
    return matrix


def entries(folder: str = "images", suffix: str = ".png") -> list[dict[str, Any]]:
    return [
        {
            "file_path": f"./{folder}/frame_{i + 1:05d}{suffix}",
            "transform_matrix": opengl(frame.camera),
            "colmap_im_id": i + 1,  # one of many keys of others
        }
        for i, frame in enumerate(true_frames())
    ]


def write_images(root: Path, folder: str = "images", step: int = 1) -> None:
    """The pictures, each ``step``-th pixel of them."""
    for i, frame in enumerate(true_frames()):
        save(root / folder / f"frame_{i + 1:05d}.png", frame.bgr[::step, ::step])


def write_json(root: Path, values: dict[str, Any], name: str = "transforms.json") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(values))
    return root / name


def write_nerfstudio(root: Path) -> Path:
    """Shared OPENCV intrinsics, millimetres of depth, masks; entries not in order."""
    write_images(root)
    frames = entries()
    for i, (entry, truth) in enumerate(zip(frames, true_frames(), strict=True)):
        mask = np.full(HW, 255, np.uint8)
        mask[:, :8] = 0
        save(root / f"depth/{i}.png", truth.millimetres)
        save(root / f"masks/{i}.png", mask)
        entry |= {"depth_file_path": f"depth/{i}.png", "mask_path": f"masks/{i}.png"}
    values = {
        **INTRINSICS,
        "camera_model": "OPENCV",
        **dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0),
        "frames": [frames[2], frames[0], frames[1]],
        "applied_transform": [[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]],
        "ply_file_path": "sparse_pc.ply",
    }
    write_json(root, values)
    return root


def write_ngp(root: Path) -> Path:
    """instant-ngp: field of view beside focal lengths, sizes as floats, depth in its own unit."""
    write_images(root)
    frames = entries()
    for i, (entry, truth) in enumerate(zip(frames, true_frames(), strict=True)):
        save(root / f"depth/{i}.png", 2 * truth.millimetres)
        entry |= {"sharpness": 30.5 + i, "depth_path": f"depth\\{i}.png"}
    values = {
        "camera_angle_x": 2 * float(np.arctan(HW[1] / 2 / 60)),
        **INTRINSICS,
        "w": float(HW[1]),
        "h": float(HW[0]),
        "aabb_scale": 4,
        "integer_depth_scale": 1 / 2000,
        "frames": frames,
    }
    write_json(root, values)
    return root


def write_dl3dv(root: Path) -> Path:
    """DL3DV's reduced download: images_4 of a file that is for images of four times the size."""
    write_images(root, "images_4")
    large = {key: 4 * value for key, value in INTRINSICS.items()}
    write_json(
        root,
        {
            **large,
            "camera_model": "OPENCV",
            **dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0),
            "frames": entries(),
            "applied_transform": [[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]],
        },
    )
    return root


def write_blender(root: Path) -> Path:
    """NeRF's Blender sets: a file per split, one field of view, no endings, no sizes."""
    for split, frame in zip(("train", "val", "test"), true_frames(), strict=True):
        save(root / split / "r_0.png", frame.bgr)
        values = {
            "camera_angle_x": 2 * float(np.arctan(HW[1] / 2 / 60)),
            "frames": [{"file_path": f"./{split}/r_0", "transform_matrix": opengl(frame.camera)}],
        }
        write_json(root, values, f"transforms_{split}.json")
    return root


def edit(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "transforms.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
