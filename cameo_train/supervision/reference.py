"""Slow twins of the losses, for tests and measurements: every row, all at once, by autograd."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cameo_train.supervision.official import CYCLE_THRESHOLD, FLOOR
from cameo_train.supervision.targets import TokenTargets


def dense_logits(q: Tensor, k: Tensor, scale: float | None = None) -> Tensor:
    """(B, h, V·K, V·K) logits of all heads."""
    return q.float() @ k.float().transpose(-1, -2) * (scale or q.shape[-1] ** -0.5)


def _by_view(attention: Tensor, views: int) -> Tensor:
    """(B, h, a, Q, v, K) of (B, h, V·Q, V·K)."""
    queries, keys = (size // views for size in attention.shape[2:])
    return attention.view(*attention.shape[:2], views, queries, views, keys)


def dense_loss(
    q: Tensor,
    k: Tensor,
    targets: TokenTargets,
    head_mix: nn.Module,
    wanted: Tensor | None = None,
) -> Tensor:
    """``correspondence_loss`` with a target distribution over every key of every view.

    Args:
        wanted: (B, V, V) bool, or None for all pairs.
    """
    views, tokens = targets.views, targets.tokens
    batch = q.shape[0]
    probability = torch.zeros(batch, views, views, tokens, tokens, device=q.device)
    probability.scatter_add_(-1, targets.index, targets.weight)
    if wanted is not None:
        probability = probability * wanted[..., None, None]
    logits = _by_view(dense_logits(q, k), views)
    # (B, h, a, Q, v, K) -> heads first for the mixing head, then (B, a, v, Q, K)
    log_p = torch.stack([_mixed(head_mix, one) for one in logits]).log_softmax(-1)
    total = probability.sum()
    return -(probability * log_p).sum() / torch.where(total > 0, total, 1)


def _mixed(head_mix: nn.Module, logits: Tensor) -> Tensor:
    """(a, v, Q, K) of (h, a, Q, v, K)."""
    heads, a, q, v, k = logits.shape
    flat: Tensor = head_mix(logits.transpose(2, 3).reshape(heads, a * v * q, k))
    return flat.view(a, v, q, k)


def dense_official_loss(
    q: Tensor,
    k: Tensor,
    points: Tensor,
    *,
    references: int,
    grid_hw: tuple[int, int],
    head_mix: nn.Sequential,
) -> Tensor:
    """The official formulation on whole attention maps, all directions.

    Args:
        head_mix: linear, GELU, linear over the last axis (``HeadMLP.mlp``).
    """
    batch, views = points.shape[:2]
    tokens = grid_hw[0] * grid_hw[1]
    logits = dense_logits(q, k)
    with torch.no_grad():
        resized = functional.interpolate(points.flatten(0, 1), size=grid_hw, mode="bilinear")
        p = resized.view(batch, views, 3, tokens).transpose(2, 3).reshape(batch, 1, -1, 3)
        closeness = -torch.linalg.vector_norm(p.unsqueeze(-2) - p.unsqueeze(-3), dim=-1)
        passed = _cycle_mask(closeness, views, grid_hw[1])
    total = torch.zeros((), device=q.device)
    for kind in (range(references), range(references, views)):
        mixed = _of_kind(logits, kind, views)
        mixed = head_mix(mixed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        probability = mixed.view(*mixed.shape[:3], views - 1, tokens).softmax(-1)
        near = _of_kind(closeness, kind, views)
        target = torch.zeros_like(near).scatter_(-1, near.argmax(-1, keepdim=True), 1.0)
        target = target.view(*target.shape[:3], views - 1, tokens)
        rows = _of_kind(passed, kind, views)
        total = total + _cross_entropy(probability[rows], target[rows])
    return total


def _cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    return -(target * (probability + FLOOR).log()).sum(-1).mean()


def _of_kind(attention: Tensor, kind: range, views: int) -> Tensor:
    """Rows of these query views; of each the columns of all views but its own."""
    split = _by_view(attention, views)
    parts = [split[:, :, a][:, :, :, [v for v in range(views) if v != a]] for a in kind]
    return (
        torch.stack(parts, 2)
        .flatten(2, 3)
        .flatten(3)
        .view(*attention.shape[:2], len(kind) * attention.shape[2] // views, -1)
    )


def _cycle_mask(closeness: Tensor, views: int, columns: int) -> Tensor:
    """(B, 1, V·Q, V) bool of (B, 1, V·Q, V·Q)."""
    pairs = _by_view(closeness, views).transpose(3, 4)
    there = pairs.argmax(-1)
    back = pairs.argmax(-2).gather(-1, there)
    start = torch.arange(there.shape[-1], device=there.device)
    y, x = back // columns - start // columns, back % columns - start % columns
    passed: Tensor = torch.hypot(x.float(), y.float()) < CYCLE_THRESHOLD
    return passed.transpose(3, 4).flatten(2, 3)
