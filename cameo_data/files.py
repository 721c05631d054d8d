"""Files of a dataset, read with care: regular, inside their scene's folder, not larger than sane.

Input is hostile until checked: a dataset may hold links out of its folder,
devices, or files that claim to be small and are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cameo_data.errors import MACHINE_ERRORS, DataError, Reason

# A float32 image of the largest allowed size is 400 MB; anything longer is no frame.
MAX_FRAME_BYTES = 512_000_000
# An hour of poses at 100 Hz as 4×4 matrices of 25 digits is 150 MB.
MAX_TEXT_BYTES = 200_000_000
# One matrix, a camera, a description: a few kilobytes.
MAX_SMALL_TEXT_BYTES = 1_000_000


@dataclass(eq=False)
class FileDefect(Exception):
    """What is wrong with a file, before it is known to which frame it belongs."""

    reason: Reason
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; expected {self.expected}; {self.remedy}"

    def at(self, dataset: str, scene_id: str | None, frame_id: str | None = None) -> DataError:
        """The same as an error that names its place."""
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

    ``unreadable`` is the reason to give for anything but a missing file.

    Raises:
        FileDefect: missing, not a regular file (a pipe would block forever), empty, or too large.
    """
    try:
        regular = path.is_file()
        size = path.stat().st_size if regular else 0
    except (OSError, ValueError) as error:  # ValueError: a name that no file system can hold
        raise _denied(path, error, unreadable) from None
    if not regular:
        what = "not a regular file" if path.exists() else "missing"
        raise FileDefect(
            Reason.MISSING_FILE,
            f"{path.name} is {what}",
            "a file",
            "restore it or remove its frame",
        )
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
        FileDefect: as ``read_bytes``, or it is no UTF-8 text.
    """
    data = read_bytes(path, Reason.BAD_METADATA, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} is no text (byte {error.start})",
            "UTF-8 text",
            "save it as plain text",
        ) from None


def inside(folder: Path, path: Path) -> Path:
    """``path`` itself, once it is known to lie inside ``folder`` with all links followed.

    Raises:
        FileDefect: it leaves the folder through a link or ``..``.
    """
    try:
        contained = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; NUL in a name
        raise _denied(path, error, Reason.BAD_NAME) from None
    if not contained:
        raise FileDefect(
            Reason.BAD_NAME,
            f"{path.name} leads out of {folder.name}",
            "a file inside the scene's folder",
            "copy it there instead of linking to it",
        )
    return path


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
