"""Checked reading of a dataset's files: regular, inside their scene's folder, of a sane size.

Input is hostile until checked: a data file may name paths outside its folder, and a dataset may
hold devices, or files that claim to be small and are not.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from cameo_data.errors import MACHINE_ERRORS, DataError, Reason

# A float32 image of the largest allowed size is 400 MB; a longer file is not a frame.
MAX_FRAME_BYTES = 512_000_000
# An hour of poses at 100 Hz as 4×4 matrices of 25 digits is 150 MB.
MAX_TEXT_BYTES = 200_000_000
# One matrix, a camera, a description: a few kilobytes.
MAX_SMALL_TEXT_BYTES = 1_000_000
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
# At most this many names in a folder are compared with the name of a missing file.
_MOST_NAMES = 20_000


@dataclass(eq=False)
class FileDefect(Exception):
    """What is wrong with a file, before its frame is known."""

    reason: Reason
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; expected {self.expected}; {self.remedy}"

    def at(self, dataset: str, scene_id: str | None, frame_id: str | None = None) -> DataError:
        """The defect as an error that names the dataset, scene and frame."""
        return DataError(
            self.reason,
            dataset=dataset,
            scene_id=scene_id,
            frame_id=frame_id,
            found=self.found,
            expected=self.expected,
            remedy=self.remedy,
        )


def checked_size(path: Path, limit: int, unreadable: Reason) -> int:
    """The file's size in bytes.

    ``unreadable`` is the reason to report for anything other than a missing file.

    Raises:
        FileDefect: missing, not a regular file (a pipe would block forever), empty, or too large.
    """
    try:
        regular = path.is_file()
        size = path.stat().st_size if regular else 0
    except (OSError, ValueError) as error:  # ValueError: a name that no file system allows
        raise _denied(path, error, unreadable) from None
    if not regular:
        raise _not_a_file(path)
    if size == 0 or size > limit:
        raise FileDefect(
            unreadable,
            f"{path.name} holds {size} bytes",
            f"1 to {limit} bytes",
            "copy the file again",
        )
    return size


def read_bytes(path: Path, unreadable: Reason, limit: int = MAX_FRAME_BYTES) -> bytes:
    """The whole file.

    Raises:
        FileDefect: as ``checked_size``, or the system refuses to read it.
    """
    checked_size(path, limit, unreadable)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _denied(path, error, unreadable) from None


def read_text(path: Path, limit: int = MAX_SMALL_TEXT_BYTES) -> str:
    """The whole file as UTF-8 text, without a byte-order mark.

    Raises:
        FileDefect: as ``read_bytes``, or the file is not UTF-8 text.
    """
    data = read_bytes(path, Reason.BAD_METADATA, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} is not text (byte {error.start})",
            "UTF-8 text",
            "save it as plain text",
        ) from None


def root_defect(root: Path) -> str | None:
    """What keeps a dataset's folder from being listed, or None."""
    shown = str(root).encode("utf-8", "backslashreplace").decode()
    try:
        if root.is_dir():
            next(root.iterdir(), None)
        elif root.is_symlink() and not root.exists():
            return f"{shown} is a link to {root.readlink()}, which is missing"
        elif not root.exists():
            return f"{shown} does not exist"
    except OSError as error:
        return f"{shown} cannot be listed ({error.strerror})"
    return None


def inside(folder: Path, path: Path) -> Path:
    """``path`` unchanged, if a path from a data file stays inside ``folder``.

    The path as written must stay below the folder: it is not absolute, and no ``..`` leads out of
    the folder or back from a link. The file itself may be a link to anywhere, since only a person
    can have made it (``docs/decisions/005-links.md``), but not to a device or a system file.

    Raises:
        FileDefect: it leaves the folder, or its links form a loop.
    """
    try:
        real = path.resolve()
        contained = _stays_below(folder, path, real) or real.is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; NUL in a name
        raise _denied(path, error, Reason.BAD_NAME) from None
    if not contained:
        raise FileDefect(
            Reason.BAD_NAME,
            f"{path.name} leads out of {folder.name}",
            "a path inside the scene's folder, as written",
            "put the file there, or a link to it, and name that",
        )
    if _is_systems(real) and not _is_systems(folder.resolve()):
        raise FileDefect(
            Reason.BAD_NAME,
            f"{path.name} is a link to {real}",
            "a file of the dataset",
            "remove the link, and ask the dataset's provider why it is there",
        )
    return path


