"""A build's numbers as one figure of four panels (matplotlib, no display needed)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cameo_data.io.os_errors import naming
from cameo_data.report import palette, summary, text
from cameo_data.report.summary import FrameCount, Summary
from cameo_data.types import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_INK, _BAR, _GRID = "#2b2f36", "#3d6fb4", "#d9dde3"
_FRAME_COLOURS = {"used": "#3d6fb4", "left out": "#b9c4d3", "failed": "#c0392b"}


def save(path: Path, build: Summary, frames: FrameCount, title: str) -> None:
    """Draw and write the figure; the bytes depend on the numbers only, no date is written.

    Raises:
        ValueError: see ``format_of``.
    """
    suffix = format_of(path)
    import matplotlib as mpl

    no_date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
    with mpl.rc_context({"svg.hashsalt": "cameo", "svg.fonttype": "none"}), naming(path):
        figure(build, frames, title).savefig(path, format=suffix, dpi=150, metadata=no_date)


def format_of(path: Path) -> str:
    """The format that the ending of ``path`` asks for.

    Raises:
        ValueError: none of ``FORMATS``.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise ValueError(f"plots cannot be written to {path}; expected .{', .'.join(FORMATS)}")
    return suffix


def figure(build: Summary, frames: FrameCount, title: str) -> Figure:
    """Rotation, overlap, verdict shares by rotation, frames."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    fig = Figure(figsize=(11, 7.2), layout="constrained")
    axes = fig.subplots(2, 2)
    fig.suptitle(title, color=_INK, fontsize=14, fontweight="bold")
    _histogram(axes[0, 0], summary.ROTATION_EDGES_DEG, build.rotation)
    _label(axes[0, 0], "Rotation between two views", "degrees", "pairs")
    axes[0, 0].set_xticks(np.arange(0, 181, 30))
    _histogram(axes[0, 1], summary.OVERLAP_EDGES, build.overlap)
    _label(axes[0, 1], "Overlap", build.overlap_of, "ordered pairs")
    if build.dense:
        _verdicts(axes[1, 0], build)
    else:
        _matches(axes[1, 0], build)
    _frames(axes[1, 1], frames)
    return fig


def _histogram(axes: Axes, edges: Sequence[float], counts: summary.Counts) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=_BAR, edgecolor="white")
    axes.set_xlim(edges[0], edges[-1])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _verdicts(axes: Axes, build: Summary) -> None:
    """One stacked bar per rotation bin that holds pairs, and one for all."""
    rows = [("all", build.verdicts.sum(0))]
    for low, high, pairs, counts in zip(
        summary.ROTATION_BINS_DEG[:-1],
        summary.ROTATION_BINS_DEG[1:],
        build.bin_pairs,
        build.verdicts,
        strict=True,
    ):
        if pairs:
            rows.append((f"{low:g}–{high:g}°", counts))
    rows.reverse()
    names = [name for name, _ in rows]
    table = np.array([summary.shares(counts) for _, counts in rows])
    left = np.zeros(len(rows))
    for verdict in reversed(Verdict):
        colour = palette.hex_of(palette.VERDICT_RGB[verdict])
        axes.barh(
            names,
            table[:, verdict],
            0.72,
            left,
            color=colour,
            label=verdict.name,
            edgecolor="white",
        )
        left += table[:, verdict]
    axes.set_xlim(0, 1)
    _label(axes, f"Verdicts at stride {build.stride}", "share of queries", "")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False, fontsize=8.5
    )


def _matches(axes: Axes, build: Summary) -> None:
    """Pairs by how many sparse matches they have, where these stand in for depth."""
    bars = axes.barh(text.match_labels(), build.match_counts, 0.72, color=_BAR)
    axes.bar_label(bars, padding=4, color=_INK, fontsize=9)
    axes.margins(x=0.12)
    _label(axes, "Sparse matches between two views", "pairs", "")


def _frames(axes: Axes, frames: FrameCount) -> None:
    """The three parts of all frames found, then failures by reason."""
    parts = {"used": frames.used, "left out": frames.left_out, "failed": frames.failed}
    reasons = sorted(frames.reasons.items(), key=lambda item: (-item[1], item[0]))
    names = [*parts, *(f"  {name}" for name, _ in reasons)]
    counts = [*parts.values(), *(count for _, count in reasons)]
    colours = [*_FRAME_COLOURS.values(), *(["#e3a59d"] * len(reasons))]
    bars = axes.barh(names, counts, 0.72, color=colours)
    axes.bar_label(bars, padding=4, color=_INK, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _label(axes, f"Frames: {frames.found} found", "frames", "")


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", color=_INK, fontsize=11)
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.tick_params(colors=_INK, length=0)
    axes.grid(axis="x" if not y else "y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
