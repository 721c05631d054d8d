"""Pose files as they are on disk, and association of clocks by nearest time.

Matrices are returned as written: the caller knows which way they point and which axes they
use. A row that is not a pose (NaN, a quaternion without length) comes out as NaN, so that its
frame can be counted as a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray

# Names for the columns of a pose file. ``matrix`` stands for 12 or 16 numbers, row by row.
COLUMNS = ("t", "name", "tx", "ty", "tz", "qx", "qy", "qz", "qw", "matrix", "_")
_VECTOR = ("tx", "ty", "tz", "qx", "qy", "qz", "qw")
TUM_COLUMNS = "t tx ty tz qx qy qz qw"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses of one file, in file order.

    Attributes:
        matrices: (N, 4, 4) float64 as written; NaN where a row is not a pose.
        times: (N,) float64 in the file's unit, or None.
        names: N texts, or None.
    """

    matrices: FloatArray
    times: FloatArray | None = None
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class IndexEntry:
    """A line of a TUM index: when a file was taken, as text (``stamp``) and number."""

    stamp: str
    time: float
    file: str


def parse_columns(text: str) -> tuple[str, ...]:
    """Column names of a pose file from words such as ``t tx ty tz qx qy qz qw``.

    Raises:
        ValueError: an unknown, repeated or missing name.
    """
    names = tuple(re.split(r"[,\s]+", text.strip()))
    if unknown := [name for name in names if name not in COLUMNS]:
        raise ValueError(f"unknown pose column {unknown[0]!r}; expected {', '.join(COLUMNS)}")
    named = [name for name in names if name != "_"]
    if len(set(named)) != len(named) or {"t", "name"} <= set(named):
        raise ValueError(f"pose columns {text!r} repeat a name, or give both t and name")
    given = set(named) - {"t", "name"}
    if given not in ({"matrix"}, set(_VECTOR)):
        raise ValueError(f"pose columns {text!r}; expected all of {' '.join(_VECTOR)}, or matrix")
    return names


def read_matrix(path: Path) -> FloatArray:
    """(4, 4) from a file that holds one 4×4 or 3×4 matrix.

    Raises:
        FileDefect: unreadable, or not 12 or 16 numbers.
    """
    try:
        numbers = [float(word) for word in _words(files.read_text(path))]
    except ValueError as error:
        raise _malformed(path, str(error), "12 or 16 numbers", Reason.BAD_POSE) from None
    if len(numbers) not in (12, 16):
        raise _malformed(path, f"{len(numbers)} numbers", "12 or 16 numbers", Reason.BAD_POSE)
    return _matrix(numbers)


def read_rows(path: Path, columns: Sequence[str]) -> Trajectory:
    """Poses from a file with one pose per line; ``columns`` as from ``parse_columns``.

    Raises:
        FileDefect: unreadable, or a line of another shape.
    """
    matrices, times, names = [], [], []
    others = len(columns) - ("matrix" in columns)
    for number, line in _data_lines(path):
        words = _words(line)
        size = len(words) - others
        if size not in ((12, 16) if "matrix" in columns else (0,)):
            matrix = "a matrix of 12 or 16 numbers"
            expected = ", ".join(matrix if name == "matrix" else name for name in columns)
            raise _malformed(path, f"line {number} with {len(words)} words", expected)
        fields = _split(words, columns, size)
        try:
            matrices.append(_pose(fields))
            times += [float(word) for word in fields.get("t", [])]
        except ValueError as error:
            raise _malformed(path, f"line {number}: {error}", "numbers") from None
        names += fields.get("name", [])
    return Trajectory(
        np.array(matrices).reshape(-1, 4, 4),
        np.array(times) if "t" in columns else None,
        tuple(names) if "name" in columns else None,
    )


