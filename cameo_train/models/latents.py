"""The space in which a model works: pixels, patches of pixels, or a VAE's latents.

Shapes: B, V views, H, W pixels, h, w cells, C channels of a cell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from cameo_data.errors import UsageError

# Images per call of the VAE: encoding one 512×512 image in float32 takes about 2 GB.
VAE_CHUNK = 8


class Latents(Protocol):
    """Conversion of images to latents and back.

    Attributes:
        channels: C.
        factor: pixels per cell, in each direction.
    """

    channels: int
    factor: int

    def encode(self, images: Tensor) -> Tensor:
        """(B, V, C, h, w) of images (B, V, 3, H, W) in [−1, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """(B, V, 3, H, W), in [−1, 1] up to the model's error."""
        ...


class PatchLatents:
    """Each cell's channels are its P×P pixels: lossless, no weights; P = 1 leaves the pixels."""

    def __init__(self, size: int) -> None:
        self.factor, self.channels = size, 3 * size * size

    def encode(self, images: Tensor) -> Tensor:
        check_divisible((images.shape[-2], images.shape[-1]), self.factor)
        return torch.nn.functional.pixel_unshuffle(images, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.pixel_shuffle(latents, self.factor)


class VaeLatents:
    """Latents of a diffusers ``AutoencoderKL``, frozen; the mode of each distribution."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.channels = int(vae.config.latent_channels)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        check_divisible((images.shape[-2], images.shape[-1]), self.factor)
        flat = torch.split(images.flatten(0, 1).to(self.vae.dtype), VAE_CHUNK)
        codes = torch.cat([self.vae.encode(chunk).latent_dist.mode() for chunk in flat])
        codes = (codes - self._shift) * float(self.vae.config.scaling_factor)
        return codes.reshape(*images.shape[:2], *codes.shape[1:]).to(images.dtype)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        codes = latents.flatten(0, 1).to(self.vae.dtype)
        codes = codes / self.vae.config.scaling_factor + self._shift
        flat = torch.split(codes, VAE_CHUNK)
        images = torch.cat([self.vae.decode(chunk).sample for chunk in flat])
        return images.reshape(*latents.shape[:2], *images.shape[1:]).to(latents.dtype)

    @property
    def _shift(self) -> float:
        return float(getattr(self.vae.config, "shift_factor", None) or 0.0)


def check_divisible(hw: tuple[int, int], factor: int) -> None:
    """Raises UsageError if the image size is not a multiple of the cell size."""
    if hw[0] % factor or hw[1] % factor:
        raise UsageError(
            f"images are {hw[0]}×{hw[1]} (h×w); this model needs multiples of {factor}: "
            "crop, or build shards of another size"
        )


def latent_space(kind: str, vae_space: tuple[int, int] = (4, 8)) -> tuple[int, int]:
    """Channels and pixels per cell of a kind of latents, without loading it.

    Args:
        vae_space: the result for a VAE (``Preset.vae_space``).
    """
    if kind == "vae":
        return vae_space
    size = _patch(kind)
    return 3 * size * size, size


def build_latents(kind: str, weights: str | Path | None = None) -> Latents:
    """Latents of a kind (``Preset.latents``); a VAE is loaded from the model's weights.

    Raises:
        UsageError: an unknown kind, or a VAE without weights.
    """
    if kind != "vae":
        return PatchLatents(_patch(kind))
    if weights is None:
        raise UsageError(
            "this model works in the latents of a VAE; give the folder or hub name of its weights, "
            "or build it with latents='patch:8' to train without"
        )
    from diffusers import AutoencoderKL

    from cameo_train.models.loading import pretrained

    return VaeLatents(pretrained(AutoencoderKL, weights, "vae"))


def _patch(kind: str) -> int:
    size = "1" if kind == "pixel" else kind.removeprefix("patch:")
    if not size.isdecimal() or int(size) < 1:
        raise UsageError(f"latents are {kind!r}; expected 'pixel', 'patch:P' or 'vae'")
    return int(size)
