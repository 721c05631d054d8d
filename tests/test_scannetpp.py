"""ScanNet++: a rendered scene in the layout of the download and of what its toolkit makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colmap_recordings import HW, LENSES, SCENE, colour_of, names, poses, take, write_text_model
from rgbd_recordings import save

from cameo_data.correspondence import correspond_prepared, prepare
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.geometry import raycast
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.common.recognition import formats_of
from cameo_data.types import Lens, Scene, Verdict

FISHEYE = Lens("OPENCV_FISHEYE", LENSES["OPENCV_FISHEYE"], HW)
OPENCV = Lens("OPENCV", LENSES["OPENCV"], HW)


def write_scene(root: Path, scene_id: str = "0a5c013435", rendered: bool = True) -> Path:
    """``data/SCENE/dslr``; depth as ``renderpy`` renders it, half a pixel off (see the source)."""
    device = root / "data" / scene_id / "dslr"
    write_text_model(device / "colmap", FISHEYE, poses())
    rows: list[dict[str, Any]] = []
    for name, pose in zip(names(), poses(), strict=True):
        save(device / "resized_images" / name, take(FISHEYE, pose).bgr)
        save(device / "resized_anon_masks" / name, np.full(HW, 255, np.uint8))
        if rendered:
            millimetres = np.round(1000 * take(FISHEYE, pose, 0.0).z).astype(np.uint16)
            save(device / "render_depth" / name, millimetres)
        rows.append({"file_path": name, "mask_path": name, "is_bad": False})
    transforms = {"camera_model": "OPENCV_FISHEYE", "frames": rows[:2], "test_frames": rows[2:]}
    (device / "nerfstudio").mkdir()
    (device / "nerfstudio/transforms.json").write_text(json.dumps(transforms))
    lists = {"train": names()[:2], "test": names()[2:], "has_masks": True}
    (device / "train_test_lists.json").write_text(json.dumps(lists))
    return device


def write_iphone(root: Path, scene_id: str = "0a5c013435") -> Path:
    """``data/SCENE/iphone`` once its frames have been extracted."""
    device = root / "data" / scene_id / "iphone"
    write_text_model(device / "colmap", OPENCV, poses())
    path = device / "colmap/images.txt"
    path.write_text(path.read_text().replace("view", "video/view"))
    small = Lens("OPENCV", (*(p / 2 for p in OPENCV.params[:4]), *OPENCV.params[4:]), (24, 32))
    for name, pose in zip(names(), poses(), strict=True):
        save(device / "rgb" / name, take(OPENCV, pose).bgr)
        millimetres = np.round(1000 * take(small, pose).z).astype(np.uint16)
        save(device / "depth" / name, millimetres)
    return device


def read(root: Path, **options: Any) -> Scene:
    source = open_source("scannetpp", root, options)
    (scene_id,) = source.scene_ids()
    return source.scene(scene_id)


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ids(scene: Scene) -> list[str]:
    return [frame.frame_id for frame in scene.frames]


@pytest.mark.parametrize("device, source", [("dslr", "rendered"), ("iphone", "lidar")])
def test_views_are_those_of_pinhole_cameras(device, source, tmp_path):
    write_scene(tmp_path)
    write_iphone(tmp_path)
    scene = read(tmp_path, device=device)
    assert (scene.scene_id, scene.unit, scene.failures) == ("0a5c013435", "metre", ())
    assert ids(scene) == ["view1", "view2", "view3"]
    views = [read_view(f, dataset="scannetpp", scene_id="s") for f in scene.frames]
    for view, pose in zip(views, poses(), strict=True):
        assert view.depth_source == source
        assert np.abs(view.camera.cam_from_world - pose).max() < 1e-12
        hits = raycast.render(SCENE, view.camera)
        true, known = raycast.depth_of(hits), view.depth.valid
        assert known.mean() > 0.8
        error = np.abs(view.depth.z - true)[known]
        assert np.quantile(error, 0.9) < 0.001  # millimetres are the files' steps
        difference = np.abs(view.image.astype(float) - colour_of(hits)[..., ::-1])[known]
        assert np.median(difference) <= 1
    found = correspond_prepared(
        prepare(views[0].depth, views[0].camera), prepare(views[2].depth, views[2].camera), 4
    )
    assert np.mean(found.verdict == Verdict.VISIBLE) > 0.4


def test_rendered_depth_is_moved_by_half_a_pixel(tmp_path):
    """The floor seen from above: half a pixel is more than rounding to millimetres."""
    write_scene(tmp_path)
    frame = read(tmp_path).frames[0]
    assert frame.depth is not None
    view = read_view(frame, dataset="scannetpp", scene_id="s")
    true = raycast.depth_of(raycast.render(SCENE, view.camera))
    known = view.depth.valid
    aligned = np.median(np.abs(view.depth.z - true)[known])
    object.__setattr__(frame.depth, "shift_px", 0.0)
    apart = np.median(
        np.abs(read_view(frame, dataset="scannetpp", scene_id="s").depth.z - true)[known]
    )
    assert apart > 3 * aligned


def test_without_depth_tracks_are_matches(tmp_path):
    write_scene(tmp_path, rendered=False)
    scene = read(tmp_path)
    assert scene.frames[0].depth is None
    assert scene.matches is not None
    assert len(scene.matches.between("view1", "view3").xy0) > 10
    write_scene(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/data").rename(tmp_path / "out")
    scene = read(tmp_path / "data", rendered=str(tmp_path / "out"))
    assert scene.frames[0].depth is not None
    assert scene.matches is None


def test_flags_and_lists_choose_images(tmp_path):
    device = write_scene(tmp_path)
    path = device / "nerfstudio/transforms.json"
    path.write_text(path.read_text().replace("false", "true", 1))
    assert ids(read(tmp_path)) == ["view2", "view3"]
    assert ids(read(tmp_path, skip_bad=False)) == ["view1", "view2", "view3"]
    assert ids(read(tmp_path, frames="train", skip_bad=False)) == ["view1", "view2"]
    assert ids(read(tmp_path, frames="test")) == ["view3"]


def test_splits_choose_scenes(tmp_path):
    for scene_id in ("b1", "a1", "c1"):
        write_scene(tmp_path, scene_id)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/nvs_test.txt").write_text("c1\nb1\nz9\n")
    for root in (tmp_path, tmp_path / "data"):
        assert open_source("scannetpp", root).scene_ids() == ["a1", "b1", "c1"]
        source = open_source("scannetpp", root, {"split": "nvs_test"})
        assert source.scene_ids() == ["b1", "c1"]
        (failure,) = source.failures
        assert failure.message == (
            "scannetpp z9: scene of split nvs_test is not there; expected its folder; "
            "download it, or leave the split out"
        )
    assert "there is no splits/nope.txt" in refused(tmp_path, split="nope")


def test_recognised(tmp_path):
    spec = source_spec("scannetpp")
    assert not spec.recognise(tmp_path)
    write_scene(tmp_path)
    assert spec.recognise(tmp_path)
    assert spec.recognise(tmp_path / "data")
    # its model and its transforms.json, inside each scene, are not what the folder is
    assert formats_of(tmp_path) == formats_of(tmp_path / "data") == ["scannetpp"]


def test_what_is_missing_or_damaged(tmp_path):
    assert "no scene with dslr/colmap in" in refused(tmp_path)
    device = write_scene(tmp_path)
    assert "no scene with iphone/colmap in" in refused(tmp_path, device="iphone")
    assert "dslr has no lidar depth" in refused(tmp_path, depth="lidar")
    (device / "render_depth/view2.png").unlink()
    (device / "resized_images/view3.png").unlink()
    scene = read(tmp_path)
    assert ids(scene) == ["view1"]
    assert [failure.reason for failure in scene.failures] == [Reason.NO_DEPTH, Reason.MISSING_FILE]
    assert "there is no render_depth/view2.png" in scene.failures[0].message
    transforms = device / "nerfstudio/transforms.json"
    transforms.write_text('{"frames": [{"file_path": 3}]}')
    assert "transforms.json at frames.0.file_path" in refused(tmp_path)
    transforms.unlink()
    assert "transforms.json is missing" in refused(tmp_path)
    assert ids(read(tmp_path, skip_bad=False)) == ["view1"]


def test_a_depth_map_of_another_size_is_counted(tmp_path):
    device = write_scene(tmp_path)
    save(device / "render_depth/view1.png", np.full((24, 32), 1000, np.uint16))
    with pytest.raises(DataError, match="24×32"):
        read_view(read(tmp_path).frames[0], dataset="scannetpp", scene_id="s")
