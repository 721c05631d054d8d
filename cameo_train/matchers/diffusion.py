"""Intermediate features of Stable Diffusion's UNet on a lightly noised image.

After DIFT (Tang et al. 2023) as Probe3D evaluates it (github.com/mbanani/probe3d, commit a1f1464,
configs/backbone/dift.yaml): the output of up block 1 at timestep 1, with the embedding of the empty
prompt. DIFT itself takes timestep 261 and the mean over 8 draws of the noise
(github.com/Tsingularity/dift, README).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cameo_data.errors import UsageError, needs
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.images import WholeCells, check_images
from cameo_train.matchers.loading import no_weights, pretrained, unusable


class _Reached(Exception):
    """Raised once the block has its output; nothing after it is needed."""


class DiffusionFeatures:
    """The output of one up block of a UNet.

    The noise is the same for every image, so that results depend neither on the batch nor on the
    device. 512×512 images give 1280 channels on 32×32 cells at block 1 of Stable Diffusion.

    Args:
        unet, vae, scheduler: diffusers' UNet2DConditionModel, AutoencoderKL, DDIMScheduler.
        prompt: (1, tokens, channels) embedding of the empty prompt.
        timestep: timestep of the noise, in [0, training timesteps).
        block: up block, counted from 0, the coarsest.
        draws: number of noise draws to average.
        seed: seed of the first draw.
    """

    def __init__(
        self,
        unet: Any,
        vae: Any,
        scheduler: Any,
        prompt: Tensor,
        name: str,
        *,
        timestep: int = 1,
        block: int = 1,
        draws: int = 1,
        seed: int = 0,
    ) -> None:
        self.unet, self.vae, self.scheduler, self.prompt = unet, vae, scheduler, prompt
        self.name, self.timestep, self.block = name, timestep, block
        self.draws, self.seed = draws, seed
        blocks, steps = len(unet.up_blocks), int(scheduler.config.num_train_timesteps)
        if not 0 <= block < blocks:
            raise UsageError(f"{name}: block is {block}; the UNet has up blocks 0 to {blocks - 1}")
        if not 0 <= timestep < steps:
            raise UsageError(f"{name}: t is {timestep}; expected 0 to {steps - 1}")
        # A cell of the latents is 8 pixels, and the UNet halves the latents 3 times.
        halvings = len(vae.config.block_out_channels) - 1 + len(unet.config.block_out_channels) - 1
        self.whole = WholeCells(name, 2**halvings)

    @torch.no_grad()
    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, h, w) features of the block's cells."""
        check_images(images, self.name)
        images = self.whole(images.float())
        # One image at a time, since the VAE takes 2 GB for a 512×512 image.
        return torch.cat([self._of_one(image) for image in torch.split(images, 1)])

    def _of_one(self, image: Tensor) -> Tensor:
        clean = self.vae.encode(image).latent_dist.mode() * self.vae.config.scaling_factor
        timestep = torch.tensor([self.timestep], device=clean.device)
        found = []
        for draw in range(self.draws):
            generator = torch.Generator().manual_seed(self.seed + draw)
            noise = torch.randn(clean.shape, generator=generator).to(clean)
            noisy = self.scheduler.add_noise(clean, noise, timestep)
            found.append(self._block_output(noisy, timestep))
        return torch.stack(found).mean(0)

    def _block_output(self, noisy: Tensor, timestep: Tensor) -> Tensor:
        found: list[Tensor] = []

        def keep(module: Any, args: Any, output: Tensor) -> None:
            found.append(output)
            raise _Reached

        handle = self.unet.up_blocks[self.block].register_forward_hook(keep)
        try:
            self.unet(noisy, timestep, encoder_hidden_states=self.prompt)
        except _Reached:
            pass
        finally:
            handle.remove()
        return found[0]


def load(argument: str | None, device: torch.device) -> DiffusionFeatures:
    """``sd:WEIGHTS[@t=1][@block=1][@draws=1][@seed=0]``; WEIGHTS is a pipeline's folder or hub id.

    Raises:
        MissingWeights: the weights, or part of them, are missing.
        UsageError: an unknown option, or a block or timestep that the model does not have.
    """
    read = Argument("sd", argument)
    options = {
        "timestep": read.option("t", 1, low=0),
        "block": read.option("block", 1, low=0),
        "draws": read.option("draws", 1, low=1),
        "seed": read.option("seed", 0, low=0),
    }
    read.close()
    if read.main is None:
        raise no_weights("sd", "a folder with Stable Diffusion 2.1 (unet/, vae/, scheduler/, "
                         "text_encoder/, tokenizer/)")  # fmt: skip
    weights = read.main
    try:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    except ImportError:
        raise MissingWeights(needs("sd", "diffusers")) from None
    try:
        scheduler = DDIMScheduler.from_pretrained(weights, subfolder="scheduler")
    except Exception as error:  # OSError, ValueError, the hub's own kinds
        raise unusable("sd", weights, error, "scheduler") from None
    unet = _diffusers(UNet2DConditionModel, weights, "unet").to(device)
    vae = _diffusers(AutoencoderKL, weights, "vae").to(device)
    prompt = empty_prompt(weights).to(device)
    wanted = int(unet.config.cross_attention_dim)
    if prompt.shape[-1] != wanted:
        raise MissingWeights(
            f"sd: the text encoder at {weights} has {prompt.shape[-1]} channels, the UNet expects "
            f"{wanted}; they belong to different models"
        )
    return DiffusionFeatures(unet, vae, scheduler, prompt, read.name, **options)


def empty_prompt(weights: str) -> Tensor:
    """(1, tokens, channels) embedding of the empty prompt by the pipeline's text encoder.

    Raises:
        MissingWeights: the weights are missing.
    """
    from transformers import CLIPTextModel, CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(weights, subfolder="tokenizer")
    except Exception as error:  # OSError, ValueError, the hub's own kinds
        raise unusable("sd", weights, error, "tokenizer") from None
    encoder = pretrained(CLIPTextModel, weights, "sd", "text_encoder")
    # If its files are missing, transformers returns an empty tokenizer without an error.
    if len(tokenizer) != encoder.config.vocab_size:
        raise MissingWeights(
            f"sd: no weights at {weights}/tokenizer ({len(tokenizer)} words, the text encoder "
            f"knows {encoder.config.vocab_size}); fetch vocab.json and merges.txt"
        )
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer("", padding="max_length", max_length=length, return_tensors="pt")
    with torch.no_grad():
        embedding: Tensor = encoder(tokens.input_ids)[0]
    return embedding


def _diffusers(cls: Any, weights: str, subfolder: str) -> Any:
    try:
        model, info = cls.from_pretrained(
            weights,
            subfolder=subfolder,
            use_safetensors=True,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except Exception as error:  # OSError, ValueError, safetensors' and the hub's own kinds
        raise unusable("sd", weights, error, subfolder) from None
    if info["missing_keys"]:
        raise MissingWeights(
            f"sd: {weights}/{subfolder} lacks {len(info['missing_keys'])} weights of "
            f"{cls.__name__}, first {min(info['missing_keys'])}; give weights of the right model"
        )
    return model.eval().requires_grad_(False)
