"""The correspondences of a stored sample, computed again from its depth and poses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.correspondence import correspond_group, prepare
from cameo_data.geometry.sparse_matches import matched_overlap
from cameo_data.shards import fixed_point
from cameo_data.types import PairMaps, Sample, Verdict

# Both rotations come from the same float64 poses; only the order of additions may differ.
ROTATION_TOLERANCE_DEG = 1e-6


def rederive(sample: Sample, stride: int) -> PairMaps:
    """Correspondences at any stride, computed from a stored sample, as a build would store them."""
    views = [
        prepare(depth, camera, mask if sample.restricted_to_mask else None)
        for depth, camera, mask in zip(sample.depths, sample.cameras, sample.masks, strict=True)
    ]
    return as_stored(correspond_group(views, stride), sample.cameras[0].hw)


def as_stored(maps: PairMaps, hw: tuple[int, int]) -> PairMaps:
    """The maps as they come back from fixed-point storage, for images of size ``hw``."""
    steps = fixed_point.steps_per_px(hw)
    return PairMaps(
        maps.stride,
        fixed_point.decode_xy(fixed_point.encode_xy(maps.xy, hw, steps), steps),
        maps.verdict,
        fixed_point.decode_confidence(fixed_point.encode_confidence(maps.confidence)),
    )


def differences(sample: Sample) -> Iterator[str]:
    """Exact differences between a stored sample and what follows from its depth and poses."""
    angles = transforms.relative_rotation_deg([c.cam_from_world for c in sample.cameras])
    if np.abs(angles - sample.rotation_deg).max() > ROTATION_TOLERANCE_DEG:
        yield "rotation_deg is not the angle between the poses"
    matched = sample.sparse
    strides = {*sample.correspondence} | (set() if matched else {sample.overlap_stride})
    derived = {stride: rederive(sample, stride) for stride in strides}
    for stride, stored in sample.correspondence.items():
        again = derived[stride]
        for what in ("xy", "verdict", "confidence"):
            yield from _map_difference(
                f"{what} at stride {stride}", getattr(stored, what), getattr(again, what)
            )
    if matched:
        views, hw = len(sample.cameras), sample.cameras[0].hw
        overlap = matched_overlap(sample.matches or {}, views, hw, sample.overlap_stride)
        what = "queries whose cell holds a match"
    else:
        overlap = overlap_of(derived[sample.overlap_stride])
        what = "VISIBLE"
    if not np.allclose(overlap, sample.overlap, rtol=0, atol=1e-12):
        yield f"overlap is not the share of {what} at stride {sample.overlap_stride}"


def overlap_of(maps: PairMaps) -> NDArray[np.float64]:
    """(V, V) share of VISIBLE among all queries; 1 on the diagonal, 0 without queries."""
    views = maps.verdict.shape[0]
    queries = max(1, maps.verdict[0, 0].size)
    shares = np.count_nonzero(maps.verdict == Verdict.VISIBLE, axis=(2, 3)) / queries
    shares[np.arange(views), np.arange(views)] = 1.0
    return np.asarray(shares, np.float64)


def _map_difference(name: str, stored: NDArray[Any], again: NDArray[Any]) -> Iterator[str]:
    if np.array_equal(stored, again, equal_nan=name.startswith("xy")):
        return
    # NaN against a number counts as a difference of size zero
    apart = np.nan_to_num(np.abs(stored.astype(np.float64) - again.astype(np.float64)))
    same = (stored == again) | (np.isnan(stored) & np.isnan(again))
    count = int(np.count_nonzero(~same))
    yield f"{name}: {count} of {same.size} values differ, by up to {apart.max():.3g}"
