"""Folders that long commands write to: each file is written whole or not at all, one process writes
at a time, and a fingerprint records the input files.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cameo_data.io.records import canonical_json
from cameo_data.io.whole_files import write_file
from cameo_data.types import Frame


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as canonical JSON, whole or not at all; the folder is made if missing."""
    write_bytes(path, canonical_json(value) + b"\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Like ``whole_files.write_file``; the folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, data)


def read_bytes_or_none(path: Path) -> bytes | None:
    """The file's bytes, or None where it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """What ``write_json`` wrote, or None where no complete file exists."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def changes(
    before: Mapping[str, Any], now: Mapping[str, Any], within: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Keys whose values differ; keys of inner tables as ``source.options.split``."""
    for key in dict.fromkeys((*now, *before)):
        there, here = before.get(key), now.get(key)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from changes(there, here, f"{within}{key}.")
        elif there != here:
            yield f"{within}{key}", there, here


@contextmanager
def locked(root: Path, work: Path, index: Path) -> Iterator[None]:
    """``root``, locked for this process; it must be empty or hold what this kind of command wrote.

    Args:
        work: folder in it that a resumed command needs, made if missing.
        index: file in it that marks finished work.

    Raises:
        ValueError: it holds other files, or another command is writing to it.
        OSError: it cannot be written.
    """
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file; give a folder as --out")
    ours = work.is_dir() or index.exists()
    if root.is_dir() and not ours and any(root.iterdir()):
        raise ValueError(f"{root} holds other files; give a new or an empty folder as --out")
    with exclusive(root, work / "lock"):
        yield


def refuse_build(out: Path) -> None:
    """Refuse to write another command's results into a build: ``verify`` takes them for damage.

    Raises:
        ValueError: ``out`` is the folder of a build, finished or not.
    """
    if (out / "index.json").is_file() or (out / ".build").is_dir():
        raise ValueError(
            f"{out} is the folder of a build, which must hold nothing else; give another --out, "
            f"e.g. {out}-results"
        )


@contextmanager
def exclusive(root: Path, lock: Path) -> Iterator[None]:
    """``root``, made if missing and reserved for this process while it holds the file ``lock``.

    Raises:
        ValueError: another process holds it.
        OSError: it cannot be written.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            # Released by the system once this process and the workers forked from it have ended.
            # filelock frees it in forked children: after kill -9 of the parent another run could
            # begin while workers still write (docs/decisions/008).
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{root}: another run is writing to this folder; wait for it or give another --out"
            ) from None
        yield


def mark_of_frames(frames: Iterable[Frame]) -> bytes:
    """A text that changes when a frame's record does, or a file of it in size or time of change."""
    parts = []
    for frame in frames:
        paths = [frame.image_path, frame.mask_path]
        paths += [frame.depth.path, frame.depth.mask_path] if frame.depth else [None]
        parts.append(json.dumps(dataclasses.asdict(frame), default=_plain).encode())
        parts.append(repr([_stamp(path) for path in paths]).encode())
    return b"".join(parts)


def mark_of_files(paths: Iterable[Path]) -> bytes:
    """A text that changes when one of the files changes in size or time of change."""
    return repr([(str(path), _stamp(path)) for path in paths]).encode()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_size, status.st_mtime_ns)
