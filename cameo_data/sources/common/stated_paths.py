"""Paths as data files state them, found inside the scene wherever the scene has been moved to.

A path may be absolute on the machine that wrote it, or start from the folder that the writing tool
ran in. Such a path is found by its end: the longest end of it that is a file of the scene counts.
Paths that exist as stated are used unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import is_text, printable

# Linux allows 255 bytes for a name and 4096 for a path, including the folder's own.
LONGEST_NAME, LONGEST_PATH = 250, 3000
# Where only a name is stated, pictures are not looked for among maps of the same names.
_MAPS = re.compile(r"depth|mask|normal|segm|label|semantic|render|conf", re.IGNORECASE)
# Folders of a scene that are searched for a file stated by its name only.
_MOST_FOLDERS = 100

Exists = Callable[[PurePosixPath], bool]


@dataclass(eq=False)
class StatedPaths:
    """The paths in one scene's data files.

    Attributes:
        folder: the scene's folder.
        remedy: what to do about a name that several files have.
    """

    folder: Path
    remedy: str = "state paths from the scene's folder"
    _moved: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)
    _folders: list[str] | None = field(default=None, init=False)

    def find(self, text: str, key: str, exists: Exists | None = None) -> PurePosixPath:
        """The path from the scene's folder; as stated, if no end of it exists.

        Args:
            key: what the data file calls it.
            exists: whether a path from the scene's folder is there; a plain file by default.

        Raises:
            FileDefect: not a file name, several files match, or an absolute path none of whose
                ends exists.
        """
        stated = as_path(text)
        is_there = exists or (lambda path: (self.folder / path).is_file())
        plain = not is_absolute(text) and ".." not in stated.parts
        if plain and is_there(stated):
            return stated
        parts = [part for part in stated.parts if part not in ("/", "..") and part[-1:] != ":"]
        for first in range(len(parts)):
            end = PurePosixPath(*parts[first:])
            if is_there(end):
                return self._noted(key, end)
            if end.parent.parts and (self.folder / end.parent).is_dir():
                return end  # its folder exists, it does not; elsewhere the name means another file
        by_name = [end for end in self._in_folders(stated.name, key) if is_there(end)]
        if len(by_name) == 1:
            return self._noted(key, by_name[0])
        if by_name:
            raise FileDefect(
                Reason.BAD_NAME,
                f"{key} {safe_name(text)!r} may be {' or '.join(map(str, by_name[:3]))}",
                "a path that only one file has",
                self.remedy,
            )
        if is_absolute(text):
            raise FileDefect(
                Reason.BAD_NAME,
                f"{key} {safe_name(text)} leads out of {self.folder.name}: it is absolute, and no "
                "file of the scene matches the end of its path",
                "a file inside the scene's folder",
                "copy it there, or state paths from that folder",
            )
        return stated

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found in another place than stated."""
        return tuple(
            f"{key}: {count} paths start outside the scene's folder; their files were found by the "
            f"end of the path, such as {example}"
            for key, (example, count) in self._moved.items()
        )

    def _noted(self, key: str, found: PurePosixPath) -> PurePosixPath:
        example, count = self._moved.get(key, (printable(str(found)), 0))
        self._moved[key] = (example, count + 1)
        return found

    def _in_folders(self, name: str, key: str) -> list[PurePosixPath]:
        """Where a file of that name may be one folder down: maps in folders called after them."""
        if self._folders is None:
            try:
                with os.scandir(self.folder) as entries:
                    found = sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")
            except OSError:
                found = []
            self._folders = found[:_MOST_FOLDERS]
        kind = _MAPS.search(key)
        return [
            PurePosixPath(folder, name)
            for folder in self._folders
            if (not _MAPS.search(folder) if kind is None else kind[0] in folder.lower())
        ]


def as_path(text: str) -> PurePosixPath:
    """A stated path; a backslash is a Windows separator, as in instant-ngp.

    Raises:
        FileDefect: it is not the name of a file.
    """
    path = PurePosixPath(text.replace("\\", "/"))
    fits = is_text(text) and len(text.encode()) <= LONGEST_PATH
    if not fits or not path.name or max(len(p.encode()) for p in path.parts) > LONGEST_NAME:
        raise FileDefect(
            Reason.BAD_NAME,
            f"the path {printable(safe_name(text)[:60])!r}",
            "a file's name in printable text",
            "rename the file",
        )
    return path


def is_absolute(text: str) -> bool:
    """Whether a path starts from a root, a Windows drive, a home folder or a scheme."""
    return re.match(r"[/\\~]|[A-Za-z][A-Za-z0-9+.-]*:", text) is not None


def safe_name(text: str) -> str:
    """A stated path as messages and ids may show it: for an absolute one, its last two parts.

    A person's home folder, which names the person, must not appear in failures or shards.
    """
    if not is_absolute(text):
        return text
    parts = PurePosixPath(text.replace("\\", "/")).parts
    return "/".join(parts[-2:] if len(parts) > 4 else parts[-1:])
