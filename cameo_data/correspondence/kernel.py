"""Compiled core: one ordered pair of prepared views -> landing places, verdicts, confidence.

``docs/geometry.md`` describes the method; ``reference.py`` is its slow, obvious twin, and the tests
compare this file with it. All compiled code is in this one file because numba's cache watches only
the file of the function that is called, not those of the functions it calls.

Shapes and names: ``W`` is a view's inverse depth, float32, with a margin of PAD zeros on each side
(0 = unknown); row and column indices (r, c) count from the margin's corner, so the centre of pixel
(0, 0) is at (PAD, PAD). A fit is seven float64: value, slope along x, slope along y, half of the
second differences along x and y, the doubt about an extrapolation by one pixel, and how much more
the value might change per pixel because no neighbour shows a slope.
"""

from typing import NamedTuple

import numba as nb
import numpy as np

from cameo_data.types import Verdict

# Margin of zeros: stencils reach three pixels beyond the four around a landing place.
PAD = 3

# Largest difference of two values on the same surface, as a share of inverse depth. 0.1 %
# is 30 times the error of float32 depth looked up on curved surfaces and a twentieth of a poster's
# gap; docs/benchmarks.md shows that anything from 0.05 % to 0.2 % would do.
SAME = 1e-3
# Noise is tolerated up to this many standard deviations: 98.8 % of a normal distribution.
SIGMAS = 2.5
# Noise below this counts as none: depth stored in 16 bits is rounded by about 1e-5.
LEAST_NOISE = 2.5e-4

# A cell is smooth when second differences are below this share of the value; the error of linear
# lookup is an eighth of that. Where depth is noisy, the limit is three times the measured median,
# up to the second number.
SMOOTH = 5e-4
SMOOTH_MAX = 0.03
# A cell is curved, but still smooth, when third differences are below this.
THIRD = 2e-3
# A larger second difference than this is an edge.
EDGE = 0.02
# A surface that changes by more within one pixel is seen too obliquely to tell it from an edge.
STEEP = 0.15
# Slopes of a tangent plane transferred from view 0 are trusted up to this: steeper planes are seen
# almost edge-on.
STEEP_TANGENT = 0.3
# Planes of two pixels that meet between them form a crease, not an edge, if neither has to be
# extrapolated by more than this.
CREASE = 0.1
# Second differences that differ by less are equal: float32 rounds inverse depth by 6e-8.
ROUNDING = 1e-6
# Share of the gap between two surfaces above which a pixel belongs to the nearer one. It is near
# the middle but not at it: on regular grids pixels fall exactly there, and rounding would decide.
LEVEL = 0.47

# This many sigmas beyond that, noisy depth is clearly nearer; in between it is UNKNOWN.
CLEAR = 1.0
# Share of a depth step that each view may be off: a half by rounding, and a half because stairs do
# not show their slope.
STEPS = 1.0
# Largest slope per pixel that is assumed where no neighbour of a pixel shows its surface's slope.
UNSEEN_SLOPE = 0.05
# A second difference of less than this many steps is a stair.
STAIR = 1.5
# Where no pixel agrees, nearer pixels hide the place from this bilinear weight on.
LEAST_SHARE = 0.05
# In sparse depth, a pixel at most this far from the landing place (|dx| + |dy|) may confirm a point
# with this confidence, although it is not one of the four around it. It never hides a point.
FAR_CONFIRMS = 3.0
FAR_CONFIDENCE = 0.25
# Sigma of a pair whose noise could not be measured: a point that differs by less than SIGMAS of
# these is UNKNOWN, and one that agrees to within SAME is VISIBLE with half the confidence.
UNMEASURED_NOISE = 0.02
UNMEASURED_CONFIDENCE = 0.5

# Compiled code takes plain integers.
NO_DEPTH = int(Verdict.NO_DEPTH)
BEHIND = int(Verdict.BEHIND)
OUTSIDE = int(Verdict.OUTSIDE)
UNKNOWN = int(Verdict.UNKNOWN)
OCCLUDED = int(Verdict.OCCLUDED)
VISIBLE = int(Verdict.VISIBLE)
# What a pixel around the landing place shows, compared with the point.
EMPTY, AGREES, NEARER, FAR_NEARER, FARTHER, VAGUE, MAYBE_NEARER = 0, 1, 2, 3, 4, 5, 6
# Kinds of cells between four pixels.
BROKEN, PLANE, CURVED = 0, 1, 2


class Traits(NamedTuple):
    """Properties of a pair's depth maps.

    Attributes:
        noise: relative standard deviation, 0 in clean depth.
        loose: how much larger, as a share of inverse depth, a difference must be to count; 0 where
            the noise was measured.
        steps0_w, steps0_z, steps1_w, steps1_z: steps of inverse depth or depth in which the two
            depth maps are stored; 0 where they are not stored in steps.
        sparse0, sparse1: whether most pixels are unknown and known ones isolated.
    """

    noise: float
    loose: float
    steps0_w: float
    steps0_z: float
    steps1_w: float
    steps1_z: float
    sparse0: bool
    sparse1: bool


