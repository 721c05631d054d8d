"""Precision of features or attention given as arrays: no files and no model.

The numbers are those of ``cameo-train precision``; ``docs/precision.md`` says how they are made.
Shapes: V views, C channels, h, w token grid, K = h·w tokens per view, d channels per head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cameo_data.types import Sample
from cameo_train.matchers.dense import errors_of
from cameo_train.matchers.group import MatcherGroup, Row, check_finite, group_of, on_grid
from cameo_train.matchers.nearest import matched_tokens, unit_vectors
from cameo_train.matchers.queries import queries_of
from cameo_train.precision.results import Bin, row_result
from cameo_train.precision.tally import Tally
from cameo_train.protocols.measurement import (
    DEFAULT_BINS_DEG,
    DEFAULT_THRESHOLDS,
    Protocol,
    protocol_of,
)

CPU = torch.device("cpu")


class PrecisionMeter:
    """How often the best match of a VISIBLE point is right, against the rotation between the views.

    Args:
        stride: pixels per cell of the grid of queries and candidates; None takes the finest stored
            one of at most 32×32 cells.
        thresholds: the largest errors that count as right, ``8px`` or ``5%`` of the diagonal.
        bins_deg: edges of the rotation bins.
        min_confidence: least confidence of the VISIBLE verdicts whose queries are measured.

    Raises:
        UsageError: meaningless options; raised by the first ``add_…``, which knows the images.

    Example:
        >>> meter = PrecisionMeter(thresholds=["5%"])
        >>> for sample in ShardReader("shards"):  # doctest: +SKIP
        ...     meter.add_features(sample, features_of(sample.images))
        >>> [(b.label, b.precision[0].value) for b in meter.bins()]  # doctest: +SKIP
        [('0–15°', 0.91), ('15–30°', 0.84), …, ('all', 0.62)]
    """

    def __init__(
        self,
        *,
        stride: int | None = None,
        thresholds: Sequence[str] = DEFAULT_THRESHOLDS,
        bins_deg: Sequence[float] = DEFAULT_BINS_DEG,
        min_confidence: float = 0.0,
    ) -> None:
        self._stride, self._thresholds = stride, tuple(thresholds)
        self._bins_deg, self._min_confidence = tuple(bins_deg), min_confidence
        self._protocol: Protocol | None = None
        self._scenes: dict[str, Tally] = {}

    @property
    def protocol(self) -> Protocol:
        """What is measured and how, for captions.

        Raises:
            ValueError: nothing was added yet.
        """
        if self._protocol is None:
            raise ValueError("nothing was measured yet; add the features of a sample first")
        return self._protocol

    def add_features(self, sample: Sample, features: Tensor | ArrayLike) -> None:
        """Counts a group of views, matched by the largest cosine similarity.

        Args:
            sample: with its correspondences, as ``ShardReader`` gives it.
            features: (V, C, h, w), a grid over each whole image; read bilinearly where it differs
                from the grid of queries.

        Raises:
            ValueError: another shape, or values that are not finite.
            DataError: the sample has no verdicts and no depth, or images of another size than
                those before it.
        """
        group = self._group(sample)
        units = unit_vectors(self._on_grid(_tensor(features), group, "features"))
        self._count(group, matched_tokens(units, units, group.queries))

    def add_attention(
        self,
        sample: Sample,
        queries: Tensor | ArrayLike,
        keys: Tensor | ArrayLike,
        grid_hw: tuple[int, int],
    ) -> None:
        """Counts a group of views, matched by the largest logit, mean of all heads.

        Args:
            sample: as of ``add_features``.
            queries, keys: (heads, V·K, d) of one group, as ``Tap.grid_queries()[b]``.
            grid_hw: h and w, as ``Tap.layout.grid_hw``.

        Raises:
            ValueError: another shape, or values that are not finite.
            DataError: as of ``add_features``.
        """
        group = self._group(sample)
        q, k = (
            self._on_grid(_maps(_tensor(x), len(sample.images), grid_hw, name), group, name)
            for x, name in ((queries, "queries"), (keys, "keys"))
        )
        q, k = (x.flatten(2).transpose(1, 2).contiguous() for x in (q, k))
        self._count(group, matched_tokens(q, k, group.queries))

    def bins(self) -> tuple[Bin, ...]:
        """Numbers of each rotation bin, then of all together, with 95 % intervals over scenes."""
        protocol, scenes = self.protocol, [self._scenes[name] for name in sorted(self._scenes)]
        together = Tally(
            np.concatenate([t.pairs for t in scenes]),
            np.concatenate([t.queries for t in scenes]),
            np.concatenate([t.hits for t in scenes]),
            np.concatenate([t.errors for t in scenes]),
        )
        return row_result(Row("arrays", "arrays", "best"), together, protocol).bins

    def _group(self, sample: Sample) -> MatcherGroup:
        if self._protocol is None:
            self._protocol = protocol_of(
                sample.cameras[0].hw, sorted(sample.correspondence), stride=self._stride,
                thresholds=self._thresholds, bins_deg=self._bins_deg,
                min_confidence=self._min_confidence, masked=sample.restricted_to_mask,
            )  # fmt: skip
        return group_of(sample, queries_of(sample, self._protocol), CPU)

    def _on_grid(self, maps: Tensor, group: MatcherGroup, name: str) -> Tensor:
        if maps.ndim != 4 or len(maps) != len(group.images):
            raise ValueError(
                f"{name} are {tuple(maps.shape)}; expected (V, C, h, w) of "
                f"{len(group.images)} views"
            )
        check_finite(maps, name, group)
        return on_grid(maps, self.protocol.grid_hw, self.protocol.hw, name)

    def _count(self, group: MatcherGroup, token: Tensor) -> None:
        protocol, scene = self.protocol, group.sample.scene_id
        tally = self._scenes.setdefault(scene, Tally.empty(1, protocol))
        tally.add_pairs(0, group.queries.pairs, group.queries.left_out)
        tally.add(0, errors_of(token, group, protocol), protocol)


def _tensor(values: Tensor | ArrayLike) -> Tensor:
    tensor: Tensor = torch.as_tensor(values)
    return tensor.detach().to(CPU, torch.float32)


def _maps(x: Tensor, views: int, grid_hw: tuple[int, int], name: str) -> Tensor:
    """(V, heads·d, h, w) of (heads, V·K, d): heads side by side, so products sum over heads."""
    tokens = views * grid_hw[0] * grid_hw[1]
    if x.ndim != 3 or x.shape[1] != tokens:
        raise ValueError(
            f"{name} are {tuple(x.shape)}; expected (heads, {tokens}, d): {views} views of "
            f"{grid_hw[0]}×{grid_hw[1]} tokens"
        )
    split = x.reshape(x.shape[0], views, -1, x.shape[2]).permute(1, 0, 3, 2)
    return split.reshape(views, -1, *grid_hw)
