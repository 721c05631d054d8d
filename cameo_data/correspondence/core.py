"""Cross-view correspondence of posed depth maps: where a point of view 0 is in view 1, and whether
view 1 sees it.

Conventions: ``docs/conventions.md``; the method: ``docs/geometry.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.correspondence import kernel
from cameo_data.types import Camera, Correspondence, DepthMap, PairMaps, Verdict


@dataclass(frozen=True, eq=False)
class PreparedView:
    """A view made ready once for all pairs that it takes part in.

    Attributes:
        inverse_depth: (H + 2·PAD, W + 2·PAD) float32, 0 where unknown and in the margin.
        mask: (H, W) bool or None; restricts queries in this view and targets in it.
    """

    camera: Camera
    inverse_depth: NDArray[np.float32]
    mask: NDArray[np.bool_] | None


def prepare(
    depth: DepthMap | NDArray[Any], camera: Camera, mask: NDArray[np.bool_] | None = None
) -> PreparedView:
    """A view ready for ``correspond_prepared``.

    Raises:
        ValueError: depth, mask and camera differ in size.
    """
    if not isinstance(depth, DepthMap):
        depth = DepthMap.from_array(depth)
    if depth.hw != camera.hw:
        raise ValueError(
            f"depth is {depth.hw[0]}×{depth.hw[1]}, camera says {camera.hw[0]}×{camera.hw[1]} "
            "(h×w); resize one to the other"
        )
    if mask is not None and mask.shape != camera.hw:
        raise ValueError(f"mask has shape {mask.shape}, camera says {camera.hw} (h, w)")
    return PreparedView(camera, kernel.padded_inverse(depth.z, depth.valid), mask)


def correspond(
    depth0: DepthMap | NDArray[Any],
    camera0: Camera,
    depth1: DepthMap | NDArray[Any],
    camera1: Camera,
    *,
    stride: int = 1,
    mask0: NDArray[np.bool_] | None = None,
    mask1: NDArray[np.bool_] | None = None,
) -> Correspondence:
    """Pixel in view 1 of each query of view 0, with a verdict and a confidence."""
    return correspond_prepared(
        prepare(depth0, camera0, mask0), prepare(depth1, camera1, mask1), stride
    )


def correspond_prepared(view0: PreparedView, view1: PreparedView, stride: int) -> Correspondence:
    """As ``correspond``, of prepared views."""
    h, w = cameras.query_grid_hw(view0.camera.hw, stride)
    xy = np.empty((h, w, 2), np.float32)
    verdict = np.empty((h, w), np.uint8)
    confidence = np.empty((h, w), np.float32)
    cam1_from_cam0 = view1.camera.cam_from_world @ view0.camera.world_from_cam
    homography = view1.camera.K @ cam1_from_cam0[:3, :3] @ np.linalg.inv(view0.camera.K)
    epipole = view1.camera.K @ cam1_from_cam0[:3, 3]
    empty = np.zeros((0, 0), np.bool_)
    kernel.run(
        view0.inverse_depth, view1.inverse_depth, view0.camera.hw, view1.camera.hw,
        homography, epipole, stride, 0.0,
        empty if view0.mask is None else view0.mask,
        empty if view1.mask is None else view1.mask,
        xy, verdict, confidence,
    )
    return Correspondence(xy, verdict, confidence, stride)


def correspond_group(views: Sequence[PreparedView], stride: int) -> PairMaps:
    """Correspondences of all ordered pairs of views of one size."""
    count = len(views)
    h, w = cameras.query_grid_hw(views[0].camera.hw, stride)
    xy = np.full((count, count, h, w, 2), np.nan, np.float32)
    verdict = np.full((count, count, h, w), Verdict.NO_DEPTH, np.uint8)
    confidence = np.zeros((count, count, h, w), np.float32)
    for a in range(count):
        for b in range(count):
            if a != b:
                one = correspond_prepared(views[a], views[b], stride)
                xy[a, b], verdict[a, b], confidence[a, b] = one.xy1, one.verdict, one.confidence
    return PairMaps(stride, xy, verdict, confidence)


def sample_depth(
    depth: DepthMap, xy: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth (...) at pixels (..., 2) and whether it is known; never blended across an edge."""
    points = np.ascontiguousarray(np.asarray(xy, np.float64).reshape(-1, 2))
    padded = kernel.padded_inverse(depth.z, depth.valid)
    w = kernel.sample(padded, depth.hw, points)
    valid = w > 0
    z = np.where(valid, 1.0 / np.where(valid, w, 1.0), 0.0).astype(np.float32)
    return z.reshape(np.shape(xy)[:-1]), valid.reshape(np.shape(xy)[:-1])
