"""Seeded choice of the groups of a scene."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from cameo_data.grouping.strategies import proposer
from cameo_data.grouping.views import Group, Rules, generator, make_views

# Proposals in a row that repeat a known group before a scene counts as used up: a scene with only
# twice as many groups as were found passes this with a chance of 2^-50.
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
        count: groups wanted; None makes N / V, so that a view serves about once, and more until
            every view that can be in a group is in one. Fewer come out where the scene has no
            more; none where no V views are linked.
        seed, scene_id: the same give the same groups, whatever else is built.
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
