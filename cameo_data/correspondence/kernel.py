"""Compiled core: one ordered pair of prepared views -> landing places, verdicts, confidence.

research version
"""

from __future__ import annotations

import numba as nb
import numpy as np

PAD = 3
TAU = 0.001
CAP = 0.02
CURV = 1.0
CREASE = 0.03
EDGE_EPS = 8.1e-4

jit = nb.njit(cache=True, error_model="numpy", fastmath={"contract"})


@jit
def axis_fit(a, b, c, d, e, cap):
    """slope, signed second difference, uncertainty at the middle of five samples"""
    best = np.inf
    slope = 0.0
    d2 = 0.0
    if b > 0 and d > 0:
        d2 = b - 2 * c + d
        best = abs(d2)
        slope = 0.5 * (d - b)
    if b > 0 and a > 0:
        q = a - 2 * b + c
        if abs(q) < 0.5 * best:
            best = abs(q)
            d2 = q
            slope = (c - b) + 0.5 * q
    if d > 0 and e > 0:
        q = e - 2 * d + c
        if abs(q) < 0.5 * best or (abs(q) < best and d2 != 0.5 * (d - b) and best > cap * c):
            best = abs(q)
            d2 = q
            slope = (d - c) - 0.5 * q
    if best <= cap * c:
        return slope, d2, best
    # no smooth stencil: a thin thing or a lonely pixel
    slope = 0.0
    one = np.inf
    if b > 0:
        one = abs(c - b)
        slope = c - b
    if d > 0 and abs(d - c) < one:
        one = abs(d - c)
        slope = d - c
    if one > cap * c:
        slope = 0.0
        return slope, 0.0, 0.25 * cap * c
    return slope, 0.0, 0.25 * one + 0.1 * cap * c


@jit
def fit(W, r, c, cap, out):
    """Quadratic through pixel (r, c) of padded W"""
    w = W[r, c]
    gx, qx, ux = axis_fit(W[r, c - 2], W[r, c - 1], w, W[r, c + 1], W[r, c + 2], cap)
    gy, qy, uy = axis_fit(W[r - 2, c], W[r - 1, c], w, W[r + 1, c], W[r + 2, c], cap)
    out[0] = w
    out[1] = gx
    out[2] = gy
    out[3] = 0.5 * qx
    out[4] = 0.5 * qy
    out[5] = ux + uy


@jit
def at(f, dx, dy):
    return f[0] + f[1] * dx + f[2] * dy + f[3] * dx * dx + f[4] * dy * dy


