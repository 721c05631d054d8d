"""Cross-view correspondence of posed depth maps: where a point of view 0 is in view 1, and whether
view 1 sees it.

Conventions: ``docs/conventions.md``; the method and its measurements: ``docs/geometry.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.correspondence import kernel
from cameo_data.correspondence.noise import traits_between
from cameo_data.correspondence.prepared import PairGeometry, PreparedView
from cameo_data.correspondence.steps import Steps, steps_of
from cameo_data.types import Camera, Correspondence, DepthMap, PairMaps, Verdict

_NONE = np.zeros((0, 0), np.bool_)
# From 4 MiB on, NumPy requests huge pages, which hold 2 MiB on Linux. Touching a full-size result
# for the first time in ordinary pages of 4 KiB takes as long as computing it.
_HUGE_FROM, _HUGE_PAGE = 4 << 20, 2 << 20


def prepare(
    depth: DepthMap | NDArray[Any], camera: Camera, mask: NDArray[np.bool_] | None = None
) -> PreparedView:
    """A view made ready once for all the pairs that it takes part in.

    Args:
        depth: z-depth in scene units, (H, W); zero, negative, NaN and infinite values are unknown.
        camera: ``hw`` equal to the depth's.
        mask: (H, W) bool; only where it is True is the view queried and matched. None is
            everywhere.

    Raises:
        ValueError: depth, mask and camera differ in size, or are of another type.

    Example:
        >>> import numpy as np
        >>> camera = Camera([[50, 0, 32], [0, 50, 24], [0, 0, 1]], hw=(48, 64))
        >>> views = [prepare(np.full((48, 64), 2.0), camera) for _ in range(3)]
        >>> correspond_group(views, stride=16).verdict.shape
        (3, 3, 3, 4)
    """
    if not isinstance(camera, Camera):
        raise ValueError(f"camera is a {type(camera).__name__}; expected a Camera")
    if isinstance(depth, DepthMap):
        z, valid = depth.z, depth.valid
    else:
        z, valid = _numbers(depth), _NONE
    _check_size("depth", z, camera)
    if mask is not None:
        _check_size("mask", mask, camera)
        if mask.dtype != np.bool_:
            raise ValueError(f"mask holds {mask.dtype}; expected bool: mask > 0")
    inverse = kernel.padded_inverse(np.ascontiguousarray(z), valid)
    steps = steps_of(inverse)
    return PreparedView(camera, inverse, _cells(inverse, steps), mask, steps, _sparse(inverse))


def _numbers(depth: Any) -> NDArray[np.float32]:
    values = np.asarray(depth)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"depth holds {values.dtype}; expected numbers")
    return np.asarray(values, np.float32)


def _check_size(what: str, array: NDArray[Any], camera: Camera) -> None:
    if np.shape(array) != camera.hw:
        raise ValueError(
            f"{what} is {'×'.join(map(str, np.shape(array)))}, camera says "
            f"{camera.hw[0]}×{camera.hw[1]} (h×w); resize one to the other"
        )


def _sparse(inverse: NDArray[np.float32]) -> bool:
    """Whether fewer than half of the known pixels have known neighbours to the right and below."""
    step = max(1, inverse.shape[0] // 64)
    known, below = inverse[:-1:step] > 0, inverse[1::step] > 0
    if np.count_nonzero(known) < 1000:  # the sampled rows may be unknown ones
        known, below = inverse[:-1] > 0, inverse[1:] > 0
    count = np.count_nonzero(known)
    both = np.count_nonzero(known[:, :-1] & known[:, 1:] & below[: len(known), :-1])
    return bool(both < 0.5 * count)


def _cells(inverse: NDArray[np.float32], steps: Steps) -> NDArray[np.uint8]:
    smooth = min(max(kernel.SMOOTH, 3 * kernel.roughness(inverse)), kernel.SMOOTH_MAX)
    cells: NDArray[np.uint8] = kernel.classify_cells(inverse, smooth, steps.inverse, steps.depth)
    return cells


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
    """Pixel in view 1 of each query of view 0, with a verdict and a confidence.

    Nothing needs tuning: curvature and slant are measured in the depth maps, noise is measured from
    the difference between them, and no threshold depends on the scene's unit.

    Args:
        depth0, depth1: z-depth in scene units, (H, W) each; sizes may differ. Zero, negative, NaN
            and infinite values are unknown.
        camera0, camera1: cameras in the same world; ``hw`` equals the depth's size.
        stride: step of the query grid over view 0 in pixels; a query is its cell's centre.
        mask0: (H0, W0), True where view 0 may be queried; elsewhere NO_DEPTH.
        mask1: (H1, W1), True where view 1 may be matched; VISIBLE points elsewhere are UNKNOWN.

    Raises:
        ValueError: a depth map or mask differs from its camera in size, or ``stride`` is below 1 or
            larger than view 0.

    Example:
        >>> import numpy as np
        >>> K = [[50, 0, 32], [0, 50, 24], [0, 0, 1]]
        >>> one, two = Camera(K, (48, 64)), Camera(K, (48, 64), np.eye(4))
        >>> wall = np.full((48, 64), 2.0)
        >>> found = correspond(wall, one, wall, two, stride=16)
        >>> found.verdict.shape, found.share(Verdict.VISIBLE), found.xy1[0, 0].tolist()
        ((3, 4), 1.0, [8.0, 8.0])
    """
    return correspond_prepared(
        prepare(depth0, camera0, mask0), prepare(depth1, camera1, mask1), stride
    )


def correspond_prepared(view0: PreparedView, view1: PreparedView, stride: int) -> Correspondence:
    """Like ``correspond``, for views from ``prepare``; faster if views are used again.

    Raises:
        ValueError: ``stride`` is below 1 or larger than view 0.
    """
    xy, verdict, confidence = _outputs(*_grid_hw(view0, stride))
    _fill(view0, view1, stride, xy, verdict, confidence)
    return Correspondence(xy, verdict, confidence, stride)


def correspond_group(views: Sequence[PreparedView], stride: int) -> PairMaps:
    """Correspondences of all ordered pairs of views of one size.

    Args:
        views: V of them, made by ``prepare``, in the same world.
        stride: step of the query grids in pixels.

    Returns:
        PairMaps; index [a, b] holds where the queries of view a are in view b.

    Raises:
        ValueError: fewer than two views, views of different sizes, or a stride that does not fit.

    Example:
        >>> import numpy as np
        >>> camera = Camera([[50, 0, 32], [0, 50, 24], [0, 0, 1]], hw=(48, 64))
        >>> wall = prepare(np.full((48, 64), 2.0), camera)
        >>> maps = correspond_group([wall, wall], stride=16)
        >>> maps.xy[0, 1, 0, 0].tolist(), Verdict(maps.verdict[0, 1, 0, 0]).name
        ([8.0, 8.0], 'VISIBLE')
    """
    for view in views:
        if not isinstance(view, PreparedView):
            raise ValueError(
                f"a view of a group is a {type(view).__name__}; expected what prepare(depth, "
                "camera) gives"
            )
    if len(views) < 2:
        raise ValueError(f"a group has at least two views, got {len(views)}")
    if len(sizes := {view.camera.hw for view in views}) > 1:
        raise ValueError(f"views of a group have one size, got {sorted(sizes)} (h, w)")
    count = len(views)
    h, w = _grid_hw(views[0], stride)
    xy = np.full((count, count, h, w, 2), np.nan, np.float32)
    verdict = np.full((count, count, h, w), Verdict.NO_DEPTH, np.uint8)
    confidence = np.zeros((count, count, h, w), np.float32)
    for (a, b), traits in traits_of_group(views).items():
        _fill(views[a], views[b], stride, xy[a, b], verdict[a, b], confidence[a, b], traits)
    return PairMaps(stride, xy, verdict, confidence)


def sample_depth(
    depth: DepthMap, xy: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth (...) at pixels (..., 2) and whether it is known; never blended across an edge.

    Where the four pixels around a place see different surfaces, the one with the largest share
    counts.

    Args:
        depth: z-depth in scene units, (H, W).
        xy: (..., 2) pixels; the top-left pixel's centre is (0.5, 0.5).

    Returns:
        Depth (...), 0 where it is not known, and whether it is known (...).

    Example:
        >>> import numpy as np
        >>> z, known = sample_depth(DepthMap.from_array(np.full((4, 4), 2.0)), [[2, 2], [9, 9]])
        >>> z.tolist(), known.tolist()
        ([2.0, 0.0], [True, False])
    """
    return DepthSampler(depth)(xy)


