"""Scenes as folders below a root: found by looking at names only, links out of the root refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cameo_data import files
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.files import FileDefect
from cameo_data.sources.listing import is_text, natural_key, printable

# Scenes lie at most so deep below the root: archive / collection / scene.
MAX_DEPTH = 3


def find_scenes(
    root: Path,
    dataset: str,
    is_scene: Callable[[Path], bool],
    *,
    max_depth: int = MAX_DEPTH,
    first: bool = False,
) -> tuple[dict[str, Path], tuple[Failure, ...]]:
    """(folder by scene id in natural order, what was left out); {} without a folder ``root``.

    A scene's id is its path below ``root``, or the root's own name where the root is the scene.
    Folders inside a scene are not searched; ``first`` stops at the first scene.
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
            if first:
                break
        else:
            reason, found, remedy = defect
            failures.append(
                Failure(reason, dataset, scene_id, None, found, "a scene's folder", remedy)
            )
    ordered = dict(sorted(folders.items(), key=lambda item: natural_key(item[0])))
    return ordered, tuple(failures)


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
