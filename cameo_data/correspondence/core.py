"""Cross-view correspondence of posed depth maps: where a point of view 0 is in view 1, and whether
view 1 sees it.

Conventions: ``docs/conventions.md``; the method and its measurements: ``docs/geometry.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.correspondence import kernel
from cameo_data.types import Camera, Correspondence, DepthMap, PairMaps, Verdict

# Noise is rounded up to a power of this: rounding of depths, as when a scene is given in another
# unit, must not move a tolerance.
NOISE_STEP = 1.1
# Depth from disparities in whole steps (8-bit maps) is flat but for steps of one size. Two views
# round independently, so their difference spreads over a step either way; 0.7 of the median step
# as standard deviation, 2.5 of which are tolerated, covers 98 % (Middlebury cones).
QUANTUM_NOISE = 0.7
_NONE = np.zeros((0, 0), np.bool_)
# From 4 MiB on, numpy asks for huge pages; those of Linux hold 2 MiB. First touching a full-size
# answer in ordinary pages of 4 KiB takes as long as computing it.
_HUGE_FROM, _HUGE_PAGE = 4 << 20, 2 << 20


@dataclass(frozen=True, eq=False)
class PreparedView:
    """A view made ready once for all pairs that it takes part in.

    Attributes:
        inverse_depth: (H + 2·PAD, W + 2·PAD) float32, 0 where unknown and in the margin.
        cells: uint8 of the same shape, which cells between four pixels are smooth.
        mask: (H, W) bool or None; restricts queries in this view and targets in it.
        quantum: relative step of quantised inverse depth, 0 where it is continuous.
    """

    camera: Camera
    inverse_depth: NDArray[np.float32]
    cells: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    quantum: float = 0.0


@dataclass(frozen=True, eq=False)
class PairGeometry:
    """What takes a homogeneous pixel (u, v, 1) with inverse depth w of view 0 to view 1.

    Attributes:
        homography: (3, 3), K1 R K0⁻¹: where points at infinity go.
        epipole1: (3,), K1 t; the landing place is (homography · (u, v, 1) + epipole1 · w), and
            its inverse depth w divided by the third coordinate.
        epipole0: (3,), K0 · (camera 1's centre in camera 0).
        plane_map: (3, 3), homography⁻ᵀ: takes the coefficients of inverse depth as a linear
            function of (u, v, 1) from view 0 to view 1, up to scale.
    """

    homography: NDArray[np.float64]
    epipole1: NDArray[np.float64]
    epipole0: NDArray[np.float64]
    plane_map: NDArray[np.float64]

    @classmethod
    def between(cls, camera0: Camera, camera1: Camera) -> PairGeometry:
        """From two cameras of one world."""
        cam1_from_cam0 = camera1.cam_from_world @ camera0.world_from_cam
        homography = camera1.K @ cam1_from_cam0[:3, :3] @ np.linalg.inv(camera0.K)
        return cls(
            homography,
            camera1.K @ cam1_from_cam0[:3, 3],
            camera0.K @ transforms.invert(cam1_from_cam0)[:3, 3],
            np.ascontiguousarray(np.linalg.inv(homography).T),
        )


def prepare(
    depth: DepthMap | NDArray[Any], camera: Camera, mask: NDArray[np.bool_] | None = None
) -> PreparedView:
    """A view ready for ``correspond_prepared``.

    Raises:
        ValueError: depth, mask and camera differ in size.
    """
    if isinstance(depth, DepthMap):
        z, valid = depth.z, depth.valid
    else:
        z, valid = np.asarray(depth, np.float32), _NONE
    if z.shape != camera.hw:
        raise ValueError(
            f"depth is {'×'.join(map(str, z.shape))}, camera says "
            f"{camera.hw[0]}×{camera.hw[1]} (h×w); resize one to the other"
        )
    if mask is not None and mask.shape != camera.hw:
        raise ValueError(
            f"mask has shape {mask.shape}, camera says {camera.hw} (h, w); resize one to the other"
        )
    inverse = kernel.padded_inverse(np.ascontiguousarray(z), valid)
    return PreparedView(camera, inverse, _cells(inverse), mask, _quantum(inverse))


def _cells(inverse: NDArray[np.float32]) -> NDArray[np.uint8]:
    smooth = min(max(kernel.SMOOTH, 3 * kernel.roughness(inverse)), kernel.SMOOTH_MAX)
    cells: NDArray[np.uint8] = kernel.classify_cells(inverse, smooth)
    return cells


def _quantum(inverse: NDArray[np.float32]) -> float:
    """Relative step of inverse depth that is stored in steps: most neighbours are equal, and the
    others differ by about one size and never by much less. 0 where depth is continuous.
    """
    rows = inverse[:: max(1, inverse.shape[0] // 64)]
    a, b = rows[:, :-1], rows[:, 1:]
    known = (a > 0) & (b > 0)
    if known.sum() < 1000:
        return 0.0
    a, b = a[known], b[known]
    step = np.abs(a - b) / np.maximum(a, b)
    if np.mean(step == 0) < 0.5:
        return 0.0
    steps = step[(step > 0) & (step < kernel.SMOOTH_MAX)]
    if steps.size < 0.03 * step.size:  # flat walls, with edges between them
        return 0.0
    least, median = np.quantile(steps, [0.01, 0.5])
    return float(median) if least > 0.5 * median else 0.0


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

    Nothing needs tuning: curvature and slant are read off the depth maps, noise off the difference
    between the two, and no threshold depends on the scene's unit.

    Args:
        depth0, depth1: z-depth in scene units, (H, W) each; sizes may differ. Zero, negative, NaN
            and infinite values are unknown.
        camera0, camera1: in the same world; ``hw`` equal to the depth's.
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
    """As ``correspond``, of prepared views."""
    xy, verdict, confidence = _outputs(*_grid_hw(view0, stride))
    _fill(view0, view1, stride, xy, verdict, confidence)
    return Correspondence(xy, verdict, confidence, stride)


def correspond_group(views: Sequence[PreparedView], stride: int) -> PairMaps:
    """Correspondences of all ordered pairs of views of one size.

    Raises:
        ValueError: fewer than two views, views of different sizes, or a stride that does not fit.
    """
    if len(views) < 2:
        raise ValueError(f"a group has at least two views, got {len(views)}")
    if len(sizes := {view.camera.hw for view in views}) > 1:
        raise ValueError(f"views of a group have one size, got {sorted(sizes)} (h, w)")
    count = len(views)
    h, w = _grid_hw(views[0], stride)
    xy = np.full((count, count, h, w, 2), np.nan, np.float32)
    verdict = np.full((count, count, h, w), Verdict.NO_DEPTH, np.uint8)
    confidence = np.zeros((count, count, h, w), np.float32)
    for a in range(count):
        for b in range(count):
            if a != b:
                _fill(views[a], views[b], stride, xy[a, b], verdict[a, b], confidence[a, b])
    return PairMaps(stride, xy, verdict, confidence)


def sample_depth(
    depth: DepthMap, xy: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth (...) at pixels (..., 2) and whether it is known; never blended across an edge.

    Where the four pixels around a place see different surfaces, the one with the largest share.
    """
    return DepthSampler(depth)(xy)


class DepthSampler:
    """``sample_depth`` of one depth map, for many calls: what they share is done once."""

    def __init__(self, depth: DepthMap) -> None:
        self._hw = depth.hw
        self._inverse = kernel.padded_inverse(depth.z, depth.valid)
        self._cells = _cells(self._inverse)

    def __call__(self, xy: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        points = np.ascontiguousarray(np.asarray(xy, np.float64).reshape(-1, 2))
        w = kernel.sample(self._inverse, self._cells, self._hw, points)
        valid = w > 0
        z = np.where(valid, 1.0 / np.where(valid, w, 1.0), 0.0).astype(np.float32)
        shape = np.shape(xy)[:-1]
        return z.reshape(shape), valid.reshape(shape)


def noise_between(view0: PreparedView, view1: PreparedView) -> float:
    """Relative standard deviation of what view 1's depth says about view 0's points, as it widens
    the tolerance: 0 in clean depth, else rounded up to the next of a row of fixed values."""
    geometry = PairGeometry.between(view0.camera, view1.camera)
    return _noise(view0, view1, geometry)


def _noise(view0: PreparedView, view1: PreparedView, geometry: PairGeometry) -> float:
    sigma = kernel.estimate_noise(
        view0.inverse_depth, view1.inverse_depth, view1.cells, view0.camera.hw, view1.camera.hw,
        geometry.homography, geometry.epipole1,
    )  # fmt: skip
    sigma = max(sigma, QUANTUM_NOISE * max(view0.quantum, view1.quantum))
    if sigma < kernel.LEAST_NOISE:
        return 0.0
    return float(NOISE_STEP ** math.ceil(math.log(sigma) / math.log(NOISE_STEP)))


def _grid_hw(view: PreparedView, stride: int) -> tuple[int, int]:
    if not 1 <= stride <= min(view.camera.hw):
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
) -> None:
    geometry = PairGeometry.between(view0.camera, view1.camera)
    kernel.run(
        view0.inverse_depth, view0.cells, view1.inverse_depth, view1.cells, view1.camera.hw,
        geometry.homography, geometry.epipole1, geometry.epipole0, geometry.plane_map,
        stride, _noise(view0, view1, geometry),
        _NONE if view0.mask is None else view0.mask,
        _NONE if view1.mask is None else view1.mask,
        xy, verdict, confidence,
    )  # fmt: skip
