"""System errors in one line: the path, what the system reported, what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AGAIN = "and run again"
_REMEDIES = {
    errno.ENOSPC: f"free space on that disk or choose another folder, {_AGAIN}",
    errno.EDQUOT: f"your quota there is used up: free space or choose another folder, {_AGAIN}",
    errno.EFBIG: f"raise the limit on file sizes (ulimit -f) or choose another disk, {_AGAIN}",
    errno.EROFS: f"choose a folder that can be written, {_AGAIN}",
    errno.EACCES: f"change its permissions or choose another folder, {_AGAIN}",
    errno.EPERM: f"change its permissions or choose another folder, {_AGAIN}",
    errno.EMFILE: f"raise the limit on open files (ulimit -n) or use fewer --workers, {_AGAIN}",
    errno.ENFILE: f"the whole machine has too many files open: use fewer --workers, {_AGAIN}",
    errno.ENOMEM: f"use fewer --workers or a machine with more memory, {_AGAIN}",
    errno.ENOENT: f"correct the path, {_AGAIN}",
    errno.EIO: f"check the disk or choose another, {_AGAIN}",
}


def described(error: OSError) -> str:
    """``shards/a.tar: No space left on device; free space on that disk …``."""
    where = f"{error.filename}: " if error.filename is not None else ""
    why = error.strerror or str(error) or type(error).__name__
    known = None if error.errno is None else _REMEDIES.get(error.errno)
    return f"{where}{why}; {known or f'check the path and the disk, {_AGAIN}'}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds ``path`` to errors that name no file, such as those of writing and flushing.

    Raises:
        OSError: the block's own error, with a file name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
