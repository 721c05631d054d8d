"""Noise schedule: Stable Diffusion's, shifted towards more noise and ending in pure noise.

Several views show the same scene, so noise of the usual strength leaves too much to see. The
official configuration lowers each step's signal-to-noise ratio (``snr_rescale: 4``) and rescales to
zero terminal SNR (Lin et al. 2024, algorithm 1); the model predicts v.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from cameo_train.models.model_preset import Preset

STEPS = 1000
# scheduler/scheduler_config.json of stabilityai/stable-diffusion-2-1
BETA_START, BETA_END = 0.00085, 0.012


def shifted_betas(shift: float) -> Tensor:
    """(STEPS,) float32: the SNR of each step's own noise, (1 − β) / β, divided by √shift."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, STEPS, dtype=torch.float32) ** 2
    snr = (1 - betas) / betas / shift**0.5
    shifted: Tensor = 1 / (snr + 1)
    return shifted


def _config(preset: Preset) -> dict[str, Any]:
    return {
        "num_train_timesteps": STEPS,
        "trained_betas": shifted_betas(preset.snr_shift).tolist(),
        "rescale_betas_zero_snr": preset.zero_terminal_snr,
        "prediction_type": "v_prediction",
        "clip_sample": False,
        # Sampling must include the last step: it is the only one of pure noise (Lin et al., 3.3).
        "timestep_spacing": "trailing",
    }


def training_noise(preset: Preset) -> DDPMScheduler:
    """Scheduler that adds noise; its ``get_velocity`` gives the target."""
    return DDPMScheduler(**_config(preset))


def ddim(preset: Preset) -> DDIMScheduler:
    """Scheduler that samples with the same noise schedule."""
    return DDIMScheduler(**_config(preset))


def noised(
    scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timestep: Tensor, reference: Tensor
) -> tuple[Tensor, Tensor]:
    """Noisy latents, clean in the references, and the target of the prediction.

    Args:
        latents, noise: (B, V, C, h, w); timestep: (B,), one per group; reference: (B, V) bool.
    """
    noisy = scheduler.add_noise(latents, noise, timestep)
    noisy = torch.where(reference[..., None, None, None], latents, noisy)
    return noisy, scheduler.get_velocity(latents, noise, timestep)


def target_loss(prediction: Tensor, target: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error in float32 over the target views."""
    error = (prediction.float() - target.float()).square().mean((2, 3, 4))
    wanted = ~reference
    return (error * wanted).sum() / wanted.sum()
