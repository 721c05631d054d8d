"""The slow, obvious twin of ``kernel``: one query at a time, in plain Python.

It follows ``docs/geometry.md`` rule by rule, without regard to speed, and shares only the constants
with the kernel. The tests compare the kernel with it query by query; nothing else uses it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.correspondence.kernel import (
    CLEAR,
    CREASE,
    EDGE,
    FAR_CONFIDENCE,
    FAR_CONFIRMS,
    LEAST_NOISE,
    LEAST_SHARE,
    LEVEL,
    ROUNDING,
    SAME,
    SIGMAS,
    SMOOTH,
    SMOOTH_MAX,
    STAIR,
    STEEP,
    STEEP_TANGENT,
    STEPS,
    UNMEASURED_CONFIDENCE,
    UNMEASURED_NOISE,
    UNSEEN_SLOPE,
)
from cameo_data.types import Camera, Correspondence, FloatArray, Verdict

CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))  # (x, y) of the four pixels around a place


@dataclass(frozen=True)
class LocalSurface:
    """Inverse depth as a quadratic around a pixel, without the mixed term."""

    value: float
    slope: tuple[float, float]
    half_second: tuple[float, float]
    doubt: float
    unseen_slope: float = 0.0

    def at(self, dx: float, dy: float) -> float:
        """Its value (dx, dy) pixels away."""
        return (
            self.value
            + self.slope[0] * dx
            + self.slope[1] * dy
            + self.half_second[0] * dx * dx
            + self.half_second[1] * dy * dy
        )


class InverseDepth:
    """A view's inverse depth; 0 outside the image and at unknown pixels."""

    def __init__(self, z: NDArray[np.float32], camera: Camera) -> None:
        valid = np.isfinite(z) & (z > 0)
        self.w = np.where(valid, np.float32(1) / np.where(valid, z, np.float32(1)), np.float32(0))
        self.camera = camera
        rough = self.roughness()
        self.smooth = min(max(SMOOTH, 3 * rough), SMOOTH_MAX)
        self.steps = self.find_steps()
        self.sparse = self.find_sparse()

    def __call__(self, x: int, y: int) -> float:
        h, w = self.w.shape
        return float(self.w[y, x]) if 0 <= x < w and 0 <= y < h else 0.0

    def roughness(self) -> float:
        """Median of |second difference| / value over a sparse grid, or else of all pixels."""
        h, w = self.w.shape
        step = max(1, int(math.sqrt((h + 6) * (w + 6) / 4000.0)))
        found = self.second_differences(step)
        if len(found) < 50 and step > 1:
            found = self.second_differences(1)
        return median(found) if len(found) >= 10 else 0.0

    def second_differences(self, step: int) -> list[float]:
        """|second difference| / value along x and y for the pixels of a grid."""
        h, w = self.w.shape
        found = []
        for y, x in itertools.product(range(0, h, step), range(0, w, step)):
            c = self(x, y)
            for a, b in ((self(x - 1, y), self(x + 1, y)), (self(x, y - 1), self(x, y + 1))):
                if a > 0 and b > 0 and c > 0:
                    found.append(abs(a - 2 * c + b) / c)
        return found

    def sampled_rows(self, of: FloatArray) -> FloatArray:
        """Indices of some 64 rows, starting from a margin of three."""
        every = max(1, (self.w.shape[0] + 6) // 64)
        return of[-3 % every :: every]

    def find_steps(self) -> tuple[float, float]:
        """Steps of inverse depth and of depth in which the map is stored, else 0."""
        padded = np.pad(self.w, 3).ravel()
        values = padded[:: max(1, padded.size // 4096)]
        values = values[values > 0]
        if values.size < 2048:
            values = self.w[self.w > 0]
            values = values[:: max(1, values.size // 4096)]
        if values.size < 10:
            return 0.0, 0.0
        inverse, off_inverse = _whole_steps(values)
        depth, off_depth = _whole_steps(np.float32(1) / values)
        if inverse and off_inverse <= off_depth:
            return (inverse, 0.0) if _stairs(self.sampled_rows(self.w), inverse) else (0.0, 0.0)
        if depth:
            known = self.w > 0
            z = np.where(known, np.float32(1) / np.where(known, self.w, 1), np.float32(0))
            return (0.0, depth) if _stairs(self.sampled_rows(z), depth) else (0.0, 0.0)
        return 0.0, 0.0

    def find_sparse(self) -> bool:
        """Whether fewer than half of the known pixels have known right and lower neighbours."""
        h, w = self.w.shape
        known: list[tuple[int, int]] = []
        for every in (max(1, (h + 6) // 64), 1):
            if len(known) < 1000:
                places = itertools.product(range(-3 % every, h, every), range(w))
                known = [(x, y) for y, x in places if self(x, y) > 0]
        both = sum(self(x + 1, y) > 0 and self(x, y + 1) > 0 for x, y in known)
        return both < 0.5 * len(known)

    def step_at(self, w: float) -> float:
        """The step in inverse depth at inverse depth ``w``."""
        return self.steps[0] + self.steps[1] * w * w

    def surface(self, x: int, y: int) -> LocalSurface:
        """The surface through pixel (x, y)."""
        fits = [
            _axis([self(x + i * dx, y + i * dy) for i in range(-2, 3)])
            for dx, dy in ((1, 0), (0, 1))
        ]
        value = self(x, y)
        return LocalSurface(
            value,
            (fits[0][0], fits[1][0]),
            (0.5 * fits[0][1], 0.5 * fits[1][1]),
            min(fits[0][2] + fits[1][2], EDGE * value),
            max(fits[0][3], fits[1][3]),
        )

    def smooth_value(self, x: int, y: int, fx: float, fy: float) -> float | None:
        """Inverse depth in the cell right below pixel (x, y) if it is smooth, else None."""
        four = [self(x + i, y + j) for i, j in CORNERS]
        least = min(four)
        if least <= 0:
            return None
        rows = [[self(x + i, y + j) for i in range(-1, 3)] for j in (0, 1)]
        columns = [[self(x + i, y + j) for j in range(-1, 3)] for i in (0, 1)]
        lines = rows + columns
        linear = (four[0] * (1 - fx) + four[1] * fx) * (1 - fy) + (
            four[2] * (1 - fx) + four[3] * fx
        ) * fy
        twist = abs(four[0] - four[1] - four[2] + four[3])
        stairs = STAIR * self.step_at(least)
        if twist <= 2 * (self.smooth * least + stairs) and all(map(self.one_flat, lines)):
            return linear
        third = max(abs(d - 3 * c + 3 * b - a) for a, b, c, d in lines)
        second = max(abs(a - 2 * b + c) for a, b, c, _ in lines)
        if (
            all(value > 0 for line in lines for value in line)
            and third <= 4 * self.smooth * least
            and second <= EDGE * least
        ):
            return self.bent(x, y, fx, fy, linear)
        return None

    def one_flat(self, line: list[float]) -> bool:
        """Whether one of the two second differences of four neighbours is small."""
        a, b, c, d = line
        left = a > 0 and abs(a - 2 * b + c) <= self.smooth * b + STAIR * self.step_at(b)
        right = d > 0 and abs(b - 2 * c + d) <= self.smooth * c + STAIR * self.step_at(c)
        return left or right

    def bends(self, x: int, y: int) -> list[float]:
        """How much the slope changes along each side of a cell: two along x, two along y."""
        rows = [[self(x + i, y + j) for i in range(-1, 3)] for j in (0, 1)]
        columns = [[self(x + i, y + j) for j in range(-1, 3)] for i in (0, 1)]
        return [a - b - c + d for a, b, c, d in rows + columns]

    def bent(self, x: int, y: int, fx: float, fy: float, linear: float) -> float:
        """``linear`` lookup in a cell, plus the correction for the bend of its four sides."""
        bend = self.bends(x, y)
        bend_x = (1 - fy) * bend[0] + fy * bend[1]
        bend_y = (1 - fx) * bend[2] + fx * bend[3]
        return linear - 0.25 * (fx * (1 - fx) * bend_x + fy * (1 - fy) * bend_y)

    def lookup(self, x: float, y: float) -> tuple[float, float, LocalSurface | None]:
        """(value, share, surface) at (x, y) of the surface that most of the four pixels see."""
        column, row = math.floor(x - 0.5), math.floor(y - 0.5)
        fx, fy = x - 0.5 - column, y - 0.5 - row
        smooth = self.smooth_value(column, row, fx, fy)
        if smooth is not None:
            if max(map(abs, self.bends(column, row))) <= 2 * SMOOTH * self(column, row):
                a, b, c, d = (self(column + i, row + j) for i, j in CORNERS)
                linear = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
                smooth = self.bent(column, row, fx, fy, linear)
            return smooth, 1.0, self.surface(column + (fx > 0.5), row + (fy > 0.5))
        seen = []
        for i, j in CORNERS:
            weight = (fx if i else 1 - fx) * (fy if j else 1 - fy)
            if self(column + i, row + j) > 0 and weight > 0:
                surface = self.surface(column + i, row + j)
                guess = surface.at(fx - i, fy - j)
                seen.append((weight, guess if guess > 0 else surface.value, surface))
        known = sum(weight for weight, _, _ in seen)
        if known < (LEAST_SHARE if self.sparse else 0.5):
            return 0.0, 0.0, None
        best, value, chosen = -1.0, 0.0, None
        for _, guess, surface in seen:
            alike = [(w, g) for w, g, _ in seen if abs(g - guess) <= 0.5 * EDGE * guess]
            total = sum(w for w, _ in alike)
            mean = sum(w * g for w, g in alike) / total
            if total > best + ROUNDING or (total > best - ROUNDING and mean > value):
                best, value, chosen = total, mean, surface
        return value, best / max(known, 0.5), chosen


def _whole_steps(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """(step of which all differences of values are multiples, their deviation from that)."""
    ordered = np.sort(values)
    least = np.float32(1e-6) * ordered[-1]
    gaps = sorted(b - a for a, b in itertools.pairwise(ordered) if b - a > least)
    if len(gaps) < 9:
        return 0.0, 1.0
    ones = [gap for gap in gaps if gap < 1.5 * gaps[int(0.01 * len(gaps))]]
    step = ones[len(ones) // 2]
    few = np.array([gap for gap in gaps if gap < 4.5 * step]) / step
    off = float(np.mean(np.abs(few - np.rint(few))))
    return (float(step), off) if off <= 0.08 and len(few) >= 0.5 * len(gaps) else (0.0, 1.0)


def _stairs(rows: FloatArray, step: float) -> bool:
    """Whether most changes of slope are one step, or too few are known to tell."""
    bends = [
        abs(a - 2 * b + c)
        for row in rows.tolist()
        for a, b, c in zip(row, row[1:], row[2:], strict=False)
        if a > 0 and b > 0 and c > 0
    ]
    bent = [bend for bend in bends if bend > 0.1 * step]
    if len(bends) < 50:
        return True
    few = sum(bend < 1.5 * step for bend in bent)
    return len(bent) >= 0.005 * len(bends) and few >= 0.25 * len(bent)


def _axis(five: list[float]) -> tuple[float, float, float, float]:
    """(slope, second difference, doubt, unseen slope) in the middle of five neighbours."""
    a, b, c, d, e = five
    stencils = []  # (second difference, slope), the central one first
    if b > 0 and d > 0:
        stencils.append((b - 2 * c + d, 0.5 * (d - b)))
    if a > 0 and b > 0:
        q = a - 2 * b + c
        stencils.append((q, (c - b) + 0.5 * q))
    if d > 0 and e > 0:
        q = e - 2 * d + c
        stencils.append((q, (d - c) - 0.5 * q))
    second, slope, best = 0.0, 0.0, math.inf
    for q, g in stencils:
        # a stencil without c in its middle must be twice as smooth to be preferred
        if best == math.inf or abs(q) + ROUNDING * c < 0.5 * best:
            second, slope, best = q, g, abs(q)
    if best <= EDGE * c:
        return slope, second, best, 0.0
    steps = [c - b] * (b > 0) + [d - c] * (d > 0)
    if not steps or min(map(abs, steps)) > EDGE * c:
        return 0.0, 0.0, 0.25 * EDGE * c, 0.0 if steps else UNSEEN_SLOPE * c
    slope = min(steps, key=abs)
    return slope, 0.0, 0.25 * abs(slope) + 0.1 * EDGE * c, 0.0


@dataclass(frozen=True)
class Pair:
    """Two views and the map from one to the other."""

    one: InverseDepth
    two: InverseDepth
    noise: float = 0.0
    loose: float = 0.0

    def same(self, w0: float, w1: float) -> float:
        """How far view 1 may differ from ``w1``, which is ``w0`` of view 0, on the same surface."""
        steps = self.one.step_at(w0) * w1 / w0 + self.two.step_at(w1)
        return (SAME + SIGMAS * self.noise) * w1 + STEPS * steps

    def clearly(self, w0: float, w1: float) -> float:
        """The difference from which on it is clearly another surface."""
        return self.same(w0, w1) + (self.loose + CLEAR * self.noise) * w1

    def move(self, x: float, y: float, w: float) -> FloatArray:
        """(x, y, inverse depth) in view 1 of a pixel of view 0; NaN where z ≤ 0."""
        K0, K1 = self.one.camera.K, self.two.camera.K
        p_world = self.one.camera.world_from_cam @ [*(np.linalg.inv(K0) @ [x, y, 1] / w), 1]
        p_cam = (self.two.camera.cam_from_world @ p_world)[:3]
        if p_cam[2] <= 0:
            return np.full(3, np.nan)
        return np.array([*(K1 @ p_cam / p_cam[2])[:2], 1 / p_cam[2]])

    def plane(self, x: float, y: float, surface: LocalSurface) -> FloatArray:
        """n such that n · p = 1 on the tangent plane, with p in camera 0."""
        gx, gy = surface.slope
        linear = np.array([gx, gy, surface.value - gx * x - gy * y])
        normal: FloatArray = self.one.camera.K.T @ linear
        return normal

    def facing(self, normal: FloatArray) -> float:
        """1 − n·o for the centre o of camera 1."""
        center = (self.one.camera.cam_from_world @ self.two.camera.world_from_cam)[:3, 3]
        return float(1 - normal @ center)

    def plane_in_two(self, normal: FloatArray) -> tuple[float, float]:
        """Slopes of inverse depth in view 1 of a plane given in camera 0."""
        cam1_from_cam0 = self.two.camera.cam_from_world @ self.one.camera.world_from_cam
        moved = cam1_from_cam0[:3, :3] @ normal / self.facing(normal)
        linear = np.linalg.inv(self.two.camera.K).T @ moved
        return float(linear[0]), float(linear[1])


def measured(one: InverseDepth, two: InverseDepth) -> Pair:
    """A pair with its noise, as far as it can be measured."""
    pair, back = Pair(one, two), Pair(two, one)
    h, w = one.w.shape
    found = differences(pair, max(1, int(math.sqrt(h * w / 1500.0))), 1, alone=False)
    if len(found) >= 50:
        return Pair(one, two, _noise(found))
    for each in (pair, back):
        every = max(1, int(np.count_nonzero(each.one.w)) // 20000)
        found = (found if each is back else []) + differences(each, 1, every, alone=True)
    if len(found) < 12:
        return Pair(one, two, 0.0, SIGMAS * UNMEASURED_NOISE)
    nearest = sorted(found, key=lambda f: f[2])[: max(50, len(found) // 4)]
    factor = 1 + 2 / math.sqrt(len(nearest)) if len(nearest) < 50 else 1.0
    return Pair(one, two, _noise(nearest, factor))


def _noise(found: list[tuple[float, float, float]], factor: float = 1.0) -> float:
    """Robust spread of differences, minus that of rounding to steps, rounded up."""
    apart = [d for d, _, _ in found]
    sigma = 1.4826 * median(apart)
    for _ in range(3):
        near = [d for d in apart if d < 4 * sigma]
        if len(near) < 20:
            break
        sigma = 1.4826 * median(near)
    steps = 0.434 * median(rounding for _, rounding, _ in found)
    sigma = math.sqrt(max(0.0, (factor * sigma) ** 2 - steps**2))
    if sigma < LEAST_NOISE:
        return 0.0
    return float(1.1 ** math.ceil(math.log(sigma) / math.log(1.1)))


def differences(
    pair: Pair, step: int, every: int, *, alone: bool
) -> list[tuple[float, float, float]]:
    """(difference, effect of rounding, distance in pixels) between points and view 1's depth, in
    smooth cells or at the nearest of the four pixels."""
    h, w = pair.one.w.shape
    found = []
    grid = itertools.product(range(step // 2, h, step), range(step // 2, w, step))
    known = [(i, j) for i, j in grid if pair.one(j, i) > 0]
    for i, j in known[every - 1 :: every]:
        w0 = pair.one(j, i)
        x, y, w1 = pair.move(j + 0.5, i + 0.5, w0)
        if not _inside(x, y, pair.two):
            continue
        column, row = math.floor(x - 0.5), math.floor(y - 0.5)
        fx, fy = x - 0.5 - column, y - 0.5 - row
        away, seen = 0.0, pair.two.smooth_value(column, row, fx, fy)
        if alone:
            away, seen = _at_nearest(pair.two, column, row, fx, fy, CORNERS)
        if seen is not None and seen > 0 and abs(w1 / seen - 1) < 0.1:
            rounding = (pair.one.step_at(w0) * w1 / w0 + pair.two.step_at(w1)) / 2
            found.append((abs(w1 / seen - 1), rounding / w1, away))
    return found


def _at_nearest(
    view: InverseDepth,
    column: int,
    row: int,
    fx: float,
    fy: float,
    around: Iterable[tuple[int, int]],
) -> tuple[float, float | None]:
    """(distance, value extrapolated from there) of the nearest known pixel; value None if none."""
    known = [(abs(fx - i) + abs(fy - j), i, j) for i, j in around if view(column + i, row + j) > 0]
    if not known:
        return math.inf, None
    away, i, j = min(known, key=lambda k: k[0])
    return away, view.surface(column + i, row + j).at(fx - i, fy - j)


def _inside(x: float, y: float, view: InverseDepth) -> bool:
    h, w = view.w.shape
    return bool(0 <= x < w and 0 <= y < h)


def correspond(
    depth0: NDArray[Any],
    camera0: Camera,
    depth1: NDArray[Any],
    camera1: Camera,
    *,
    stride: int = 1,
    mask0: NDArray[np.bool_] | None = None,
    mask1: NDArray[np.bool_] | None = None,
) -> Correspondence:
    """Like ``cameo_data.correspond``, about a thousand times slower."""
    one = InverseDepth(np.asarray(depth0, np.float32), camera0)
    two = InverseDepth(np.asarray(depth1, np.float32), camera1)
    pair = measured(one, two)
    h, w = camera0.hw[0] // stride, camera0.hw[1] // stride
    xy = np.full((h, w, 2), np.nan, np.float32)
    verdict = np.empty((h, w), np.uint8)
    confidence = np.zeros((h, w), np.float32)
    for i, j in itertools.product(range(h), range(w)):
        u, v = (j + 0.5) * stride, (i + 0.5) * stride
        masked = mask0 is not None and not mask0[int(v), int(u)]
        verdict[i, j], confidence[i, j], xy[i, j] = _query(pair, u, v, stride, masked, mask1)
    return Correspondence(xy, verdict, confidence, stride)


def _query(
    pair: Pair, u: float, v: float, stride: int, masked: bool, mask1: NDArray[np.bool_] | None
) -> tuple[Verdict, float, tuple[float, float]]:
    nowhere = (math.nan, math.nan)
    share = 1.0
    if stride % 2:
        w0 = pair.one(int(u), int(v))
    else:
        w0, share, _ = pair.one.lookup(u, v)
    if masked or w0 <= 0:
        return Verdict.NO_DEPTH, 0.0, nowhere
    w0 = float(np.float32(w0))
    x, y, w1 = pair.move(u, v, w0)
    if math.isnan(w1):
        return Verdict.BEHIND, 0.0, nowhere
    if not _inside(x, y, pair.two):
        return Verdict.OUTSIDE, 0.0, nowhere
    column, row = math.floor(x - 0.5), math.floor(y - 0.5)
    fx, fy = x - 0.5 - column, y - 0.5 - row
    same, clearly = pair.same(w0, w1), pair.clearly(w0, w1)
    seen = pair.two.smooth_value(column, row, fx, fy)
    if seen is None:
        if stride % 2:
            surface = pair.one.surface(int(u), int(v))
        else:
            found = pair.one.lookup(u, v)[2]
            assert found is not None
            surface = LocalSurface(w0, found.slope, found.half_second, found.doubt)
        verdict, confidence = _judge(pair, column, row, fx, fy, w0, w1, u, v, surface)
    elif abs(seen - w1) <= same:
        verdict, confidence = Verdict.VISIBLE, UNMEASURED_CONFIDENCE if pair.loose else 1.0
    elif seen > w1 + clearly:
        clean = pair.noise == pair.loose == 0 and pair.one.steps == pair.two.steps == (0.0, 0.0)
        sure = 1.0 if clean else min(1.0, (seen - w1 - clearly) / same)
        verdict, confidence = Verdict.OCCLUDED, sure
    else:
        verdict, confidence = Verdict.UNKNOWN, 0.0
    if verdict == Verdict.VISIBLE and mask1 is not None and not mask1[int(y), int(x)]:
        verdict, confidence = Verdict.UNKNOWN, 0.0
    return verdict, confidence * share, (x, y)


def _judge(
    pair: Pair,
    column: int,
    row: int,
    fx: float,
    fy: float,
    w0: float,
    w1: float,
    u: float,
    v: float,
    surface0: LocalSurface,
) -> tuple[Verdict, float]:
    """The rules for a landing place whose four pixels may see different surfaces."""
    weight = {(i, j): (fx if i else 1 - fx) * (fy if j else 1 - fy) for i, j in CORNERS}
    known = [c for c in CORNERS if pair.two(column + c[0], row + c[1]) > 0]
    pixel = {c: pair.two(column + c[0], row + c[1]) for c in known}
    surface = {c: pair.two.surface(column + c[0], row + c[1]) for c in known}
    normal = pair.plane(u, v, surface0)
    facing = pair.facing(normal)
    same, clearly = pair.same(w0, w1), pair.clearly(w0, w1)

    # 1: each pixel, extrapolated to the landing place along its own surface
    agreeing, nearer, steep, maybe, doubtful = set(), set(), set(), set(), False
    for c in known:
        dx, dy = fx - c[0], fy - c[1]
        difference = w1 - surface[c].at(dx, dy)
        reach = abs(dx) + abs(dy)
        if pixel[c] > w1 + max(STEEP * w1, clearly):
            nearer.add(c)
            steep.add(c)
        elif pixel[c] < w1 - max(STEEP * w1, clearly):
            pass
        elif abs(difference) <= same + surface[c].doubt * reach:
            agreeing.add(c)
        else:
            doubtful = True
            slope = surface[c].doubt + surface[c].unseen_slope + SIGMAS * pair.noise * w1
            if -difference > clearly + slope * reach:
                nearer.add(c)
            elif difference < 0 and not surface[c].unseen_slope and not pair.loose:
                maybe.add(c)

    # 2: pixels on view 0's tangent plane
    if doubtful and facing > 0:
        tilt = pair.plane_in_two(normal)
        if abs(tilt[0]) + abs(tilt[1]) <= STEEP_TANGENT * w1:
            for c in set(known) - agreeing:
                on_plane = w1 + tilt[0] * (c[0] - fx) + tilt[1] * (c[1] - fy)
                if abs(pixel[c] - on_plane) <= same:
                    agreeing.add(c)
                    nearer.discard(c)
                    surface[c] = LocalSurface(pixel[c], tilt, (0.0, 0.0), 0.0)
    if not known and pair.two.sparse:
        ring = [(i, j) for j in range(-1, 3) for i in range(-1, 3)]
        return _from_afar(pair.two, column, row, fx, fy, w1, same, ring)
    if not agreeing:
        share = sum(weight[c] for c in nearer)
        return (Verdict.OCCLUDED, share) if share >= LEAST_SHARE else (Verdict.UNKNOWN, 0.0)
    nearer |= maybe - agreeing
    a = _heaviest(agreeing, weight)

    # 3: creases
    for c in sorted(nearer):
        below = surface[a].at(c[0] - a[0], c[1] - a[1]) - pixel[c]
        above = surface[a].value - surface[c].at(a[0] - c[0], a[1] - c[1])
        small = max(abs(above), abs(below)) < CREASE * w1
        meet = above * below <= 0 or abs(above) < same
        if below >= -same or (c not in steep and small and meet):
            nearer.discard(c)

    # 4: how far the nearer surface covers the place
    confidence = 1.0
    if nearer:
        covered = _coverage(pair.two, column, row, fx, fy, a, surface[a], _heaviest(nearer, weight))
        if covered >= 0.5:
            return Verdict.OCCLUDED, 2 * covered - 1
        confidence = 1 - 2 * covered

    # 5: seen from its other side
    center = pair.one.camera.cam_from_world @ pair.two.camera.world_from_cam
    ex, ey, ez = pair.one.camera.K @ center[:3, 3]
    doubt = SIGMAS * pair.noise * surface0.value * (abs(ex - u * ez) + abs(ey - v * ez))
    if facing <= -doubt:
        return Verdict.OCCLUDED, 0.5
    return Verdict.VISIBLE, confidence * (UNMEASURED_CONFIDENCE if pair.loose else 1)


def _from_afar(
    view: InverseDepth,
    column: int,
    row: int,
    fx: float,
    fy: float,
    w1: float,
    same: float,
    around: list[tuple[int, int]],
) -> tuple[Verdict, float]:
    """Sparse depth: where none of the four pixels is known, one farther away may agree."""
    away, value = _at_nearest(view, column, row, fx, fy, around)
    if value is None or away >= FAR_CONFIRMS:
        return Verdict.UNKNOWN, 0.0
    i, j = min(
        (c for c in around if view(column + c[0], row + c[1]) > 0),
        key=lambda c: abs(fx - c[0]) + abs(fy - c[1]),
    )
    allowed = same + view.surface(column + i, row + j).doubt * away
    agrees = abs(w1 - value) <= allowed
    return (Verdict.VISIBLE, FAR_CONFIDENCE) if agrees else (Verdict.UNKNOWN, 0.0)


def _heaviest(
    corners: Iterable[tuple[int, int]], weight: dict[tuple[int, int], float]
) -> tuple[int, int]:
    return max(sorted(corners, key=lambda c: (c[1], c[0])), key=lambda c: weight[c])


def _coverage(
    view: InverseDepth,
    column: int,
    row: int,
    fx: float,
    fy: float,
    a: tuple[int, int],
    surface: LocalSurface,
    n: tuple[int, int],
) -> float:
    """Share of a place's surroundings that a nearer surface covers."""
    gap = view(column + n[0], row + n[1]) - surface.at(n[0] - a[0], n[1] - a[1])
    total = covered = 0.0
    for j, i in itertools.product(range(-1, 3), repeat=2):
        w = view(column + i, row + j)
        if w <= 0:
            continue
        weight = _bspline(fx - i) * _bspline(fy - j)
        behind = surface.value + surface.slope[0] * (i - a[0]) + surface.slope[1] * (j - a[1])
        total += weight
        covered += weight * (w > behind + LEVEL * gap)
    return covered / total


def _bspline(t: float) -> float:
    """The cubic B-spline, centred at 0."""
    t = abs(t)
    if t < 1:
        return 2 / 3 - t * t + t**3 / 2
    return (2 - t) ** 3 / 6 if t < 2 else 0.0
