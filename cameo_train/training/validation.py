"""How a model does on held-out groups: the same groups, noise and timesteps for every run and step,
so that figures of any two runs of one batch size compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cameo_data import ShardReader
from cameo_train import taps
from cameo_train.config import TrainConfig
from cameo_train.data.batches import Batch, batches, plain_plan
from cameo_train.models import Latents, noised, target_loss
from cameo_train.supervision.heads import HeadMean, HeadPick
from cameo_train.supervision.loss import matched_tokens, precision_within
from cameo_train.supervision.supervised_rows import supervised_rows
from cameo_train.training.objective import Objective, condition


@dataclass(frozen=True)
class Scores:
    """Means over the held-out groups.

    Attributes:
        loss: diffusion loss of the target views.
        precision: share of visible matches that the layer's attention finds to within one token;
            NaN where nothing is visible.
        reading: through what the heads were read: the trained ``head mix`` of a supervised run;
            of any other the best of their ``mean`` and each ``head N``.
    """

    loss: float
    precision: float
    reading: str

    def record(self) -> dict[str, float | str]:
        """For a line of ``metrics.jsonl``."""
        precision = {} if math.isnan(self.precision) else {"validation_precision": self.precision}
        return {"validation_loss": self.loss, **precision, "reading": self.reading}


def readings(objective: Objective, supervised: bool) -> Mapping[str, nn.Module]:
    """Ways to read the layer's heads as one attention map, by name."""
    if supervised:
        return {"head mix": objective.head_mix}
    heads = objective.model.heads(objective.layer)
    return {"mean": HeadMean(), **{f"head {h}": HeadPick(h) for h in range(heads)}}


@torch.no_grad()
def measure(
    config: TrainConfig, objective: Objective, space: Latents, device: torch.device | str
) -> Scores:
    """Scores on ``config.validation_samples`` groups of ``config.validation``, in whole batches of
    the run's size, each with a number of references of its own: compare runs of one batch size.

    The model is left in the mode it was in; no global random state is touched.

    Raises:
        DataError: the held-out shards cannot be read.
        ValueError: they do not fit the model.
    """
    training = objective.training
    objective.eval()
    read = readings(objective, config.weight > 0)
    loss, groups, rows_seen = 0.0, 0, 0
    hits = dict.fromkeys(read, 0.0)
    for batch, noise, timestep in _held_out(config, objective):
        batch = batch.to(device)
        assert batch.targets is not None
        latents, given = condition(objective.model, batch, space)
        noisy, target = noised(
            objective.scheduler, latents, noise.to(latents), timestep.to(device), given.reference
        )
        with taps.tap(objective.model, objective.layer) as tapped:
            prediction = objective.model(noisy, timestep.to(device), given)
            q, k, scale = tapped.grid_queries(), tapped.grid_keys(), tapped.scale
        loss += float(target_loss(prediction, target, batch.reference)) * len(latents)
        groups += len(latents)
        rows = supervised_rows(batch.targets)
        rows_seen += len(rows)
        for name, mix in read.items():
            matched = matched_tokens(q, k, rows, head_mix=mix, scale=scale)
            if len(rows):
                hits[name] += precision_within(matched, rows, objective.grid_hw) * len(rows)
    objective.train(training)
    best = max(hits, key=lambda name: hits[name])
    precision = hits[best] / rows_seen if rows_seen else math.nan
    return Scores(loss / groups, precision, best)


def _held_out(config: TrainConfig, objective: Objective) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    """Batches with (B, V, C, h, w) noise and (B,) timesteps, which spread evenly over all."""
    assert config.validation is not None
    wanted = plain_plan(config, objective.grid_hw)
    count = min(config.validation_samples, len(ShardReader(config.validation)))
    batch = min(config.batch, count)
    total = len(objective.scheduler.alphas_cumprod)
    model = objective.model
    held_out = batches(config.validation, wanted, batch=batch, seed=0)
    for start in range(0, count - batch + 1, batch):
        found = next(held_out)
        shape = model.latents_shape(found.images.shape)[1:]
        generators = (torch.Generator().manual_seed(start + i) for i in range(batch))
        noise = torch.stack([torch.randn(shape, generator=g) for g in generators])
        # neighbours of a batch are far apart in time: 0.618… is the golden ratio's fraction
        places = (torch.arange(start, start + batch, dtype=torch.float64) + 0.5) * 0.618034 % 1
        yield found, noise, (places * total).long()
