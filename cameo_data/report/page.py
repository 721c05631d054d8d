"""One self-contained HTML page of a build: its numbers, and pictures that show its matches.

No script, no external resource: pictures are data URIs, and a content security policy in the page
forbids anything else. All text passes through autoescape.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from cameo_data.report import agreement, palette, pictures, selection, summary, text
from cameo_data.report.agreement import Agreement
from cameo_data.report.pictures import EmbeddedPicture, PairPictures
from cameo_data.report.summary import FrameCount, Summary
from cameo_data.types import Sample, Verdict

PAIRS_PER_GROUP = 2
# A page that opens at once and can be mailed; groups beyond it are left out, and the page says so.
MAX_BYTES = 20_000_000
# A table of V×V rotations stays readable up to here.
_MATRIX_VIEWS = 8


@dataclass(frozen=True)
class Page:
    """A finished page and what is in it."""

    html: str
    groups: int
    groups_left_out: int
    pairs: int
    agreement: Agreement


@dataclass(frozen=True, eq=False)
class _Group:
    sample: Sample
    views: Sequence[EmbeddedPicture]
    pairs: Sequence[PairPictures]

    @property
    def size(self) -> int:
        """Bytes of its pictures in the page."""
        shown = [*self.views]
        for pair in self.pairs:
            shown += [pair.matches, *(pair.tiles.all() if pair.tiles is not None else ())]
        return sum(len(picture.uri) for picture in shown)

    @property
    def matrix(self) -> bool:
        return 2 < len(self.sample.cameras) <= _MATRIX_VIEWS


def render(
    title: str,
    facts: Mapping[str, str],
    build: Summary,
    frames: FrameCount,
    samples: Iterable[Sample],
    *,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> Page:
    """The page of a build.

    Args:
        facts: shown at the top, label -> value.
        samples: the groups to show, read one at a time; see ``choose.groups``.
        seed: of the matches drawn.
        max_bytes: of all pictures; the first group is shown whatever it weighs.
    """
    shown: list[_Group] = []
    bins = [Agreement() for _ in summary.ROTATION_BINS_DEG[1:]]
    weight = left_out = 0
    for sample in samples:
        if left_out:
            left_out += 1
            continue
        group = _group(sample, seed)
        weight += group.size
        if shown and weight > max_bytes:
            left_out = 1
            continue
        shown.append(group)
        for pair in group.pairs:
            index = agreement.bin_index(pair.rotation_deg, summary.ROTATION_BINS_DEG)
            if index is not None:
                bins[index] += pair.agreement
    total = sum(bins, Agreement())
    html = (
        _environment()
        .get_template("preview.html")
        .render(
            title=title,
            facts=facts,
            build=build,
            frames=frames,
            reasons=sorted(frames.reasons.items(), key=lambda item: (-item[1], item[0])),
            groups=shown,
            groups_left_out=left_out,
            total=total,
            doubt=agreement.doubt(total),
            bins=[row for row in _bins(bins) if row["agreement"].pairs],
            legend=_legend(),
            histograms=_histograms(build),
        )
    )
    return Page(html, len(shown), left_out, total.pairs, total)


def _group(sample: Sample, seed: int) -> _Group:
    views = agreement.prepared(sample)
    drawn = [
        pictures.of_pair(sample, views, a, b, seed)
        for a, b in selection.pairs(sample, PAIRS_PER_GROUP)
    ]
    return _Group(sample, pictures.of_views(sample), drawn)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cameo_data.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["levels"] = lambda value: "–" if value is None else f"{value:.1f}"
    environment.filters["count"] = lambda value: f"{int(value):,}".replace(",", "\u202f")
    return environment


def _percent(share: float) -> str:
    """A share as a person reads it: what is there is never called 0."""
    value = 100 * float(share)
    if 0 < value < 0.1:
        return "<0.1\u202f%"
    return f"{value:.0f}\u202f%" if value >= 10 or value == 0 else f"{value:.1f}\u202f%"


def _legend() -> list[dict[str, Any]]:
    return [
        {
            "code": int(verdict),
            "name": verdict.name,
            "colour": palette.hex_of(palette.VERDICT_RGB[verdict]),
            "meaning": palette.VERDICT_MEANING[verdict],
        }
        for verdict in reversed(Verdict)
    ]


def _bins(bins: Sequence[Agreement]) -> list[dict[str, Any]]:
    edges = summary.ROTATION_BINS_DEG
    return [
        {"label": f"{low:g}–{high:g}°", "agreement": one}
        for low, high, one in zip(edges[:-1], edges[1:], bins, strict=True)
    ]


def _histograms(build: Summary) -> list[dict[str, Any]]:
    sparse = [_match_histogram(build)] if build.sparse_samples else []
    return [
        *sparse,
        _histogram(
            "Rotation between two views", "pairs", "°", summary.ROTATION_EDGES_DEG, build.rotation
        ),
        _histogram(
            f"Overlap ({build.overlap_of})",
            "ordered pairs",
            "\u202f%",
            [round(100 * edge) for edge in summary.OVERLAP_EDGES],
            build.overlap,
        ),
    ]


def _match_histogram(build: Summary) -> dict[str, Any]:
    title, labels = "Sparse matches between two views", text.match_labels()
    top = max(1, int(build.match_counts.max()))
    bars = _bars(labels, build.match_counts)
    ticks = [f"{edge}" for edge in (summary.MATCH_EDGES[0], summary.MATCH_EDGES[4])]
    ticks.append(f"{summary.MATCH_EDGES[-1]}+")
    return {"title": title, "what": "pairs", "bars": bars, "ticks": ticks, "top": top}


def _bars(labels: Sequence[str], counts: summary.Counts) -> list[dict[str, Any]]:
    top = max(1, int(counts.max()))
    return [
        {"label": label, "count": int(count), "height": 100 * int(count) / top}
        for label, count in zip(labels, counts, strict=True)
    ]


def _histogram(
    title: str, what: str, unit: str, edges: Sequence[float], counts: summary.Counts
) -> dict[str, Any]:
    top = max(1, int(counts.max()))
    labels = [f"{low:g}–{high:g}{unit}" for low, high in itertools.pairwise(edges)]
    bars = _bars(labels, counts)
    ticks = [f"{edge:g}{unit}" for edge in (edges[0], edges[len(edges) // 2], edges[-1])]
    return {"title": title, "what": what, "bars": bars, "ticks": ticks, "top": top}
