"""The named protocols over a whole build, in one pass that keeps only the numbers of each pair.

For their settings and limits see docs/matchers.md, "Named protocols". Here they get the build's
views; each ordered pair of a group counts, and in ``cameo`` the queries come from the target views
and the keys from the reference views.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cameo_data import ShardReader
from cameo_data.errors import UsageError
from cameo_data.types import Progress, Sample
from cameo_train import taps
from cameo_train.data.batches import official_batch
from cameo_train.matchers.attention import AttentionMatcher
from cameo_train.matchers.denoise import batch_of
from cameo_train.matchers.group import Matcher, MatcherGroup, check_finite, group_of
from cameo_train.matchers.job import MatcherJob
from cameo_train.matchers.queries import queries_of
from cameo_train.protocols import (
    NamedProtocol,
    PairErrors,
    Recalls,
    cameo_matches,
    group_recalls,
    navi_errors,
    points_of,
    recalls,
    scannet_errors,
)
from cameo_train.protocols.measurement import Protocol


@dataclass(eq=False)
class Means:
    """Means over pairs (or groups) of the numbers of each, added up one by one."""

    protocol: NamedProtocol
    pairs: int = 0
    empty: int = 0
    matches: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, one: Recalls) -> None:
        """Adds the numbers of one pair or group."""
        self.pairs += one.pairs
        self.empty += one.empty
        self.matches += one.matches
        for threshold, value in one.px.items():
            self._add(f"{threshold:g} px", value)
        for threshold, value in one.metres.items():
            self._add(f"{100 * threshold:g} cm", value)
        for low, high, value, _ in one.bins:
            self._add(f"{low:g}–{high:g}°", value)

    def _add(self, name: str, value: float) -> None:
        found = not math.isnan(value)
        self.sums[name] = self.sums.get(name, 0.0) + (value if found else 0.0)
        self.counts[name] = self.counts.get(name, 0) + found

    def record(self) -> dict[str, Any]:
        """Means, None without data, and the number of pairs in each."""
        return {
            "pairs": self.pairs,
            "empty": self.empty,
            "matches": self.matches,
            "recall": {
                name: self.sums[name] / self.counts[name] if self.counts[name] else None
                for name in self.sums
            },
            "of_pairs": dict(self.counts),
        }


def measure_named(
    named: NamedProtocol,
    job: MatcherJob,
    reader: ShardReader,
    samples: Sequence[int],
    plan: Protocol,
    device: torch.device,
    references: int,
    progress: Progress,
) -> dict[str, Means]:
    """Numbers by row: one for features, one per layer and noise level for attention.

    Raises:
        MissingWeights: weights are missing.
        UsageError: the protocol is for features and this is attention, or the reverse.
    """
    matcher = job.make(plan, device)
    rows = _attention if named.name == "cameo" else _features
    means: dict[str, Means] = {}
    progress(job.label, 0, len(samples))
    for done, number in enumerate(samples, 1):
        sample = reader[number]
        group = group_of(sample, queries_of(sample, plan), device)
        for label, one in rows(named, job.label, matcher, group, references):
            means.setdefault(label, Means(named)).add(one)
        progress(job.label, done, len(samples))
    return means


def _features(
    named: NamedProtocol, label: str, matcher: Matcher, group: MatcherGroup, references: int
) -> Iterator[tuple[str, Recalls]]:
    features = getattr(matcher, "features", None)
    if features is None:
        raise UsageError(f"{named.name} is a protocol of dense features; {label} are none")
    with torch.no_grad():
        maps = features.descriptors(group.images).float()
    check_finite(maps, label, group)
    sample = group.sample
    depth = [_depth(sample, v) for v in range(len(sample.cameras))]
    K = [torch.tensor(c.K, dtype=torch.float32) for c in sample.cameras]
    points = [points_of(d, k) for d, k in zip(depth, K, strict=True)]
    maps = maps.cpu()
    for a, camera0 in enumerate(sample.cameras):
        for b, camera1 in enumerate(sample.cameras):
            if a == b:
                continue
            cam1_from_cam0 = torch.from_numpy(camera1.cam_from_world @ camera0.world_from_cam)
            found: PairErrors
            if named.name == "probe3d-navi":
                found = navi_errors(
                    maps[a], maps[b], points[a], points[b], cam1_from_cam0.float(), K[b],
                    matches=named.matches,
                )  # fmt: skip
            else:
                found = scannet_errors(
                    maps[a], maps[b], depth[a], depth[b], K[a], K[b], cam1_from_cam0.float(),
                    matches=named.matches,
                )  # fmt: skip
            angle = float(sample.rotation_deg[a, b])
            yield label, recalls(named, [found], [angle], metric=sample.unit == "metre")


def _depth(sample: Sample, view: int) -> Tensor:
    depth = sample.depths[view]
    return torch.from_numpy(np.where(depth.valid, depth.z, np.float32(0)))


def _attention(
    named: NamedProtocol, label: str, matcher: Matcher, group: MatcherGroup, references: int
) -> Iterator[tuple[str, Recalls]]:
    if not isinstance(matcher, AttentionMatcher):
        raise UsageError(f"{named.name} is a protocol of attention; {label} is none")
    official = official_batch(batch_of([group], references))
    rotation = torch.from_numpy(group.sample.rotation_deg)
    views = range(len(group.images))
    layers = list(dict.fromkeys((r.layer, r.number) for r in matcher.readings))
    for timestep in matcher.timesteps:
        for layer, number in layers:
            with taps.tap(matcher.model, layer) as tapped, torch.no_grad():
                matcher.run([group], timestep)
                q, k = tapped.grid_queries()[0].float(), tapped.grid_keys()[0].float()
                grid = tapped.layout.grid_hw
            found = cameo_matches(
                q, k, official["point_map"][0], official["intrinsic"][0], official["extrinsic"][0],
                token_hw=grid, grid_hw=grid, query_views=views[references:],
                key_views=views[:references], matches=named.matches,
            )  # fmt: skip
            name = f"{label} · layer {number} · t {timestep}"
            yield name, group_recalls(named, [found], [rotation])
