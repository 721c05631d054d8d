"""Seeded choice of the groups of a scene."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from cameo_data.grouping.strategies import proposer
from cameo_data.grouping.views import Group, Rules, generator, make_views

# After this many proposals in a row that repeat a known group, a scene counts as exhausted. If half
# of its groups were still unfound, this would happen with a probability of 2^-50.
MAX_REPEATS = 50


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
        count: number of groups; None makes N / V, so that a view serves about once, and more
            until every view that can be in a group is in one. The result has fewer groups where
            the scene has no more, and none where no V views are linked.
        seed, scene_id: equal values give equal groups, whatever else is built.
    """
    views = make_views(position, rotation_deg, overlap, rules)
    wanted = max(1, len(position) // rules.views) if count is None else count
    rng = generator(seed, scene_id)
    strategy = proposer(views, rules, wanted, rng)
    groups: dict[Group, None] = {}
    repeats = 0
    while len(groups) < wanted and repeats < MAX_REPEATS:
        group = strategy.propose()
        if group is None:
            break
        repeats = repeats + 1 if group in groups else 0
        groups[group] = None
    if count is None:
        for view in sorted({*range(len(position))}.difference(*groups)):
            if not any(view in group for group in groups):
                group = strategy.around(view)
                groups.update({} if group is None else {group: None})
    return list(groups)
