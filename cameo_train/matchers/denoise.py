"""One pass of a multi-view model over groups of views, from which attention is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cameo_train.data.augmentation import resize
from cameo_train.data.batches import Batch
from cameo_train.data.sample_order import Position
from cameo_train.matchers.group import MatcherGroup, group_of
from cameo_train.models import Latents, MultiViewModel, noised, training_noise
from cameo_train.training.objective import condition


@torch.no_grad()
def denoise(
    model: MultiViewModel,
    space: Latents,
    groups: Sequence[MatcherGroup],
    timestep: int,
    *,
    references: int = 1,
    seed: int = 0,
    side: int | None = None,
) -> Tensor:
    """The model's prediction in one pass with clean references and noised targets.

    The noise depends only on the seed and the sample.

    Args:
        side: shorter side, in pixels, to which images are scaled first; None keeps their size.
    """
    if side is not None:
        groups = [group_of(resize(g.sample, side), g.queries, g.images.device) for g in groups]
    batch = batch_of(groups, references)
    latents, given = condition(model, batch, space)
    noise = torch.stack(
        [_noise(f"{seed} {g.key}", tuple(latents.shape[1:])) for g in groups]
    ).to(latents)  # fmt: skip
    step = torch.full((len(latents),), timestep, device=latents.device)
    noisy, _ = noised(training_noise(model.preset), latents, noise, step, given.reference)
    prediction: Tensor = model(noisy, step, given)
    return prediction


def _noise(seed: str, shape: tuple[int, ...]) -> Tensor:
    digest = hashlib.sha256(seed.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(shape, generator=generator)


def batch_of(groups: Sequence[MatcherGroup], references: int) -> Batch:
    """Groups as a batch for the models; the first views are the references.

    Raises:
        ValueError: the groups differ in their number of views, or no view is left as a target.
    """
    views = {len(g.images) for g in groups}
    if len(views) > 1 or not 1 <= references < min(views):
        raise ValueError(f"{references} references of groups of {sorted(views)} views")
    samples = [g.sample for g in groups]
    device = groups[0].images.device

    def stacked(
        arrays: list[list[NDArray[np.float64]]] | list[list[NDArray[np.float32]]],
    ) -> Tensor:
        return torch.from_numpy(np.asarray(arrays, np.float32)).to(device)

    reference = torch.zeros(len(groups), views.pop(), dtype=torch.bool, device=device)
    reference[:, :references] = True
    return Batch(
        images=torch.stack([g.images for g in groups]),
        K=stacked([[c.K for c in s.cameras] for s in samples]),
        cam_from_world=stacked([[c.cam_from_world for c in s.cameras] for s in samples]),
        reference=reference,
        depth=stacked([[np.where(d.valid, d.z, 0) for d in s.depths] for s in samples]),
        targets=None,
        keys=tuple(g.key for g in groups),
        position=Position(),
    )
