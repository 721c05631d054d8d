"""Mistakes in reading depth: unit, encoding, along rays, of another part or another frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cameo_data import camera as cameras
from cameo_data.check import triangulation
from cameo_data.check.measure import Reading, transfer_error
from cameo_data.check.suspects.base import (
    LEAST_SCALE,
    SAME_SCALE,
    Context,
    Evidence,
    Suspect,
    Variant,
    Variants,
    scaled,
    times,
)
from cameo_data.check.views import CheckedView, read_depth_again
from cameo_data.correspondence import sample_depth
from cameo_data.io import depth_files
from cameo_data.types import DepthCodec, DepthMap, FloatArray

# Depth units that are mixed up: metres, millimetres, centimetres, tenths; TUM's 1/5000 against
# 1/1000; CO3D's and others' halves and quarters; 1/256 (KITTI), 1/4000 and 1/6553.5 of indoor sets.
SCALES = (1000.0, 100.0, 10.0, 5.0, 4.0, 2.0, 256.0, 3.90625, 6.5535)
# A depth map that covers another part of the view than was assumed: ratios of focal lengths.
ZOOMS = (0.5, 0.6, 0.67, 0.75, 0.82, 0.9, 1.0, 1.11, 1.22, 1.33, 1.5, 1.67, 2.0)
LEAST_ZOOM = 1.05


def ray_depth(context: Context, base: Reading) -> Variants:
    """Distances along the rays taken for z-depths, and the reverse."""
    for suspect, power in ((Suspect.DEPTH_ALONG_RAY, -1), (Suspect.DEPTH_NOT_ALONG_RAY, 1)):
        depths = tuple(
            depth and times(depth, _ray_length(base.K[i], view, depth) ** power)
            for i, (view, depth) in enumerate(zip(context.views, base.depths, strict=True))
        )
        yield Variant(suspect, replace(base, depths=depths))


def depth_scale(context: Context, base: Reading) -> Variants:
    """Depth times a factor: as triangulated from matches, or any known one without matches."""
    measured = triangulation.depth_scale(base, context.views, context.pairs)
    if measured is not None:
        factors = [_known_scale(measured)]
    elif context.featured:
        return
    else:
        factors = [f for scale in SCALES for f in (scale, 1 / scale)]
    for factor in factors:
        if abs(np.log(factor)) > np.log(LEAST_SCALE):
            yield Variant(Suspect.DEPTH_SCALE, scaled(base, factor), {"factor": factor})


def depth_codec(context: Context, base: Reading) -> Variants:
    """The stored bits decoded another way, in the unit as it is or as triangulated."""
    used = {view.frame.depth.codec for view in context.views if view.frame.depth is not None}
    if len(used) != 1 or not used <= depth_files.CODECS_OF_16_BITS.keys():
        return
    known = triangulation.depth_scale(base, context.views, context.pairs)
    if known is not None and abs(np.log(known)) < np.log(LEAST_SCALE):
        return  # depth that is right on the average does not have scrambled bits
    for codec in depth_files.CODECS_OF_16_BITS:
        if codec in used:
            continue
        reading = replace(
            base, depths=tuple(_reread(context, view, codec) for view in context.views)
        )
        if not any(reading.depths):
            continue
        yield Variant(Suspect.DEPTH_CODEC, reading, {"codec": codec, "factor": 1.0})
        measured = triangulation.depth_scale(reading, context.views, context.pairs)
        if measured is not None and abs(np.log(measured)) > np.log(LEAST_SCALE):
            factor = _known_scale(measured)
            values: Evidence = {"codec": codec, "factor": factor}
            yield Variant(Suspect.DEPTH_CODEC, scaled(reading, factor), values)


def depth_crop(context: Context, base: Reading) -> Variants:
    """Depth of the middle of the view or of more than it; another aspect is refused by reading."""
    if not any(len(pair.xy_a) for pair in context.pairs):
        return

    def error(log_zoom: float) -> float:
        zoom = float(np.exp(log_zoom))
        return transfer_error(_rezoomed(context, base, (zoom, zoom)), context.views,
                              context.some_pairs)  # fmt: skip

    best = fitted(error, [float(np.log(zoom)) for zoom in ZOOMS])
    if best is not None and abs(best) > np.log(LEAST_ZOOM):
        zoom = (float(np.exp(best)),) * 2
        reading = _rezoomed(context, base, zoom)
        yield Variant(Suspect.DEPTH_CROP, reading, {"zoom": zoom})


def depth_offset(context: Context, base: Reading) -> Variants:
    """Each frame has the depth of the one after or before it."""
    frames = context.scene.frames
    if not all(np.array_equal(kept.z, view.depth.z) for kept, view in
               zip(base.depths, context.views, strict=True) if kept and view.depth):  # fmt: skip
        return  # depth that was mended before would be read again as it was
    by_place = {view.place: view.depth for view in context.views}
    for offset in (1, -1):
        depths: list[DepthMap | None] = []
        for view in context.views:
            place = view.place + offset
            there = 0 <= place < len(frames)
            if there and place not in by_place:
                ref = frames[place].depth
                by_place[place] = read_depth_again(
                    context.scene, view, replace(view.frame, depth=ref)
                )
            depths.append(by_place[place] if there else None)
        if any(depths):
            yield Variant(
                Suspect.DEPTH_OFFSET, replace(base, depths=tuple(depths)), {"offset": offset}
            )


def fitted(error: Callable[[float], float], places: Sequence[float]) -> float | None:
    """Where the error is least: the vertex of the parabola through it and its neighbours.

    None where that is at either end, beyond which it might be less. Where 0, which is among the
    places, is better than its neighbours, the others are not looked at.
    """
    x = np.array(places)
    middle = int(np.flatnonzero(x == 0)[0])
    y = np.full(len(x), np.inf)
    near = slice(middle - 1, middle + 2)
    y[near] = [error(place) for place in x[near]]
    if np.argmin(y[near]) != 1:
        y = np.array([error(place) for place in x])
    i = int(np.argmin(y))
    if i in (0, len(x) - 1):
        return None
    if not np.isfinite(y[i - 1 : i + 2]).all():
        return float(x[i])
    a, b, _ = np.polyfit(x[i - 1 : i + 2], y[i - 1 : i + 2], 2)
    return float(np.clip(-b / (2 * a), x[i - 1], x[i + 1])) if a > 0 else float(x[i])


def _rezoomed(context: Context, base: Reading, zoom: tuple[float, float]) -> Reading:
    """The reading with depth looked up farther from the centre by a factor (x, y)."""
    depths: list[DepthMap | None] = []
    for depth in base.depths:
        if depth is None:
            depths.append(None)
            continue
        centre = np.array(depth.hw[::-1]) / 2
        xy = (cameras.query_xy(depth.hw) - centre) * zoom + centre
        inside = np.asarray(((xy >= 0) & (xy < depth.hw[::-1])).all(-1), np.bool_)
        z, known = sample_depth(depth, np.where(inside[..., None], xy, 0.0))
        known = np.asarray(known & inside, np.bool_)
        depths.append(DepthMap(np.where(known, z, np.float32(0)).astype(np.float32), known))
    return replace(base, depths=tuple(depths))


def _ray_length(K: FloatArray, view: CheckedView, depth: DepthMap) -> FloatArray:
    """(h, w) length of the rays through the depth map's pixels, scaled so that z is 1."""
    xy = cameras.query_xy(depth.hw) * view.step
    return np.asarray(
        np.linalg.norm(cameras.unproject_to_camera(K, xy, np.ones(depth.hw)), axis=-1)
    )


def _known_scale(measured: float) -> float:
    """The known factor near a measured one, else the measured one to three digits."""
    known = [f for scale in SCALES for f in (scale, 1 / scale)]
    near = min(known, key=lambda factor: abs(np.log(factor / measured)))
    return near if abs(np.log(near / measured)) < np.log(SAME_SCALE) else float(f"{measured:.3g}")


def _reread(context: Context, view: CheckedView, codec: DepthCodec) -> DepthMap | None:
    ref = view.frame.depth
    if ref is None:
        return None
    frame = replace(view.frame, depth=replace(ref, codec=codec))
    return read_depth_again(context.scene, view, frame)
