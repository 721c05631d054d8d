"""Defects of depth files, in the same words from all readers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import decoding

_REMEDY = "choose the depth codec that fits, or convert the file"


def reading(path: Path, kind: str) -> AbstractContextManager[None]:
    """Turns whatever a decoding library raises inside the block into a defect of the file."""
    return decoding(path.name, Reason.UNREADABLE_DEPTH, f"a complete {kind} file", _REMEDY)


def unreadable(path: Path, defect: str, expected: str) -> FileDefect:
    """The defect of a file that its codec cannot read."""
    return FileDefect(Reason.UNREADABLE_DEPTH, f"{path.name} {defect}", expected, _REMEDY)
