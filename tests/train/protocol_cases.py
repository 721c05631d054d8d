"""Tensors for which the published protocols' own answers are known; see test_protocols.py."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

HW = (142, 160)  # 142 is no multiple of 4
FEATURE_HW = (6, 5)
CHANNELS = 12
K = torch.tensor([[150.0, 0, 78], [0, 155, 72], [0, 0, 1]])


def waves(count: int, frequency: float) -> Tensor:
    """Numbers in (−1, 1) that every machine and version of torch makes alike."""
    return torch.sin(torch.arange(1, count + 1, dtype=torch.float64) * frequency).float()


def turn(degrees: float) -> Tensor:
    """(4, 4): turned about y, and moved so that a point 0.2 ahead stays about there."""
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor(
        [[c, 0, -s, 0.2 * s], [0, 1, 0, 0.005], [s, 0, c, 0.2 - 0.2 * c], [0, 0, 0, 1]]
    )


def depth_map(phase: float) -> Tensor:
    """(H, W) a wavy sheet 0.2 away, unknown in one corner and in scattered places."""
    y, x = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in HW], indexing="ij")
    z = 0.2 + 0.03 * torch.sin(x / 22 + phase) + 0.02 * torch.cos(y / 15 - phase)
    unknown = (x + y < 70) | ((x * 7 + y * 13) % 11 == 0)
    return z.masked_fill(unknown, 0).float()


def pair(index: int) -> dict[str, Any]:
    """Features, depths and motion of one ordered pair: features know the place, in part."""
    maps = []
    for view in range(2):
        y, x = torch.meshgrid(
            *[torch.arange(n, dtype=torch.float64) for n in FEATURE_HW], indexing="ij"
        )
        place = torch.stack(
            [torch.sin(x * (0.3 + 0.1 * c) + y * (0.5 - 0.05 * c) + c) for c in range(CHANNELS)]
        )
        noise = waves(place.numel(), 0.731 + 0.1 * index + 0.317 * view).view_as(place)
        maps.append((place + 0.7 * noise).float())
    return {
        "features0": maps[0],
        "features1": maps[1],
        "depth0": depth_map(0.2 * index),
        "depth1": depth_map(0.2 * index + 0.3),
        "K": K,
        "cam1_from_cam0": turn((7.0, 25.0, 40.0)[index]),
        "rotation_deg": (7.0, 25.0, 40.0)[index],
    }


PAIRS = 3


def group() -> dict[str, Any]:
    """Queries and keys of one layer, point maps and cameras of four views."""
    views, heads, dim, tokens = 4, 3, 8, 6
    v, u = torch.meshgrid(*[torch.linspace(-1, 1, 24, dtype=torch.float64)] * 2, indexing="ij")
    points, place, cameras = [], [], []
    for i in range(views):
        x, y = u * (1 + 0.1 * i) + 0.2 * i, v - 0.1 * i * u
        sheet = torch.stack([x, y, 2 + 0.3 * torch.sin(2 * x) + 0.2 * y * y])
        points.append((sheet / 10).float())
        cameras.append(turn(6.0 * i))
    for view in points:
        small = torch.nn.functional.interpolate(view[None], size=(tokens, tokens), mode="bilinear")
        place.append(small[0].flatten(1).T)
    known = torch.cat(place)  # (V·K, 3)
    frequencies = waves(3 * heads * dim, 0.9).view(3, heads * dim) * 40
    q, k = (
        torch.sin(known @ frequencies) + 0.6 * waves(known.shape[0] * heads * dim, f).view(-1, 24)
        for f in (0.731, 1.193)
    )
    q, k = (t.view(-1, heads, dim).transpose(0, 1).contiguous() for t in (q, k))
    intrinsics = K.clone()
    intrinsics[:2] *= 24 / 160
    return {
        "q": q,
        "k": k,
        "points": torch.stack(points),
        "intrinsics": intrinsics.expand(views, 3, 3).contiguous(),
        "cam_from_world": torch.stack(cameras),
    }
