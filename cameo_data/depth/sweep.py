"""How well views agree on hypotheses of depth: the kernel of ``planesweep``, in PyTorch.

A hypothesis is a field of inverse depth w over the reference view: a constant one is a
fronto-parallel plane, any other a surface, which the compared windows then follow. A pixel
(x, y, 1) at inverse depth w is in the other view at the homogeneous pixel A (x, y, 1) + w b with
A = K₁ R K₀⁻¹ and b = K₁ t, so a step in w moves it along its epipolar line.

Agreement is zero-mean normalised cross-correlation of windows, with the variance of sensor noise
added to that of the windows: blank windows then correlate with nothing, instead of with noise.
The slow twin of the kernel is in ``tests/depth_reference.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cameo_data.types import Camera, FloatArray

if TYPE_CHECKING:
    import torch

# Grey values are in [0, 1]; 8-bit cameras have a standard deviation of one to two steps.
NOISE_VARIANCE = (1.5 / 255) ** 2
# Cost of a pixel that lands outside a view or behind it: as bad as no correlation at all.
NO_VIEW_COST = 1.0
# Hypotheses that are warped together: more are no faster, and take more memory.
CHUNK = 8


@dataclass(frozen=True, eq=False)
class Reference:
    """The view whose depth is sought, ready to be compared.

    Attributes:
        grey: (H, W) float32 in [0, 1], minus 0.5.
        mean, variance: (H, W) of the windows.
        radius: windows are squares of 2·radius + 1 pixels, cut off at the border.
        count: (H, W) pixels in the window.
        noise: variance of the grey values' noise.
    """

    grey: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    radius: int
    count: torch.Tensor
    noise: float


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A view to compare with.

    Attributes:
        grey: (h, w) float32 in [0, 1], minus 0.5.
        A: (3, H, W) float32, where each reference pixel is at w = 0.
        b: three numbers, how far it moves per unit of w.
    """

    grey: torch.Tensor
    A: torch.Tensor
    b: tuple[float, float, float]


def reference(grey: torch.Tensor, radius: int, factor: int = 1) -> Reference:
    """A view with its windows' statistics; ``factor`` says how much it was reduced.

    A pixel of a reduced image is a mean of factor² pixels, whose noise is that much smaller.
    """
    import torch

    count = box_sum(torch.ones_like(grey)[None], radius)[0]
    sums = box_sum(torch.stack([grey, grey * grey]), radius)
    mean = sums[0] / count
    variance = (sums[1] / count - mean * mean).clamp_(min=0)
    return Reference(grey, mean, variance, radius, count, NOISE_VARIANCE / factor**2)


def neighbour(camera0: Camera, camera1: Camera, grey1: torch.Tensor) -> Neighbour:
    """View 1 as compared with pixels of view 0."""
    import torch

    A, b = epipolar(camera0, camera1)
    height, width = camera0.hw
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    moved = np.einsum("ij,jhw->ihw", A, np.stack([x, y, np.ones_like(x)]))
    A_map = torch.from_numpy(moved.astype(np.float32)).to(grey1.device)
    return Neighbour(grey1, A_map, (float(b[0]), float(b[1]), float(b[2])))


def epipolar(camera0: Camera, camera1: Camera) -> tuple[FloatArray, FloatArray]:
    """A (3, 3) and b (3,): pixel (x, y, 1) of view 0 at inverse depth w is at A (x, y, 1) + w b."""
    cam1_from_cam0 = camera1.cam_from_world @ camera0.world_from_cam
    A = camera1.K @ cam1_from_cam0[:3, :3] @ np.linalg.inv(camera0.K)
    b: FloatArray = camera1.K @ cam1_from_cam0[:3, 3]
    return A, b


def box_sum(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Sums over the windows of (..., H, W); beyond the border there is nothing."""
    import torch.nn.functional as functional

    height, width = values.shape[-2:]
    padded = functional.pad(values, (radius, radius, radius, radius))
    rows = padded[..., :, 0:width].clone()
    for step in range(1, 2 * radius + 1):
        rows += padded[..., :, step : step + width]
    sums = rows[..., 0:height, :].clone()
    for step in range(1, 2 * radius + 1):
        sums += rows[..., step : step + height, :]
    return sums


def pair_cost(ref: Reference, other: Neighbour, w: torch.Tensor) -> torch.Tensor:
    """(P, H, W) cost 1 − ZNCC in [0, 1] of P fields of inverse depth; 1 where view 1 sees nothing.

    Anti-correlated windows cost 1 like uncorrelated ones.
    """
    import torch
    import torch.nn.functional as functional

    planes, height, width = w.shape
    h1, w1 = other.grey.shape
    depth = other.A[2] + w * other.b[2]
    ahead = depth > 0
    scale = torch.where(ahead, 1.0 / depth, 0.0)
    grid = torch.empty(planes, height, width, 2, dtype=w.dtype, device=w.device)
    x = grid[..., 0]
    y = grid[..., 1]
    torch.mul(torch.addcmul(other.A[0], w, torch.full_like(w[:1], other.b[0])), scale, out=x)
    torch.mul(torch.addcmul(other.A[1], w, torch.full_like(w[:1], other.b[1])), scale, out=y)
    x.mul_(2.0 / w1).sub_(1.0)
    y.mul_(2.0 / h1).sub_(1.0)
    inside = ahead & (x > -1) & (x < 1) & (y > -1) & (y < 1)
    warped = functional.grid_sample(
        other.grey[None, None],
        grid.reshape(1, planes * height, width, 2),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    ).reshape(planes, height, width)
    stacked = torch.stack([warped, warped * warped, warped * ref.grey])
    mean1, square1, product = box_sum(stacked, ref.radius).div_(ref.count)
    variance1 = (square1 - mean1 * mean1).clamp_(min=0)
    covariance = product - mean1 * ref.mean
    norm = (variance1 + ref.noise).mul_(ref.variance + ref.noise).rsqrt_()
    cost = (1.0 - covariance * norm).clamp_(0.0, 1.0)
    return torch.where(inside, cost, NO_VIEW_COST)


def cost(ref: Reference, others: Sequence[Neighbour], w: torch.Tensor) -> torch.Tensor:
    """(P, H, W) cost of P fields of inverse depth: the mean of the two views that agree best.

    A point is hidden from some of the views; where two others confirm it, that is enough.
    """
    import torch

    out = torch.empty_like(w)
    for start in range(0, len(w), CHUNK):
        part = w[start : start + CHUNK]
        best = pair_cost(ref, others[0], part)
        second: Any = None
        for other in others[1:]:
            found = pair_cost(ref, other, part)
            worse = torch.maximum(best, found)
            second = worse if second is None else torch.minimum(second, worse)
            best = torch.minimum(best, found)
        out[start : start + CHUNK] = best if second is None else (best + second) * 0.5
    return out
