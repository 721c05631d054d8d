"""Files of one folder by pattern, and the names of frames in them; no file is opened."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect


@dataclass(frozen=True)
class Listed:
    """A file and the name that its pattern found in it: what ``*`` stands for, else the stem."""

    path: Path
    name: str


def list_files(folder: Path, pattern: str) -> list[Listed]:
    """Files of ``folder`` that match, in natural order (2 before 10); [] without such a folder.

    ``*`` and ``{a,b}`` are understood in the last part of the pattern. Hidden files never match.

    Raises:
        FileDefect: the pattern's folder leaves ``folder`` through a link, or cannot be listed.
    """
    where, _, last = pattern.rpartition("/")
    directory = folder / where
    if not directory.is_dir():
        return []
    files.inside(folder, directory)
    expression = re.compile(_expression(last), re.DOTALL)
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names only: a scene may hold 100 000 files
    except OSError as error:
        raise FileDefect(
            Reason.MISSING_FILE,
            f"folder {directory.name} cannot be listed ({error.strerror})",
            "a readable folder",
            "check its permissions",
        ) from None
    found = []
    for name in names:
        match = None if name.startswith(".") else expression.fullmatch(name)
        if match is not None:
            found.append(Listed(directory / name, match["name"] or Path(name).stem))
    return sorted(found, key=lambda listed: natural_key(listed.path.name))


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts ``frame2`` before ``frame10``."""
    # not natsort: it sorts a name before the same name with a number, reads ² and ① as numbers and
    # normalises Unicode; the order of frames decides the bytes of shards (docs/decisions/008)
    parts = re.split(r"(\d+)", text)
    runs = ((1, int(p), "") if i % 2 else (0, 0, p) for i, p in enumerate(parts))
    return (*runs, (2, 0, text))  # 01 and 1 are equal numbers: the text decides


def first_number(text: str) -> int | None:
    """The first run of digits as a number."""
    match = re.search(r"\d+", text)
    return int(match.group()) if match else None


def printable(name: str) -> str:
    """The name as messages and JSON can show it, whatever bytes the file system holds."""
    if is_text(name):
        return name
    return name.encode("utf-8", "backslashreplace").decode().encode("unicode_escape").decode()


def is_text(name: str) -> bool:
    """Whether a name can be written and printed: valid UTF-8 without control characters."""
    return name.isprintable()  # lone surrogates, as from undecodable bytes, are not printable


def _expression(pattern: str) -> str:
    """Regular expression of a pattern; group ``name`` is what ``*`` stands for."""
    out = ""
    for part in re.findall(r"\*|\{[^{}]*\}|[^*{]+|\{", pattern):
        if part == "*":
            out += r"(?P<name>.+)"
        elif part[0] == "{" and part[-1] == "}" and len(part) > 1:
            out += "(?:" + "|".join(re.escape(word) for word in part[1:-1].split(",")) + ")"
        else:
            out += re.escape(part)
    return out if "*" in pattern else f"(?P<name>){out}"
