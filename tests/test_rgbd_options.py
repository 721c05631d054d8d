"""Recordings of no known layout, described by options or by rgbd.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rgbd_recordings as recordings
import yaml
from rgbd_recordings import INTRINSICS, collect, quaternion_line, true_frames

from cameo_data import transforms
from cameo_data.errors import DataError, Reason
from cameo_data.io.depth_files import CODECS
from cameo_data.sources import open_source
from cameo_data.sources.rgbd.layouts import LAYOUTS
from cameo_data.sources.rgbd.options import Recording, RgbdOptions

BASE: dict[str, Any] = {
    "color": "left/*.png",
    "depth": "range/*.png",
    "poses": "track.txt",
    "intrinsics": INTRINSICS,
}


def write_images(folder: Path) -> Path:
    for i, frame in enumerate(true_frames()):
        recordings.save(folder / f"left/{i}.png", frame.bgr)
        recordings.save(folder / f"range/{i}.png", frame.millimetres)
    return folder


def write_track(folder: Path, rows: list[str]) -> Path:
    write_images(folder)
    (folder / "track.txt").write_text("\n".join(rows))
    return folder


def assert_true(folder: Path, options: dict[str, Any]) -> None:
    collected = collect(folder, options)
    assert not collected.failures
    for view, truth in zip(collected.views.values(), true_frames(), strict=True):
        np.testing.assert_allclose(view.camera.K, truth.camera.K, atol=1e-6)
        np.testing.assert_allclose(
            view.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-6
        )
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)
        np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])


def matrix_row(matrix: np.ndarray) -> str:
    return recordings.lines(matrix).replace("\n", " ")


def xyzw(camera: Any) -> list[str]:
    return quaternion_line(camera).split()


ROWS = {
    "tx ty tz qx qy qz qw": lambda i, c: " ".join(xyzw(c)),
    "qw qx qy qz tx ty tz": lambda i, c: " ".join([xyzw(c)[6], *xyzw(c)[3:6], *xyzw(c)[:3]]),
    "name _ tx ty tz qx qy qz qw": lambda i, c: f"{i}.png 7 " + " ".join(xyzw(c)),
    "name,tx,ty,tz,qx,qy,qz,qw": lambda i, c: f"{i}, " + ", ".join(xyzw(c)),
    "matrix": lambda i, c: matrix_row(c.world_from_cam),
    "matrix name": lambda i, c: matrix_row(c.world_from_cam[:3]) + f" {i}",
}


@pytest.mark.parametrize("columns", ROWS)
def test_pose_columns(columns: str, tmp_path: Path) -> None:
    rows = [ROWS[columns](i, frame.camera) for i, frame in enumerate(true_frames())]
    assert_true(write_track(tmp_path, rows), {**BASE, "pose_columns": columns})


def test_names_may_be_listed_in_any_order(tmp_path: Path) -> None:
    rows = [ROWS["matrix name"](i, frame.camera) for i, frame in enumerate(true_frames())]
    assert_true(write_track(tmp_path, rows[::-1]), {**BASE, "pose_columns": "matrix name"})


def test_world_to_camera_poses(tmp_path: Path) -> None:
    rows = [matrix_row(frame.camera.cam_from_world) for frame in true_frames()]
    assert_true(write_track(tmp_path, rows), {**BASE, "pose_direction": "cam_from_world"})


@pytest.mark.parametrize("direction", ["world_from_cam", "cam_from_world"])
def test_opengl_axes(direction: str, tmp_path: Path) -> None:
    rows = []
    for frame in true_frames():
        pose = frame.camera.world_from_cam @ np.diag([1.0, -1, -1, 1])  # y up, z backwards
        rows.append(matrix_row(pose if direction == "world_from_cam" else transforms.invert(pose)))
    options = {**BASE, "pose_direction": direction, "pose_axes": "opengl"}
    assert_true(write_track(tmp_path, rows), options)


def plain_track(folder: Path) -> Path:
    return write_track(folder, [matrix_row(f.camera.world_from_cam) for f in true_frames()])


def test_hidden_files_are_no_frames(tmp_path: Path) -> None:
    folder = plain_track(tmp_path)
    (folder / "left/._0.png").write_bytes(b"a resource fork")
    assert_true(folder, BASE)


def test_half_pixel_centres(tmp_path: Path) -> None:
    assert_true(
        plain_track(tmp_path), {**BASE, "intrinsics": "60,61,32,23.75", "pixel_center": "half"}
    )


def test_intrinsics_of_larger_images(tmp_path: Path) -> None:
    """K given for four times the size; integer centres mean the +0.5 is in its pixels."""
    large = "240,244,127.5,94.5"
    options = {**BASE, "intrinsics": large, "intrinsics_size": "256x192"}
    assert_true(plain_track(tmp_path), options)


def test_description_file_and_its_overrides(tmp_path: Path) -> None:
    folder = plain_track(tmp_path / "a")
    described = {**BASE, "intrinsics": [60, 61, 31.5, 23.25], "depth_scale": 5.0}
    (folder / "rgbd.yaml").write_text(yaml.safe_dump(described))
    assert open_source("rgbd", tmp_path).scene_ids() == ["a"]
    assert_true(folder, {"depth_scale": "0.001"})


def test_description_file_corrects_a_layout(tmp_path: Path) -> None:
    folder = recordings.write_dvmvs(tmp_path / "000")
    (folder / "K.txt").write_text("1 1 1 1")
    (folder / "rgbd.yaml").write_text(f"intrinsics: {INTRINSICS}")
    assert_true(folder, {})


def test_pairs_by_order_and_number(tmp_path: Path) -> None:
    for i, frame in enumerate(true_frames()):
        recordings.save(tmp_path / f"left/c{i + 8}.png", frame.bgr)
        recordings.save(tmp_path / f"range/d{i + 8:03d}.png", frame.millimetres)
    rows = [matrix_row(frame.camera.world_from_cam) for frame in true_frames()]
    (tmp_path / "track.txt").write_text("\n".join(rows))
    for pair_by in ("order", "number"):
        assert_true(tmp_path, {**BASE, "pair_by": pair_by})
    (tmp_path / "range/d008.png").unlink()
    with pytest.raises(DataError, match="3 colour and 2 depth images; expected as many of each"):
        collect(tmp_path, {**BASE, "pair_by": "order"})
    failures = collect(tmp_path, {**BASE, "pair_by": "number"}).failures
    assert [failure.reason for failure in failures.values()] == [Reason.NO_DEPTH]


def test_times_in_file_names(tmp_path: Path) -> None:
    rows = []
    for i, frame in enumerate(true_frames()):
        recordings.save(tmp_path / f"left/{i}.500.png", frame.bgr)
        recordings.save(tmp_path / f"range/{i}.510.png", frame.millimetres)
        rows.append(f"{i}.5 {quaternion_line(frame.camera)}")
    (tmp_path / "track.txt").write_text("\n".join(rows))
    options = {**BASE, "pair_by": "time", "pose_columns": "t tx ty tz qx qy qz qw"}
    assert_true(tmp_path, options)
    assert len(collect(tmp_path, {**options, "max_time_difference": "0.005"}).failures) == 6


def test_masks(tmp_path: Path) -> None:
    folder = plain_track(tmp_path)
    mask = np.zeros(recordings.HW, np.uint8)
    mask[:, 20:] = 255
    for i in (0, 1):
        recordings.save(folder / f"masks/{i}.png", mask)
    recordings.save(folder / "masks/1.png", mask[:10])
    collected = collect(folder, {**BASE, "mask": "masks/*.png"})
    np.testing.assert_array_equal(collected.views["0"].mask, mask > 0)
    assert "1.png is 10×64; expected 48×64" in collected.failures["1"].message
    assert "no mask for frame 2" in collected.failures["2"].message


def test_scene_that_a_pattern_finds_is_listed(tmp_path: Path) -> None:
    plain_track(tmp_path / "b")
    plain_track(tmp_path / "a")
    assert open_source("rgbd", tmp_path, BASE).scene_ids() == ["a", "b"]


DESCRIPTIONS = {
    "colour: x": "rgbd.yaml: colour = 'x': extra inputs are not permitted",
    "color: ../x/*.png": "expected a path inside the scene",
    "depth_codec: jpeg": "depth_codec = 'jpeg': expected one of uint16, ",
    "pose_columns: x y z": "unknown pose column 'x'",
    "distortion: [1, 2, 3]": "expected 4, 5, 8, 12, 14 finite numbers",
    "intrinsics_size: big": "string should match pattern",
    "- 1": "rgbd.yaml: expected key: value lines",
    "color: [": "rgbd.yaml: while parsing",
    "dataset: other": "dataset names all scenes: give it as an option",
    "!!python/object/apply:os.system ['true']": (
        "rgbd.yaml: tag 'tag:yaml.org,2002:python/object/apply:os.system'"
    ),
}


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_bad_description_files(text: str, tmp_path: Path) -> None:
    folder = plain_track(tmp_path / "scene")
    (folder / "rgbd.yaml").write_text(text)
    with pytest.raises(DataError) as error:
        open_source("rgbd", folder).scene("scene")
    assert error.value.failure.reason == Reason.BAD_METADATA
    assert DESCRIPTIONS[text] in str(error.value)
    assert str(error.value).startswith("rgbd scene: ")


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("color", "/etc/*.png", "expected a path inside the scene"),
        ("poses", "a/../../x.txt", "expected a path inside the scene"),
        ("depth", "*/a.png", r"with \* in the file's name only"),
        ("depth", "*_*.png", r"at most one \*"),
        ("depth_scale", "0", "greater than 0"),
        ("pose_axes", "blender", "'opencv' or 'opengl'"),
        ("pose_columns", "t name matrix", "give both t and name"),
        ("pose_columns", "tx ty tz", "expected all of tx ty tz qx qy qz qw, or matrix"),
        ("depth_invalid", "a,b", "unable to parse string as a number"),
        ("no_such_key", "1", "unknown option .no_such_key. of source .rgbd."),
    ],
)
def test_bad_options(key: str, value: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_source("rgbd", tmp_path, {key: value})


def test_options_survive_a_recipe() -> None:
    """A recipe keeps every key resolved, None included, and reads it back."""
    options = RgbdOptions.model_validate({"distortion": "1,2,3,4", "depth_invalid": 65535})
    dumped = options.model_dump(mode="json")
    again = RgbdOptions.model_validate(dumped)
    assert again == options
    assert again.given() == {"distortion": (1, 2, 3, 4), "depth_invalid": (65535,)}
    assert set(RgbdOptions.model_fields) == {*Recording.model_fields, "dataset", "layout"}


def test_dataset_name_in_messages(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^kitchen: "):
        open_source("rgbd", tmp_path, {"dataset": "kitchen"})


def test_unknown_scene_is_a_callers_mistake(tmp_path: Path) -> None:
    source = open_source("rgbd", recordings.write_dvmvs(tmp_path / "000"))
    with pytest.raises(ValueError, match="unknown scene 'x'; there are 1"):
        source.scene("x")


def test_the_page_names_every_key_codec_and_layout() -> None:
    page = (Path(__file__).parents[1] / "docs/datasets/rgbd.md").read_text("utf-8")
    for name in (*RgbdOptions.model_fields, *CODECS, *LAYOUTS):
        assert f"`{name}`" in page, name


def test_pose_names_without_leading_zeros(tmp_path: Path) -> None:
    """``0`` in the pose file is ``000000.png``, said once; two of one number are not guessed."""
    folder = recordings.write_dvmvs(tmp_path / "rec")
    for kind in ("images", "depth"):
        for i, path in enumerate(sorted((folder / kind).iterdir())):
            path.rename(path.with_name(f"{i:06d}.png"))
    rows = [matrix_row(frame.camera.world_from_cam) for frame in true_frames()]
    (folder / "poses.txt").write_text("\n".join(f"{i} {row}" for i, row in enumerate(rows)))
    options = {"pose_columns": "name matrix"}
    scene = open_source("rgbd", folder, options).scene("rec")
    assert [frame.frame_id for frame in scene.frames] == ["000000", "000001", "000002"]
    assert scene.notes == ("poses of poses.txt are matched with pictures by number: 0 with 000000",)
    for frame, true in zip(scene.frames, true_frames(), strict=True):
        assert np.allclose(frame.camera.cam_from_world, true.camera.cam_from_world, atol=1e-6)
    (folder / "poses.txt").write_text("\n".join(f"{i} {rows[0]}" for i in ("0", "00", "1")))
    assert not open_source("rgbd", folder, options).scene("rec").frames


@pytest.mark.parametrize("kind", ["depth", "pose"])
def test_files_without_leading_zeros(kind: str, tmp_path: Path) -> None:
    folder = recordings.write_scannet(tmp_path / "rec")
    for name in ("color", "depth", "pose"):
        for i, path in enumerate(sorted((folder / name).iterdir())):
            stem = f"{i}" if name == kind else f"{i:04d}"
            path.rename(path.with_name(f"{stem}{path.suffix}"))
    scene = open_source("rgbd", folder).scene("rec")
    assert [frame.frame_id for frame in scene.frames] == ["0000", "0001", "0002"]
    what = {"depth": "depth maps", "pose": "pose files"}[kind]
    assert scene.notes == (f"{what} are matched with pictures by number: 0 with 0000",)
    for frame, true in zip(scene.frames, true_frames(), strict=True):
        assert np.allclose(frame.camera.cam_from_world, true.camera.cam_from_world, atol=1e-6)


def test_arrays_read_as_pictures_are_sent_to_their_codec(tmp_path: Path) -> None:
    folder = write_track(tmp_path, [matrix_row(f.camera.world_from_cam) for f in true_frames()])
    for i, frame in enumerate(true_frames()):
        np.savez(folder / f"range/{i}.npz", frame.millimetres / np.float32(1000))
    options = {**BASE, "depth": "range/*.npz"}
    with pytest.raises(DataError, match="choose the depth codec npz"):
        collect(folder, options)
    assert_true(folder, {**options, "depth_codec": "npz", "depth_scale": 1})
