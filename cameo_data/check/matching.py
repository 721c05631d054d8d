"""Matched pixels of pairs of views, found without using any pose.

Pairs are kept where SIFT features match: ratio test, mutual, one fundamental matrix, none of which
needs a pose; or where the scene has matches of its own, such as COLMAP's tracks. Features of what
moves with the camera (a gripper, a bonnet, a watermark) are left out: they would say of any motion
that there was none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.check.views import FEATURE_SIDE, CheckedView
from cameo_data.frames import view_xy
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray, Scene

MATCHES = 400
# Lowe's ratio (IJCV 2004, section 7.1), and the fewest matches that make a pair: unrelated views of
# the real sets have had up to 16 that one fundamental matrix happens to explain.
RATIO = 0.8
LEAST_MATCHES = 20
# Pixels at FEATURE_SIDE within which a match agrees with the pair's fundamental matrix.
INLIER_PX = 1.5
# A feature moves with the camera if so many other views, and this share of them, have it within so
# many pixels (at FEATURE_SIDE) of the same place. Views are chosen in bursts of four, of which a
# slow camera may leave all features in place; there are more views than those of a burst.
FIXED_PX = 1.0
LEAST_FIXED_VIEWS = 3
LEAST_FIXED_SHARE = 0.3
# Each view keeps this many pairs if it has them, so that it can be judged by itself.
LEAST_PAIRS_PER_VIEW = 4


def _none() -> FloatArray:
    return np.zeros((0, 2))


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """Two views by index and their matches, (M, 2) full-image pixels each; M may be 0.

    Attributes:
        tracks_a, tracks_b: likewise, of matches that the scene itself states.
    """

    a: int
    b: int
    xy_a: FloatArray
    xy_b: FloatArray
    tracks_a: FloatArray = field(default_factory=_none)
    tracks_b: FloatArray = field(default_factory=_none)


def match_pairs(
    views: Sequence[CheckedView], pairs: int, seed: int, scene: Scene | None = None
) -> list[MatchedPair]:
    """At most ``pairs`` pairs that share features or tracks; neighbours without any if none do.

    Args:
        scene: where its own matches (``Scene.matches``) count as well.
    """
    every = list(itertools.combinations(range(len(views)), 2))
    rows = {(a, b): mutual(views[a].descriptors, views[b].descriptors) for a, b in every}
    free = [~fixed for fixed in fixed_features(views, rows)]
    found = []
    for a, b in every:
        of_a, of_b = rows[a, b]
        free_rows = free[a][of_a] & free[b][of_b]
        pair = _match(views, a, b, of_a[free_rows], of_b[free_rows], seed)
        pair = _with_tracks(scene, views, pair, seed)
        if len(pair.xy_a) or len(pair.tracks_a):
            found.append(pair)
    if not found:
        found = [MatchedPair(a, a + 1, _none(), _none()) for a in range(len(views) - 1)]
    return _chosen(found, pairs, len(views), seed)


Rows = dict[tuple[int, int], tuple[NDArray[np.intp], NDArray[np.intp]]]


def fixed_features(views: Sequence[CheckedView], rows: Rows) -> list[NDArray[np.bool_]]:
    """Per view, which features stay where they are in the picture while the camera moves."""
    in_place = [np.zeros(len(view.xy), np.int64) for view in views]
    for (a, b), (of_a, of_b) in rows.items():
        if views[a].hw != views[b].hw or not len(of_a):
            continue
        limit = FIXED_PX * max(1.0, max(views[a].hw) / FEATURE_SIDE)
        still = np.linalg.norm(views[a].xy[of_a] - views[b].xy[of_b], axis=1) < limit
        in_place[a][of_a[still]] += 1
        in_place[b][of_b[still]] += 1
    least = max(LEAST_FIXED_VIEWS, LEAST_FIXED_SHARE * (len(views) - 1))
    return [np.asarray(count >= least, np.bool_) for count in in_place]


def _chosen(found: Sequence[MatchedPair], pairs: int, views: int, seed: int) -> list[MatchedPair]:
    """At most ``pairs`` of them by seed, first those of views that have few."""
    if len(found) <= pairs:
        return list(found)
    order = np.random.default_rng([seed, 1]).permutation(len(found)).tolist()
    degree = np.zeros(views, np.int64)
    kept: list[int] = []
    for least in range(1, LEAST_PAIRS_PER_VIEW + 1):
        for i in order:
            ends = [found[i].a, found[i].b]
            if i not in kept and len(kept) < pairs and degree[ends].min() < least:
                kept.append(i)
                degree[ends] += 1
    rest = [i for i in order if i not in kept]
    return [found[i] for i in sorted([*kept, *rest[: pairs - len(kept)]])]


def _match(
    views: Sequence[CheckedView], a: int, b: int, of_a: NDArray[np.intp], of_b: NDArray[np.intp],
    seed: int,
) -> MatchedPair:  # fmt: skip
    one, two = views[a], views[b]
    xy_a, xy_b = one.xy[of_a], two.xy[of_b]
    kept = np.zeros(0, np.intp)
    if len(of_a) >= LEAST_MATCHES:
        limit = INLIER_PX * max(1.0, max(one.hw) / FEATURE_SIDE)
        kept = _inliers(xy_a, xy_b, limit, seed)
    if len(kept) < LEAST_MATCHES:
        return MatchedPair(a, b, _none(), _none())
    if len(kept) > MATCHES:
        kept = np.sort(np.random.default_rng([seed, a, b]).permutation(kept)[:MATCHES])
    return MatchedPair(a, b, xy_a[kept], xy_b[kept])


def _with_tracks(
    scene: Scene | None, views: Sequence[CheckedView], pair: MatchedPair, seed: int
) -> MatchedPair:
    """The pair with the scene's own matches, where it has enough of them."""
    if scene is None or scene.matches is None:
        return pair
    one, two = views[pair.a].frame, views[pair.b].frame
    try:
        stored = scene.matches.between(one.frame_id, two.frame_id)
        xy_a, xy_b = view_xy(one, stored.xy0), view_xy(two, stored.xy1)
    except FileDefect as defect:
        raise defect.at(scene.dataset, scene.scene_id, one.frame_id) from None
    kept = np.flatnonzero(np.isfinite(xy_a[:, 0]) & np.isfinite(xy_b[:, 0]))
    if len(kept) < LEAST_MATCHES:
        return pair
    if len(kept) > MATCHES:
        rng = np.random.default_rng([seed, pair.a, pair.b, 1])
        kept = np.sort(rng.permutation(kept)[:MATCHES])
    return MatchedPair(pair.a, pair.b, pair.xy_a, pair.xy_b, xy_a[kept], xy_b[kept])


def _inliers(
    xy_a: FloatArray, xy_b: FloatArray, threshold_px: float, seed: int
) -> NDArray[np.intp]:
    """Indices of matches that one fundamental matrix explains; none where there is no such."""
    cv2.setRNGSeed(seed % 2**31)
    # MAGSAC++ is the better estimator, but fails on views that hardly moved; RANSAC does not
    for method in (cv2.USAC_MAGSAC, cv2.FM_RANSAC):
        try:
            _, found = cv2.findFundamentalMat(xy_a, xy_b, method, threshold_px, 0.999, 2000)
        except cv2.error:
            continue
        if found is not None:
            return np.flatnonzero(found.ravel())
    return np.zeros(0, np.intp)


def mutual(
    one: NDArray[np.float32], two: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of features that are each other's nearest, clearly nearer than the second."""
    if min(len(one), len(two)) < 2:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    squared = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * (one @ two.T)
    best = squared.argmin(1)
    second, first = np.partition(squared, 1, axis=1)[:, 1], squared[np.arange(len(one)), best]
    rows = np.flatnonzero(
        (first < RATIO**2 * second) & (squared.argmin(0)[best] == np.arange(len(one)))
    )
    return rows, best[rows]
