"""A scene's measures in figures that people can judge: medians over pairs of views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cameo_data.check.measure import LEAST_POINTS, TOLERANCES, Dense, PairMeasure, correlation

# Directions of pairs count towards depth and colour where at least this share is seen by both.
LEAST_COVISIBLE = 0.15
# A nearer surface is not a contradiction: colour and cycles use only points that agree this well.
SAME_SURFACE = 0.10

# Beyond these a reading is bad: no right reading of ten real sets comes near them, inverted poses
# are far beyond in all (docs/check.md). Pixels are shares of the diagonal. The median pair must
# keep within, and so must the tail: repeated patterns, such as wallpaper, match wrongly in up to
# 30 % of a right reading's pairs, which then are several times as far off as is expected at most.
MOST_EPIPOLAR = 0.006
MOST_TRANSFER = 0.015
TAIL = 3.0
MOST_PAIRS_IN_TAIL = 0.4
LEAST_WITHIN_2_PERCENT = 0.25
LEAST_WITHIN_5_PERCENT = 0.5


@dataclass(frozen=True)
class Figures:
    """Medians over pairs (directions of pairs for depth and colour); None where not measured.

    Attributes:
        diagonal_px: of the images, the scale of what follows.
        epipolar_px, transfer_px: see ``measure``.
        depth_within: shares of co-visible points whose relative depth difference is below each
            of ``measure.TOLERANCES``.
        cycle_px: there and back, of points that agree within SAME_SURFACE.
        colour, colour_in_place: mean difference of levels, matched and unmatched.
        correlation: of grey levels, matched.
        tracks_px: as epipolar_px, of the scene's own matches.
        epipolar_within, transfer_within, tracks_within: shares of pairs whose median keeps within
            TAIL times MOST_EPIPOLAR and MOST_TRANSFER.
    """

    diagonal_px: float
    epipolar_px: float | None
    transfer_px: float | None
    depth_within: tuple[float, ...] | None
    cycle_px: float | None
    colour: float | None
    colour_in_place: float | None
    correlation: float | None
    tracks_px: float | None
    epipolar_within: float | None
    transfer_within: float | None
    tracks_within: float | None

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shares = None
        if self.depth_within is not None:
            shares = {
                f"{tolerance:g}": round(share, 4)
                for tolerance, share in zip(TOLERANCES, self.depth_within, strict=True)
            }
        return {
            "diagonal_px": round(self.diagonal_px, 1),
            "epipolar_px": _rounded(self.epipolar_px),
            "transfer_px": _rounded(self.transfer_px),
            "depth_within": shares,
            "cycle_px": _rounded(self.cycle_px),
            "colour_difference": _rounded(self.colour),
            "colour_difference_in_place": _rounded(self.colour_in_place),
            "colour_correlation": _rounded(self.correlation),
            "tracks_px": _rounded(self.tracks_px),
            "pairs_epipolar_within": _rounded(self.epipolar_within),
            "pairs_transfer_within": _rounded(self.transfer_within),
            "pairs_tracks_within": _rounded(self.tracks_within),
        }

    def complaints(self) -> list[str]:
        """What is beyond any right reading, in words; usually nothing."""
        found = []
        for name, value, within, most in (
            ("epipolar distance", self.epipolar_px, self.epipolar_within, MOST_EPIPOLAR),
            (
                "distance of features moved by depth",
                self.transfer_px,
                self.transfer_within,
                MOST_TRANSFER,
            ),
            ("epipolar distance of tracks", self.tracks_px, self.tracks_within, MOST_EPIPOLAR),
        ):
            if value is None or within is None:
                continue
            most_px = most * self.diagonal_px
            if value > most_px:
                found.append(f"{name} {value:.1f} px; at most {most_px:.1f} expected")
            elif 1 - within > MOST_PAIRS_IN_TAIL:
                found.append(
                    f"{name} above {TAIL * most_px:.1f} px in {100 * (1 - within):.0f} % of pairs; "
                    f"in at most {100 * MOST_PAIRS_IN_TAIL:.0f} % expected"
                )
        if self.depth_within is not None:
            _, two, five, _ = self.depth_within
            if two < LEAST_WITHIN_2_PERCENT or five < LEAST_WITHIN_5_PERCENT:
                found.append(
                    f"{100 * two:.0f} % of depths agree within 2 %, {100 * five:.0f} % within 5 %; "
                    f"at least {100 * LEAST_WITHIN_2_PERCENT:.0f} and "
                    f"{100 * LEAST_WITHIN_5_PERCENT:.0f} expected"
                )
        return found


def figures(measures: Sequence[PairMeasure | None]) -> Figures:
    """Medians over the pairs that could be measured."""
    known = [m for m in measures if m is not None]
    dense = [d for m in known for d in m.dense if d.covisible >= LEAST_COVISIBLE]
    deep = [d for d in dense if d.has_other_depth]
    # a reading under which nothing is co-visible agrees nowhere
    within: tuple[float, ...] | None = None
    if deep:
        within = tuple(
            float(np.median([np.mean(np.abs(d.residual) < tolerance) for d in deep]))
            for tolerance in TOLERANCES
        )
    elif any(d.has_other_depth for m in known for d in m.dense):
        within = (0.0,) * len(TOLERANCES)
    same = [(d, d.same_surface(SAME_SURFACE)) for d in dense]
    same = [(d, agrees) for d, agrees in same if agrees.sum() >= LEAST_POINTS]

    def over(value: Callable[[Dense, Any], float]) -> float | None:
        return _median([value(d, agrees) for d, agrees in same])

    epipolar = [(np.median(m.epipolar_px), m) for m in known if len(m.epipolar_px)]
    tracks = [(np.median(m.tracks_px), m) for m in known if len(m.tracks_px)]
    transfer = [(np.median(m.transfer_px), m) for m in known if m.transfer_px is not None]
    return Figures(
        diagonal_px=float(np.median([m.diagonal_px for m in known])) if known else 0.0,
        epipolar_px=_median([px for px, _ in epipolar]),
        transfer_px=_median([px for px, _ in transfer]),
        depth_within=within,
        cycle_px=_median([np.median(d.cycle_px[s]) for d, s in same if d.has_other_depth]),
        colour=over(lambda d, s: float(d.colour[s].mean())),
        colour_in_place=over(lambda d, s: float(d.in_place[s].mean())),
        correlation=over(lambda d, s: correlation(d.grey[:, s])),
        tracks_px=_median([px for px, _ in tracks]),
        epipolar_within=_share_within(epipolar, MOST_EPIPOLAR),
        transfer_within=_share_within(transfer, MOST_TRANSFER),
        tracks_within=_share_within(tracks, MOST_EPIPOLAR),
    )


def _median(values: Sequence[Any]) -> float | None:
    return float(np.median(values)) if values else None


def _share_within(pixels: Sequence[tuple[Any, PairMeasure]], most: float) -> float | None:
    within = [px <= TAIL * most * m.diagonal_px for px, m in pixels]
    return float(np.mean(within)) if within else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
