"""Pictures of a plane that are exact at any place, and so in any view of it."""

from __future__ import annotations

import torch
from torch import Tensor

WAVES = 80


def picture(hw: tuple[int, int], plane_from_image: Tensor | None = None, seed: int = 0) -> Tensor:
    """(3, H, W) in [−1, 1]: a texture at the places of the pixels' centres on the plane.

    Args:
        plane_from_image: (3, 3) homography from pixels to the plane; identity by default.
    """
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*[torch.arange(n).double() + 0.5 for n in hw], indexing="ij")
    at = torch.stack([x, y, torch.ones_like(x)], -1)
    if plane_from_image is not None:
        at = at @ plane_from_image.double().T
    uv = at[..., :2] / at[..., 2:]
    angle = torch.rand(WAVES, generator=generator).double() * 2 * torch.pi
    length = 6 * 10 ** torch.rand(WAVES, generator=generator).double()  # pixels, 6 to 60
    direction = torch.stack([angle.cos(), angle.sin()], 1) / length[:, None] * 2 * torch.pi
    phase = torch.rand(WAVES, 3, generator=generator).double() * 2 * torch.pi
    value = (uv @ direction.T)[..., None] + phase
    mixed = (value.sin() * length.sqrt()[:, None]).sum(-2) / length.sum().sqrt()
    return torch.tanh(3 * mixed).movedim(-1, 0).float()


def moved(xy: Tensor, to_from_image: Tensor) -> Tensor:
    """(N, 2) points under a homography."""
    at = torch.cat([xy.double(), torch.ones(len(xy), 1).double()], 1) @ to_from_image.double().T
    return at[:, :2] / at[:, 2:]
