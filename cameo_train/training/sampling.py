"""Target views sampled from a model (DDIM), how near they are to the truth, and a picture of both.

Shapes: B, V views, H, W pixels, C channels and h, w cells of the latents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cameo_data import ShardReader
from cameo_data.io.work_folder import write_bytes
from cameo_train.config import TrainConfig
from cameo_train.data.batches import Batch, batches, plain_plan
from cameo_train.models import Conditioning, Latents, MultiViewModel, ddim
from cameo_train.models.conditioning import Null
from cameo_train.training import perceptual
from cameo_train.training.objective import condition

Image = NDArray[np.uint8]

STEPS = 50
# the official code's ``val_cfg``
GUIDANCE = 2.0
# Lin et al. 2024, section 3.4: with zero terminal SNR, guidance overexposes; 0.7 undoes it
RESCALE = 0.7
# Wang et al. 2004, section III-C
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03


@dataclass(frozen=True)
class Quality:
    """Means over all target views of a batch; images in [0, 1].

    Attributes:
        psnr: in dB.
        ssim: at most 1.
        lpips: distance, at least 0; None where its weights are not at hand, see ``perceptual``.
    """

    psnr: float
    ssim: float
    lpips: float | None = None

    def record(self) -> dict[str, float]:
        """For a line of ``metrics.jsonl``."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@torch.no_grad()
def sample_latents(
    model: MultiViewModel,
    clean: Tensor,
    given: Conditioning,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    rescale: float = RESCALE,
    null: Null = "camera",
    seed: int = 0,
) -> Tensor:
    """(B, V, C, h, w): latents sampled in the target views, ``clean`` in the references.

    Args:
        clean: (B, V, C, h, w); only the references' are read.
        guidance: 1 for none; else the prediction is led so many times as far away from the one
            without what ``null`` withholds.
        rescale: share of the way back to the spread of the prediction without guidance.
        seed: of the noise, drawn on the CPU: the same on every device.
    """
    scheduler = ddim(model.preset)
    scheduler.set_timesteps(steps)
    reference = given.reference[..., None, None, None]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    latents = torch.where(reference, clean, noise)
    free = given.null(null)
    for step in scheduler.timesteps:
        when = step.to(clean.device).expand(len(clean))
        prediction = model(latents, when, given).float()
        if guidance != 1:
            without = model(latents, when, free).float()
            prediction = _guided(prediction, without, guidance, rescale)
        latents = scheduler.step(prediction, step, latents).prev_sample
        latents = torch.where(reference, clean, latents)
    return latents


def _guided(given: Tensor, without: Tensor, guidance: float, rescale: float) -> Tensor:
    led = without + guidance * (given - without)
    spread = given.std((2, 3, 4), keepdim=True) / led.std((2, 3, 4), keepdim=True)
    return led * (rescale * spread + (1 - rescale))


def sample(
    model: MultiViewModel,
    batch: Batch,
    space: Latents,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    rescale: float = RESCALE,
    null: Null = "camera",
    seed: int = 0,
) -> Tensor:
    """(B, V, 3, H, W) in [−1, 1]: sampled target views; references as they are in the batch.

    Arguments as in ``sample_latents``. The model is left in the mode it was in.
    """
    training = model.training
    model.eval()
    clean, given = condition(model, batch, space)
    latents = sample_latents(
        model, clean, given, steps=steps, guidance=guidance, rescale=rescale, null=null, seed=seed
    )
    model.train(training)
    images = space.decode(latents).clamp(-1, 1)
    return torch.where(batch.reference[..., None, None, None], batch.images, images)


