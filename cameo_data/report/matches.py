"""Matches drawn as points and lines between two views side by side.

A VISIBLE match is a filled disc in A and in B joined by a line; a hidden one is a ring in A and a
crossed-out ring in B, at the place where the point would be if nothing stood in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.report import palette
from cameo_data.types import Correspondence, Verdict

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

_SHIFT = 4  # OpenCV's fixed point when drawing: 1/16 px
_WHITE, _BLACK = (255, 255, 255), (16, 16, 20)
_HIDDEN = palette.VERDICT_RGB[Verdict.OCCLUDED]


@dataclass(frozen=True, eq=False)
class Picked:
    """Queries chosen for drawing.

    Attributes:
        xy0, xy1: (N, 2) pixels of A and of B.
        verdict: (N,) uint8.
    """

    xy0: FloatArray
    xy1: FloatArray
    verdict: NDArray[np.uint8]


def pick(
    match: Correspondence,
    hw0: tuple[int, int],
    verdict: Verdict,
    count: int,
    seed: int = 0,
) -> Picked:
    """At most ``count`` queries of one verdict, spread over A: one at random per coarse cell.

    The cells are the finest square grid of which ``count`` are occupied, so clusters are thinned
    and lonely regions kept. Same arguments, same queries.
    """
    rows, columns = np.nonzero((match.verdict == verdict) & np.isfinite(match.xy1).all(-1))
    order = np.random.default_rng(seed).permutation(len(rows))
    rows, columns = rows[order], columns[order]
    xy0 = cameras.query_xy(hw0, match.stride)[rows, columns]
    chosen = np.arange(min(count, len(rows)))
    for cell in _cell_sizes(hw0):
        keys = (xy0 // cell).astype(np.int64) @ np.array([1, 1 << 20])
        first = np.sort(np.unique(keys, return_index=True)[1])
        if len(first) >= count:
            chosen = first[:count]
            break
    xy1 = match.xy1[rows, columns].astype(np.float64)
    codes = np.full(len(chosen), verdict, np.uint8)
    return Picked(xy0[chosen], xy1[chosen], codes)


def _cell_sizes(hw: tuple[int, int]) -> list[float]:
    return [max(hw) / divisions for divisions in range(2, 65)]


def side_by_side(
    image0: Image,
    image1: Image,
    match: Correspondence,
    *,
    visible: int = 28,
    hidden: int = 12,
    seed: int = 0,
    scale: float = 1.0,
) -> Image:
    """A and B beside each other with spread matches as points and lines, hidden points marked.

    Args:
        visible, hidden: how many matches of either kind to draw at most.
        scale: the views are resized by it first; marks keep their size in output pixels.
    """
    hw0 = (image0.shape[0], image0.shape[1])
    canvas, offset = _canvas(image0, image1, scale)
    drawn = [
        (pick(match, hw0, Verdict.OCCLUDED, hidden, seed), True),
        (pick(match, hw0, Verdict.VISIBLE, visible, seed), False),
    ]
    for picked, _ in drawn:  # lines first: no line may cross a point
        colours = palette.position_rgb(picked.xy0, hw0)
        for a, b, colour, code in zip(picked.xy0, picked.xy1, colours, picked.verdict, strict=True):
            start, end = a * scale, b * scale + offset
            if code == Verdict.VISIBLE:
                _line(canvas, start, end, _BLACK, 3)
                _line(canvas, start, end, _rgb(colour), 2)
            else:
                _dashes(canvas, start, end, _HIDDEN)
    for picked, is_hidden in drawn:
        colours = palette.position_rgb(picked.xy0, hw0)
        for a, b, colour in zip(picked.xy0, picked.xy1, colours, strict=True):
            if is_hidden:
                _ring(canvas, a * scale)
                _ring(canvas, b * scale + offset, crossed=True)
            else:
                _disc(canvas, a * scale, _rgb(colour))
                _disc(canvas, b * scale + offset, _rgb(colour))
    return canvas


def token_grid(
    image0: Image, image1: Image, match: Correspondence, *, scale: float = 1.0
) -> Image:
    """A and B beside each other with every query of the grid as a dot in the colour of its place.

    VISIBLE queries are filled dots in both views, OCCLUDED ones hollow; all others are drawn in A
    only, small and grey.
    """
    hw0 = (image0.shape[0], image0.shape[1])
    canvas, offset = _canvas(_dimmed(image0), _dimmed(image1), scale)
    xy0 = cameras.query_xy(hw0, match.stride)
    colours = palette.position_rgb(xy0, hw0)
    radius = float(np.clip(match.stride * scale * 0.3, 1.5, 5.0))
    for index in np.ndindex(match.verdict.shape):
        code, colour = match.verdict[index], _rgb(colours[index])
        if code < Verdict.OCCLUDED:
            _circle(canvas, xy0[index] * scale, 1.0, (120, 120, 120), -1)
            continue
        thickness = -1 if code == Verdict.VISIBLE else 1
        for centre in (xy0[index] * scale, match.xy1[index] * scale + offset):
            _circle(canvas, centre, radius, colour, thickness)
    return canvas


def _canvas(image0: Image, image1: Image, scale: float) -> tuple[Image, FloatArray]:
    """Both views resized onto one canvas, and B's offset (x, y) on it."""
    left, right = _resized(image0, scale), _resized(image1, scale)
    gap = 12
    height = max(left.shape[0], right.shape[0])
    canvas = np.full((height, left.shape[1] + gap + right.shape[1], 3), 255, np.uint8)
    canvas[: left.shape[0], : left.shape[1]] = left
    start = left.shape[1] + gap
    canvas[: right.shape[0], start:] = right
    return canvas, np.array([start, 0.0])


