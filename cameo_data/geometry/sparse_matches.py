"""Sparse matches: pixels that show the same point, from tracks or a table instead of depth."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray, SparseMatches

COLUMNS = ("frame0", "frame1", "x0", "y0", "x1", "y1")
_NONE = SparseMatches(np.zeros((0, 2)), np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class Tracks:
    """Matches from tracks: two observations of one point are a match.

    Attributes:
        observations: frame id -> (N,) point ids and (N, 2) pixels where the frame sees them.
    """

    paths: tuple[Path, ...]
    observations: Callable[[str], tuple[NDArray[np.int64], FloatArray]]

    def between(self, frame_id0: str, frame_id1: str) -> SparseMatches:
        """Matches of two frames, ordered by point; a point seen twice in a frame counts once."""
        ids0, xy0 = self.observations(frame_id0)
        ids1, xy1 = self.observations(frame_id1)
        _, rows0, rows1 = np.intersect1d(ids0, ids1, return_indices=True)
        return SparseMatches(xy0[rows0], xy1[rows1])


@dataclass(frozen=True, eq=False)
class PairTable:
    """Matches from a table with one line per match (``read_pairs``)."""

    path: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    def between(self, frame_id0: str, frame_id1: str) -> SparseMatches:
        """Matches of two frames in the table's order; either frame may come first in the table."""
        forth = self._pairs.get((frame_id0, frame_id1), _NONE)
        back = self._pairs.get((frame_id1, frame_id0), _NONE)
        return SparseMatches(
            np.concatenate([forth.xy0, back.xy1]), np.concatenate([forth.xy1, back.xy0])
        )

    def frame_ids(self) -> frozenset[str]:
        """All frames that the table names."""
        return frozenset(frame_id for pair in self._pairs for frame_id in pair)

    @cached_property
    def _pairs(self) -> Mapping[tuple[str, str], SparseMatches]:
        return _read(self.path)


def read_pairs(path: Path, frame_ids: Iterable[str]) -> PairTable:
    """The table of matches from a CSV file: a header line, then one match per line.

    Columns are ``frame0, frame1, x0, y0, x1, y1``: frame ids, and pixels of the images as stored,
    the top-left pixel's centre at (0.5, 0.5).

    Raises:
        FileDefect: missing, not such a table, a value that is not a number, or an unknown frame.
    """
    table = PairTable(path)
    if unknown := sorted(table.frame_ids() - set(frame_ids)):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} names frame {unknown[0]!r}",
            "frames of the scene",
            "spell frames as `cameo-data inspect --json` lists them",
        )
    return table


def _read(path: Path) -> Mapping[tuple[str, str], SparseMatches]:
    text = files.read_text(path, files.MAX_TEXT_BYTES)
    rows = csv.reader((line for _, line in parsing.lines(text, path.name)), skipinitialspace=True)
    header = tuple(word.strip() for word in next(rows, []))
    if header != COLUMNS:
        raise _malformed(path, 1, f"columns {', '.join(header)!r}")
    found: dict[tuple[str, str], list[list[float]]] = {}
    for row in rows:
        if not row:
            continue
        try:
            frame0, frame1, *words = row
            xy = [float(word) for word in words]
        except ValueError:
            xy = []
        if len(xy) != 4 or not np.isfinite(xy).all() or frame0 == frame1:
            raise _malformed(path, rows.line_num, f"{','.join(row)!r}")
        found.setdefault((frame0, frame1), []).append(xy)
    pairs = {}
    for pair, values in found.items():
        array = np.array(values)
        pairs[pair] = SparseMatches(array[:, :2], array[:, 2:])
    return pairs


def _malformed(path: Path, line: int, found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"{path.name} line {line} is {found[:120]}",
        f"{','.join(COLUMNS)} of two different frames",
        "write the table again",
    )


def directed(matches: Mapping[tuple[int, int], SparseMatches], a: int, b: int) -> SparseMatches:
    """Matches a → b of a sample, which stores only pairs a < b; empty where it has none."""
    if a < b:
        return matches.get((a, b), _NONE)
    back = matches.get((b, a), _NONE)
    return SparseMatches(back.xy1, back.xy0)


def as_stored(pair: SparseMatches, hw: tuple[int, int]) -> SparseMatches:
    """Matches as shards store them: float32, inside views of size ``hw``."""
    ends = np.nextafter(np.array([hw[1], hw[0]], np.float32), np.float32(0))
    xy0, xy1 = (np.minimum(xy.astype(np.float32), ends) for xy in (pair.xy0, pair.xy1))
    return SparseMatches(xy0.astype(np.float64), xy1.astype(np.float64))


def matched_share(xy: FloatArray, hw: tuple[int, int], stride: int) -> float:
    """Share of the queries of a grid over ``hw`` whose cell holds one of the (N, 2) pixels.

    This is a lower bound of the share of VISIBLE queries that depth would give.
    """
    rows, columns = hw[0] // stride, hw[1] // stride
    cells = (np.asarray(xy) // stride).astype(np.int64)
    cells = cells[((cells >= 0) & (cells < (columns, rows))).all(-1)]
    return len(np.unique(cells[:, 1] * columns + cells[:, 0])) / max(1, rows * columns)


def matched_overlap(
    matches: Mapping[tuple[int, int], SparseMatches], views: int, hw: tuple[int, int], stride: int
) -> FloatArray:
    """(V, V) ``matched_share`` of view a's pixels that match in view b; 1 on the diagonal."""
    overlap = np.eye(views)
    for (a, b), pair in matches.items():
        overlap[a, b] = matched_share(pair.xy0, hw, stride)
        overlap[b, a] = matched_share(pair.xy1, hw, stride)
    return overlap
