"""Seeded choice of views: groups of one scene's views that see the same surfaces.

A pure function of what the survey measured (rotations and overlaps of all pairs of views), the
rules and the seed. Two views are *linked* when each sees at least ``min_overlap`` of the other;
every view of a group is linked to another, and all are linked through each other.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array

Group = tuple[int, ...]
Strategy = Literal["video", "uniform", "balanced"]

# Proposals in a row that repeat a known group before a scene counts as used up: a scene with only
# twice as many groups as were found passes this with a chance of 2^-50.
MAX_REPEATS = 50


@dataclass(frozen=True)
class Rules:
    """What groups to choose; the fields mean what they mean in ``recipe.Recipe``."""

    views: int
    strategy: Strategy
    min_overlap: float
    max_frame_gap: int
    rotation_bins: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Views:
    """The N views of a scene.

    Attributes:
        position: (N,) rising places in the capture order, failed candidates counted.
        linked: (N, N) bool, symmetric, False on the diagonal.
        bins: (N, N) index of the pair's rotation bin, −1 where not linked or beyond the bins.
        rich: (N,) bool, in a linked component of at least V views.
    """

    position: NDArray[np.int64]
    linked: NDArray[np.bool_]
    bins: NDArray[np.int64]
    rich: NDArray[np.bool_]


def choose_groups(
    position: NDArray[Any],
    rotation_deg: NDArray[Any],
    overlap: NDArray[Any],
    rules: Rules,
    *,
    count: int | None,
    seed: int,
    scene_id: str,
) -> list[Group]:
    """Distinct groups of V view indices, rising within a group, in the order they were chosen.

    Args:
        position: (N,) places in the capture order.
        rotation_deg: (N, N).
        overlap: (N, N) measured share of VISIBLE from row to column.
        count: groups wanted; None makes N / V, so that a view serves about once. Fewer come out
            where the scene has no more; none where no V views are linked.
        seed, scene_id: the same give the same groups, whatever else is built.
    """
    views = _views(position, rotation_deg, overlap, rules)
    wanted = max(1, len(position) // rules.views) if count is None else count
    rng = _generator(seed, scene_id)
    propose = _PROPOSERS[rules.strategy](views, rules, wanted, rng)
    groups: dict[Group, None] = {}
    repeats = 0
    while len(groups) < wanted and repeats < MAX_REPEATS:
        group = propose()
        if group is None:
            break
        repeats = repeats + 1 if group in groups else 0
        groups[group] = None
    return list(groups)


def _views(
    position: NDArray[Any], rotation_deg: NDArray[Any], overlap: NDArray[Any], rules: Rules
) -> _Views:
    mutual = np.minimum(overlap, np.transpose(overlap))
    linked = mutual >= rules.min_overlap
    np.fill_diagonal(linked, False)
    edges = np.asarray(rules.rotation_bins, np.float64)
    bins = np.searchsorted(edges, rotation_deg, side="right") - 1
    bins[rotation_deg == edges[-1]] = len(edges) - 2  # the last bin holds its upper edge
    bins[~linked | (bins >= len(edges) - 1)] = -1
    _, component = csgraph.connected_components(csr_array(linked), directed=False)
    rich = np.bincount(component, minlength=1)[component] >= rules.views
    return _Views(np.asarray(position, np.int64), linked, bins.astype(np.int64), rich)


def _generator(seed: int, scene_id: str) -> random.Random:
    """Only its ``random()`` is drawn from: the one method whose numbers Python promises to keep."""
    digest = hashlib.sha256(f"{seed}:{scene_id}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def _pick(options: NDArray[np.int64], rng: random.Random) -> int:
    return int(options[int(rng.random() * len(options))])


def _least(options: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int64]:
    """Those of ``options`` at which ``values`` is smallest."""
    chosen: NDArray[np.int64] = options[values[options] == values[options].min()]
    return chosen


Proposer = Callable[[], Group | None]


def _video(views: _Views, rules: Rules, wanted: int, rng: random.Random) -> Proposer:
    """Consecutive linked views, gaps random up to ``max_frame_gap``; starts spread evenly."""
    count = len(views.position)
    followers = [_followers(views, i, rules.max_frame_gap) for i in range(count)]
    # length of the longest chain from each view: a walk that heeds it never ends early
    longest = np.ones(count, np.int64)
    for i in reversed(range(count)):
        if len(followers[i]):
            longest[i] = min(rules.views, 1 + int(longest[followers[i]].max()))
    starts = np.flatnonzero(longest >= rules.views)
    made = 0

    def propose() -> Group | None:
        nonlocal made
        if not len(starts):
            return None
        chain = [int(starts[int((made % wanted + rng.random()) / wanted * len(starts))])]
        made += 1
        while len(chain) < rules.views:
            options = followers[chain[-1]]
            chain.append(_pick(options[longest[options] >= rules.views - len(chain)], rng))
        return tuple(chain)

    return propose


def _followers(views: _Views, i: int, max_gap: int) -> NDArray[np.int64]:
    gap = views.position - views.position[i]
    return np.flatnonzero(views.linked[i] & (gap > 0) & (gap <= max_gap))


def _uniform(views: _Views, rules: Rules, _wanted: int, rng: random.Random) -> Proposer:
    """Views that served least first, each linked to one chosen before."""
    served = np.zeros(len(views.position), np.int64)

    def propose() -> Group | None:
        options = np.flatnonzero(views.rich)
        if not len(options):
            return None
        group: list[int] = []
        while len(group) < rules.views:
            group.append(_pick(_least(options, served), rng))
            served[group[-1]] += 1
            options = _frontier(views, group)
        return tuple(sorted(group))

    return propose


def _frontier(views: _Views, group: list[int]) -> NDArray[np.int64]:
    """Views linked to one of the group and not in it."""
    reached = np.logical_or.reduce(views.linked[group])
    reached[group] = False
    return np.flatnonzero(reached)


def _balanced(views: _Views, rules: Rules, _wanted: int, rng: random.Random) -> Proposer:
    return _Balance(views, rules, rng).propose


class _Balance:
    """Groups whose linked pairs fill the rotation bins evenly.

    A group begins with a pair of the emptiest bin and grows by the view whose pairs with the group
    lie in the emptiest bins. A pair counts once, so a bin is full when the scene has no more pairs
    for it; when all are full, all begin again.
    """

    def __init__(self, views: _Views, rules: Rules, rng: random.Random) -> None:
        self.views, self.rules, self.rng = views, rules, rng
        self.filled = np.zeros(len(rules.rotation_bins) - 1, np.int64)
        self.served = np.zeros(len(views.position), np.int64)
        useful = (views.bins >= 0) & views.rich  # linked views are rich together or not at all
        self.pairs = [
            np.nonzero(np.triu(useful & (views.bins == b))) for b in range(len(self.filled))
        ]
        self.fresh = useful
        self.left = self._sizes()

    def propose(self) -> Group | None:
        group = self._first_pair()
        if group is None:
            return None
        self._count(group[:1], group[1])
        while len(group) < self.rules.views:
            group.append(self._next_view(group))
            self._count(group[:-1], group[-1])
        self.served[group] += 1
        return tuple(sorted(group))

    def _sizes(self) -> NDArray[np.int64]:
        return np.array([len(a) for a, _ in self.pairs])

    def _first_pair(self) -> list[int] | None:
        """A pair of the emptiest bin that has some left, of views that served least."""
        if not self.left.any():
            self.left = self._sizes()
            if not self.left.any():
                return None
            self.fresh = (self.views.bins >= 0) & self.views.rich
        a, b = self.pairs[_pick(_least(np.flatnonzero(self.left), self.filled), self.rng)]
        fresh = np.flatnonzero(self.fresh[a, b])
        pair = _pick(_least(fresh, self.served[a] + self.served[b]), self.rng)
        return [int(a[pair]), int(b[pair])]

    def _next_view(self, group: list[int]) -> int:
        options = _frontier(self.views, group)
        # worth of one more pair per bin: above one where the bin is emptier than the average
        level = self.filled[self.left > 0].mean() if self.left.any() else 0.0
        worth = level + 1.0 - self.filled
        bins = self.views.bins[group][:, options]
        fresh = self.fresh[group][:, options]
        gain = np.where(fresh, worth[bins], 0.0).sum(0)
        best = options[gain >= gain.max() - 1e-9]
        return _pick(_least(best, self.served), self.rng)

    def _count(self, group: list[int], view: int) -> None:
        bins = self.views.bins[group, view]
        counted = bins[self.fresh[group, view]]
        np.add.at(self.filled, counted, 1)
        np.subtract.at(self.left, counted, 1)
        self.fresh[group, view] = self.fresh[view, group] = False


_PROPOSERS: dict[str, Callable[[_Views, Rules, int, random.Random], Proposer]] = {
    "video": _video,
    "uniform": _uniform,
    "balanced": _balanced,
}
