"""What is in a build: rotations, overlaps, verdicts, and what became of every frame found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.correspondence import correspond_group
from cameo_data.geometry.sparse_matches import directed
from cameo_data.report.agreement import prepared
from cameo_data.types import Sample, Verdict

Counts = NDArray[np.int64]

# Edges of the histograms; the last bin is closed.
ROTATION_EDGES_DEG: tuple[float, ...] = tuple(float(d) for d in range(0, 181, 15))
OVERLAP_EDGES: tuple[float, ...] = tuple(round(0.1 * i, 1) for i in range(11))
# Coarser bins in which verdicts and colours are told apart; those of the strategy ``balanced``.
ROTATION_BINS_DEG: tuple[float, ...] = (0.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0)
# Bin edges for the number of sparse matches between two views.
MATCH_EDGES: tuple[int, ...] = (0, 1, 10, 30, 100, 300, 1000, 3000, 10_000)
# Verdicts of builds that store no correspondences are recomputed at this stride.
DEFAULT_STRIDE = 16


@dataclass(frozen=True)
class FrameCount:
    """What became of every frame found: found = used + left_out + failed.

    Attributes:
        left_out: usable, but in no group (grouping, ``frame_step``, ``max_frames``).
        reasons: failures by reason, of frames and whole scenes.
    """

    found: int
    used: int
    left_out: int
    failed: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether nothing was lost silently."""
        return self.found == self.used + self.left_out + self.failed

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "reasons": dict(self.reasons), "adds_up": self.adds_up}


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """Counts over all samples of a build.

    Attributes:
        rotation: unordered pairs by ``ROTATION_EDGES_DEG``.
        overlap: ordered pairs by ``OVERLAP_EDGES``.
        verdicts: (bins, 6) queries by ``ROTATION_BINS_DEG`` and verdict code.
        bin_pairs: ordered pairs by ``ROTATION_BINS_DEG``.
        stride: at which the verdicts were counted.
        recomputed: the build stores none, so the verdicts were computed from depth and poses.
        sparse_samples: samples without depth, tied by sparse matches: their queries have no verdict
            and are not counted among those that have.
        matches: of these samples in all.
        match_counts: unordered pairs of views of these by ``MATCH_EDGES``; the last bin is open.
        depth_sources: what made the depth, each once.
    """

    samples: int
    views: int
    rotation: Counts
    overlap: Counts
    verdicts: Counts
    bin_pairs: Counts
    stride: int
    recomputed: bool
    sparse_samples: int
    matches: int
    match_counts: Counts
    depth_sources: tuple[str, ...] = ()

    @property
    def dense(self) -> bool:
        """Whether any sample has depth, so that verdicts say something."""
        return self.sparse_samples < self.samples or not self.samples

    @property
    def overlap_of(self) -> str:
        """What the overlap is a share of."""
        if not self.sparse_samples:
            return "share of VISIBLE queries"
        matched = "share of queries whose cell holds a match"
        return f"share of VISIBLE queries; without depth, {matched}" if self.dense else matched

    @property
    def verdict_shares(self) -> NDArray[np.float64]:
        """(6,) shares of all queries; they sum to one, or are zero where there are no queries."""
        return shares(self.verdicts.sum(0))

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "samples": self.samples,
            "views": self.views,
            "depth_sources": list(self.depth_sources),
            "rotation_deg": _histogram_record(ROTATION_EDGES_DEG, self.rotation),
            "overlap": _histogram_record(OVERLAP_EDGES, self.overlap),
            "verdict_stride": self.stride,
            "verdicts_recomputed": self.recomputed,
            "verdict_shares": _verdict_record(self.verdict_shares) if self.dense else None,
            "verdict_shares_by_rotation": [
                {
                    "from_deg": low,
                    "to_deg": high,
                    "ordered_pairs": int(pairs),
                    "shares": _verdict_record(shares(counts)) if self.dense else None,
                }
                for low, high, pairs, counts in zip(
                    ROTATION_BINS_DEG[:-1],
                    ROTATION_BINS_DEG[1:],
                    self.bin_pairs,
                    self.verdicts,
                    strict=True,
                )
            ],
            "samples_without_depth": self.sparse_samples,
            "sparse_matches": self.matches,
            "sparse_matches_per_pair": _histogram_record(MATCH_EDGES, self.match_counts),
        }