jit = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
# An array is passed as many arguments: a call that is not inlined costs as much as its work.
inlined = nb.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True
)


# --- once per view ------------------------------------------------------------------------------


@jit
def padded_inverse(z, valid):
    """W of a depth map; with an empty ``valid``, all positive finite depths count."""
    h, w = z.shape
    W = np.zeros((h + 2 * PAD, w + 2 * PAD), np.float32)
    largest = np.float32(3.4e38)
    for i in range(h):
        for j in range(w):
            inverse = np.float32(1.0) / z[i, j]
            known = (inverse > 0) & (inverse < largest) & (z[i, j] < largest)
            if valid.size:
                known &= valid[i, j]
            W[i + PAD, j + PAD] = inverse if known else np.float32(0.0)
    return W


@jit
def roughness(W):
    """Median of |second difference| / value over a sparse grid, or over all pixels where the grid
    has too few values; 0 if all pixels also give too few, since few cells can then be smooth."""
    h, w = W.shape
    step = max(1, int(np.sqrt(h * w / 4000.0)))
    found = second_differences(W, step)
    if found.size < 50 and step > 1:
        found = second_differences(W, 1)
    return np.median(found) if found.size >= 10 else 0.0


@jit
def second_differences(W, step):
    """|second difference| / value for the pixels of a grid."""
    h, w = W.shape
    found = np.empty((h // step + 1) * (w // step + 1) * 2)
    n = 0
    for i in range(PAD, h - PAD, step):
        for j in range(PAD, w - PAD, step):
            c = np.float64(W[i, j])
            if c <= 0:
                continue
            for a, b in ((W[i, j - 1], W[i, j + 1]), (W[i - 1, j], W[i + 1, j])):
                if a > 0 and b > 0:
                    found[n] = abs(a - 2 * c + b) / c
                    n += 1
    return found[:n]


@jit
def classify_cells(W, smooth, step_w, step_z):
    """uint8 of W's shape: BROKEN, PLANE or CURVED for the cell to the lower right of each pixel.

    A cell between four known pixels is a plane if along each of its sides one of the two second
    differences that contain the side is below ``smooth``, so a cell beside an edge still counts.
    Where depth is stored in steps, a cell on stairs of a single step is also a plane.
    """
    h, w = W.shape
    e, third_limit, edge = np.float32(smooth), np.float32(4 * smooth), np.float32(EDGE)
    two, three = np.float32(2), np.float32(3)
    s_w, s_z = np.float32(STAIR * step_w), np.float32(STAIR * step_z)
    across = np.zeros((h, w), np.uint8)
    down = np.zeros((h, w), np.uint8)
    for i in range(1, h - 1):
        for j in range(1, w - 1):
            b = W[i, j]
            a, c = W[i, j - 1], W[i, j + 1]
            across[i, j] = (abs(a - two * b + c) <= e * b + s_w + s_z * b * b) & (a > 0) & (c > 0)
            a, c = W[i - 1, j], W[i + 1, j]
            down[i, j] = (abs(a - two * b + c) <= e * b + s_w + s_z * b * b) & (a > 0) & (c > 0)
    cells = np.zeros((h, w), np.uint8)
    for i in range(1, h - 2):
        for j in range(1, w - 2):
            a, b, c, d = W[i, j], W[i, j + 1], W[i + 1, j], W[i + 1, j + 1]
            least = min(min(a, b), min(c, d))
            plane = (
                (least > 0)
                & (abs(a - b - c + d) <= two * (e * least + s_w + s_z * least * least))
                & (across[i, j] | across[i, j + 1])
                & (across[i + 1, j] | across[i + 1, j + 1])
                & (down[i, j] | down[i + 1, j])
                & (down[i, j + 1] | down[i + 1, j + 1])
            )
            l0, r0, l1, r1 = W[i, j - 1], W[i, j + 2], W[i + 1, j - 1], W[i + 1, j + 2]
            t0, b0, t1, b1 = W[i - 1, j], W[i + 2, j], W[i - 1, j + 1], W[i + 2, j + 1]
            ring = min(min(min(l0, r0), min(l1, r1)), min(min(t0, b0), min(t1, b1)))
            third = max(
                max(abs(r0 - l0 + three * (a - b)), abs(r1 - l1 + three * (c - d))),
                max(abs(b0 - t0 + three * (a - c)), abs(b1 - t1 + three * (b - d))),
            )
            second = max(
                max(abs(l0 - two * a + b), abs(l1 - two * c + d)),
                max(abs(t0 - two * a + c), abs(t1 - two * b + d)),
            )
            curved = (
                (least > 0) & (ring > 0) & (third <= third_limit * least) & (second <= edge * least)
            )
            cells[i, j] = CURVED if curved & (plane == 0) else plane
    return cells


# --- surfaces -----------------------------------------------------------------------------------


@inlined
def axis_fit(a, b, c, d, e):
    """(slope, second difference, doubt, unseen slope) at c, the middle of five pixels; 0 means
    unknown.

    They come from the smoothest three-point stencil that contains c, so never across an edge.
    """
    best = np.inf
    slope = 0.0
    second = 0.0
    if b > 0 and d > 0:
        second = b - 2 * c + d
        best = abs(second)
        slope = 0.5 * (d - b)
    if b > 0 and a > 0:
        q = a - 2 * b + c
        if abs(q) + ROUNDING * c < 0.5 * best:
            best = abs(q)
            second = q
            slope = (c - b) + 0.5 * q
    if d > 0 and e > 0:
        q = e - 2 * d + c
        if abs(q) + ROUNDING * c < 0.5 * best:
            best = abs(q)
            second = q
            slope = (d - c) - 0.5 * q
    if best <= EDGE * c:
        return slope, second, best, 0.0
    # a thin object or an isolated pixel: take the flatter side, if either is flat
    slope = 0.0
    step = np.inf
    if b > 0:
        step = abs(c - b)
        slope = c - b
    if d > 0 and abs(d - c) < step:
        step = abs(d - c)
        slope = d - c
    if step > EDGE * c:
        # only if neither neighbour is known might the surface be steep
        return 0.0, 0.0, 0.25 * EDGE * c, UNSEEN_SLOPE * c if step == np.inf else 0.0
    return slope, 0.0, 0.25 * step + 0.1 * EDGE * c, 0.0


@inlined
def fit(W, r, c, out):
    """Write the surface through pixel (r, c) to ``out``."""
    w = np.float64(W[r, c])
    gx, qx, ux, sx = axis_fit(
        np.float64(W[r, c - 2]), np.float64(W[r, c - 1]), w,
        np.float64(W[r, c + 1]), np.float64(W[r, c + 2]),
    )  # fmt: skip
    gy, qy, uy, sy = axis_fit(
        np.float64(W[r - 2, c]), np.float64(W[r - 1, c]), w,
        np.float64(W[r + 1, c]), np.float64(W[r + 2, c]),
    )  # fmt: skip
    out[0] = w
    out[1] = gx
    out[2] = gy
    out[3] = 0.5 * qx
    out[4] = 0.5 * qy
    out[5] = min(ux + uy, EDGE * w)
    out[6] = max(sx, sy)


@inlined
def at(f, dx, dy):
    """A fit's value (dx, dy) pixels away."""
    return f[0] + f[1] * dx + f[2] * dy + f[3] * dx * dx + f[4] * dy * dy


@jit
def smooth_value(W, kind, r, c, fx, fy):
    """Inverse depth inside a PLANE or CURVED cell, at (fx, fy) in [0, 1)² from pixel (r, c)."""
    a, b = np.float64(W[r, c]), np.float64(W[r, c + 1])
    top = a + fx * (b - a)
    a, b = np.float64(W[r + 1, c]), np.float64(W[r + 1, c + 1])
    value = top + fy * (a + fx * (b - a) - top)
    if kind == CURVED:
        bend_x = (1 - fy) * (W[r, c - 1] - W[r, c] - W[r, c + 1] + W[r, c + 2]) + fy * (
            W[r + 1, c - 1] - W[r + 1, c] - W[r + 1, c + 1] + W[r + 1, c + 2]
        )
        bend_y = (1 - fx) * (W[r - 1, c] - W[r, c] - W[r + 1, c] + W[r + 2, c]) + fx * (
            W[r - 1, c + 1] - W[r, c + 1] - W[r + 1, c + 1] + W[r + 2, c + 1]
        )
        value -= 0.25 * (fx * (1 - fx) * bend_x + fy * (1 - fy) * bend_y)
    return value


@inlined
def largest_bend(W, r, c):
    """Change of slope along one side of the cell to the lower right of pixel (r, c)."""
    top = abs(W[r, c - 1] - W[r, c] - W[r, c + 1] + W[r, c + 2])
    bottom = abs(W[r + 1, c - 1] - W[r + 1, c] - W[r + 1, c + 1] + W[r + 1, c + 2])
    left = abs(W[r - 1, c] - W[r, c] - W[r + 1, c] + W[r + 2, c])
    right = abs(W[r - 1, c + 1] - W[r, c + 1] - W[r + 1, c + 1] + W[r + 2, c + 1])
    return max(max(top, bottom), max(left, right))


@jit
def lookup(W, cells, x, y, sparse, fits):
    """Inverse depth at pixel (x, y) of the surface that most of the four pixels around it see.

    Returns (value or 0 where less than half is known, its share of the known weight, which of the
    four pixels represents it). Inside a smooth cell all four see it. In sparse depth, unknown
    pixels say nothing, so one known pixel suffices, with its weight as share.
    """
    px, py = x + (PAD - 0.5), y + (PAD - 0.5)
    c0, r0 = int(np.floor(px)), int(np.floor(py))
    fx, fy = px - c0, py - r0
    kind = cells[r0, c0]
    if kind != BROKEN:
        heaviest_pixel = (1 if fx > 0.5 else 0) + (2 if fy > 0.5 else 0)
        if kind == PLANE and largest_bend(W, r0, c0) <= 2 * SMOOTH * W[r0, c0]:
            # the surface still bends a little; more only beside an edge or a hole
            kind = CURVED
        return smooth_value(W, kind, r0, c0, fx, fy), 1.0, heaviest_pixel
    guess = np.zeros(4)
    weight = np.zeros(4)
    known = 0.0
    for k in range(4):
        kx, ky = k & 1, k >> 1
        wk = (fx if kx else 1 - fx) * (fy if ky else 1 - fy)
        if W[r0 + ky, c0 + kx] <= 0 or wk <= 0:
            continue
        fit(W, r0 + ky, c0 + kx, fits[k])
        guess[k] = at(fits[k], fx - kx, fy - ky)
        if guess[k] <= 0:
            guess[k] = W[r0 + ky, c0 + kx]
        weight[k] = wk
        known += wk
    if known < (LEAST_SHARE if sparse else 0.5):
        return 0.0, 0.0, 0
    best, value, chosen = -1.0, 0.0, 0
    for k in range(4):
        if weight[k] <= 0:
            continue
        total = 0.0
        mean = 0.0
        for m in range(4):
            if weight[m] > 0 and abs(guess[m] - guess[k]) <= 0.5 * EDGE * guess[k]:
                total += weight[m]
                mean += weight[m] * guess[m]
        mean /= total
        # of two surfaces with equal shares, as on an edge at a cell's centre, the nearer one
        if total > best + ROUNDING or (total > best - ROUNDING and mean > value):
            best, value, chosen = total, mean, k
    return value, best / max(known, 0.5), chosen


@jit
def sample(W, cells, hw, sparse, points):
    """Inverse depth (N,) at pixels (N, 2), 0 where unknown."""
    out = np.zeros(points.shape[0])
    fits = np.empty((4, 7))
    for i in range(points.shape[0]):
        x, y = points[i, 0], points[i, 1]
        if x >= 0 and y >= 0 and x < hw[1] and y < hw[0]:
            out[i] = lookup(W, cells, x, y, sparse, fits)[0]
    return out


# --- one query in a cell that is not smooth -----------------------------------------------------


@inlined
def query_fit(W0, cells0, u, v, stride, sparse, fits, out):
    """Write the surface of view 0 at a query to ``out``."""
    if stride % 2 == 1:
        fit(W0, int(v) + PAD, int(u) + PAD, out)
    else:
        value, _, k = lookup(W0, cells0, u, v, sparse, fits)
        fit(W0, int(v - 0.5) + (k >> 1) + PAD, int(u - 0.5) + (k & 1) + PAD, out)
        out[0] = value


@inlined
def facing(f, u, v, E):
    """1 − n·o of the plane n through the point and the centre o of camera 1: ≤ 0 if camera 1 is
    behind the plane, 1 at the centre of camera 0."""
    return 1 - f[0] * E[2] - f[1] * (E[0] - u * E[2]) - f[2] * (E[1] - v * E[2])


@inlined
def may_face(f, u, v, E, noise):
    """Whether camera 1 may be on the side of the surface that view 0 sees."""
    doubt = noise * f[0] * (abs(E[0] - u * E[2]) + abs(E[1] - v * E[2]))
    return facing(f, u, v, E) > -doubt


@inlined
def rounding_of(traits, w0, w1):
    """Largest gap that rounding to steps may cause between w0, seen as w1 in view 1, and view 1."""
    if traits.steps0_w + traits.steps0_z + traits.steps1_w + traits.steps1_z == 0:
        return 0.0
    step0 = traits.steps0_w + traits.steps0_z * w0 * w0
    step1 = traits.steps1_w + traits.steps1_z * w1 * w1
    return STEPS * (step0 * (w1 / w0) + step1)


@inlined
def compare_by_fits(W, r0, c0, fx, fy, w1, same, far, noise, unmeasured, fits, kinds):
    """What the four pixels show, each extrapolated to the landing place along its own surface.

    Returns whether a pixel disagreed that might agree if its slope were known better.
    """
    doubtful = False
    steep = max(STEEP * w1, far)
    above, below = w1 + steep, w1 - steep
    for k in range(4):
        kx, ky = k & 1, k >> 1
        w = np.float64(W[r0 + ky, c0 + kx])
        if w <= 0:
            kinds[k] = EMPTY
        elif w > above:
            kinds[k] = FAR_NEARER
        elif w < below:
            kinds[k] = FARTHER
        else:
            f = fits[k]
            fit(W, r0 + ky, c0 + kx, f)
            dx, dy = fx - kx, fy - ky
            d = w1 - at(f, dx, dy)
            reach = abs(dx) + abs(dy)
            if abs(d) <= same + f[5] * reach:
                kinds[k] = AGREES
            else:
                # the slope is as noisy as its pixels, or unknown
                if abs(d) > far + (f[5] + f[6] + noise * w1) * reach:
                    kinds[k] = NEARER if d < 0 else FARTHER
                elif d < 0 and f[6] == 0 and not unmeasured:
                    kinds[k] = MAYBE_NEARER
                else:
                    kinds[k] = VAGUE
                doubtful = True
    return doubtful


@inlined
def compare_by_tangent(W, r0, c0, fx, fy, w1, same, f0, u, v, E, N, fits, kinds):
    """Mark pixels on the tangent plane of view 0, transferred to view 1, as agreeing.

    This is needed where too few pixels of view 1 show a surface to give its slope.
    """
    s = facing(f0, u, v, E)
    if s <= 0:
        return
    p2 = f0[0] - f0[1] * u - f0[2] * v
    gx = (N[0, 0] * f0[1] + N[0, 1] * f0[2] + N[0, 2] * p2) / s
    gy = (N[1, 0] * f0[1] + N[1, 1] * f0[2] + N[1, 2] * p2) / s
    if abs(gx) + abs(gy) > STEEP_TANGENT * w1:
        return
    for k in range(4):
        if kinds[k] == EMPTY or kinds[k] == AGREES:
            continue
        kx, ky = k & 1, k >> 1
        w = np.float64(W[r0 + ky, c0 + kx])
        if abs(w - (w1 + gx * (kx - fx) + gy * (ky - fy))) <= same:
            kinds[k] = AGREES
            f = fits[k]
            f[0], f[1], f[2], f[3], f[4], f[5], f[6] = w, gx, gy, 0.0, 0.0, 0.0, 0.0


@inlined
def heaviest(kinds, wanted, also, fx, fy):
    """The pixel of a kind with the largest bilinear weight, or −1."""
    best, best_weight = -1, -1.0
    for k in range(4):
        if kinds[k] == wanted or kinds[k] == also:
            weight = (fx if k & 1 else 1 - fx) * (fy if k >> 1 else 1 - fy)
            if weight > best_weight:
                best, best_weight = k, weight
    return best


@inlined
def join_creases(W, r0, c0, w1, same, a, fits, kinds):
    """Mark nearer pixels as agreeing if their surface meets that of the agreeing pixel ``a``
    between the two."""
    fa = fits[a]
    ax, ay = a & 1, a >> 1
    for k in range(4):
        if kinds[k] != NEARER and kinds[k] != FAR_NEARER:
            continue
        kx, ky = k & 1, k >> 1
        below = at(fa, kx - ax, ky - ay) - W[r0 + ky, c0 + kx]
        if below >= -same:
            kinds[k] = AGREES
        elif kinds[k] == NEARER:
            above = fa[0] - at(fits[k], ax - kx, ay - ky)
            small = max(abs(above), abs(below)) < CREASE * w1
            if small and (above * below <= 0 or abs(above) < same):
                kinds[k] = AGREES


@inlined
def coverage(W, r0, c0, fx, fy, a, n, fits):
    """Share of the landing place's surroundings where the surface of pixel ``n`` covers that of
    pixel ``a``: labels of 4×4 pixels, smoothed by a cubic B-spline."""
    fa = fits[a]
    ax, ay = a & 1, a >> 1
    nx, ny = n & 1, n >> 1
    gap = np.float64(W[r0 + ny, c0 + nx]) - at(fa, nx - ax, ny - ay)
    gx, gy = 1 - fx, 1 - fy
    u0, u3 = gx * gx * gx / 6, fx * fx * fx / 6
    u1 = (4 - 6 * fx * fx + 3 * fx * fx * fx) / 6
    u2 = (4 - 6 * gx * gx + 3 * gx * gx * gx) / 6
    v0, v3 = gy * gy * gy / 6, fy * fy * fy / 6
    v1 = (4 - 6 * fy * fy + 3 * fy * fy * fy) / 6
    v2 = (4 - 6 * gy * gy + 3 * gy * gy * gy) / 6
    total = 0.0
    covered = 0.0
    for jy in range(-1, 3):
        weight_y = v0 if jy == -1 else (v1 if jy == 0 else (v2 if jy == 1 else v3))
        level = fa[0] + fa[2] * (jy - ay) + LEVEL * gap
        for jx in range(-1, 3):
            w = np.float64(W[r0 + jy, c0 + jx])
            weight = weight_y * (u0 if jx == -1 else (u1 if jx == 0 else (u2 if jx == 1 else u3)))
            if w > 0:
                total += weight
            if w > level + fa[1] * (jx - ax):
                covered += weight
    return covered / total


@jit
def confirmed_from_afar(W, r0, c0, fx, fy, w1, same, kinds, f):
    """Whether none of the four pixels is known and the nearest known one of the twelve around them,
    extrapolated along its own surface, agrees."""
    for k in range(4):
        if kinds[k] != EMPTY:
            return False
    best, dx, dy = FAR_CONFIRMS, 0.0, 0.0
    for jy in range(-1, 3):
        for jx in range(-1, 3):
            reach = abs(fx - jx) + abs(fy - jy)
            if W[r0 + jy, c0 + jx] > 0 and reach < best:
                best, dx, dy = reach, fx - jx, fy - jy
                fit(W, r0 + jy, c0 + jx, f)
    allowed = same + f[5] * best
    return best < FAR_CONFIRMS and abs(w1 - at(f, dx, dy)) <= allowed


@jit
def nearer_share(kinds, fx, fy):
    """Bilinear weight of the nearer pixels, as a share of all four."""
    share = 0.0
    for k in range(4):
        if kinds[k] == NEARER or kinds[k] == FAR_NEARER:
            share += (fx if k & 1 else 1 - fx) * (fy if k >> 1 else 1 - fy)
    return share


@inlined
def judge(W0, cells0, W1, x, y, w0, w1, u, v, stride, E, N, traits, fits, f0, kinds):
    """(verdict, confidence) of a query (u, v) with inverse depth w1 at (x, y) in view 1, where the
    four pixels around may see different surfaces."""
    px, py = x + (PAD - 0.5), y + (PAD - 0.5)
    c0, r0 = int(px), int(py)
    fx, fy = px - c0, py - r0
    noise = SIGMAS * traits.noise
    same = (SAME + noise) * w1 + rounding_of(traits, w0, w1)
    far = same + (traits.loose + CLEAR * traits.noise) * w1
    doubtful = compare_by_fits(
        W1, r0, c0, fx, fy, w1, same, far, noise, traits.loose > 0, fits, kinds
    )
    if doubtful:
        query_fit(W0, cells0, u, v, stride, traits.sparse0, fits[4:], f0)
        compare_by_tangent(W1, r0, c0, fx, fy, w1, same, f0, u, v, E, N, fits, kinds)
    a = heaviest(kinds, AGREES, AGREES, fx, fy)
    if a >= 0 and doubtful:  # beside a pixel that agrees, weaker evidence suffices
        for k in range(4):
            if kinds[k] == MAYBE_NEARER:
                kinds[k] = NEARER
    n = heaviest(kinds, NEARER, FAR_NEARER, fx, fy)
    if a < 0:
        if n >= 0:
            share = nearer_share(kinds, fx, fy)
            return (OCCLUDED, share) if share >= LEAST_SHARE else (UNKNOWN, 0.0)
        if traits.sparse1 and confirmed_from_afar(W1, r0, c0, fx, fy, w1, same, kinds, fits[0]):
            return VISIBLE, FAR_CONFIDENCE
        return UNKNOWN, 0.0
    if n >= 0:
        join_creases(W1, r0, c0, w1, same, a, fits, kinds)
        n = heaviest(kinds, NEARER, FAR_NEARER, fx, fy)
    confidence = 1.0
    if n >= 0:
        covered = coverage(W1, r0, c0, fx, fy, a, n, fits)
        if covered >= 0.5:
            return OCCLUDED, 2 * covered - 1
        confidence = 1 - 2 * covered
    if not doubtful:
        query_fit(W0, cells0, u, v, stride, traits.sparse0, fits[4:], f0)
    if not may_face(f0, u, v, E, noise):
        # hidden by the surface that it is on
        return OCCLUDED, 0.5
    if traits.loose > 0:
        confidence *= UNMEASURED_CONFIDENCE
    return VISIBLE, confidence


@jit
def judge_row(
    W0, cells0, W1, columns, x, y, w0, w1, v, stride, E, N, traits, fits, f0, kinds, verdict,
    confidence,
):  # fmt: skip
    """``judge`` for some queries of a row in one call, since a call costs as much as a query."""
    for m in range(columns.shape[0]):
        j = columns[m]
        u = (j + 0.5) * stride
        verdict[j], confidence[j] = judge(
            W0, cells0, W1, x[j], y[j], w0[j], w1[j], u, v, stride, E, N, traits, fits, f0, kinds
        )


@jit
def judge_smooth_row(W1, cells1, index, fx, fy, w0, w1, traits, verdict, confidence, broken):
    """Verdicts of a row in smooth cells, in depth that is noisy, in steps, or of unknown noise.

    Returns how many queries land in other cells; that many first entries of ``broken`` list them.
    """
    pitch = W1.shape[1]
    tolerated = SAME + SIGMAS * traits.noise
    doubted = traits.loose + CLEAR * traits.noise
    agreed = np.float32(UNMEASURED_CONFIDENCE if traits.loose > 0 else 1.0)
    count = 0
    for j in range(w0.shape[0]):
        if index[j] < 0:
            continue
        r, c = index[j] // pitch, index[j] % pitch
        if cells1[r, c] == BROKEN:
            broken[count] = j
            count += 1
            continue
        depth1 = w1[j]
        same = tolerated * depth1 + rounding_of(traits, np.float64(w0[j]), depth1)
        d = smooth_value(W1, cells1[r, c], r, c, fx[j], fy[j]) - depth1
        beyond = d - same - doubted * depth1
        if abs(d) <= same:
            verdict[j], confidence[j] = VISIBLE, agreed
        elif beyond > 0:
            # a difference just beyond the noise is weak evidence
            verdict[j], confidence[j] = OCCLUDED, np.float32(min(1.0, beyond / same))
        else:
            verdict[j], confidence[j] = UNKNOWN, np.float32(0)
    return count


# --- a pair of views ----------------------------------------------------------------------------


@jit
def query_row(W0, cells0, row, stride, sparse, mask0, w0, share):
    """Inverse depth of one row of queries and its confidence."""
    fits = np.empty((4, 7))
    v = (row + 0.5) * stride
    for j in range(w0.shape[0]):
        u = (j + 0.5) * stride
        if stride % 2 == 1:
            w0[j] = W0[int(v) + PAD, int(u) + PAD]
            share[j] = 1.0
        else:
            value, known, _ = lookup(W0, cells0, u, v, sparse, fits)
            w0[j] = value
            share[j] = known
        if mask0.size and not mask0[int(v), int(u)]:
            w0[j] = 0.0


@jit
def project_row(w0, v, stride, M, T, x, y, w1):
    """Landing place and inverse depth of one row of queries; branch-free, so it vectorises."""
    for j in range(w0.shape[0]):
        u = (j + 0.5) * stride
        w = np.float64(w0[j])
        inv = 1.0 / (M[2, 0] * u + (M[2, 1] * v + M[2, 2]) + T[2] * w)
        x[j] = (M[0, 0] * u + (M[0, 1] * v + M[0, 2]) + T[0] * w) * inv
        y[j] = (M[1, 0] * u + (M[1, 1] * v + M[1, 2]) + T[1] * w) * inv
        w1[j] = w * inv


@jit
def place_row(w0, x, y, w1, width, height, pitch, xy, verdict, confidence, index, fx, fy):
    """First verdicts of one row, and where the other queries must look: index −1 or that of the
    upper left of the four pixels, and the place between them. Also branch-free."""
    for j in range(w0.shape[0]):
        # copied to locals, because the compiler must assume that outputs alias inputs
        xj, yj, wj = x[j], y[j], w1[j]
        inside = (wj > 0) & (xj >= 0) & (yj >= 0) & (xj < width) & (yj < height)
        px = (xj if inside else 0.5) + (PAD - 0.5)
        py = (yj if inside else 0.5) + (PAD - 0.5)
        c, r = np.int32(px), np.int32(py)
        fx[j] = px - c
        fy[j] = py - r
        index[j] = r * pitch + c if inside else np.int32(-1)
        xy[2 * j] = np.float32(xj) if inside else np.float32(np.nan)
        xy[2 * j + 1] = np.float32(yj) if inside else np.float32(np.nan)
        confidence[j] = np.float32(0)
        verdict[j] = (
            np.uint8(NO_DEPTH)
            if w0[j] <= 0
            else (np.uint8(OUTSIDE) if wj > 0 else np.uint8(BEHIND))
        )


@jit
def run(
    W0, cells0, W1, cells1, hw1, M, T, E, N, stride, traits, mask0, mask1, xy, verdict, confidence
):  # fmt: skip
    """All queries of a pair; fills xy (h, w, 2), verdict (h, w), confidence (h, w).

    M = K1 R K0⁻¹, T = K1 t, E = K0 · (camera 1's centre in camera 0), N = M⁻ᵀ; masks of size 0
    mean none.
    """
    h, w = verdict.shape
    same = SAME
    plain = traits.noise == 0 and traits.loose == 0 and rounding_of(traits, 1.0, 1.0) == 0
    x, y, w1 = np.empty(w), np.empty(w), np.empty(w)
    fx, fy = np.empty(w), np.empty(w)
    index = np.empty(w, np.int32)
    broken = np.empty(w, np.int64)
    w0 = np.empty(w, np.float32)
    share = np.ones(w)
    fits = np.empty((8, 7))
    f0 = np.empty(7)
    kinds = np.empty(4, np.int64)
    width, height = np.float64(hw1[1]), np.float64(hw1[0])
    pitch = W1.shape[1]
    flat1, cell_of = W1.ravel(), cells1.ravel()
    for i in range(h):
        v = (i + 0.5) * stride
        if stride == 1 and not mask0.size:
            w0[:] = W0[i + PAD, PAD : PAD + w]
        else:
            query_row(W0, cells0, i, stride, traits.sparse0, mask0, w0, share)
        verdicts, sure = verdict[i], confidence[i]
        project_row(w0, v, np.float64(stride), M, T, x, y, w1)
        place_row(
            w0, x, y, w1, width, height, np.int32(pitch), xy[i].ravel(), verdicts, sure,
            index, fx, fy,
        )  # fmt: skip
        count = 0
        if plain:
            for j in range(w):
                k = index[j]
                if k < 0:
                    continue
                cell = cell_of[k]
                if cell == BROKEN:
                    broken[count] = j
                    count += 1
                    continue
                px, py, depth1 = fx[j], fy[j], w1[j]
                if cell == PLANE:  # smooth_value, written out: this is the innermost loop
                    a, b = np.float64(flat1[k]), np.float64(flat1[k + 1])
                    top = a + px * (b - a)
                    a, b = np.float64(flat1[k + pitch]), np.float64(flat1[k + pitch + 1])
                    seen = top + py * (a + px * (b - a) - top)
                else:
                    seen = smooth_value(W1, cell, k // pitch, k % pitch, px, py)
                d = seen - depth1
                agrees = abs(d) <= same * depth1
                found = VISIBLE if agrees else (OCCLUDED if d > 0 else UNKNOWN)
                verdicts[j] = found
                sure[j] = np.float32(found >= OCCLUDED)
        else:
            count = judge_smooth_row(
                W1, cells1, index, fx, fy, w0, w1, traits, verdicts, sure, broken
            )
        if count:
            judge_row(
                W0, cells0, W1, broken[:count], x, y, w0, w1, v, stride, E, N, traits, fits, f0,
                kinds, verdicts, sure,
            )  # fmt: skip
        if stride % 2 == 0:
            for j in range(w):
                sure[j] *= share[j]
        if mask1.size:
            for j in range(w):
                if verdicts[j] == VISIBLE and not mask1[int(y[j]), int(x[j])]:
                    verdicts[j] = UNKNOWN
                    sure[j] = 0.0


@jit
def differences(W0, W1, cells1, hw0, hw1, M, T, traits, step, every, alone):
    """(N, 3): difference of view 1 from points of view 0, as a share of inverse depth; the part of
    it that steps may explain; the distance in pixels at which view 1's depth was taken. The points
    are every ``every``-th known pixel of a grid with step ``step``; differences above 10 % are left
    out, because those points are hidden.

    View 1 is looked up in smooth cells or, with ``alone``, at the known pixel nearest to the place,
    extrapolated along its own surface.
    """
    found = np.empty(((hw0[0] // step + 1) * (hw0[1] // step + 1), 3))
    f = np.empty(7)
    n = 0
    known = 0
    for i in range(step // 2, hw0[0], step):
        for j in range(step // 2, hw0[1], step):
            w0 = np.float64(W0[i + PAD, j + PAD])
            if w0 <= 0:
                continue
            known += 1
            if known % every != 0:
                continue
            u, v = j + 0.5, i + 0.5
            hz = M[2, 0] * u + M[2, 1] * v + M[2, 2] + T[2] * w0
            if hz <= 0:
                continue
            x = (M[0, 0] * u + M[0, 1] * v + M[0, 2] + T[0] * w0) / hz
            y = (M[1, 0] * u + M[1, 1] * v + M[1, 2] + T[1] * w0) / hz
            if not (x >= 0 and y >= 0 and x < hw1[1] and y < hw1[0]):
                continue
            px, py = x + (PAD - 0.5), y + (PAD - 0.5)
            c, r = int(px), int(py)
            away = 0.0
            if alone:
                best = 2.0
                dx, dy = 0.0, 0.0
                for k in range(4):
                    kx, ky = k & 1, k >> 1
                    reach = abs(px - c - kx) + abs(py - r - ky)
                    if W1[r + ky, c + kx] > 0 and reach < best:
                        best = reach
                        dx, dy = px - c - kx, py - r - ky
                        fit(W1, r + ky, c + kx, f)
                if best == 2.0:
                    continue
                seen = at(f, dx, dy)
                away = best
                if seen <= 0:
                    continue
            elif cells1[r, c] == BROKEN:
                continue
            else:
                seen = smooth_value(W1, cells1[r, c], r, c, px - c, py - r)
            w1 = w0 / hz
            d = abs(w1 / seen - 1)
            if d < 0.1:
                found[n, 0] = d
                found[n, 1] = rounding_of(traits, w0, w1) / w1
                found[n, 2] = away
                n += 1
    return found[:n]


@jit
def spread(found):
    """Standard deviation from the median of absolute differences (× 1.4826, normal), first of all
    of them and then of those within 4 standard deviations."""
    sigma = 1.4826 * np.median(found)
    for _ in range(3):
        near = found[found < 4 * sigma]
        if near.size < 20:
            break
        sigma = 1.4826 * np.median(near)
    return sigma
