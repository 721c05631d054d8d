"""Which rows of an attention map are supervised, laid out for a loop over key views.

A row is one (query, key view) pair. Shapes: B, V views, K tokens per view, R rows, T slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from cameo_train.supervision.targets import TokenTargets

Direction = Literal["ref-tgt", "tgt-ref", "tgt-tgt", "ref-ref"]  # query's view, key's view
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


class Group(NamedTuple):
    """Rows start … stop−1 ask for tokens of one key view of one batch element."""

    batch: int
    key_view: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class SupervisedRows:
    """The (query, key view) pairs that carry a target, and nothing else; sorted by group.

    Attributes:
        query: (R,) int64, token among all V·K of its batch element.
        index: (R, T) int64, target tokens within the key view.
        weight: (R, T) float32, more than 0 in sum.
        batch, views, tokens: sizes of the attention; tokens are those of one view.
    """

    groups: tuple[Group, ...]
    query: Tensor
    index: Tensor
    weight: Tensor
    batch: int
    views: int
    tokens: int

    def __len__(self) -> int:
        return int(self.query.shape[0])

    @property
    def total_weight(self) -> Tensor:
        """Sum of all weights, a scalar; what the loss is divided by if not told otherwise."""
        return self.weight.sum()

    @property
    def unmatched(self) -> int:
        """Elements of the batch that have no row at all."""
        return self.batch - len({group.batch for group in self.groups})

    def to(self, device: torch.device | str) -> SupervisedRows:
        """The same on another device."""
        return replace(
            self,
            query=self.query.to(device, non_blocking=True),
            index=self.index.to(device, non_blocking=True),
            weight=self.weight.to(device, non_blocking=True),
        )


def supervised_rows(
    targets: TokenTargets,
    reference: Tensor | None = None,
    directions: Iterable[Direction] = DIRECTIONS,
) -> SupervisedRows:
    """Rows with any weight, in the wanted directions.

    Args:
        reference: (B, V) bool, True where a view is a clean reference; None only with all
            directions.
        directions: query's view and key's view, e.g. ``tgt-ref``: target queries, reference keys.

    Raises:
        ValueError: an unknown direction, or ``reference`` is missing or of another shape.
    """
    row_weight = targets.weight.sum(-1)
    directions = tuple(directions)
    if set(directions) != set(DIRECTIONS):
        wanted = wanted_pairs(_expected_reference(targets, reference), directions)
        row_weight = row_weight * wanted[..., None]
    # by batch element, key view, query view, query: rows of one group stand together
    batch, key_view, view, query = row_weight.transpose(1, 2).nonzero(as_tuple=True)
    picked = (batch, view, key_view, query)
    count = torch.bincount(
        batch * targets.views + key_view, minlength=targets.index.shape[0] * targets.views
    )
    return SupervisedRows(
        _groups(count.tolist(), targets.views),
        view * targets.tokens + query,
        targets.index[picked],
        targets.weight[picked],
        int(targets.index.shape[0]),
        targets.views,
        targets.tokens,
    )


def thinned(rows: SupervisedRows, most: int, seeds: Sequence[int]) -> SupervisedRows:
    """At most so many rows of each batch element, drawn at random from its own seed."""
    keep, counts = [], [0] * (rows.batch * rows.views)
    for element, seed in enumerate(seeds):
        mine = [group for group in rows.groups if group.batch == element]
        if not mine:
            continue
        start, stop = mine[0].start, mine[-1].stop
        drawn = torch.randperm(stop - start, generator=torch.Generator().manual_seed(seed))[:most]
        kept = drawn.sort().values + start
        for group in mine:
            inside = (kept >= group.start) & (kept < group.stop)
            counts[element * rows.views + group.key_view] = int(inside.sum())
        keep.append(kept)
    if not keep:
        return rows
    picked = torch.cat(keep).to(rows.query.device)
    return replace(
        rows,
        groups=_groups(counts, rows.views),
        query=rows.query[picked],
        index=rows.index[picked],
        weight=rows.weight[picked],
    )


def _groups(counts: Sequence[int], views: int) -> tuple[Group, ...]:
    groups, start = [], 0
    for i, count in enumerate(counts):
        if count:
            groups.append(Group(i // views, i % views, start, start + count))
        start += count
    return tuple(groups)


def wanted_pairs(reference: Tensor, directions: Iterable[Direction]) -> Tensor:
    """(B, V, V) bool, [b, query view, key view], of (B, V) bool: the pairs in these directions.

    Raises:
        ValueError: an unknown direction.
    """
    side = {"ref": reference, "tgt": ~reference}
    wanted = torch.zeros_like(reference[:, :, None] & reference[:, None, :])
    for direction in directions:
        if direction not in DIRECTIONS:
            raise ValueError(
                f"direction is {direction!r}; expected some of {', '.join(DIRECTIONS)}"
            )
        query, key = direction.split("-")
        wanted |= side[query][:, :, None] & side[key][:, None, :]
    return wanted


def _expected_reference(targets: TokenTargets, reference: Tensor | None) -> Tensor:
    expected = (int(targets.index.shape[0]), targets.views)
    if reference is None or tuple(reference.shape) != expected:
        found = "none" if reference is None else f"shape {tuple(reference.shape)}"
        raise ValueError(f"a choice of directions needs reference (B, V) = {expected}, got {found}")
    return reference.to(targets.index.device, torch.bool)