def _resized(image: Image, scale: float) -> Image:
    if scale == 1.0:
        return image
    hw = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, hw[::-1], interpolation=method), np.uint8)


def _dimmed(image: Image) -> Image:
    grey = image.mean(-1, keepdims=True) * 0.4 + 25
    return np.broadcast_to(grey, image.shape).astype(np.uint8)


def _rgb(colour: NDArray[np.uint8]) -> palette.Rgb:
    return (int(colour[0]), int(colour[1]), int(colour[2]))


def _fixed(xy: FloatArray) -> tuple[int, int]:
    """OpenCV's drawing coordinates: integers are pixel centres, in 1/16 px."""
    point = np.round((np.asarray(xy, np.float64) - 0.5) * (1 << _SHIFT)).astype(int)
    return int(point[0]), int(point[1])


def _circle(canvas: Image, xy: FloatArray, radius: float, rgb: palette.Rgb, thickness: int) -> None:
    size = round(radius * (1 << _SHIFT))
    cv2.circle(canvas, _fixed(xy), size, rgb, thickness, cv2.LINE_AA, _SHIFT)


def _line(
    canvas: Image, start: FloatArray, end: FloatArray, rgb: palette.Rgb, thickness: int
) -> None:
    cv2.line(canvas, _fixed(start), _fixed(end), rgb, thickness, cv2.LINE_AA, _SHIFT)


def _dashes(canvas: Image, start: FloatArray, end: FloatArray, rgb: palette.Rgb) -> None:
    length = float(np.linalg.norm(end - start))
    steps = np.arange(0.0, length, 11.0)
    for step in steps:
        first = start + (end - start) * (step / length)
        last = start + (end - start) * (min(step + 5.0, length) / length)
        _line(canvas, first, last, rgb, 1)


def _disc(canvas: Image, xy: FloatArray, rgb: palette.Rgb) -> None:
    _circle(canvas, xy, 5.6, _BLACK, -1)
    _circle(canvas, xy, 4.9, _WHITE, -1)
    _circle(canvas, xy, 3.6, rgb, -1)


def _ring(canvas: Image, xy: FloatArray, *, crossed: bool = False) -> None:
    for thickness, rgb in ((4, _BLACK), (2, _HIDDEN)):
        _circle(canvas, xy, 6.0, rgb, thickness)
        if crossed:
            for sign in (1.0, -1.0):
                arm = np.array([4.2, 4.2 * sign])
                _line(canvas, xy - arm, xy + arm, rgb, thickness)
