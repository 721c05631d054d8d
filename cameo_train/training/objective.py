"""One forward pass: diffusion loss on the target views, correspondence loss on the tapped layer.

Everything random is drawn per sample from the run's seed, the step and the sample's place in the
global batch, so the same step is the same computation on any number of ranks, and needs no random
state to go on from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cameo_train import taps
from cameo_train.config import TrainConfig
from cameo_train.data.batches import Batch
from cameo_train.models import Latents, MultiViewModel, noised, target_loss, training_noise
from cameo_train.models.conditioning import Conditioning
from cameo_train.supervision.heads import build_head_mix
from cameo_train.supervision.loss import matched_tokens, matches_within
from cameo_train.supervision.registry import supervision
from cameo_train.supervision.strategy import TappedAttention
from cameo_train.supervision.supervised_rows import SupervisedRows, thinned


@dataclass(frozen=True, eq=False)
class Draws:
    """What is random about a batch, all (B, …): the noise, its strength, what is withheld.

    Attributes:
        rows: seeds of the choice of rows.
    """

    noise: Tensor
    timestep: Tensor
    no_camera: Tensor
    no_reference: Tensor
    rows: tuple[int, ...]


def draw(
    config: TrainConfig,
    latents_shape: tuple[int, ...],
    steps: int,
    step: int,
    rank: int,
    world: int,
    device: torch.device | str,
) -> Draws:
    """The draws of this rank's samples in a step; drawn on the CPU, one generator per sample."""
    noise, timestep, withheld, rows = [], [], [], []
    for i in range(latents_shape[0]):
        # 2^31 seeds, 2^16 samples a step: distinct within a run
        generator = torch.Generator().manual_seed(
            (config.seed * 1_000_003 + step) * 65_537 + rank + i * world
        )
        noise.append(torch.randn(latents_shape[1:], generator=generator))
        timestep.append(torch.randint(0, steps, (), generator=generator))
        withheld.append(torch.rand(2, generator=generator))
        rows.append(int(torch.randint(0, 2**62, (), generator=generator)))
    camera, reference = torch.stack(withheld).T
    return Draws(
        torch.stack(noise).to(device),
        torch.stack(timestep).to(device),
        (camera < config.camera_dropout).to(device),
        (reference < config.reference_dropout).to(device),
        tuple(rows),
    )


class Losses(NamedTuple):
    """Scalars of a batch; ``total`` is what is minimised. A tuple, so that wrappers find tensors.

    Attributes:
        hits: supervised rows whose most attended token is at most one token from the target; 0
            where that was not asked for.
        rows: supervised rows.
        unmatched: samples without any.
    """

    total: Tensor
    diffusion: Tensor
    correspondence: Tensor
    hits: Tensor
    rows: int
    unmatched: int


class Objective(nn.Module):
    """Model and head mix together, so that one wrapper (DDP, compile) holds all parameters."""

    def __init__(
        self, config: TrainConfig, model: MultiViewModel, image_hw: tuple[int, int]
    ) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.layer = config.layer or model.preset.layer
        self.grid_hw = model.token_grid(self.layer, image_hw)
        self.supervision = supervision(config.target_kind)
        self.scheduler = training_noise(model.preset)
        self.head_mix = build_head_mix(config.head_mix, model.heads(self.layer))
        # without supervision no gradient reaches the head, for which DDP would wait
        self.head_mix.requires_grad_(config.weight > 0)

    def rows(self, batch: Batch, draws: Draws) -> SupervisedRows | None:
        """The supervised rows of a batch, or None where the run supervises nothing.

        How many there are decides what is computed; on a batch still on the CPU nothing waits.
        """
        if not self.config.weight:
            return None
        rows = self.supervision.rows(batch, self.grid_hw, self.config.directions)
        most = self.config.max_rows
        return rows if most is None else thinned(rows, most, draws.rows)

    def forward(
        self,
        latents: Tensor,
        conditioning: Conditioning,
        draws: Draws,
        rows: SupervisedRows | None,
        weight: float,
        normalizer: Tensor | None,
        with_precision: bool = False,
    ) -> Losses:
        """Losses of one batch.

        Args:
            latents: (B, V, C, h, w), clean.
            weight: of the correspondence loss at this step.
            normalizer: what its sum is divided by; the sum of the rows' weights if None.
            with_precision: count hits as well; costs a second pass over the supervised rows.
        """
        reference = conditioning.reference
        noisy, target = noised(self.scheduler, latents, draws.noise, draws.timestep, reference)
        given = conditioning.without(draws.no_camera, draws.no_reference)
        if rows is None:
            prediction = self.model(noisy, draws.timestep, given)
            diffusion = target_loss(prediction, target, reference)
            none = diffusion.new_zeros(())
            return Losses(diffusion, diffusion, none, none, 0, 0)
        with taps.tap(self.model, self.layer, gradients=torch.is_grad_enabled()) as tapped:
            prediction = self.model(noisy, draws.timestep, given)
            q, k, scale = tapped.grid_queries(), tapped.grid_keys(), tapped.scale
        diffusion = target_loss(prediction, target, reference)
        attention = TappedAttention(q, k, scale, self.head_mix, self.grid_hw)
        normalizer = rows.total_weight if normalizer is None else normalizer
        correspondence = self.supervision.loss(attention, rows, normalizer)
        hits = correspondence.new_zeros(())
        if with_precision:
            matched = matched_tokens(q, k, rows, head_mix=self.head_mix, scale=scale)
            hits = matches_within(matched, rows, self.grid_hw).to(hits)
        total = diffusion + weight * correspondence
        return Losses(total, diffusion, correspondence, hits, len(rows), rows.unmatched)


def condition(model: MultiViewModel, batch: Batch, space: Latents) -> tuple[Tensor, Conditioning]:
    """Clean latents of a batch, and the conditioning of the model."""
    with torch.no_grad():
        return space.encode(batch.images), model.condition(batch, space)
