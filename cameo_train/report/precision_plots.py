"""Curves of precision: against rotation, layer by layer, over training (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cameo_train.precision.protocol import Protocol, caption
from cameo_train.precision.results import Bin, RowResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
# Okabe and Ito's colours but for the yellow, which is too light for lines
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555")
_INK, _GRID = "#2b2f36", "#d9dde3"
_LIMITS = {"ceiling": "--", "floor": ":"}


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG; no date, so that equal numbers are equal bytes."""
    import matplotlib as mpl

    written = []
    for suffix in FORMATS:
        target = path.with_suffix(f".{suffix}")
        metadata = {"Date": None} if suffix == "svg" else {}
        with mpl.rc_context({"svg.hashsalt": "cameo", "svg.fonttype": "none"}):
            figure.savefig(target, format=suffix, dpi=150, metadata=metadata)
        written.append(target)
    return written


def against_rotation(rows: Sequence[RowResult], protocol: Protocol) -> Figure:
    """Headline precision of each row in each rotation bin, with its interval."""
    figure, axes = _figure(protocol)
    number = 0
    for row in rows:
        limit = _LIMITS.get(row.row.kind)
        colour = "#8a929c" if limit else COLOURS[number % len(COLOURS)]
        number += limit is None
        _curve(axes, range(protocol.bins), row.bins[:-1], row.label, colour, limit or "-")
    axes.set_xticks(range(protocol.bins), [protocol.bin_label(b) for b in range(protocol.bins)])
    axes.set_xlabel("rotation between the views", color=_INK)
    return _done(figure, axes)


def against(
    rows: Sequence[RowResult],
    protocol: Protocol,
    field: str,
    xlabel: str,
    floor: float | None = None,
) -> Figure:
    """Headline precision over all pairs against ``layer_number`` or ``step``, a line a reading.

    Args:
        floor: precision of blind choice, drawn beside.
    """
    figure, axes = _figure(protocol)
    groups: dict[str, list[RowResult]] = {}
    noises = {row.row.timestep for row in rows}
    for row in rows:
        heads = row.row.heads or ""
        reading = {"mean": "head mean", "trained": "trained head"}.get(heads, heads)
        parts = [row.row.name, "best head" if heads.startswith("best") else reading]
        if field != "layer_number":
            parts.append(f"layer {row.row.layer_number}")
        if len(noises) > 1:
            parts.append(f"t {row.row.timestep}")
        groups.setdefault(" · ".join(parts), []).append(row)
    if floor is not None:
        axes.axhline(floor, linestyle=_LIMITS["floor"], color="#8a929c", label="chance (computed)")
    for number, (label, found) in enumerate(groups.items()):
        found.sort(key=lambda row: int(getattr(row.row, field)))
        xs = [int(getattr(row.row, field)) for row in found]
        colour = COLOURS[number % len(COLOURS)]
        _curve(axes, xs, [row.all for row in found], label, colour, "-")
    axes.set_xlabel(xlabel, color=_INK)
    return _done(figure, axes)


def _figure(protocol: Protocol) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel(f"precision within {protocol.thresholds[0].text}", color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.supxlabel(caption(protocol), fontsize=6.5, color="#8a929c")
    return figure, axes


def _curve(
    axes: Axes, xs: Sequence[int] | range, bins: Sequence[Bin], label: str, colour: str, style: str
) -> None:
    """A line through what was measured; an empty bin is a gap, not a zero."""
    nan = float("nan")
    first = [one.precision[0] for one in bins]
    values = np.array([nan if e.value is None else e.value for e in first])
    low = np.array([nan if e.low is None else e.low for e in first])
    high = np.array([nan if e.high is None else e.high for e in first])
    axes.plot(xs, values, style, color=colour, label=label, marker="o", markersize=3.5)
    if len(xs) == 1:  # a band needs two
        axes.vlines(xs, low, high, color=colour, linewidth=1.6)
    axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)


def _done(figure: Figure, axes: Axes) -> Figure:
    # small numbers fill the figure; the axis begins at zero in any case
    shown = [y for line in axes.get_lines() for y in np.asarray(line.get_ydata()) if y == y]
    axes.set_ylim(0, min(1.02, 1.25 * max([0.04, *shown])))
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
