"""Linear colours of surface points from seeded patterns that are fixed to the surface.

A pattern is a function of metric coordinates on the surface (and of the face and primitive), never
of the camera: two views of a point agree up to filtering. A visible part does not reveal what a
hidden one looks like, because each cell of each pattern draws its own colour from a hash.
``footprint`` (metres of surface under one sample) fades details finer than a sample, so that
pictures do not alias at any size.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

PATTERNS = ("noise", "tiles", "voronoi", "glyphs", "bricks", "arcs", "dots", "weave")
# tone -> hue offsets, their spread, and (saturation, value) of dark and of light colours
_TONES: dict[str, tuple[Any, ...]] = {
    "vivid": (
        (0.0, 0.08, 0.33, 0.5, 0.66), 0.03, ((0.5, 0.95), (0.2, 0.55)), ((0.15, 0.75), (0.8, 1)),
    ),
    "pale": ((0.0, 0.1, 0.5), 0.03, ((0.25, 0.6), (0.45, 0.7)), ((0.05, 0.3), (0.85, 1))),
    "earth": ((0.0,), 0.035, ((0.45, 0.8), (0.2, 0.45)), ((0.3, 0.65), (0.6, 0.9))),
}  # fmt: skip
TONES = tuple(_TONES)
COLOURS = 6
# Mean darkening of each pattern by its joints and letters, measured over 10⁶ random places (a test
# checks it), because a pattern must fade to its own mean.
MEAN_DARK = (1.0, 0.894, 0.874, 0.898, 0.917, 1.0, 1.0, 0.868)

_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xBF58476D1CE4E5B9)
_C = np.uint64(0x94D049BB133111EB)
_D = np.uint64(0xD6E8FEB86659FD93)
_S30, _S27, _S31, _S40 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(40)
_UNIT = 1.0 / (1 << 24)
_jit = nb.njit(cache=True, nogil=True)
_inline = nb.njit(cache=True, nogil=True, inline="always")


def palette(seed: int, tone: str) -> NDArray[np.float64]:
    """(COLOURS + 1, 3) linear RGB drawn from the seed, dark and light in turn; the mean is last."""
    rng = np.random.default_rng([seed, TONES.index(tone)])
    hues, spread, *shades = _TONES[tone]
    anchor = 0.07 if tone == "earth" else rng.random()
    colours = []
    for i in range(COLOURS):
        hue = anchor + rng.choice(hues) + rng.normal(0, spread)
        saturation, value = (rng.uniform(*span) for span in shades[i % 2])
        colours.append(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    linear = np.array(colours) ** 2.2
    return np.concatenate([linear, linear.mean(0, keepdims=True)])


@_inline
def _mix(x):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser."""
    x = (x ^ (x >> _S30)) * _B
    x = (x ^ (x >> _S27)) * _C
    return x ^ (x >> _S31)


@_inline
def _hash(i, j, k, seed):  # type: ignore[no-untyped-def]
    """64 bits from three integers and a seed."""
    x = seed + np.uint64(i) * _A + np.uint64(j) * _C + np.uint64(k) * _D
    return _mix(x)


@_inline
def _unit(bits):  # type: ignore[no-untyped-def]
    """A number in [0, 1) from the upper 24 of 64 bits."""
    return np.float64(bits >> _S40) * _UNIT


@_inline
def value_noise(x, y, seed):  # type: ignore[no-untyped-def]
    """Smooth noise in [0, 1) with one random value per unit lattice point."""
    i, j = int(np.floor(x)), int(np.floor(y))
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    a, b = _unit(_hash(i, j, 0, seed)), _unit(_hash(i + 1, j, 0, seed))
    c, d = _unit(_hash(i, j + 1, 0, seed)), _unit(_hash(i + 1, j + 1, 0, seed))
    top, bottom = a + u * (b - a), c + u * (d - c)
    return top + v * (bottom - top)


