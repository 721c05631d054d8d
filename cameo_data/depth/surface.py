"""From costs of hypotheses to one surface per view: the stages of ``planesweep``, in PyTorch.

First a sweep of planes at reduced size, made smooth by semi-global matching. Then, at each finer
size, hypotheses a little nearer and farther than the surface found so far: the compared windows
follow that surface, so slanted walls and floors match as well as those that face the camera.
Pixels may take over the surface of their neighbours (PatchMatch, Barnes et al. 2009; Bleyer et al.
2011), which pulls outlines back to where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cameo_data.depth import semi_global, sweep
from cameo_data.depth.sweep import Neighbour, Reference

if TYPE_CHECKING:
    import torch

# A pixel takes its neighbour's surface only where that agrees better by this much.
TAKE_OVER = 0.03
# Agreement of a view on this surface, relative to the best of the views, at which its word counts
# 1/e as much: views that do not see the point must not vote on where it is.
VIEW_SPREAD = 0.1
# Above this cost a view does not see the point at all.
UNSEEN = 0.9
# Step and jump costs of semi-global matching around a surface: its slant is in the hypotheses
# already, so there is less to forgive.
STEP_COST, JUMP_COST = 0.02, 0.1


def first_surface(
    ref: Reference, others: Sequence[Neighbour], w: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inverse depth (H, W) out of D evenly spaced planes ``w`` (D,), and its cost.

    Each pixel takes the best of the windows that contain it and lie one pixel off: a window across
    an outline sees two surfaces.
    """
    import torch
    import torch.nn.functional as functional

    planes = w[:, None, None].expand(-1, *ref.grey.shape)
    costs = sweep.cost(ref, others, planes)
    costs = -functional.max_pool2d(-costs[:, None], 3, 1, 1)[:, 0]
    volume = costs.permute(1, 2, 0).contiguous()
    del costs
    sums = semi_global.aggregate(volume, ref.grey)
    index = sums.argmin(2)
    at = index + vertex(sums, index)
    found = w[0] + (w[1] - w[0]) * at
    return torch.as_tensor(found), volume.gather(2, index[..., None])[..., 0]


def refine(
    ref: Reference,
    others: Sequence[Neighbour],
    w: torch.Tensor,
    step: float,
    offsets: Sequence[float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The surface moved by up to ``offsets`` (evenly spaced) times ``step``, and its cost.

    Here every view that sees the surface has its say, not only the two that agree best: those
    tend to be the nearest ones, which know least of depth.
    """
    import torch

    weights = view_weights(ref, others, w)
    fields = torch.stack([w + offset * step for offset in offsets])
    costs = torch.zeros_like(fields)
    for other, weight in zip(others, weights, strict=True):
        costs.addcmul_(sweep.pair_cost(ref, other, fields), weight)
    volume = costs.permute(1, 2, 0).contiguous()
    sums = semi_global.aggregate(volume, ref.grey, STEP_COST, JUMP_COST)
    index = sums.argmin(2)
    spacing = offsets[1] - offsets[0]
    moved = w + step * (offsets[0] + spacing * (index + vertex(sums, index)))
    return moved, volume.gather(2, index[..., None])[..., 0]


def view_weights(
    ref: Reference, others: Sequence[Neighbour], w: torch.Tensor
) -> list[torch.Tensor]:
    """(H, W) weights of the views, which sum to one: how well each agrees on this surface."""
    import torch

    costs = torch.stack([sweep.pair_cost(ref, other, w[None])[0] for other in others])
    size = 2 * ref.radius + 1
    costs = sweep.box_sum(costs, ref.radius).div_(ref.count) if size > 1 else costs
    best = costs.min(0).values
    weights = torch.exp((best - costs) / VIEW_SPREAD) * (costs < UNSEEN)
    weights += costs == best  # at least the best view counts
    return list(weights / weights.sum(0))


def take_over(
    ref: Reference, others: Sequence[Neighbour], w: torch.Tensor, distance: int
) -> torch.Tensor:
    """The surface, or that of one of the eight pixels ``distance`` away where it agrees better."""
    import torch

    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    shifts.sort(key=lambda shift: shift != (0, 0))
    fields = torch.stack([_moved(w, y * distance, x * distance) for y, x in shifts])
    costs = sweep.cost(ref, others, fields)
    costs[1:] += TAKE_OVER
    return fields.gather(0, costs.argmin(0)[None])[0]


def _moved(values: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Values of the pixels at an offset; beyond the border those of the border."""
    import torch

    height, width = values.shape
    y = (torch.arange(height, device=values.device) + rows).clamp_(0, height - 1)
    x = (torch.arange(width, device=values.device) + columns).clamp_(0, width - 1)
    return values[y][:, x]


def vertex(costs: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Offset in [−½, ½] of the parabola's vertex through a minimum and its two neighbours.

    Args:
        costs: (H, W, D).
        index: (H, W) places of the minima; 0 is returned at both ends, where a side is missing.
    """
    import torch

    inner = index.clamp(1, costs.shape[2] - 2)[..., None]
    before, at, after = (costs.gather(2, inner + step)[..., 0] for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    curved = (curvature > 0) & (index == inner[..., 0])
    offset = torch.where(curved, 0.5 * (before - after) / torch.where(curved, curvature, 1.0), 0.0)
    return offset.clamp_(-0.5, 0.5)


def smooth(w: torch.Tensor, spread: float, radius: int = 3) -> torch.Tensor:
    """Mean over nearby pixels of similar inverse depth; outlines stay (Tomasi and Manduchi, 1998).

    Args:
        spread: difference in inverse depth at which a pixel counts 1/√e as much.
    """
    import torch
    import torch.nn.functional as functional

    height, width = w.shape
    padded = functional.pad(w[None, None], (radius,) * 4, mode="replicate")[0, 0]
    total, weights = torch.zeros_like(w), torch.zeros_like(w)
    for y in range(2 * radius + 1):
        for x in range(2 * radius + 1):
            there = padded[y : y + height, x : x + width]
            apart = (y - radius) ** 2 + (x - radius) ** 2
            weight = torch.exp(((there - w) / spread).square_().mul_(-0.5).sub_(apart / radius**2))
            total.addcmul_(weight, there)
            weights += weight
    return total / weights


# Nine values by 19 exchanges; the fifth is then the median (Paeth, Graphics Gems, 1990).
_EXCHANGES = ((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
              (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2))  # fmt: skip


def median(w: torch.Tensor) -> torch.Tensor:
    """(H, W) median of 3×3 pixels; the border repeats itself."""
    import torch
    import torch.nn.functional as functional

    height, width = w.shape
    padded = functional.pad(w[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    values = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    for a, b in _EXCHANGES:
        values[a], values[b] = (
            torch.minimum(values[a], values[b]),
            torch.maximum(values[a], values[b]),
        )
    return values[4]


def enlarged(w: torch.Tensor, hw: tuple[int, int]) -> torch.Tensor:
    """The surface at another size, each pixel that of the nearest: nothing is mixed at outlines."""
    import torch.nn.functional as functional

    return functional.interpolate(w[None, None], hw, mode="nearest-exact")[0, 0]


def reduced(w: torch.Tensor, hw: tuple[int, int]) -> torch.Tensor:
    """The surface at a smaller size, each pixel the mean of those that it covers."""
    import torch.nn.functional as functional

    return functional.interpolate(w[None, None], hw, mode="area")[0, 0]
