"""Files of a scene's folder that no frame uses, counted by kind from the folder's listing alone.

No file is opened. Hidden files, whose names begin with a dot, are not part of a dataset anywhere
(``listing``) and are not counted. Nor are folders that this tool's commands write (``OURS``): a
build inside its own input would otherwise change that input.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import translate
from glob import escape
from heapq import nsmallest
from pathlib import Path, PurePosixPath
from typing import Any

from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.unused_totals import EXAMPLES
from cameo_data.types import Frame, Unused

MAPS = "pictures, depth maps or masks that no frame uses"
OTHER = "other files, which this source does not read"
UNLISTED = "folders that were not listed: the scene holds too many files, or they cannot be read"
LINKED = "linked folders, none of whose files a frame uses, that were not listed"
# A scene of 20 000 frames with depth, mask and confidence; listing them takes about 0.2 s.
MOST_LISTED = 100_000
# Files that mark a build, a folder of depth, and a build copied without hidden files.
OURS = (".build", ".depth", "croissant.json")
_OF_MAPS = re.compile(
    r"\.(bmp|exr|gif|h5|hdf5|heic|jpe?g|npy|npz|p[fgp]m|png|tiff?|webp)", re.IGNORECASE
)


def unused_files(
    folder: Path,
    named: Iterable[Path],
    kinds: Sequence[tuple[str, str]],
    *,
    read: Iterable[str] = (),
    left_out: Mapping[str, Iterable[Path]] | None = None,
    within: Sequence[str] = ("",),
) -> tuple[Unused, ...]:
    """Files in a scene's folder that belong to no frame.

    Args:
        named: files of the frames, and those that records of failed frames name, existing or not.
        kinds: (pattern, what such a file is and why no frame uses it), the first that matches a
            path below ``folder`` counts; ``*`` stands for anything, ``/`` included.
        read: paths and patterns below ``folder`` of the files that say what the frames are.
        left_out: files of frames that were not selected, by what they are and why.
        within: the parts of ``folder`` that are the scene's.
    """
    used = {relative(folder, path) for path in named}
    places = [(re.compile(translate(pattern)), what) for pattern, what in kinds]
    known = [re.compile(translate(pattern)) for pattern in read]
    by_choice = {
        relative(folder, path): what for what, paths in (left_out or {}).items() for path in paths
    }
    found: dict[str, list[str]] = {}
    for name, state in _walk(folder, within, used):
        what = state
        if what is None:
            if name in used or any(pattern.match(name) for pattern in known):
                continue
            what = by_choice.get(name) or next(
                (what for pattern, what in places if pattern.match(name)), _by_ending(name)
            )
        found.setdefault(what, []).append(name)
    order = {what: place for place, (_, what) in enumerate(reversed(kinds))}
    return tuple(
        of_names(what, len(names), nsmallest(EXAMPLES, names))
        for what, names in sorted(found.items(), key=lambda item: -order.get(item[0], -1))
    )


def of_names(what: str, count: int, names: Sequence[str]) -> Unused:
    """``count`` things that are not used, with the first of their names as examples."""
    return Unused(what, count, tuple(map(printable, names[:EXAMPLES])))


def frame_files(frames: Iterable[Frame]) -> list[Path]:
    """Every file that frames are read from."""
    paths = []
    for frame in frames:
        paths += [frame.image_path, frame.mask_path]
        if frame.depth is not None:
            paths += [frame.depth.path, frame.depth.mask_path]
    return [path for path in paths if path is not None]


def entry_files(folder: Path, entries: Iterable[Any], keys: Sequence[str]) -> Iterator[Path]:
    """Files that entries of a JSON file name under ``keys``, whatever else is wrong with them."""
    for entry in entries:
        for key in keys:
            text = entry.get(key) if isinstance(entry, dict) else None
            if isinstance(text, str) and text and "\0" not in text:
                yield folder / text


def relative(folder: Path, path: Path) -> str:
    """A file's path below ``folder`` as listings spell it, or its whole path where it is not."""
    text, prefix = os.fspath(path), f"{os.fspath(folder)}{os.sep}"
    if text.startswith(prefix) and ".." not in path.parts:  # as most are; abspath takes long
        return text[len(prefix) :].replace(os.sep, "/")
    base, whole = os.path.abspath(folder), os.path.abspath(path)  # noqa: PTH100 - keeps links
    if not whole.startswith(f"{base}{os.sep}"):  # spelled through a link, or elsewhere
        with suppress(OSError, ValueError):  # a name that no system allows is no frame's file
            base, whole = os.path.realpath(folder), os.path.realpath(path)
    inside = whole.startswith(f"{base}{os.sep}")
    return whole[len(base) + 1 :].replace(os.sep, "/") if inside else whole


def kinds_beside(
    folder: Path, frames: Iterable[Frame], why: str = "that no frame uses"
) -> list[tuple[str, str]]:
    """``kinds`` for ``unused_files``: files in the folders that frames are read from."""
    found: dict[str, str] = {}
    for frame in frames:
        depth = frame.depth
        for path, what in (
            (frame.image_path, "pictures"),
            (None if depth is None else depth.path, "depth maps"),
            (None if depth is None else depth.mask_path, "masks of depth maps"),
            (frame.mask_path, "masks"),
        ):
            parent = "" if path is None else relative(folder, path).rpartition("/")[0]
            if parent:
                found.setdefault(f"{escape(parent)}/*", f"{what} {why}")
    # a folder comes before the one that contains it
    return sorted(found.items(), key=lambda item: -item[0].count("/"))


def _by_ending(name: str) -> str:
    return MAPS if _OF_MAPS.fullmatch(PurePosixPath(name).suffix) else OTHER


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
        if part and any((folder / part / mark).exists() for mark in OURS):
            continue
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
