"""Procedural scenes as ``cameo-data synth`` writes them; their depth is exact.

The on-disk records are in ``cameo_data.synth.record``; nothing is converted, the scenes are in
our own conventions already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.scene_folders import nothing_found, subfolders
from cameo_data.sources.common.unused import entry_files, frame_files, kinds_beside, unused_files
from cameo_data.sources.source import SourceOptions, SourceSpec
from cameo_data.synth.record import FILE_NAME, FORMAT, SyntheticFrameRecord, read_frame, read_scene
from cameo_data.types import DepthCodec, DepthRef, Frame, Scene

DATASET = "synthetic"


class SyntheticOptions(SourceOptions):
    """No options: the scenes' records say everything."""


class SyntheticSource:
    """The scenes in a folder, or the one scene that the folder is.

    Raises:
        DataError: the folder is missing or holds no scene.
    """

    dataset = DATASET

    def __init__(self, root: Path) -> None:
        folders, failures = _scene_folders(root)
        self._folders = {folder.name: folder for folder in folders}
        self.failures: Sequence[Failure] = failures
        if not self._folders:
            expected = f"a folder of scenes with a {FILE_NAME} each"
            remedy = "write some with `cameo-data synth`"
            raise nothing_found(DATASET, root, "scene", failures, expected, remedy)

    def scene_ids(self) -> Sequence[str]:
        """Folder names, sorted."""
        return sorted(self._folders)

    def scene(self, scene_id: str) -> Scene:
        """The scene's frames.

        Raises:
            DataError: ``scene.json`` is missing or not as documented, or no frame can be used.
        """
        folder = self._folders.get(scene_id)
        if folder is None:
            raise DataError(
                Reason.MISSING_FILE,
                dataset=DATASET,
                scene_id=scene_id,
                found="there is no such scene",
                expected=f"one of {len(self._folders)} in the folder",
                remedy="see `cameo-data inspect`",
            )
        try:
            record = read_scene(folder)
        except FileDefect as defect:
            raise defect.at(DATASET, scene_id) from None
        frames: dict[str, Frame] = {}
        failures: list[Failure] = []
        for number, values in enumerate(record.frames):
            named = values.get("frame_id")
            frame_id = named if isinstance(named, str) and named else f"number {number}"
            try:
                if frame_id in frames:
                    raise _duplicate(frame_id)
                frames[frame_id] = _frame(folder, read_frame(values), record.settings.hw)
            except FileDefect as defect:
                failures.append(defect.at(DATASET, scene_id, frame_id).failure)
        found = tuple(frames.values())
        named = [*frame_files(found), *entry_files(folder, record.frames, ("image", "depth"))]
        kinds = kinds_beside(folder, found, f"that no entry of {FILE_NAME} names")
        unused = unused_files(folder, named, kinds, read=(FILE_NAME,))
        return Scene(DATASET, scene_id, found, record.unit, tuple(failures), unused=unused)


def _scene_folders(root: Path) -> tuple[list[Path], tuple[Failure, ...]]:
    """Scenes below ``root``, or ``root`` itself; hidden folders are unfinished scenes."""
    if (root / FILE_NAME).is_file():
        return [root.resolve()], ()
    folders, failures = subfolders(root, DATASET)
    return sorted(folder for folder in folders if (folder / FILE_NAME).is_file()), failures


def _frame(folder: Path, record: SyntheticFrameRecord, hw: tuple[int, int]) -> Frame:
    return Frame(
        frame_id=record.frame_id,
        camera=record.camera(hw),
        image_path=_existing(folder, record.image),
        depth=DepthRef(
            _existing(folder, record.depth), codec=DepthCodec.NPY, scale=1.0, source="exact"
        ),
    )


def _existing(folder: Path, name: str) -> Path:
    path = files.inside(folder, folder / name)
    if not path.is_file():
        raise FileDefect(
            Reason.MISSING_FILE, f"{name} is missing", "a file", "write the scene again"
        )
    return path


def _duplicate(frame_id: str) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"frame id {frame_id!r} appears twice",
        "each id once",
        f"remove one of them from {FILE_NAME}",
    )


def _recognise(root: Path) -> bool:
    """Whether the first scene's file names the format."""
    try:
        folders, _ = _scene_folders(root)
        if not folders:
            return False
        with (folders[0] / FILE_NAME).open("rb") as file:
            return f'"{FORMAT}"'.encode() in file.read(4096)
    except OSError:
        return False


def _open(root: Path, _options: Any) -> SyntheticSource:
    return SyntheticSource(root)


SPEC = SourceSpec(
    name=DATASET,
    summary="procedural scenes with exact depth, written by `cameo-data synth`",
    layout="SCENE/scene.json, SCENE/images/0000.png, SCENE/depth/0000.npy",
    conventions="our own: OpenCV axes, cam_from_world, z-depth in metres as float32, 0 for sky",
    licence="none needed: rendered on your machine",
    download="cameo-data synth OUT",
    options=SyntheticOptions,
    open=_open,
    recognise=_recognise,
)
