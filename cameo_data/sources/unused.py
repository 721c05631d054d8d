"""Files of a scene's folder that no frame uses, counted by kind from the folder's listing alone.

No file is opened. Hidden files, whose names begin with a dot, are not part of a dataset anywhere
(``listing``) and are not counted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from heapq import nsmallest
from pathlib import Path

from cameo_data.sources.listing import printable
from cameo_data.types import Frame, Unused

OTHER = "other files, which this source does not read"
UNLISTED = "folders that were not listed: the scene holds too many files, or they cannot be read"
LINKED = "linked folders, none of whose files a frame uses, that were not listed"
# A scene of 20 000 frames with depth, mask and confidence; listing so many takes about 0.2 s.
MOST_LISTED = 100_000
_EXAMPLES = 3


def unused_files(
    folder: Path,
    named: Iterable[Path],
    kinds: Sequence[tuple[str, str]],
    *,
    read: Iterable[str] = (),
    within: Sequence[str] = ("",),
) -> tuple[Unused, ...]:
    """What lies in a scene's folder and belongs to no frame.

    Args:
        named: files of the frames, and those that records of failed frames name, there or not.
        kinds: (pattern, what such a file is and why no frame uses it), the first that matches a
            path below ``folder`` counts; ``*`` stands for anything, ``/`` included.
        read: paths and patterns below ``folder`` of the files that say what the frames are.
        within: the parts of ``folder`` that are the scene's.
    """
    used = {relative(folder, path) for path in named}
    places = [(re.compile(translate(pattern)), what) for pattern, what in kinds]
    known = [re.compile(translate(pattern)) for pattern in read]
    found: dict[str, list[str]] = {}
    for name, state in _walk(folder, within, used):
        what = state
        if what is None:
            if name in used or any(pattern.match(name) for pattern in known):
                continue
            what = next((what for pattern, what in places if pattern.match(name)), OTHER)
        found.setdefault(what, []).append(name)
    order = {what: place for place, (_, what) in enumerate(reversed(kinds))}
    return tuple(
        Unused(what, len(names), tuple(map(printable, nsmallest(_EXAMPLES, names))))
        for what, names in sorted(found.items(), key=lambda item: -order.get(item[0], -1))
    )


def frame_files(frames: Iterable[Frame]) -> list[Path]:
    """Every file that frames are read from."""
    paths = []
    for frame in frames:
        paths += [frame.image_path, frame.mask_path]
        if frame.depth is not None:
            paths += [frame.depth.path, frame.depth.mask_path]
    return [path for path in paths if path is not None]


def relative(folder: Path, path: Path) -> str:
    """A file's path below ``folder`` as listings spell it, or its whole path where it is not."""
    base, whole = os.path.abspath(folder), os.path.abspath(path)  # noqa: PTH100 - keeps links
    if not whole.startswith(f"{base}{os.sep}"):  # spelled through a link, or elsewhere
        base, whole = os.path.realpath(folder), os.path.realpath(path)
    inside = whole.startswith(f"{base}{os.sep}")
    return whole[len(base) + 1 :].replace(os.sep, "/") if inside else whole


def _walk(folder: Path, within: Sequence[str], used: set[str]) -> list[tuple[str, str | None]]:
    """(path below ``folder``, None) of each file, or why a folder of that path is not listed.

    Folders that are links are listed only where frames use files of theirs, so no loop of links
    and no foreign disk is walked.
    """
    linked_to = {parent for name in used for parent in _parents(name)}
    files: list[tuple[str, str | None]] = []
    waiting = list(reversed(within))
    while waiting:
        part = waiting.pop()
        prefix = f"{part}/" if part else ""
        if len(files) >= MOST_LISTED:
            files.append((prefix, UNLISTED))
            continue
        try:
            with os.scandir(folder / part) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.name.startswith("."):
                        continue
                    if not entry.is_dir():
                        files.append((name, None))
                    elif entry.is_symlink() and name not in linked_to:
                        files.append((f"{name}/", LINKED))
                    else:
                        waiting.append(name)
                    if len(files) >= MOST_LISTED:
                        waiting.append(part)
                        break
        except FileNotFoundError:
            continue
        except OSError:
            files.append((prefix, UNLISTED))
    return files


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]
