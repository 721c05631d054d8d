"""Which groups and pairs a page shows: seeded, and spread over viewpoint rotation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cameo_data.types import Sample

# Below this share of VISIBLE queries a pair has too little to show; it is taken only where no
# other pair is.
WORTH_SHOWING = 0.03


def groups(largest_rotation_deg: Sequence[float], count: int, seed: int = 0) -> list[int]:
    """At most ``count`` groups, in ascending order, given each group's largest rotation.

    One is drawn from each of ``count`` equally large parts of the groups sorted by rotation, so
    that few samples still span the build.
    """
    total = len(largest_rotation_deg)
    if total <= count:
        return list(range(total))
    if count == 0:
        return []
    rng = np.random.default_rng(seed)
    order = rng.permutation(total)  # ties, e.g. a video of equal steps, fall at random
    order = order[np.argsort(np.asarray(largest_rotation_deg)[order], kind="stable")]
    return sorted(int(rng.choice(part)) for part in np.array_split(order, count))


def pairs(sample: Sample, count: int) -> list[tuple[int, int]]:
    """At most ``count`` pairs (a, b), a < b, from the smallest to the largest rotation.

    Evenly spaced in the list of pairs that overlap, sorted by rotation.
    """
    views = len(sample.cameras)
    every = [(a, b) for a in range(views) for b in range(a + 1, views)]
    every.sort(key=lambda pair: (float(sample.rotation_deg[pair]), pair))
    shared = [
        (a, b) for a, b in every if min(sample.overlap[a, b], sample.overlap[b, a]) >= WORTH_SHOWING
    ]
    if not shared:  # better one pair with little to see than none
        shared = [max(every, key=lambda pair: float(sample.overlap[pair]))]
    places = np.linspace(0, len(shared) - 1, min(count, len(shared)))
    return [shared[round(float(place))] for place in places]
