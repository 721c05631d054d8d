"""Sources whose scenes are folders, found by names only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import is_text, natural_key, printable
from cameo_data.sources.common.scene_walk import (
    MAX_DEPTH,
    children,
    dangling,
    first_scene,
    unprintable,
    walk_scenes,
)
from cameo_data.types import Scene

# Folders searched before a dataset counts as one of another format: `auto` tries every format.
MOST_LOOKED_INTO = 500

T = TypeVar("T")


def known(scenes: Mapping[str, T], scene_id: str) -> T:
    """The scene's entry.

    Raises:
        ValueError: there is no such scene.
    """
    if scene_id not in scenes:
        raise ValueError(
            f"unknown scene {scene_id!r}; there are {len(scenes)}: `cameo-data inspect` lists them"
        )
    return scenes[scene_id]


@dataclass(frozen=True, eq=False)
class FolderSource:
    """A source whose scenes are folders.

    Attributes:
        folders: by scene id, in the order of ``scene_ids``.
        read: (folder, scene id) -> the scene; a ``FileDefect`` rejects the whole scene.
    """

    dataset: str
    folders: Mapping[str, Path]
    failures: tuple[Failure, ...]
    read: Callable[[Path, str], Scene]

    def scene_ids(self) -> list[str]:
        return list(self.folders)

    def scene(self, scene_id: str) -> Scene:
        folder = known(self.folders, scene_id)
        try:
            return self.read(folder, scene_id)
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None


def find_scenes(
    root: Path,
    dataset: str,
    is_scene: Callable[[Path], bool],
    *,
    max_depth: int = MAX_DEPTH,
    nested: Callable[[str], bool] | None = None,
) -> tuple[dict[str, Path], tuple[Failure, ...]]:
    """(folder by scene id in natural order, what was left out); {} without a folder ``root``.

    A scene's id is its path below ``root``, or the root's own name where the root is the scene.
    Links are followed; a folder that is reached in two ways is one scene.

    Args:
        is_scene: whether a folder is a scene; what it raises is that folder's failure.
        nested: whether a folder of that name inside a scene may be, or hold, another scene; without
            it folders inside a scene are not searched.
    """
    folders: dict[str, Path] = {}
    failures: list[Failure] = []
    for scene_id, folder, defect in walk_scenes(root, is_scene, max_depth, nested):
        if defect is None:
            folders[scene_id] = folder
        else:
            failures.append(defect.at(dataset, scene_id or None).failure)
    ordered = dict(sorted(folders.items(), key=lambda item: natural_key(item[0])))
    return ordered, tuple(sorted(failures, key=lambda failure: natural_key(failure.scene_id or "")))


def looks_like(root: Path, is_scene: Callable[[Path], bool], *, max_depth: int = MAX_DEPTH) -> bool:
    """Whether a scene is among the first ``MOST_LOOKED_INTO`` folders below; never raises.

    The depth is that of ``find_scenes``: what a source lists it also recognises.
    """

    left = MOST_LOOKED_INTO

    def tried(folder: Path) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            raise _EnoughError
        return is_scene(folder)

    try:
        return first_scene(root, tried, max_depth) is not None
    except (OSError, _EnoughError):
        return False


class _EnoughError(Exception):
    """Too many folders were searched without finding a scene."""


def subfolders(
    folder: Path, dataset: str, prefix: str = ""
) -> tuple[list[Path], tuple[Failure, ...]]:
    """Subfolders in natural order, and those that cannot be used; none if the folder is missing.

    For formats that keep scenes in one known place. ``prefix`` precedes names in failures.
    """
    if not folder.is_dir():
        return [], ()
    found: list[Path] = []
    failures: list[Failure] = []
    for name, _, target in children(folder):
        defect = dangling(target) if target is not None else None
        if defect is None and not is_text(name):
            defect = unprintable()
        if defect is None:
            found.append(folder / name)
        else:
            failures.append(defect.at(dataset, prefix + printable(name)).failure)
    return sorted(found, key=lambda path: natural_key(path.name)), tuple(failures)


def nothing_found(
    dataset: str, root: Path, what: str, failures: Sequence[Failure], expected: str, remedy: str
) -> DataError:
    """The error of a root without a scene; says so where folders were found and left out.

    Args:
        what: what is missing: ``scene``, ``stereo pair``.
    """
    shown = printable(str(root))
    if (unusable := files.root_defect(root)) is not None:
        found = unusable
    elif not root.is_dir():
        found = f"{shown} is not a folder"
    elif failures:
        first = failures[0]
        count = len(failures)
        left_out = "1 folder was" if count == 1 else f"{count} folders were"
        place = first.scene_id or "the root"
        found = f"no {what} in {shown}; {left_out} left out, first {place}: {first.found}"
        remedy = f"{first.remedy}; or {remedy}"
    else:
        found = f"no {what} in {shown}"
    return DataError(
        Reason.MISSING_FILE, dataset=dataset, found=found, expected=expected, remedy=remedy
    )


def read_scene_list(root: Path, name: str, dataset: str) -> frozenset[str]:
    """Scene names of a split: the lines of ``NAME.txt`` or ``NAME_list.txt`` in ``root``.

    Raises:
        DataError: no such list, or none that can be read.
    """
    candidates = (f"{name}.txt", f"{name}_list.txt")
    for candidate in candidates:
        if Path(candidate).name == candidate and (root / candidate).is_file():
            try:
                text = files.read_text(files.inside(root, root / candidate))
            except FileDefect as defect:
                raise defect.at(dataset, None) from None
            return frozenset(line.strip() for line in text.splitlines() if line.strip())
    raise DataError(
        Reason.MISSING_FILE,
        dataset=dataset,
        found=f"no list of the split {name!r} in {root}",
        expected=" or ".join(candidates),
        remedy="copy the publisher's list there, or leave the split out",
    )
