"""Depth by a neural network, brought to the scene's scale, and held against other views.

Per image, scale and shift are fitted in inverse depth to points triangulated from features, or to
pixels of which ``planesweep`` is sure; pixels that other views contradict are dropped.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cameo_data.depth import alignment, consistency, networks, planesweep
from cameo_data.depth.method import Arrays, DepthScene, Estimates, MethodOptions, MethodSpec
from cameo_data.depth.sparse import SparseScene, survey
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthMap, EstimatedDepth, FloatArray

# Neighbours: those shown to a multi-view network, and those compared with in the end.
SHOWN, COMPARED = 4, 8
# Planesweep's pixels that may serve as anchors, and every how many of them are taken.
SURE, ANCHOR_STEP = 0.8, 17
# Distance in pixels that goes with a relative difference of depth of 1 %; networks are less exact
# than stereo, so both are loosened together.
PX_PER_PERCENT = 1.5


class ModelOptions(MethodOptions):
    """Which network, and how it is tied to the scene."""

    side: int | None = Field(
        640, ge=64, le=8192, description="longest side of the depth maps; larger images are reduced"
    )
    model: str = Field(
        min_length=1,
        description="folder of a depth network, its name on the hub, or vggt:FOLDER_OR_NAME",
    )
    anchors: Literal["auto", "points", "planesweep", "none"] = Field(
        "auto",
        description="what depth is aligned to: triangulated points (auto: planesweep where they "
        "are few), planesweep's sure pixels, or nothing (a metric network in a metric scene)",
    )
    agree: float = Field(
        0.05, gt=0, le=1, description="relative difference up to which two views agree"
    )
    confirmed_by: int = Field(1, ge=0, le=8, description="other views that must agree")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where PyTorch works")


def prepare(scene: DepthScene, options: ModelOptions) -> Arrays:
    """Neighbours and points; none for a single view without anchors."""
    networks.load(options.model, planesweep.device_of(options.device))  # fail before any work
    if options.anchors == "none" and len(scene) < 2:
        none = np.full((len(scene), 1), -1, np.int64)
        zero, points = np.zeros(len(scene), np.int64), np.zeros((0, 2))
        return SparseScene(none, zero, zero, zero[:0], points, np.zeros(0)).arrays()
    return survey(scene, COMPARED).arrays()


def estimate(
    scene: DepthScene, number: int, options: ModelOptions, prepared: Arrays
) -> EstimatedDepth:
    """The network's depth at the scene's scale."""
    sparse = SparseScene.of(prepared)
    network = networks.load(options.model, planesweep.device_of(options.device))
    others = [int(n) for n in sparse.neighbours[number, :SHOWN] if n >= 0]
    shown = [number, *others] if network.multi_view else [number]
    values = network.predict([scene.image(n) for n in shown])
    inverse = values.astype(np.float64)
    if not network.inverse:
        inverse = np.where(values > 0, 1 / np.where(values > 0, values, 1), np.nan)
    facts: dict[str, object] = {"model": options.model, "anchors": "none"}
    if options.anchors != "none":
        kind, xy, w = _anchors(scene, number, options, prepared)
        column, row = np.floor(xy).astype(np.intp).T
        fitted = alignment.fit(inverse[row, column], w)
        inverse = fitted.scale * inverse + fitted.shift
        facts |= {
            "anchors": kind,
            "anchor_count": fitted.anchors,
            "anchors_agreeing": round(fitted.agreeing, 4),
        }
    elif network.inverse:
        raise FileDefect(
            Reason.NO_ANCHOR,
            "the network knows inverse depth up to scale and shift, and anchors=none",
            "anchors, or a metric network",
            "give -m anchors=points",
        )
    with np.errstate(invalid="ignore"):
        known = inverse > 0
    z = np.where(known, 1 / np.where(known, inverse, 1.0), 0)
    return EstimatedDepth(DepthMap.from_array(z), None, facts)


def _anchors(
    scene: DepthScene, number: int, options: ModelOptions, prepared: Arrays
) -> tuple[str, FloatArray, FloatArray]:
    """What kind, (N, 2) pixels, (N,) inverse depths."""
    xy, w = SparseScene.of(prepared).points(number)
    few = len(w) < 2 * alignment.LEAST_ANCHORS
    if options.anchors == "points" or (options.anchors == "auto" and not few):
        return "points", xy, w
    sweep = planesweep.PlanesweepOptions.model_validate(
        {"side": options.side, "device": options.device}
    )
    found = planesweep.estimate(scene, number, sweep, prepared)
    sure = _sure(found)
    rows, columns = (part[::ANCHOR_STEP] for part in np.nonzero(sure))
    inverse = 1 / found.depth.z[rows, columns].astype(np.float64)
    return "planesweep", np.stack([columns, rows], 1).astype(np.float64) + 0.5, inverse


def _sure(found: EstimatedDepth) -> NDArray[np.bool_]:
    assert found.confidence is not None
    return found.depth.valid & (found.confidence >= SURE)


def check(
    scene: DepthScene,
    number: int,
    options: ModelOptions,
    prepared: Arrays,
    estimates: Estimates,
) -> EstimatedDepth:
    """Pixels that enough other views confirm; confidence by how many do."""
    found = estimates(number)
    assert found is not None
    others = []
    for n in SparseScene.of(prepared).neighbours[number]:
        other = estimates(int(n)) if n >= 0 else None
        if other is not None:
            others.append((other.depth, scene.camera(int(n))))
    said = consistency.confirm(
        found.depth,
        scene.camera(number),
        others,
        same_px=100 * options.agree * PX_PER_PERCENT,
        same_depth=options.agree,
    )
    needed = min(options.confirmed_by, len(others))
    kept = found.depth.valid & (said.count >= needed)
    confidence = np.where(kept, said.count / (said.count + 1), 0).astype(np.float32)
    facts = {**found.facts, "compared_with": len(others), "confirmed_by": needed}
    depth = DepthMap.from_array(np.where(kept, found.depth.z, 0))
    return EstimatedDepth(depth, confidence if others else None, facts)


SPEC = MethodSpec(
    name="model",
    summary="a depth network of transformers, or VGGT, aligned to the scene",
    needs="posed frames, a network's weights, and some texture to align it by",
    options=ModelOptions,
    estimate=estimate,
    prepare=prepare,
    check=check,
)
