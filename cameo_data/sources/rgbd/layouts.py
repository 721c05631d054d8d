"""The layouts recognised without options, each as the recording keys that it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data.sources.common import trajectories

IMAGES = "{jpg,jpeg,png,JPG,JPEG,PNG}"
Keys = dict[str, Any]

# TUM RGB-D: fx,fy,cx,cy and k1,k2,p1,p2,k3 of its three cameras, cvg.cit.tum.de "File Formats",
# "Intrinsic Camera Calibration of the Kinect". The fr3 images are published undistorted.
TUM_CAMERAS: dict[str, Keys] = {
    "1": {
        "intrinsics": "517.3,516.5,318.6,255.3",
        "distortion": (0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    },
    "2": {
        "intrinsics": "520.9,521.0,325.1,249.7",
        "distortion": (0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    },
    "3": {"intrinsics": "535.4,539.2,320.1,247.6"},
}
# 7-Scenes states its depth camera only (585, 585, 320, 240) and does not register colour to it. The
# Kinect's usual colour camera, 25 mm beside, lowers the median colour difference between matched
# pixels of neighbouring frames of redkitchen from 4.4 to 3.3 (of 255); docs/datasets/rgbd.md says
# how to take another.
KINECT_COLOR = "525,525,320,240"
KINECT_COLOR_FROM_DEPTH = "-0.025,0,0"
# Open3D's PinholeCameraIntrinsicParameters.PrimeSenseDefault, which its tools take where a
# recording says nothing; Redwood's recordings are made with it.
PRIMESENSE = "525,525,319.5,239.5"


# Folders of the layouts below and of common others: parts of a recording, which hold no other one.
_PICTURES = frozenset({"color", "colour", "rgb", "image", "images", "mask", "masks", "label"})
_OTHERS = frozenset({"depth", "depths", "pose", "poses", "intrinsic", "intrinsics", "scene"})
PARTS = _PICTURES | _OTHERS


@dataclass(frozen=True)
class RecordingLayout:
    """A published way to lay out a recording.

    Attributes:
        recognise: whether a folder is one scene of it; looks at names only.
        keys: values of ``Recording``'s keys for such a folder; what it lacks must be given.
    """

    name: str
    files: str
    recognise: Callable[[Path], bool]
    keys: Callable[[Path], Keys]


def _has(folder: Path, suffix: str) -> bool:
    """Whether any file's name ends with ``suffix``; stops at the first."""
    return any(path.name.endswith(suffix) for path in folder.iterdir())


def _is_7scenes(folder: Path) -> bool:
    return _has(folder, ".pose.txt") and _has(folder, ".depth.png")


def _keys_7scenes(folder: Path) -> Keys:
    depth_K = "camera-intrinsics.txt"
    if not (folder / depth_K).is_file():
        depth_K = "585,585,320,240"
    return {
        "color": "frame-*.color.{png,jpg}",
        "depth": "frame-*.depth.png",
        "poses": "frame-*.pose.txt",
        "depth_invalid": (65535,),
        "intrinsics": KINECT_COLOR,
        "depth_intrinsics": depth_K,
        "color_from_depth": KINECT_COLOR_FROM_DEPTH,
        "pose_camera": "depth",
    }


def _is_tum(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("rgb.txt", "depth.txt", "groundtruth.txt"))


def _keys_tum(folder: Path) -> Keys:
    # by its own name, or by that of the folder that it is a link to
    names = f"{folder.absolute().name} {folder.resolve().name}"
    camera = re.search(r"(?:freiburg|fr)([123])", names)
    return {
        "color": "rgb.txt",
        "depth": "depth.txt",
        "pair_by": "time",
        "poses": "groundtruth.txt",
        "pose_columns": trajectories.TUM_COLUMNS,
        "depth_scale": 1 / 5000,
        **(TUM_CAMERAS[camera[1]] if camera else {}),
    }


def _is_scannet(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("color", "depth", "pose", "intrinsic"))


def _keys_scannet(folder: Path) -> Keys:
    return {
        "color": f"color/*.{IMAGES}",
        "depth": "depth/*.png",
        "poses": "pose/*.txt",
        "intrinsics": "intrinsic/intrinsic_color.txt",
        "depth_intrinsics": "intrinsic/intrinsic_depth.txt",
    }


def _first(folder: Path, *names: str) -> str | None:
    return next((name for name in names if (folder / name).exists()), None)


def _open3d_log(folder: Path) -> str | None:
    return _first(folder, "trajectory.log", "scene/trajectory.log")


def _is_open3d(folder: Path) -> bool:
    return (
        _open3d_log(folder) is not None
        and (folder / "depth").is_dir()
        and _first(folder, "image", "color", "rgb") is not None
    )


def _keys_open3d(folder: Path) -> Keys:
    camera = _first(folder, "camera_intrinsic.json", "intrinsic.json", "intrinsics.json")
    return {
        "color": f"{_first(folder, 'image', 'color', 'rgb')}/*.{IMAGES}",
        "depth": "depth/*.png",
        "pair_by": "number",
        "poses": _open3d_log(folder),
        "pose_columns": "log",
        "intrinsics": camera or PRIMESENSE,
    }


def _is_dvmvs(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("images", "depth", "poses.txt", "K.txt"))


def _keys_dvmvs(folder: Path) -> Keys:
    return {
        "color": f"images/*.{IMAGES}",
        "depth": "depth/*.png",
        "poses": "poses.txt",
        "intrinsics": "K.txt",
    }


LAYOUTS = {
    layout.name: layout
    for layout in (
        RecordingLayout(
            "7scenes",
            "frame-*.color.png, frame-*.depth.png, frame-*.pose.txt",
            _is_7scenes,
            _keys_7scenes,
        ),
        RecordingLayout("tum", "rgb.txt, depth.txt, groundtruth.txt", _is_tum, _keys_tum),
        RecordingLayout("scannet", "color/, depth/, pose/, intrinsic/", _is_scannet, _keys_scannet),
        RecordingLayout("dvmvs", "images/, depth/, poses.txt, K.txt", _is_dvmvs, _keys_dvmvs),
        RecordingLayout(
            "open3d", "image|color|rgb/, depth/, trajectory.log", _is_open3d, _keys_open3d
        ),
    )
}


def recognise(folder: Path) -> RecordingLayout | None:
    """The layout of a scene's folder, or None."""
    return next((layout for layout in LAYOUTS.values() if layout.recognise(folder)), None)
