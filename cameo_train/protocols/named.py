"""The settings of each named protocol, and the numbers that it reports from matches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cameo_data.errors import UsageError


@dataclass(frozen=True)
class NamedProtocol:
    """The settings of a published evaluation; every field belongs in the table of its numbers.

    Attributes:
        name: as in ``--protocol``.
        source: the code that it follows, with its commit.
        queries: the points that are matched, and the candidates.
        ranking: the order of the matches.
        matches: number of the first matches that count, per pair (or per group of views).
        pixels: the pixels in which ``thresholds_px`` are given.
        thresholds_px, thresholds_m: an error below one is a hit; in ``pixels`` and in metres.
        inclusive: whether an error equal to the threshold is a hit.
        bins_deg: edges of the rotation bins, each [from, to); 180 itself is in the last one.
        binned: the measure ("px" or "m") and threshold whose recall is reported per bin.
    """

    name: str
    source: str
    queries: str
    ranking: str
    matches: int
    pixels: str
    thresholds_px: tuple[float, ...]
    thresholds_m: tuple[float, ...]
    inclusive: bool
    bins_deg: tuple[float, ...]
    binned: tuple[str, float]

    def record(self) -> dict[str, Any]:
        """Plain values for JSON and tables."""
        return asdict(self)


COSINE_RATIO = "cosine distance to the nearest over that to the second nearest, smallest first"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        NamedProtocol(
            name="probe3d-navi",
            source="github.com/mbanani/probe3d a1f1464, evaluate_navi_correspondence.py",
            queries="every 4th pixel with depth into every 4th pixel with depth, hidden or not",
            ranking=COSINE_RATIO,
            matches=1000,
            pixels="the image's",
            thresholds_px=(5.0, 25.0, 50.0),
            thresholds_m=(0.01, 0.02, 0.05),
            inclusive=False,
            bins_deg=(0.0, 30.0, 60.0, 90.0, 120.0),
            binned=("m", 0.02),
        ),
        NamedProtocol(
            name="probe3d-scannet",
            source="github.com/mbanani/probe3d a1f1464, evaluate_scannet_correspondence.py",
            queries="every 4th pixel with depth into every 4th pixel with depth, hidden or not",
            ranking=COSINE_RATIO,
            matches=1000,
            pixels="a quarter of the image's resolution: 1 is 4 pixels of the image",
            thresholds_px=(5.0, 10.0, 20.0),
            thresholds_m=(),
            inclusive=False,
            bins_deg=(0.0, 15.0, 30.0, 60.0, 180.0),
            binned=("px", 10.0),
        ),
        # The code takes the thresholds and the number of matches from an unpublished configuration;
        # these are from probe3d-navi, and the bins from cameo-train precision.
        NamedProtocol(
            name="cameo",
            source="github.com/cvlab-kaist/CAMEO a1d2dc3, "
            "src/modules/attention_visualization_callback.py",
            queries="every token of the query views into all of the key views, hidden or not",
            ranking="squared distance of query to nearest key over that to the second nearest, "
            "heads concatenated, smallest first",
            matches=1000,
            pixels="the image's",
            thresholds_px=(5.0, 25.0, 50.0),
            thresholds_m=(),
            inclusive=True,
            bins_deg=(0.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0),
            binned=("px", 25.0),
        ),
    )
}


def named_protocol(name: str) -> NamedProtocol:
    """The protocol of a name.

    Raises:
        UsageError: there is no such protocol; the message lists the known ones.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"protocol is {name!r}; expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


@dataclass(frozen=True, eq=False)
class PairErrors:
    """The matches of one pair that count, best ranked first.

    Attributes:
        xy0: (N, 2) start points, in pixels of image 0.
        xy1: (N, 2) end points, in pixels of image 1.
        error_px: (N,) distance in image 1 to the true point, in the protocol's pixels.
        error_3d: (N,) distance in space between the two points, in the scene's unit.
    """

    xy0: Tensor
    xy1: Tensor
    error_px: Tensor
    error_3d: Tensor

    def __len__(self) -> int:
        return len(self.error_px)


@dataclass(frozen=True)
class Recalls:
    """A protocol's report on many pairs, or groups of views; NaN if none counts.

    Attributes:
        pairs: number of pairs (groups) with matches; ``empty``: those without, which do not count.
        matches: number of matches of all pairs.
        px, metres: threshold -> share of hits, 0 to 1, mean over pairs; no metres if the unit of
            length is unknown.
        bins: for each rotation bin its edges in degrees, its mean recall, and its pairs.
    """

    pairs: int
    empty: int
    matches: int
    px: dict[float, float]
    metres: dict[float, float]
    bins: tuple[tuple[float, float, float, int], ...]


def precision_at(error: Tensor, threshold: float, *, inclusive: bool) -> float:
    """Share of errors below a threshold, in float64 (0 to 1); NaN if there are no errors."""
    hits = error <= threshold if inclusive else error < threshold
    return hits.double().mean().item()


def in_bin(rotation_deg: Tensor, low: float, high: float) -> Tensor:
    """Mask of the angles in [low, high); 180 is in the bin that ends there, the last one."""
    return (rotation_deg >= low) & ((rotation_deg < high) | (rotation_deg == 180) & (high == 180))


def recalls(
    protocol: NamedProtocol,
    pairs: Sequence[PairErrors],
    rotation_deg: Sequence[float],
    *,
    metric: bool = True,
) -> Recalls:
    """The numbers that a protocol of pairs reports.

    The published means are over all matches of all pairs, each of which has the same number. Here a
    pair with fewer (too little depth) has the same weight as any other.

    Args:
        rotation_deg: rotation of each pair, in [0, 180].
        metric: whether the scenes' unit is the metre; if not, recalls in metres are left out and a
            protocol that bins them has NaN in its bins.
    """
    if len(pairs) != len(rotation_deg):
        raise ValueError(f"{len(pairs)} pairs have {len(rotation_deg)} rotation angles")
    full = [i for i, pair in enumerate(pairs) if len(pair)]

    def per_pair(kind: str, threshold: float) -> Tensor:
        if kind == "m" and not metric:
            return torch.full((len(full),), math.nan, dtype=torch.float64)
        errors = (pairs[i].error_px if kind == "px" else pairs[i].error_3d for i in full)
        found = [precision_at(e, threshold, inclusive=protocol.inclusive) for e in errors]
        return torch.tensor(found, dtype=torch.float64)

    angle = torch.tensor([float(rotation_deg[i]) for i in full], dtype=torch.float64)
    binned = per_pair(*protocol.binned)
    bins = []
    for low, high in zip(protocol.bins_deg[:-1], protocol.bins_deg[1:], strict=True):
        inside = in_bin(angle, low, high)
        bins.append((low, high, binned[inside].mean().item(), int(inside.sum())))
    return Recalls(
        pairs=len(full),
        empty=len(pairs) - len(full),
        matches=sum(len(pair) for pair in pairs),
        px={t: per_pair("px", t).mean().item() for t in protocol.thresholds_px},
        metres={t: per_pair("m", t).mean().item() for t in protocol.thresholds_m if metric},
        bins=tuple(bins),
    )