@_jit
def octaves(x, y, footprint, count, seed):  # type: ignore[no-untyped-def]
    """Noise of several scales around 0, roughly in [−0.5, 0.5]; scales below a sample are left out.

    Coordinates and footprint are in units of the coarsest scale.
    """
    total, amplitude, scale = 0.0, 0.8, 1.0
    for octave in range(count):
        weight = min(1.0, max(0.0, 1.6 - 1.2 * footprint * scale))
        if weight == 0.0:
            break
        # the lattices of two octaves must not line up
        shift = 19.19 * octave
        noise = value_noise(x * scale + shift, y * scale + shift, seed + np.uint64(octave))
        total += weight * amplitude * (noise - 0.5)
        amplitude *= 0.62
        scale *= 2.17
    return total


@_jit
def _voronoi(u, v, face, seed):  # type: ignore[no-untyped-def]
    """(hash of the nearest cell, distance to its border with the next cell)."""
    i, j = int(np.floor(u)), int(np.floor(v))
    first, second = 1e9, 1e9
    cell = np.uint64(0)
    for dj in range(-1, 2):
        for di in range(-1, 2):
            bits = _hash(i + di, j + dj, face, seed)
            x = i + di + 0.1 + 0.8 * _unit(bits)
            y = j + dj + 0.1 + 0.8 * _unit(_mix(bits + _A))
            distance = (x - u) ** 2 + (y - v) ** 2
            if distance < first:
                first, second, cell = distance, first, bits
            elif distance < second:
                second = distance
    return _mix(cell + _D), np.sqrt(second) - np.sqrt(first)


@_jit
def _cell(u, v, face, seed):  # type: ignore[no-untyped-def]
    """(hash of a square cell, place in it, its size); large cells split at random, twice."""
    size = 2.0
    while True:
        i, j = int(np.floor(u / size)), int(np.floor(v / size))
        bits = _hash(i, j, face + 64 * int(4 * size), seed)
        if size <= 0.5 or _unit(bits) < 0.35:
            return _mix(bits + _C), u / size - i, v / size - j, size
        size *= 0.5


