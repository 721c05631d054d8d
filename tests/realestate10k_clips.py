"""The exact scene of ``rgbd_recordings`` as RealEstate10K clips in all their forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray
from rgbd_recordings import save, true_frames

from cameo_data.types import Camera

CLIP = "00ff00ff00ff00ff"
ADDRESS = "https://www.youtube.com/watch?v=xxxxxxxxxxx"


def timestamp(i: int) -> int:
    return 90_000_000 + 333_667 * i


def camera_row(camera: Camera) -> list[float]:
    """The 18 numbers after the timestamp."""
    height, width = camera.hw
    K = camera.K
    normalised = [K[0, 0] / width, K[1, 1] / height, K[0, 2] / width, K[1, 2] / height]
    return [*normalised, 0.0, 0.0, *camera.cam_from_world[:3].ravel()]


def camera_text(cameras: list[Camera], address: str = ADDRESS) -> str:
    lines = [address]
    for i, camera in enumerate(cameras):
        lines.append(f"{timestamp(i)} " + " ".join(f"{v:.9f}" for v in camera_row(camera)))
    return "\n".join(lines) + "\n"


def write_cameras(root: Path, folder: str = "pose_files", clip: str = CLIP) -> Path:
    path = root / folder / f"{clip}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(camera_text([frame.camera for frame in true_frames()]))
    return path


def write_images(root: Path, folder: str = "frames", clip: str = CLIP) -> Path:
    for i, frame in enumerate(true_frames()):
        save(root / folder / clip / f"{timestamp(i)}.png", frame.bgr)
    return root / folder / clip


def write_clip(root: Path) -> Path:
    """Cameras and images; the clip's camera file."""
    write_images(root)
    return write_cameras(root)


def write_depth(root: Path, suffix: str, clip: str = CLIP) -> dict[str, Any]:
    """Depth maps of one kind; the options they need."""
    folder = root / "depth" / clip
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(true_frames()):
        path = folder / f"{timestamp(i)}{suffix}"
        metres = (frame.millimetres / 1000).astype(np.float32)
        if suffix == ".png":
            save(path, frame.millimetres)
        elif suffix == ".npy":
            np.save(path, metres)
        elif suffix == ".npz":
            np.savez_compressed(path, depth=metres)
        else:
            with h5py.File(path, "w") as file:
                file.create_dataset("depth", data=metres, compression="gzip")
    return {}


def write_video(path: Path, images: list[NDArray[np.uint8]]) -> Path:
    """BGR images as MPEG-4, which is lossy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (images[0].shape[1], images[0].shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, size)
    assert writer.isOpened()
    for image in images:
        writer.write(image)
    writer.release()
    return path


def chunk_scene(clip: str = CLIP) -> dict[str, Any]:
    """A scene as pixelSplat's chunks hold it."""
    import torch

    frames = true_frames()
    encoded = [cv2.imencode(".jpg", frame.bgr)[1].ravel() for frame in frames]
    return {
        "url": ADDRESS,
        "timestamps": torch.tensor([timestamp(i) for i in range(len(frames))]),
        "cameras": torch.tensor([camera_row(f.camera) for f in frames], dtype=torch.float32),
        "key": clip,
        "images": [torch.from_numpy(data.copy()) for data in encoded],
    }


def write_chunk(root: Path, scenes: list[Any] | None = None, split: str = "train") -> Path:
    """``SPLIT/000000.torch`` and its index."""
    import torch

    folder = root / split
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [chunk_scene("aa" * 8), chunk_scene()] if scenes is None else scenes
    torch.save(scenes, folder / "000000.torch")
    keys = [s["key"] for s in scenes if isinstance(s, dict) and "key" in s] or [CLIP]
    (folder / "index.json").write_text(json.dumps(dict.fromkeys(keys, "000000.torch")))
    return folder / "000000.torch"
