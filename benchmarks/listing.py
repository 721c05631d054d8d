"""How long 20,000 scenes take to list and to inspect, and how much memory each takes.

The scenes are made in a temporary folder in each format's own layout: one scene of two pictures,
under 20,000 names by hard links. Memory is what the opened source holds, with a tenth of the scenes
and with all of them. ``inspect auto`` is timed as the command is called, in a process of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cameo_data.sources import open_source

SCENES = 20_000
# CO3D has about 50 categories of sequences, with about 100 frames per sequence.
CATEGORIES = 50
FRAMES_ANNOTATED = 95
HW = (48, 64)
K = (60.0, 60.0, 32.0, 24.0)


@dataclass(frozen=True)
class Listing:
    """One format.

    Attributes:
        kb_tenth, kb: held per scene with a tenth of the scenes, and with all.
        inspect_s, inspect_cpu_s: wall and processor time of ``cameo-data inspect auto``, start of
            Python included.
    """

    name: str
    scenes: int
    list_s: float
    kb_tenth: float
    kb: float
    inspect_s: float
    inspect_cpu_s: float


def measure(scenes: int = SCENES) -> Iterator[Listing]:
    """All formats, one after the other."""
    for name, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as scratch:
            few, all_of_them = Path(scratch) / "few", Path(scratch) / "all"
            write(few, scenes // 10)
            write(all_of_them, scenes)
            open_source(name, few)  # imports are not counted
            began = time.perf_counter()
            found = len(open_source(name, all_of_them).scene_ids())
            list_s = time.perf_counter() - began
            if found != scenes:
                raise RuntimeError(f"{name} lists {found} of {scenes} scenes")
            tenth = _held(name, few) / (scenes // 10) / 1000
            kept = _held(name, all_of_them) / scenes / 1000
            yield Listing(name, scenes, list_s, tenth, kept, *_inspect(all_of_them))


def _held(name: str, root: Path) -> float:
    """Bytes that an opened source holds."""
    tracemalloc.start()
    source = open_source(name, root)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del source
    return float(held)


def _inspect(root: Path) -> tuple[float, float]:
    code = "from cameo_data.cli import main; main()"
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", "auto", str(root)], capture_output=True, text=True
    )
    # 3: of CO3D's frames only two of each sequence have files
    if done.returncode not in (0, 3):
        raise RuntimeError(f"inspect auto {root}: {done.stdout}{done.stderr}")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return wall, user + system


def _links(folder: Path, names: dict[str, Path]) -> None:
    """A scene's folder, its files hard links."""
    for name, path in names.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Two pictures, and two depth maps in millimetres."""
    folder.mkdir(parents=True)
    images, depths = [], []
    for i in range(2):
        image, depth = folder / f"{i}.jpg", folder / f"{i}.png"
        level = np.arange(HW[1], dtype=np.uint8)[None, :, None] + np.zeros((*HW, 3), np.uint8)
        cv2.imwrite(str(image), level)
        cv2.imwrite(str(depth), np.full(HW, 1500 + 100 * i, np.uint16))
        images.append(image)
        depths.append(depth)
    return images, depths


def _pose(i: int) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = 0.1 * i
    return pose


def _template(root: Path) -> Path:
    """Folder of the files that the scenes link to: next to the dataset, not in it."""
    return root.with_name(f"{root.name}-files")


def _generic(root: Path, scenes: int) -> None:
    images, depths = _pictures(_template(root))
    frames = [
        {"image": image.name, "depth": depth.name, "pose": _pose(i).tolist()}
        for i, (image, depth) in enumerate(zip(images, depths, strict=True))
    ]
    record = {"format": "cameo-1", "poses": "cam_from_world", "K": [[K[0], 0, K[2]],
              [0, K[1], K[3]], [0, 0, 1]], "depth_scale": 0.001, "frames": frames}  # fmt: skip
    text = _template(root) / "cameo.json"
    text.write_text(json.dumps(record))
    names = {path.name: path for path in (*images, *depths, text)}
    for number in range(scenes):
        _links(root / f"scene{number}", names)


def _nerfstudio(root: Path, scenes: int) -> None:
    images, _ = _pictures(_template(root))
    frames = [
        {"file_path": f"images/{image.name}", "transform_matrix": _pose(i).tolist()}
        for i, image in enumerate(images)
    ]
    shared = {"fl_x": K[0], "fl_y": K[1], "cx": K[2], "cy": K[3], "w": HW[1], "h": HW[0]}
    text = _template(root) / "transforms.json"
    text.write_text(json.dumps({**shared, "frames": frames}))
    names = {f"images/{path.name}": path for path in images} | {text.name: text}
    for number in range(scenes):
        _links(root / f"scene{number}", names)


def _rgbd(root: Path, scenes: int) -> None:
    """DeepVideoMVS's layout."""
    images, depths = _pictures(_template(root))
    poses, camera = _template(root) / "poses.txt", _template(root) / "K.txt"
    np.savetxt(poses, [_pose(i).ravel() for i in range(2)])
    np.savetxt(camera, [[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1]])
    names = {f"images/{path.name}": path for path in images}
    names |= {f"depth/{path.name}": path for path in depths}
    names |= {path.name: path for path in (poses, camera)}
    for number in range(scenes):
        _links(root / f"{number:05d}", names)


