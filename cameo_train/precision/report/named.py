"""Numbers of the named protocols as files and as a table, with each protocol's settings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cameo_train import __version__
from cameo_train.precision.named import Means
from cameo_train.protocols import NamedProtocol
from cameo_train.report import pages


def facts(named: NamedProtocol) -> dict[str, str]:
    """All settings of the protocol, label -> value."""
    centimetres = [f"{100 * t:g} cm" for t in named.thresholds_m]
    limits = [*(f"{t:g} px" for t in named.thresholds_px), *centimetres]
    measure, value = named.binned
    at = f"{value:g} px" if measure == "px" else f"{100 * value:g} cm"
    bins = "–".join(f"{edge:g}" for edge in named.bins_deg)
    return {
        "source": named.source,
        "queries": named.queries,
        "ranking": f"{named.ranking}; the first {named.matches} count",
        "visibility filter": "none",
        "right": f"{'at most' if named.inclusive else 'below'} {', '.join(limits)}",
        "pixels": named.pixels,
        "rotation bins": f"{bins}°, at {at}",
    }


def table(found: Mapping[str, Means]) -> list[list[str]]:
    """A row for each matcher: every recall, and the number of pairs (or groups) in the mean."""
    names = list(dict.fromkeys(name for means in found.values() for name in means.sums))
    rows = [["", *names, "pairs or groups"]]
    for label, means in found.items():
        recall = means.record()["recall"]
        cells = [_percent(recall.get(name)) for name in names]
        rows.append([label, *cells, f"{means.pairs} (+ {means.empty} empty)"])
    return rows


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def write(
    named: NamedProtocol,
    found: Mapping[str, Means],
    failed: Sequence[tuple[str, str]],
    out: Path,
) -> dict[str, Any]:
    """Writes ``OUT/NAME.json`` and ``OUT/NAME.csv`` and returns the record."""
    record: dict[str, Any] = {
        "version": __version__,
        "protocol": named.record(),
        "statement": facts(named),
        "missing": [{"features": spec, "message": text} for spec, text in failed],
        "rows": [{"label": label, **means.record()} for label, means in found.items()],
    }
    json_text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    pages.write_text(out / f"{named.name}.json", json_text)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    stated = facts(named)
    writer.writerow(["row", "measure", "recall", "of_pairs", *stated])
    for label, means in found.items():
        numbers = means.record()
        for name, value in numbers["recall"].items():
            writer.writerow([label, name, value, numbers["of_pairs"][name], *stated.values()])
    pages.write_text(out / f"{named.name}.csv", text.getvalue())
    return record
