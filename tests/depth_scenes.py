"""Small exact scenes for the depth methods' tests: rendered, textured, with closed-form depth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cameo_data.depth.method import DepthScene
from cameo_data.sources import open_source
from cameo_data.synth import generate

HW = (120, 160)


def write(
    out: Path, frames: int = 5, scenes: int = 1, hw: tuple[int, int] = HW, rotation: float = 24.0
) -> Path:
    """Piles of objects seen from an arc."""
    settings = generate.plan(
        scenes, kind="objects", path="orbit", seed=1, frames=frames, hw=hw, samples=3,
        rotation_range_deg=rotation, texture_scale=1.5,
    )  # fmt: skip
    generate.write_scenes(out, settings)
    return out


def opened(root: Path, number: int = 0) -> DepthScene:
    """One of them as methods see it."""
    source = open_source("synthetic", root)
    return DepthScene(source.scene(source.scene_ids()[number]))


def change_poses(scene: Path, change) -> None:
    """Replaces every ``cam_from_world`` in a scene's record."""
    path = scene / "scene.json"
    record = json.loads(path.read_text())
    poses = [np.array(frame["cam_from_world"]) for frame in record["frames"]]
    for frame, pose in zip(record["frames"], change(poses), strict=True):
        frame["cam_from_world"] = np.asarray(pose).tolist()
    path.write_text(json.dumps(record))
