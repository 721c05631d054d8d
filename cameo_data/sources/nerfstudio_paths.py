"""Files that an entry of ``transforms.json`` means: as written, completed, or reduced copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from cameo_data import files
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.sources.listing import is_text, printable
from cameo_data.sources.nerfstudio_records import FILE_NAMES
from cameo_data.sources.unused import entry_files, kinds_beside, unused_files
from cameo_data.types import Frame, Unused

DEPTH_CODECS = {
    ".png": "uint16",
    ".npy": "npy",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".tif": "float",
    ".tiff": "float",
    ".exr": "float",
    ".pfm": "float",
}
# Linux allows 255 bytes of a name and 4096 of a path, the folder's own included.
_LONGEST = 250
# Endings that instant-ngp and NeRF's Blender sets leave out.
_IMPLIED = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Paths:
    """Paths of one frame.

    Attributes:
        images: folder to take images from in place of the stated one, or None.
        file_path: as written.
    """

    folder: Path
    images: str | None
    file_path: str

    def image(self) -> Path:
        """The image, which exists.

        Raises:
            FileDefect: it does not, or lies outside the scene's folder.
        """
        stated = _relative(self.file_path)
        substitute = self._reduced_folder(stated)
        path = self.folder / (stated if substitute is None else f"{substitute}/{stated.name}")
        if not path.suffix and not path.is_file():
            found = (path.with_suffix(suffix) for suffix in _IMPLIED)
            path = next((candidate for candidate in found if candidate.is_file()), path)
        return self._existing(path, Reason.UNREADABLE_IMAGE)

    def mask(self, text: str) -> Path:
        """The mask of the image's size.

        Raises:
            FileDefect: as ``image``.
        """
        return self._existing(self._beside(text, "masks"), Reason.UNREADABLE_IMAGE)

    def depth(self, text: str) -> Path:
        """The depth map.

        Raises:
            FileDefect: as ``image``, or of a kind that we do not read.
        """
        path = self._existing(self._beside(text, "depths"), Reason.UNREADABLE_DEPTH)
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

        Folders of images are kept, but for a leading ``images``: names may repeat between them.

        Raises:
            FileDefect: it lies outside the scene's folder.
        """
        if not (self.folder / name).is_dir():
            return None
        stated = _relative(self.file_path)
        for parent in dict.fromkeys((stated.parent, _below_images(stated.parent))):
            for suffix in DEPTH_CODECS:
                path = self.folder / name / parent / f"{stated.stem}{suffix}"
                if path.is_file():
                    return self._existing(path, Reason.UNREADABLE_DEPTH)
        return None

    def _beside(self, text: str, name: str) -> Path:
        """The stated file, or its reduced copy where the images are reduced ones."""
        stated = _relative(text)
        substitute = self._reduced_folder(_relative(self.file_path))
        factor = re.fullmatch(r".*_(\d+)", substitute or "")
        if factor is not None:
            reduced = self.folder / f"{name}_{factor[1]}" / stated.name
            if reduced.is_file():
                return reduced
        return self.folder / stated

    def _reduced_folder(self, stated: PurePosixPath) -> str | None:
        """Folder that takes the place of the stated one, as nerfstudio's: images_4/NAME."""
        if self.images is not None:
            return self.images
        return _reduction(self.folder, str(stated.parent))

    def _existing(self, path: Path, unreadable: Reason) -> Path:
        files.checked_size(files.inside(self.folder, path), files.MAX_FRAME_BYTES, unreadable)
        return path


def named_files(folder: Path, images: str | None, entries: Iterable[Any]) -> Iterator[Path]:
    """Files that refused entries name, there or not, so that they are not counted as unnamed."""
    keys = ("mask_path", "depth_file_path", "depth_path")
    for entry in entries:
        yield from entry_files(folder, [entry], keys)
        text = entry.get("file_path") if isinstance(entry, dict) else None
        if isinstance(text, str) and text:
            try:
                stated = _relative(text)
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
    kinds = [
        *kinds_beside(folder, frames, why),
        (f"{escape(depth)}/*", f"depth maps {why}"),
        ("images_*/*", "pictures of another size (choose them with -o images=…)"),
        ("images/*", "pictures of another size (choose them with -o images=…)"),
    ]
    return unused_files(folder, named, kinds, read=FILE_NAMES)


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


def _relative(text: str) -> PurePosixPath:
    # as instant-ngp: a backslash is a Windows separator
    path = PurePosixPath(text.replace("\\", "/"))
    if not is_text(text) or len(text.encode()) > _LONGEST or not path.name:
        raise FileDefect(
            Reason.BAD_NAME,
            f"the path {printable(text[:60])!r}",
            "a file's name in printable text",
            "rename the file",
        )
    return path
