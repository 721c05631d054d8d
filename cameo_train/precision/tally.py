"""Counts of a row of the results, by scene and rotation bin; counts of parts add up.

The size depends on the number of scenes, not on that of pairs. Shapes: S scenes, B bins, T
thresholds, L levels of the histogram.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_train.matchers.group import Found
from cameo_train.protocols.measurement import LEVELS, Protocol

# Up to this number, scenes are counted individually; in larger builds, scenes share this many
# places, and the bootstrap draws places. A place takes about 13 kB per row with six bins.
MAX_UNITS = 1000

Counts = NDArray[np.int64]


@dataclass(eq=False)
class Tally:
    """Counts of queries by error.

    Attributes:
        pairs: (S, B) numbers of ordered pairs.
        queries: (S, B) numbers of queries.
        hits: (S, B, T) queries with an error within each threshold.
        errors: (S, B, L) queries by error, see ``LEVELS``; empty for rows without errors.
        left_out: number of ordered pairs whose rotation is outside all bins.
        unjudged: see ``Found``.
    """

    pairs: Counts
    queries: Counts
    hits: NDArray[np.float64]
    errors: NDArray[np.uint32]
    left_out: int = 0
    unjudged: int = 0

    @classmethod
    def empty(cls, units: int, protocol: Protocol) -> Tally:
        """All zero."""
        bins, thresholds = protocol.bins, len(protocol.thresholds)
        return cls(
            np.zeros((units, bins), np.int64),
            np.zeros((units, bins), np.int64),
            np.zeros((units, bins, thresholds)),
            np.zeros((units, bins, LEVELS), np.uint32),
        )

    def add_pairs(self, unit: int, pairs: Counts, left_out: int) -> None:
        """Adds the ordered pairs (B,) of one group, and those outside all bins."""
        self.pairs[unit] += pairs
        self.left_out += left_out

    def add(self, unit: int, found: Found, protocol: Protocol) -> None:
        """Adds queries of one scene."""
        bins = protocol.bins
        self.queries[unit] += np.bincount(found.bin, minlength=bins)
        self.unjudged += found.unjudged
        error_px, hits = found.error_px, found.hits
        if error_px is not None:
            level = levels_of(error_px, protocol)
            counted = np.bincount(found.bin * LEVELS + level, minlength=bins * LEVELS)
            self.errors[unit] += counted.reshape(bins, LEVELS).astype(np.uint32)
            if hits is None:
                hits = (error_px[:, None] <= protocol.thresholds_px).astype(np.float64)
        assert hits is not None  # a row has errors, or shares of hits
        for t in range(len(protocol.thresholds)):
            self.hits[unit, :, t] += np.bincount(found.bin, hits[:, t], minlength=bins)

    def __add__(self, other: Tally) -> Tally:
        """The sum of two tallies of the same scenes and protocol."""
        return Tally(
            self.pairs + other.pairs,
            self.queries + other.queries,
            self.hits + other.hits,
            self.errors + other.errors,
            self.left_out + other.left_out,
            self.unjudged + other.unjudged,
        )

    @classmethod
    def of_arrays(cls, found: Mapping[str, NDArray[Any]]) -> Tally:
        """The tally from its ``arrays``."""
        return cls(
            found["pairs"], found["queries"], found["hits"], found["errors"],
            int(found["left_out"]), int(found["unjudged"]),
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The tally as arrays for files."""
        return {
            "pairs": self.pairs,
            "queries": self.queries,
            "hits": self.hits,
            "errors": self.errors,
            "left_out": np.array(self.left_out),
            "unjudged": np.array(self.unjudged),
        }


def levels_of(error_px: NDArray[np.float64], protocol: Protocol) -> NDArray[np.int64]:
    """(N,) level of each error; the last one also holds errors larger than the diagonal."""
    share = np.minimum(error_px / protocol.diagonal_px, 1.0)
    return np.minimum((np.sqrt(share) * LEVELS).astype(np.int64), LEVELS - 1)


def edges() -> NDArray[np.float64]:
    """(L + 1,) edges of the levels, as shares of the diagonal."""
    result: NDArray[np.float64] = (np.arange(LEVELS + 1) / LEVELS) ** 2
    return result


def median_share(errors: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median error as a share of the diagonal and the width of its level, from (..., L) counts.

    The median is interpolated within that level, so it is off by less than the width. NaN without
    counts.
    """
    counts = np.asarray(errors, np.float64)
    total = counts.sum(-1)
    below = counts.cumsum(-1)
    half = total / 2
    level = np.minimum((below < half[..., None]).sum(-1), LEVELS - 1)
    inside = np.take_along_axis(counts, level[..., None], -1)[..., 0]
    before = np.take_along_axis(below, level[..., None], -1)[..., 0] - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (half - before) / inside
    low, width = edges()[level], np.diff(edges())[level]
    nothing = total == 0
    return np.where(nothing, np.nan, low + part * width), np.where(nothing, np.nan, width)


def units_of(scenes: Sequence[str]) -> dict[str, int]:
    """Scene -> place in a tally; more than ``MAX_UNITS`` scenes share places."""
    ordered = sorted(set(scenes))
    return {scene: i % MAX_UNITS for i, scene in enumerate(ordered)}
