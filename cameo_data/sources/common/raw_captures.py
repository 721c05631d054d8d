"""Recordings of capture apps and cameras that no source reads as they are, and how to read them.

They are recognised by names alone, and only mentioned where no format is recognised.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from cameo_data.sources.common.file_listing import printable

# Limits on names per folder and on folders below the root: this is a hint, not a search.
_MOST_NAMES = 2000
_MOST_FOLDERS = 50

_PHOTOS = ("*.jpg", "*.jpeg", "*.png", "*.heic", "*.tif", "*.tiff", "*.webp", "*.dng")
_VIDEOS = ("*.mp4", "*.mov", "*.m4v", "*.avi", "*.webm", "*.mkv")
_THEN_NERFSTUDIO = "then read OUT with the source nerfstudio (`cameo-data inspect nerfstudio OUT`)"
_THEN_RGBD = "then read OUT with the source rgbd (`cameo-data inspect rgbd OUT`)"
_THEN_COLMAP = "then read OUT with the source colmap (`cameo-data inspect colmap OUT`)"
_WRITE_GENERIC = (
    "write the poses, K and paths of its frames into a cameo.json (docs/datasets/generic.md shows "
    "how), and read it with the source generic"
)


@dataclass(frozen=True)
class Capture:
    """A kind of capture.

    Attributes:
        signs: names that must all be there; ``a|b`` means either. ``*`` works in the last part
            of a path; case is ignored.
        way: what to do with it. CAPTURE stands for its path.
    """

    name: str
    signs: tuple[str, ...]
    way: str


# The first that fits counts, so particular kinds come before plain pictures.
CAPTURES = (
    Capture(
        "a Polycam raw export",
        ("keyframes/images|keyframes/corrected_images",),
        "convert it: ns-process-data polycam --use-depth --data CAPTURE --output-dir OUT; "
        + _THEN_NERFSTUDIO,
    ),
    Capture(
        "a Record3D recording",
        ("*.r3d",),
        "export it from the app as EXR + JPG sequence, and convert the folder EXR_RGBD: "
        "ns-process-data record3d --data EXR_RGBD --output-dir OUT; " + _THEN_NERFSTUDIO,
    ),
    Capture(
        "a Record3D export",
        ("rgb", "metadata.json|metadata"),
        "convert it: ns-process-data record3d --data CAPTURE --output-dir OUT; " + _THEN_NERFSTUDIO,
    ),
    Capture(
        "a Stray Scanner recording",
        ("odometry.csv", "camera_matrix.csv", "rgb.mp4"),
        "write its frames beside the depth: mkdir CAPTURE/rgb; ffmpeg -noautorotate -i "
        "CAPTURE/rgb.mp4 -start_number 0 CAPTURE/rgb/%06d.png; then read it with the source rgbd: "
        "cameo-data inspect rgbd CAPTURE -o 'color=rgb/*.png' -o 'depth=depth/*.png' "
        "-o poses=odometry.csv -o 'pose_columns=_ name tx ty tz qx qy qz qw' "
        "-o intrinsics=camera_matrix.csv",
    ),
    Capture(
        "an ARKitScenes recording",
        ("lowres_wide.traj|lowres_wide|*_frames/lowres_wide.traj", "lowres_depth|*_frames"),
        "its .traj holds axis-angle poses and its .pincam one K per frame: " + _WRITE_GENERIC,
    ),
    Capture(
        "a recording of 3D Scanner App",
        ("frame_*.json", "frame_*.jpg"),
        _WRITE_GENERIC,
    ),
    Capture(
        "ScanNet's packed recording",
        ("*.sens",),
        "unpack it with SensReader of the ScanNet repository: python reader.py --filename "
        "SCENE.sens --output_path OUT --export_depth_images --export_color_images --export_poses "
        "--export_intrinsics; " + _THEN_RGBD,
    ),
    Capture(
        "a ROS or RealSense recording",
        ("*.bag|*.db3|*.mcap",),
        "write its pictures and depth maps into files (librealsense: rs-convert -i FILE.bag -p "
        "OUT/color/; ROS: image_saver or rosbags), with a file of poses from your odometry; "
        "then read OUT with the source rgbd and options (docs/datasets/rgbd.md)",
    ),
    Capture(
        "a nerfstudio folder that was not finished",
        ("images", "colmap/database.db|colmap/sparse|sparse_pc.ply|images_2"),
        "it has no transforms.json: run ns-process-data again and see why COLMAP placed no "
        "picture, " + _THEN_NERFSTUDIO,
    ),
    Capture(
        "an RGB-D recording with a layout of its own",
        ("depth*|*_depth*", "color|rgb|image|images|*color*|rgb*"),
        "say where its files are: cameo-data inspect rgbd CAPTURE -o 'color=color/*.png' -o "
        "'depth=depth/*.png' -o poses=poses.txt -o intrinsics=fx,fy,cx,cy (`cameo-data sources "
        "rgbd` lists all options)",
    ),
    Capture(
        "an Azure Kinect recording (or another .mkv video)",
        ("*.mkv",),
        "unpack it with Open3D's azure_kinect_mkv_reader.py --input FILE.mkv --output OUT, add "
        "poses as OUT/trajectory.log (Open3D's reconstruction system writes one); " + _THEN_RGBD,
    ),
    Capture(
        "a video",
        ("|".join(_VIDEOS),),
        "find its poses first: ns-process-data video --data FILE --output-dir OUT; "
        + _THEN_NERFSTUDIO
        + " and add depth with `cameo-data depth`",
    ),
    Capture(
        "pictures without poses",
        ("|".join((*_PHOTOS, *(f"images/{p}" for p in _PHOTOS))),),
        "find their poses first: colmap automatic_reconstructor --workspace_path OUT --image_path "
        "CAPTURE; "
        + _THEN_COLMAP
        + ". Where poses are known: source rgbd with options, or a cameo.json",
    ),
    Capture(
        "an archive",
        ("*.zip|*.tar|*.tar.gz|*.tgz|*.7z",),
        "unpack it, and give the folder that it makes",
    ),
)


def advice(root: Path) -> str | None:
    """What a folder or file is and how to bring it in, in one line; None where it is unknown."""
    for place in _places(root):
        names = _names(place)
        for capture in CAPTURES:
            seen = [_first(names, sign) for sign in capture.signs]
            if all(found is not None for found in seen):
                signs = ", ".join(printable(found) for found in seen if found is not None)
                way = capture.way.replace("CAPTURE", shlex.quote(str(place)))
                return (
                    f"{printable(str(place))} looks like {capture.name} ({signs}), which no "
                    f"source reads as it is; {way}"
                )
    return None


def _places(root: Path) -> list[Path]:
    """The root and the folders in it, or the file that the root is."""
    if not root.is_dir():
        return [root] if root.is_file() else []
    try:
        with os.scandir(root) as entries:
            below = [e.name for e in islice(entries, _MOST_NAMES) if e.is_dir()]
    except OSError:
        return []
    return [root, *(root / name for name in sorted(below)[:_MOST_FOLDERS] if name[0] != ".")]


def _names(place: Path) -> list[str]:
    """Names in a folder and, after a ``/``, in the folders in it."""
    if not place.is_dir():
        return [place.name]
    names: list[str] = []
    try:
        with os.scandir(place) as entries:
            for entry in islice(entries, _MOST_NAMES):
                names.append(entry.name)
                if entry.is_dir():
                    with os.scandir(entry.path) as inner:
                        names += [f"{entry.name}/{e.name}" for e in islice(inner, 100)]
    except OSError:
        pass
    return sorted(names)


def _first(names: list[str], sign: str) -> str | None:
    """The first name that fits, or None; ``*`` does not reach over a ``/``."""
    for pattern in sign.split("|"):
        for name in names:
            deep = name.count("/") == pattern.count("/")
            if deep and fnmatchcase(name.lower(), pattern):
                return name
    return None