def _stays_below(folder: Path, path: Path, real: Path) -> bool:
    """Whether the path, read as text, is below the folder; ``real`` is where it leads."""
    try:
        rest = path.relative_to(folder)
    except ValueError:
        if ".." in path.parts:
            return False
        return path.absolute().is_relative_to(folder.absolute())
    if ".." not in rest.parts:
        return True
    # a/../b is b unless a is a link: then the system follows a and goes up from there
    plain = Path(os.path.normpath(rest))
    return plain.parts[:1] != ("..",) and (folder / plain).resolve() == real


def _is_systems(path: Path) -> bool:
    """Whether it is a device or a virtual system file; /dev/shm is neither, it holds real files."""
    return path.parts[1:2] in (("dev",), ("proc",), ("sys",)) and path.parts[2:3] != ("shm",)


def _not_a_file(path: Path) -> FileDefect:
    if path.is_symlink() and not path.exists():
        # the data has not been fetched yet, or its disk is not mounted
        found = f"{path.name} is a link to {path.readlink()}, which is missing"
        remedy = "fetch the data (git annex get, dvc pull) or mount its disk, or remove the frame"
    else:
        if not path.exists():
            return missing(path, path.name, "restore it or remove its frame")
        found = f"{path.name} is not a regular file"
        remedy = "restore it or remove its frame"
    return FileDefect(Reason.MISSING_FILE, found, "a file", remedy)


def missing(path: Path, name: str, remedy: str) -> FileDefect:
    """The defect of a missing file ``name``, with a suggestion if one file beside it is similar.

    Similar names differ only in capitals, which only some systems distinguish; in accents as one
    character or two, as macOS writes them; in ``%20`` from an address; or in a picture's ending.
    """
    found = f"{name} is missing"
    try:
        beside = _names_in(path.parent, path.parent.stat().st_mtime_ns)
    except (OSError, ValueError):
        beside = {}
    alike = beside.get(_plain(path.name), [])
    if len(alike) != 1 and path.suffix.lower() in _PICTURES:
        alike = beside.get(_plain(path.stem) + "/", [])
    if len(alike) == 1:
        shown = alike[0].encode("utf-8", "backslashreplace").decode()
        found += f", {shown} is there"
        remedy = f"correct the name in the data to {shown}, or rename the file"
        if Path(shown).suffix.lower() != path.suffix.lower():
            remedy = f"correct the name in the data to {shown}"
    return FileDefect(Reason.MISSING_FILE, found, "a file", remedy)


@lru_cache(8)
def _names_in(folder: Path, changed: int) -> dict[str, list[str]]:
    """A folder's file names by their plain form (``_plain``), and by stem plus ``/`` for pictures.
    ``changed``, the folder's time of change in ns, makes a cached listing expire."""
    found: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in islice(entries, _MOST_NAMES):
            found.setdefault(_plain(entry.name), []).append(entry.name)
            name = Path(entry.name)
            if name.suffix.lower() in _PICTURES:
                found.setdefault(_plain(name.stem) + "/", []).append(entry.name)
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unquote(name)).casefold()


def _denied(path: Path, error: Exception, reason: Reason) -> FileDefect:
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        raise error
    why = getattr(error, "strerror", None) or str(error)
    return FileDefect(
        reason,
        f"{path.name} cannot be read ({why})",
        "a readable file",
        "check its permissions and the disk",
    )
