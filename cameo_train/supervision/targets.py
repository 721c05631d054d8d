"""Token targets: to which tokens of every other view each token's point went, and with what weight.

From pixel matches (``cameo_data``'s maps of one group) to what attention is supervised with. A
query is a token; its point is at the token's centre. Every (query, key view) pair has a target of
its own, and weight only where the match is VISIBLE: hidden and unknown points carry none.

Shapes: B, V views, h, w token grid, Q = h·w tokens per view, T slots per query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cameo_data.types import Verdict

TargetKind = Literal["nearest", "bilinear", "patch"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)
# A patch seen at 3× its size covers at most 4 × 4 tokens; what lands beyond the heaviest 16 is
# dropped and takes its weight along.
PATCH_SLOTS = 16


@dataclass(frozen=True, eq=False)
class TokenTargets:
    """Where the tokens of each view a went in each view b; index [..., a, b, :, :].

    Attributes:
        index: (B, V, V, Q, T) int64, tokens of view b in row-major order; 0 in unused slots. The
            same token may occupy several slots.
        weight: (B, V, V, Q, T) float32 ≥ 0, at most 1 in sum over T; 0 in every slot where the
            query has no VISIBLE match, and on the diagonal.

    Raises:
        ValueError: the shapes or types are others.
    """

    index: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.index.shape)
        if len(shape) != 5 or shape[1] != shape[2] or tuple(self.weight.shape) != shape:
            raise ValueError(
                "index and weight of token targets are (B, V, V, Q, T) both, got "
                f"{shape} and {tuple(self.weight.shape)}"
            )
        if self.index.dtype != torch.int64 or self.weight.dtype != torch.float32:
            raise ValueError(
                "index of token targets is int64 and weight float32, got "
                f"{self.index.dtype} and {self.weight.dtype}"
            )

    @property
    def views(self) -> int:
        return int(self.index.shape[1])

    @property
    def tokens(self) -> int:
        """Tokens of one view."""
        return int(self.index.shape[3])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TokenTargets:
        """The same on another device."""
        return TokenTargets(
            self.index.to(device, non_blocking=non_blocking),
            self.weight.to(device, non_blocking=non_blocking),
        )

    def reorder(self, order: Sequence[int]) -> TokenTargets:
        """The same with the views in another order (or some of them)."""
        views = torch.as_tensor(list(order), device=self.index.device)
        return TokenTargets(
            self.index[:, views][:, :, views].contiguous(),
            self.weight[:, views][:, :, views].contiguous(),
        )


def stack(targets: Sequence[TokenTargets]) -> TokenTargets:
    """One batch of several; shorter rows are padded with empty slots."""
    slots = max(t.index.shape[-1] for t in targets)

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([functional.pad(t, (0, slots - t.shape[-1])) for t in tensors])

    return TokenTargets(joined([t.index for t in targets]), joined([t.weight for t in targets]))


def shuffled(targets: TokenTargets, rng: np.random.Generator) -> TokenTargets:
    """A control without geometry: in each pair of views the rows of the queries that have a match
    are dealt out among these at random, so the same tokens get the same weight altogether.
    """
    index, weight = targets.index.clone(), targets.weight.clone()
    for b, a, v in np.ndindex(*index.shape[:3]):
        matched = weight[b, a, v].sum(-1).nonzero()[:, 0]
        dealt = matched[torch.from_numpy(rng.permutation(len(matched)))]
        index[b, a, v, matched] = targets.index[b, a, v, dealt]
        weight[b, a, v, matched] = targets.weight[b, a, v, dealt]
    return TokenTargets(index, weight)


def token_targets(
    xy: Any,
    verdict: Any,
    confidence: Any,
    *,
    image_hw: tuple[int, int],
    grid_hw: tuple[int, int],
    kind: TargetKind = "nearest",
    slots: int = PATCH_SLOTS,
) -> TokenTargets:
    """Targets of one group of views, or of a batch of groups.

    ``nearest`` puts all weight on the token that holds the landing place; ``bilinear`` shares it
    between the four tokens whose centres surround it (at the border of the image fewer);
    ``patch`` follows every map cell in the query's patch and weighs each token by the share of the
    patch that lands in it, so a half hidden patch weighs half.

    Args:
        xy: (B, V, V, h', w', 2) px of view b, or without B; of ``cameo_data.types.PairMaps``.
        verdict, confidence: (B, V, V, h', w'); a VISIBLE match weighs its confidence.
        image_hw: size of the views in pixels.
        grid_hw: tokens per view; h', w' equal it, or for ``patch`` a multiple of it (stride-1
            maps give the true shares).
        slots: T of ``patch``.

    Raises:
        ValueError: an unknown kind, or maps that do not fit the grid.

    Example:
        >>> xy = np.full((2, 2, 6, 8, 2), 20.0)  # every point lands at pixel (20, 20)
        >>> verdict = np.full((2, 2, 6, 8), Verdict.VISIBLE)
        >>> targets = token_targets(
        ...     xy, verdict, np.ones((2, 2, 6, 8)), image_hw=(48, 64), grid_hw=(6, 8)
        ... )
        >>> targets.index.shape, int(targets.index[0, 0, 1, 5, 0])  # row 2, column 2 of 8 columns
        (torch.Size([1, 2, 2, 48, 1]), 18)
    """
    if kind not in TARGET_KINDS:
        raise ValueError(f"target kind is {kind!r}; expected one of {', '.join(TARGET_KINDS)}")
    xy = np.asarray(xy, np.float32)
    verdict, confidence = np.asarray(verdict), np.asarray(confidence, np.float32)
    if xy.ndim == 5:
        xy, verdict, confidence = xy[None], verdict[None], confidence[None]
    _check(xy, verdict, confidence, grid_hw, kind)
    certain = _weight(verdict, confidence)
    tokens_per_px = np.array([grid_hw[1] / image_hw[1], grid_hw[0] / image_hw[0]], np.float32)
    if kind == "patch":
        index, weight = _patch(xy, certain, grid_hw, tokens_per_px, slots)
    else:
        uv = np.where(certain[..., None] > 0, xy, np.float32(0)) * tokens_per_px
        index, weight = (_bilinear if kind == "bilinear" else _nearest)(uv, certain, grid_hw)
    pairs = (*xy.shape[:3], grid_hw[0] * grid_hw[1], -1)
    return TokenTargets(
        torch.from_numpy(np.ascontiguousarray(index.reshape(pairs), np.int64)),
        torch.from_numpy(np.ascontiguousarray(weight.reshape(pairs), np.float32)),
    )


def _check(
    xy: NDArray[Any],
    verdict: NDArray[Any],
    confidence: NDArray[Any],
    grid_hw: tuple[int, int],
    kind: TargetKind,
) -> None:
    if xy.ndim != 6 or xy.shape[1] != xy.shape[2] or xy.shape[-1] != 2:
        raise ValueError(f"xy is (B, V, V, h, w, 2) or (V, V, h, w, 2), got {xy.shape}")
    if verdict.shape != xy.shape[:-1] or confidence.shape != xy.shape[:-1]:
        raise ValueError(
            f"verdict {verdict.shape} and confidence {confidence.shape} belong to other maps "
            f"than xy {xy.shape}"
        )
    (h, w), (rows, columns) = xy.shape[3:5], grid_hw
    fits = h % rows == 0 and w % columns == 0 if kind == "patch" else (h, w) == (rows, columns)
    if not fits:
        remedy = "a multiple of it" if kind == "patch" else "maps at the token stride"
        raise ValueError(
            f"maps are {h}×{w} cells, the token grid is {rows}×{columns} (h×w); {kind!r} targets "
            f"need {remedy}: compute them online, or build the shards with that stride"
        )


def _weight(verdict: NDArray[Any], confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Confidence where VISIBLE, else 0; a view is never matched with itself."""
    weight = np.where(verdict == Verdict.VISIBLE, confidence, np.float32(0))
    views = np.arange(verdict.shape[1])
    weight[:, views, views] = 0
    return weight


