"""Rows of dense features, of the oracle, of chance and of matchers that choose their own points."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cameo_train.matchers.best_candidate import best_of
from cameo_train.matchers.feature_model import DenseFeatures
from cameo_train.matchers.grid_limits import token_error_px
from cameo_train.matchers.group import Found, MatcherGroup, Row, check_finite, on_grid
from cameo_train.matchers.nearest import matched_tokens, unit_vectors
from cameo_train.protocols.measurement import Protocol

CHANCE_CHANNELS, CHANCE_DRAWS = 64, 8


class FeatureMatcher:
    """Nearest features by cosine, on the protocol's grid."""

    def __init__(self, features: DenseFeatures, spec: str, protocol: Protocol) -> None:
        self.features, self.protocol = features, protocol
        self.rows: Sequence[Row] = (Row(spec, features.name, "largest cosine similarity"),)
        self._grid: tuple[int, int] | None = None

    @property
    def notes(self) -> list[str]:
        """Resized images and features."""
        found = list(getattr(getattr(self.features, "whole", None), "notes", []))
        if self._grid is not None and self._grid != self.protocol.grid_hw:
            (h, w), (rows, columns) = self._grid, self.protocol.grid_hw
            found.append(
                f"{self.features.name}: features of {h}×{w} cells are read bilinearly at "
                f"{rows}×{columns}"
            )
        return found

    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """Errors of the only row."""
        with torch.no_grad():
            maps = self.features.descriptors(torch.cat([g.images for g in groups])).float()
        views = [len(g.images) for g in groups]
        if len(maps) != sum(views):
            raise ValueError(f"{self.features.name}: {sum(views)} images gave {len(maps)} maps")
        for group, values in zip(groups, torch.split(maps, views), strict=True):
            name = self.features.name
            check_finite(values, name, group)
            self._grid = (int(values.shape[-2]), int(values.shape[-1]))
            units = unit_vectors(
                on_grid(values, self.protocol.grid_hw, self.protocol.hw, name)
            )  # fmt: skip
            yield [errors_of(matched_tokens(units, units, group.queries), group, self.protocol)]


def errors_of(token: Tensor, group: MatcherGroup, protocol: Protocol) -> Found:
    """Errors of the cells that were chosen."""
    error = token_error_px(token.cpu().numpy(), group.queries.xy1, protocol)
    return Found(group.queries.bin, error)


class Chance:
    """Random features: unit vectors drawn for every view, the same for the same sample.

    Hits are means over several draws; a single draw varies more than the scenes do.
    """

    def __init__(self, spec: str, protocol: Protocol, seed: int = 0) -> None:
        self.protocol, self.seed = protocol, seed
        selection = f"largest cosine similarity of random features, mean of {CHANCE_DRAWS} draws"
        self.rows: Sequence[Row] = (Row(spec, spec, selection, "chance"),)
        self.notes: list[str] = []

    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """Hits of blind choice, and the errors of the first draw."""
        limits = self.protocol.thresholds_px
        for group in groups:
            draws = [self._draw(group, number) for number in range(CHANCE_DRAWS)]
            hits = np.mean([error[:, None] <= limits for error in draws], 0)
            yield [Found(group.queries.bin, draws[0], hits)]

    def _draw(self, group: MatcherGroup, number: int) -> NDArray[np.float64]:
        digest = hashlib.sha256(f"{self.seed} {number} {group.key}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        shape = (len(group.images), CHANCE_CHANNELS, *self.protocol.grid_hw)
        units = unit_vectors(torch.randn(shape, generator=generator))
        token = matched_tokens(units, units, group.queries)
        return token_error_px(token.numpy(), group.queries.xy1, self.protocol)


class Oracle:
    """Features made from the truth: the candidate with the largest product is the nearest one.

    −|x − y|² = 2x·y − |y|² − |x|², and the last term is the same for all candidates y.
    """

    def __init__(self, spec: str, protocol: Protocol) -> None:
        self.protocol = protocol
        self.rows: Sequence[Row] = (
            Row(spec, spec, "largest product of features made from the truth", "oracle"),
        )
        self.notes: list[str] = []
        # Centred on the view and in units of cells, so that float32 is precise enough.
        self._middle = np.array(protocol.hw[::-1]) / 2
        cells = torch.from_numpy(self._cells(protocol.candidates_xy()))
        self._keys = torch.cat([2 * cells, -(cells**2).sum(1, keepdim=True)], 1)

    def _cells(
        self, xy: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return ((xy - self._middle) / self.protocol.stride).astype(np.float32)

    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """Errors of the best candidates."""
        for group in groups:
            cells = torch.from_numpy(self._cells(group.queries.xy1))
            queries = torch.cat([cells, torch.ones(len(cells), 1)], 1)
            token = best_of(queries, self._keys) if len(cells) else torch.zeros(0).long()
            yield [errors_of(token, group, self.protocol)]
