"""Where in a folder COLMAP's projects are, and which of their parts belong together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from cameo_data.io import colmap_files
from cameo_data.sources.colmap.options import ColmapOptions
from cameo_data.sources.common.file_listing import natural_key
from cameo_data.sources.common.unused import relative, unused_files
from cameo_data.types import Unused


@dataclass(frozen=True)
class Project:
    """A model and what belongs to it.

    Attributes:
        folder: the folder that must contain all its files.
        depth_maps: folder of depth maps of a dense workspace, or None.
    """

    folder: Path
    model: Path
    images: Path
    depth_maps: Path | None

    def mask(self, masks: str, name: str) -> Path:
        """Path of an image's mask, if it has one; ``masks`` is the masks' folder."""
        return self.images.parent / masks / f"{name}.png"

    def depth_map(self, name: str, kind: str) -> Path:
        """Path of an image's depth map in a dense workspace."""
        assert self.depth_maps is not None
        return self.depth_maps / f"{name}.{kind}.bin"


def is_project(folder: Path) -> bool:
    """Whether a folder holds a model where COLMAP's users keep it; checks for a few files only."""
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


def unused_in(
    project: Project, options: ColmapOptions, names: Iterable[str], kind: str | None
) -> tuple[Unused, ...]:
    """Files of the project that belong to none of the images with the given names.

    Args:
        kind: which depth maps are read, or None.
    """
    named = []
    for name in names:
        named += [project.images / name, project.mask(options.masks, name)]
        if kind is not None:
            named.append(project.depth_map(name, kind))
    images = relative(project.folder, project.images)
    masks = relative(project.folder, project.images.parent / options.masks)
    kinds = [
        (f"{images}/*", "pictures that the model does not register"),
        (f"{escape(masks)}/*", "masks of pictures that the model does not register"),
    ]
    if project.depth_maps is not None:
        maps = relative(project.folder, project.depth_maps)
        what = "depth maps of pictures that the model does not register"
        kinds += [(f"{maps}/*.{kind}.bin", what)] if kind is not None else []
        kinds.append((f"{maps}/*", "depth maps of another kind (choose it with -o depth=…)"))
    every = (*colmap_files.MODEL_FILES, *colmap_files.RIG_FILES)
    models = [project.model / f"{name}.{ext}" for name in every for ext in ("bin", "txt")]
    read = [relative(project.folder, path) for path in models]
    read += [] if options.matches is None else [escape(options.matches)]
    return unused_files(project.folder, named, kinds, read=read)


# Paths are strings from here on: listing thousands of projects would spend most of its time in
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
