"""The boundary around foreign data: any exception that reading raises becomes a counted failure.

A source raises ``DataError`` for the defects it foresees. Unforeseen ones (a parser's exception, a
matrix that cannot be inverted) are also the data's fault and must not end a build of a thousand
scenes. The machine's errors and the caller's errors pass unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cameo_data.errors import MACHINE_ERRORS, DataError, Reason, UsageError
from cameo_data.io.files import FileDefect


@contextmanager
def reading(
    dataset: str, scene_id: str | None = None, frame_id: str | None = None
) -> Iterator[None]:
    """Turns whatever reading this frame, scene or dataset raises into ``DataError``.

    ``MemoryError``, ``RecursionError``, ``UsageError``, ``KeyboardInterrupt``, ``SystemExit`` and
    the machine's errors (``errors.MACHINE_ERRORS``) pass unchanged.

    Raises:
        DataError: with the place, the exception's type and the first line of its message.
    """
    try:
        yield
    except (DataError, UsageError, MemoryError, RecursionError):
        raise
    except FileDefect as defect:
        raise defect.at(dataset, scene_id, frame_id) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            raise
        raise DataError(
            Reason.READING_FAILED,
            dataset=dataset,
            scene_id=scene_id,
            frame_id=frame_id,
            found=f"reading it raised {_described(error)}",
            expected="data that can be read",
            remedy="repair or remove its files; if they are sound, report this as a bug",
        ) from error


def _described(error: Exception) -> str:
    """Type and first line: ``FileNotFoundError: depth/0001.png: No such file or directory``."""
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}: {where}{error.strerror}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{name}: {lines[0]}" if lines else name
