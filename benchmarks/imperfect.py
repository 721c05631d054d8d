"""Exact scenes whose depth is thinned out or rounded to whole steps, with the exact answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import Depth, Figure, degraded, match, near_known
from benchmarks.scenes import UP, ViewPair, acceptance_scene
from benchmarks.truth import Case, case_of
from cameo_data import transforms
from cameo_data.camera import project, query_xy, unproject
from cameo_data.types import Camera, Verdict

Mask = NDArray[np.bool_]
BLOCK = 8


def in_random(hw: tuple[int, int], share: float, rng: np.random.Generator) -> Mask:
    """Pixels picked at random."""
    return rng.random(hw) < share


def in_rows(hw: tuple[int, int], share: float, rng: np.random.Generator) -> Mask:
    """Every n-th row."""
    every = round(1 / share)
    keep = np.zeros(hw, bool)
    keep[rng.integers(every) :: every] = True
    return keep


def in_blocks(hw: tuple[int, int], share: float, rng: np.random.Generator) -> Mask:
    """Squares of 8 × 8 pixels."""
    h, w = hw
    blocks = rng.random((-(-h // BLOCK), -(-w // BLOCK))) < share
    return np.kron(blocks, np.ones((BLOCK, BLOCK), bool))[:h, :w]


def as_lidar(hw: tuple[int, int], share: float, rng: np.random.Generator) -> Mask:
    """Bent, tilted scan lines that lose points, as a LiDAR projected into a camera leaves them."""
    h, w = hw
    every = max(2, round(0.5 / share))
    x = np.arange(w)
    keep = np.zeros(hw, bool)
    for start in range(-h, 2 * h, every):
        line = start + rng.integers(2) + 0.03 * (x - w / 2) + 4e-4 * (x - w / 2) ** 2
        y = np.rint(line).astype(int)
        there = (y >= 0) & (y < h) & (rng.random(w) < share * every)
        keep[y[there], x[there]] = True
    return keep


PATTERNS: dict[str, Callable[[tuple[int, int], float, np.random.Generator], Mask]] = {
    "random": in_random,
    "rows": in_rows,
    "blocks": in_blocks,
    "LiDAR": as_lidar,
}


@dataclass
class Known:
    """Counts among queries with known depth: at the query's own pixel, and at one of the four
    around its true landing place."""

    visible: int = 0
    hidden: int = 0
    called_visible: int = 0
    called_hidden: int = 0
    right_visible: int = 0
    right_hidden: int = 0
    sure_and_wrong: int = 0  # visible, called OCCLUDED at a confidence above 0.9

    def figures(self) -> list[Figure]:
        """The figures for thinned depth, with their targets."""
        return [
            Figure("VISIBLE precision", self.right_visible / self.called_visible, 0.98),
            Figure("VISIBLE recall", self.visible_recall, 0.9),
            Figure("OCCLUDED precision", self.right_hidden / self.called_hidden, 0.95),
            Figure("OCCLUDED recall", self.right_hidden / self.hidden, 0.4),
            Figure("wrongly OCCLUDED, above 0.9", self.sure_and_wrong / self.called_hidden, 0.02,
                   False),
        ]  # fmt: skip

    @property
    def visible_recall(self) -> float:
        """Share of visible queries that were called VISIBLE."""
        return self.right_visible / self.visible


def thinned(cases: Iterable[Case], pattern: str, share: float, noise: float = 0.0) -> Known:
    """All queries of some cases, both depth maps thinned out to a share of their pixels."""
    rng = np.random.default_rng(7)
    known = Known()
    for case in cases:
        depth0, depth1 = (
            np.where(
                PATTERNS[pattern](depth.shape, share, rng), degraded(depth, rng, 1, noise, 0), 0
            ).astype(np.float32)
            for depth in (case.depth0, case.depth1)
        )
        answer = match(replace(case, depth0=depth0, depth1=depth1))
        where = (depth0 > 0) & near_known(case, depth1 > 0)
        where &= case.truth.verdict >= Verdict.OCCLUDED
        said, true = answer.verdict[where], case.truth.verdict[where]
        visible, hidden = true == Verdict.VISIBLE, true == Verdict.OCCLUDED
        known.visible += int(visible.sum())
        known.hidden += int(hidden.sum())
        known.called_visible += int((said == Verdict.VISIBLE).sum())
        known.called_hidden += int((said == Verdict.OCCLUDED).sum())
        known.right_visible += int((visible & (said == Verdict.VISIBLE)).sum())
        known.right_hidden += int((hidden & (said == Verdict.OCCLUDED)).sum())
        sure = answer.confidence[where] > 0.9
        known.sure_and_wrong += int((visible & (said == Verdict.OCCLUDED) & sure).sum())
    return known


def stereo_cases(hw: tuple[int, int], seed: int = 0) -> Iterator[tuple[Case, float]]:
    """Rectified pairs, both ways, each with focal length × baseline (px · m)."""
    scene = acceptance_scene(seed)
    focal = 0.9 * hw[1]
    K = [[focal, 0, hw[1] / 2 + 3.3], [0, focal, hw[0] / 2 - 2.7], [0, 0, 1]]
    target = np.array([0.0, 0.8, 0.75])
    for azimuth, baseline in ((0, 0.6), (20, 0.6), (-25, 0.4)):
        a = np.radians(azimuth)
        eye = np.array([3.4 * np.sin(a), target[1] - 3.4 * np.cos(a), 1.45])
        left = transforms.look_at(eye, target, UP)
        right = np.array(left)
        right[0, 3] -= baseline
        cameras = Camera(K, hw, left), Camera(K, hw, right)
        for name, (one, two) in (("→", cameras), ("←", cameras[::-1])):
            yield case_of(scene, ViewPair(f"{azimuth}° {name}", one, two)), focal * baseline


def rounded(depth: Depth, focal_baseline: float, step: str) -> Depth:
    """Depth as it comes out of a file: ``"1/4 px"`` of disparity, ``"8 bit disparity"``, ``"cm"``,
    ``"mm"`` or ``"8 bit depth"`` up to 8 m."""
    known = depth > 0
    z = np.where(known, depth, 1.0).astype(np.float64)
    if size := STEPS_Z.get(step):
        out = np.rint(z / size) * size
    else:
        disparity = focal_baseline / z
        size = _disparity_step(disparity[known], step)
        out = focal_baseline / np.maximum(np.rint(disparity / size) * size, 1e-9)
    return np.where(known & (out < 1e6), out, 0).astype(np.float32)


STEPS_Z = {"cm": 0.01, "mm": 0.001, "8 bit depth": 8 / 255}
STEPS = ("1 px", "1/2 px", "1/4 px", "1/8 px", "8 bit disparity", *STEPS_Z)


def _disparity_step(disparity: NDArray[np.float64], step: str) -> float:
    if step == "8 bit disparity":
        return float(disparity.max() / 255)
    above, _, below = step.removesuffix(" px").partition("/")
    return float(above) / float(below or 1)


def stepped(pairs: Sequence[tuple[Case, float]], step: str) -> list[Figure]:
    """OCCLUDED where the truth is sure: the four pixels see one surface, and what hides the point
    has a disparity larger by more than 1 px and three steps."""
    right = called = hidden_count = seen_right = seen_count = 0
    for case, focal_baseline in pairs:
        depth0, depth1 = (rounded(d, focal_baseline, step) for d in (case.depth0, case.depth1))
        answer = match(replace(case, depth0=depth0, depth1=depth1))
        points = unproject(
            case.pair.camera0, query_xy(case.depth0.shape), case.depth0.astype(float)
        )
        z1 = project(case.pair.camera1, points)[1]
        disparity = focal_baseline / np.where(z1 > 0, z1, 1.0)
        apart = disparity * (1 / (1 - np.minimum(case.gap, 0.99)) - 1)
        size: float | NDArray[np.float64]
        if step in STEPS_Z:
            size = STEPS_Z[step] * disparity**2 / focal_baseline
        else:
            size = _disparity_step(focal_baseline / case.depth0[case.depth0 > 0], step)
        sure = case.one_surface & (depth0 > 0)
        truth = case.truth.verdict
        hidden = sure & (truth == Verdict.OCCLUDED) & (apart > np.maximum(1, 3 * size))
        seen = sure & (truth == Verdict.VISIBLE)
        said = (answer.verdict == Verdict.OCCLUDED) & (hidden | seen)
        right += int((said & hidden).sum())
        called += int(said.sum())
        hidden_count += int(hidden.sum())
        seen_right += int((seen & (answer.verdict == Verdict.VISIBLE)).sum())
        seen_count += int(seen.sum())
    return [
        Figure("OCCLUDED precision", right / called, 0.97),
        Figure("OCCLUDED recall", right / hidden_count, 0.99),
        Figure("VISIBLE recall", seen_right / seen_count, 0.99),
    ]
