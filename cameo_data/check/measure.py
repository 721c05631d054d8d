"""What a reading of cameras and depths says about matched pixels, in four small measures.

* epipolar: distance of matched features from the visible piece of their epipolar line, in pixels;
* transfer: distance of a feature, moved to the other view by its depth, from its match, in pixels;
* depth: relative difference of a point's depth as moved from one view and as seen in the other;
* colour: of the same points, matched against compared in place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.check import geometry
from cameo_data.check.matching import MatchedPair
from cameo_data.check.views import CheckedView
from cameo_data.correspondence import DepthSampler
from cameo_data.types import DepthMap, FloatArray

# Relative depth differences whose shares are reported.
TOLERANCES = (0.01, 0.02, 0.05, 0.10)
# Most points of a dense comparison per view and direction: to compare readings, and to report one.
# OpenCV's remap takes 32767 at most.
DENSE_POINTS = 3000
REPORTED_POINTS = 20_000
# Fewest points or features with depth for a measure to count.
LEAST_POINTS = 30
LEAST_FEATURES = 8
# Farther off is no better than nothing: shares of the image's diagonal.
WORST_PIXELS = 0.1
# A map is looked up for every pair of its view, and as often for every reading that has it.
_SAMPLERS: WeakKeyDictionary[DepthMap, DepthSampler] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Reading:
    """Cameras and depths of the V checked views under one interpretation.

    Attributes:
        K: (V, 3, 3) of the full images.
        cam_from_world: (V, 4, 4).
        depths: V depth maps (or None) at the views' reduced size.
        usable: (V,) False for views that the interpretation has no camera for.
        tracks_turned: clockwise quarter turns that bring the scene's own matches onto pictures
            that were turned after them.
    """

    K: FloatArray
    cam_from_world: FloatArray
    depths: tuple[DepthMap | None, ...]
    usable: NDArray[np.bool_]
    tracks_turned: int = 0

    @classmethod
    def of_views(cls, views: Sequence[CheckedView]) -> Reading:
        """As the source gives them."""
        return cls(
            np.array([view.frame.camera.K for view in views]),
            np.array([view.frame.camera.cam_from_world for view in views]),
            tuple(view.depth for view in views),
            np.ones(len(views), np.bool_),
        )

    def between(self, a: int, b: int) -> FloatArray:
        """b_from_a of two views."""
        relative: FloatArray = self.cam_from_world[b] @ transforms.invert(self.cam_from_world[a])
        return relative


@dataclass(frozen=True, eq=False)
class Dense:
    """One direction's points that land inside the other view, where its depth is known if any is.

    Attributes:
        queries: points with a depth in the first view.
        has_other_depth: whether the other view has depth; else residual and cycle are empty.
        residual: (N,) relative depth difference, signed: positive where moved depth is larger.
        cycle_px: (N,) distance after going there and back by the other view's depth.
        colour, in_place: (N,) mean absolute difference of RGB levels, at the landing place and at
            the same place of the frame.
        grey: (2, N) grey levels here and at the landing place.
    """

    queries: int
    has_other_depth: bool
    residual: FloatArray
    cycle_px: FloatArray
    colour: FloatArray
    in_place: FloatArray
    grey: FloatArray

    @property
    def covisible(self) -> float:
        """Share of the queries that land where the other view knows something."""
        return len(self.colour) / max(1, self.queries)

    def same_surface(self, tolerance: float) -> NDArray[np.bool_]:
        """(N,) whether both depths agree; all where the other view has none to compare."""
        if not self.has_other_depth:
            return np.ones(len(self.colour), np.bool_)
        agrees: NDArray[np.bool_] = np.abs(self.residual) < tolerance
        return agrees


@dataclass(frozen=True, eq=False)
class PairMeasure:
    """All measures of one pair; None where the pair cannot say.

    Attributes:
        epipolar_px, transfer_px: (N,) per match; at most WORST_PIXELS of the diagonal.
        tracks_px: (N,) as epipolar_px, of the scene's own matches; empty where it has none.
        dense: a → b and b → a, where the first has depth.
    """

    epipolar_px: FloatArray
    transfer_px: FloatArray | None
    dense: tuple[Dense, ...]
    diagonal_px: float
    tracks_px: FloatArray


def measure(
    reading: Reading, views: Sequence[CheckedView], pair: MatchedPair, points: int = DENSE_POINTS
) -> PairMeasure | None:
    """The pair's measures; None where a view has no camera.

    Args:
        points: of the dense comparison, at most; 0 for none.
    """
    if not (reading.usable[pair.a] and reading.usable[pair.b]):
        return None
    diagonal = float(np.hypot(*views[pair.a].hw))
    K_a, K_b, b_from_a = reading.K[pair.a], reading.K[pair.b], reading.between(pair.a, pair.b)
    epipolar = geometry.epipolar_distance(K_a, K_b, b_from_a, pair.xy_a, pair.xy_b)
    tracks_a = turned_xy(pair.tracks_a, views[pair.a].hw, reading.tracks_turned)
    tracks_b = turned_xy(pair.tracks_b, views[pair.b].hw, reading.tracks_turned)
    tracks = geometry.epipolar_distance(K_a, K_b, b_from_a, tracks_a, tracks_b)
    both = ((pair.a, pair.b, pair.xy_a, pair.xy_b), (pair.b, pair.a, pair.xy_b, pair.xy_a))
    moved = [_transfer(reading, views, *way) for way in both]
    known = [m for m in moved if m is not None]
    return PairMeasure(
        np.minimum(epipolar, WORST_PIXELS * diagonal),
        np.minimum(np.concatenate(known), WORST_PIXELS * diagonal) if known else None,
        tuple(
            found
            for a, b in ((pair.a, pair.b), (pair.b, pair.a))
            if points and (found := _dense(reading, views, a, b, points)) is not None
        ),
        diagonal,
        np.minimum(tracks, WORST_PIXELS * diagonal),
    )


def transfer_error(
    reading: Reading, views: Sequence[CheckedView], pairs: Sequence[MatchedPair]
) -> float:
    """Mean logarithm of the pairs' median distances of features moved by depth."""
    found = []
    for pair in pairs:
        m = measure(reading, views, pair, points=0)
        if m is not None and m.transfer_px is not None:
            found.append(np.log(max(float(np.median(m.transfer_px)), 1e-3)))
    return float(np.mean(found)) if found else np.inf


