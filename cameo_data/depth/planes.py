"""Planes for surfaces without a mark: a blank wall is where the pictures on it and its edges are.

On blank surfaces, stereo sees only where they end. Most of them are flat, and a plane is
flat in inverse depth as well: w = a x + b y + c. For each blank region of a view, planes are fitted
to the confirmed pixels in it and on its edge. A plane is believed where these pin it down, and
where the region, moved by that plane into other views, looks the same there, edges included, while
it would not if it were infinitely far away, as a sky is. (Piecewise planar stereo: Sinha, Steedly
and Szeliski, ICCV 2009; Gallup, Frahm and Pollefeys, CVPR 2010.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.depth import appearance
from cameo_data.depth.appearance import Mask, SmoothedView
from cameo_data.types import FloatArray

# A pixel is blank where the smoothed picture changes by less than this many of 255 grey levels per
# pixel; noise of a camera leaves 0.3.
BLANK_SLOPE = 2.0
# Blank regions of less than this share of the picture are left alone; bridges between regions
# thinner than this are cut.
REGION_SHARE, BRIDGE_PX = 6e-3, 5
# Confirmed pixels up to this far from a region say where it is: on its edge, not beyond.
REACH_PX = 4
# A confirmed pixel is on a plane to this share of its inverse depth. Each region
# draws TRIALS planes through three pixels each, and keeps up to MOST_PLANES that hold at least
# FEWEST_PIXELS and this share of all its pixels.
ON_PLANE, TRIALS, MOST_PLANES, FEWEST_PIXELS, LEAST_SHARE = 0.01, 200, 3, 100, 0.3
# Pixels that are drawn of a region and of its surroundings.
DRAWN = 3000
# Neighbouring pixels err alike: so many count as one measurement of a plane. Its inverse depth must
# then be known to this share (one standard deviation).
ALIKE, LEAST_KNOWN = 100, 0.01
# Pixels of a region that may look different, and that must look so if the region were infinitely
# far away: so many times more, and more by that share.
MOST_DIFFERENT, TIMES_MORE, SHARE_MORE = 0.2, 2.0, 0.02
# An edge is where the nearer of two surfaces is. So a region that is in front of its own edges is
# not there; of the confirmed pixels at most this share may be behind its plane.
MOST_BEHIND = 0.05
# Those on the plane must span this share of the region: a box before a blank wall does not say
# where the wall is, a picture, a skirting board and a door frame together do.
LEAST_ENCLOSED = 0.25
# A second plane elsewhere, of more than this share of the first's pixels, makes both doubtful.
AS_GOOD = 0.5


def blank_regions(image: NDArray[np.float32]) -> Iterator[Mask]:
    """(H, W) masks of the blank regions of a smoothed picture, the largest first."""
    slope = np.hypot(*(cv2.Sobel(image, -1, *way, ksize=3) / 8 for way in ((1, 0), (0, 1))))
    blank = (slope.max(2) < BLANK_SLOPE).astype(np.uint8)
    blank = cv2.morphologyEx(blank, cv2.MORPH_OPEN, np.ones((BRIDGE_PX, BRIDGE_PX), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(blank, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    for label in sorted(range(1, count), key=lambda k: -areas[k]):
        if areas[label] >= REGION_SHARE * blank.size:
            yield labels == label


def complete(
    image: NDArray[np.uint8], z: FloatArray, views: Sequence[SmoothedView], needed: int
) -> FloatArray:
    """(H, W) depth of blank surfaces that lie on planes; 0 elsewhere.

    Args:
        z: (H, W) confirmed depth; 0 where there is none.
        views: that see the same from elsewhere.
        needed: so many of them must show the same colour at a pixel.
    """
    w = np.where(z > 0, 1 / np.where(z > 0, z, 1), 0)
    found = np.zeros(w.shape)
    picture = appearance.smoothed(image)
    rng = np.random.default_rng(0)
    for region in blank_regions(picture):
        pixels = np.argwhere(region & (z <= 0))
        plane = _plane_of(region, w, picture, views, rng) if len(pixels) else None
        if plane is None:
            continue
        design = _design(pixels, w.shape)
        here = plane.at(design)
        good = (here > 0) & (plane.spread(design) <= LEAST_KNOWN * here)
        good &= appearance.same_colour(pixels, here, picture, views, needed)
        found[tuple(pixels[good].T)] = 1 / here[good]
    return found


def _plane_of(
    region: Mask,
    w: FloatArray,
    picture: NDArray[np.float32],
    views: Sequence[SmoothedView],
    rng: np.random.Generator,
) -> Plane | None:
    """The one plane that what is known of the region and around it, and the views, speak for."""
    near = cv2.dilate(region.astype(np.uint8), np.ones((2 * REACH_PX + 1,) * 2, np.uint8))
    known = np.argwhere((near > 0) & (w > 0))
    if len(known) < FEWEST_PIXELS:
        return None
    places = known[rng.permutation(len(known))[:DRAWN]]
    design, w_there = _design(places, w.shape), w[tuple(places.T)]
    inside = np.argwhere(region)
    inside = inside[:: max(1, len(inside) // DRAWN)]
    right = [
        plane
        for plane in fit_planes(design, w_there, len(known), rng)
        if np.mean(w_there < plane.at(design) * (1 - appearance.BEYOND)) <= MOST_BEHIND
        and _enclosed(plane.on(design, w_there), places, region) >= LEAST_ENCLOSED
        and _looks_right(plane, inside, picture, views)
    ]
    return right[0] if right and not _ambiguous(right, _design(inside, w.shape)) else None


def _enclosed(on: Mask, places: NDArray[np.int64], region: Mask) -> float:
    """Share of the region in the convex hull of the places that are on the plane."""
    hull = cv2.convexHull(places[on][:, ::-1].astype(np.int32))
    within = cv2.fillConvexPoly(np.zeros(region.shape, np.uint8), hull, 1)
    return float(within[region].mean())


def _ambiguous(planes: Sequence[Plane], design: FloatArray) -> bool:
    """Whether a plane elsewhere has nearly as much for it as the first."""
    w = planes[0].at(design)
    return any(
        other.share > AS_GOOD * planes[0].share
        and np.median(np.abs(other.at(design) - w)) > appearance.BEYOND * np.median(w)
        for other in planes[1:]
    )


@dataclass(frozen=True, eq=False)
class Plane:
    """Inverse depth of a plane, and how well it is known.

    Attributes:
        coefficients: (3,) of ``_design``'s columns.
        covariance: (3, 3) of these.
        share: of the confirmed pixels around that are on it.
    """

    coefficients: FloatArray
    covariance: FloatArray
    share: float

    def at(self, design: FloatArray) -> FloatArray:
        """(N,) inverse depths."""
        return design @ self.coefficients

    def on(self, design: FloatArray, w: FloatArray) -> Mask:
        """(N,) which of these points are on it."""
        on: Mask = np.abs(self.at(design) - w) <= ON_PLANE * w
        return on

    def spread(self, design: FloatArray) -> FloatArray:
        """(N,) standard deviations of ``at``."""
        variance: FloatArray = np.einsum("ni,ij,nj->n", design, self.covariance, design)
        return np.sqrt(variance)


def _design(pixels: NDArray[np.int64], hw: tuple[int, ...]) -> FloatArray:
    """(N, 3) x, y, 1 of (N, 2) rows and columns, in widths from the picture's middle."""
    y, x = (pixels.T + 0.5 - np.array(hw)[:, None] / 2) / hw[1]
    return np.stack([x, y, np.ones_like(x)], 1)


