"""The strategies, which propose groups one after the other, or one around a given view."""

from __future__ import annotations

import random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cameo_data.grouping.views import Group, Rules, SceneViews, followers, frontier, least, pick


class Proposer(Protocol):
    """Proposes groups of a scene's views."""

    def propose(self) -> Group | None:
        """The next group, possibly one proposed before; None where the rules allow none."""

    def around(self, view: int) -> Group | None:
        """A group that holds the view; None where the rules allow none."""


def proposer(views: SceneViews, rules: Rules, wanted: int, rng: random.Random) -> Proposer:
    """The proposer for the rules' strategy; ``wanted`` groups are to be proposed."""
    if rules.strategy == "video":
        return Video(views, rules, wanted, rng)
    return (Uniform if rules.strategy == "uniform" else Balanced)(views, rules, rng)


class Video:
    """Consecutive linked views; gaps are random up to ``max_frame_gap``, starts evenly spread."""

    def __init__(self, views: SceneViews, rules: Rules, wanted: int, rng: random.Random) -> None:
        count = len(views.position)
        self.length, self.wanted, self.rng = rules.views, wanted, rng
        self.after = [followers(views, i, rules.max_frame_gap) for i in range(count)]
        self.before: list[NDArray[np.int64]] = [
            np.array([i for i in range(j) if j in self.after[i]], np.int64) for j in range(count)
        ]
        # lengths of the longest chains from and to each view: a walk that follows them never stops
        # early
        self.forth, self.back = np.ones(count, np.int64), np.ones(count, np.int64)
        for i in reversed(range(count)):
            if len(self.after[i]):
                self.forth[i] += self.forth[self.after[i]].max()
        for i in range(count):
            if len(self.before[i]):
                self.back[i] += self.back[self.before[i]].max()
        self.starts = np.flatnonzero(self.forth >= self.length)
        self.made = 0

    def propose(self) -> Group | None:
        if not len(self.starts):
            return None
        place = (self.made % self.wanted + self.rng.random()) / self.wanted
        self.made += 1
        return tuple(self._forward([int(self.starts[int(place * len(self.starts))])]))

    def around(self, view: int) -> Group | None:
        if self.forth[view] + self.back[view] - 1 < self.length:
            return None
        chain = [view]
        for left in range(self.length - int(self.forth[view]), 0, -1):
            options = self.before[chain[0]]
            chain.insert(0, pick(options[self.back[options] >= left], self.rng))
        return tuple(self._forward(chain))

    def _forward(self, chain: list[int]) -> list[int]:
        while len(chain) < self.length:
            options = self.after[chain[-1]]
            enough = self.forth[options] >= self.length - len(chain)
            chain.append(pick(options[enough], self.rng))
        return chain


class Uniform:
    """Linked views, those that served least first; each is linked to one chosen before."""

    def __init__(self, views: SceneViews, rules: Rules, rng: random.Random) -> None:
        self.views, self.rules, self.rng = views, rules, rng
        self.served = np.zeros(len(views.position), np.int64)

    def propose(self) -> Group | None:
        options = np.flatnonzero(self.views.rich)
        return self._grown(pick(least(options, self.served), self.rng)) if len(options) else None

    def around(self, view: int) -> Group | None:
        return self._grown(view) if self.views.rich[view] else None

    def _grown(self, first: int) -> Group:
        group = [first]
        self.served[first] += 1
        while len(group) < self.rules.views:
            group.append(pick(least(frontier(self.views, group), self.served), self.rng))
            self.served[group[-1]] += 1
        return tuple(sorted(group))


class Balanced:
    """Groups whose linked pairs fill the rotation bins evenly.

    A group begins with a pair from the emptiest bin and grows by the view whose pairs with the
    group fall into the emptiest bins. A pair counts once, so a bin is full when the scene has no
    more pairs for it; when all bins are full, all start again.
    """

    def __init__(self, views: SceneViews, rules: Rules, rng: random.Random) -> None:
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
        return None if group is None else self._grown(group)

    def around(self, view: int) -> Group | None:
        """A group that holds the view; None where no pair with it falls into a bin."""
        partners = np.flatnonzero((self.views.bins[view] >= 0) & self.views.rich)
        if not len(partners):
            return None
        emptiest = least(partners, self.filled[self.views.bins[view]])
        return self._grown([view, pick(least(emptiest, self.served), self.rng)])

    def _grown(self, group: list[int]) -> Group:
        self._count(group[:1], group[1])
        while len(group) < self.rules.views:
            group.append(self._next_view(group))
            self._count(group[:-1], group[-1])
        self.served[group] += 1
        return tuple(sorted(group))

    def _sizes(self) -> NDArray[np.int64]:
        return np.array([len(a) for a, _ in self.pairs])

    def _first_pair(self) -> list[int] | None:
        """A pair of the views that served least, from the emptiest bin that still has pairs."""
        if not self.left.any():
            self.left = self._sizes()
            if not self.left.any():
                return None
            self.fresh = (self.views.bins >= 0) & self.views.rich
        a, b = self.pairs[pick(least(np.flatnonzero(self.left), self.filled), self.rng)]
        fresh = np.flatnonzero(self.fresh[a, b])
        pair = pick(least(fresh, self.served[a] + self.served[b]), self.rng)
        return [int(a[pair]), int(b[pair])]

    def _next_view(self, group: list[int]) -> int:
        options = frontier(self.views, group)
        # worth of one more pair in each bin: above one where the bin is emptier than average
        level = self.filled[self.left > 0].mean() if self.left.any() else 0.0
        worth = level + 1.0 - self.filled
        bins = self.views.bins[group][:, options]
        fresh = self.fresh[group][:, options]
        gain = np.where(fresh, worth[bins], 0.0).sum(0)
        best = options[gain >= gain.max() - 1e-9]
        return pick(least(best, self.served), self.rng)

    def _count(self, group: list[int], view: int) -> None:
        bins = self.views.bins[group, view]
        counted = bins[self.fresh[group, view]]
        np.add.at(self.filled, counted, 1)
        np.subtract.at(self.left, counted, 1)
        self.fresh[group, view] = self.fresh[view, group] = False
