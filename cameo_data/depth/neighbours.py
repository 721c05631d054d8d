"""Which frames of a scene may see the same things: by place and direction of the cameras alone."""

from __future__ import annotations

import numpy as np

from cameo_data.depth.method import DepthScene

# Of the other frames by distance, those at these ranks: near ones share most, and in a dense video
# only far ones have moved.
RANKS = (1, 2, 3, 4, 6, 8, 12, 18, 27, 40)
# Views whose axes are turned further apart share little.
WIDEST_TURN_DEG = 75.0
# A turn by this takes as much from what two views share as an average step aside.
TURN_DEG = 30.0


def ranked(scene: DepthScene) -> list[list[int]]:
    """Per frame, other frames, the nearest first."""
    if len(scene) < 2:
        return [[] for _ in range(len(scene))]
    poses = np.array([scene.camera(n).world_from_cam for n in range(len(scene))])
    centres, axes = poses[:, :3, 3], poses[:, :3, 2]
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    others = distance[~np.eye(len(scene), dtype=np.bool_)]
    unit = float(np.median(others)) or 1.0
    turn = np.degrees(np.arccos(np.clip(axes @ axes.T, -1, 1)))
    cost = distance / unit + turn / TURN_DEG
    chosen = []
    for n in range(len(scene)):
        order = [int(m) for m in np.argsort(cost[n], kind="stable") if m != n]
        order = [m for m in order if turn[n, m] <= WIDEST_TURN_DEG]
        chosen.append([order[rank - 1] for rank in RANKS if rank <= len(order)])
    return chosen
