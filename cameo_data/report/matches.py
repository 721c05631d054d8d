"""Matches drawn as points and lines between two views side by side.

A VISIBLE match is a disc in A and in B in one colour, joined by a line. A hidden one is a ring in
A and a cross in B, at the place where the point would be if nothing stood in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.report import palette
from cameo_data.types import Correspondence, FloatArray, SparseMatches, Verdict

Image = NDArray[np.uint8]

# Enough to see that all parts of a view are matched, few enough to follow each line.
VISIBLE_DRAWN, HIDDEN_DRAWN = 24, 8
GAP = 8  # pixels between the two views
_SHIFT = 4  # OpenCV's fixed point when drawing: 1/16 px
_CANDIDATES = 4096  # queries looked at when spreading points: enough for any picture
_LINE_OPACITY = 0.8
_WHITE, _BLACK = (255, 255, 255), (16, 16, 20)
_HIDDEN = palette.HIDDEN_RGB


@dataclass(frozen=True, eq=False)
class Picked:
    """Queries chosen for drawing.

    Attributes:
        xy0, xy1: (N, 2) pixels of A and of B.
    """

    xy0: FloatArray
    xy1: FloatArray

    def scaled(self, scale: float, offset: FloatArray) -> Picked:
        """In pixels of a canvas that shows both views resized, B at ``offset``."""
        return Picked(self.xy0 * scale, self.xy1 * scale + offset)


_NONE = Picked(np.zeros((0, 2)), np.zeros((0, 2)))


def pick(
    match: Correspondence, hw0: tuple[int, int], verdict: Verdict, count: int, seed: int = 0
) -> Picked:
    """At most ``count`` queries of one verdict, spread over A. Same arguments, same queries.

    The farthest point from those chosen comes next; then each makes room by moving to the middle
    of the queries nearest to it, away from the outlines that farthest points cling to.
    """
    rows, columns = np.nonzero((match.verdict == verdict) & np.isfinite(match.xy1).all(-1))
    some = np.random.default_rng(seed).permutation(len(rows))[:_CANDIDATES]
    rows, columns = rows[some], columns[some]
    xy0 = cameras.query_xy(hw0, match.stride)[rows, columns]
    return _spread(xy0, match.xy1[rows, columns].astype(np.float64), count)


def pick_matches(pair: SparseMatches, count: int, seed: int = 0) -> Picked:
    """At most ``count`` sparse matches, spread over A as ``pick`` does."""
    some = np.random.default_rng(seed).permutation(len(pair.xy0))[:_CANDIDATES]
    return _spread(pair.xy0[some], pair.xy1[some], count)


def _spread(xy0: FloatArray, xy1: FloatArray, count: int) -> Picked:
    if len(xy0) <= count:
        return Picked(xy0, xy1)
    gap = np.full(len(xy0), np.inf)
    nearest = np.zeros(len(xy0), np.int64)
    latest = 0
    for number in range(count):
        distance = np.square(xy0 - xy0[latest]).sum(-1)
        closer = distance < gap
        gap[closer], nearest[closer] = distance[closer], number
        latest = int(np.argmax(gap))
    chosen = []
    for number in range(count):
        members = np.flatnonzero(nearest == number)
        offset = xy0[members] - xy0[members].mean(0)
        chosen.append(members[np.argmin(np.square(offset).sum(-1))])
    return Picked(xy0[chosen], xy1[chosen])


def side_by_side(
    image0: Image,
    image1: Image,
    match: Correspondence,
    *,
    visible: int = VISIBLE_DRAWN,
    hidden: int = HIDDEN_DRAWN,
    seed: int = 0,
    scale: float = 1.0,
    mark: float = 1.0,
) -> Image:
    """A and B beside each other with spread matches as points and lines, hidden points marked.

    Args:
        visible, hidden: how many matches of either kind to draw at most.
        scale: the views are resized by it first.
        mark: size of points and lines; 1 suits a picture shown at its own size.
    """
    hw0 = (image0.shape[0], image0.shape[1])
    seen = pick(match, hw0, Verdict.VISIBLE, visible, seed)
    covered = pick(match, hw0, Verdict.OCCLUDED, hidden, seed)
    return _drawn(image0, image1, seen, covered, scale, mark)


def sparse_side_by_side(
    image0: Image,
    image1: Image,
    pair: SparseMatches,
    *,
    count: int = VISIBLE_DRAWN,
    seed: int = 0,
    scale: float = 1.0,
) -> Image:
    """As ``side_by_side`` of sparse matches, none of which is hidden."""
    return _drawn(image0, image1, pick_matches(pair, count, seed), _NONE, scale, 1.0)


def _drawn(
    image0: Image, image1: Image, seen: Picked, hidden: Picked, scale: float, mark: float
) -> Image:
    canvas, offset = _canvas(image0, image1, scale)
    colours = palette.position_rgb(seen.xy0, (image0.shape[0], image0.shape[1]))
    shown, covered = seen.scaled(scale, offset), hidden.scaled(scale, offset)
    lines = canvas.copy()  # lines first: no line may cross a point
    for start, end in zip(covered.xy0, covered.xy1, strict=True):
        _dashes(lines, start, end, mark)
    for start, end, colour in zip(shown.xy0, shown.xy1, colours, strict=True):
        _line(lines, start, end, _BLACK, 2.6 * mark)
        _line(lines, start, end, _rgb(colour), 1.6 * mark)
    canvas = np.asarray(cv2.addWeighted(lines, _LINE_OPACITY, canvas, 1 - _LINE_OPACITY, 0))
    for start, end in zip(covered.xy0, covered.xy1, strict=True):
        _ring(canvas, start, mark)
        _cross(canvas, end, mark)
    for start, end, colour in zip(shown.xy0, shown.xy1, colours, strict=True):
        _disc(canvas, start, _rgb(colour), mark)
        _disc(canvas, end, _rgb(colour), mark)
    return canvas


def token_grid(image0: Image, image1: Image, match: Correspondence, *, scale: float = 1.0) -> Image:
    """A and B beside each other in dim grey, every query as a dot in the colour of its place in A.

    VISIBLE queries are discs in both views, OCCLUDED ones rings; of the others A shows a grey dot.
    """
    hw0 = (image0.shape[0], image0.shape[1])
    canvas, offset = _canvas(_dimmed(image0), _dimmed(image1), scale)
    xy0 = cameras.query_xy(hw0, match.stride)
    colours = palette.position_rgb(xy0, hw0)
    radius = float(np.clip(match.stride * scale * 0.3, 1.5, 6.0))
    for index in np.ndindex(match.verdict.shape):
        code, colour = match.verdict[index], _rgb(colours[index])
        if code < Verdict.OCCLUDED:
            _circle(canvas, xy0[index] * scale, radius / 3, (135, 135, 140))
            continue
        thickness = -1.0 if code == Verdict.VISIBLE else radius / 3
        for centre in (xy0[index] * scale, match.xy1[index] * scale + offset):
            _circle(canvas, centre, radius, colour, thickness)
    return canvas


def _canvas(image0: Image, image1: Image, scale: float) -> tuple[Image, FloatArray]:
    """Both views resized onto one canvas, and B's offset (x, y) on it."""
    left, right = resized(image0, scale), resized(image1, scale)
    height = max(left.shape[0], right.shape[0])
    start = left.shape[1] + GAP
    canvas = np.full((height, start + right.shape[1], 3), _BLACK, np.uint8)
    canvas[: left.shape[0], : left.shape[1]] = left
    canvas[: right.shape[0], start:] = right
    return canvas, np.array([start, 0.0])


