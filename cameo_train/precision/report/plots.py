"""Curves of precision: against rotation, layer by layer, over training (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cameo_train.precision.results import Bin, RowResult
from cameo_train.protocols.measurement import Protocol, caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
# Okabe and Ito's colours without yellow, which is too light for lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555")
_INK, _GRID, _SOFT = "#2b2f36", "#d9dde3", "#8a929c"
_LIMITS = {"ceiling": "--", "floor": ":"}


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes the figure as PNG and SVG, without a date, so that equal numbers give equal bytes."""
    import matplotlib as mpl

    written = []
    for suffix in FORMATS:
        target = path.with_suffix(f".{suffix}")
        metadata = {"Date": None} if suffix == "svg" else {}
        with mpl.rc_context({"svg.hashsalt": "cameo", "svg.fonttype": "none"}):
            figure.savefig(target, format=suffix, dpi=150, metadata=metadata)
        written.append(target)
    return written


@dataclass(frozen=True)
class Style:
    """The style of a row: colour shows the matcher, line and mark how attention is read."""

    colour: str
    line: str = "-"
    mark: str = "o"


_READINGS = {"mean": ("-", "o"), "trained": ("-", "*"), "best": ("--", "^")}
_SINGLE = (":", "s")  # style of a single head


def _reading(row: RowResult) -> str:
    """``mean``, ``trained``, ``best`` or ``head 3``; empty for rows without attention."""
    heads = row.row.heads or ""
    return "best" if heads.startswith("best") else heads


def colours_of(rows: Sequence[RowResult]) -> dict[str, str]:
    """Colours by spec, chosen over all rows of a page, so that its figures share them."""
    measured = dict.fromkeys(row.row.spec for row in rows if row.row.kind not in _LIMITS)
    return {spec: COLOURS[n % len(COLOURS)] for n, spec in enumerate(measured)}


def styles(rows: Sequence[RowResult], colours: Mapping[str, str]) -> list[Style]:
    """A style for each row."""
    found = []
    for row in rows:
        if row.row.kind in _LIMITS:
            found.append(Style(_SOFT, _LIMITS[row.row.kind], ""))
            continue
        line, mark = _READINGS.get(_reading(row), _SINGLE) if row.row.heads else ("-", "o")
        found.append(Style(colours[row.row.spec], line, mark))
    return found


def against_rotation(
    rows: Sequence[RowResult], protocol: Protocol, colours: Mapping[str, str]
) -> Figure:
    """Headline precision of each row in each rotation bin, with its interval."""
    figure, axes = _figure(protocol)
    for row, style in zip(rows, styles(rows, colours), strict=True):
        _curve(axes, range(protocol.bins), row.bins[:-1], row.label, style)
    axes.set_xticks(range(protocol.bins), [protocol.bin_label(b) for b in range(protocol.bins)])
    axes.set_xlim(-0.4, protocol.bins - 0.6)
    axes.set_xlabel("rotation between the views", color=_INK)
    for number in range(protocol.bins):
        if all(row.bins[number].empty for row in rows):
            axes.text(
                number, 0.5, "nothing asked", rotation=90, ha="center", va="center", color=_SOFT,
                transform=axes.get_xaxis_transform(), fontsize=8,
            )  # fmt: skip
    return _done(figure, axes)


def against(
    rows: Sequence[RowResult],
    protocol: Protocol,
    colours: Mapping[str, str],
    field: str,
    xlabel: str,
    floor: float | None = None,
) -> Figure:
    """Headline precision over all pairs against ``layer_number`` or ``step``, a line per reading.

    Args:
        floor: precision of blind choice, also drawn.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(protocol)
    groups: dict[str, list[RowResult]] = {}
    noises = {row.row.timestep for row in rows}
    for row in rows:
        names = {"mean": "head mean", "trained": "trained head", "best": "best head"}
        parts = [row.row.name, names.get(_reading(row), _reading(row))]
        if field != "layer_number":
            parts.append(f"layer {row.row.layer_number}")
        if len(noises) > 1:
            parts.append(f"t {row.row.timestep}")
        groups.setdefault(" · ".join(parts), []).append(row)
    if floor is not None:
        axes.axhline(floor, linestyle=_LIMITS["floor"], color=_SOFT, label="chance (computed)")
    firsts = [found[0] for found in groups.values()]
    for (label, found), style in zip(groups.items(), styles(firsts, colours), strict=True):
        found.sort(key=lambda row: int(getattr(row.row, field)))
        xs = [int(getattr(row.row, field)) for row in found]
        _curve(axes, xs, [row.all for row in found], label, style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(xlabel, color=_INK)
    return _done(figure, axes)


def _figure(protocol: Protocol) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # not pyplot: no global state, no display
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel(f"precision within {protocol.thresholds[0].text}", color=_INK)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.supxlabel(caption(protocol), fontsize=6.5, color=_SOFT)
    return figure, axes


def _curve(
    axes: Axes, xs: Sequence[int] | range, bins: Sequence[Bin], label: str, style: Style
) -> None:
    """Draws a line through the measured values; an empty bin is a gap, not a zero."""
    nan = float("nan")
    first = [one.precision[0] for one in bins]
    values = np.array([nan if e.value is None else e.value for e in first])
    low = np.array([nan if e.low is None else e.low for e in first])
    high = np.array([nan if e.high is None else e.high for e in first])
    size = {"*": 9.0, "^": 4.5}.get(style.mark, 3.5)
    axes.plot(
        xs, values, style.line, color=style.colour, label=label, marker=style.mark, markersize=size
    )  # fmt: skip
    if len(xs) == 1:  # a band needs two
        axes.vlines(xs, low, high, color=style.colour, linewidth=1.6)
    axes.fill_between(xs, low, high, color=style.colour, alpha=0.15, linewidth=0)


def _done(figure: Figure, axes: Axes) -> Figure:
    # The axis always begins at zero, but small numbers fill the figure.
    shown = [y for line in axes.get_lines() for y in np.asarray(line.get_ydata()) if y == y]
    axes.set_ylim(0, min(1.02, 1.25 * max([0.04, *shown])))
    axes.legend(
        fontsize=8, handlelength=3, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return figure
