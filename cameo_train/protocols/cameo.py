"""Matching precision as the CAMEO code measures it: one layer's queries against its keys.

Formulation after ``_compute_matching_precision`` of src/modules/attention_visualization_callback.py
in github.com/cvlab-kaist/CAMEO, commit a1d2dc3:

1. Queries and keys, heads concatenated, and the point maps are resized bilinearly to one grid.
2. Each query of the query views takes the key at the least squared distance among the keys of all
   key views together, and is ranked by the ratio to the second least. The protocol thus measures
   neither the dot product that attention uses, nor a softmax, nor a trained mix of heads.
3. The first ``matches`` queries count. Their point, read from the resized map (a mixture of near
   and far at edges), is projected into the view of the key found. A hit is within a threshold of
   the key's centre. Whether that view sees the point, or has it behind the camera, is not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cameo_train.protocols.named import NamedProtocol, Recalls, in_bin, precision_at
from cameo_train.protocols.nearest import two_best

SMALLEST_Z = 1e-6  # for a smaller |z| the projection fails and the error is infinite
FLOOR = 1e-12  # added to the second distance


@dataclass(frozen=True, eq=False)
class GroupErrors:
    """The matches of one group of views that count, best ranked first.

    Attributes:
        view0, view1: (N,) int64, the query's and the key's view.
        xy0, xy1: (N, 2) centres of the query's and the key's cell, in pixels.
        error_px: (N,) float64; infinite if the point is in the camera's plane.
    """

    view0: Tensor
    view1: Tensor
    xy0: Tensor
    xy1: Tensor
    error_px: Tensor

    def __len__(self) -> int:
        return len(self.error_px)


def cameo_matches(
    q: Tensor,
    k: Tensor,
    points: Tensor,
    intrinsics: Tensor,
    cam_from_world: Tensor,
    *,
    token_hw: tuple[int, int],
    grid_hw: tuple[int, int],
    query_views: Sequence[int],
    key_views: Sequence[int],
    matches: int,
) -> GroupErrors:
    """The matches of one group that count.

    Args:
        q, k: (heads, V·K, d) queries and keys of one attention layer, view after view.
        points: (V, 3, H, W) world points of the pixels.
        intrinsics: (V, 3, 3) in those pixels.
        cam_from_world: (V, 4, 4).
        token_hw: tokens per view, K = h·w.
        grid_hw: the grid for matching.
        query_views, key_views: indices of views; a view in both also matches itself.
        matches: number of matches that count.

    Raises:
        ValueError: the sizes do not fit each other, or there are fewer than two keys.
    """
    views = len(points)
    _check(q, k, points, views, token_hw, [*query_views, *key_views])
    queries = _descriptors(q, views, token_hw, grid_hw)[list(query_views)].flatten(0, 1)
    keys = _descriptors(k, views, token_hw, grid_hw)[list(key_views)].flatten(0, 1)
    if len(keys) < 2 or not len(queries):
        raise ValueError(f"{len(queries)} queries and {len(keys)} keys; expected 1 and 2 or more")
    norm = (keys**2).sum(1)

    def nearness(block: Tensor) -> Tensor:
        squared = (block**2).sum(1)[:, None] + norm - 2 * (block @ keys.T)
        return -squared.clamp(min=0)

    nearest, two = two_best(nearness, queries, len(keys))
    ratio = nearest[:, 0] / (nearest[:, 1] - FLOOR)
    query = ratio.argsort(stable=True)[:matches]
    key = two[query, 0]

    cells = grid_hw[0] * grid_hw[1]
    hw = (points.shape[-2], points.shape[-1])
    view0 = torch.as_tensor(list(query_views), device=q.device)[query // cells]
    view1 = torch.as_tensor(list(key_views), device=q.device)[key // cells]
    resized = functional.interpolate(points.float(), size=grid_hw, mode="bilinear")
    p_world = resized.flatten(2)[view0, :, query % cells].double()
    xy1 = _centres(key % cells, grid_hw, hw)
    seen = _project(p_world, intrinsics.double()[view1], cam_from_world.double()[view1])
    return GroupErrors(
        view0, view1, _centres(query % cells, grid_hw, hw), xy1, (seen - xy1).norm(dim=1)
    )


def group_recalls(
    protocol: NamedProtocol, groups: Sequence[GroupErrors], rotation_deg: Sequence[Tensor]
) -> Recalls:
    """The numbers that the protocol of groups reports: means over groups, as in the published code.

    We added the rotation bins; the published code has none. A match is in the bin of the rotation
    between its views; a bin's recall and its count are over the groups with a match in it.

    Args:
        rotation_deg: rotation between the views, (V, V) for each group.
    """
    full = [(g, r) for g, r in zip(groups, rotation_deg, strict=True) if len(g)]

    def mean(errors: Sequence[Tensor], threshold: float) -> float:
        found = [precision_at(e, threshold, inclusive=protocol.inclusive) for e in errors]
        return torch.tensor(found, dtype=torch.float64).mean().item()

    bins = []
    for low, high in zip(protocol.bins_deg[:-1], protocol.bins_deg[1:], strict=True):
        errors = [
            g.error_px[in_bin(r.to(g.view0.device)[g.view0, g.view1], low, high)] for g, r in full
        ]
        errors = [e for e in errors if len(e)]
        bins.append((low, high, mean(errors, protocol.binned[1]), len(errors)))
    return Recalls(
        pairs=len(full),
        empty=len(groups) - len(full),
        matches=sum(len(g) for g, _ in full),
        px={t: mean([g.error_px for g, _ in full], t) for t in protocol.thresholds_px},
        metres={},
        bins=tuple(bins),
    )


def _descriptors(
    tokens: Tensor, views: int, token_hw: tuple[int, int], grid_hw: tuple[int, int]
) -> Tensor:
    """(V, cells, heads·d) vectors on the grid, heads concatenated."""
    heads, _, dim = tokens.shape
    maps = tokens.detach().float().view(heads, views, *token_hw, dim)
    maps = maps.permute(1, 0, 4, 2, 3).reshape(views, heads * dim, *token_hw)
    if grid_hw != token_hw:
        maps = functional.interpolate(maps, size=grid_hw, mode="bilinear")
    return maps.flatten(2).transpose(1, 2)


def _centres(cell: Tensor, grid_hw: tuple[int, int], hw: tuple[int, int]) -> Tensor:
    xy = torch.stack([cell % grid_hw[1], cell // grid_hw[1]], 1).double() + 0.5
    return xy * xy.new_tensor([hw[1] / grid_hw[1], hw[0] / grid_hw[0]])


def _project(p_world: Tensor, K: Tensor, cam_from_world: Tensor) -> Tensor:
    """(N, 2) pixels of (N, 3) points, each in its own camera; infinite in the camera's plane."""
    p_cam = (cam_from_world[:, :3, :3] @ p_world[..., None])[..., 0] + cam_from_world[:, :3, 3]
    homogeneous = (K @ p_cam[..., None])[..., 0]
    flat = (p_cam[:, 2].abs() < SMALLEST_Z) | (homogeneous[:, 2].abs() < SMALLEST_Z)
    xy = homogeneous[:, :2] / torch.where(flat, 1.0, homogeneous[:, 2])[:, None]
    return xy.masked_fill(flat[:, None], torch.inf)


def _check(
    q: Tensor,
    k: Tensor,
    points: Tensor,
    views: int,
    token_hw: tuple[int, int],
    chosen: Sequence[int],
) -> None:
    tokens = views * token_hw[0] * token_hw[1]
    if q.shape != k.shape or q.ndim != 3 or q.shape[1] != tokens:
        raise ValueError(
            f"queries are {tuple(q.shape)}, keys {tuple(k.shape)}; expected (heads, {tokens}, d): "
            f"{views} views of {token_hw[0]}×{token_hw[1]} tokens"
        )
    if points.ndim != 4 or points.shape[1] != 3:
        raise ValueError(f"points are {tuple(points.shape)}; expected (V, 3, H, W)")
    if any(not 0 <= view < views for view in chosen):
        raise ValueError(f"views are {sorted(set(chosen))}; expected 0 to {views - 1}")