def resized(image: Image, scale: float) -> Image:
    """The image at ``scale`` times its size, never below one pixel."""
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


def _circle(
    canvas: Image, xy: FloatArray, radius: float, rgb: palette.Rgb, thickness: float = -1.0
) -> None:
    """A disc, or a ring of a thickness in pixels."""
    size = round(radius * (1 << _SHIFT))
    pen = -1 if thickness < 0 else max(1, round(thickness))
    cv2.circle(canvas, _fixed(xy), size, rgb, pen, cv2.LINE_AA, _SHIFT)


def _line(
    canvas: Image, start: FloatArray, end: FloatArray, rgb: palette.Rgb, thickness: float
) -> None:
    pen = max(1, round(thickness))
    cv2.line(canvas, _fixed(start), _fixed(end), rgb, pen, cv2.LINE_AA, _SHIFT)


def _dashes(canvas: Image, start: FloatArray, end: FloatArray, mark: float) -> None:
    length = float(np.linalg.norm(end - start))
    for step in np.arange(0.0, length, 10.0 * mark):
        first = start + (end - start) * (step / length)
        last = start + (end - start) * (min(step + 5.0 * mark, length) / length)
        _line(canvas, first, last, _HIDDEN, 1.3 * mark)


def _disc(canvas: Image, xy: FloatArray, rgb: palette.Rgb, mark: float) -> None:
    for radius, colour in ((5.4, _BLACK), (4.6, _WHITE), (3.5, rgb)):
        _circle(canvas, xy, radius * mark, colour)


def _ring(canvas: Image, xy: FloatArray, mark: float) -> None:
    for thickness, colour in ((5.0, _BLACK), (3.8, _WHITE), (2.4, _HIDDEN)):
        _circle(canvas, xy, 5.4 * mark, colour, thickness * mark)


def _cross(canvas: Image, xy: FloatArray, mark: float) -> None:
    arms = [np.array([5.0, 5.0 * sign]) * mark for sign in (1.0, -1.0)]
    for thickness, colour in ((5.6, _BLACK), (4.4, _WHITE), (2.6, _HIDDEN)):
        for arm in arms:
            _line(canvas, xy - arm, xy + arm, colour, thickness * mark)