@jit
def look(W, x, y, w1, noise, fits, info):
    """Judge inverse depth w1 at pixel-index coordinates (x, y). returns verdict, confidence"""
    ix = int(np.floor(x))
    iy = int(np.floor(y))
    fx = x - ix
    fy = y - iy
    agree = 0.0
    near = 0.0
    far = 0.0
    none = 0.0
    best_a = -1
    best_aw = -1.0
    best_n = -1
    best_nw = -1.0
    kind = info
    for k in range(4):
        kx = k & 1
        ky = k >> 1
        weight = (fx if kx else 1 - fx) * (fy if ky else 1 - fy)
        r = iy + ky + PAD
        c = ix + kx + PAD
        if W[r, c] <= 0:
            none += weight
            kind[k] = 0
            continue
        f = fits[k]
        fit(W, r, c, CAP, f)
        dx = fx - kx
        dy = fy - ky
        guess = at(f, dx, dy)
        span = abs(dx) + abs(dy)
        tol = TAU * w1 + CURV * min(f[5], CAP * f[0]) * span + noise * w1
        d = w1 - guess
        if abs(d) <= tol:
            agree += weight
            kind[k] = 1
            if weight > best_aw:
                best_aw = weight
                best_a = k
        elif d < 0:
            near += weight
            kind[k] = 2
            if weight > best_nw:
                best_nw = weight
                best_n = k
        else:
            far += weight
            kind[k] = 3
    if best_a >= 0 and best_n >= 0:
        # a crease: planes of the two pixels cross between them, nothing stands in front
        fa = fits[best_a]
        for k in range(4):
            if kind[k] != 2:
                continue
            fk = fits[k]
            ex = (k & 1) - (best_a & 1)
            ey = (k >> 1) - (best_a >> 1)
            da = fa[0] - at(fk, -ex, -ey)
            dk = at(fa, ex, ey) - fk[0]
            small = TAU * w1 + noise * w1
            if abs(da) < CREASE * w1 and abs(dk) < CREASE * w1 and (da * dk <= 0 or abs(da) < small or abs(dk) < small):
                kind[k] = 1
                weight = ((fx if k & 1 else 1 - fx) * (fy if k >> 1 else 1 - fy))
                near -= weight
                agree += weight
        best_n = -1
        best_nw = -1.0
        for k in range(4):
            if kind[k] == 2:
                weight = ((fx if k & 1 else 1 - fx) * (fy if k >> 1 else 1 - fy))
                if weight > best_nw:
                    best_nw = weight
                    best_n = k
    if best_a >= 0 and best_n < 0:
        return 5, 1.0, 0
    if best_a < 0 and best_n < 0:
        return 3, 0.0, 0
    if best_a < 0:
        return 4, 1.0, 0
    # both
    fa = fits[best_a]
    fn = fits[best_n]
    ax = best_a & 1
    ay = best_a >> 1
    gap = fn[0] - at(fa, (best_n & 1) - ax, (best_n >> 1) - ay)
    total = 0.0
    cover = 0.0
    for jy in range(-1, 3):
        wy = bspline(fy - jy)
        for jx in range(-1, 3):
            r = iy + jy + PAD
            c = ix + jx + PAD
            w = W[r, c]
            if w <= 0:
                continue
            kw = wy * bspline(fx - jx)
            total += kw
            ddx = jx - ax
            ddy = jy - ay
            surface = fa[0] + fa[1] * ddx + fa[2] * ddy
            if w > surface + 0.5 * gap:
                cover += kw
    f = cover / total
    if f < 0.5:
        return 5, 1 - 2 * f, 1
    return 4, 2 * f - 1, 1


@jit
def bspline(t):
    t = abs(t)
    if t < 1:
        return 2 / 3 - t * t + 0.5 * t * t * t
    if t < 2:
        return (2 - t) ** 3 / 6
    return 0.0


@jit
def lookup(W, x, y, fits):
    """Inverse depth at pixel-index coordinates: the surface that most of the four pixels see."""
    ix = int(np.floor(x))
    iy = int(np.floor(y))
    fx = x - ix
    fy = y - iy
    guess = np.zeros(4)
    weight = np.zeros(4)
    known = 0.0
    for k in range(4):
        kx = k & 1
        ky = k >> 1
        r = iy + ky + PAD
        c = ix + kx + PAD
        wk = (fx if kx else 1 - fx) * (fy if ky else 1 - fy)
        if W[r, c] <= 0 or wk <= 0:
            continue
        fit(W, r, c, CAP, fits[k])
        guess[k] = at(fits[k], fx - kx, fy - ky)
        if guess[k] <= 0:
            guess[k] = W[r, c]
        weight[k] = wk
        known += wk
    if known < 0.5:
        return 0.0, 0.0
    best = -1.0
    out = 0.0
    for k in range(4):
        if weight[k] <= 0:
            continue
        total = 0.0
        value = 0.0
        for m in range(4):
            if weight[m] > 0 and abs(guess[m] - guess[k]) <= (3 * TAU + 0.5 * CAP) * guess[k]:
                total += weight[m]
                value += weight[m] * guess[m]
        if total > best + 1e-9 or (total > best - 1e-9 and value / total > out):
            best = total
            out = value / total
    return out, best / known


