"""How well two views agree in colour once matched: the check that needs no ground truth.

A match that is right joins two pictures of one piece of surface, so the colours there are close
(up to exposure, gloss and noise); the same two pictures compared in place, unwarped, say how far
apart colours are when nothing is matched. Conventions: docs/conventions.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.correspondence import PreparedView, correspond_prepared, prepare
from cameo_data.geometry import sparse_matches as sparse
from cameo_data.report import overlay
from cameo_data.types import Correspondence, Sample, SparseMatches, Verdict

Counts = NDArray[np.int64]

# The mean of three absolute differences of 8-bit levels is a third of 0 … 765: counting each value
# makes medians over any number of pairs exact in constant memory.
_THIRDS = 3 * 255 + 1


def _zeros(length: int) -> Counts:
    return np.zeros(length, np.int64)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Verdicts and colour differences of one or many ordered pairs, at stride 1; adds up.

    Attributes:
        verdicts: (6,) queries by verdict code; none where sparse matches stand in for depth.
        warped: (766,) VISIBLE queries, or sparse matches, by colour difference to B at the match,
            in thirds of a level.
        unwarped: the same points by colour difference to B at the same place in the frame.
    """

    pairs: int = 0
    verdicts: Counts = field(default_factory=lambda: _zeros(len(Verdict)))
    warped: Counts = field(default_factory=lambda: _zeros(_THIRDS))
    unwarped: Counts = field(default_factory=lambda: _zeros(_THIRDS))

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.pairs + other.pairs,
            self.verdicts + other.verdicts,
            self.warped + other.warped,
            self.unwarped + other.unwarped,
        )

    def share(self, verdict: Verdict) -> float:
        """Share of all queries that got this verdict; 0 where there are none."""
        return float(self.verdicts[verdict] / max(1, self.verdicts.sum()))

    @property
    def points(self) -> int:
        """Matched points that were compared."""
        return int(self.warped.sum())

    @property
    def median_warped(self) -> float | None:
        """Median colour difference of matched points in 8-bit levels; None without any."""
        return _median(self.warped)

    @property
    def median_unwarped(self) -> float | None:
        """As ``median_warped`` had nothing been matched."""
        return _median(self.unwarped)

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pairs": self.pairs,
            "queries": int(self.verdicts.sum()),
            "points": self.points,
            "verdict_shares": {v.name: round(self.share(v), 6) for v in Verdict},
            "median_colour_difference": _rounded(self.median_warped),
            "median_colour_difference_unwarped": _rounded(self.median_unwarped),
        }


# Matched colours that differ by more than this share of what colours in place do agree no better:
# the share is .13 on rendered scenes and .32 to .54 on real captures (7-Scenes, HoloLens), and 1.0
# on rendered scenes with inverted poses. Few points, or colours in place as close as noise, cannot
# say.
NO_BETTER = 0.9
LEAST_POINTS = 1000
LEAST_IN_PLACE = 6.0


def doubt(found: Agreement) -> str | None:
    """One line where matches look wrong: their colours agree no better than colours in place."""
    matched, in_place = found.median_warped, found.median_unwarped
    if matched is None or in_place is None or found.points < LEAST_POINTS:
        return None
    if in_place < LEAST_IN_PLACE or matched <= NO_BETTER * in_place:
        return None
    return (
        f"warning: matched colours differ by {matched:.1f} levels (median), colours in place by "
        f"{in_place:.1f}: matching makes them agree no better, so poses, depth or K are probably "
        "wrong; run `cameo-data check` on the recordings before you train on these shards"
    )


def of_pair(image0: overlay.Image, image1: overlay.Image, match: Correspondence) -> Agreement:
    """The agreement of one ordered pair."""
    warped, unwarped = overlay.colour_difference(image0, image1, match)
    codes = np.bincount(match.verdict.reshape(-1), minlength=len(Verdict)).astype(np.int64)
    return Agreement(1, codes, _histogram(warped), _histogram(unwarped))


def of_matches(image0: overlay.Image, image1: overlay.Image, pair: SparseMatches) -> Agreement:
    """The agreement of one ordered pair that sparse matches tie, not depth."""
    here = overlay.sample_image(image0, pair.xy0).astype(np.float32)
    scale = np.array(image1.shape[1::-1]) / np.array(image0.shape[1::-1])
    warped, unwarped = (
        np.abs(overlay.sample_image(image1, xy).astype(np.float32) - here).mean(-1)
        for xy in (pair.xy1, pair.xy0 * scale)
    )
    return Agreement(1, warped=_histogram(warped), unwarped=_histogram(unwarped))


def of_sample(sample: Sample) -> Iterator[tuple[int, int, Agreement]]:
    """(a, b, agreement) of every ordered pair of a group.

    Matched at every pixel from depth and poses, so independent of what the shard stores; where
    sparse matches stand in for depth, by those.
    """
    if sample.sparse:
        for a, b in itertools.permutations(range(len(sample.images)), 2):
            pair = sparse.directed(sample.matches or {}, a, b)
            yield a, b, of_matches(sample.images[a], sample.images[b], pair)
        return
    views = prepared(sample)
    for a in range(len(views)):
        for b in range(len(views)):
            if a != b:
                match = correspond_prepared(views[a], views[b], 1)
                yield a, b, of_pair(sample.images[a], sample.images[b], match)


def prepared(sample: Sample) -> list[PreparedView]:
    """The sample's views ready for matching, as the build had them."""
    return [
        prepare(depth, camera, mask if sample.restricted_to_mask else None)
        for depth, camera, mask in zip(sample.depths, sample.cameras, sample.masks, strict=True)
    ]


def by_rotation(samples: Iterable[Sample], edges_deg: Sequence[float]) -> list[Agreement]:
    """Agreement over all ordered pairs of the samples, one entry per bin of rotation angle.

    The bins are [edges_deg[i], edges_deg[i + 1]), the last one closed.
    """
    bins = [Agreement() for _ in range(len(edges_deg) - 1)]
    for sample in samples:
        for a, b, agreement in of_sample(sample):
            index = bin_index(float(sample.rotation_deg[a, b]), edges_deg)
            if index is not None:
                bins[index] += agreement
    return bins


def record(
    bins: Sequence[Agreement], edges_deg: Sequence[float], *, groups: int
) -> dict[str, Any] | None:
    """Plain values for JSON: all pairs together and per bin; None where nothing was measured."""
    if not bins:
        return None
    parts = [
        {"from_deg": low, "to_deg": high, **one.record()}
        for (low, high), one in zip(itertools.pairwise(edges_deg), bins, strict=True)
    ]
    return {"groups": groups, **sum(bins, Agreement()).record(), "by_rotation": parts}


def bin_index(value: float, edges: Sequence[float]) -> int | None:
    """Which of the half-open bins holds ``value``; the last is closed; None outside all."""
    if not edges[0] <= value <= edges[-1]:
        return None
    return min(int(np.searchsorted(edges, value, "right")) - 1, len(edges) - 2)


def _histogram(difference: NDArray[np.float32]) -> Counts:
    known = difference[np.isfinite(difference)].astype(np.float64)
    thirds = np.rint(known * 3).astype(np.int64)
    return np.bincount(thirds, minlength=_THIRDS).astype(np.int64)


def _median(counts: Counts) -> float | None:
    """The lower median, in levels."""
    total = int(counts.sum())
    if total == 0:
        return None
    return float(np.searchsorted(np.cumsum(counts), (total + 1) // 2)) / 3


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
