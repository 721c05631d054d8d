"""Files that an entry of ``transforms.json`` means: as written, completed, or reduced copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.stated_paths import StatedPaths, as_path, is_absolute
from cameo_data.sources.common.unused import entry_files, frame_files, kinds_beside, unused_files
from cameo_data.sources.nerfstudio.files import NerfstudioLayout
from cameo_data.types import DepthCodec, Frame, Unused

DEPTH_CODECS = {
    ".png": DepthCodec.UINT16,
    ".npy": DepthCodec.NPY,
    ".npz": DepthCodec.NPZ,
    ".h5": DepthCodec.HDF5,
    ".hdf5": DepthCodec.HDF5,
    ".tif": DepthCodec.FLOAT,
    ".tiff": DepthCodec.FLOAT,
    ".exr": DepthCodec.FLOAT,
    ".pfm": DepthCodec.FLOAT,
}
# Endings that instant-ngp and NeRF's Blender sets leave out.
_IMPLIED = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(eq=False)
class Paths:
    """Paths of one frame.

    Attributes:
        images: folder to take images from in place of the stated one, or None.
        file_path: as written.
        stated: finds paths of the scene that are written for another place.
    """

    folder: Path
    images: str | None
    file_path: str
    stated: StatedPaths
    layout: NerfstudioLayout

    @cached_property
    def frame_id(self) -> str:
        """The image's path as written, or from the scene's folder where that is shorter.

        Raises:
            FileDefect: not a file name, or several files match.
        """
        written = as_path(self.file_path)
        known = is_absolute(self.file_path) or ".." in written.parts
        shorter = known or len(self._relative.parts) < len(written.parts)
        return printable(str(self._relative if shorter else written))

    @cached_property
    def _relative(self) -> PurePosixPath:
        """``file_path`` from the scene's folder."""
        text = _in_folder(self.file_path, self.layout.images)
        if self.images is not None and is_absolute(text):
            return PurePosixPath(as_path(text).name)  # its folder is on another machine
        return self.stated.find(text, "file_path", lambda path: self._image_at(path).is_file())

    def image(self) -> Path:
        """The image, which exists.

        Raises:
            FileDefect: it does not exist, or is outside the scene's folder.
        """
        return self._existing(self._image_at(self._relative), Reason.UNREADABLE_IMAGE)

    def _image_at(self, stated: PurePosixPath) -> Path:
        substitute = self._reduced_folder(stated)
        path = self.folder / (stated if substitute is None else f"{substitute}/{stated.name}")
        if not path.suffix and not path.is_file():
            found = (path.with_suffix(suffix) for suffix in _IMPLIED)
            path = next((candidate for candidate in found if candidate.is_file()), path)
        return path

    def mask(self, text: str) -> Path:
        """The mask of the image's size.

        Raises:
            FileDefect: as ``image``.
        """
        return self._existing(
            self._beside(_in_folder(text, self.layout.masks), "mask_path", "masks"),
            Reason.UNREADABLE_IMAGE,
        )

    def depth(self, text: str) -> Path:
        """The depth map.

        Raises:
            FileDefect: as ``image``, or of a kind that is not read.
        """
        stated = self._beside(text, "depth_file_path", "depths")
        path = self._existing(stated, Reason.UNREADABLE_DEPTH)
        if path.suffix.lower() not in DEPTH_CODECS:
            raise FileDefect(
                Reason.UNREADABLE_DEPTH,
                f"depth {path.name}",
                f"one of {', '.join(DEPTH_CODECS)}",
                "convert it",
            )
        return path

    def attached_depth(self, name: str) -> Path | None:
        """Depth that the entry does not name, by the image's: ``depth/frame_00001.npy``, or None.

        Folders of images are kept, except a leading ``images``: names may repeat between them.

        Raises:
            FileDefect: it is outside the scene's folder.
        """
        if not (self.folder / name).is_dir():
            return None
        stated = self._relative
        for parent in dict.fromkeys((stated.parent, _below_images(stated.parent))):
            for suffix in DEPTH_CODECS:
                path = self.folder / name / parent / f"{stated.stem}{suffix}"
                if path.is_file():
                    return self._existing(path, Reason.UNREADABLE_DEPTH)
        return None

    def _beside(self, text: str, key: str, name: str) -> Path:
        """The stated file, or its reduced copy where the images are reduced ones."""
        substitute = self._reduced_folder(self._relative)
        factor = re.fullmatch(r".*_(\d+)", substitute or "")
        if factor is not None:
            reduced = self.folder / f"{name}_{factor[1]}" / as_path(text).name
            if reduced.is_file():
                return reduced
        return self.folder / self.stated.find(text, key)

    def _reduced_folder(self, stated: PurePosixPath) -> str | None:
        """Folder that takes the place of the stated one, as nerfstudio's: images_4/NAME."""
        if self.images is not None:
            return self.images
        return _reduction(self.folder, str(stated.parent))

    def _existing(self, path: Path, unreadable: Reason) -> Path:
        files.checked_size(files.inside(self.folder, path), files.MAX_FRAME_BYTES, unreadable)
        return path


def named_files(folder: Path, images: str | None, entries: Iterable[Any]) -> Iterator[Path]:
    """Files that refused entries name, existing or not, so that none counts as unnamed."""
    keys = ("mask_path", "depth_file_path", "depth_path")
    for entry in entries:
        yield from entry_files(folder, [entry], keys)
        text = entry.get("file_path") if isinstance(entry, dict) else None
        if isinstance(text, str) and text:
            try:
                stated = as_path(text)
            except FileDefect:
                continue
            substitute = images or _reduction(folder, str(stated.parent))
            path = folder / (stated if substitute is None else f"{substitute}/{stated.name}")
            yield path
            if not path.suffix:
                yield from (path.with_suffix(suffix) for suffix in _IMPLIED)


def unused(
    folder: Path, frames: Sequence[Frame], named: Iterable[Path], split: str | None, depth: str
) -> tuple[Unused, ...]:
    """Files that no entry (of the split) names, ``depth`` being the folder of attached depth."""
    why = "that no entry names" if split is None else f"that no entry of the split {split} names"
    read = {path.parent.name for path in frame_files(frames)}
    kinds = [
        *kinds_beside(folder, frames, why),
        (f"{escape(depth)}/*", f"depth maps {why}"),
        ("images_*/*", "pictures of another size (choose them with -o images=…)"),
    ]
    if any(name.startswith("images_") for name in read):
        kinds.append(("images/*", "pictures of another size (choose them with -o images=…)"))
    else:
        kinds.append(("images/*", f"pictures {why}"))
    return unused_files(
        folder, named, kinds, read=("transforms*.json", "nerfstudio/transforms*.json")
    )


def _reduction(folder: Path, stated: str) -> str | None:
    """``images_2``, else ``images_4`` …, where ``images`` is missing: DL3DV ships one of them."""
    if stated == "." or (folder / stated).is_dir():
        return None
    for factor in (2, 4, 8, 16):
        if (folder / f"{stated}_{factor}").is_dir():
            return f"{stated}_{factor}"
    return None


def _below_images(folder: PurePosixPath) -> PurePosixPath:
    leading = bool(folder.parts) and re.fullmatch(r"images(_\d+)?", folder.parts[0])
    return PurePosixPath(*folder.parts[1:]) if leading else folder


def _in_folder(text: str, folder: str | None) -> str:
    """A name without a folder, in the one that the layout has for it."""
    bare = "/" not in text and "\\" not in text
    return f"{folder}/{text}" if folder is not None and bare else text
