"""A source whose frames take their depth from a folder that ``cameo-data depth`` wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cameo_data import camera as cameras
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.geometry.sparse_matches import read_pairs
from cameo_data.io.files import FileDefect
from cameo_data.sources.attached_depth import folder as folders
from cameo_data.sources.attached_depth.folder import DepthIndex, FrameEntry
from cameo_data.sources.source import Source
from cameo_data.types import DepthCodec, DepthRef, FloatArray, Frame, MatchTable, Scene

# Cameras are written with all digits; a source that reads them again may round differently.
SAME_CAMERA = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Attached:
    """A source whose depth comes from a folder instead of from itself.

    Attributes:
        root: the folder of depth.
        least_confidence: pixels below it have no depth.
    """

    whole: Source
    root: Path
    index: DepthIndex
    least_confidence: float

    @property
    def dataset(self) -> str:
        return self.whole.dataset

    @property
    def failures(self) -> Sequence[Failure]:
        return self.whole.failures

    def scene_ids(self) -> Sequence[str]:
        return self.whole.scene_ids()

    def scene(self, scene_id: str) -> Scene:
        """The scene with this depth; frames without any count as failures.

        Raises:
            DataError: the source raises it, or the folder has no depth for this scene.
        """
        scene = self.whole.scene(scene_id)
        name = self.index.scenes.get(scene_id)
        if name is None:
            raise DataError(
                Reason.NO_DEPTH,
                dataset=scene.dataset,
                scene_id=scene_id,
                found=f"{self.root} has no depth for this scene",
                expected=f"one of its {len(self.index.scenes)} scenes",
                remedy="run `cameo-data depth` on this scene too, or leave it out (--scenes)",
            )
        record = folders.read_scene(self.root, name)
        entries = {entry.frame_id: entry for entry in record.frames}
        why = {entry.frame_id: entry for entry in record.failures}
        kept: list[Frame] = []
        failures = list(scene.failures)
        for frame in scene.frames:
            try:
                if frame.frame_id not in entries:
                    failed = why.get(frame.frame_id) or why.get(None)
                    raise _no_depth(self.root, failed.found if failed else "not in its record")
                entry = entries[frame.frame_id]
                _check_camera(entry, frame)
                kept.append(dataclasses.replace(frame, depth=self._ref(name, entry, frame)))
            except FileDefect as defect:
                failures.append(defect.at(scene.dataset, scene_id, frame.frame_id).failure)
        matches: MatchTable | None = None
        if record.matches:
            kept = [dataclasses.replace(frame, depth=None) for frame in kept]
            path = folders.DepthFolder(self.root).matches(name)
            try:
                matches = read_pairs(path, (frame.frame_id for frame in scene.frames))
            except FileDefect as defect:
                raise defect.at(scene.dataset, scene_id) from None
        return dataclasses.replace(
            scene, frames=tuple(kept), failures=tuple(failures), matches=matches
        )

    def _ref(self, name: str, entry: FrameEntry, frame: Frame) -> DepthRef:
        return DepthRef(
            folders.DepthFolder(self.root).scene(name) / Path(entry.file).name,
            codec=DepthCodec.NPZ,
            scale=1.0,
            camera_K=cameras.resize(frame.camera, entry.hw).K,
            hw=entry.hw,
            source=self.index.method,
            least_confidence=self.least_confidence,
        )


def attach(source: Source, root: Path, least_confidence: float = 0.0) -> Attached:
    """``source`` with the depth in ``root`` in place of its own.

    Raises:
        DataError: no finished folder of depth is there.
    """
    return Attached(source, root, folders.read_index(root), least_confidence)


def _check_camera(entry: FrameEntry, frame: Frame) -> None:
    """Refuses depth that was made for another camera."""
    if entry.image_hw != frame.camera.hw:
        raise FileDefect(
            Reason.WRONG_SIZE,
            f"its depth was made for an image of {entry.image_hw[0]}×{entry.image_hw[1]}",
            f"{frame.camera.hw[0]}×{frame.camera.hw[1]} (h×w) like the frame's",
            "run `cameo-data depth` again on these images",
        )
    same_K = _close(np.array(entry.K), frame.camera.K)
    if not same_K or not _close(np.array(entry.cam_from_world), frame.camera.cam_from_world):
        raise FileDefect(
            Reason.BAD_POSE if same_K else Reason.BAD_INTRINSICS,
            f"its depth was made for another {'pose' if same_K else 'K'}",
            "the frame's camera",
            "run `cameo-data depth` again with the options of this command",
        )


def _close(a: FloatArray, b: FloatArray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= SAME_CAMERA * np.abs(b).max())


def _no_depth(root: Path, found: str) -> FileDefect:
    return FileDefect(
        Reason.NO_DEPTH,
        f"{root} has no depth for this frame ({found})",
        "a depth map for each frame",
        "see failures.jsonl there",
    )
