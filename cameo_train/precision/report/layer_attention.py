"""Attention of the same queries in several trained models: one picture, a column per model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cameo_data.types import Sample
from cameo_train.data.batches import Batch, Plan, targets_of
from cameo_train.models import Latents
from cameo_train.report.attention import Query, attention, choose, picture
from cameo_train.supervision.heads import HeadMean
from cameo_train.taps import resolve
from cameo_train.taps.layers import plain
from cameo_train.training.objective import Objective
from cameo_train.training.sampling import Image


@dataclass(frozen=True, eq=False)
class Trained:
    """A model whose attention is shown.

    Attributes:
        label: short name above its columns.
        step: step of the checkpoint.
        objective: its loss, whose layer is read.
    """

    label: str
    step: int
    objective: Objective
    space: Latents

    @property
    def mix(self) -> nn.Module:
        """The trained head, or the mean of heads if none was trained."""
        return self.objective.head_mix if self.objective.config.weight else HeadMean()

    @property
    def how(self) -> str:
        """How its attention is read, for the caption."""
        heads = "through its trained head" if self.objective.config.weight else "mean of its heads"
        order = self.objective.model.layers()
        layer = resolve(order, self.objective.layer)
        return f"{self.title}: layer {order.index(layer)} ({plain(layer)}), {heads}"

    @property
    def title(self) -> str:
        """``cameo-0, step 1500``."""
        return f"{self.label}, step {self.step}"


def queries_of_sample(sample: Sample, grid_hw: tuple[int, int]) -> list[Query]:
    """Queries of the first view that most other views see, with their true matches."""
    stride = sample.cameras[0].hw[0] // grid_hw[0]
    source = "stored" if stride in sample.correspondence else "online"
    targets = targets_of(sample, Plan(grid_hw, source=source))  # type: ignore[arg-type]
    assert targets is not None
    index, weight = (x if x.ndim == 5 else x[None] for x in (targets.index, targets.weight))
    return choose(type(targets)(index, weight))


def side_by_side(
    models: Sequence[Trained], sample: Sample, batch: Batch, *, timestep: int, seed: int = 0
) -> Image | None:
    """Attention of the same queries in each model; None if no view shares points with the first.

    Args:
        models: models whose layers have the same token grid.
        batch: batch that holds only the sample.
    """
    grids = {model.objective.grid_hw for model in models}
    if len(grids) > 1:
        raise ValueError(f"layers of {len(grids)} grids cannot share a picture: {sorted(grids)}")
    queries = queries_of_sample(sample, grids.pop())
    if not queries:
        return None
    columns: list[tuple[str, Tensor]] = []
    with torch.no_grad():
        for model in models:
            maps = attention(
                model.objective, batch, model.space, queries,
                head_mix=model.mix, timestep=timestep, seed=seed,
            )  # fmt: skip
            columns.append((model.label, maps))
    return picture(batch, queries, columns)
