"""Sources whose scenes are folders: found by names only, links out of the root refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from cameo_data import files
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.files import FileDefect
from cameo_data.sources.listing import is_text, natural_key, printable
from cameo_data.types import Scene

# Scenes lie at most so deep below the root: archive / collection / scene.
MAX_DEPTH = 3
# Folders looked into before a dataset is taken to be of another format: `auto` asks every format.
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
        read: (folder, scene id) -> the scene; a ``FileDefect`` is the whole scene's.
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
) -> tuple[dict[str, Path], tuple[Failure, ...]]:
    """(folder by scene id in natural order, what was left out); {} without a folder ``root``.

    A scene's id is its path below ``root``, or the root's own name where the root is the scene.
    Folders inside a scene are not searched.
    """
    if not root.is_dir():
        return {}, ()
    if is_scene(root):
        return {printable(root.resolve().name) or "scene": root}, ()
    folders: dict[str, Path] = {}
    failures: list[Failure] = []
    for scene_id, folder, defect in _walk(root, "", root.resolve(), is_scene, max_depth):
        if defect is None:
            folders[scene_id] = folder
        else:
            reason, found, remedy = defect
            failures.append(
                Failure(reason, dataset, scene_id, None, found, "a scene's folder", remedy)
            )
    ordered = dict(sorted(folders.items(), key=lambda item: natural_key(item[0])))
    return ordered, tuple(failures)


def looks_like(root: Path, is_scene: Callable[[Path], bool], *, max_depth: int = MAX_DEPTH) -> bool:
    """Whether a scene is among the first ``MOST_LOOKED_INTO`` folders below; never raises."""

    left = MOST_LOOKED_INTO

    def tried(folder: Path) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            raise _EnoughError
        return is_scene(folder)

    try:
        if not root.is_dir():
            return False
        if tried(root):
            return True
        found = _walk(root, "", root.resolve(), tried, max_depth)
        return bool(list(islice((True for _, _, defect in found if defect is None), 1)))
    except (OSError, FileDefect, _EnoughError):
        return False


class _EnoughError(Exception):
    """So many folders were looked into that no scene will come."""


_Defect = tuple[Reason, str, str]


def _walk(
    folder: Path, prefix: str, root: Path, is_scene: Callable[[Path], bool], depth: int
) -> Iterator[tuple[str, Path, _Defect | None]]:
    """Scenes below a folder, and folders that cannot be used with what is wrong with them."""
    try:
        with os.scandir(folder) as entries:
            children = sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")
    except OSError as error:
        yield (
            prefix,
            folder,
            (
                Reason.MISSING_FILE,
                f"folder cannot be listed ({error.strerror})",
                "check its permissions",
            ),
        )
        return
    for name in children:
        child, scene_id = folder / name, prefix + printable(name)
        if child.is_symlink():
            # a link within the root leads to what is found by itself
            if not child.resolve().is_relative_to(root):
                yield (
                    scene_id,
                    child,
                    (
                        Reason.BAD_NAME,
                        "folder is a link out of the root",
                        "give the folder that it is in",
                    ),
                )
        elif is_scene(child):
            named = is_text(name)
            bad = (Reason.BAD_NAME, "name with control or undecodable characters", "rename it")
            yield scene_id, child, None if named else bad
        elif depth > 1:
            yield from _walk(child, f"{scene_id}/", root, is_scene, depth - 1)


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
