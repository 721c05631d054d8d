"""One WildRGB-D scene: its camera, its poses, and the files of each frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Failure, Reason
from cameo_data.io import depth_files, files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import rule_of_stated_size
from cameo_data.sources.common import trajectories
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.stated_intrinsics import check_size, check_view
from cameo_data.sources.common.stated_poses import StatedPoses
from cameo_data.sources.common.unused import unused_files
from cameo_data.types import (
    Camera,
    DepthCodec,
    DepthRef,
    ExifRule,
    FloatArray,
    Frame,
    Scene,
    intrinsics_defect,
)

METADATA, POSES = "metadata", "cam_poses.txt"
METRES_PER_UNIT = 1e-3
_COLUMNS = trajectories.parse_columns("name matrix")


def read_scene(
    dataset: str, scene_id: str, folder: Path, pixel_center: str, masks: bool, exif: ExifRule
) -> Scene:
    """The scene in a folder; ``pixel_center`` is where K counts the first pixel's centre.

    Raises:
        DataError: its camera or its poses cannot be read.
    """
    try:
        K, hw, unread = _read_camera(folder, pixel_center)
        poses = trajectories.read_rows(files.inside(folder, folder / POSES), _COLUMNS)
    except FileDefect as defect:
        raise defect.at(dataset, scene_id) from None
    stated = StatedPoses.of(poses.matrices, "world_from_cam", "pose")
    reader = _FrameReader(folder, K, hw, masks, rule_of_stated_size(exif), stated)
    frames: dict[int, Frame] = {}
    failures: list[Failure] = []
    seen: set[int] = set()
    for name, world_from_cam in zip(poses.names or (), poses.matrices, strict=True):
        frame_id = name
        try:
            if not (name.isascii() and name.isdigit() and len(name) <= 18):
                raise malformed(POSES, f"frame {name[:40]!r}", "a frame number")
            number = int(name)
            if number in seen:
                frame_id = f"{number} again"
                raise _duplicate(number)
            seen.add(number)
            frames[number] = reader.frame(number, world_from_cam)
        except FileDefect as defect:
            failures.append(defect.at(dataset, scene_id, printable(frame_id)).failure)
    ordered = tuple(frames[number] for number in sorted(frames))
    named = [folder / kind / f"{n:05d}.png" for n in seen for kind in ("rgb", "depth", "masks")]
    why = f"of frames without a line in {POSES}"
    kinds = [("rgb/*", f"pictures {why}"), ("depth/*", f"depth maps {why}")]
    kinds.append(("masks/*", f"masks {why}"))
    unused = unused_files(folder, named, kinds, read=(METADATA, POSES))
    return Scene(
        dataset,
        scene_id,
        ordered,
        "metre",
        tuple(failures),
        notes=(*stated.notes, *unread),
        unused=unused,
    )


@dataclass(eq=False)
class _FrameReader:
    folder: Path
    K: FloatArray
    hw: tuple[int, int]
    masks: bool
    exif: ExifRule
    poses: StatedPoses
    _depth_hw: tuple[int, int] | None = field(default=None)

    def frame(self, number: int, world_from_cam: FloatArray) -> Frame:
        """The frame of a pose.

        Raises:
            FileDefect: no rigid pose, or a file is missing.
        """
        pose = self.poses.rigid(world_from_cam)
        file = f"{number:05d}.png"
        image, depth = self._existing("rgb", file), self._existing("depth", file)
        if self._depth_hw is None:
            self._depth_hw = depth_files.depth_hw(depth, DepthCodec.UINT16)
        return Frame(
            frame_id=str(number),
            camera=Camera(self.K, self.hw, transforms.invert(pose)),
            image_path=image,
            depth=DepthRef(
                depth,
                codec=DepthCodec.UINT16,
                scale=METRES_PER_UNIT,
                hw=None if self._depth_hw == self.hw else self._depth_hw,
            ),
            mask_path=self._existing("masks", file) if self.masks else None,
            exif_orientation=self.exif,
        )

    def _existing(self, kind: str, name: str) -> Path:
        path = files.inside(self.folder, self.folder / kind / name)
        if not path.is_file():
            raise FileDefect(
                Reason.MISSING_FILE, f"{kind}/{name} is missing", "a file", "unpack the scene again"
            )
        return path


def _read_camera(
    folder: Path, pixel_center: str
) -> tuple[FloatArray, tuple[int, int], tuple[str, ...]]:
    """K under docs/conventions.md and (height, width) of all frames, and a note on other keys."""
    values = read_json(folder, METADATA)
    size = values.get("w"), values.get("h")
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise malformed(METADATA, f"w and h {size}", "the image's width and height")
    try:
        K = np.asarray(values.get("K"), np.float64).reshape(3, 3).T  # stored column by column
    except (ValueError, TypeError):
        raise malformed(METADATA, "no K of nine numbers", "K column by column") from None
    if (defect := intrinsics_defect(K)) is not None:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"K in {METADATA} is a {defect}",
            "a pinhole matrix, column by column",
            "correct the file",
        )
    if pixel_center == "integer":
        K = K.copy()
        K[:2, 2] += 0.5
    hw = (int(values["h"]), int(values["w"]))
    check_view(K, hw, "correct the file")
    check_size(K, hw, f"state w and h in {METADATA} that K is for")
    other = sorted(printable(key[:40]) for key in values.keys() - {"K", "w", "h"})
    unread = (f"{METADATA}: keys that are not read: {', '.join(other[:20])}",) if other else ()
    return K, hw, unread


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The table in a JSON file.

    Raises:
        FileDefect: missing, or no such table.
    """
    text = files.read_text(files.inside(folder, folder / name))
    try:
        values = parsing.parse_json(text)
    except ValueError as error:
        raise malformed(name, f"no JSON ({error})", "a JSON table") from None
    if not isinstance(values, dict):
        raise malformed(name, f"a {type(values).__name__}", "a JSON table")
    return values


def malformed(name: str, found: str, expected: str) -> FileDefect:
    """A file whose content is not as published."""
    return FileDefect(
        Reason.BAD_METADATA, f"{name} has {found}", expected, "unpack the category again"
    )


def _duplicate(number: int) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"frame {number} appears twice in {POSES}",
        "each frame once",
        "remove one of the lines",
    )
