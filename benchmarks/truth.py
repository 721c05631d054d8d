"""Exact answers for the acceptance scenes, and the figures by which verdicts are judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import ViewPair, acceptance_scene, view_pairs
from cameo_data.camera import query_xy
from cameo_data.geometry import raycast
from cameo_data.types import Correspondence

# An outline separates neighbouring pixels that see different primitives with a jump of inverse
# depth; where two primitives touch (sphere on floor) there is none.
OUTLINE_JUMP = 0.004
OUTLINE_RADIUS_PX = 3
THIN_GAP = 0.05


@dataclass(frozen=True, eq=False)
class Case:
    """One ordered pair with its depth maps and exact answers, all maps of view 0's size.

    Attributes:
        truth: the oracle's correspondence.
        gap: how much nearer the occluder is, 0 where not occluded.
        outline: within 3 px of an outline, in view 0 or at the landing place in view 1.
        one_surface: all four pixels of view 1 around the landing place see the same primitive.
    """

    pair: ViewPair
    depth0: NDArray[np.float32]
    depth1: NDArray[np.float32]
    truth: Correspondence
    gap: NDArray[np.float64]
    outline: NDArray[np.bool_]
    one_surface: NDArray[np.bool_]


def cases(hw: tuple[int, int], seed: int = 0) -> Iterator[Case]:
    """All view pairs of one acceptance scene."""
    scene = acceptance_scene(seed)
    for pair in view_pairs(hw):
        yield case_of(scene, pair)


def case_of(scene: Sequence[raycast.Primitive], pair: ViewPair) -> Case:
    """One pair of views of a scene, both of one size."""
    hw = pair.camera0.hw
    hits0, hits1 = raycast.render(scene, pair.camera0), raycast.render(scene, pair.camera1)
    truth, gap = raycast.oracle_at(scene, pair.camera0, pair.camera1, _grid(hw))
    x, y = _landing(truth)
    outline = near_outline(hits0)
    row, column = _clamped(y, x, hw)
    outline |= near_outline(hits1)[row, column]
    return Case(
        pair,
        raycast.depth_of(hits0),
        raycast.depth_of(hits1),
        truth,
        gap,
        outline,
        _one_surface(hits1.primitive, x, y),
    )


@cache
def _grid(hw: tuple[int, int]) -> NDArray[np.float64]:
    return query_xy(hw)


def _landing(truth: Correspondence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xy = np.nan_to_num(truth.xy1.astype(np.float64))
    return xy[..., 0], xy[..., 1]


def _clamped(
    y: NDArray[np.float64], x: NDArray[np.float64], hw: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    row = np.clip(np.floor(y), 0, hw[0] - 1).astype(np.int64)
    column = np.clip(np.floor(x), 0, hw[1] - 1).astype(np.int64)
    return row, column


def _one_surface(
    primitive: NDArray[np.int32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    first = primitive[_clamped(y - 0.5, x - 0.5, primitive.shape)]
    same = first >= 0
    for dy, dx in ((-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)):
        same &= primitive[_clamped(y + dy, x + dx, primitive.shape)] == first
    return same


def near_outline(hits: raycast.Hits, radius: int = OUTLINE_RADIUS_PX) -> NDArray[np.bool_]:
    """(H, W) whether an outline lies within ``radius`` pixels."""
    w = np.where(hits.hit, 1.0 / hits.t, 0.0)
    edge = np.zeros(w.shape, bool)
    for axis in (0, 1):
        a, b = (w[:-1], w[1:]) if axis == 0 else (w[:, :-1], w[:, 1:])
        p = hits.primitive
        differ = (p[:-1] != p[1:]) if axis == 0 else (p[:, :-1] != p[:, 1:])
        # own-side slopes: what a continued surface may change by within one pixel
        step = np.abs(np.diff(w, axis=axis))
        before = np.roll(step, 1, axis)
        after = np.roll(step, -1, axis)
        jump = np.abs(a - b) > OUTLINE_JUMP * np.maximum(a, b) + 1.5 * np.minimum(before, after)
        found = differ & jump
        if axis == 0:
            edge[:-1] |= found
            edge[1:] |= found
        else:
            edge[:, :-1] |= found
            edge[:, 1:] |= found
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(edge.astype(np.uint8), kernel).astype(bool)


@dataclass
class Tally:
    """Counts over any number of cases; the figures are properties."""

    queries: int = 0
    visible: int = 0  # truly VISIBLE
    called: int = 0  # called VISIBLE
    right: int = 0  # both

    def add(
        self,
        said: NDArray[np.bool_],
        true: NDArray[np.bool_],
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one map, within ``where``."""
        if where is not None:
            said, true = said[where], true[where]
        self.queries += said.size
        self.visible += int(true.sum())
        self.called += int(said.sum())
        self.right += int((said & true).sum())

    @property
    def precision(self) -> float:
        """Share of queries called VISIBLE that are VISIBLE."""
        return self.right / self.called if self.called else float("nan")

    @property
    def recall(self) -> float:
        """Share of VISIBLE queries that were called VISIBLE."""
        return self.right / self.visible if self.visible else float("nan")

    @property
    def called_share(self) -> float:
        """Share of all queries that was called VISIBLE."""
        return self.called / self.queries if self.queries else float("nan")


@dataclass(frozen=True)
class Curve:
    """Precision and recall of VISIBLE over all confidence thresholds, strictest first."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        confidence: Sequence[NDArray[np.float32]],
        right: Sequence[NDArray[np.bool_]],
        total: int,
    ) -> Curve:
        """From all queries called VISIBLE: confidence, whether right; ``total`` truly VISIBLE."""
        c, r = np.concatenate(confidence), np.concatenate(right)
        order = np.argsort(-c, kind="stable")
        c, r = c[order], r[order]
        last = np.append(c[1:] != c[:-1], True)  # a threshold keeps all of equal confidence
        hits = np.cumsum(r)[last]
        called = np.flatnonzero(last) + 1
        return cls(hits / called, hits / total)

    def recall_at(self, precision: float) -> float:
        """Largest recall with at least this precision."""
        return float(self.recall[self.precision >= precision].max(initial=0.0))

    def precision_at(self, recall: float) -> float:
        """Largest precision with at least this recall."""
        return float(self.precision[self.recall >= recall].max(initial=0.0))
