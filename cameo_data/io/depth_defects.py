"""What is wrong with a depth file, said alike by all of its readers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import decoding

_REMEDY = "choose the depth codec that fits, or convert the file"


def reading(path: Path, kind: str) -> AbstractContextManager[None]:
    """Around a library that decodes the file: whatever it raises is a defect of the file."""
    return decoding(path.name, Reason.UNREADABLE_DEPTH, f"a complete {kind} file", _REMEDY)


def unreadable(path: Path, defect: str, expected: str) -> FileDefect:
    """The file is not what its codec reads."""
    return FileDefect(Reason.UNREADABLE_DEPTH, f"{path.name} {defect}", expected, _REMEDY)