def read_log(path: Path) -> Trajectory:
    """Poses from Open3D's and Redwood's ``.log``: blocks of a line of indices and a 4×4 matrix.

    Raises:
        FileDefect: unreadable, or not made of such blocks.
    """
    lines = [(n, _words(line)) for n, line in _data_lines(path)]
    expected = "blocks of one line of indices and four lines of four numbers"
    if len(lines) % 5:
        raise _malformed(path, f"{len(lines)} lines", expected)
    matrices = []
    for start in range(0, len(lines), 5):
        block = lines[start + 1 : start + 5]
        if any(len(words) != 4 for _, words in block):
            raise _malformed(path, f"a block at line {lines[start][0]} of another shape", expected)
        try:
            matrices.append(_matrix([float(word) for _, words in block for word in words]))
        except ValueError as error:
            raise _malformed(path, f"line {lines[start][0]}: {error}", expected) from None
    return Trajectory(np.array(matrices).reshape(-1, 4, 4))


def read_index(path: Path) -> list[IndexEntry]:
    """Lines ``timestamp file`` of a TUM index such as ``rgb.txt``.

    Raises:
        FileDefect: unreadable, or a line of another shape.
    """
    entries = []
    for number, line in _data_lines(path):
        stamp, _, file = line.partition(" ")
        try:
            time = float(stamp)
        except ValueError:
            time = np.nan
        if not np.isfinite(time) or not file.strip():
            raise _malformed(path, f"line {number}: {line[:60]!r}", "timestamp and file name")
        entries.append(IndexEntry(stamp, time, file.strip()))
    return entries


def associate(
    times0: FloatArray, times1: FloatArray, max_difference: float
) -> list[tuple[int, int]]:
    """Pairs of indices whose times differ least, each index once, ordered by ``times0``.

    Greedy from the smallest difference on, as in TUM's ``associate.py``.
    """
    order = np.argsort(times1, kind="stable")
    ordered = times1[order]
    first = np.searchsorted(ordered, times0 - max_difference, "left")
    last = np.searchsorted(ordered, times0 + max_difference, "right")
    candidates = [
        (abs(times0[i] - times1[j]), i, int(j))
        for i in range(len(times0))
        for j in order[first[i] : last[i]]
    ]
    used0: set[int] = set()
    used1: set[int] = set()
    pairs = []
    for _, i, j in sorted(candidates):
        if i not in used0 and j not in used1:
            used0.add(i)
            used1.add(j)
            pairs.append((i, j))
    return sorted(pairs, key=lambda pair: (times0[pair[0]], pair[0]))


def _data_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and lines, without blank ones, comments and an unmarked header of names."""
    text = files.read_text(path, files.MAX_TEXT_BYTES)
    for number, line in parsing.lines(text, path.name):
        line = line.strip()
        # some copies of TUM recordings have lost the # before "timestamp tx ty tz …"
        if line and line[0] not in "#%" and not line.lower().startswith("timestamp"):
            yield number, line.replace("\t", " ")


def _words(line: str) -> list[str]:
    return re.split(r"[,;\s]+", line.strip(" ,;\t\n\r"))


def _split(words: list[str], columns: Sequence[str], size: int) -> dict[str, list[str]]:
    """Words of each column; ``matrix`` takes ``size`` of them."""
    fields = {}
    start = 0
    for column in columns:
        end = start + (size if column == "matrix" else 1)
        fields[column] = words[start:end]
        start = end
    return fields


def _pose(fields: dict[str, list[str]]) -> FloatArray:
    if "matrix" in fields:
        return _matrix([float(word) for word in fields["matrix"]])
    tx, ty, tz, *quaternion = (float(fields[name][0]) for name in _VECTOR)
    try:
        return transforms.from_quaternion(quaternion, (tx, ty, tz))
    except ValueError:
        return np.full((4, 4), np.nan)


def _matrix(numbers: Sequence[float]) -> FloatArray:
    out = np.eye(4)
    out[: len(numbers) // 4] = np.reshape(numbers, (-1, 4))
    return out


def _malformed(
    path: Path, found: str, expected: str, reason: Reason = Reason.BAD_METADATA
) -> FileDefect:
    return FileDefect(reason, f"{path.name} has {found}", expected, "correct the file")
