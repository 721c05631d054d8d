"""A model that a run can name: its architecture, size, latents, noise and supervised layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Text = Literal["removed", "null"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model without its weights; an architecture adds the fields of its network in a subclass.

    Attributes:
        architecture: name of the ``Architecture`` that builds it.
        latents: ``pixel``, ``patch:P`` (P×P pixels become the channels of one cell; lossless) or
            ``vae``.
        image_hw: image size that the model is meant for; other sizes work.
        layer: attention layer that is supervised if the run does not name one.
        vae_space: channels, and pixels per cell, of the VAE. The default is Stable Diffusion's,
            which HunyuanDiT shares.
        prior_octaves: octaves of the encoded canonical coordinates; None for no 3-D priors.
        snr_shift, zero_terminal_snr: parameters of the noise schedule, see ``schedule``.
    """

    name: str
    architecture: str
    latents: str
    image_hw: tuple[int, int]
    layer: str
    vae_space: tuple[int, int] = (4, 8)
    prior_octaves: int | None = None
    snr_shift: float = 4.0
    zero_terminal_snr: bool = True