@dataclass(frozen=True, eq=False)
class GroupRecord:
    """The numbers of one sample.

    Attributes:
        rotation_deg, overlap: (V, V), see ``Sample``.
        verdicts: (V, V, 6) queries of a → b by verdict code, at ``stride``.
        recomputed: see ``Summary``.
        matches: numbers of matches of the pairs a < b where sparse ones stand in for depth.
        depth_source: see ``Sample``.
    """

    rotation_deg: NDArray[np.float64]
    overlap: NDArray[np.float64]
    verdicts: Counts
    stride: int
    recomputed: bool
    matches: Counts | None = None
    depth_source: str = ""

    @property
    def largest_rotation_deg(self) -> float:
        """Between any two of its views."""
        return float(self.rotation_deg.max())


def record_of(sample: Sample) -> GroupRecord:
    """The numbers of a sample in memory, at the finest stride that it stores."""
    if sample.sparse:
        views = len(sample.cameras)
        none = np.zeros((views, views, len(Verdict)), np.int64)
        sparse = [
            len(directed(sample.matches or {}, a, b).xy0) for b in range(views) for a in range(b)
        ]
        matches = np.array(sparse, np.int64)
        stride = sample.overlap_stride
        return GroupRecord(sample.rotation_deg, sample.overlap, none, stride, False, matches)
    recomputed = not sample.correspondence
    if recomputed:
        maps = correspond_group(prepared(sample), DEFAULT_STRIDE)
    else:
        maps = sample.correspondence[min(sample.correspondence)]
    verdicts = count_verdicts(maps.verdict)
    return GroupRecord(
        sample.rotation_deg, sample.overlap, verdicts, maps.stride, recomputed,
        depth_source=sample.depth_source,
    )  # fmt: skip


def count_verdicts(verdict: NDArray[np.uint8]) -> Counts:
    """(V, V, 6) queries by verdict code, of verdicts (V, V, h, w)."""
    counts = np.zeros((*verdict.shape[:2], len(Verdict)), np.int64)
    for code in Verdict:
        counts[..., code] = np.count_nonzero(verdict == code, axis=(2, 3))
    return counts


def summarise(groups: Iterable[GroupRecord]) -> Summary:
    """Counts over the groups, read once, one at a time."""
    rotation = np.zeros(len(ROTATION_EDGES_DEG) - 1, np.int64)
    overlap = np.zeros(len(OVERLAP_EDGES) - 1, np.int64)
    verdicts = np.zeros((len(ROTATION_BINS_DEG) - 1, len(Verdict)), np.int64)
    bin_pairs = np.zeros(len(ROTATION_BINS_DEG) - 1, np.int64)
    match_counts = np.zeros(len(MATCH_EDGES), np.int64)
    count = views = sparse = matches = 0
    stride, recomputed = DEFAULT_STRIDE, False
    sources: set[str] = set()
    for group in groups:
        count += 1
        views += len(group.rotation_deg)
        sources |= {group.depth_source} - {""}
        if group.matches is None:
            stride, recomputed = group.stride, group.recomputed
        else:
            sparse += 1
            matches += int(group.matches.sum())
            bins = np.searchsorted(MATCH_EDGES, group.matches, "right") - 1
            match_counts += np.bincount(bins, minlength=len(MATCH_EDGES))
        upper = np.triu_indices(len(group.rotation_deg), 1)
        others = ~np.eye(len(group.rotation_deg), dtype=bool)
        rotation += np.histogram(group.rotation_deg[upper], ROTATION_EDGES_DEG)[0]
        overlap += np.histogram(group.overlap[others], OVERLAP_EDGES)[0]
        bins = np.searchsorted(ROTATION_BINS_DEG, group.rotation_deg[others], "right") - 1
        bins = np.minimum(bins, len(bin_pairs) - 1)
        np.add.at(bin_pairs, bins, 1)
        np.add.at(verdicts, bins, group.verdicts[others])
    return Summary(
        samples=count,
        views=views,
        rotation=rotation,
        overlap=overlap,
        verdicts=verdicts,
        bin_pairs=bin_pairs,
        stride=stride,
        recomputed=recomputed,
        sparse_samples=sparse,
        matches=matches,
        match_counts=match_counts,
        depth_sources=tuple(sorted(sources)),
    )


def shares(counts: Counts) -> NDArray[np.float64]:
    """Counts as shares of their sum; zeros where the sum is zero."""
    return counts / max(1, int(counts.sum()))


def _verdict_record(values: NDArray[np.float64]) -> dict[str, float]:
    return {verdict.name: round(float(values[verdict]), 6) for verdict in Verdict}


def _histogram_record(edges: Sequence[float], counts: Counts) -> dict[str, list[float]]:
    return {"edges": list(edges), "counts": [int(c) for c in counts]}
