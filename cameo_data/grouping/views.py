"""A scene's views as grouping sees them, and the seeded choices that all strategies share."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array

Group = tuple[int, ...]
Strategy = Literal["video", "uniform", "balanced"]


@dataclass(frozen=True)
class Rules:
    """Which groups to choose; the fields mean the same as in ``recipe.Recipe``."""

    views: int
    strategy: Strategy
    min_overlap: float
    max_frame_gap: int
    rotation_bins: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SceneViews:
    """The N views of a scene.

    Attributes:
        position: (N,) rising places in the capture order, counting failed candidates.
        linked: (N, N) bool, symmetric, False on the diagonal.
        bins: (N, N) index of the pair's rotation bin, −1 where not linked or beyond the bins.
        rich: (N,) bool, in a linked component of at least V views.
    """

    position: NDArray[np.int64]
    linked: NDArray[np.bool_]
    bins: NDArray[np.int64]
    rich: NDArray[np.bool_]


def make_views(
    position: NDArray[Any], rotation_deg: NDArray[Any], overlap: NDArray[Any], rules: Rules
) -> SceneViews:
    mutual = np.minimum(overlap, np.transpose(overlap))
    linked = mutual >= rules.min_overlap
    np.fill_diagonal(linked, False)
    edges = np.asarray(rules.rotation_bins, np.float64)
    bins = np.searchsorted(edges, rotation_deg, side="right") - 1
    bins[rotation_deg == edges[-1]] = len(edges) - 2  # the last bin holds its upper edge
    bins[~linked | (bins >= len(edges) - 1)] = -1
    _, component = csgraph.connected_components(csr_array(linked), directed=False)
    rich = np.bincount(component, minlength=1)[component] >= rules.views
    return SceneViews(np.asarray(position, np.int64), linked, bins.astype(np.int64), rich)


def generator(seed: int, scene_id: str) -> random.Random:
    """A seeded generator; use only ``random()``, whose numbers Python promises not to change."""
    digest = hashlib.sha256(f"{seed}:{scene_id}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def pick(options: NDArray[np.int64], rng: random.Random) -> int:
    return int(options[int(rng.random() * len(options))])


def least(options: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int64]:
    """The members of ``options`` at which ``values`` is smallest."""
    chosen: NDArray[np.int64] = options[values[options] == values[options].min()]
    return chosen


def followers(views: SceneViews, i: int, max_gap: int) -> NDArray[np.int64]:
    gap = views.position - views.position[i]
    return np.flatnonzero(views.linked[i] & (gap > 0) & (gap <= max_gap))


def frontier(views: SceneViews, group: list[int]) -> NDArray[np.int64]:
    """Views that are linked to the group but not in it."""
    reached = np.logical_or.reduce(views.linked[group])
    reached[group] = False
    return np.flatnonzero(reached)
