"""Depth of flat ground: where each pixel's ray meets the plane z = ``height`` of the world.

For drones over fields and cameras over a table, where things are low compared with the distance.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cameo_data import (
    DepthMap,
    DepthScene,
    EstimatedDepth,
    FileDefect,
    MethodOptions,
    MethodSpec,
    Reason,
)
from cameo_data import camera as cameras
from cameo_data.depth.method import Arrays


class GroundOptions(MethodOptions):
    """Each becomes ``-m key=value``."""

    height: float = Field(0.0, description="z of the ground in the scene's world")


def estimate(
    scene: DepthScene, number: int, options: GroundOptions, _prepared: Arrays
) -> EstimatedDepth:
    """One frame's depth; 0 where the ray does not reach the ground."""
    camera = scene.camera(number)
    eye = camera.world_from_cam[:3, 3]
    ahead = cameras.unproject(camera, cameras.query_xy(camera.hw), np.ones(camera.hw)) - eye
    down = ahead[..., 2]  # how far a pixel's ray rises for each unit of z-depth
    reached = np.divide(options.height - eye[2], down, out=np.zeros(camera.hw), where=down != 0)
    depth = DepthMap.from_array(reached)
    if not depth.valid.any():
        raise FileDefect(
            Reason.EMPTY_DEPTH,
            "no ray of the camera meets the ground",
            f"a ground at z = {options.height:g} that the camera sees",
            "give its height with -m height=…",
        )
    return EstimatedDepth(depth, facts={"height": options.height})


SPEC = MethodSpec(
    "ground", "flat ground, by its height", "poses whose world has z up", GroundOptions, estimate
)
