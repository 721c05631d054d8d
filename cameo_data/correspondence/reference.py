"""The slow, obvious twin of ``kernel``: one query at a time, in plain Python.

It follows ``docs/geometry.md`` rule by rule, with no thought of speed, and shares with the kernel
only its constants. The tests hold the kernel to it query by query; nothing else uses it.
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
    CREASE,
    EDGE,
    LEAST_NOISE,
    LEVEL,
    ROUNDING,
    SAME,
    SIGMAS,
    SMOOTH,
    SMOOTH_MAX,
    STEEP,
    STEEP_TANGENT,
)
from cameo_data.types import Camera, Correspondence, Verdict

FloatArray = NDArray[np.float64]
CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))  # (x, y) of the four pixels around a place


@dataclass(frozen=True)
class Surface:
    """Inverse depth as a quadratic around a pixel, without the mixed term."""

    value: float
    slope: tuple[float, float]
    half_second: tuple[float, float]
    doubt: float

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
    """A view's inverse depth; asking outside the image or at an unknown pixel gives 0."""

    def __init__(self, z: NDArray[np.float32], camera: Camera) -> None:
        valid = np.isfinite(z) & (z > 0)
        self.w = np.where(valid, np.float32(1) / np.where(valid, z, np.float32(1)), np.float32(0))
        self.camera = camera
        rough = self.roughness()
        self.smooth = min(max(SMOOTH, 3 * rough), SMOOTH_MAX)

    def __call__(self, x: int, y: int) -> float:
        h, w = self.w.shape
        return float(self.w[y, x]) if 0 <= x < w and 0 <= y < h else 0.0

    def roughness(self) -> float:
        """Median of |second difference| / value over a sparse grid."""
        h, w = self.w.shape
        step = max(1, int(math.sqrt((h + 6) * (w + 6) / 4000.0)))
        found = []
        for y, x in itertools.product(range(0, h, step), range(0, w, step)):
            c = self(x, y)
            for a, b in ((self(x - 1, y), self(x + 1, y)), (self(x, y - 1), self(x, y + 1))):
                if a > 0 and b > 0 and c > 0:
                    found.append(abs(a - 2 * c + b) / c)
        return median(found) if len(found) >= 50 else 0.0

    def quantum(self) -> float:
        """Relative step of inverse depth stored in steps, 0 where it is continuous."""
        equal, steps = 0, []
        first = -3 % max(1, (self.w.shape[0] + 6) // 64)
        for row in self.w[first :: max(1, (self.w.shape[0] + 6) // 64)]:
            for a, b in itertools.pairwise(row.tolist()):
                if a > 0 and b > 0:
                    equal += a == b
                    steps += [abs(a - b) / max(a, b)] * (a != b)
        small = [step for step in steps if step < SMOOTH_MAX]
        known = equal + len(steps)
        if known < 1000 or equal < 0.5 * known or len(small) < 0.03 * known:
            return 0.0
        least, middle = np.quantile(small, [0.01, 0.5])
        return float(middle) if least > 0.5 * middle else 0.0

    def surface(self, x: int, y: int) -> Surface:
        """The surface through pixel (x, y)."""
        fits = [
            _axis([self(x + i * dx, y + i * dy) for i in range(-2, 3)])
            for dx, dy in ((1, 0), (0, 1))
        ]
        value = self(x, y)
        return Surface(
            value,
            (fits[0][0], fits[1][0]),
            (0.5 * fits[0][1], 0.5 * fits[1][1]),
            min(fits[0][2] + fits[1][2], EDGE * value),
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
        if twist <= 2 * self.smooth * least and all(_one_flat(line, self.smooth) for line in lines):
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

    def bends(self, x: int, y: int) -> list[float]:
        """How much the slope changes along each side of a cell: two along x, two along y."""
        rows = [[self(x + i, y + j) for i in range(-1, 3)] for j in (0, 1)]
        columns = [[self(x + i, y + j) for j in range(-1, 3)] for i in (0, 1)]
        return [a - b - c + d for a, b, c, d in rows + columns]

    def bent(self, x: int, y: int, fx: float, fy: float, linear: float) -> float:
        """``linear`` lookup in a cell, and what the bend of its four sides adds to it."""
        bend = self.bends(x, y)
        bend_x = (1 - fy) * bend[0] + fy * bend[1]
        bend_y = (1 - fx) * bend[2] + fx * bend[3]
        return linear - 0.25 * (fx * (1 - fx) * bend_x + fy * (1 - fy) * bend_y)

    def lookup(self, x: float, y: float) -> tuple[float, float, Surface | None]:
        """(value, share, surface) at pixel (x, y) of what most of the four pixels around see."""
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
        if known < 0.5:
            return 0.0, 0.0, None
        best, value, chosen = -1.0, 0.0, None
        for _, guess, surface in seen:
            alike = [(w, g) for w, g, _ in seen if abs(g - guess) <= 0.5 * EDGE * guess]
            total = sum(w for w, _ in alike)
            mean = sum(w * g for w, g in alike) / total
            if total > best + ROUNDING or (total > best - ROUNDING and mean > value):
                best, value, chosen = total, mean, surface
        return value, best / known, chosen


def _one_flat(line: list[float], smooth: float) -> bool:
    """Whether one of the two second differences of four neighbours is small."""
    a, b, c, d = line
    left = a > 0 and abs(a - 2 * b + c) <= smooth * b
    right = d > 0 and abs(b - 2 * c + d) <= smooth * c
    return left or right


def _axis(five: list[float]) -> tuple[float, float, float]:
    """(slope, second difference, doubt) in the middle of five neighbours."""
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
        # one that does not hold c in its middle must be twice as smooth to be preferred
        if best == math.inf or abs(q) + ROUNDING * c < 0.5 * best:
            second, slope, best = q, g, abs(q)
    if best <= EDGE * c:
        return slope, second, best
    steps = [c - b] * (b > 0) + [d - c] * (d > 0)
    if not steps or min(map(abs, steps)) > EDGE * c:
        return 0.0, 0.0, 0.25 * EDGE * c
    slope = min(steps, key=abs)
    return slope, 0.0, 0.25 * abs(slope) + 0.1 * EDGE * c


@dataclass(frozen=True)
class Pair:
    """Two views and what leads from one to the other."""

    one: InverseDepth
    two: InverseDepth
    noise: float

    def move(self, x: float, y: float, w: float) -> FloatArray:
        """(x, y, inverse depth) in view 1 of a pixel of view 0, z ≤ 0 as NaN."""
        K0, K1 = self.one.camera.K, self.two.camera.K
        p_world = self.one.camera.world_from_cam @ [*(np.linalg.inv(K0) @ [x, y, 1] / w), 1]
        p_cam = (self.two.camera.cam_from_world @ p_world)[:3]
        if p_cam[2] <= 0:
            return np.full(3, np.nan)
        return np.array([*(K1 @ p_cam / p_cam[2])[:2], 1 / p_cam[2]])

    def plane(self, x: float, y: float, surface: Surface) -> FloatArray:
        """n with n · p = 1 on the tangent plane, p in camera 0."""
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


def estimate_noise(pair: Pair) -> float:
    """Robust spread of what smooth cells of view 1 show against points of view 0."""
    h, w = pair.one.w.shape
    step = max(1, int(math.sqrt(h * w / 1500.0)))
    found = []
    for i, j in itertools.product(range(step // 2, h, step), range(step // 2, w, step)):
        if pair.one(j, i) <= 0:
            continue
        x, y, w1 = pair.move(j + 0.5, i + 0.5, pair.one(j, i))
        if not _inside(x, y, pair.two):
            continue
        column, row = math.floor(x - 0.5), math.floor(y - 0.5)
        seen = pair.two.smooth_value(column, row, x - 0.5 - column, y - 0.5 - row)
        if seen is not None and abs(w1 / seen - 1) < 0.1:
            found.append(abs(w1 / seen - 1))
    sigma = 0.0
    if len(found) >= 50:
        sigma = 1.4826 * median(found)
        for _ in range(3):
            near = [d for d in found if d < 4 * sigma]
            if len(near) < 20:
                break
            sigma = 1.4826 * median(near)
    sigma = max(sigma, 0.7 * max(pair.one.quantum(), pair.two.quantum()))
    if sigma < LEAST_NOISE:
        return 0.0
    return float(1.1 ** math.ceil(math.log(sigma) / math.log(1.1)))


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
    """As ``cameo_data.correspond``, some thousand times slower."""
    one = InverseDepth(np.asarray(depth0, np.float32), camera0)
    two = InverseDepth(np.asarray(depth1, np.float32), camera1)
    pair = Pair(one, two, 0.0)
    pair = Pair(one, two, estimate_noise(pair))
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
    same = SAME + SIGMAS * pair.noise
    seen = pair.two.smooth_value(column, row, fx, fy)
    if seen is None:
        if stride % 2:
            surface = pair.one.surface(int(u), int(v))
        else:
            found = pair.one.lookup(u, v)[2]
            assert found is not None
            surface = Surface(w0, found.slope, found.half_second, found.doubt)
        verdict, confidence = _judge(pair, column, row, fx, fy, w1, u, v, surface, same)
    elif abs(seen - w1) <= same * w1:
        verdict, confidence = Verdict.VISIBLE, 1.0
    elif seen > w1:
        verdict, confidence = Verdict.OCCLUDED, 1.0
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
    w1: float,
    u: float,
    v: float,
    surface0: Surface,
    same: float,
) -> tuple[Verdict, float]:
    """The rules for a landing place whose four pixels may see different surfaces."""
    weight = {(i, j): (fx if i else 1 - fx) * (fy if j else 1 - fy) for i, j in CORNERS}
    known = [c for c in CORNERS if pair.two(column + c[0], row + c[1]) > 0]
    pixel = {c: pair.two(column + c[0], row + c[1]) for c in known}
    surface = {c: pair.two.surface(column + c[0], row + c[1]) for c in known}
    normal = pair.plane(u, v, surface0)
    facing = pair.facing(normal)

    # 1: each pixel, carried on to the landing place along its own surface
    agreeing, nearer, steep, doubtful = set(), set(), set(), False
    for c in known:
        dx, dy = fx - c[0], fy - c[1]
        difference = w1 - surface[c].at(dx, dy)
        if pixel[c] > (1 + STEEP) * w1:
            nearer.add(c)
            steep.add(c)
        elif pixel[c] < (1 - STEEP) * w1:
            pass
        elif abs(difference) <= same * w1 + surface[c].doubt * (abs(dx) + abs(dy)):
            agreeing.add(c)
        else:
            doubtful = True
            if difference < 0:
                nearer.add(c)

    # 2: pixels on view 0's tangent plane
    if doubtful and facing > 0:
        slope = pair.plane_in_two(normal)
        if abs(slope[0]) + abs(slope[1]) <= STEEP_TANGENT * w1:
            for c in set(known) - agreeing:
                on_plane = w1 + slope[0] * (c[0] - fx) + slope[1] * (c[1] - fy)
                if abs(pixel[c] - on_plane) <= same * w1:
                    agreeing.add(c)
                    nearer.discard(c)
                    surface[c] = Surface(pixel[c], slope, (0.0, 0.0), 0.0)
    if not agreeing:
        return (Verdict.OCCLUDED, 1.0) if nearer else (Verdict.UNKNOWN, 0.0)
    a = _heaviest(agreeing, weight)

    # 3: creases
    for c in sorted(nearer):
        below = surface[a].at(c[0] - a[0], c[1] - a[1]) - pixel[c]
        above = surface[a].value - surface[c].at(a[0] - c[0], a[1] - c[1])
        small = max(abs(above), abs(below)) < CREASE * w1
        meet = above * below <= 0 or abs(above) < same * w1
        if below >= -same * w1 or (c not in steep and small and meet):
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
    return Verdict.VISIBLE, confidence


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
    surface: Surface,
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