def _realestate10k(root: Path, scenes: int) -> None:
    images, _ = _pictures(_template(root))
    normalised = [K[0] / HW[1], K[1] / HW[0], 0.5, 0.5, 0.0, 0.0]
    lines = ["https://www.youtube.com/watch?v=xxxxxxxxxxx"]
    for i in range(2):
        row = [*normalised, *_pose(i)[:3].ravel()]
        lines.append(f"{1000 * (i + 1)} " + " ".join(f"{value:.9f}" for value in row))
    text = _template(root) / "cameras.txt"
    text.write_text("\n".join(lines) + "\n")
    for number in range(scenes):
        clip = f"{number:016x}"
        names = {f"pose_files/{clip}.txt": text}
        names |= {f"frames/{clip}/{1000 * (i + 1)}.jpg": image for i, image in enumerate(images)}
        _links(root, names)


def _co3d(root: Path, scenes: int) -> None:
    """Annotations of as many frames as published; two frames' files for every sequence."""
    images, _ = _pictures(_template(root))
    each = scenes // CATEGORIES
    for number in range(CATEGORIES):
        category = f"category{number:02d}"
        names = [f"{n}_13051_23361" for n in range(each)]
        for name in names:
            _links(root / category / name / "images",
                   {f"frame{i + 1:06d}.jpg": image for i, image in enumerate(images)})  # fmt: skip
        sequences = [{"sequence_name": n, "category": category, "video": None, "point_cloud": None,
                      "viewpoint_quality_score": 0.9} for n in names]  # fmt: skip
        _jgz(root / category / "sequence_annotations.jgz", sequences)
        frames = (
            _co3d_frame(category, name, i + 1) for name in names for i in range(FRAMES_ANNOTATED)
        )
        _jgz(root / category / "frame_annotations.jgz", frames)


def _co3d_frame(category: str, name: str, number: int) -> dict[str, Any]:
    """About a kilobyte, as the published records."""
    folder, file = f"{category}/{name}", f"frame{number:06d}"
    return {
        "sequence_name": name,
        "frame_number": number,
        "frame_timestamp": number / 30,
        "image": {"path": f"{folder}/images/{file}.jpg", "size": list(HW)},
        "depth": None,
        "mask": None,
        "viewpoint": {
            "R": np.eye(3).tolist(),
            "T": [0.123456789012345 * number, 0.0, 1.0],
            "focal_length": [2.5, 2.5],
            "principal_point": [0.0, 0.0],
            "intrinsics_format": "ndc_isotropic",
        },
        "meta": {"frame_type": "train_unseen", "frame_splits": ["fewview_train", "fewview_dev"],
                 "eval_batch_maps": [], "note": "x" * 400},
    }  # fmt: skip


def _jgz(path: Path, records: Any) -> None:
    with gzip.open(path, "wt", compresslevel=1) as file:
        for i, record in enumerate(records):
            file.write(("[" if i == 0 else ", ") + json.dumps(record))
        file.write("]")


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "co3d": _co3d,
    "realestate10k": _realestate10k,
    "generic": _generic,
    "nerfstudio": _nerfstudio,
    "rgbd": _rgbd,
}
