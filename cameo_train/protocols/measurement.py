"""The measurement protocol: everything that a precision depends on, in one record.

Every table, file and figure contains it, since a precision without it means nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import UsageError

DEFAULT_BINS_DEG = (0.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0)
# Shares of the diagonal; plots and the first table show the first one.
DEFAULT_THRESHOLDS = ("5%", "1%", "2%", "10%")
# Edge i of the error histograms is the diagonal times (i / LEVELS)², so small errors are resolved
# finely.
LEVELS = 512

_THRESHOLD = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(px|%)")


@dataclass(frozen=True)
class Threshold:
    """The largest error that still counts as right.

    Attributes:
        value: positive number, in pixels of the view or in per cent of its diagonal.
        unit: ``px`` or ``%``.
    """

    value: float
    unit: str

    @property
    def label(self) -> str:
        """``8px`` or ``5%``, as ``threshold`` reads it."""
        return f"{self.value:g}{self.unit}"

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.value:g} px" if self.unit == "px" else f"{self.value:g} % of the diagonal"

    def px(self, hw: tuple[int, int]) -> float:
        """The threshold in pixels of a view of the given size."""
        return self.value if self.unit == "px" else self.value / 100 * math.hypot(*hw)


def threshold(text: str) -> Threshold:
    """The threshold that a command-line text states.

    Raises:
        UsageError: the text gives neither pixels nor per cent of the diagonal.

    Example:
        >>> threshold("5%"), round(threshold("5%").px((300, 400)), 6)
        (Threshold(value=5.0, unit='%'), 25.0)
    """
    found = _THRESHOLD.fullmatch(text.strip())
    if found is None or not float(found[1]) > 0:
        raise UsageError(f"threshold is {text!r}; expected pixels or % of the diagonal: 8px, 5%")
    return Threshold(float(found[1]), found[2])


@dataclass(frozen=True)
class Protocol:
    """The queries, what counts as right, and the average.

    Attributes:
        hw: height and width of the images in pixels.
        stride: pixels per cell of the query grid, which is also the grid of candidates.
        thresholds: the first is the headline.
        bins_deg: edges of the rotation bins, each [from, to); the last one includes its end.
        min_confidence: least confidence of a VISIBLE verdict that makes a query.
        stored: whether the verdicts come from the shards; else from depth and pose.
        masked: whether the build restricts queries to the foreground.
    """

    hw: tuple[int, int]
    stride: int
    thresholds: tuple[Threshold, ...]
    bins_deg: tuple[float, ...] = DEFAULT_BINS_DEG
    min_confidence: float = 0.0
    stored: bool = True
    masked: bool = False

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.bins_deg[:-1], self.bins_deg[1:], strict=True))
        if len(self.bins_deg) < 2 or not rising or not all(0 <= e <= 180 for e in self.bins_deg):
            shown = ", ".join(f"{e:g}" for e in self.bins_deg)
            raise UsageError(
                f"rotation bins have edges {shown}; expected two or more rising ones from 0 to "
                "180, or a pair of views would count in several bins"
            )
        if not self.thresholds:
            raise UsageError("expected at least one threshold")
        if len({t.px(self.hw) for t in self.thresholds}) < len(self.thresholds):
            raise UsageError(f"thresholds {', '.join(t.label for t in self.thresholds)} repeat")
        if min(self.grid_hw) < 1:
            raise UsageError(f"stride {self.stride} leaves no cell of {self.hw[0]}×{self.hw[1]}")

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of queries, and of candidates."""
        return self.hw[0] // self.stride, self.hw[1] // self.stride

    @property
    def bins(self) -> int:
        """Number of rotation bins."""
        return len(self.bins_deg) - 1

    @property
    def diagonal_px(self) -> float:
        """Of a view."""
        return math.hypot(*self.hw)

    @property
    def thresholds_px(self) -> NDArray[np.float64]:
        """(T,) thresholds in pixels of the view."""
        return np.array([t.px(self.hw) for t in self.thresholds])

    def bin_of(self, rotation_deg: float) -> int:
        """Number of the bin that contains an angle; −1 if none does."""
        if rotation_deg == self.bins_deg[-1]:
            return self.bins - 1
        found = int(np.searchsorted(self.bins_deg, rotation_deg, "right")) - 1
        return found if found < self.bins else -1

    def bin_label(self, number: int) -> str:
        """``15–30°``."""
        return f"{self.bins_deg[number]:g}–{self.bins_deg[number + 1]:g}°"

    def candidates_xy(self) -> NDArray[np.float64]:
        """(K, 2) pixels of the grid's cell centres, row by row."""
        rows, columns = self.grid_hw
        x = (np.arange(columns) + 0.5) * self.stride
        y = (np.arange(rows) + 0.5) * self.stride
        return np.stack(np.broadcast_arrays(x[None], y[:, None]), -1).reshape(-1, 2)

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        return {
            **values,
            "hw": list(self.hw),
            "grid_hw": list(self.grid_hw),
            "bins_deg": list(self.bins_deg),
            "thresholds": [t.label for t in self.thresholds],
            "thresholds_px": [float(t) for t in self.thresholds_px],
            "diagonal_px": self.diagonal_px,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Protocol:
        """The protocol from its ``record``."""
        return cls(
            (int(record["hw"][0]), int(record["hw"][1])),
            int(record["stride"]),
            tuple(threshold(text) for text in record["thresholds"]),
            tuple(float(edge) for edge in record["bins_deg"]),
            float(record["min_confidence"]),
            bool(record["stored"]),
            bool(record["masked"]),
        )

    def hash(self) -> str:
        """SHA-256 of the record."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict[str, str]:
        """The whole protocol for readers, label -> value."""
        origin = "stored in the shards" if self.stored else "computed from depth and pose"
        filters = f"VISIBLE, {origin}"
        if self.min_confidence:
            filters += f", confidence at least {self.min_confidence:g}"
        if self.masked:
            filters += ", inside the foreground masks"
        height, width = self.hw
        rows, columns = self.grid_hw
        return {
            "right within": ", ".join(t.text for t in self.sorted_thresholds()),
            "grid": f"{rows}×{columns} cells of {self.stride} px, queries and candidates alike",
            "images": f"{width}×{height} px, diagonal {self.diagonal_px:.1f} px",
            "rotation bins": ", ".join(self.bin_label(i) for i in range(self.bins)),
            "visibility filter": filters,
            "match selection": "every query, its single best candidate; no ranking, no ratio test",
            "average": "over all queries of a bin; intervals: 95 %, bootstrap over scenes, t",
        }

    def sorted_thresholds(self) -> list[Threshold]:
        """The thresholds, strictest first."""
        return sorted(self.thresholds, key=lambda t: t.px(self.hw))


def caption(protocol: Protocol) -> str:
    """The protocol in one line, for figures and tables."""
    rows, columns = protocol.grid_hw
    origin = "stored" if protocol.stored else "computed"
    bins = "–".join(f"{e:g}" for e in protocol.bins_deg)
    least = f", confidence ≥ {protocol.min_confidence:g}" if protocol.min_confidence else ""
    return (
        f"grid {rows}×{columns} ({protocol.stride} px), images {protocol.hw[1]}×{protocol.hw[0]} "
        f"px, bins {bins}°, VISIBLE queries ({origin} verdicts{least}), best of all candidates, "
        "no ranking"
    )


def protocol_of(
    hw: tuple[int, int],
    strides: Sequence[int],
    *,
    stride: int | None = None,
    thresholds: Sequence[str] = DEFAULT_THRESHOLDS,
    bins_deg: Sequence[float] = DEFAULT_BINS_DEG,
    min_confidence: float = 0.0,
    masked: bool = False,
) -> Protocol:
    """The protocol for a build.

    Args:
        strides: strides of the build's stored verdicts.
        stride: None takes the finest stored stride of at most 32×32 cells, else the coarsest; if
            none is stored, the finest power of two of at most 32×32 cells.

    Raises:
        UsageError: the flags are invalid.
    """
    if stride is None:
        # 32×32 tokens are the grid of the supervised layer in 512-pixel models.
        options = sorted(strides) or [2**i for i in range(12)]
        few = [s for s in options if (hw[0] // s) * (hw[1] // s) <= 1024]
        stride = few[0] if few else options[-1]
    return Protocol(
        hw=hw,
        stride=stride,
        thresholds=tuple(threshold(t) for t in thresholds),
        bins_deg=tuple(float(e) for e in bins_deg),
        min_confidence=min_confidence,
        stored=stride in strides,
        masked=masked,
    )
