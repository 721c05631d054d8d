"""A model's inputs other than the noisy latents, and how they are withheld in training.

Shapes: B, V views, C channels, h, w cells of the latents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from cameo_data.types import Camera
from cameo_train.models import priors
from cameo_train.models.latents import Latents
from cameo_train.models.rays import ray_maps

Null = Literal["camera", "reference", "both"]


class Views(Protocol):
    """The fields of ``batches.Batch`` that conditioning reads."""

    @property
    def images(self) -> Tensor: ...
    @property
    def K(self) -> Tensor: ...
    @property
    def cam_from_world(self) -> Tensor: ...
    @property
    def reference(self) -> Tensor: ...
    @property
    def depth(self) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Cameras, references and 3-D priors of a batch.

    Attributes:
        reference: (B, V) bool, True for views whose clean latents are given.
        rays: (B, V, 6, h, w), see ``rays``; zeros where the cameras are withheld.
        priors: (B, V, P, h, w) or None: latents of the references' colours as each view sees them,
            known share, encoded canonical coordinates; zeros where withheld.
        blank: (B,) bool, True where the references' latents are withheld.
    """

    reference: Tensor
    rays: Tensor
    priors: Tensor | None
    blank: Tensor

    def inputs(self, noisy: Tensor) -> Tensor:
        """(B, V, C + 7 + P, h, w) network input: latents, reference mask, rays, priors."""
        hidden = (self.reference & self.blank[:, None])[..., None, None, None]
        noisy = torch.where(hidden, torch.zeros((), device=noisy.device, dtype=noisy.dtype), noisy)
        mask = self.reference[..., None, None, None].expand(-1, -1, 1, *noisy.shape[-2:])
        parts = [noisy, mask, self.rays]
        if self.priors is not None:
            parts.append(self.priors)
        return torch.cat([part.to(noisy.dtype) for part in parts], 2)

    def without(self, camera: Tensor, reference: Tensor) -> Conditioning:
        """The same, withholding cameras or references from some of the groups; (B,) bool each.

        The priors contain both, so they are withheld with either. The mask stays: it tells the
        model which views to predict.
        """
        either = (camera | reference)[:, None, None, None, None]
        given = ~camera[:, None, None, None, None]
        return replace(
            self,
            rays=self.rays * given,
            priors=None if self.priors is None else self.priors * ~either,
            blank=self.blank | reference,
        )

    def dropout(
        self, camera: float, reference: float, generator: torch.Generator | None = None
    ) -> Conditioning:
        """The same, each withheld from a random share of the groups, drawn on the CPU."""
        draws = torch.rand(2, len(self.blank), generator=generator).to(self.rays.device)
        return self.without(draws[0] < camera, draws[1] < reference)

    def null(self, kind: Null = "camera") -> Conditioning:
        """The unconditional input of guidance: no cameras, as in the official code."""
        everywhere = torch.ones_like(self.blank)
        nowhere = torch.zeros_like(self.blank)
        return self.without(
            nowhere if kind == "reference" else everywhere,
            nowhere if kind == "camera" else everywhere,
        )


def condition(batch: Views, latents: Latents, octaves: int | None) -> Conditioning:
    """A batch's conditioning.

    Args:
        octaves: octaves that encode the coordinates in the 3-D priors; None for no priors.
    """
    image_hw = (batch.images.shape[-2], batch.images.shape[-1])
    latent_hw = (image_hw[0] // latents.factor, image_hw[1] // latents.factor)
    rays = ray_maps(
        batch.K, batch.cam_from_world, batch.reference, image_hw=image_hw, latent_hw=latent_hw
    )
    blank = torch.zeros(len(rays), dtype=torch.bool, device=rays.device)
    prior = None if octaves is None else _priors(batch, latents, latent_hw, octaves)
    return Conditioning(batch.reference, rays, prior, blank)


def _priors(batch: Views, latents: Latents, latent_hw: tuple[int, int], octaves: int) -> Tensor:
    images, depth = batch.images.float().cpu().numpy(), batch.depth.float().cpu().numpy()
    K, poses = batch.K.double().cpu().numpy(), batch.cam_from_world.double().cpu().numpy()
    reference = batch.reference.cpu().numpy()
    colors, known, points = [], [], []
    for b in range(len(images)):
        views = [Camera(k, depth.shape[-2:], pose) for k, pose in zip(K[b], poses[b], strict=True)]
        warped = priors.warp_references(images[b], depth[b], views, reference[b])
        colors.append(warped.colors)
        known.append(warped.known[:, None])
        points.append(priors.canonical(warped, depth[b], views, int(np.argmax(reference[b]))))
    device = batch.images.device
    share = torch.from_numpy(np.stack(known)).to(device, torch.float32)
    place = torch.from_numpy(np.stack(points)).to(device)
    seen = latents.encode(torch.from_numpy(np.stack(colors)).to(device))
    # A cell takes the coordinates at its centre, since an average of two surfaces is on neither.
    f = latents.factor
    centre = encode_at(place, share, f, octaves)
    share = adaptive_avg_pool2d(share[:, :, 0], latent_hw)[:, :, None]
    return torch.cat([seen, share, centre], 2)


def encode_at(points: Tensor, known: Tensor, factor: int, octaves: int) -> Tensor:
    """Encoded coordinates at the cells' middle pixels, zeros where they are unknown."""
    half = factor // 2
    points, known = points[..., half::factor, half::factor], known[..., half::factor, half::factor]
    return priors.encode_coordinates(points, octaves) * known
