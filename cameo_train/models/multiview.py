"""The base of all multi-view models: takes latents of several views and predicts each of them.

Shapes: B, V views, C channels, h, w cells of the latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cameo_data.errors import UsageError
from cameo_train.models.conditioning import Conditioning, Views, condition
from cameo_train.models.joint import ViewShape
from cameo_train.models.latents import Latents, latent_space
from cameo_train.models.model_preset import Preset
from cameo_train.taps import TapAdapter, TokenLayout, adapter_of, resolve

RAYS_AND_MASK = 7


class MultiViewModel(nn.Module):
    """A network whose self-attention spans the views of a group.

    A subclass builds its network in ``__init__`` and runs it in ``predict``; ``load`` and
    ``checkpointed`` are for networks with pretrained weights and with blocks worth recomputing.
    The attribute ``heads`` of an attention module is its number of heads.

    Attributes:
        preset: the preset that the model was built from.
        view_shape: the views' number and size in the current forward pass; taps read it.
        tap_adapter: how taps find the network's attention layers and their tokens; None if one of
            the known adapters accepts the model (diffusers' UNets and transformers).
    """

    tap_adapter: TapAdapter | None = None

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.view_shape = ViewShape()
        self.latent_channels, self.factor = latent_space(preset.latents, preset.vae_space)
        octaves = preset.prior_octaves
        self.prior_channels = 0 if octaves is None else self.latent_channels + 1 + 6 * octaves

    @property
    def in_channels(self) -> int:
        """Number of a view's input channels."""
        return self.latent_channels + RAYS_AND_MASK + self.prior_channels

    def forward(self, noisy: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """(B, V, C, h, w) prediction for every view; ignore those of the references.

        Args:
            noisy: (B, V, C, h, w) latents, clean in the references.
            timestep: (B,), one per group, or (B, V).
            conditioning: conditioning of the same views; see ``condition``.
        """
        batch, views = noisy.shape[:2]
        self.view_shape.views = views
        self.view_shape.hw = (noisy.shape[-2], noisy.shape[-1])
        x = conditioning.inputs(noisy).flatten(0, 1)
        if timestep.ndim == 1:
            timestep = timestep[:, None].expand(batch, views)
        out = self.predict(x, timestep.flatten())[:, : self.latent_channels]
        return out.reshape(noisy.shape)

    def predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        """(B·V, ≥ C, h, w) output of the network for inputs (B·V, in_channels, h, w)."""
        raise NotImplementedError

    def load(self, weights: str | Path) -> None:
        """Loads a pretrained network; parts that it lacks start without effect.

        Raises:
            UsageError: the weights are missing or belong to another architecture, or the model
                takes none.
        """
        raise UsageError(
            f"model {self.preset.name!r} takes no pretrained weights; train it without --weights"
        )

    def checkpointed(self) -> list[nn.Module]:
        """Modules whose activations are computed again in the backward pass.

        Raises:
            UsageError: the model has none.
        """
        raise UsageError(
            f"model {self.preset.name!r} has no blocks to recompute; train it without "
            "--gradient-checkpointing"
        )

    def latents_shape(self, images_shape: Sequence[int]) -> tuple[int, ...]:
        """(B, V, C, h, w) of images (B, V, 3, H, W)."""
        batch, views, _, height, width = images_shape
        return (
            batch, views, self.latent_channels, height // self.factor, width // self.factor
        )  # fmt: skip

    def condition(self, batch: Views, latents: Latents) -> Conditioning:
        """This model's conditioning for a batch."""
        return condition(batch, latents, self.preset.prior_octaves)

    def enable_gradient_checkpointing(self) -> None:
        """Stores block inputs only; queries and keys of a tap keep their gradients."""
        for module in self.checkpointed():
            if "forward" not in module.__dict__:
                run: Callable[..., Any] = partial(checkpoint, module.forward, use_reentrant=False)
                module.forward = run

    def layers(self) -> list[str]:
        """Paths of the self-attention layers in execution order."""
        return list(adapter_of(self).layers(self))

    def heads(self, layer: int | str) -> int:
        """Number of attention heads of a layer."""
        path = resolve(self.layers(), layer)
        return int(self.get_submodule(path).heads)  # type: ignore[arg-type]  # see the class

    def token_grid(self, layer: int | str, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of one view's tokens in a layer, for images of the given size."""
        return self.token_layout(layer, 1, image_hw).grid_hw

    def token_layout(self, layer: int | str, views: int, image_hw: tuple[int, int]) -> TokenLayout:
        """Layout of a layer's tokens in the views, for images of the given size."""
        hw = (image_hw[0] // self.factor, image_hw[1] // self.factor)
        adapter = adapter_of(self)
        return adapter.layout(self, resolve(adapter.layers(self), layer), views, hw)

    def example(
        self, batch: int = 1, views: int = 2, hw: tuple[int, int] = (16, 16), seed: int = 0
    ) -> tuple[Tensor, Tensor, Conditioning]:
        """Random inputs of ``forward``, sized in cells; the first view is the reference."""
        rng = torch.Generator().manual_seed(seed)
        device = next(self.parameters()).device

        def normal(channels: int) -> Tensor:
            return torch.randn(batch, views, channels, *hw, generator=rng).to(device)

        reference = torch.zeros(batch, views, dtype=torch.bool, device=device)
        reference[:, 0] = views > 1
        given = Conditioning(
            reference,
            normal(6),
            normal(self.prior_channels) if self.prior_channels else None,
            torch.zeros(batch, dtype=torch.bool, device=device),
        )
        step = torch.randint(0, 1000, (batch,), generator=rng).to(device)
        return normal(self.latent_channels), step, given