class DepthSampler:
    """``sample_depth`` of one depth map for many calls, with the shared work done once."""

    def __init__(self, depth: DepthMap) -> None:
        self._hw = depth.hw
        self._inverse = kernel.padded_inverse(depth.z, depth.valid)
        self._cells = _cells(self._inverse, steps_of(self._inverse))
        self._sparse = _sparse(self._inverse)

    def __call__(self, xy: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        points = np.ascontiguousarray(np.asarray(xy, np.float64).reshape(-1, 2))
        w = kernel.sample(self._inverse, self._cells, self._hw, self._sparse, points)
        valid = w > 0
        z = np.where(valid, 1.0 / np.where(valid, w, 1.0), 0.0).astype(np.float32)
        shape = np.shape(xy)[:-1]
        return z.reshape(shape), valid.reshape(shape)


def noise_between(view0: PreparedView, view1: PreparedView) -> float:
    """Relative standard deviation of view 1's depth at view 0's points, by which the tolerance
    widens: 0 in clean depth, else rounded up to the next of a series of fixed values."""
    return traits_between(view0, view1, PairGeometry.between(view0.camera, view1.camera)).noise


def traits_of_group(views: Sequence[PreparedView]) -> dict[tuple[int, int], kernel.Traits]:
    """The depth traits of each ordered pair.

    A pair with too little overlap to measure its noise gets the noise of the noisiest other pair.
    """
    found = {
        (a, b): traits_between(one, two, PairGeometry.between(one.camera, two.camera))
        for (a, one), (b, two) in itertools.permutations(enumerate(views), 2)
    }
    measured = [traits.noise for traits in found.values() if traits.loose == 0]
    if not measured:
        return found
    return {
        pair: traits._replace(noise=max(measured), loose=0.0) if traits.loose else traits
        for pair, traits in found.items()
    }


def _grid_hw(view: PreparedView, stride: int) -> tuple[int, int]:
    if not 1 <= stride <= min(view.camera.hw) or stride != int(stride):
        raise ValueError(f"stride is {stride}; expected 1 to {min(view.camera.hw)}")
    return cameras.query_grid_hw(view.camera.hw, stride)


def _outputs(h: int, w: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """Empty xy (h, w, 2), verdict and confidence (h, w): views into one block if they are large."""
    count = h * w
    size = 13 * count
    if size >= _HUGE_PAGE:
        size = max(_HUGE_FROM, -(-size // _HUGE_PAGE) * _HUGE_PAGE)
    block = np.empty(size, np.uint8)
    return (
        block[: 8 * count].view(np.float32).reshape(h, w, 2),
        block[12 * count : 13 * count].reshape(h, w),
        block[8 * count : 12 * count].view(np.float32).reshape(h, w),
    )


def _fill(
    view0: PreparedView,
    view1: PreparedView,
    stride: int,
    xy: NDArray[np.float32],
    verdict: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    traits: kernel.Traits | None = None,
) -> None:
    geometry = PairGeometry.between(view0.camera, view1.camera)
    kernel.run(
        view0.inverse_depth, view0.cells, view1.inverse_depth, view1.cells, view1.camera.hw,
        geometry.homography, geometry.epipole1, geometry.epipole0, geometry.plane_map,
        stride, traits or traits_between(view0, view1, geometry),
        _NONE if view0.mask is None else view0.mask,
        _NONE if view1.mask is None else view1.mask,
        xy, verdict, confidence,
    )  # fmt: skip