@jit
def sample(W, hw, points):
    out = np.zeros(points.shape[0])
    fits = np.empty((4, 6))
    for i in range(points.shape[0]):
        x, y = points[i, 0], points[i, 1]
        if x >= 0 and y >= 0 and x < hw[1] and y < hw[0]:
            out[i], _ = lookup(W, x - 0.5, y - 0.5, fits)
    return out


@jit
def padded_inverse(z, valid):
    h, w = z.shape
    W = np.zeros((h + 2 * PAD, w + 2 * PAD), np.float32)
    for i in range(h):
        for j in range(w):
            if valid[i, j]:
                W[i + PAD, j + PAD] = np.float32(1.0) / z[i, j]
    return W


@jit
def run(W0, W1, hw0, hw1, M, T, stride, noise, mask0, mask1, xy, verdict, conf):
    h = hw0[0] // stride
    w = hw0[1] // stride
    fits = np.empty((4, 6))
    info = np.empty(4, np.int64)
    for i in range(h):
        for j in range(w):
            v = (i + 0.5) * stride
            u = (j + 0.5) * stride
            xy[i, j, 0] = np.nan
            xy[i, j, 1] = np.nan
            conf[i, j] = 0
            sure = 1.0
            if stride % 2 == 1:
                w0 = np.float64(W0[int(v) + PAD, int(u) + PAD])
            else:
                w0, sure = lookup(W0, u - 0.5, v - 0.5, fits)
            if mask0.size and not mask0[int(v), int(u)]:
                w0 = 0.0
            if w0 <= 0:
                verdict[i, j] = 0
                continue
            hx = M[0, 0] * u + M[0, 1] * v + M[0, 2] + T[0] * w0
            hy = M[1, 0] * u + M[1, 1] * v + M[1, 2] + T[1] * w0
            hz = M[2, 0] * u + M[2, 1] * v + M[2, 2] + T[2] * w0
            if hz <= 0:
                verdict[i, j] = 1
                continue
            x = hx / hz
            y = hy / hz
            if not (x >= 0 and y >= 0 and x < hw1[1] and y < hw1[0]):
                verdict[i, j] = 2
                continue
            xy[i, j, 0] = x
            xy[i, j, 1] = y
            w1 = w0 / hz
            vd, cf, am = look(W1, x - 0.5, y - 0.5, w1, noise, fits, info)
            if vd == 5 and mask1.size and not mask1[int(y), int(x)]:
                vd = 3
                cf = 0.0
            verdict[i, j] = vd
            conf[i, j] = cf * sure


@jit
def pair(W0, W1, hw0, hw1, M, T, stride, noise, xy, verdict, conf, amb):
    h = hw0[0] // stride
    w = hw0[1] // stride
    fits = np.empty((4, 6))
    info = np.empty(4, np.int64)
    for i in range(h):
        for j in range(w):
            v = (i + 0.5) * stride
            u = (j + 0.5) * stride
            w0 = W0[i + PAD, j + PAD]  # stride 1 only
            xy[i, j, 0] = np.nan
            xy[i, j, 1] = np.nan
            conf[i, j] = 0
            amb[i, j] = 0
            if w0 <= 0:
                verdict[i, j] = 0
                continue
            hx = M[0, 0] * u + M[0, 1] * v + M[0, 2] + T[0] * w0
            hy = M[1, 0] * u + M[1, 1] * v + M[1, 2] + T[1] * w0
            hz = M[2, 0] * u + M[2, 1] * v + M[2, 2] + T[2] * w0
            if hz <= 0:
                verdict[i, j] = 1
                continue
            x = hx / hz
            y = hy / hz
            if not (x >= 0 and y >= 0 and x < hw1[1] and y < hw1[0]):
                verdict[i, j] = 2
                continue
            xy[i, j, 0] = x
            xy[i, j, 1] = y
            w1 = w0 / hz
            vd, cf, am = look(W1, x - 0.5, y - 0.5, w1, noise, fits, info)
            verdict[i, j] = vd
            conf[i, j] = cf
            amb[i, j] = am
