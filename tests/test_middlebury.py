"""Middlebury: disparities in each year's files become the depth that was rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mvs_fixtures import (
    HW,
    K,
    Truth,
    assert_exact,
    assert_matches,
    read_all,
    rectified_pair,
    save_image,
    save_pfm,
)

from cameo_data.correspondence import correspond
from cameo_data.errors import DataError, Reason
from cameo_data.sources import open_source, source_spec
from cameo_data.types import Camera, Verdict, View

BASELINE, DOFFS = 0.2, 3.0


def disparity(true: Truth, doffs: float = DOFFS) -> np.ndarray:
    """x_left − x_right of each pixel, infinite where nothing is known."""
    with np.errstate(divide="ignore"):
        return (K[0, 0] * BASELINE / true.z - doffs).astype(np.float32)


def calib(left: Truth, right: Truth) -> str:
    def matrix(m: np.ndarray) -> str:
        return "[" + "; ".join(" ".join(f"{v:g}" for v in row) for row in m) + "]"

    return (
        f"cam0={matrix(left.camera.K)}\ncam1={matrix(right.camera.K)}\ndoffs={DOFFS}\n"
        f"baseline={1000 * BASELINE:g}\nwidth={HW[1]}\nheight={HW[0]}\nndisp=16\nisint=0\n"
        "vmin=3\nvmax=12\ndyavg=0\ndymax=0\n"
    )


def write_2014(folder: Path, gt: str = "", right_too: bool = True) -> Path:
    left, right = rectified_pair(DOFFS, BASELINE)
    save_image(folder / "im0.png", left.bgr)
    save_image(folder / "im1.png", right.bgr)
    save_pfm(folder / f"disp0{gt}.pfm", disparity(left), scale=0.003922)
    if right_too:
        save_pfm(folder / f"disp1{gt}.pfm", disparity(right), big_endian=True)
    (folder / "calib.txt").write_text(calib(left, right))
    return folder


def write_npz(folder: Path) -> Path:
    left, right = rectified_pair(DOFFS, BASELINE)
    save_image(folder / "motor_left.png", left.bgr)
    save_image(folder / "motor_right.png", right.bgr)
    np.savez_compressed(folder / "motor_disp.npz", disparity(left))
    (folder / "calib.txt").write_text(calib(left, right))
    return folder


def write_8_bit(folder: Path, year: int, factor: int = 16) -> Path:
    """2003's or 2006's files, whose stored values are rounded disparities times a factor."""
    doffs = 2.0 if year == 2006 else 0.0
    pair = rectified_pair(doffs, BASELINE)
    images = ("im2", "im6") if year == 2003 else ("view1", "view5")
    maps = ("disp2.pgm", "disp6.pgm") if year == 2003 else ("disp1.png", "disp5.png")
    for true, image, name in zip(pair, images, maps, strict=True):
        save_image(folder / f"{image}.png", true.bgr)
        stored = np.round(factor * disparity(true, doffs)).astype(np.uint8)
        stored[0, :5] = 0
        save_image(folder / name, stored)
    if year == 2006:
        (folder / "dmin.txt").write_text(f"{int(doffs * factor)}\n")  # at full size
    return folder


def in_world(views: list[View], left: Truth) -> list[View]:
    """The views in the world of the rendered scene, instead of the left camera's."""
    moved = []
    for view in views:
        pose = view.camera.cam_from_world @ left.camera.cam_from_world
        moved.append(replace(view, camera=Camera(view.camera.K, view.camera.hw, pose)))
    return moved


@pytest.mark.parametrize("gt", ["", "GT"])
def test_2014_is_what_was_rendered(gt: str, tmp_path: Path) -> None:
    write_2014(tmp_path / "Adirondack-perfect", gt)
    scene, views = read_all("middlebury", tmp_path)
    pair = rectified_pair(DOFFS, BASELINE)
    assert_exact(in_world(views, pair[0]), pair)
    assert (scene.scene_id, scene.unit) == ("Adirondack-perfect", "metre")
    assert source_spec("middlebury").recognise(tmp_path)


def test_right_view_without_disparity_gets_the_left_ones(tmp_path: Path) -> None:
    for folder in (write_npz(tmp_path / "a"), write_2014(tmp_path / "b", right_too=False)):
        _, views = read_all("middlebury", folder)
        left, right = rectified_pair(DOFFS, BASELINE)
        views = in_world(views, left)
        np.testing.assert_allclose(views[0].depth.z, left.z, rtol=2e-6)
        known = views[1].depth.valid
        assert 0.7 < known.mean() < 1
        relative = np.abs(views[1].depth.z / np.where(right.z > 0, right.z, 1) - 1)[known]
        assert np.median(relative) < 1e-6
        assert np.mean(relative < 1e-3) > 0.97
        assert views[1].depth_source == "left disparity, moved"
        assert_matches(views)
        scene = open_source("middlebury", folder, {"warp_right": False}).scene(folder.name)
        assert scene.frames[1].depth is None


