"""Which files make a ``transforms.json`` scene, and the entries in them.

A scene is a folder with ``transforms.json``, with ``transforms_train.json`` and its like, or with
one other ``transforms*.json``. ScanNet++ keeps its files in a folder ``nerfstudio`` beside those of
the pictures, whose names they state without a folder: there the scene is the folder above.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import natural_key, printable
from cameo_data.sources.nerfstudio.records import FILE_NAME, Transforms, frame_name, read

SPLITS = ("train", "val", "test")
_PUBLISHED = "nerfstudio"
# ScanNet++'s files in the order of choice -> the folders of their pictures and masks.
_SCANNETPP = {
    "transforms_undistorted.json": ("undistorted_images", "undistorted_anon_masks"),
    FILE_NAME: ("resized_images", "resized_anon_masks"),
}


@dataclass(frozen=True)
class NerfstudioLayout:
    """A scene's files.

    Attributes:
        parts: the files read, one or one per split.
        images, masks: folders of the files that are stated by name alone.
        others: names of further ``transforms*.json`` that are not read.
    """

    parts: tuple[Path, ...]
    images: str | None = None
    masks: str | None = None
    others: tuple[str, ...] = ()


def scene_root(root: Path) -> Path:
    """The folder to look for scenes in: the one above where ``root`` is ScanNet++'s nerfstudio."""
    # the name, not the target: the folder above is the one that the person came through
    above = root.absolute().parent
    return above if root.name == _PUBLISHED and _scannetpp(above) else root


def is_scene(folder: Path, file: str | None = None) -> bool:
    """Whether the folder has a file of this format, or the one file that the options name."""
    if file is not None:
        return (folder / file).is_file() or (folder / _PUBLISHED / file).is_file()
    known = (FILE_NAME, *map(_part_name, SPLITS))
    return (
        any((folder / name).is_file() for name in known)
        or _scannetpp(folder) is not None
        or bool(_all_files(folder))
    )


def belongs_to_scannetpp(folder: Path) -> bool:
    """Whether the source ``scannetpp`` reads the scene, from the model behind the files."""
    scene = folder.absolute().parent if folder.name == _PUBLISHED else folder
    return _scannetpp(scene) is not None and (scene / "colmap" / "cameras.txt").is_file()


def layout(folder: Path, file: str | None, split: str | None) -> NerfstudioLayout:
    """The files of a scene.

    Raises:
        FileDefect: several, none of which comes first, or none of the split.
    """
    names = _all_files(folder)
    published = _scannetpp(folder)
    if file is not None and (folder / file).is_file():
        return NerfstudioLayout((folder / file,), others=_without(names, [file]))
    if published is not None and FILE_NAME not in names:
        name = file or published
        images, masks = _SCANNETPP.get(name, (None, None))
        beside = _all_files(folder / _PUBLISHED)
        part = folder / _PUBLISHED / name
        return NerfstudioLayout((part,), images, masks, _without(beside, [name]))
    if FILE_NAME in names:
        parts = [FILE_NAME]
        if split is not None and _part_name(split) in names and not _lists(folder, split):
            parts = [_part_name(split)]
    else:
        parts = [name for s in SPLITS if (name := _part_name(s)) in names]
        if split is not None:
            parts = [name for name in parts if name == _part_name(split)]
        elif not parts:
            parts = names
            if len(parts) > 1:
                raise _several(parts)
    if not parts:
        raise _no_split(str(split))
    return NerfstudioLayout(tuple(folder / name for name in parts), others=_without(names, parts))


def entries(
    folder: Path, found: NerfstudioLayout, split: str | None
) -> Iterator[tuple[Transforms, Any]]:
    """Every entry of the chosen split, with the file that it is in.

    Raises:
        FileDefect: a file that cannot be read, or without the split.
    """
    for path in found.parts:
        file = read(files.inside(folder, path))
        record = file.record
        whole = split is None or path.name == _part_name(split)
        chosen = None if whole else getattr(record, f"{split}_filenames")
        if chosen is not None:
            names = {frame_name({"file_path": name}, 0) for name in chosen}
            for number, values in enumerate((*record.frames, *record.test_frames)):
                if frame_name(values, number) in names:
                    yield file, values
        elif whole:
            yield from ((file, values) for values in (*record.frames, *record.test_frames))
        elif record.test_frames and split in ("train", "test"):
            of_split = record.test_frames if split == "test" else record.frames
            yield from ((file, values) for values in of_split)
        else:
            raise _no_split(str(split))


def _lists(folder: Path, split: str) -> bool:
    """Whether transforms.json itself says which frames belong to a split."""
    record = read(files.inside(folder, folder / FILE_NAME)).record
    return getattr(record, f"{split}_filenames") is not None or bool(record.test_frames)


def _scannetpp(folder: Path) -> str | None:
    """The first of ScanNet++'s files whose pictures are there; ``folder`` is the scene."""
    for name, (images, _) in _SCANNETPP.items():
        if (folder / _PUBLISHED / name).is_file() and (folder / images).is_dir():
            return name
    return None


def _all_files(folder: Path) -> list[str]:
    """Names of all ``transforms*.json`` of a folder; [] for one that cannot be listed."""
    try:
        found = [path.name for path in folder.glob("transforms*.json") if path.is_file()]
    except OSError:
        return []
    return sorted(found, key=natural_key)


def _part_name(split: str) -> str:
    return f"transforms_{split}.json"


def _without(names: list[str], parts: list[str]) -> tuple[str, ...]:
    return tuple(printable(name) for name in names if name not in parts)


def _several(names: list[str]) -> FileDefect:
    listed = ", ".join(map(printable, names))
    return FileDefect(
        Reason.BAD_METADATA,
        f"the folder has {len(names)} recordings: {listed}",
        f"{FILE_NAME}, or one file",
        f"choose one with -o file={printable(names[0])}",
    )


def _no_split(split: str) -> FileDefect:
    return FileDefect(
        Reason.MISSING_FILE,
        f"no split {split!r}",
        f"{_part_name(split)}, or {split}_filenames in {FILE_NAME}",
        "leave the split out to use all frames",
    )
