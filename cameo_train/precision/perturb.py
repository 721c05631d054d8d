"""The effect of a layer's attention on the target views, found by sampling them without it.

Each layer in turn is the identity in all sampling steps; everything else, including the noise, is
the same. Removing a layer that carries the geometry costs the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cameo_train.data.batches import Batch
from cameo_train.models import Latents, MultiViewModel
from cameo_train.taps.identity import identity_attention
from cameo_train.taps.layers import plain
from cameo_train.training import sampling
from cameo_train.training.sampling import Image

STEPS = 20


@dataclass(frozen=True)
class Perturbed:
    """Quality of target views sampled with one layer's attention replaced by the identity.

    Attributes:
        layer: path, or None for the unchanged model; number: position in execution order.
        psnr, ssim: against the true views.
        psnr_to_whole: dB against the whole model's samples; None for the whole model itself.
    """

    layer: str | None
    number: int | None
    psnr: float
    ssim: float
    psnr_to_whole: float | None

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@torch.no_grad()
def perturbed(
    model: MultiViewModel,
    batch: Batch,
    space: Latents,
    layers: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> tuple[list[Perturbed], list[Tensor]]:
    """Numbers and sampled images (B, V, 3, H, W): the whole model first, then without each layer.

    DDIM samples without guidance, which would add a second pass.

    Args:
        layers: paths from ``model.layers()``.
    """

    def sampled() -> Tensor:
        return sampling.sample(model, batch, space, steps=steps, guidance=1.0, seed=seed)

    order = model.layers()
    whole = sampled()
    base = sampling.quality(whole, batch)
    found = [Perturbed(None, None, base.psnr, base.ssim, None)]
    images = [whole]
    wanted = ~batch.reference
    for layer in layers:
        with identity_attention(model, layer):
            other = sampled()
        quality = sampling.quality(other, batch)
        change = sampling.psnr(other[wanted] / 2 + 0.5, whole[wanted] / 2 + 0.5)
        found.append(
            Perturbed(
                plain(layer), order.index(layer), quality.psnr, quality.ssim, float(change.mean())
            )
        )
        images.append(other)
    return found, images


def picture(found: Sequence[Perturbed], images: Sequence[Tensor], batch: Batch) -> Image:
    """A row per target view of the first group: the truth, the whole model, without each layer.

    The references are at the top.
    """
    truth = batch.images[0]
    count = int(batch.reference[0].sum())
    head = sampling.row(
        [sampling.rgb(truth[v]) for v in range(count)], [f"reference {v + 1}" for v in range(count)]
    )
    labels = ["truth", "sampled", *(f"no layer {one.number}" for one in found[1:])]
    rows = []
    for view in range(count, batch.views):
        shown = [truth[view], *(sampled[0, view] for sampled in images)]
        rows.append(sampling.row([sampling.rgb(image) for image in shown], labels))
    width = max(head.shape[1], rows[0].shape[1])
    return np.concatenate([_padded(part, width) for part in (head, *rows)])


def _padded(image: Image, width: int) -> Image:
    return np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=255)
