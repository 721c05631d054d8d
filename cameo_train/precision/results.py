"""Numbers with their intervals, computed from tallies, for all tables, plots and files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_train.matchers.group import Row
from cameo_train.precision import intervals
from cameo_train.precision.measurement import Measured
from cameo_train.precision.tally import Tally
from cameo_train.protocols.measurement import Protocol

DIGITS = 6


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; None if unknown.

    Attributes:
        low, high: None if fewer than two scenes count.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def record(self) -> list[float | None]:
        """Value, low, high."""
        return [self.value, self.low, self.high]


@dataclass(frozen=True)
class Bin:
    """One rotation bin of a row, or all of them.

    Attributes:
        label: ``15–30°`` or ``all``.
        pairs, queries, scenes: numbers of ordered pairs, of queries, and of scenes with queries.
        precision: one for each threshold.
        median_px: median error; ``median_within_px`` is its largest deviation, since errors are
            counted in levels.
    """

    label: str
    pairs: int
    queries: int
    scenes: int
    precision: tuple[Estimate, ...]
    median_px: Estimate
    median_within_px: float | None

    @property
    def empty(self) -> bool:
        """Whether there are no queries: the precision is then unknown, not zero."""
        return self.queries == 0


@dataclass(frozen=True, eq=False)
class RowResult:
    """A row with the label under which it is shown.

    Attributes:
        bins: the protocol's bins, then all together.
        unjudged: see ``Found``.
        file: name of the file with its tally.
    """

    row: Row
    label: str
    bins: tuple[Bin, ...]
    tally: Tally
    unjudged: int
    file: str
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> Bin:
        """All bins together."""
        return self.bins[-1]

    def record(self, protocol: Protocol) -> dict[str, Any]:
        """Plain values for JSON."""
        names = [t.label for t in protocol.thresholds]
        bins = []
        for one in self.bins:
            precision = [e.record() for e in one.precision]
            bins.append(
                {
                    "bin": one.label,
                    "pairs": one.pairs,
                    "queries": one.queries,
                    "scenes": one.scenes,
                    "precision": dict(zip(names, precision, strict=True)),
                    "median_px": one.median_px.record(),
                    "median_within_px": one.median_within_px,
                }
            )
        return {
            "label": self.label,
            **asdict(self.row),
            "unjudged": self.unjudged,
            "notes": list(self.notes),
            "file": self.file,
            "bins": bins,
        }


def row_result(
    row: Row,
    tally: Tally,
    protocol: Protocol,
    *,
    label: str = "",
    file: str = "",
    notes: Sequence[str] = (),
) -> RowResult:
    """All numbers of a row."""
    here = intervals.present(tally)
    part = restricted(tally, here)
    weights = intervals.draws(max(1, int(here.sum())))
    scenes = intervals.scenes_with_queries(part)
    value = intervals.precision(part)
    span = intervals.interval(value, intervals.precision_draws(part, weights), scenes, "share")
    median, width = intervals.medians(part)
    if part.errors.any():
        drawn = intervals.median_draws(part, weights)
        median_span = intervals.interval(median, drawn, scenes, "size")
    else:
        median_span = np.full((*median.shape, 2), np.nan)
    bins, diagonal = [], protocol.diagonal_px
    labels = [*(protocol.bin_label(b) for b in range(protocol.bins)), "all"]
    pairs, queries = (np.append(x.sum(0), x.sum()) for x in (part.pairs, part.queries))
    for b, name in enumerate(labels):
        bins.append(
            Bin(
                label=name,
                pairs=int(pairs[b]),
                queries=int(queries[b]),
                scenes=int(scenes[b]),
                precision=tuple(_estimate(value[b, t], span[b, t]) for t in range(value.shape[1])),
                median_px=_estimate(median[b] * diagonal, median_span[b] * diagonal),
                median_within_px=_number(width[b] * diagonal),
            )
        )
    return RowResult(
        row=row,
        label=label,
        bins=tuple(bins),
        tally=tally,
        unjudged=tally.unjudged,
        file=file,
        notes=tuple(notes),
    )


def restricted(tally: Tally, units: NDArray[np.bool_]) -> Tally:
    """The tally of some of the scenes."""
    return replace(
        tally,
        pairs=tally.pairs[units],
        queries=tally.queries[units],
        hits=tally.hits[units],
        errors=tally.errors[units],
    )


def _estimate(value: float, span: NDArray[np.float64]) -> Estimate:
    return Estimate(_number(value), _number(span[0]), _number(span[1]))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), DIGITS)


def all_results(
    measured: Sequence[tuple[Measured, str]], protocol: Protocol, *, best_head: bool, each: bool
) -> list[RowResult]:
    """Rows of all matchers with their labels.

    Args:
        measured: results, each with the name of its file.
        best_head: whether to add the head with the highest precision for each layer.
        each: whether to keep the single heads as well.
    """
    found = [
        (row, row_result(row, tally, protocol, file=file, notes=one.notes))
        for one, file in measured
        for row, tally in zip(one.rows, one.tallies, strict=True)
    ]
    results = [result for _, result in found]
    if best_head:
        results = _with_best_heads(results, keep_each=each)
    names = labels([r.row for r in results])
    return [replace(r, label=name) for r, name in zip(results, names, strict=True)]


def _with_best_heads(results: Sequence[RowResult], *, keep_each: bool) -> list[RowResult]:
    """The best head of each layer, chosen on the numbers shown, which flatters it."""
    groups: dict[tuple[Any, ...], list[RowResult]] = {}
    for result in results:
        row = result.row
        if (row.heads or "").startswith("head "):
            key = (row.spec, row.name, row.layer, row.timestep, row.step)
            groups.setdefault(key, []).append(result)
    out = []
    done = set()
    for result in results:
        row = result.row
        key = (row.spec, row.name, row.layer, row.timestep, row.step)
        single = (row.heads or "").startswith("head ")
        if single and key not in done:
            done.add(key)
            heads = groups[key]
            best = max(heads, key=lambda r: r.all.precision[0].value or 0.0)
            number = (best.row.heads or "").removeprefix("head ")
            name = f"best (head {number} of {len(heads)})"
            selection = f"{best.row.selection}, the best one on these very pairs"
            out.append(
                replace(best, row=replace(best.row, heads=name, selection=selection))
            )  # fmt: skip
        if not single or keep_each:
            out.append(result)
    return out


def labels(rows: Sequence[Row]) -> list[str]:
    """Labels of rows: what tells them apart, and always how heads are combined."""
    attention = [row for row in rows if row.kind == "attention"]
    specs = {row.name: {r.spec for r in attention if r.name == row.name} for row in attention}

    def several(field: str) -> bool:
        return len({getattr(row, field) for row in attention}) > 1

    found = []
    for row in rows:
        if row.kind != "attention":
            found.append(row.name)
            continue
        parts = [row.name if len(specs[row.name]) == 1 else row.spec.partition(":")[2]]
        if several("layer"):
            parts.append(f"layer {row.layer_number}")
        parts.append(f"head {row.heads}" if row.heads in ("mean",) else _heads(row.heads or ""))
        if several("timestep"):
            parts.append(f"t {row.timestep}")
        if several("step") and row.step is not None:
            parts.append(f"step {row.step}")
        found.append(" · ".join(parts))
    return found


def _heads(heads: str) -> str:
    return "trained head" if heads == "trained" else heads


def last_steps(results: Sequence[RowResult]) -> list[RowResult]:
    """The rows without earlier checkpoints of the same run."""
    last: dict[str, int] = {}
    for result in results:
        row = result.row
        last[row.spec] = max(last.get(row.spec, 0), row.step or 0)
    return [r for r in results if (r.row.step or 0) == last[r.row.spec]]


def shown(results: Sequence[RowResult]) -> list[RowResult]:
    """One row per matcher and way of reading: the main layers of the last checkpoints."""
    return [result for result in last_steps(results) if result.row.main]
