"""The official CAMEO loss to float32 rounding, at the cost of the rows that matter to it.

Formulation after train.py and src/distill_utils of github.com/cvlab-kaist/CAMEO, commit a1d2dc3,
with its configuration (head mixing MLP, softmax per key view, one-hot targets by nearest point,
cross-entropy with 1e-8 in the logarithm, cycle check per key view at 1.5 tokens):

1. The point maps are resized bilinearly to the token grid.
2. A (query, key view) row counts if its query's nearest point in the key view has its own nearest
   point, back in the query's view, less than 1.5 tokens from the query.
3. A query has one target: the nearest point among all key views together. Its row in the key view
   that holds the target costs −log(p + 1e-8); its other rows that count cost nothing, but enter
   the mean.
4. The means over rows of reference queries and of target queries are added.

Nothing here looks at depth or visibility: a hidden point whose nearest visible neighbour lies
close by passes the check. ``targets.py`` does without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cameo_train.supervision.loss import correspondence_loss
from cameo_train.supervision.strategy import SupervisedBatch, Supervision, TappedAttention
from cameo_train.supervision.supervised_rows import (
    DIRECTIONS,
    Direction,
    SupervisedRows,
    supervised_rows,
    wanted_pairs,
)
from cameo_train.supervision.targets import TokenTargets

CYCLE_THRESHOLD = 1.5  # tokens; distill_config.consistency_check_cfg
FLOOR = 1e-8  # src/distill_utils/attn_distill_loss.py
POINT_PAIRS = 1 << 20  # whose differences are formed at a time


def official_loss(
    q: Tensor,
    k: Tensor,
    points: Tensor,
    *,
    references: int,
    grid_hw: tuple[int, int],
    head_mix: nn.Module,
    directions: Iterable[Direction] = DIRECTIONS,
    scale: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """The official loss, unweighted, a float32 scalar.

    Args:
        q, k: (B, h, V·K, d), as for ``correspondence_loss``; reference views first.
        points: (B, V, 3, H, W) world points of the pixels.
        references: number of reference views, the same in the whole batch.
        grid_hw: tokens per view.
        directions: the official ``distill_key_for_reference_query`` and
            ``distill_key_for_target_query`` without ``self``; all four by default.

    Raises:
        ValueError: sizes that do not fit each other, or no view of either kind.
    """
    rows = official_rows(points, references=references, grid_hw=grid_hw, directions=directions)
    return correspondence_loss(
        q, k, rows, head_mix=head_mix, scale=scale, chunk=chunk, normalizer=1.0, floor=FLOOR
    )


class Official(Supervision):
    """``official_loss`` in training; depth and poses of a batch give its point maps."""

    targets = None
    refuses = ("shuffle_matches", "max_rows")

    def rows(
        self, batch: SupervisedBatch, grid_hw: tuple[int, int], directions: Sequence[Direction]
    ) -> SupervisedRows:
        """``official_rows`` of the batch."""
        return official_rows(
            point_map(batch.depth, batch.K, batch.cam_from_world),
            references=int(batch.reference[0].sum()),
            grid_hw=grid_hw,
            directions=directions,
        )

    def loss(self, attention: TappedAttention, rows: SupervisedRows, normalizer: Tensor) -> Tensor:
        """The sum over rows, whose weights are shares already."""
        return correspondence_loss(
            attention.q, attention.k, rows,
            head_mix=attention.head_mix, scale=attention.scale, normalizer=1.0, floor=FLOOR,
        )  # fmt: skip


OFFICIAL = Official()


def point_map(depth: Tensor, K: Tensor, cam_from_world: Tensor) -> Tensor:
    """(B, V, 3, H, W) world points of the pixels of (B, V, H, W) depth, 0 where it is unknown."""
    height, width = depth.shape[-2:]
    x = torch.arange(width, device=depth.device) + 0.5
    y = torch.arange(height, device=depth.device) + 0.5
    pixels = torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width)]
    ).to(depth)
    rays = torch.einsum("bvij,jhw->bvihw", torch.linalg.inv(K), pixels)
    p_cam = rays * depth[:, :, None]
    rotation, translation = cam_from_world[..., :3, :3], cam_from_world[..., :3, 3]
    p_world = torch.einsum("bvji,bvjhw->bvihw", rotation, p_cam - translation[..., None, None])
    return torch.where((depth > 0)[:, :, None], p_world, torch.zeros(()))


@dataclass(frozen=True, eq=False)
class OfficialMatches:
    """What the official code finds between point maps; index [b, query view, key view, query].

    Attributes:
        nearest: (B, V, V, Q) int64, token of the key view with the nearest point.
        passed: (B, V, V, Q) bool, by the cycle check, in wanted directions.
        target: (B, V, V, Q) bool, whether this key view holds the nearest point of all wanted ones.
        wanted: (V, V) bool, the directions asked for; never a view with itself.
    """

    nearest: Tensor
    passed: Tensor
    target: Tensor
    wanted: Tensor


def official_rows(
    points: Tensor,
    *,
    references: int,
    grid_hw: tuple[int, int],
    directions: Iterable[Direction] = DIRECTIONS,
) -> SupervisedRows:
    """The rows that cost anything, each weighing one over the rows that count with its kind."""
    found = official_matches(points, references=references, grid_hw=grid_hw, directions=directions)
    weight = torch.zeros(found.nearest.shape, dtype=torch.float32, device=points.device)
    for kind in (slice(0, references), slice(references, None)):
        counted = found.passed[:, kind]
        weight[:, kind] = (counted & found.target[:, kind]) / counted.sum().clamp_min(1)
    return supervised_rows(TokenTargets(found.nearest[..., None], weight[..., None]))


@torch.no_grad()
def official_matches(
    points: Tensor,
    *,
    references: int,
    grid_hw: tuple[int, int],
    directions: Iterable[Direction] = DIRECTIONS,
) -> OfficialMatches:
    """Nearest points, cycle check and targets of (B, V, 3, H, W) point maps.

    Raises:
        ValueError: as ``official_loss``.
    """
    wanted = _wanted(points, references, tuple(directions))
    batch, views = points.shape[:2]
    tokens = grid_hw[0] * grid_hw[1]
    resized = functional.interpolate(points.flatten(0, 1), size=grid_hw, mode="bilinear")
    resized = resized.view(batch, views, 3, tokens).transpose(2, 3)
    distance = resized.new_full((batch, views, views, tokens), torch.inf)
    nearest = torch.zeros_like(distance, dtype=torch.int64)
    for b in range(batch):
        for a in range(views):
            for v in range(a + 1, views):
                (distance[b, a, v], nearest[b, a, v]), (distance[b, v, a], nearest[b, v, a]) = (
                    _nearest_both_ways(resized[b, a], resized[b, v])
                )
    passed = _cycle(nearest, grid_hw[1]) & wanted[..., None]
    # argmax over the concatenated key views: of equal distances, the first view's
    holder = distance.masked_fill(~wanted[..., None], torch.inf).argmin(2, keepdim=True)
    target = torch.zeros_like(passed).scatter_(2, holder, True) & wanted[..., None]
    return OfficialMatches(nearest, passed, target, wanted)


def _wanted(points: Tensor, references: int, directions: tuple[Direction, ...]) -> Tensor:
    if points.ndim != 5 or points.shape[2] != 3:
        raise ValueError(f"points are (B, V, 3, H, W), got {tuple(points.shape)}")
    views = points.shape[1]
    if not 0 < references < views:
        raise ValueError(f"references is {references}; expected 1 to {views - 1} of {views} views")
    reference = torch.arange(views, device=points.device) < references
    return wanted_pairs(reference[None], directions)[0] & ~torch.eye(
        views, dtype=torch.bool, device=points.device
    )


def _nearest_both_ways(
    points0: Tensor, points1: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Distance to, and index of, the nearest of points1 (K, 3) for each of points0 (Q, 3), and the
    other way; of equal distances the first, NaN before any, as by ``argmax`` of the negative."""
    there = []
    best = points1.new_full(points1.shape[:1], torch.inf)
    where = torch.zeros_like(best, dtype=torch.int64)
    step = max(1, POINT_PAIRS // points1.shape[0])
    for start in range(0, points0.shape[0], step):
        # difference and norm as in the official code, so that near ties fall alike
        difference = points0[start : start + step, None] - points1
        distance = torch.linalg.vector_norm(difference, dim=-1)
        there.append(distance.min(1))
        least, index = distance.min(0)
        better = (least < best) | (least.isnan() & ~best.isnan())
        best = torch.where(better, least, best)
        where = torch.where(better, index + start, where)
    nearest = torch.cat([t.values for t in there]), torch.cat([t.indices for t in there])
    return nearest, (best, where)


def _cycle(nearest: Tensor, columns: int) -> Tensor:
    """(B, V, V, Q) bool: there and back ends less than the threshold from the start."""
    returned = nearest.transpose(1, 2).gather(-1, nearest)
    start = torch.arange(nearest.shape[-1], device=nearest.device)
    dy = returned // columns - start // columns
    dx = returned % columns - start % columns
    return dx * dx + dy * dy < CYCLE_THRESHOLD**2
