"""A COLMAP model's files as COLMAP's library reads them: as they are, or completed beside them.

The library needs a file of points, and rigs and frames together. A model without them is whole for
our purposes, so it is read through a folder of links in which the missing files are empty.
"""

from __future__ import annotations

import codecs
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data.io import colmap_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.colmap.text import TextImages, scan_images, write_plain_images


@dataclass(frozen=True, eq=False, kw_only=True)
class Staged:
    """How to hand a model to COLMAP's library.

    Attributes:
        text: what was found in ``images.txt``; None for a binary model.
        with_points, with_rigs: whether ``points3D``, and ``rigs`` and ``frames``, are read.
        lone: ``rigs`` or ``frames``, if one exists without the other.
        points_defect: what is wrong with an existing ``points3D``.
        notes: what the files lack and how they are read.
    """

    folder: Path
    ext: str
    text: TextImages | None
    with_points: bool
    with_rigs: bool
    lone: str | None
    points_defect: FileDefect | None
    notes: tuple[str, ...]

    def load(self, library: Any) -> Any:
        """The library's ``Reconstruction``.

        Raises:
            Exception: the library refuses it.
        """
        as_is = self.text is None or (self.text.as_colmap_writes and not self._marked())
        rig_files = [self._file(name) for name in colmap_files.RIG_FILES]
        if as_is and self.with_points and self.with_rigs == any(x.exists() for x in rig_files):
            return self._read(library, self.folder)
        with tempfile.TemporaryDirectory() as scratch:
            self._fill(Path(scratch))
            return self._read(library, Path(scratch))

    def track_files(self) -> tuple[Path, ...]:
        """The files that tracks come from."""
        return tuple(p for n in colmap_files.MODEL_FILES[1:] if (p := self._file(n)).is_file())

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.{self.ext}"

    def _marked(self) -> list[str]:
        """Names of text files that begin with a byte-order mark, which the library cannot read."""
        names = [*colmap_files.MODEL_FILES, *colmap_files.RIG_FILES]
        return [name for name in names if self.ext == "txt" and _is_marked(self._file(name))]

    def _fill(self, scratch: Path) -> None:
        names = ["cameras", "images", *(colmap_files.RIG_FILES if self.with_rigs else ())]
        for name in [*names, *([colmap_files.POINTS] if self.with_points else [])]:
            (scratch / f"{name}.{self.ext}").symlink_to(self._file(name).resolve())
        for name in self._marked():
            if (copy := scratch / f"{name}.{self.ext}").exists():
                copy.unlink()
                copy.write_bytes(self._file(name).read_bytes().removeprefix(codecs.BOM_UTF8))
        if self.text is not None and not self.text.as_colmap_writes:
            (scratch / "images.txt").unlink()
            write_plain_images(self._file("images"), scratch / "images.txt")
        if not self.with_points:
            none = b"" if self.ext == "txt" else bytes(8)  # a count of zero
            (scratch / f"{colmap_files.POINTS}.{self.ext}").write_bytes(none)

    def _read(self, library: Any, folder: Path) -> Any:
        model = library.Reconstruction()
        (model.read_binary if self.ext == "bin" else model.read_text)(str(folder))
        return model


def _is_marked(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def stage(folder: Path, ext: str) -> Staged:
    """How to read the model whose files were checked by ``colmap_files.check_model``.

    Raises:
        FileDefect: ``images.txt`` holds a line that is neither an image nor keypoints.
    """
    notes = []
    text = scan_images(folder / "images.txt") if ext == "txt" else None
    if text is not None and text.without_keypoints:
        notes.append(
            f"images.txt lacks the second line, of keypoints, for {text.without_keypoints} of "
            f"{len(text.names)} images; they are read as images without keypoints"
        )
    points = folder / f"{colmap_files.POINTS}.{ext}"
    defect = colmap_files.points_defect(folder, ext)
    if not points.exists() and not points.is_symlink():
        defect = None
        notes.append(f"the model has no {points.name}; tracks are those that its images state")
    rigs = [
        name
        for name in colmap_files.RIG_FILES
        if colmap_files.has_content(folder / f"{name}.{ext}")
    ]
    if len(rigs) == 1:
        notes.append(
            f"{rigs[0]}.{ext} is not read, since rigs and frames belong together; poses are those "
            f"in images.{ext}"
        )
    whole = defect is None and colmap_files.has_content(points)
    lone = rigs[0] if len(rigs) == 1 else None
    return Staged(
        folder=folder,
        ext=ext,
        text=text,
        with_points=whole,
        with_rigs=len(rigs) == 2,
        lone=lone,
        points_defect=defect,
        notes=tuple(notes),
    )
