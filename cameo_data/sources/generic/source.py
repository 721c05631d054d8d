"""Any posed images: a folder with a ``cameo.json`` that says where they are and what they mean.

The records are in ``records``; docs/datasets/generic.md describes the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.geometry import sparse_matches
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import is_text, printable
from cameo_data.sources.common.scene_folders import find_scenes, known, looks_like, nothing_found
from cameo_data.sources.common.stated_paths import is_absolute, safe_name
from cameo_data.sources.common.unused import entry_files, frame_files, kinds_beside, unused_files
from cameo_data.sources.generic.frames import Shared, existing, make_frame
from cameo_data.sources.generic.records import (
    FILE_NAME,
    GenericFrameRecord,
    GenericSceneRecord,
    read_frame,
    read_scene,
)
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.types import Frame, MatchTable, Scene, Unused

SPLITS_FILE = "splits.json"


class GenericOptions(PictureOptions):
    """Options: the name of the data, and which split of it."""

    dataset: str = Field("generic", min_length=1, description="name in samples and messages")
    split: str | None = Field(
        None, description=f'only the scenes that {SPLITS_FILE} lists: {{"train": ["scene", …]}}'
    )


class GenericSource:
    """The scenes below a folder, or the one scene that the folder is.

    Raises:
        DataError: no such folder, no scene in it, or no such split.
    """

    def __init__(self, root: Path, options: GenericOptions) -> None:
        self.dataset = options.dataset
        self._exif = options.exif_orientation
        self._folders, failures = find_scenes(root, options.dataset, _is_scene)
        self.failures: Sequence[Failure] = failures
        if options.split is not None:
            chosen = _split(root, options)
            self._folders = {k: path for k, path in self._folders.items() if k in chosen}
        if not self._folders:
            raise _no_scene(root, options, failures)

    def scene_ids(self) -> Sequence[str]:
        """Paths of the scenes' folders below the root, in natural order."""
        return list(self._folders)

    def scene(self, scene_id: str) -> Scene:
        folder = known(self._folders, scene_id)
        try:
            record = read_scene(folder)
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None
        entries: dict[int, GenericFrameRecord] = {}
        frames: dict[str, Frame] = {}
        failures: list[Failure] = []

        def failed(defect: FileDefect, label: str) -> None:
            failures.append(defect.at(self.dataset, scene_id, label).failure)

        for place, values in enumerate(record.frames):
            try:
                entries[place] = read_frame(values)
            except FileDefect as defect:
                failed(defect, f"number {place}")
        shared = Shared.of(folder, record, list(entries.values()))
        for place, entry in entries.items():
            label = f"number {place}"
            try:
                frame_id = _frame_id(entry)
                if frame_id in frames:
                    raise _duplicate(frame_id)
                label = frame_id
                frames[frame_id] = make_frame(shared, entry, frame_id, self._exif)
            except FileDefect as defect:
                failed(defect, label)
        try:
            table = _matches(shared, list(frames))
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None
        found = tuple(frames.values())
        notes = image_sizes.exif_notes(found)
        return Scene(
            self.dataset,
            scene_id,
            found,
            record.unit,
            tuple(failures),
            table,
            notes=(*notes, *shared.notes),
            unused=_unused(folder, record, found),
        )


def _frame_id(entry: GenericFrameRecord) -> str:
    frame_id = entry.id or PurePosixPath(entry.image.replace("\\", "/")).stem
    if not is_text(frame_id):
        raise _bad_name(frame_id)
    if is_absolute(frame_id):
        raise FileDefect(
            Reason.BAD_NAME,
            f"id {safe_name(frame_id)!r} is an absolute path",
            "a name, since ids are stored in the shards",
            "leave id out, or take a part of the path",
        )
    return frame_id


def _unused(
    folder: Path, record: GenericSceneRecord, frames: Sequence[Frame]
) -> tuple[Unused, ...]:
    why = f"that no entry of {FILE_NAME} names"
    named = [*frame_files(frames), *entry_files(folder, record.frames, ("image", "depth", "mask"))]
    read = [FILE_NAME, *([] if record.matches is None else [escape(record.matches)])]
    return unused_files(folder, named, kinds_beside(folder, frames, why), read=read)


def _matches(shared: Shared, frame_ids: Sequence[str]) -> MatchTable | None:
    name = shared.scene.matches
    if name is None:
        return None
    return sparse_matches.read_pairs(existing(shared.paths, name, "matches"), frame_ids)


def _is_scene(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()


def _split(root: Path, options: GenericOptions) -> set[str]:
    try:
        values = parsing.parse_json(files.read_text(root / SPLITS_FILE, parsing.MAX_JSON_BYTES))
        names = values[options.split]
        if not all(isinstance(name, str) for name in names):
            raise TypeError("scenes that are not text")
        return set(names)
    except FileDefect as defect:
        raise defect.at(options.dataset, None) from None
    except (ValueError, KeyError, TypeError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            Reason.BAD_METADATA,
            dataset=options.dataset,
            found=f"{SPLITS_FILE}: {found}",
            expected=f'{{"{options.split}": ["scene", …]}}',
            remedy="correct the file or choose another split",
        ) from None


def _duplicate(frame_id: str) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"frame id {frame_id!r} appears twice",
        "each id once; without one it is the image's name",
        "give each frame its own id",
    )


def _bad_name(name: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_NAME,
        f"name {printable(name)!r} with control characters or undecodable bytes",
        "printable text",
        "rename it",
    )


def _no_scene(root: Path, options: GenericOptions, failures: Sequence[Failure]) -> DataError:
    what = FILE_NAME if options.split is None else f"scene of split {options.split!r}"
    expected = f"a folder with {FILE_NAME}, or folders with one each"
    remedy = "write one: docs/datasets/generic.md shows how"
    return nothing_found(options.dataset, root, what, failures, expected, remedy)


def _recognise(root: Path) -> bool:
    return looks_like(root, _is_scene)


def _open(root: Path, options: Any) -> GenericSource:
    return GenericSource(root, options)


SPEC = SourceSpec(
    name="generic",
    summary=f"any posed images: a folder with a {FILE_NAME} of paths, K, poses and depth scale",
    layout=f"SCENE/{FILE_NAME} and the files that it names; optionally {SPLITS_FILE} beside the "
    "scenes",
    conventions=f"as {FILE_NAME} says: poses either way, OpenCV or OpenGL axes, pixels counted "
    "from corners or centres",
    licence="your own",
    download="nothing to download: docs/datasets/generic.md describes the file",
    options=GenericOptions,
    open=_open,
    recognise=_recognise,
    is_scene=_is_scene,
)
