"""Results side by side: differences on the same queries of the same scenes, with their intervals.

Two rows of 80 % ± 5 % may still differ reliably, since what is hard for one is hard for the other.
The difference is therefore computed in every draw of scenes, and its interval comes from these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cameo_data.errors import UsageError
from cameo_train.precision import intervals
from cameo_train.precision.measurement import read_measured
from cameo_train.precision.results import Estimate, restricted
from cameo_train.precision.tally import Tally
from cameo_train.protocols.measurement import Protocol

# Fields that must be equal for two rows of different runs to be the same row.
_SAME = ("layer", "heads", "timestep", "step")


@dataclass(frozen=True, eq=False)
class StoredRow:
    """A row, read from ``results.json`` and its tally."""

    label: str
    record: dict[str, Any]
    tally: Tally


@dataclass(frozen=True, eq=False)
class Stored:
    """The results of one folder."""

    name: str
    protocol: Protocol
    build: str
    rows: tuple[StoredRow, ...]


@dataclass(frozen=True)
class Difference:
    """The difference between a row and the same row in the first folder.

    Attributes:
        label: name of the row; base, other: folders.
        bins: labels; values: (B + 1, T) base, other and their difference, as shares of queries.
    """

    label: str
    base: str
    other: str
    bins: tuple[str, ...]
    values: tuple[tuple[tuple[float | None, float | None, Estimate], ...], ...]

    def record(self, protocol: Protocol) -> dict[str, Any]:
        """Plain values for JSON."""
        names = [t.label for t in protocol.thresholds]
        return {
            "row": self.label,
            "base": self.base,
            "other": self.other,
            "bins": [
                {
                    "bin": bin_,
                    "precision": {
                        name: {"base": a, "other": b, "difference": d.record()}
                        for name, (a, b, d) in zip(names, values, strict=True)
                    },
                }
                for bin_, values in zip(self.bins, self.values, strict=True)
            ],
        }


def read_results(folder: Path) -> Stored:
    """What ``cameo-train precision`` wrote.

    Raises:
        UsageError: there are no results.
        ValueError: the results are damaged, or belong to another version.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise UsageError(f"{folder} holds no results.json; run `cameo-train precision --out` there")
    try:
        record = json.loads(path.read_text("utf-8"))
        protocol = Protocol.of_record(record["protocol"])
        rows = []
        for row in record["rows"]:
            if row["kind"] in ("ceiling", "floor"):
                continue
            measured = read_measured(folder / row["file"])
            rows.append(StoredRow(row["label"], row, _tally(measured.rows, measured.tallies, row)))
        build = f"{record['build']}, {record['samples']} groups"
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError,
            RecursionError) as error:  # fmt: skip
        raise ValueError(f"{path} is damaged ({error!r}); run the command again") from None
    return Stored(str(folder), protocol, build, tuple(rows))


def _tally(rows: Sequence[Any], tallies: Sequence[Tally], record: dict[str, Any]) -> Tally:
    """The tally of a row of ``results.json``."""
    heads = record["heads"]
    if heads and heads.startswith("best (head "):
        heads = heads.removeprefix("best (").partition(" of ")[0]
    for row, tally in zip(rows, tallies, strict=True):
        same = (row.layer, row.timestep, row.step) == tuple(
            record[key] for key in ("layer", "timestep", "step")
        )
        if same and row.heads == heads:
            return tally
    raise KeyError(record["label"])


def compare(folders: Sequence[Path]) -> tuple[Protocol, list[Difference]]:
    """Differences between every further folder and the first.

    Rows are compared if they have the same features, or attention read in the same way; if both
    folders hold a single row, these two are compared.

    Raises:
        UsageError: there are fewer than two folders, or they have no row in common.
        ValueError: the rows were measured in different ways, or on different builds.
    """
    if len(folders) < 2:
        raise UsageError("--compare needs two or more folders of results")
    base, *others = [read_results(folder) for folder in folders]
    found = []
    for other in others:
        _check_alike(base, other)
        pairs = _pairs(base, other)
        if not pairs:
            shown = (", ".join(row.label for row in one.rows) for one in (base, other))
            raise UsageError("no row is in both: {} against {}".format(*shown))
        found += [_difference(base, other, one, two) for one, two in pairs]
    return base.protocol, found


def _check_alike(base: Stored, other: Stored) -> None:
    ours, theirs = base.protocol.record(), other.protocol.record()
    for key in ours:
        if ours[key] != theirs[key]:
            raise ValueError(
                f"{base.name} and {other.name} cannot be compared: {key} is {ours[key]} in the "
                f"first and {theirs[key]} in the second; measure both in the same way"
            )
    one, two = base.rows[0].tally, other.rows[0].tally
    if base.build != other.build or not np.array_equal(one.pairs, two.pairs):
        raise ValueError(
            f"{base.name} and {other.name} cannot be compared: they are of different pairs "
            f"({base.build}; {other.build}); measure both on the same build and --samples"
        )


def _pairs(base: Stored, other: Stored) -> list[tuple[StoredRow, StoredRow]]:
    if len(base.rows) == len(other.rows) == 1:
        return [(base.rows[0], other.rows[0])]

    def key(row: StoredRow) -> tuple[Any, ...]:
        kind = row.record["kind"]
        if kind != "attention":
            return (row.record["spec"],)
        heads = row.record["heads"]
        same = [row.record[name] for name in _SAME]
        same[1] = "best" if heads.startswith("best") else heads  # the best head may differ
        return (kind, *same)

    theirs: dict[tuple[Any, ...], list[StoredRow]] = {}
    for row in other.rows:
        theirs.setdefault(key(row), []).append(row)
    ours = [key(row) for row in base.rows]
    # A key of several rows in one folder is ambiguous.
    return [
        (row, theirs[key(row)][0])
        for row in base.rows
        if len(theirs.get(key(row), ())) == 1 and ours.count(key(row)) == 1
    ]


def _difference(base: Stored, other: Stored, one: StoredRow, two: StoredRow) -> Difference:
    here = intervals.present(one.tally)
    a, b = restricted(one.tally, here), restricted(two.tally, here)
    weights = intervals.draws(max(1, int(here.sum())))
    first, second = intervals.precision(a), intervals.precision(b)
    # A bin counts scenes with queries in both; matchers that choose their own points may differ.
    scenes = np.minimum(intervals.scenes_with_queries(a), intervals.scenes_with_queries(b))
    drawn = intervals.precision_draws(b, weights) - intervals.precision_draws(a, weights)
    span = intervals.interval(second - first, drawn, scenes, "difference")
    protocol = base.protocol
    bins = (*(protocol.bin_label(n) for n in range(protocol.bins)), "all")
    values = tuple(
        tuple(
            (
                _number(first[n, t]),
                _number(second[n, t]),
                Estimate(_number(second[n, t] - first[n, t]), *map(_number, span[n, t])),
            )
            for t in range(first.shape[1])
        )
        for n in range(len(bins))
    )
    label = one.label if one.label == two.label else f"{two.label} − {one.label}"
    return Difference(label, base.name, other.name, bins, values)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
