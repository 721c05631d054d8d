"""BlendedMVS and DTU: cameras and depths come back as rendered; broken files are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mvs_fixtures import (
    HW,
    assert_exact,
    cam_text,
    read_all,
    save_image,
    save_pfm,
    truth,
    truths,
)

from cameo_data import camera as cameras
from cameo_data.errors import DataError, Reason
from cameo_data.sources import open_source, source_spec
from cameo_data.types import Camera

MILLIMETRES = 1000.0


def write_blended(root: Path, name: str = "5a3ca9cb270f0e3f14d0eddb") -> Path:
    folder = root / name
    (folder / "cams").mkdir(parents=True)
    (folder / "cams" / "pair.txt").write_text("0\n")
    for i, true in enumerate(truths()):
        save_image(folder / f"blended_images/{i:08d}.jpg", true.bgr)
        save_image(folder / f"blended_images/{i:08d}_masked.jpg", true.bgr // 2)
        save_pfm(folder / f"rendered_depth_maps/{i:08d}.pfm", true.z, big_endian=i == 1)
        text = cam_text(true.camera.K, true.camera.cam_from_world)
        (folder / f"cams/{i:08d}_cam.txt").write_text(text)
    return folder


def write_dtu(root: Path, scans: tuple[str, ...] = ("scan1",)) -> Path:
    """As MVSNet's archive: images four times the size of depth, K for the depth."""
    (root / "Cameras/train").mkdir(parents=True)
    for i, true in enumerate(truths()):
        cam_from_world = true.camera.cam_from_world.copy()
        cam_from_world[:3, 3] *= MILLIMETRES
        text = cam_text(true.camera.K, cam_from_world)
        (root / f"Cameras/train/{i:08d}_cam.txt").write_text(text)
        large = truth(cameras.resize(true.camera, (4 * HW[0], 4 * HW[1])))
        for scan in scans:
            for light in (3, 6):
                name = f"rect_{i + 1:03d}_{light}_r5000.png"
                save_image(root / f"Rectified/{scan}_train/{name}", large.bgr)
            depths = root / f"Depths/{scan}_train"
            save_pfm(depths / f"depth_map_{i:04d}.pfm", true.z * np.float32(MILLIMETRES))
    return root


def test_blended_views_are_those_rendered(tmp_path: Path) -> None:
    folder = write_blended(tmp_path)
    scene, views = read_all("blendedmvs", tmp_path)
    assert_exact(views, truths())
    assert (scene.scene_id, scene.unit) == (folder.name, "arbitrary")
    assert source_spec("blendedmvs").recognise(tmp_path)
    assert read_all("blendedmvs", folder)[0].scene_id == folder.name


def test_blended_masked_images(tmp_path: Path) -> None:
    write_blended(tmp_path)
    plain, masked = (
        read_all("blendedmvs", tmp_path, {"images": kind})[1] for kind in ("blended", "masked")
    )
    assert masked[0].image.mean() < 0.6 * plain[0].image.mean()


def test_blended_split(tmp_path: Path) -> None:
    for name in ("aaa", "bbb", "ccc"):
        write_blended(tmp_path, name)
    (tmp_path / "validation_list.txt").write_text("bbb\n\nother\n")
    assert open_source("blendedmvs", tmp_path).scene_ids() == ["aaa", "bbb", "ccc"]
    assert open_source("blendedmvs", tmp_path, {"split": "validation"}).scene_ids() == ["bbb"]
    with pytest.raises(DataError, match=r"no list of the split 'train' in .*train\.txt or train_l"):
        open_source("blendedmvs", tmp_path, {"split": "train"})


@pytest.mark.parametrize("split", ["../other", "a/b"])
def test_split_names_no_other_folder(split: str, tmp_path: Path) -> None:
    write_blended(tmp_path / "root")
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(DataError, match="no list of the split"):
        open_source("blendedmvs", tmp_path / "root", {"split": split})


def test_dtu_views_are_those_rendered(tmp_path: Path) -> None:
    write_dtu(tmp_path)
    assert source_spec("dtu").recognise(tmp_path)
    scene, views = read_all("dtu", tmp_path)
    assert [frame.frame_id for frame in scene.frames] == ["001", "002", "003"]
    assert scene.unit == "metre"
    for view, true in zip(views, truths(), strict=True):
        large = cameras.resize(true.camera, (4 * HW[0], 4 * HW[1]))
        np.testing.assert_allclose(view.camera.K, large.K, atol=1e-6)
        np.testing.assert_allclose(view.camera.cam_from_world, large.cam_from_world, atol=1e-7)
        relative = np.abs(view.depth.z / truth(large).z - 1)
        assert np.median(relative) < 1e-6  # looked up on planes, exact
        assert np.mean(relative < 1e-4) > 0.9