def turned_xy(xy: FloatArray, hw: tuple[int, int], count: int) -> FloatArray:
    """Pixels (N, 2) once their picture has been turned clockwise, to the size ``hw``."""
    h = hw[0] if count % 2 == 0 else hw[1]
    w = hw[1] if count % 2 == 0 else hw[0]
    for _ in range(count):
        xy, (h, w) = np.stack([h - xy[:, 1], xy[:, 0]], -1), (w, h)
    return xy


def feature_depth(
    reading: Reading, views: Sequence[CheckedView], a: int, xy: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]] | None:
    """Depth (N,) at full-image pixels of view ``a`` and whether it is known; None without depth."""
    depth = reading.depths[a]
    if depth is None:
        return None
    return _depth_at(depth, xy / views[a].step)


def _depth_at(depth: DepthMap, xy: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    if depth not in _SAMPLERS:
        _SAMPLERS[depth] = DepthSampler(depth)
    z, known = _SAMPLERS[depth](xy)
    return np.asarray(z, np.float64), np.asarray(known, np.bool_)


def _transfer(
    reading: Reading, views: Sequence[CheckedView], a: int, b: int, xy_a: FloatArray,
    xy_b: FloatArray,
) -> FloatArray | None:  # fmt: skip
    looked_up = feature_depth(reading, views, a, xy_a)
    if looked_up is None or looked_up[1].sum() < LEAST_FEATURES:
        return None
    z, known = looked_up
    landed, _ = geometry.transfer(
        reading.K[a], reading.K[b], reading.between(a, b), xy_a[known], z[known]
    )
    off = np.linalg.norm(landed - xy_b[known], axis=1)
    return np.asarray(np.where(np.isnan(off), np.inf, off), np.float64)


def _dense(
    reading: Reading, views: Sequence[CheckedView], a: int, b: int, points: int
) -> Dense | None:
    """Depth and colour of a grid over view ``a``, compared with view ``b``."""
    depth_a, depth_b = reading.depths[a], reading.depths[b]
    if depth_a is None:
        return None
    small_hw = depth_a.hw
    stride = math.ceil(math.sqrt(small_hw[0] * small_hw[1] / points))
    at = cameras.query_xy(small_hw, stride).reshape(-1, 2)
    z, known = _depth_at(depth_a, at)
    at, z = at[known], z[known]
    b_from_a = reading.between(a, b)
    landed, z_b = geometry.transfer(reading.K[a], reading.K[b], b_from_a, at * views[a].step, z)
    inside = np.asarray((landed >= 0).all(1) & (landed < views[b].hw[::-1]).all(1), np.bool_)
    residual = cycle = np.zeros(0)
    if depth_b is not None:
        seen, known = _depth_at(depth_b, np.where(inside[:, None], landed, 0) / views[b].step)
        inside &= known
        seen = seen[inside]
        residual = (z_b[inside] - seen) / seen
        back, _ = geometry.transfer(
            reading.K[b], reading.K[a], transforms.invert(b_from_a), landed[inside], seen
        )
        cycle = np.linalg.norm(back - (at * views[a].step)[inside], axis=1)
    here = _colour_at(views[a].rgb, at[inside])
    there = _colour_at(views[b].rgb, landed[inside] / views[b].step)
    ratio = np.array(views[b].rgb.shape[1::-1]) / np.array(small_hw[::-1])
    same = _colour_at(views[b].rgb, at[inside] * ratio)
    return Dense(
        queries=len(z),
        has_other_depth=depth_b is not None,
        residual=residual,
        cycle_px=cycle,
        colour=np.abs(there - here).mean(1),
        in_place=np.abs(same - here).mean(1),
        grey=np.stack([here.mean(1), there.mean(1)]),
    )


def _colour_at(rgb: NDArray[np.uint8], xy: FloatArray) -> FloatArray:
    """(N, 3) bilinear colours at pixels (N, 2)."""
    if not len(xy):
        return np.zeros((0, 3))
    index = (xy - 0.5).astype(np.float32)[:, None]
    found = cv2.remap(rgb, index, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64)[:, 0]


def correlation(grey: FloatArray) -> float:
    """Normalised correlation of two rows; 0 where either is constant."""
    centred = grey - grey.mean(1, keepdims=True)
    norm = float(np.linalg.norm(centred[0]) * np.linalg.norm(centred[1]))
    return float(centred[0] @ centred[1]) / norm if norm > 0 else 0.0
