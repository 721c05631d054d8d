"""A build's numbers as lines of text with bars, for a terminal or a log."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from cameo_data.errors import plural
from cameo_data.report import summary
from cameo_data.report.agreement import Agreement
from cameo_data.report.summary import FrameCount, Summary
from cameo_data.types import Verdict

_WIDTH = 32
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_ASCII = str.maketrans({"–": "-", "°": " deg", "≠": "!="})


def lines(
    build: Summary, frames: FrameCount, agreement: Sequence[Agreement] = (), *, unicode: bool = True
) -> list[str]:
    """All of it, section after section.

    Args:
        agreement: one per bin of ``ROTATION_BINS_DEG``, or nothing where none was measured.
        unicode: whether the output can show more than ASCII; else bars are made of ``#``.
    """
    out = [*_frames(frames, unicode), ""]
    pairs = int(build.bin_pairs.sum())
    out += [f"Samples  {build.samples} with {build.views} views in all, {pairs} ordered pairs"]
    out += [f"Depth made by: {', '.join(build.depth_sources)}"] if build.depth_sources else []
    out += [""]
    out += ["Rotation between two views of a group (pairs)"]
    out += bars(_ranges(summary.ROTATION_EDGES_DEG, "°"), build.rotation, unicode=unicode)
    out += ["", f"Overlap: {build.overlap_of} (ordered pairs)"]
    out += bars(_ranges(summary.OVERLAP_EDGES, " %", 100), build.overlap, unicode=unicode)
    if build.sparse_samples:
        out += ["", *_matches(build, unicode)]
    if build.dense:
        how = "computed from depth and poses" if build.recomputed else "as stored"
        out += ["", f"Verdicts at stride {build.stride}, {how} (share of queries)"]
        names = [v.name for v in reversed(Verdict)]
        out += share_bars(names, build.verdict_shares[::-1], unicode)
    if agreement:
        out += ["", *_agreement(agreement)]
    return out if unicode else [line.translate(_ASCII) for line in out]


def bars(labels: Sequence[str], counts: Iterable[float], *, unicode: bool = True) -> list[str]:
    """One line per count, the longest bar for the largest."""
    values = [float(count) for count in counts]
    return _lines(
        labels, [f"{value:.0f}" for value in values], values, max([*values, 1.0]), unicode
    )


def share_bars(labels: Sequence[str], shares: Iterable[float], unicode: bool = True) -> list[str]:
    """One line per share of one, a full bar for all of it."""
    values = [float(share) for share in shares]
    return _lines(labels, [f"{100 * value:.2f} %" for value in values], values, 1.0, unicode)


def _lines(
    labels: Sequence[str], texts: Sequence[str], values: Sequence[float], top: float, unicode: bool
) -> list[str]:
    left = max(map(len, labels), default=0)
    right = max(map(len, texts), default=0)
    return [
        f"  {label:>{left}}  {text:>{right}}  {_bar(value / top, unicode)}".rstrip()
        for label, text, value in zip(labels, texts, values, strict=True)
    ]


def _bar(share: float, unicode: bool) -> str:
    eighths = round(share * _WIDTH * 8)
    if share > 0:
        eighths = max(1, eighths)  # something is never drawn as nothing
    if not unicode:
        return "#" * -(-eighths // 8)
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _frames(frames: FrameCount, unicode: bool) -> list[str]:
    sign = "=" if frames.adds_up else "≠"
    out = [
        f"Frames   {frames.found} found {sign} {frames.used} used + {frames.left_out} left out "
        f"+ {frames.failed} failed"
    ]
    if frames.reasons:
        ordered = sorted(frames.reasons.items(), key=lambda item: (-item[1], item[0]))
        out += ["Failures by reason"]
        out += bars([name for name, _ in ordered], [n for _, n in ordered], unicode=unicode)
    return out


def _matches(build: Summary, unicode: bool) -> list[str]:
    count = build.sparse_samples
    some = f" in {plural(count, 'sample')} without depth" if build.dense else ""
    head = f"Sparse matches between two views{some}, {build.matches} in all (pairs)"
    return [head, *bars(match_labels(), build.match_counts, unicode=unicode)]


def match_labels() -> list[str]:
    """Of the bins of ``MATCH_EDGES``."""
    edges = summary.MATCH_EDGES
    inner = (
        f"{low}" if high == low + 1 else f"{low}–{high - 1}"
        for low, high in itertools.pairwise(edges)
    )
    return [*inner, f"{edges[-1]} or more"]


def _agreement(agreement: Sequence[Agreement]) -> list[str]:
    total = sum(agreement, Agreement())
    dense = bool(total.verdicts.sum())
    points = "VISIBLE points, at every pixel" if dense else "matched points"
    share = "VISIBLE" if dense else "points"
    out = [
        f"Colour difference of {points}, 8-bit levels (median)",
        f"  {'rotation':>9}  {'pairs':>6}  {share:>8}  {'matched':>8}  {'in place':>8}",
    ]
    labels = _ranges(summary.ROTATION_BINS_DEG, "°")
    for label, one in [*zip(labels, agreement, strict=True), ("all", total)]:
        if one.pairs:
            seen = f"{100 * one.share(Verdict.VISIBLE):.1f} %" if dense else f"{one.points}"
            out.append(
                f"  {label:>9}  {one.pairs:>6}  {seen:>8}  {_level(one.median_warped):>8}"
                f"  {_level(one.median_unwarped):>8}"
            )
    return out


def _level(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _ranges(edges: Sequence[float], unit: str, scale: float = 1.0) -> list[str]:
    return [
        f"{round(low * scale):g}–{round(high * scale):g}{unit}"
        for low, high in itertools.pairwise(edges)
    ]