def test_dtu_depth_where_the_scan_has_a_surface(tmp_path: Path) -> None:
    write_dtu(tmp_path)
    lit = np.zeros(HW, np.uint8)
    lit[:, :32] = 255
    save_image(tmp_path / "Depths/scan1_train/depth_visual_0000.png", lit)
    valid = read_all("dtu", tmp_path)[1][0].depth.valid
    assert valid[4:-4, 4:120].all()  # the outermost quarter pixels have too few neighbours
    assert not valid[:, 136:].any()


def test_dtu_splits_and_lights(tmp_path: Path) -> None:
    write_dtu(tmp_path, ("scan1", "scan2", "scan10", "scan3"))
    assert open_source("dtu", tmp_path).scene_ids() == ["scan1", "scan2", "scan3", "scan10"]
    for split, expected in (
        ("training", ["scan2"]),
        ("validation", ["scan3"]),
        ("evaluation", ["scan1", "scan10"]),
    ):
        assert open_source("dtu", tmp_path, {"split": split}).scene_ids() == expected
    frame = open_source("dtu", tmp_path, {"light": 6}).scene("scan1").frames[0]
    assert frame.image_path.name == "rect_001_6_r5000.png"
    with pytest.raises(DataError, match="dtu scan1: no image under light 0; expected rect_001_0"):
        open_source("dtu", tmp_path, {"light": 0}).scene("scan1")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


CAM = "{}/00000000_cam.txt"
BREAKS: list[tuple[Callable[[Path], object], Reason, str]] = [
    (lambda cam: edit(cam, "extrinsic", ""), Reason.BAD_METADATA, "is not an MVSNet camera"),
    (lambda cam: edit(cam, "0.5 0.01", "0.5"), Reason.BAD_METADATA, "is not an MVSNet camera"),
    (lambda cam: edit(cam, "60.0", "sixty"), Reason.BAD_METADATA, "is not an MVSNet camera"),
    (lambda cam: edit(cam, "60.0", "nan "), Reason.BAD_INTRINSICS, "NaN or infinite"),
    (lambda cam: edit(cam, "60.0", "-60.0"), Reason.BAD_INTRINSICS, "focal lengths -60, 61"),
    (lambda cam: edit(cam, " 32.5", " 8.5"), Reason.BAD_INTRINSICS, "principal point 8"),
    (
        lambda cam: cam.write_text(cam_text(truths()[0].camera.K, np.diag([2.0, 1, 1, 1]))),
        Reason.BAD_POSE,
        "not a rotation",
    ),
    (lambda cam: cam.write_bytes(b"\xff\xfe"), Reason.BAD_METADATA, "is not text"),
    (lambda cam: cam.unlink(), Reason.MISSING_FILE, "is missing"),
]


@pytest.mark.parametrize("breaks, reason, message", BREAKS)
def test_broken_camera(
    breaks: Callable[[Path], object], reason: Reason, message: str, tmp_path: Path
) -> None:
    write_dtu(tmp_path)
    breaks(tmp_path / CAM.format("Cameras/train"))
    scene = open_source("dtu", tmp_path).scene("scan1")
    (failure,) = scene.failures
    assert (failure.reason, failure.frame_id) == (reason, "001")
    assert message in failure.message
    assert len(scene.frames) == 2


def test_blended_image_without_camera(tmp_path: Path) -> None:
    folder = write_blended(tmp_path)
    (folder / "cams/00000001_cam.txt").unlink()
    scene = open_source("blendedmvs", tmp_path).scene(folder.name)
    assert [frame.frame_id for frame in scene.frames] == ["00000000", "00000002"]
    (failure,) = scene.failures
    assert failure.message.startswith(
        f"blendedmvs {folder.name} frame 00000001: no 00000001_cam.txt; expected a camera file"
    )


@pytest.mark.parametrize("source", ["blendedmvs", "dtu"])
def test_nothing_there(source: str, tmp_path: Path) -> None:
    assert not source_spec(source).recognise(tmp_path)
    with pytest.raises(DataError, match=f"{source}: no "):
        open_source(source, tmp_path)
    with pytest.raises(DataError, match=f"{source}: "):
        open_source(source, tmp_path / "nowhere")


def test_camera_of_this_size_only(tmp_path: Path) -> None:
    """K at full size beside quarter-size depth, as in another of MVSNet's archives, is noticed."""
    write_dtu(tmp_path)
    true = truths()[0]
    K = cameras.resize(true.camera, (4 * HW[0], 4 * HW[1])).K
    text = cam_text(K, true.camera.cam_from_world)
    (tmp_path / CAM.format("Cameras/train")).write_text(text)
    (failure,) = open_source("dtu", tmp_path).scene("scan1").failures
    assert "principal point 130, 95 of a 64×48 image (w×h)" in failure.message
    Camera(K, (4 * HW[0], 4 * HW[1]))  # nothing else is wrong with it
