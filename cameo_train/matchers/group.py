"""A group of views for the matchers, and the results that they return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cameo_data.types import Sample
from cameo_train.matchers.queries import Queries


@dataclass(frozen=True, eq=False)
class MatcherGroup:
    """One sample with the queries for the matchers.

    Attributes:
        images: (V, 3, H, W) float32 in [−1, 1], RGB, on the run's device.
    """

    sample: Sample
    images: Tensor
    queries: Queries

    @property
    def key(self) -> str:
        """The sample's key, unique in the build."""
        return self.sample.key


@dataclass(frozen=True)
class Row:
    """A line of the results: the matcher and, for an attention layer, how it was read.

    Attributes:
        spec: the features as given in ``--features``.
        name: the row's name.
        selection: how a match is chosen.
        kind: ``features``, ``attention``, ``keypoints``, ``chance`` or ``oracle``.
        layer, layer_number, heads, timestep, step: set for attention; ``heads`` is how heads are
            combined, ``timestep`` the noise of the target views, ``step`` the checkpoint's step.
        main: whether it represents its matcher where only one layer is shown.
    """

    spec: str
    name: str
    selection: str
    kind: str = "features"
    layer: str | None = None
    layer_number: int | None = None
    heads: str | None = None
    timestep: int | None = None
    step: int | None = None
    main: bool = True


@dataclass(frozen=True, eq=False)
class Found:
    """Errors of one row in one group.

    Attributes:
        bin: (N,) int64 rotation bins.
        error_px: (N,) float64, or None if there are only shares of hits.
        hits: (N, T) hits to count instead of those that follow from the errors.
        unjudged: number of matches that start at a pixel not known to be VISIBLE.
    """

    bin: NDArray[np.int64]
    error_px: NDArray[np.float64] | None
    hits: NDArray[np.float64] | None = None
    unjudged: int = 0


class Matcher(Protocol):
    """A matcher that the run measures, in one or more rows."""

    @property
    def rows(self) -> Sequence[Row]:
        """All rows, known before the first group."""
        ...

    @property
    def notes(self) -> list[str]:
        """Remarks for the reader, such as resized images; complete after the last group."""
        ...

    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """The errors of each row for each group, in order.

        Raises:
            ValueError: features are NaN or infinite or do not fit the images; the message names
                the place.
        """
        ...


def group_of(sample: Sample, queries: Queries, device: torch.device) -> MatcherGroup:
    """A sample with its images as tensors."""
    pixels = torch.from_numpy(np.stack(sample.images)).permute(0, 3, 1, 2).to(device)
    return MatcherGroup(sample, pixels.to(torch.float32) / 127.5 - 1.0, queries)


def check_finite(values: Tensor, name: str, group: MatcherGroup) -> None:
    """Raises ValueError if any of (V, …) values is NaN or infinite; names view and pair."""
    good = torch.isfinite(values).flatten(1).all(1)
    if bool(good.all()):
        return
    view = int((~good).nonzero()[0])
    frame, other = group.sample.frame_ids[view], group.sample.frame_ids[0 if view else 1]
    raise ValueError(
        f"{name}: NaN or infinite features in sample {group.key}, view {view} (frame {frame}; "
        f"first in the pair with frame {other}); check the weights, or measure without this row"
    )


def on_grid(features: Tensor, grid_hw: tuple[int, int], hw: tuple[int, int], name: str) -> Tensor:
    """(V, C, rows, columns) features, read bilinearly from (V, C, h, w) over whole images.

    Token (i, j) of either grid is at ((j + 0.5)·W/w, (i + 0.5)·H/h).

    Raises:
        ValueError: the features' cells are far from square, so they do not cover the images.
    """
    if features.ndim != 4:
        raise ValueError(f"{name}: features are {tuple(features.shape)}; expected (V, C, h, w)")
    h, w = features.shape[-2:]
    # A grid has whole cells of possibly rounded size, so at most one cell per side is missing.
    if abs(h * hw[1] - w * hw[0]) > max(hw):
        raise ValueError(
            f"{name}: a grid of {h}×{w} features does not fit images of {hw[0]}×{hw[1]} (h×w): its "
            f"cells are {hw[0] / h:.1f}×{hw[1] / w:.1f} px; expected square ones"
        )
    if (h, w) == grid_hw:
        return features
    resized: Tensor = functional.interpolate(
        features.float(), size=grid_hw, mode="bilinear", align_corners=False
    )
    return resized
