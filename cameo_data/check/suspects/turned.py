"""Pictures, depth or both turned by quarter turns, as by EXIF orientation, apart from the rest.

Pictures stay as they are here: the camera is turned to what they show, and so is whatever of the
depth was not turned with them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from cameo_data.check.measure import Reading
from cameo_data.check.suspects.base import Context, Evidence, Suspect, Variant, Variants
from cameo_data.check.suspects.poses import quarter_turns
from cameo_data.check.views import CheckedView
from cameo_data.types import DepthMap, FloatArray


def turned_frames(context: Context, base: Reading) -> Variants:
    """Pictures turned clockwise after K and poses were made; depth and tracks with them, or not."""
    others = any(depth is not None for depth in base.depths)
    others |= any(len(pair.tracks_a) for pair in context.pairs)
    for count in (1, 2, 3):
        K = np.array(
            [turned_K(k, view.hw, count) for k, view in zip(base.K, context.views, strict=True)]
        )
        reading = replace(base, K=K, cam_from_world=quarter_turns(count) @ base.cam_from_world)
        values: Evidence = {"turn_deg": 90 * count}
        if not others:
            yield Variant(Suspect.PICTURES_TURNED, reading, values)
            continue
        yield Variant(Suspect.FRAMES_TURNED, reading, values)
        turned = replace(reading, depths=_turned_depths(base, context, count), tracks_turned=count)
        yield Variant(Suspect.PICTURES_TURNED, turned, values)


def turned_depth(context: Context, base: Reading) -> Variants:
    """Depth alone turned clockwise."""
    for count in (1, 2, 3):
        depths = _turned_depths(base, context, -count)
        yield Variant(Suspect.DEPTH_TURNED, replace(base, depths=depths), {"turn_deg": 90 * count})


def turned_K(K: FloatArray, hw: tuple[int, int], count: int) -> FloatArray:
    """K once its picture has been turned clockwise ``count`` times, to the size ``hw``."""
    out = np.array(K)
    # sizes of the picture from before the first turn on
    h, w = hw if count % 2 == 0 else hw[::-1]
    for _ in range(count):
        turned = np.eye(3)
        turned[0, 0], turned[1, 1] = out[1, 1], out[0, 0]
        turned[:2, 2] = h - out[1, 2], out[0, 2]
        out, (h, w) = turned, (w, h)
    return out


def _turned_depths(base: Reading, context: Context, count: int) -> tuple[DepthMap | None, ...]:
    return tuple(
        depth and _turned_depth(depth, view, count)
        for depth, view in zip(base.depths, context.views, strict=True)
    )


def _turned_depth(depth: DepthMap, view: CheckedView, count: int) -> DepthMap:
    """The map turned clockwise; one that was stretched over a turned picture is so no more."""
    h, w = depth.hw
    z, valid = depth.z, depth.valid.astype(np.uint8)
    if count % 2:  # its own shape is that of the picture before the turn
        z = np.asarray(cv2.resize(z, (h, w), interpolation=cv2.INTER_NEAREST), np.float32)
        valid = np.asarray(cv2.resize(valid, (h, w), interpolation=cv2.INTER_NEAREST), np.uint8)
    z, valid = np.rot90(z, -count), np.rot90(valid, -count)
    known = np.ascontiguousarray(valid > 0)
    return DepthMap(np.ascontiguousarray(z), known)
