"""How often intervals hold the truth, and whether random features come to the computed chance:
``python -m benchmarks intervals``.

Scenes of a known precision behind them, drawn again and again; and random features of many seeds on
rendered scenes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from cameo_data import ShardReader, recipe
from cameo_data.build import build
from cameo_data.synth import generate
from cameo_train.matchers import grid_limits
from cameo_train.matchers.dense import Chance
from cameo_train.matchers.group import Found, MatcherGroup, group_of
from cameo_train.matchers.queries import queries_of
from cameo_train.precision import intervals
from cameo_train.precision.tally import Tally, units_of
from cameo_train.protocols.measurement import Protocol, protocol_of

TRIALS, SEEDS, SCENES = 600, 300, 16
HW, STRIDE = (48, 64), 4
ALIKE = 1e6
# mean precision, concentration of a beta distribution over scenes, queries a scene, scenes
CASES = (
    (0.016, ALIKE, 3000, (2, 4, 6)),
    (0.3, 8.0, 300, (2, 4, 10)),
    (0.95, 10.0, 300, (4, 10, 24)),
)
HEADINGS = ["scenes", "precision", "percentiles hold it", "intervals hold it"]
CHANCE_HEADINGS = ["threshold", "random features − chance, in standard errors", "interval holds it"]


def lines() -> Iterator[list[str]]:
    """Coverage of percentiles and of our intervals, in per cent."""
    rng = np.random.default_rng(0)
    for mean, concentration, queries, counts in CASES:
        for count in counts:
            held = np.mean(
                [_trial(mean, concentration, queries, count, rng) for _ in range(TRIALS)], 0
            )
            spread = math.sqrt(mean * (1 - mean) / (concentration + 1))
            yield [
                str(count), f"{100 * mean:.1f} ± {100 * spread:.0f} %",
                *(f"{100 * share:.0f} %" for share in held),
            ]  # fmt: skip


def _trial(
    mean: float, concentration: float, queries: int, count: int, rng: np.random.Generator
) -> tuple[bool, bool]:
    """Whether percentiles and our interval hold the truth of one drawing of scenes."""
    asked = rng.poisson(queries * rng.gamma(4, 0.25, count)) + 1
    right = rng.binomial(asked, rng.beta(mean * concentration, (1 - mean) * concentration, count))
    weights = intervals.draws(count)
    drawn = (weights @ right) / (weights @ asked)
    t = float(stats.t.ppf(0.975, count - 1))
    tail = 100 * float(stats.norm.cdf(-t * math.sqrt(count / (count - 1))))
    low, high = np.percentile(drawn, [tail, 100 - tail])
    value = np.array([right.sum() / asked.sum()])
    ours = intervals.interval(value, drawn[:, None], np.array([count]), "share")[0]
    return bool(low <= mean <= high), bool(ours[0] <= mean <= ours[1])


def chance_lines() -> Iterator[list[str]]:
    """Random features against the computed chance, a row a threshold, over all bins."""
    plan = protocol_of(HW, [STRIDE])
    with tempfile.TemporaryDirectory() as folder:
        groups, unit = _rendered(Path(folder), plan)
    floor = _tally(groups, unit, plan, lambda g: Found(
        g.queries.bin, None, grid_limits.chance(g.queries.xy1, plan)))  # fmt: skip
    truth, scenes = intervals.precision(floor), intervals.scenes_with_queries(floor)
    weights = intervals.draws(len(floor.queries))
    values, held = [], []
    for seed in range(SEEDS):
        matcher = Chance("chance", plan, seed)
        tally = _tally(groups, unit, plan, partial(_only, matcher))
        values.append(intervals.precision(tally))
        drawn = intervals.precision_draws(tally, weights)
        span = intervals.interval(values[-1], drawn, scenes, "share")
        held.append((span[..., 0] <= truth) & (truth <= span[..., 1]))
    off = np.array(values) - truth
    asked = scenes > 0
    z = off.mean(0) / (off.std(0, ddof=1) / math.sqrt(SEEDS))
    share = np.array(held).mean(0)
    for t, limit in enumerate(plan.thresholds):
        bins: NDArray[np.float64] = z[asked, t]
        yield [
            limit.text, f"{bins.min():+.1f} to {bins.max():+.1f}",
            f"{100 * share[asked, t].mean():.1f} % ({100 * share[asked, t].min():.1f} % at least)",
        ]  # fmt: skip


def _only(matcher: Chance, group: MatcherGroup) -> Found:
    return next(matcher.found([group]))[0]


def _rendered(folder: Path, plan: Protocol) -> tuple[list[MatcherGroup], dict[str, int]]:
    settings = generate.plan(
        SCENES, kind="objects", path="orbit", seed=5, frames=6, hw=HW, samples=1
    )
    generate.write_scenes(folder / "scenes", settings)
    source = {"name": "synthetic", "root": str(folder / "scenes")}
    build(
        recipe.make({"source": source, "views": 3, "strides": [STRIDE], "min_overlap": 0.05}),
        folder / "shards",
    )
    samples = list(ShardReader(folder / "shards"))
    device = torch.device("cpu")
    groups = [group_of(sample, queries_of(sample, plan), device) for sample in samples]
    return groups, units_of([sample.scene_id for sample in samples])


def _tally(
    groups: list[MatcherGroup],
    unit: dict[str, int],
    plan: Protocol,
    found: Callable[[MatcherGroup], Found],
) -> Tally:
    tally = Tally.empty(len(set(unit.values())), plan)
    for group in groups:
        place = unit[group.sample.scene_id]
        tally.add_pairs(place, group.queries.pairs, group.queries.left_out)
        tally.add(place, found(group), plan)
    return tally
