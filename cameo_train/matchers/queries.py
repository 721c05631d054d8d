"""The queries of a group of views, and their true positions.

Shapes: V views, N queries of all ordered pairs of a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cameo_data import correspond_group
from cameo_data.correspondence import prepare
from cameo_data.errors import DataError, Reason
from cameo_data.types import PairMaps, Sample, Verdict
from cameo_train.protocols.measurement import Protocol


@dataclass(frozen=True, eq=False)
class Queries:
    """Visible queries of all ordered pairs of a group, sorted by the view to search.

    Attributes:
        view0, view1: (N,) int64; the query's view, and the view in which to find it.
        token: (N,) int64 cell of view 0, row by row.
        xy1: (N, 2) float64 true position in pixels of view 1.
        bin: (N,) int64 rotation bin of its pair.
        pairs: (bins,) number of ordered pairs in each bin, with and without queries.
        left_out: number of ordered pairs whose rotation is outside all bins.
    """

    view0: NDArray[np.int64]
    view1: NDArray[np.int64]
    token: NDArray[np.int64]
    xy1: NDArray[np.float64]
    bin: NDArray[np.int64]
    pairs: NDArray[np.int64]
    left_out: int

    def __len__(self) -> int:
        return len(self.token)


def queries_of(sample: Sample, protocol: Protocol) -> Queries:
    """The queries of a group.

    Raises:
        DataError: there are neither verdicts nor depth to compute them, or images have another
            size.
    """
    _check_size(sample, protocol.hw)
    maps = maps_of(sample, protocol.stride)
    views = len(sample.cameras)
    bins = np.array(
        [[protocol.bin_of(float(sample.rotation_deg[a, b])) for b in range(views)]
         for a in range(views)]
    )  # fmt: skip
    np.fill_diagonal(bins, -1)
    asked = (maps.verdict == Verdict.VISIBLE) & (maps.confidence >= protocol.min_confidence)
    asked &= (bins >= 0)[..., None, None]
    columns = maps.verdict.shape[3]
    # Sorted by key view first: all queries to be found in one view are matched together.
    view1, view0, row, column = np.nonzero(asked.transpose(1, 0, 2, 3))
    others = views * (views - 1)
    return Queries(
        view0=view0,
        view1=view1,
        token=row * columns + column,
        xy1=maps.xy[view0, view1, row, column].astype(np.float64),
        bin=bins[view0, view1],
        pairs=np.bincount(bins[bins >= 0], minlength=protocol.bins),
        left_out=others - int((bins >= 0).sum()),
    )


def maps_of(sample: Sample, stride: int) -> PairMaps:
    """Verdicts at a stride: the stored ones, else those computed from depth and pose.

    Raises:
        DataError: the sample has neither verdicts nor depth.
    """
    if stride in sample.correspondence:
        return sample.correspondence[stride]
    if sample.matches is not None or not any(depth.valid.any() for depth in sample.depths):
        raise DataError(
            Reason.NO_DEPTH,
            dataset=sample.dataset,
            scene_id=sample.scene_id,
            found=f"sample {sample.key} has no verdicts and no depth",
            expected="a build that says which points are VISIBLE",
            remedy="build it from a source with depth, or attach depth with --depth",
        )
    views = [
        prepare(depth, camera, mask if sample.restricted_to_mask else None)
        for depth, camera, mask in zip(sample.depths, sample.cameras, sample.masks, strict=True)
    ]
    return correspond_group(views, stride)


def _check_size(sample: Sample, hw: tuple[int, int]) -> None:
    for camera in sample.cameras:
        if camera.hw != hw:
            raise DataError(
                Reason.WRONG_SIZE,
                dataset=sample.dataset,
                scene_id=sample.scene_id,
                found=f"sample {sample.key} has images of {camera.hw[0]}×{camera.hw[1]} (h×w)",
                expected=f"{hw[0]}×{hw[1]} as in the first sample: one grid, one diagonal",
                remedy="build with --size",
            )