def psnr(found: Tensor, truth: Tensor) -> Tensor:
    """(…,) dB of images (…, 3, H, W) in [0, 1]; ∞ where they are equal."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    x, y = _batch(found), _batch(truth)
    figure: Tensor = peak_signal_noise_ratio(x, y, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return figure.view(found.shape[:-3])


def ssim(found: Tensor, truth: Tensor) -> Tensor:
    """(…,) structural similarity of images (…, 3, H, W) in [0, 1].

    Wang et al. 2004: Gaussian window of 11 px, σ 1.5 px, where it lies inside the image; mean over
    windows and colour channels. As ``skimage.metrics.structural_similarity`` with
    ``gaussian_weights=True, use_sample_covariance=False, data_range=1``, border left out.

    Raises:
        ValueError: the images are smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    height, width = found.shape[-2:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs {SSIM_WINDOW} px a side, images are {height}×{width} (h×w)")
    # variances are small differences: an autocast around it would round them away
    with torch.autocast(found.device.type, enabled=False):
        _, similarity = structural_similarity_index_measure(
            _batch(found), _batch(truth), sigma=SSIM_SIGMA, data_range=1.0, k1=SSIM_K1, k2=SSIM_K2,
            reduction="none", return_full_image=True,
        )  # fmt: skip
    # the library's own mean counts windows that reach over the border, filled by reflection
    border = SSIM_WINDOW // 2
    inside = similarity[..., border : height - border, border : width - border]
    mean: Tensor = inside.mean((-3, -2, -1)).view(found.shape[:-3])
    return mean


def _batch(images: Tensor) -> Tensor:
    """(N, 3, H, W) of (…, 3, H, W)."""
    return images.float().reshape(-1, *images.shape[-3:])


def quality(samples: Tensor, batch: Batch) -> Quality:
    """How near the target views of ``sample`` are to the batch's."""
    wanted = ~batch.reference
    found, truth = (images[wanted] / 2 + 0.5 for images in (samples, batch.images))
    distance = perceptual.lpips(found, truth)
    return Quality(
        float(psnr(found, truth).mean()),
        float(ssim(found, truth).mean()),
        None if distance is None else float(distance),
    )


def fixed_batches(config: TrainConfig) -> Iterator[Batch]:
    """``config.sample_groups`` groups, held out where the run has such, always the same, in batches
    of the run's size."""
    shards = config.shown_shards
    count = min(config.sample_groups, len(ShardReader(shards)))
    size = min(count, config.batch)
    found = batches(shards, plain_plan(config, None), batch=size, seed=0)
    return itertools.islice(found, count // size)


@torch.no_grad()
def sample_and_compare(
    config: TrainConfig,
    model: MultiViewModel,
    space: Latents,
    device: torch.device | str,
    path: Path,
) -> Quality:
    """Writes a picture of sampled views, of the same groups every time; how good all are.

    Guidance leads away from a prediction without cameras; a run that never withheld them has not
    learnt to make one, and is sampled without guidance.
    """
    guidance = GUIDANCE if config.camera_dropout else 1.0
    found = []
    for number, batch in enumerate(fixed_batches(config)):
        batch = batch.to(device)
        samples = sample(model, batch, space, guidance=guidance, seed=config.seed + number)
        found.append(quality(samples, batch))
        if number == 0:
            write_png(path, picture(samples, batch))
    lpips = [one.lpips for one in found if one.lpips is not None]
    return Quality(
        sum(one.psnr for one in found) / len(found),
        sum(one.ssim for one in found) / len(found),
        sum(lpips) / len(lpips) if lpips else None,
    )


SHOWN = 4
GAP, LABEL, SMALLEST = 6, 16, 128
_PAPER, _INK = 255, (40, 40, 44)


def picture(samples: Tensor, batch: Batch) -> Image:
    """A picture of a batch: for each sample its references and true targets, the sampled below.

    Small images are enlarged a whole number of times; of more than ``SHOWN`` samples the first.
    """
    blocks = []
    for b in range(min(SHOWN, len(batch.images))):
        count = int(batch.reference[b].sum())
        names = [f"reference {i + 1}" for i in range(count)]
        numbers = range(1, batch.views - count + 1)
        names += [f"truth {i}" for i in numbers]
        truth = row([rgb(image) for image in batch.images[b]], names)
        below = row([rgb(image) for image in samples[b, count:]], [f"sample {i}" for i in numbers])
        blank = np.full((below.shape[0], truth.shape[1] - below.shape[1], 3), _PAPER, np.uint8)
        blocks += [truth, np.concatenate([blank, below], 1)]
    return np.concatenate(blocks)


def rgb(image: Tensor) -> Image:
    """(H, W, 3) uint8 of (3, H, W) in [−1, 1]."""
    levels = (image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return np.ascontiguousarray(levels.round().to(torch.uint8).permute(1, 2, 0).numpy())


def row(images: Sequence[Image], labels: Sequence[str]) -> Image:
    """Images of one size side by side with a line of text above each."""
    scale = max(1, -(-SMALLEST // max(images[0].shape[:2])))
    tiles = []
    for image, label in zip(images, labels, strict=True):
        large = image.repeat(scale, 0).repeat(scale, 1)
        tile = np.full(
            (large.shape[0] + LABEL + GAP, large.shape[1] + GAP, 3), _PAPER, np.uint8
        )  # fmt: skip
        tile[LABEL : LABEL + large.shape[0], : large.shape[1]] = large
        cv2.putText(
            tile, label, (1, LABEL - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA
        )  # fmt: skip
        tiles.append(tile)
    return np.concatenate(tiles, 1)


def write_png(path: Path, image: Image) -> None:
    """Writes an RGB picture, making its folder; all of it or nothing."""
    write_bytes(path, png_bytes(image))


def png_bytes(image: Image) -> bytes:
    """An RGB picture as the bytes of a PNG file."""
    good, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    if not good:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as PNG")
    return data.tobytes()
