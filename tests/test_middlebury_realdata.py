"""Middlebury's own pairs: verdicts against true occlusion, and colours of matched pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import middlebury
from cameo_data.correspondence import correspond
from cameo_data.frames import read_view
from cameo_data.sources import open_source
from cameo_data.types import Verdict, View

pytestmark = pytest.mark.realdata


def read(root: Path) -> list[View]:
    source = open_source("middlebury", root)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    assert not scene.failures
    return [read_view(f, dataset=source.dataset, scene_id=scene_id) for f in scene.frames]


def colour_difference(a: View, b: View) -> tuple[float, float, float]:
    """Mean over VISIBLE queries: matched, and the same pixels unwarped; share of VISIBLE."""
    found = correspond(a.depth, a.camera, b.depth, b.camera)
    seen = found.verdict == Verdict.VISIBLE
    xy = (np.nan_to_num(found.xy1, nan=-9) - 0.5).astype(np.float32)
    moved = cv2.remap(b.image, xy, None, cv2.INTER_LINEAR).astype(float)
    here = a.image.astype(float)
    matched = np.abs(moved - here).mean(-1)[seen].mean()
    in_place = np.abs(b.image - here).mean(-1)[seen].mean()
    return float(matched), float(in_place), float(seen.mean())


@pytest.mark.parametrize("at_nearest", [False, True])
def test_occluded_is_truly_occluded_on_cones(at_nearest: bool, realdata: Path) -> None:
    for one in middlebury.measure(realdata, at_nearest=at_nearest):
        assert one.judged > 0.95 * one.inside
        assert one.hidden > 5000
        assert one.precision >= 0.97
        assert one.recall >= (0.98 if at_nearest else 0.99)
        assert one.visible_recall >= 0.97


def test_colours_agree_on_cones(realdata: Path) -> None:
    left, right = read(realdata / "middlebury_cones")
    for a, b in ((left, right), (right, left)):
        matched, in_place, visible = colour_difference(a, b)
        assert matched < 6.5  # 6.2 in the data's README, 43 in place
        assert in_place > 30
        assert visible > 0.7


def test_colours_agree_on_motorcycle(realdata: Path) -> None:
    left, right = read(realdata / "middlebury_motorcycle")
    assert left.depth_source == "disparity"
    assert right.depth_source == "left disparity, moved"
    matched, in_place, visible = colour_difference(left, right)
    assert matched < 7.8  # 7.7 at x − d in the data's README, hidden pixels included; 39.5 at x
    assert in_place > 35
    assert visible > 0.6


def test_motorcycle_matches_are_its_disparities(realdata: Path) -> None:
    """x_right = x_left − d exactly, through two cameras with different principal points."""
    folder = realdata / "middlebury_motorcycle"
    left, right = read(folder)
    with np.load(folder / "motorcycle_disp.npz") as stored:
        disparity = stored["arr_0"]
    found = correspond(left.depth, left.camera, right.depth, right.camera)
    seen = found.verdict == Verdict.VISIBLE
    x = np.arange(disparity.shape[1]) + 0.5 - disparity
    np.testing.assert_allclose(found.xy1[..., 0][seen], x[seen], atol=1e-3)
    row = np.nonzero(seen)[0]
    np.testing.assert_allclose(found.xy1[..., 1][seen], row + 0.5, atol=1e-3)
    # the known calibration: z = 193.001 mm · 994.978 px / (d + 31.086 px)
    z = 0.193001 * 994.978 / (disparity + 31.086)
    np.testing.assert_allclose(left.depth.z[seen], z[seen], rtol=1e-5)
