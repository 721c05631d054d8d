"""Curves of the experiment: loss, precision, rotation, layers (matplotlib, no display).

A thin line is a seed, a thick one the mean of all. Each arm has a colour and, if there are more
arms than colours, a dash pattern.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cameo_train.precision.report.plots import COLOURS
from cameo_train.reproduce.geometry import Geometry, LayerReading
from cameo_train.reproduce.summary import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _GRID, _SOFT = "#2b2f36", "#d9dde3", "#8a929c"
_MINUTE = 60.0
_DASHES = ("-", "--", "-.", ":")
Points = Sequence[tuple[float, float]]


def training(runs: Sequence[Run]) -> Figure:
    """Held-out loss against steps and against time, and precision of the layer against steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.2, 4), layout="constrained")
    loss, time, precision = figure.subplots(1, 3)
    _dress(loss, "training step", "held-out loss of target views")
    _dress(time, "minutes of training", "")
    _dress(precision, "training step", "precision of the layer, within one token")
    losses = {key: run.curve("validation_loss") for key, run in _keyed(runs)}
    _lines(loss, runs, lambda run: losses[run.arm.name, run.seed])
    _lines(time, runs, lambda run: [
        (run.seconds_at(step) / _MINUTE, value) for step, value in losses[run.arm.name, run.seed]
    ])  # fmt: skip
    _lines(precision, runs, lambda run: run.curve("validation_precision"))
    # The first measurements are several times the last ones and would hide the differences.
    finals = [run.final_loss for run in runs]
    for axes in (loss, time):
        axes.set_ylim(0.92 * min(finals), 2.2 * max(finals))
    precision.set_ylim(0, 1.02)
    for number, name in enumerate(dict.fromkeys(run.arm.name for run in runs)):
        if all(run.arm.against == name for run in runs if run.arm.name == name):
            level = statistics.fmean(r.final_loss for r in runs if r.arm.name == name)
            loss.axhline(level, color=_colour(number), linestyle=":", linewidth=1)
    _legend(precision)
    return figure


def rotation(geometry: Geometry, steps: Sequence[int], arms: Sequence[str]) -> Figure:
    """Precision against rotation at some steps, of the layer that counts for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(steps), 4), layout="constrained")
    some = [b for b, queries in enumerate(geometry.queries) if queries]
    panels = figure.subplots(1, len(steps), squeeze=False)[0]
    within = geometry.facts["right within"]
    for axes, step in zip(panels, steps, strict=True):
        _dress(axes, "rotation between the views", f"precision within {within}")
        axes.set_title(f"step {step}", color=_INK, fontsize=10)
        axes.set_xticks(range(len(some)), [geometry.bins[b] for b in some])
        axes.plot(
            [geometry.ceiling[b] for b in some], "--", color=_SOFT, label="ceiling of the grid"
        )
        for number, arm in enumerate(arms):
            seeds = sorted({r.seed for r in geometry.readings if r.arm == arm})
            found = [geometry.best(arm, seed, step) for seed in seeds]
            curves = [[(i, r.precision[b]) for i, b in enumerate(some)] for r in found if r]
            _curves(axes, [_there(c) for c in curves], arm, number)
        axes.plot([geometry.floor[b] for b in some], ":", color=_SOFT, label="chance")
        axes.set_ylim(0, 1.02)
    _legend(panels[-1])
    return figure


def layers(geometry: Geometry, steps: Sequence[int], arms: Sequence[str]) -> Figure:
    """Precision of every layer over large rotations, at some steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(steps), 4), layout="constrained")
    panels = figure.subplots(1, len(steps), squeeze=False)[0]
    for axes, step in zip(panels, steps, strict=True):
        large = f"precision over {geometry.large_deg:g}°" if geometry.large_deg else "precision"
        _dress(axes, "layer, in execution order", large)
        axes.set_title(f"step {step}", color=_INK, fontsize=10)
        for number, arm in enumerate(arms):
            here = [r for r in geometry.readings if (r.arm, r.step) == (arm, step)]
            seeds = sorted({r.seed for r in here})
            curves = [_there([(r.layer, r.large) for r in here if r.seed == s]) for s in seeds]
            _curves(axes, curves, arm, number)
            _mark(axes, [r for r in here if r.supervised], _colour(number))
        axes.set_ylim(0, 1.02)
    _legend(panels[-1])
    return figure


def _mark(axes: Axes, supervised: Sequence[LayerReading], colour: str) -> None:
    """Draws a ring around what was supervised."""
    values = [r.large for r in supervised if r.large is not None]
    if values:
        at = (supervised[0].layer, statistics.fmean(values))
        axes.plot(*at, "o", markersize=10, markerfacecolor="none", color=colour)


def _keyed(runs: Sequence[Run]) -> list[tuple[tuple[str, int], Run]]:
    return [((run.arm.name, run.seed), run) for run in runs]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _there(points: Sequence[tuple[float, float | None]]) -> Points:
    return [(x, y) for x, y in points if y is not None]


def _lines(axes: Axes, runs: Sequence[Run], points: Callable[[Run], Points]) -> None:
    for number, name in enumerate(dict.fromkeys(run.arm.name for run in runs)):
        mine = [points(run) for run in runs if run.arm.name == name]
        _curves(axes, mine, name, number)


def _curves(axes: Axes, curves: Sequence[Points], label: str, number: int) -> None:
    """Draws a thin line for each, and their mean if all were measured at the same places."""
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    several = len(curves) > 1
    dashes = _DASHES[number // len(COLOURS) % len(_DASHES)]
    style: dict[str, Any] = {"color": _colour(number), "linestyle": dashes}
    for curve in curves:
        xs, ys = zip(*curve, strict=True)
        thin: dict[str, Any] = (
            {"alpha": 0.35, "linewidth": 0.9} if several else {"label": label, "linewidth": 1.8}
        )
        alone = "o" if len(xs) == 1 else ""  # no line goes through one point
        axes.plot(xs, ys, marker=alone, **style, **thin)
    if several and len({len(curve) for curve in curves}) == 1:
        pairs = list(zip(*curves, strict=True))
        mean_x = [statistics.fmean(x for x, _ in at) for at in pairs]
        mean_y = [statistics.fmean(y for _, y in at) for at in pairs]
        axes.plot(mean_x, mean_y, **style, linewidth=1.8, label=label)


def _legend(axes: Axes) -> None:
    """Draws the legend next to the last panel, off the curves; many arms take several columns."""
    columns = 1 + len(axes.get_legend_handles_labels()[0]) // 16
    axes.legend(
        fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncols=columns
    )


def _dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel, color=_INK)
    axes.set_ylabel(ylabel, color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