@pytest.mark.parametrize("year", [2003, 2006])
def test_8_bit_maps(year: int, tmp_path: Path) -> None:
    """Any focal length and baseline give the same matches; 0 is unknown."""
    folder = write_8_bit(tmp_path / "cones", year)
    pair = rectified_pair(2.0 if year == 2006 else 0.0, BASELINE)
    for options in ({}, {"focal_px": 60.0, "baseline": 0.2}):
        scene, views = read_all("middlebury", folder, {"disparity_factor": 16, **options})
        assert scene.unit == ("metre" if options else "arbitrary")
        assert not views[0].depth.valid[0, :5].any()
        found = correspond(views[0].depth, views[0].camera, views[1].depth, views[1].camera)
        seen = found.verdict == Verdict.VISIBLE
        exact = disparity(pair[0], 2.0 if year == 2006 else 0.0)
        x = np.arange(HW[1]) + 0.5 - exact
        assert seen.mean() > 0.3
        np.testing.assert_allclose(found.xy1[..., 0][seen], x[seen], atol=0.5 / 16 + 1e-3)
        if options:
            known = views[0].depth.valid
            np.testing.assert_allclose(views[0].depth.z[known], pair[0].z[known], rtol=0.01)


@pytest.mark.parametrize("wh, factor", [((450, 375), 4), ((900, 750), 2), ((1800, 1500), 1)])
def test_factor_of_the_published_sizes(wh: tuple[int, int], factor: float, tmp_path: Path) -> None:
    grey = np.full((wh[1], wh[0]), 60, np.uint8)
    for name in ("im2.ppm", "im6.ppm"):
        save_image(tmp_path / name, np.dstack([grey] * 3))
    for name in ("disp2.pgm", "disp6.pgm"):
        save_image(tmp_path / name, grey)
    frame = open_source("middlebury", tmp_path).scene(tmp_path.name).frames[0]
    assert frame.depth is not None
    assert frame.depth.scale == 1 / factor


def test_factor_that_is_not_known(tmp_path: Path) -> None:
    folder = write_8_bit(tmp_path / "venus", 2003)
    with pytest.raises(DataError, match=r"middlebury venus: disp2.pgm is of a 64×48 .*factor=8"):
        open_source("middlebury", folder).scene("venus")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BREAKS: list[tuple[Callable[[Path], Any], Reason, str]] = [
    (lambda f: edit(f / "calib.txt", "doffs=3", "offs=3"), Reason.BAD_INTRINSICS, "no doffs"),
    (lambda f: edit(f / "calib.txt", "doffs=3.0", "doffs=5"), Reason.BAD_INTRINSICS, "doffs 5"),
    (lambda f: edit(f / "calib.txt", "cam1=[60", "cam1=[70"), Reason.BAD_INTRINSICS, "f 60, 70"),
    (lambda f: edit(f / "calib.txt", "cam0=[60", "cam0=[x"), Reason.BAD_INTRINSICS, "'x'"),
    (lambda f: edit(f / "calib.txt", "cam0=[60 0", "cam0=[60"), Reason.BAD_INTRINSICS, "inhomog"),
    (lambda f: edit(f / "calib.txt", "e=200", "e=-2"), Reason.BAD_INTRINSICS, "baseline=-2"),
    (lambda f: edit(f / "calib.txt", "e=200", "e=nan"), Reason.BAD_INTRINSICS, "baseline=nan"),
    (lambda f: edit(f / "calib.txt", "width=64", "width=128"), Reason.WRONG_SIZE, "128×48"),
    (
        lambda f: (f / "im0.png").write_bytes(b"no"),
        Reason.UNREADABLE_IMAGE,
        "im0.png is not",
    ),
]


@pytest.mark.parametrize("breaks, reason, message", BREAKS)
def test_broken_pair(
    breaks: Callable[[Path], Any], reason: Reason, message: str, tmp_path: Path
) -> None:
    folder = write_2014(tmp_path / "pair")
    breaks(folder)
    with pytest.raises(DataError) as caught:
        open_source("middlebury", folder).scene("pair")
    assert caught.value.failure.reason == reason
    assert message in str(caught.value)


def test_no_pair(tmp_path: Path) -> None:
    assert not source_spec("middlebury").recognise(tmp_path)
    with pytest.raises(DataError, match="no stereo pair in"):
        open_source("middlebury", tmp_path)


def test_many_pairs_are_listed_without_reading_any(tmp_path: Path) -> None:
    for name in ("b", "a10", "a9"):
        write_npz(tmp_path / "2014" / name)
    source = open_source("middlebury", tmp_path)
    assert source.scene_ids() == ["2014/a9", "2014/a10", "2014/b"]
    assert not source.failures
