"""Mistakes in reading intrinsics: for another size, side, fit, or pixel centre."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cameo_data.check.measure import Reading
from cameo_data.check.suspects.base import (
    LEAST_SCALE,
    Context,
    Suspect,
    Variant,
    Variants,
    with_focal,
    zoomed,
)

# Image sizes that intrinsics are mistaken for: halves, quarters, thirds, and 1080p, 720p, 480p.
SIZE_RATIOS = (2.0, 4.0, 8.0, 3.0, 1.5, 2.25)
# Aspects of films and photographs.
ASPECTS = (16 / 9, 4 / 3, 3 / 2)


def intrinsics_of_another_size(context: Context, base: Reading) -> Variants:
    """K scaled to the images, which it is not made for: by known ratios and by its own centre."""
    hw = np.array([view.hw for view in context.views], np.float64)
    centred = hw[:, ::-1] / (2 * base.K[:, :2, 2])  # per view, (x, y)
    ratios = [np.full(2, r) for ratio in SIZE_RATIOS for r in (ratio, 1 / ratio)]
    centre = np.median(centred, axis=0)
    if np.abs(np.log(np.maximum(centre, 1e-6))).max() > 0.03 and centre.min() > 0:
        ratios.append(centre)
    for ratio in ratios:
        K = base.K * np.array([*ratio, 1.0])[None, :, None]
        yield Variant(
            Suspect.INTRINSICS_SIZE,
            replace(base, K=K),
            {"ratio": (float(ratio[0]), float(ratio[1]))},
        )


def field_of_view_of_other_side(context: Context, base: Reading) -> Variants:
    """Focal lengths from a field of view across the width, taken for the height's, or reversed."""
    aspect = np.array([view.hw[1] / view.hw[0] for view in context.views])
    if np.abs(np.log(aspect)).min() < 0.02:
        return
    for ratio in (1 / aspect, aspect):
        fx, fy = base.K[:, 0, 0] * ratio, base.K[:, 1, 1] * ratio
        K = with_focal(base.K, fx, fy)
        yield Variant(Suspect.FIELD_OF_VIEW_SIDE, replace(base, K=K), {"K": K[0]})


def swapped_principal_point(context: Context, base: Reading) -> Variants:
    """cx and cy exchanged."""
    if np.abs(base.K[:, 0, 2] - base.K[:, 1, 2]).max() < 1:
        return
    K = base.K.copy()
    K[:, 0, 2], K[:, 1, 2] = base.K[:, 1, 2], base.K[:, 0, 2]
    yield Variant(Suspect.PRINCIPAL_POINT_SWAPPED, replace(base, K=K), {"K": K[0]})


def focal_length(context: Context, base: Reading) -> Variants:
    """Focal lengths as matched features ask for them."""
    if not context.featured:
        return
    ratio = context.screen.focal_ratio(base)
    if abs(np.log(ratio)) > np.log(LEAST_SCALE):
        K = zoomed(base.K, ratio)
        yield Variant(Suspect.FOCAL_LENGTH, replace(base, K=K), {"K": K[0]})


def cropped_frames(context: Context, base: Reading) -> Variants:
    """Square pixels where a stretch was assumed (a crop keeps the larger focal length)."""
    focal = base.K[:, [0, 1], [0, 1]]
    if np.abs(np.log(focal[:, 0] / focal[:, 1])).max() < 0.02:
        return
    for suspect, square in (
        (Suspect.FRAMES_CROPPED, focal.max(1)),
        (Suspect.FRAMES_PADDED, focal.min(1)),
    ):
        K = with_focal(base.K, square, square)
        yield Variant(suspect, replace(base, K=K), {"K": K[0]})


def stretched_frames(context: Context, base: Reading) -> Variants:
    """Pixels that are not square where a crop was assumed, for films of the usual aspects."""
    focal = base.K[:, [0, 1], [0, 1]]
    if np.abs(np.log(focal[:, 0] / focal[:, 1])).max() > 0.02:
        return
    aspect = np.array([view.hw[1] / view.hw[0] for view in context.views])
    for film in (*ASPECTS, *(1 / a for a in ASPECTS)):
        squeeze = aspect / film
        if np.abs(np.log(squeeze)).max() < 0.02:
            continue
        K = with_focal(
            base.K, focal[:, 0] * np.minimum(squeeze, 1), focal[:, 1] / np.maximum(squeeze, 1)
        )
        yield Variant(Suspect.FRAMES_STRETCHED, replace(base, K=K), {"K": K[0]})


def half_pixel(context: Context, base: Reading) -> Variants:
    for shift in (0.5, -0.5):
        K = base.K.copy()
        K[:, :2, 2] += shift
        yield Variant(Suspect.HALF_PIXEL, replace(base, K=K), {"shift": shift})
