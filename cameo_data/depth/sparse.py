"""Which views help each other, and roughly how deep a scene is: from features and known poses.

SIFT features of views that look the same way are matched and held against the epipolar lines of
the poses. What fits is triangulated: these points choose neighbours by how many pixels two views
share and at what angle, bound the depth, and tie monocular depth to the scene's scale. Where much
matches and little of it fits, the poses are wrong; where nothing moves, the views only turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.check import geometry
from cameo_data.check.matching import mutual
from cameo_data.check.views import features
from cameo_data.depth import neighbours as nearby
from cameo_data.depth.method import DepthScene
from cameo_data.errors import DataError, Reason, plural
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray

# Pixels at a longer side of 640 within which a match agrees with its epipolar line: poses of SLAM
# and of video are good to about one.
EPIPOLAR_PX = 2.0
# A scene with this many matches of which less than this share fit is posed wrongly. Of the real
# sets the worst (NYU, poses by SLAM) has 34 %, the others have 58 % and more; a rendered scene
# whose cameras were each turned by some 5° has 22 %.
ENOUGH_MATCHES = 30
LEAST_FITTING = 0.3
# Angle between two rays below which a point has no depth to speak of.
LEAST_ANGLE_DEG = 0.5
# The angle at which depth is known well and pictures still look alike, and how fast either gets
# worse (σ below and above), as MVSNet chooses views (Yao et al., ECCV 2018, section 4.1).
BEST_ANGLE_DEG, NARROWER_DEG, WIDER_DEG = 5.0, 2.5, 6.0
# More common points than this are no better.
PLENTY = 1000
# Points of a frame that say something of its range of depth.
ENOUGH_POINTS = 20


@dataclass(frozen=True, eq=False)
class SparseScene:
    """What features and poses say of a scene of N frames.

    Attributes:
        neighbours: (N, M) frame numbers, the best first; −1 where there are fewer.
        matched, fitting: (N,) feature matches of a frame, and those that fit the poses.
        frame: (P,) frame that sees a point; xy: (P, 2) where; w: (P,) its inverse depth there.
    """

    neighbours: NDArray[np.int64]
    matched: NDArray[np.int64]
    fitting: NDArray[np.int64]
    frame: NDArray[np.int64]
    xy: FloatArray
    w: FloatArray

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As a method's ``prepare`` hands them on."""
        return dict(vars(self))

    @classmethod
    def of(cls, prepared: Mapping[str, NDArray[Any]]) -> SparseScene:
        """Of ``arrays``."""
        return cls(**{name: prepared[name] for name in cls.__dataclass_fields__})

    def points(self, number: int) -> tuple[FloatArray, FloatArray]:
        """(P, 2) pixels and (P,) inverse depths of the points that a frame sees."""
        mine = self.frame == number
        return self.xy[mine], self.w[mine]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two matched frames; ``score`` says how much they help each other."""

    a: int
    b: int
    matched: int
    fitting: int
    score: float
    xy_a: FloatArray
    xy_b: FloatArray
    w_a: FloatArray
    w_b: FloatArray


def survey(scene: DepthScene, neighbours: int) -> SparseScene:
    """Neighbours, at most so many each, and points of all frames.

    Raises:
        FileDefect: fewer than two frames, no baseline, or poses that the pictures contradict.
    """
    count = len(scene)
    if count < 2:
        raise FileDefect(
            Reason.TOO_FEW_VIEWS,
            plural(count, "posed view"),
            "at least 2 that see the same things from different places",
            "add views, or use `cameo-data depth model`",
        )
    ranked = nearby.ranked(scene)
    found = _match(scene, {(min(a, b), max(a, b)) for a in range(count) for b in ranked[a]})
    matched, fitting = np.zeros((2, count), np.int64)
    for pair in found:
        for number in (pair.a, pair.b):
            matched[number] += pair.matched
            fitting[number] += pair.fitting
    _refuse_one_place(scene)
    _refuse_wrong_poses(int(matched.sum()) // 2, int(fitting.sum()) // 2)
    _refuse_rotation(found)
    frame = [np.full(len(p.xy_a), n) for p in found for n in (p.a, p.b)]
    return SparseScene(
        _neighbours(scene, found, ranked, neighbours),
        matched,
        fitting,
        np.concatenate([np.zeros(0, np.int64), *frame]).astype(np.int64),
        np.concatenate([np.zeros((0, 2)), *(xy for p in found for xy in (p.xy_a, p.xy_b))]),
        np.concatenate([np.zeros(0), *(w for p in found for w in (p.w_a, p.w_b))]),
    )


def _match(scene: DepthScene, pairs: set[tuple[int, int]]) -> list[_Pair]:
    """The pairs whose features match; frames that cannot be read match nothing."""
    known: dict[int, tuple[FloatArray, NDArray[np.float32]] | None] = {}
    last = {n: max(pair for pair in pairs if n in pair) for pair in pairs for n in pair}
    found = []
    for pair in sorted(pairs):
        for n in pair:
            if n not in known:
                try:
                    known[n] = features(scene.image(n))
                except DataError:
                    known[n] = None  # counted when the frame's own turn comes
        one, two = known[pair[0]], known[pair[1]]
        if one is not None and two is not None:
            rows, columns = mutual(one[1], two[1])
            found.append(_fit(scene, pair, one[0][rows], two[0][columns]))
        for n in pair:
            if last[n] == pair:  # features of a long video would not fit into memory
                known.pop(n, None)
    return found


def _fit(scene: DepthScene, pair: tuple[int, int], xy_a: FloatArray, xy_b: FloatArray) -> _Pair:
    """Holds a pair's matches against its poses, and triangulates what fits."""
    a, b = (scene.camera(n) for n in pair)
    b_from_a = b.cam_from_world @ a.world_from_cam
    a_from_b = transforms.invert(b_from_a)
    limit = EPIPOLAR_PX * max(0.5, max(a.hw) / 640)
    distance = geometry.epipolar_distance(a.K, b.K, b_from_a, xy_a, xy_b)
    fits = distance <= limit
    fitting = int(fits.sum())
    xy_a, xy_b = xy_a[fits], xy_b[fits]
    z_a = geometry.epipolar_piece(a.K, b.K, b_from_a, xy_a, xy_b).z0
    z_b = geometry.epipolar_piece(b.K, a.K, a_from_b, xy_b, xy_a).z0
    angle = _ray_angle_deg(a.K, b.K, b_from_a, xy_a, xy_b)
    good = np.isfinite(z_a) & np.isfinite(z_b) & (angle >= LEAST_ANGLE_DEG)
    return _Pair(
        *pair,
        matched=len(fits),
        fitting=fitting,
        score=_helpfulness(angle[good]),
        xy_a=xy_a[good],
        xy_b=xy_b[good],
        w_a=1 / z_a[good],
        w_b=1 / z_b[good],
    )


