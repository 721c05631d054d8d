"""The suspect "colour is not registered to depth": the camera that colour would have to have.

Depth and poses agree with each other, features do not: the pictures were taken by another camera,
of another focal length and standing beside. Its focal length follows from the features alone, its
place from how depth moves them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cameo_data import registration
from cameo_data.check import geometry
from cameo_data.check.measure import Reading, measure
from cameo_data.check.suspects import Context, Variant, Variants
from cameo_data.types import DepthMap

# The widest ratio of focal lengths that is tried, and sideways offsets in median depths: a
# Kinect's are 0.9 and 25 mm, which is 0.03 at 0.8 m and 0.006 at 4 m.
WIDEST_FOCAL_RATIO = 1.33
OFFSETS = (-0.08, -0.04, -0.02, -0.01, 0.0, 0.01, 0.02, 0.04, 0.08)
# A camera that differs by less is the depth's own.
SAME_FOCAL, SAME_PLACE = 0.02, 0.004
# Depth must agree with itself before colour is blamed: this share of points within 2 %.
AGREEING = 0.02
LEAST_AGREEING = 0.3


def colour_not_registered(context: Context, base: Reading) -> Variants:
    """The depth seen from a colour camera of another focal length, beside the depth camera."""
    if not any(len(pair.xy_a) for pair in context.pairs) or not _depth_agrees(context, base):
        return
    unit = float(np.median([np.median(d.z[d.valid]) for d in base.depths if d is not None]))
    ratio, offset = 1.0, 0.0
    for _ in range(
        2
    ):  # each from the other: a turned camera feels its offset in the epipolar lines
        ratio = _focal_ratio(context, _moved(base, offset))
        errors = {
            x: _transfer_error(context, _seen_from(context, base, ratio, x * unit)) for x in OFFSETS
        }
        offset = _refined(errors) * unit
        if abs(np.log(ratio)) < SAME_FOCAL and abs(offset) < SAME_PLACE * unit:
            return
    yield Variant(
        "colour_not_registered",
        _seen_from(context, base, ratio, offset),
        {"focal_ratio": ratio, "offset": offset},
    )


def _depth_agrees(context: Context, base: Reading) -> bool:
    shares = [
        float(np.mean(np.abs(dense.residual) < AGREEING))
        for pair in context.pairs
        if (found := measure(base, context.views, pair)) is not None
        for dense in found.dense
        if len(dense.residual)
    ]
    return bool(shares) and float(np.median(shares)) >= LEAST_AGREEING


def _focal_ratio(context: Context, base: Reading) -> float:
    """The factor on K's focal lengths under which matches lie nearest to their epipolar lines."""

    def cost(ratio: float) -> float:
        K = base.K * np.array([[ratio, 1, 1], [1, ratio, 1], [1, 1, 1]])
        medians = [
            np.median(
                geometry.epipolar_distance(K[p.a], K[p.b], base.between(p.a, p.b), p.xy_a, p.xy_b)
            )
            for p in context.pairs
            if len(p.xy_a) and base.usable[p.a] and base.usable[p.b]
        ]
        return float(np.mean(np.log(np.maximum(medians, 1e-3))))

    reach = np.log(WIDEST_FOCAL_RATIO)
    coarse = np.linspace(-reach, reach, 13)
    best = coarse[int(np.argmin([cost(np.exp(x)) for x in coarse]))]
    fine = best + np.linspace(-0.9, 0.9, 11) * (coarse[1] - coarse[0])
    return float(np.exp(fine[int(np.argmin([cost(np.exp(x)) for x in fine]))]))


def _moved(base: Reading, offset: float) -> Reading:
    """The reading with all cameras moved sideways; depth's origin is at x = offset."""
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = offset
    return replace(base, cam_from_world=color_from_depth @ base.cam_from_world)


def _seen_from(context: Context, base: Reading, ratio: float, offset: float) -> Reading:
    """The reading of a colour camera so moved, with depth warped into it."""
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = offset
    K = base.K * np.array([[ratio, 1, 1], [1, ratio, 1], [1, 1, 1]])
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


def _transfer_error(context: Context, reading: Reading) -> float:
    """Mean logarithm of the pairs' median distances of features moved by depth."""
    found = []
    for pair in context.pairs:
        m = measure(reading, context.views, pair, points=0)
        if m is not None and m.transfer_px is not None:
            found.append(np.log(max(float(np.median(m.transfer_px)), 1e-3)))
    return float(np.mean(found)) if found else np.inf


def _refined(errors: dict[float, float]) -> float:
    """The place of the least error: the vertex of the parabola through it and its neighbours."""
    x = np.array(list(errors))
    y = np.array(list(errors.values()))
    i = int(np.argmin(y))
    if i in (0, len(x) - 1) or not np.isfinite(y[i - 1 : i + 2]).all():
        return float(x[i])
    a, b, _ = np.polyfit(x[i - 1 : i + 2], y[i - 1 : i + 2], 2)
    return float(np.clip(-b / (2 * a), x[i - 1], x[i + 1])) if a > 0 else float(x[i])
