"""Groups of views without depth, tied by a scene's sparse matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cameo_data.frames import view_xy
from cameo_data.geometry import sparse_matches as sparse
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray, Frame, Scene, SparseMatches

Mask = NDArray[np.bool_] | None


def between(scene: Scene, frames: tuple[Frame, Frame], hw: tuple[int, int] | None) -> SparseMatches:
    """Matches of two frames in pixels of their views of size ``hw``, as ``read_view`` makes them.

    Raises:
        DataError: the matches cannot be read.
    """
    assert scene.matches is not None
    try:
        stored = scene.matches.between(frames[0].frame_id, frames[1].frame_id)
        xy0, xy1 = view_xy(frames[0], stored.xy0, hw), view_xy(frames[1], stored.xy1, hw)
    except FileDefect as defect:
        raise defect.at(scene.dataset, scene.scene_id, frames[0].frame_id) from None
    return keep(SparseMatches(xy0, xy1), np.isfinite(xy0[:, 0]) & np.isfinite(xy1[:, 0]))


def keep(pair: SparseMatches, rows: NDArray[np.bool_]) -> SparseMatches:
    """Some of the matches."""
    return SparseMatches(pair.xy0[rows], pair.xy1[rows])


def in_masks(pair: SparseMatches, mask0: Mask, mask1: Mask) -> SparseMatches:
    """The matches whose pixels both lie on the foreground."""
    return keep(pair, _on(mask0, pair.xy0) & _on(mask1, pair.xy1))


def group_matches(
    scene: Scene, frames: Sequence[Frame], hw: tuple[int, int], masks: Sequence[Mask]
) -> dict[tuple[int, int], SparseMatches]:
    """Matches of all pairs a < b of a group that have any, exactly as a shard stores them."""
    found = {}
    for b in range(len(frames)):
        for a in range(b):
            pair = in_masks(between(scene, (frames[a], frames[b]), hw), masks[a], masks[b])
            if len(pair.xy0):
                found[a, b] = sparse.as_stored(pair, hw)
    return found


def overlaps(
    scene: Scene,
    frames: Sequence[Frame],
    view_hw: tuple[int, int] | None,
    grid: tuple[tuple[int, int], int],
    each: Callable[[Callable[[int], list[float]], Sequence[int]], list[list[float]]],
) -> NDArray[np.float32]:
    """(N, N) share of the cells of ``grid`` (size, stride) that hold a match, 1 on the diagonal.

    Args:
        each: maps a function over numbers, perhaps in threads.
    """

    def row(b: int) -> list[float]:
        """Shares a → b and b → a of all a < b, one after the other."""
        out: list[float] = []
        for a in range(b):
            pair = between(scene, (frames[a], frames[b]), view_hw)
            for frame, xy in ((frames[a], pair.xy0), (frames[b], pair.xy1)):
                out.append(_share(xy, view_hw or frame.camera.hw, *grid))
        return out

    overlap = np.eye(len(frames), dtype=np.float32)
    for b, shares in enumerate(each(row, range(len(frames)))):
        overlap[:b, b], overlap[b, :b] = shares[0::2], shares[1::2]
    return overlap


def _share(xy: FloatArray, hw: tuple[int, int], small_hw: tuple[int, int], stride: int) -> float:
    step = np.array([small_hw[1] / hw[1], small_hw[0] / hw[0]])
    return sparse.matched_share(xy * step, small_hw, stride)


def _on(mask: Mask, xy: FloatArray) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(len(xy), np.bool_)
    column, row = np.floor(xy).astype(np.intp).T
    found: NDArray[np.bool_] = mask[row, column]
    return found