def _ray_angle_deg(
    K_a: FloatArray, K_b: FloatArray, b_from_a: FloatArray, xy_a: FloatArray, xy_b: FloatArray
) -> FloatArray:
    """(N,) between the rays through matched pixels."""

    def rays(K: FloatArray, xy: FloatArray) -> FloatArray:
        out = np.concatenate([xy, np.ones_like(xy[:, :1])], 1) @ np.linalg.inv(K).T
        unit: FloatArray = out / np.linalg.norm(out, axis=1, keepdims=True)
        return unit

    one, two = rays(K_a, xy_a) @ b_from_a[:3, :3].T, rays(K_b, xy_b)
    sine = np.linalg.norm(np.cross(one, two), axis=1)
    angle: FloatArray = np.degrees(np.arctan2(sine, (one * two).sum(1)))
    return angle


def _helpfulness(angle_deg: FloatArray) -> float:
    """How much two views help each other whose common points are seen under these angles."""
    if not len(angle_deg):
        return 0.0
    off = float(np.median(angle_deg)) - BEST_ANGLE_DEG
    width = NARROWER_DEG if off < 0 else WIDER_DEG
    return min(len(angle_deg), PLENTY) * float(np.exp(-(off**2) / (2 * width**2)))


def _neighbours(
    scene: DepthScene, found: Sequence[_Pair], ranked: Sequence[Sequence[int]], most: int
) -> NDArray[np.int64]:
    """(N, most) the most helpful views of each; where nothing matches, the nearest that moved."""
    scores = np.zeros((len(scene), len(scene)))
    for pair in found:
        scores[pair.a, pair.b] = scores[pair.b, pair.a] = pair.score
    out = np.full((len(scene), most), -1, np.int64)
    for n in range(len(scene)):
        order = np.argsort(-scores[n], kind="stable")
        chosen = [int(m) for m in order[:most] if scores[n, m] > 0]
        # features are few on smooth things; the poses still say who is near
        chosen += [m for m in ranked[n] if m not in chosen and _baseline(scene, n, m) > 0]
        out[n, : len(chosen[:most])] = chosen[:most]
    return out


def _baseline(scene: DepthScene, a: int, b: int) -> float:
    """Between two cameras' centres."""
    one, two = (scene.camera(n).world_from_cam[:3, 3] for n in (a, b))
    return float(np.linalg.norm(one - two))


def _refuse_wrong_poses(matched: int, fitting: int) -> None:
    if matched >= ENOUGH_MATCHES and fitting < LEAST_FITTING * matched:
        raise FileDefect(
            Reason.BAD_POSE,
            f"of {matched} feature matches {fitting} fit the poses",
            f"at least {100 * LEAST_FITTING:.0f} %",
            "find the mistake with `cameo-data check`",
        )


def _refuse_one_place(scene: DepthScene) -> None:
    if not any(_baseline(scene, 0, n) > 0 for n in range(1, len(scene))):
        raise _no_parallax("all views are from one place")


def _refuse_rotation(found: Sequence[_Pair]) -> None:
    """A camera that turns all but on the spot sees no depth."""
    fitting, moved = sum(p.fitting for p in found), sum(len(p.xy_a) for p in found)
    if fitting >= ENOUGH_MATCHES and moved < LEAST_FITTING / 2 * fitting:
        raise _no_parallax(
            f"{moved} of {fitting} matched points move by {LEAST_ANGLE_DEG:g}° or more"
        )


def _no_parallax(found: str) -> FileDefect:
    return FileDefect(
        Reason.NO_PARALLAX,
        found,
        "views from different places",
        "add such views, or use `cameo-data depth model`",
    )