def _nearest(
    uv: NDArray[np.float32], certain: NDArray[np.float32], grid_hw: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(..., 1) token that holds each place (..., 2), which is in tokens, and its weight."""
    column = np.clip(uv[..., 0].astype(np.int64), 0, grid_hw[1] - 1)
    row = np.clip(uv[..., 1].astype(np.int64), 0, grid_hw[0] - 1)
    return (row * grid_hw[1] + column)[..., None], certain[..., None]


def _bilinear(
    uv: NDArray[np.float32], certain: NDArray[np.float32], grid_hw: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(..., 4) tokens and weights; beyond the outermost centres the border token takes all."""
    last = np.array([grid_hw[1] - 1, grid_hw[0] - 1], np.float32)
    place = np.clip(uv - np.float32(0.5), 0, last)
    low = np.floor(place)
    share = place - low
    low = low.astype(np.int64)
    high = np.minimum(low + 1, last.astype(np.int64))
    indices, weights = [], []
    for x, share_x in ((low, 1 - share), (high, share)):
        for y, share_y in ((low, 1 - share), (high, share)):
            indices.append(y[..., 1] * grid_hw[1] + x[..., 0])
            weights.append(share_x[..., 0] * share_y[..., 1] * certain)
    return np.stack(indices, -1), np.stack(weights, -1)


def _patch(
    xy: NDArray[np.float32],
    certain: NDArray[np.float32],
    grid_hw: tuple[int, int],
    tokens_per_px: NDArray[np.float32],
    slots: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(B·V·V, Q, T) tokens and the shares of the patch that land in them, heaviest first."""
    from cameo_train.supervision import patch_kernel  # compiles; the other kinds do without

    if slots < 1:
        raise ValueError(f"a query has at least one slot, got slots={slots}")
    h, w = certain.shape[3:]
    index, weight = patch_kernel.gather(
        np.ascontiguousarray(xy).reshape(-1, h, w, 2), certain.reshape(-1, h, w),
        *grid_hw, tokens_per_px[1], tokens_per_px[0], slots,
    )  # fmt: skip
    return index, weight