@_jit
def _pattern(kind, u, v, face, seed):  # type: ignore[no-untyped-def]
    """(bits that choose the colour, darkening in [0, 1]) at a place given in cell sizes."""
    dark = 1.0
    if kind == 1:  # tiles: a quadtree of squares, some with a ring inside
        bits, x, y, size = _cell(u, v, face, seed)
        radius = (x - 0.5) ** 2 + (y - 0.5) ** 2
        if _unit(_mix(bits + _A)) < 0.5 and radius < 0.12:
            bits = _mix(bits + _B)
        if min(x, y, 1 - x, 1 - y) * size < 0.03:
            dark = 0.25
        return bits, dark
    if kind == 2:  # voronoi: pebbles
        bits, border = _voronoi(u, v, face, seed)
        return bits, 0.2 if border < 0.07 else 1.0
    if kind == 3:  # glyphs: lines of random 3×5-bit letters on blocks of paper
        paper, _, _, _ = _cell(u * 0.25, v * 0.25, face, seed)
        i, j = int(np.floor(u / 0.4)), int(np.floor(v / 0.6))
        x, y = int((u / 0.4 - i) * 4), int((v / 0.6 - j) * 7)
        letter = _hash(i, j, face + 32, seed)
        ink = (letter >> np.uint64(3 * y + x)) & np.uint64(1)
        word = _unit(_mix(letter + _A)) > 0.16
        if x < 3 and y < 5 and ink == np.uint64(1) and word:
            return _hash(i // 6, j // 2, face + 33, seed), 0.35 if _unit(paper) > 0.3 else 1.0
        return paper, dark
    if kind == 4:  # bricks or planks: rows of random lengths
        row = int(np.floor(v / 0.5))
        shift = _unit(_hash(row, 7, face, seed))
        length = 0.9 + 1.2 * _unit(_hash(row, 8, face, seed))
        x = u / length + shift
        column = int(np.floor(x))
        if min(x - column, column + 1 - x) * length < 0.03 or abs(v / 0.5 - row - 0.5) > 0.46:
            dark = 0.3
        return _hash(row, column, face + 16, seed), dark
    if kind == 5:  # arcs: Truchet quarter circles
        i, j = int(np.floor(u)), int(np.floor(v))
        x, y = u - i, v - j
        bits = _hash(i, j, face, seed)
        if _unit(bits) < 0.5:
            x = 1 - x
        near = np.sqrt(min(x * x + y * y, (1 - x) ** 2 + (1 - y) ** 2))
        band = int(near * 5.0)
        if band >= 4:
            return _mix(bits + _B), dark
        return _hash(i, j, face + 100 + band + 8 * int(x + y > 1), seed), dark
    if kind == 6:  # dots: discs with random place, radius and colour over blocks
        paper, _, _, _ = _cell(u * 0.7 + 0.3, v * 0.7 + 0.3, face, seed)
        for layer in range(2):
            x0, y0 = u + 0.37 * layer, v + 0.61 * layer
            i, j = int(np.floor(x0)), int(np.floor(y0))
            bits = _hash(i, j, face + 200 + layer, seed)
            radius = 0.14 + 0.24 * _unit(_mix(bits + _A))
            cx = radius + (1 - 2 * radius) * _unit(_mix(bits + _B))
            cy = radius + (1 - 2 * radius) * _unit(_mix(bits + _C))
            if (x0 - i - cx) ** 2 + (y0 - j - cy) ** 2 < radius * radius:
                return _mix(bits + _D), dark
        return paper, dark
    # weave: crossing bands, each with its own colour
    i, j = int(np.floor(u / 0.5)), int(np.floor(v / 0.5))
    across = _unit(_hash(i, j, face, seed)) < 0.5
    band = i if across else j
    along = (v if across else u) / (1.5 + 2 * _unit(_hash(band, int(across), face, seed)))
    inner = (u if across else v) / 0.5 - band
    bits = _hash(band, int(np.floor(along)), face + 300 + int(across), seed)
    return bits, 0.45 if min(inner, 1 - inner) < 0.12 else 1.0


@_jit
def surface_colour(kind, u, v, face, cell, footprint, seed, colours, out):  # type: ignore[no-untyped-def]
    """Write the linear RGB of the place (u, v), in metres on a face, to ``out`` (3,).

    Args:
        kind: index into ``PATTERNS``.
        cell: size of the pattern's cell in metres.
        footprint: metres of surface under one sample.
        colours: (COLOURS + 1, 3) linear RGB, the last row their mean.
    """
    face_seed = _hash(face, 11, 5, seed)
    f = footprint / cell
    x, y = u / cell, v / cell
    tint = octaves(x / 3.1, y / 3.1, f / 3.1, 2, face_seed)
    place = min(0.999, max(0.0, 0.5 + 1.1 * tint)) * (COLOURS - 1)
    low, mix = int(place), place - int(place)
    grain = octaves(1.7 * x, 1.7 * y, 1.7 * f, 2, face_seed + _B)
    gain = 1.0 + 0.8 * grain
    fade = 1.0
    row, following, between, dark = COLOURS, COLOURS, 0.0, 1.0
    if kind == 0:
        # wider than a cell, because its second octave shows
        shifted = octaves(0.6 * x + 0.2 * grain, 0.6 * y, 0.6 * f, 3, face_seed + _C)
        position = min(0.999, max(0.0, 0.5 + 1.5 * shifted)) * (COLOURS - 1)
        row = int(position)
        following = row + 1
        between = min(1.0, max(0.0, (position - row - 0.35) * 3.3))
    else:
        # a pattern needs about two samples per cell; below that only its mean and the tint remain
        fade = min(1.0, max(0.0, 2.2 - 2.0 * f))
        if fade > 0.0:
            bits, dark = _pattern(kind, x, y, face, face_seed)
            row = int(_unit(bits) * COLOURS)
            following = (row + 1) % COLOURS
            between = 0.55 * _unit(_mix(bits + _D))
            gain *= 1.0 + fade * (0.6 * _unit(_mix(bits + _B)) - 0.3)
    gain = max(0.08, gain)
    for c in range(3):
        coarse = colours[low, c] + mix * (colours[low + 1, c] - colours[low, c])
        fine = colours[row, c] + between * (colours[following, c] - colours[row, c])
        mean = colours[COLOURS, c] * MEAN_DARK[kind]
        out[c] = (0.3 * coarse + 0.7 * (mean + fade * (fine * dark - mean))) * gain
