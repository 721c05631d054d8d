"""Differences between results as JSON, CSV, a figure and a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cameo_train import __version__
from cameo_train.precision.compare import Difference
from cameo_train.precision.report import plots
from cameo_train.precision.results import Estimate
from cameo_train.protocols.measurement import Protocol, caption
from cameo_train.report import pages

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def record(protocol: Protocol, found: Sequence[Difference]) -> dict[str, Any]:
    """Plain values for ``compare.json``."""
    return {
        "version": __version__,
        "protocol": protocol.record(),
        "statement": protocol.facts(),
        "differences": [one.record(protocol) for one in found],
    }


def points(value: float | None) -> str:
    """``+1.2``: signed percentage points; a dash without a value."""
    return "–" if value is None else f"{100 * value:+.1f}"


def span(estimate: Estimate) -> str:
    """``−0.3 to +2.7``, or an empty text if fewer than two scenes count."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{points(estimate.low)} to {points(estimate.high)}"


def table(protocol: Protocol, found: Sequence[Difference]) -> list[list[str]]:
    """Rows for a terminal: differences at the headline threshold, in percentage points."""
    bins = [*(protocol.bin_label(b) for b in range(protocol.bins)), "all"]
    rows = [["", *bins]]
    for one in found:
        cells = []
        for values in one.values:
            estimate = values[0][2]
            interval = span(estimate)
            text = points(estimate.value)
            cells.append(f"{text} [{interval}]" if interval else text)
        rows.append([f"{one.label}: {Path(one.other).name} − {Path(one.base).name}", *cells])
    return rows


def write(protocol: Protocol, found: Sequence[Difference], out: Path) -> list[Path]:
    """Writes everything to ``out`` and returns the paths, the page first."""
    files = {
        "compare.json": json.dumps(record(protocol, found), indent=1, ensure_ascii=False) + "\n",
        "compare.csv": _csv(protocol, found),
    }
    for name, text in files.items():
        pages.write_text(out / name, text)
    figures = plots.save(_figure(protocol, found), out / "compare")
    html = pages.render(
        "precision_compare.html",
        differences=found,
        bins=[*(protocol.bin_label(b) for b in range(protocol.bins)), "all"],
        thresholds=[(t, limit.text) for t, limit in enumerate(protocol.thresholds)],
        headline=protocol.thresholds[0].text,
        facts=protocol.facts(),
        picture=pages.png_uri(figures[0].read_bytes()),
        points=points,
        span=span,
        percent=lambda value: "–" if value is None else f"{100 * value:.1f} %",
    )
    page = out / "compare.html"
    pages.write_text(page, html)
    return [page, *(out / name for name in files), *figures]


def _csv(protocol: Protocol, found: Sequence[Difference]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    stated = protocol.facts()
    writer.writerow(
        ["row", "base", "other", "bin", "threshold", "base_precision", "other_precision",
         "difference", "low", "high", *stated]
    )  # fmt: skip
    for one in found:
        for bin_, values in zip(one.bins, one.values, strict=True):
            for limit, (a, b, d) in zip(protocol.thresholds, values, strict=True):
                writer.writerow(
                    [one.label, one.base, one.other, bin_, limit.label, a, b, *d.record(),
                     *stated.values()]
                )  # fmt: skip
    return text.getvalue()


def _figure(protocol: Protocol, found: Sequence[Difference]) -> Figure:
    """Differences against rotation, with their intervals and a line at zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    nan = float("nan")
    for number, one in enumerate(found):
        first = [values[0][2] for values in one.values[:-1]]
        centre, low, high = (
            [nan if v is None else 100 * v for v in column]
            for column in zip(*(e.record() for e in first), strict=True)
        )
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        xs = [b + 0.06 * (number - (len(found) - 1) / 2) for b in range(protocol.bins)]
        axes.plot(xs, centre, "o-", color=colour, label=one.label, markersize=4)
        axes.vlines(xs, low, high, color=colour, linewidth=1.6)
    axes.axhline(0, color="#8a929c", linewidth=1)
    axes.set_xticks(range(protocol.bins), [protocol.bin_label(b) for b in range(protocol.bins)])
    axes.set_xlabel("rotation between the views")
    axes.set_ylabel(f"difference in precision within {protocol.thresholds[0].text}, points")
    axes.grid(axis="y", color="#d9dde3", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.supxlabel(caption(protocol), fontsize=6.5, color="#8a929c")
    return figure
