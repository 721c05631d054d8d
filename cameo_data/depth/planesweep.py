"""Depth from posed pictures alone: planes swept through space, surfaces refined, views compared.

``sparse`` chooses neighbours and bounds the depth, ``sweep`` and ``surface`` find each view's
surface, ``consistency`` keeps what other views confirm, ``planes`` completes blank walls. The same
PyTorch code runs on processors and on GPUs. Measured accuracy and limits: ``docs/depth.md``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from cameo_data.depth import appearance, consistency, planes
from cameo_data.depth.method import Arrays, DepthScene, Estimates, MethodOptions, MethodSpec
from cameo_data.depth.pyramid import Pyramid, depth_range, find_surface
from cameo_data.depth.sparse import SparseScene, survey
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthMap, EstimatedDepth

# Share of the pixels seen by other views that these must confirm. docs/depth.md has those of the
# exact and real scenes, and of wrong poses.
LEAST_AGREEING = 0.1
# Views whose depth is compared in the end, and pieces of a surface too small to believe, as a share
# of all pixels.
COMPARED = 8
SPECK_SHARE = 2e-4
# Confidence of blank surfaces, which stereo did not measure: below all that it did, which is
# 0.5 · 2/3 at least.
FLAT_CONFIDENCE = 0.3


class PlanesweepOptions(MethodOptions):
    """Size and strictness."""

    side: int | None = Field(
        640, ge=64, le=8192, description="longest side of the depth maps; larger images are reduced"
    )
    views: int = Field(4, ge=1, le=16, description="neighbours that each view is compared with")
    confirmed_by: int = Field(
        2, ge=0, le=8, description="other views that must see the same (fewer in smaller scenes)"
    )
    max_cost: float = Field(
        0.5, gt=0, le=1, description="largest 1 − correlation of windows that is kept"
    )
    planes: bool = Field(True, description="give blank flat surfaces the plane they lie on")
    near: float | None = Field(None, gt=0, description="nearest depth  [default: from the views]")
    far: float | None = Field(None, gt=0, description="farthest depth  [default: from the views]")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where PyTorch works")


def prepare(scene: DepthScene, options: PlanesweepOptions) -> Arrays:
    """Neighbours and points: see ``SparseScene``.

    Raises:
        FileDefect: one view, no baseline, or poses that the pictures contradict.
    """
    return survey(scene, max(options.views, COMPARED)).arrays()


def estimate(
    scene: DepthScene, number: int, options: PlanesweepOptions, prepared: Arrays
) -> EstimatedDepth:
    """The view's surface, nothing left out yet; confidence is the windows' correlation."""
    sparse = SparseScene.of(prepared)
    others = _neighbours(sparse, number, options.views)
    if not others:
        raise FileDefect(
            Reason.NO_PARALLAX,
            "no other view looks the same way from another place",
            "at least one",
            "add views near this one, or leave the frame out",
        )
    work = Pyramid(scene, number, others, device_of(options.device))
    near_far = depth_range(work, sparse, options.near, options.far)
    w, cost, swept = find_surface(work, near_far)
    depth = DepthMap.from_array(np.where(w > 0, 1.0 / np.where(w > 0, w, 1.0), 0.0))
    facts = {
        "neighbours": [scene.frame(n).frame_id for n in others],
        "planes": swept,
        "swept": [round(float(1 / near_far[1]), 6), round(float(1 / near_far[0]), 6)],
    }
    return EstimatedDepth(depth, (1 - cost).clip(0, 1).astype(np.float32), facts)


def check(
    scene: DepthScene,
    number: int,
    options: PlanesweepOptions,
    prepared: Arrays,
    estimates: Estimates,
) -> EstimatedDepth:
    """What correlates well and other views confirm; confidence is correlation × confirmation."""
    found = estimates(number)
    assert found is not None
    assert found.confidence is not None
    others, views = [], []
    for n in _neighbours(SparseScene.of(prepared), number, COMPARED):
        other = estimates(n)
        if other is not None:
            sure = _sure(other, options.max_cost)
            others.append((sure, scene.camera(n)))
            views.append(
                appearance.view(scene.camera(number), scene.camera(n), scene.image(n), sure)
            )
    needed = min(options.confirmed_by, len(others))
    own = _sure(found, options.max_cost)
    said = consistency.confirm(own, scene.camera(number), others)
    _refuse_contradicted(said, needed)
    free = said.through <= said.count
    kept = own.valid & free & (said.count >= needed)
    kept = consistency.without_specks(kept, int(SPECK_SHARE * kept.size))
    w = np.where(own.valid, 1.0 / np.where(own.valid, said.z, 1.0), 0.0)
    kept = consistency.grown(kept, w, own.valid & (said.through == 0))
    # two of two is worth more than one of two, eight hardly more than four
    trust = (said.count + 1) / (said.count + 2)
    confidence = np.where(kept, found.confidence * trust, 0)
    z = np.where(kept, said.z, 0)
    if options.planes:
        flat = planes.complete(scene.image(number), z, views, needed)
        z, confidence = np.where(kept, z, flat), np.where(flat > 0, FLAT_CONFIDENCE, confidence)
    facts = {
        **found.facts,
        "compared_with": len(others),
        "confirmed_by": needed,
        "flat_share": round(float(((z > 0) & ~kept).mean()), 4),
    }
    return EstimatedDepth(DepthMap.from_array(z), confidence.astype(np.float32), facts)


def _refuse_contradicted(said: consistency.Confirmed, needed: int) -> None:
    """Where other views see nearly everything elsewhere, what little agrees does so by chance."""
    checked = int((said.seen >= max(1, needed)).sum())
    agreeing = int((said.count >= max(1, needed)).sum())
    if checked and agreeing < LEAST_AGREEING * checked:
        raise FileDefect(
            Reason.BAD_POSE,
            f"other views confirm {100 * agreeing / checked:.0f} % of the pixels that they see too",
            f"at least {100 * LEAST_AGREEING:.0f} %",
            "check the poses with `cameo-data check`; views need texture and a baseline",
        )


def _sure(found: EstimatedDepth, max_cost: float) -> DepthMap:
    """The pixels whose windows correlate."""
    assert found.confidence is not None
    return DepthMap.from_array(np.where(found.confidence >= 1 - max_cost, found.depth.z, 0))


def _neighbours(sparse: SparseScene, number: int, most: int) -> list[int]:
    return [int(n) for n in sparse.neighbours[number, :most] if n >= 0]


def device_of(asked: str) -> str:
    """``cpu`` or ``cuda`` for an option ``device``.

    Raises:
        ValueError: CUDA was requested and is not available.
    """
    import torch

    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise ValueError("no CUDA device is available; give -m device=cpu")
    return "cuda" if asked != "cpu" and available else "cpu"


SPEC = MethodSpec(
    name="planesweep",
    summary="multi-view stereo from posed pictures alone (the default)",
    needs="posed frames that overlap, from different places, with texture",
    options=PlanesweepOptions,
    estimate=estimate,
    prepare=prepare,
    check=check,
)
