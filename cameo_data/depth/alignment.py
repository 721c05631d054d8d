"""Monocular depth tied to a scene: the scale and shift that bring it to known points.

Networks know depth up to scale, many of them only inverse depth up to scale and shift (Ranftl et
al., PAMI 2022). Both are fitted here in inverse depth, w = scale · p + shift, robustly: anchors
include wrong matches, and networks err on parts of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray

# An anchor agrees where the fit is within this share of its inverse depth; so many must, of at
# least so many.
AGREES = 0.1
LEAST_AGREEING = 0.5
LEAST_ANCHORS = 20
# Pairs of anchors tried: with half of the anchors wrong, all of 200 pairs hold a wrong one in one
# case of 10²⁵.
TRIALS = 200
# Rounds of reweighted least squares after that.
ROUNDS = 10


@dataclass(frozen=True)
class Fit:
    """Inverse depth = ``scale`` · prediction + ``shift``; ``agreeing`` is the share of anchors."""

    scale: float
    shift: float
    agreeing: float
    anchors: int


def fit(prediction: FloatArray, w: FloatArray, seed: int = 0) -> Fit:
    """Scale and shift that bring (N,) predictions to (N,) inverse depths of anchors.

    Raises:
        FileDefect: too few anchors, or no scale on which half of them agree.
    """
    good = np.isfinite(prediction) & np.isfinite(w) & (w > 0)
    p, w = prediction[good], w[good]
    if len(p) < LEAST_ANCHORS:
        raise _unanchored(f"{len(p)} points of known depth", f"at least {LEAST_ANCHORS}")
    rng = np.random.default_rng(seed)
    scale, shift, best = 1.0, 0.0, -1
    for _ in range(TRIALS):
        a, b = rng.choice(len(p), 2, replace=False)
        if p[a] == p[b]:
            continue
        slope = (w[a] - w[b]) / (p[a] - p[b])
        offset = w[a] - slope * p[a]
        count = int((np.abs(slope * p + offset - w) <= AGREES * w).sum())
        if slope > 0 and count > best:
            scale, shift, best = slope, offset, count
    scale, shift = _reweighted(p, w, scale, shift)
    agreeing = float((np.abs(scale * p + shift - w) <= AGREES * w).mean())
    if scale <= 0 or agreeing < LEAST_AGREEING:
        raise _unanchored(
            f"{100 * agreeing:.0f} % of {len(p)} points fit one scale and shift",
            f"at least {100 * LEAST_AGREEING:.0f} %",
        )
    return Fit(scale, shift, agreeing, len(p))


def _reweighted(p: FloatArray, w: FloatArray, scale: float, shift: float) -> tuple[float, float]:
    """Least squares of relative errors, each weighted down by how far off it is (Cauchy)."""
    design = np.stack([p, np.ones_like(p)], 1) / w[:, None]
    for _ in range(ROUNDS):
        off = (scale * p + shift - w) / (AGREES * w)
        weight = 1 / np.sqrt(1 + off**2)
        solution, *_ = np.linalg.lstsq(design * weight[:, None], weight, rcond=None)
        scale, shift = float(solution[0]), float(solution[1])
    return scale, shift


def _unanchored(found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.NO_ANCHOR,
        found,
        expected,
        "check poses and texture, or give -m anchors=planesweep (=none for a metric model)",
    )
