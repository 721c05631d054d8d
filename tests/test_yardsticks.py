"""The protocol of the READMEs measures what it says, and the sets reach their yardsticks by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import protocol, yardsticks
from benchmarks.scenes import acceptance_scene, view_pairs
from benchmarks.yardsticks import Row
from cameo_data import camera as cameras
from cameo_data.geometry import raycast
from cameo_data.types import Camera, DepthMap, View

# The two that take half a minute each are left to `python -m benchmarks yardsticks`.
QUICK = sorted({*yardsticks.SETS} - {"7scenes_redkitchen", "colmap_dense_cars", "hololens"})


def view(camera: Camera) -> View:
    """The scene of the accuracy benchmark, coloured by place."""
    hits = raycast.render(acceptance_scene(), camera)
    depth = DepthMap.from_array(raycast.depth_of(hits))
    z = np.where(depth.valid, depth.z, 1.0)
    p_world = cameras.unproject(camera, cameras.query_xy(camera.hw), z)
    image = (128 + 100 * np.sin(3 * p_world)).astype(np.uint8)
    return View("0", camera, image, depth)


@pytest.fixture(scope="module")
def pair() -> tuple[View, View]:
    first = next(iter(view_pairs((120, 160))))
    return view(first.camera0), view(first.camera1)


def test_right_depth_agrees_and_scaled_depth_is_off_by_its_factor(pair: tuple[View, View]) -> None:
    a, b = pair
    right = protocol.dense(a, b)
    assert right.within(0.02) > 0.85
    assert np.median(right.cycle_px) < 0.3
    assert right.colour[right.same].mean() < 0.5 * right.in_place[right.same].mean()
    assert protocol.correlation(right) > 0.95
    farther = replace(b, depth=DepthMap.from_array(1.1 * b.depth.z))
    assert np.median(protocol.dense(a, farther).residual) == pytest.approx(1 / 1.1 - 1, abs=0.01)
    inverted = protocol.dense(a, b, protocol.inverted)
    assert inverted.within(0.02) < 0.5 * right.within(0.02)


def test_without_the_others_depth_all_that_lands_inside_counts(pair: tuple[View, View]) -> None:
    a, b = pair
    blind = replace(b, depth=DepthMap.from_array(np.zeros(b.depth.hw)))
    assert len(protocol.dense(a, blind).residual) == 0
    found = protocol.dense(a, blind, b_depth=False)
    assert len(found.colour) >= len(protocol.dense(a, b).colour)
    assert not found.residual.any()


def test_epipolar_distance_is_that_of_the_shift(pair: tuple[View, View]) -> None:
    a, b = pair
    xy = cameras.query_xy(a.camera.hw, 16)[:, :].reshape(-1, 2)
    z = a.depth.z[xy[:, 1].astype(int), xy[:, 0].astype(int)]
    rows = z > 0
    # at pixel corners depth is not known exactly, but any depth is on the line
    landed, _ = cameras.project(b.camera, cameras.unproject(a.camera, xy[rows], z[rows]))
    ends = (a.camera, b.camera, xy[rows])
    assert protocol.Matched(0, 1, *ends, landed).epipolar_px() < 1e-6
    moved = protocol.Matched(0, 1, *ends, landed + np.array([0, 2])).epipolar_px()
    assert 0.5 < moved < 2.1  # the mean of both views, whose scales differ a little


@pytest.mark.parametrize(
    "row, met",
    [
        (Row("s", "f", 1, (58, 84), (57.5, 84.2), "more"), True),  # to the README's digits
        (Row("s", "f", 1, (58, 84), (60.0, 83.4), "more"), False),
        (Row("s", "f", 1, (0.69,), (0.694,), "less", 2), True),
        (Row("s", "f", 1, (0.69,), (0.70,), "less", 2), False),
        (Row("s", "f", 1, (18,), (300.0,), "control"), None),
    ],
)
def test_a_row_is_met_to_the_digits_stated(row: Row, met: bool | None) -> None:
    assert row.met is met
    assert len(row.cells()) == len(yardsticks.HEADINGS)


@pytest.mark.realdata
@pytest.mark.parametrize("name", QUICK)
def test_every_figure_is_at_least_as_good(name: str, realdata: Path) -> None:
    rows = list(yardsticks.SETS[name](realdata / name))
    assert rows
    assert [row for row in rows if row.met is False] == []
