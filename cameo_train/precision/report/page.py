"""Results of ``cameo-train precision`` as files: JSON, CSV, figures and one self-contained page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_train import __version__
from cameo_train.precision.report import figures as precision_figures
from cameo_train.precision.report import plots
from cameo_train.precision.report.extras import Extra
from cameo_train.precision.results import Bin, Estimate, RowResult, shown
from cameo_train.protocols.measurement import Protocol
from cameo_train.report import pages

EMPTY = "–"


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that was measured.

    Attributes:
        missing: specs that could not be measured, with one line on what to fetch or fix.
        samples: number of groups measured, out of ``of_samples`` in the build.
        extras: pictures of the models that were measured.
    """

    shards: str
    build: str
    protocol: Protocol
    rows: Sequence[RowResult]
    missing: Sequence[tuple[str, str]]
    samples: int
    of_samples: int
    extras: Sequence[Extra] = ()

    def record(self) -> dict[str, Any]:
        """Plain values for ``results.json``."""
        return {
            "version": __version__,
            "shards": self.shards,
            "build": self.build,
            "samples": self.samples,
            "of_samples": self.of_samples,
            "protocol": self.protocol.record(),
            "statement": self.protocol.facts(),
            "missing": [{"features": spec, "message": text} for spec, text in self.missing],
            "rows": [row.record(self.protocol) for row in self.rows],
            "perturbed": [extra.record for extra in self.extras if extra.record],
        }


def write(outcome: Outcome, out: Path) -> list[Path]:
    """Writes everything to ``out``, the page last, and returns the paths, the page first.

    Raises:
        OSError: the folder cannot be written.
    """
    pages.write_text(
        out / "results.json", json.dumps(outcome.record(), indent=1, ensure_ascii=False) + "\n"
    )
    pages.write_text(out / "results.csv", _csv(outcome))
    written = [out / "results.json", out / "results.csv"]
    pictures = []
    for one in precision_figures.figures(outcome.rows, outcome.protocol):
        paths = plots.save(one.figure, out / one.name)
        written += paths
        pictures.append((one.title, one.text, pages.png_uri(paths[0].read_bytes())))
    written += [extra.write(out) for extra in outcome.extras]
    pages.write_text(out / "precision.html", _page(outcome, pictures))
    return [out / "precision.html", *written]


def _page(outcome: Outcome, pictures: Sequence[tuple[str, str, str]]) -> str:
    protocol = outcome.protocol
    told = shown(outcome.rows)
    notes = dict.fromkeys(note for row in outcome.rows for note in row.notes)
    return pages.render(
        "precision.html",
        outcome=outcome,
        facts=protocol.facts(),
        headline=protocol.thresholds[0].text,
        bins=[*(protocol.bin_label(b) for b in range(protocol.bins)), "all"],
        rows=[(row, [_cell(one) for one in row.bins]) for row in told],
        rest=[(row, [_cell(one) for one in row.bins]) for row in outcome.rows if row not in told],
        counts=[(one.pairs, one.queries, one.scenes) for one in outcome.rows[0].bins],
        thresholds=[(i, t.text) for i, t in enumerate(protocol.thresholds)],
        overall=[(row.label, *_overall(row.all)) for row in told],
        overall_rest=[(row.label, *_overall(row.all)) for row in outcome.rows if row not in told],
        pictures=pictures,
        extras=[(extra, pages.png_uri(extra.png)) for extra in outcome.extras],
        notes=list(notes),
    )


def _cell(one: Bin) -> tuple[str, str]:
    """Headline precision of a bin and its interval."""
    return percent(one.precision[0].value), span(one.precision[0])


def _overall(one: Bin) -> tuple[list[str], str]:
    median = one.median_px.value
    return [percent(e.value) for e in one.precision], EMPTY if median is None else f"{median:.2f}"


def percent(value: float | None) -> str:
    """``12.3 %``, or a dash if nothing was measured."""
    return EMPTY if value is None else f"{100 * value:.1f} %"


def span(estimate: Estimate) -> str:
    """``10.0–14.6``, or an empty text if fewer than two scenes count."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def _csv(outcome: Outcome) -> str:
    """A line for each row, bin and threshold; the protocol in every line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    protocol = outcome.protocol
    stated = ["grid", "bins_deg", "visibility filter", "match selection"]
    writer.writerow(
        ["row", "kind", "layer", "heads", "timestep", "step", "bin", "pairs", "queries", "scenes",
         "threshold", "precision", "low", "high", "median_px", *stated]
    )  # fmt: skip
    facts = protocol.facts()
    for row in outcome.rows:
        about = [row.label, row.row.kind, row.row.layer, row.row.heads, row.row.timestep,
                 row.row.step]  # fmt: skip
        for one in row.bins:
            for limit, estimate in zip(protocol.thresholds, one.precision, strict=True):
                writer.writerow(
                    [*about, one.label, one.pairs, one.queries, one.scenes, limit.label,
                     *estimate.record(), one.median_px.value, facts["grid"],
                     facts["rotation bins"], facts["visibility filter"], row.row.selection]
                )  # fmt: skip
    return text.getvalue()
