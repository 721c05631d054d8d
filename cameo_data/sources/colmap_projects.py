"""Where in a folder COLMAP's projects are, and which of their parts belong together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cameo_data import colmap_files
from cameo_data.sources.listing import natural_key


@dataclass(frozen=True)
class Project:
    """A model and what belongs to it.

    Attributes:
        folder: that all files must lie in.
        depth_maps: of a dense workspace, or None.
    """

    folder: Path
    model: Path
    images: Path
    depth_maps: Path | None


def is_project(folder: Path) -> bool:
    """Whether a folder holds a model where COLMAP's users keep it; a few files are looked for."""
    return next(_workspaces(os.fspath(folder)), None) is not None


def projects_in(folder: Path, with_depth: bool) -> dict[str, Project]:
    """The projects of a folder, by what tells them apart (``""`` where there is only one).

    Dense workspaces where there are any and depth is wanted; else the models beside images.
    """
    spaces = list(_workspaces(os.fspath(folder)))
    dense = [space for space in spaces if _is_dir(f"{space}/stereo/depth_maps")]
    if with_depth and dense:
        chosen = dense
    else:
        pictured = [space for space in spaces if _is_dir(f"{space}/images")]
        chosen = (pictured or spaces)[:1]
    found: dict[str, Project] = {}
    for space in chosen:
        depth_maps = Path(space, "stereo/depth_maps") if with_depth and space in dense else None
        for model in _models(space):
            part = Path(model if len(chosen) == 1 else space).relative_to(folder).as_posix()
            found[part] = Project(folder, Path(model), Path(space, "images"), depth_maps)
    return {"": found.popitem()[1]} if len(found) == 1 else found


# Paths are texts from here on: listing thousands of projects would spend most of its time in
# pathlib.


def _workspaces(folder: str) -> Iterator[str]:
    """The folder itself and its dense parts, as far as they hold models."""
    if _models(folder):
        yield folder
    dense = f"{folder}/dense"
    if _is_dir(dense):
        yield from (space for space in (dense, *_numbered(dense)) if _models(space))


def _models(space: str) -> list[str]:
    """``sparse/0``, ``sparse/1`` …, else ``sparse``, else the folder itself."""
    sparse = f"{space}/sparse"
    numbered = [path for path in _numbered(sparse) if colmap_files.model_ext(path)]
    if numbered:
        return numbered
    return [path for path in (sparse, space) if colmap_files.model_ext(path)][:1]


def _numbered(folder: str) -> list[str]:
    try:
        names = [name for name in os.listdir(folder) if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []
    return [f"{folder}/{name}" for name in sorted(names, key=natural_key)]


def _is_dir(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112
