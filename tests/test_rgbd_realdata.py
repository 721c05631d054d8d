"""Real recordings: every frame is read, and colours agree where geometry says "the same point"."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.real import SLAMBOOK
from cameo_data.correspondence import correspond_prepared, prepare
from cameo_data.frames import read_view
from cameo_data.sources import open_source
from cameo_data.types import Verdict, View

pytestmark = pytest.mark.realdata

HW = (180, 240)


def read_first(root: Path, options: dict[str, Any], count: int) -> list[View]:
    """The first frames, which were taken one after another."""
    source = open_source("rgbd", root, options)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    assert not scene.failures
    return [
        read_view(frame, dataset=source.dataset, scene_id=scene_id, hw=HW)
        for frame in scene.frames[:count]
    ]


def agreement(views: list[View], least_visible: float = 0.1) -> tuple[float, float, float]:
    """Means over pairs: median colour difference of matches, of the same pixels unwarped; share.

    The share is that of VISIBLE among all queries.
    """
    prepared = [prepare(view.depth, view.camera) for view in views]
    warped, unwarped, visible = [], [], []
    for a, b in permutations(range(len(views)), 2):
        found = correspond_prepared(prepared[a], prepared[b], 1)
        seen = found.verdict == Verdict.VISIBLE
        visible.append(seen.mean())
        if seen.mean() < least_visible:
            continue
        xy = (np.nan_to_num(found.xy1, nan=-9) - 0.5).astype(np.float32)
        moved = cv2.remap(views[b].image, xy, None, cv2.INTER_LINEAR).astype(float)
        here = views[a].image.astype(float)
        warped.append(np.median(np.abs(moved - here).mean(-1)[seen]))
        unwarped.append(np.median(np.abs(views[b].image - here).mean(-1)[seen]))
    return float(np.mean(warped)), float(np.mean(unwarped)), float(np.mean(visible))


def test_7scenes_redkitchen(realdata: Path) -> None:
    root = realdata / "7scenes_redkitchen"
    views = read_first(root, {}, 6)
    assert views[0].frame_id == "000000"
    warped, unwarped, _ = agreement(views)
    assert warped < 4  # 3.3 when written, 11.9 unwarped
    assert warped < 0.4 * unwarped
    # colour taken for registered to depth: 4.4
    as_depth_camera = {"intrinsics": "camera-intrinsics.txt", "color_from_depth": "0,0,0"}
    assert agreement(read_first(root, as_depth_camera, 6))[0] > 1.15 * warped
    backwards = read_first(root, {"pose_direction": "cam_from_world"}, 6)
    assert agreement(backwards, 0.0)[0] > 1.5 * warped


def test_hololens(realdata: Path) -> None:
    root = realdata / "hololens"
    views = read_first(root, {}, 3)  # later on, automatic exposure changes the colours
    warped, unwarped, visible = agreement(views)
    assert warped < 2  # 1.4 when written, 3.8 unwarped
    assert warped < 0.5 * unwarped
    assert visible > 0.6
    backwards = read_first(root, {"pose_direction": "cam_from_world"}, 3)
    assert agreement(backwards, 0.0)[0] > 1.5 * warped


def test_nyu_slambook(realdata: Path) -> None:
    root = realdata / "nyu_slambook"
    views = read_first(root, SLAMBOOK, 9)
    assert [view.frame_id for view in views] == ["1", "2", "3", "4", "5"]
    warped, unwarped, visible = agreement(views)
    assert warped < 0.5 * unwarped
    backwards = read_first(root, {**SLAMBOOK, "pose_direction": "cam_from_world"}, 9)
    assert agreement(backwards, 0.0)[2] < 0.5 * visible


def test_all_redkitchen_frames_are_read(realdata: Path) -> None:
    assert len(read_first(realdata / "7scenes_redkitchen", {}, 99)) == 14
