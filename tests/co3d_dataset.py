"""A tiny exact scene in CO3D v2's own layout: gzipped annotations, float16 depth, set lists."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rgbd_recordings import TrueFrame, save, true_frames

from cameo_data.types import Camera

# x right, y down -> x left, y up
FLIP = np.diag([-1.0, -1.0, 1.0])
Record = dict[str, Any]


def viewpoint(camera: Camera, intrinsics_format: str | None = "ndc_isotropic") -> Record:
    """PyTorch3D's numbers, by the inverse of its own ndc -> screen formulas."""
    height, width = camera.hw
    half = np.array([width, height]) / 2
    scale = np.full(2, half.min()) if intrinsics_format == "ndc_isotropic" else half
    record = {
        "R": (FLIP @ camera.cam_from_world[:3, :3]).T.tolist(),
        "T": (FLIP @ camera.cam_from_world[:3, 3]).tolist(),
        "focal_length": (np.diag(camera.K)[:2] / scale).tolist(),
        "principal_point": ((half - camera.K[:2, 2]) / scale).tolist(),
    }
    if intrinsics_format is not None:
        record["intrinsics_format"] = intrinsics_format
    return record


def float16_png(path: Path, depth: np.ndarray) -> None:
    save(path, np.ascontiguousarray(depth, np.float16).view(np.uint16))


def frame_record(category: str, sequence: str, number: int, frame: TrueFrame) -> Record:
    folder = f"{category}/{sequence}"
    return {
        "sequence_name": sequence,
        "frame_number": number,
        "frame_timestamp": 0.25 * number,
        "image": {"path": f"{folder}/images/frame{number:06d}.jpg", "size": list(frame.camera.hw)},
        "depth": {
            "path": f"{folder}/depths/frame{number:06d}.jpg.geometric.png",
            "scale_adjustment": 2.0,
            "mask_path": f"{folder}/depth_masks/frame{number:06d}.png",
        },
        "mask": {"path": f"{folder}/masks/frame{number:06d}.png", "mass": 9.0},
        "viewpoint": viewpoint(frame.camera),
        "meta": {"frame_type": "train_known", "frame_splits": [], "eval_batch_maps": []},
        "camera_name": None,
    }


def write_frame(root: Path, record: Record, frame: TrueFrame) -> None:
    """Image; depth halved; a depth mask without the top row; probabilities rising to the right."""
    hw = frame.camera.hw
    save(root / record["image"]["path"], frame.bgr)
    float16_png(root / record["depth"]["path"], frame.millimetres / 2000)
    known = np.full(hw, 255, np.uint8)
    known[0] = 0
    save(root / record["depth"]["mask_path"], known)
    ramp = np.linspace(0, 255, hw[1]).round().astype(np.uint8)
    save(root / record["mask"]["path"], np.tile(ramp, (hw[0], 1)))


def sequence_record(category: str, sequence: str, quality: float | None = 0.9) -> Record:
    return {
        "sequence_name": sequence,
        "category": category,
        "video": {"path": f"{category}/{sequence}/video.MOV", "length": -1.0},
        "point_cloud": {
            "path": f"{category}/{sequence}/pointcloud.ply",
            "quality_score": -1.25,
            "n_points": 100,
        },
        "viewpoint_quality_score": quality,
    }


def write_jgz(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(values).encode(), mtime=0))


def write_category(
    root: Path,
    category: str = "apple",
    sequences: tuple[str, ...] = ("110_13051_23361",),
    change: Callable[[list[Record]], Any] | None = None,
    count: int = 3,
) -> Path:
    """Annotations and files; ``change`` may then alter the frame records before they are saved."""
    records = []
    for sequence in sequences:
        for number, frame in enumerate(true_frames(count), 1):
            record = frame_record(category, sequence, number, frame)
            write_frame(root, record, frame)
            records.append(record)
    written = copy.deepcopy(records)
    if change is not None:
        change(written)
    folder = root / category
    write_jgz(folder / "frame_annotations.jgz", written)
    write_jgz(
        folder / "sequence_annotations.jgz",
        [sequence_record(category, sequence) for sequence in sequences],
    )
    return root


def write_lists(root: Path, category: str, subset: str, lists: Any, batches: Any = None) -> None:
    for kind, values in (("set_lists", lists), ("eval_batches", batches)):
        if values is not None:
            path = root / category / kind / f"{kind}_{subset}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))


def triple(sequence: str, number: int, category: str = "apple") -> list[Any]:
    return [sequence, number, f"{category}/{sequence}/images/frame{number:06d}.jpg"]