def fit_planes(
    design: FloatArray, w: FloatArray, count: int, rng: np.random.Generator
) -> list[Plane]:
    """Planes through many of the points, that with the most first (RANSAC, one after another).

    Args:
        count: points of which these were drawn.
    """
    planes: list[Plane] = []
    left = np.ones(len(w), np.bool_)
    while len(planes) < MOST_PLANES and left.sum() >= FEWEST_PIXELS:
        X, v = design[left], w[left]
        trials = rng.integers(len(v), size=(TRIALS, 3))
        trials = trials[np.abs(np.linalg.det(X[trials])) > 1e-9]
        if not len(trials):
            break
        drawn = np.linalg.solve(X[trials], v[trials][..., None])[..., 0]
        best = drawn[(np.abs(X @ drawn.T - v[:, None]) <= ON_PLANE * v[:, None]).sum(0).argmax()]
        for _ in range(3):
            on = np.abs(X @ best - v) <= ON_PLANE * v
            if on.sum() < FEWEST_PIXELS:
                return planes
            best = np.linalg.lstsq(X[on], v[on], rcond=None)[0]
        on = np.abs(X @ best - v) <= ON_PLANE * v
        share = float(on.sum() / len(w))
        if on.sum() < FEWEST_PIXELS or share < LEAST_SHARE:
            break
        variance = float(np.mean((X[on] @ best - v[on]) ** 2))
        measured = max(1.0, share * count / ALIKE)
        covariance = np.linalg.pinv(X[on].T @ X[on] / on.sum()) * variance / measured
        planes.append(Plane(best, covariance, share))
        left[np.flatnonzero(left)[on]] = False
    return planes


def _looks_right(
    plane: Plane,
    pixels: NDArray[np.int64],
    picture: NDArray[np.float32],
    views: Sequence[SmoothedView],
) -> bool:
    """Whether the region looks the same in other views if it is there, and not if it is far."""
    w = plane.at(_design(pixels, picture.shape[:2]))
    if np.quantile(w, 0.02) <= 0:
        return False
    different = appearance.share_different(pixels, np.maximum(w, 0), picture, views)
    far = appearance.share_different(pixels, np.zeros_like(w), picture, views)
    return different <= MOST_DIFFERENT and far >= TIMES_MORE * different + SHARE_MORE
