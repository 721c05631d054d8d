"""How the stored depths compare with those that matched features and poses give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cameo_data import transforms
from cameo_data.check import geometry
from cameo_data.check.matching import MatchedPair
from cameo_data.check.measure import Reading, feature_depth
from cameo_data.check.views import CheckedView
from cameo_data.types import FloatArray

# A match says something of depth where it moved this far along its line, and off it by less than
# this share of that.
LEAST_PARALLAX_PX = 6.0
LEAST_STRAIGHTNESS = 0.2
# Fewest matches for an estimate, and the widest interquartile range of the ratio's logarithm.
LEAST_RATIOS = 50
WIDEST_SPREAD = 0.5


def depth_ratios(
    reading: Reading, views: Sequence[CheckedView], pairs: Sequence[MatchedPair]
) -> FloatArray:
    """(N,) triangulated over stored depth of matched features, of all pairs both ways."""
    ratios = [np.zeros(0)]
    for pair in pairs:
        if not (reading.usable[pair.a] and reading.usable[pair.b]):
            continue
        b_from_a = reading.between(pair.a, pair.b)
        ways = (
            (pair.a, pair.b, b_from_a, pair.xy_a, pair.xy_b),
            (pair.b, pair.a, transforms.invert(b_from_a), pair.xy_b, pair.xy_a),
        )
        for a, b, relative, xy_a, xy_b in ways:
            looked_up = feature_depth(reading, views, a, xy_a)
            if looked_up is None:
                continue
            z, known = looked_up
            piece = geometry.epipolar_piece(reading.K[a], reading.K[b], relative, xy_a, xy_b)
            clear = known & (piece.parallax_px > LEAST_PARALLAX_PX)
            clear &= piece.distance_px < LEAST_STRAIGHTNESS * piece.parallax_px
            clear &= np.isfinite(piece.z0) & (piece.z0 > 0)  # 0 at the epipole
            ratios.append(piece.z0[clear] / z[clear])
    return np.concatenate(ratios)


def depth_scale(
    reading: Reading, views: Sequence[CheckedView], pairs: Sequence[MatchedPair]
) -> float | None:
    """The factor that the stored depths lack; None where matches do not agree on one."""
    ratios = depth_ratios(reading, views, pairs)
    if len(ratios) < LEAST_RATIOS:
        return None
    low, middle, high = np.quantile(np.log(ratios), [0.25, 0.5, 0.75])
    return float(np.exp(middle)) if high - low < WIDEST_SPREAD else None
