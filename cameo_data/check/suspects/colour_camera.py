"""The suspects "colour's intrinsics are wrong" and "colour is not registered to depth".

Depth and poses agree with each other, features do not: the pictures were taken by another camera
than was stated, of another focal length or standing beside the depth camera. Its focal length
follows from the features alone, its place from how depth moves them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cameo_data.check.measure import Reading, measure, transfer_error
from cameo_data.check.suspects import intrinsics
from cameo_data.check.suspects.base import Context, Maker, Suspect, Variant, Variants, zoomed
from cameo_data.check.suspects.depth import fitted
from cameo_data.geometry import registration
from cameo_data.types import DepthMap, FloatArray

# Sideways offsets that are tried, in median depths: a Kinect's 25 mm are 0.03 at 0.8 m and 0.006
# at 4 m.
OFFSETS = (-0.08, -0.04, -0.02, -0.01, 0.0, 0.01, 0.02, 0.04, 0.08)
# A camera that differs by less is the depth's own.
SAME_FOCAL, SAME_PLACE = 0.02, 0.004
# Depth must agree with itself before colour is blamed: this share of points within 2 %.
AGREEING = 0.02
LEAST_AGREEING = 0.3
# Mistakes in K that colour may have where depth has a K of its own.
_OF_COLOUR: tuple[Maker, ...] = (
    intrinsics.intrinsics_of_another_size,
    intrinsics.field_of_view_of_other_side,
    intrinsics.swapped_principal_point,
    intrinsics.focal_length,
    intrinsics.cropped_frames,
    intrinsics.stretched_frames,
)


def colour_intrinsics(context: Context, base: Reading) -> Variants:
    """Another K of the pictures; depth, which has a K of its own, stays where it is in space."""
    own = [view.frame.depth is not None and view.frame.depth.camera_K is not None
           for view in context.views]  # fmt: skip
    if not any(own):
        return
    before = context.screen.costs(base)
    for maker in _OF_COLOUR:
        for variant in maker(context, base):
            # features say at once what warping depth would only confirm
            if not context.screen.harmless(before, context.screen.costs(variant.reading)):
                continue
            K = variant.reading.K
            reading = _seen_from(context, base, K, 0.0)
            yield Variant(Suspect.COLOUR_INTRINSICS, reading, {"K": K[0]})


def colour_not_registered(context: Context, base: Reading) -> Variants:
    """The depth seen from a colour camera of another focal length, beside the depth camera."""
    if not any(len(pair.xy_a) for pair in context.pairs) or not _depth_agrees(context, base):
        return
    unit = float(np.median([np.median(d.z[d.valid]) for d in base.depths if d is not None]))
    ratio, offset = 1.0, 0.0
    for _ in range(
        2
    ):  # each from the other: a turned camera feels its offset in the epipolar lines
        ratio = context.screen.focal_ratio(_moved(base, offset))
        K = zoomed(base.K, ratio)

        def error(x: float, K: FloatArray = K) -> float:
            seen = _seen_from(context, base, K, x * unit)
            return transfer_error(seen, context.views, context.some_pairs)

        found = fitted(error, OFFSETS)
        if found is None:
            return  # no camera so far beside is an answer: a baseline must not be invented
        offset = found * unit
        if abs(np.log(ratio)) < SAME_FOCAL and abs(offset) < SAME_PLACE * unit:
            return
    if abs(offset) < SAME_PLACE * unit:
        offset = 0.0
    yield Variant(
        Suspect.COLOUR_NOT_REGISTERED,
        _seen_from(context, base, K, offset),
        {"focal_ratio": ratio, "offset": offset},
    )


def _depth_agrees(context: Context, base: Reading) -> bool:
    shares = [
        float(np.mean(np.abs(dense.residual) < AGREEING))
        for pair in context.some_pairs
        if (found := measure(base, context.views, pair)) is not None
        for dense in found.dense
        if len(dense.residual)
    ]
    return bool(shares) and float(np.median(shares)) >= LEAST_AGREEING


def _moved(base: Reading, offset: float) -> Reading:
    """The reading with all cameras moved sideways; depth's origin is at x = offset."""
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = offset
    return replace(base, cam_from_world=color_from_depth @ base.cam_from_world)


def _seen_from(context: Context, base: Reading, K: FloatArray, offset: float) -> Reading:
    """The reading of colour cameras K so moved, with depth warped into them."""
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = offset
    depths: list[DepthMap | None] = []
    for i, (view, depth) in enumerate(zip(context.views, base.depths, strict=True)):
        if depth is None:
            depths.append(None)
            continue
        small = np.array([[1 / view.step[0]], [1 / view.step[1]], [1.0]])
        depths.append(
            registration.register(
                depth, base.K[i] * small, color_from_depth, K[i] * small, depth.hw
            )
        )
    return replace(_moved(base, offset), K=K, depths=tuple(depths))
