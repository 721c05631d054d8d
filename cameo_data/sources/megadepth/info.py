"""MegaDepth's ``scene_info`` archives: image and depth paths, K and pose of each image of a scene.

D2-Net's ``preprocess_scene.py`` writes them and LoFTR's index holds them: ``image_paths`` and
``depth_paths`` relative to the root, None where an image is not used; ``intrinsics`` 3×3 of the
undistorted images; ``poses`` 4×4 or 16 numbers, world to camera. The arrays are of Python objects,
so NumPy stores them as pickles; they are read without unpickling. Pairs and overlaps in the
archives are not used: overlaps are measured on the depth itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import array_files, files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.stated_intrinsics import check_view
from cameo_data.types import (
    Camera,
    DepthCodec,
    DepthRef,
    ExifRule,
    Frame,
    Unused,
    intrinsics_defect,
)

KEYS = ("image_paths", "depth_paths", "intrinsics", "poses")
# COLMAP keeps the principal point of these photographs in the middle; a K that puts it elsewhere
# belongs to an image of another size.
CENTER_TOLERANCE = 0.02

FoundFrame = tuple[str, Callable[[], Frame]]


def frames(
    root: Path, archive: Path, exif: ExifRule
) -> tuple[Sequence[FoundFrame], tuple[Unused, ...]]:
    """Frames of the images that the archive gives a path for, in its order; others are counted."""
    columns = []
    for key in KEYS:
        try:
            columns.append(array_files.read_npz_list(archive, key))
        except FileDefect as defect:
            raise FileDefect(
                Reason.BAD_METADATA, defect.found, defect.expected, "download the index again"
            ) from None
    if len({len(column) for column in columns}) != 1:
        lengths = ", ".join(f"{len(c)} {k}" for k, c in zip(KEYS, columns, strict=True))
        raise _bad(f"{archive.name} holds {lengths}", "as many of each")
    found: list[FoundFrame] = []
    for image, depth, K, pose in zip(*columns, strict=True):
        if image is not None:
            name = PurePosixPath(str(image)).name
            found.append((name, partial(_frame, root, str(image), depth, K, pose, exif)))
    alone = len(columns[0]) - len(found)
    unused = (Unused("entries of the index that name no picture", alone),) if alone else ()
    return found, unused


def _frame(root: Path, image: str, depth: Any, K: Any, pose: Any, exif: ExifRule) -> Frame:
    K_found, cam_from_world = _matrix(K, 3, "K"), _matrix(pose, 4, "pose")
    if (defect := intrinsics_defect(K_found)) is not None:
        raise FileDefect(Reason.BAD_INTRINSICS, f"K is a {defect}", "a pinhole K", "leave it out")
    if (defect := transforms.rotation_defect(cam_from_world)) is not None:
        raise FileDefect(Reason.BAD_POSE, f"pose is a {defect}", "a rigid pose", "leave it out")
    ref = None
    if depth is not None:
        depth_path = files.inside(root, root / str(depth))
        ref = DepthRef(depth_path, codec=DepthCodec.MEGADEPTH, scale=1.0, source="colmap")
    path = _image_path(root, image, ref)
    hw = image_files.read_hw(path, exif)
    off = np.abs(2 * K_found[:2, 2] / (hw[1], hw[0]) - 1).max()
    if off > CENTER_TOLERANCE:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"principal point {K_found[0, 2]:.0f}, {K_found[1, 2]:.0f} of a {hw[1]}×{hw[0]} image",
            "the middle, as COLMAP keeps it: K of this image size",
            "take the images that the index was made for",
        )
    check_view(K_found, hw, "leave it out")
    camera = Camera(K_found, hw, transforms.nearest_rotation(cam_from_world))
    return Frame(path.name, camera, path, ref, exif_orientation=exif)


def _image_path(root: Path, image: str, ref: DepthRef | None) -> Path:
    """The image, or the same one in MegaDepth_v1 where D2-Net's images are missing."""
    path = files.inside(root, root / image)
    if path.is_file() or ref is None:
        return path
    beside = ref.path.parent.parent / "imgs"
    for candidate in (beside / path.name, beside / f"{path.stem}.jpg"):
        if candidate.is_file():
            return files.inside(root, candidate)
    return path


def _matrix(value: Any, size: int, what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size != size * size:
        raise _bad(f"{what} is {type(value).__name__} of {array.size}", f"{size}×{size} numbers")
    return array.astype(np.float64).reshape(size, size)


def _bad(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.BAD_METADATA, found, expected, "download the index again")
