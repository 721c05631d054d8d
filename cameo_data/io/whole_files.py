"""Files written completely or not at all, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cameo_data.io.os_errors import naming

PARTIAL_SUFFIX = ".partial"


class HashingFile:
    """A file that is written only from front to back and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Append ``data``."""
        self.sha256.update(data)
        self._size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that it exists completely or not at all, even after a power failure."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[HashingFile]:
    """A file that takes its name when the block ends without error and is deleted otherwise."""
    # a random name: tasks on different machines may write the same shard at the same time
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        with naming(path), partial.open("xb") as raw:
            file = HashingFile(raw)
            yield file
            raw.flush()
            os.fsync(raw.fileno())
        if file_sha256(partial) != file.sha256.hexdigest():
            raise OSError(errno.EIO, "bytes read back differ from those written", str(path))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def remove_partials(folder: Path) -> None:
    """Delete what killed writers left; call it only when no writer is running."""
    for partial in folder.glob(f".*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's renames, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
