"""The walk that finds scenes below a root, for listing and recognition alike."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import is_text, printable

# Greatest depth of a scene below the root: archive / collection / scene.
MAX_DEPTH = 3

Found = tuple[str, Path, FileDefect | None]


@dataclass(frozen=True)
class _Place:
    """A folder to look at.

    Attributes:
        real: the folder without links.
        scene_id: its path below the root, "" for the root itself.
        depth: how many levels below it may still be searched.
    """

    folder: Path
    real: Path
    scene_id: str
    depth: int


def walk_scenes(
    root: Path,
    is_scene: Callable[[Path], bool],
    max_depth: int = MAX_DEPTH,
    nested: Callable[[str], bool] | None = None,
) -> Iterator[Found]:
    """(id, folder, None) of each scene, (id, folder, defect) of folders that cannot be used.

    Folders are looked at before links to folders, and each once however many ways lead to it: a
    link into the root adds nothing, and links in a circle end. ``nested`` as in ``find_scenes``.
    """
    if root.is_dir():
        yield from _Walk(is_scene, nested).run(root, max_depth)


def first_scene(
    root: Path, is_scene: Callable[[Path], bool], max_depth: int = MAX_DEPTH
) -> Path | None:
    """The first scene's folder, or None."""
    found = walk_scenes(root, is_scene, max_depth)
    return next((folder for _, folder, defect in found if defect is None), None)


@dataclass(frozen=True)
class _Walk:
    """One walk.

    Attributes:
        seen: folders searched (paths without links), and how many levels below each.
        scenes: those among them that are scenes.
        links: links to folders, searched after all folders.
    """

    is_scene: Callable[[Path], bool]
    nested: Callable[[str], bool] | None
    seen: dict[Path, int] = field(default_factory=dict)
    scenes: set[Path] = field(default_factory=set)
    links: deque[tuple[Path, str, int]] = field(default_factory=deque)

    def run(self, root: Path, max_depth: int) -> Iterator[Found]:
        real_root = root.resolve()
        yield from self._below(_Place(root, real_root, "", max_depth))
        while self.links:
            folder, scene_id, depth = self.links.popleft()
            real = folder.resolve()
            if not real_root.is_relative_to(real):  # else it leads round in a circle
                yield from self._below(_Place(folder, real, scene_id, depth))

    def _below(self, place: _Place) -> Iterator[Found]:
        if self.seen.get(place.real, -1) >= place.depth or place.real in self.scenes:
            return
        self.seen[place.real] = place.depth
        folder, scene_id = place.folder, place.scene_id
        try:
            found = self.is_scene(folder)
            searched = place.depth > 0 and (not found or self.nested is not None)
            below = children(folder) if searched else []
        except FileDefect as defect:
            yield scene_id, folder, defect
            return
        except OSError as error:
            yield scene_id, folder, _unlistable(error)
            return
        if found:
            self.scenes.add(place.real)
            name = scene_id or printable(place.real.name) or "scene"
            yield name, folder, None if is_text(scene_id and folder.name) else unprintable()
            scene_id = name
            below = [child for child in below if self.nested and self.nested(child[0])]
        prefix = f"{scene_id}/" if scene_id else ""
        for name, is_link, target in below:
            child, child_id = folder / name, prefix + printable(name)
            if target is not None:
                yield child_id, child, dangling(target)
            elif is_link:
                self.links.append((child, child_id, place.depth - 1))
            else:
                yield from self._below(_Place(child, place.real / name, child_id, place.depth - 1))


def children(folder: Path) -> list[tuple[str, bool, str | None]]:
    """(name, whether it is a link, where a link without a target points) of folders, sorted."""
    found: list[tuple[str, bool, str | None]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            link = entry.is_symlink()
            if Path(entry.path).is_dir() if link else entry.is_dir():  # False for links in a circle
                found.append((entry.name, link, None))
            elif link and not Path(entry.name).suffix and not Path(entry.path).exists():
                # without an ending it is taken for a folder, as on a disk that is not mounted
                found.append((entry.name, link, os.readlink(entry.path)))  # noqa: PTH115
    return sorted(found)


def dangling(target: str) -> FileDefect:
    """The defect of a link to a folder that is missing."""
    return FileDefect(
        Reason.MISSING_FILE,
        f"folder is a link to {printable(target)}, which is missing",
        "a scene's folder",
        "mount the disk or fetch the data (git annex get, dvc pull), or remove the link",
    )


def _unlistable(error: OSError) -> FileDefect:
    return FileDefect(
        Reason.MISSING_FILE,
        f"folder cannot be listed ({error.strerror})",
        "a scene's folder",
        "check its permissions",
    )


def unprintable() -> FileDefect:
    """The defect of a folder whose name a message cannot show."""
    return FileDefect(
        Reason.BAD_NAME,
        "name with control or undecodable characters",
        "a scene's folder",
        "rename it",
    )
