"""transforms.json scenes give back the cameras, pictures and depths that were written."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import epipolar
import nerfstudio_scenes as scenes
import numpy as np
import pytest
from nerfstudio_scenes import edit
from rgbd_recordings import HW, K, save, true_frames

from cameo_data import camera as cameras
from cameo_data.correspondence import correspond
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.sources import open_source, source_spec
from cameo_data.types import Scene, Verdict, View


def read_scene(root: Path, **options: Any) -> Scene:
    source = open_source("nerfstudio", root, options)
    (scene_id,) = source.scene_ids()
    return source.scene(scene_id)


def views_of(scene: Scene, with_depth: bool = True) -> list[View]:
    return [
        read_view(frame, dataset="d", scene_id=scene.scene_id, with_depth=with_depth)
        for frame in scene.frames
    ]


def assert_true_cameras(scene: Scene, expected_K: Any = K) -> None:
    assert not scene.failures
    for frame, truth in zip(scene.frames, true_frames(), strict=True):
        np.testing.assert_allclose(frame.camera.K, expected_K, atol=1e-9)
        np.testing.assert_allclose(
            frame.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-9
        )


@pytest.mark.parametrize("write", [scenes.write_nerfstudio, scenes.write_ngp])
def test_cameras_pictures_and_depths(write: Callable[[Path], Path], tmp_path: Path) -> None:
    scene = read_scene(write(tmp_path / "scene"))
    assert_true_cameras(scene)
    assert [f.frame_id for f in scene.frames] == [f"images/frame_0000{i}.png" for i in (1, 2, 3)]
    for view, truth in zip(views_of(scene), true_frames(), strict=True):
        np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)


def test_masks_keep_what_is_white(tmp_path: Path) -> None:
    for view in views_of(read_scene(scenes.write_nerfstudio(tmp_path))):
        assert view.mask is not None
        assert view.mask[:, 8:].all()
        assert not view.mask[:, :8].any()


def test_matches_are_where_geometry_says(tmp_path: Path) -> None:
    view0, _, view1 = views_of(read_scene(scenes.write_nerfstudio(tmp_path)))
    truth0, _, truth1 = true_frames()
    found = correspond(view0.depth, view0.camera, view1.depth, view1.camera, stride=1)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.mean() > 0.5
    p_world = cameras.unproject(truth0.camera, cameras.query_xy(HW), truth0.millimetres / 1000)
    xy1, _ = cameras.project(truth1.camera, p_world)
    assert np.abs(found.xy1 - xy1)[visible].max() < 1e-3


def test_dl3dv_reduced_images(tmp_path: Path) -> None:
    """Found without an option, with K for their size; also below a folder of a thousand scenes."""
    scenes.write_dl3dv(tmp_path / "1K/0a1b")
    source = open_source("nerfstudio", tmp_path)
    assert source.scene_ids() == ["1K/0a1b"]
    assert source_spec("nerfstudio").recognise(tmp_path)
    scene = source.scene("1K/0a1b")
    assert_true_cameras(scene)
    assert scene.frames[0].image_path.parent.name == "images_4"
    assert scene.frames[0].frame_id == "images/frame_00001.png"


def test_images_folder_by_option(tmp_path: Path) -> None:
    """With it go the masks and depths of that reduction, where there are some."""
    root = scenes.write_nerfstudio(tmp_path)
    scenes.write_images(root, "images_2", step=2)
    for i in range(3):
        save(root / f"masks_2/{i}.png", np.full((24, 32), 255, np.uint8))
    scene = read_scene(root, images="images_2")
    assert_true_cameras(scene, K * [[0.5], [0.5], [1]])
    for view in views_of(scene):
        assert view.image.shape == (24, 32, 3)
        assert view.mask is not None
        assert view.depth.valid.mean() > 0.9


def test_blender_splits(tmp_path: Path) -> None:
    scenes.write_blender(tmp_path)
    scene = read_scene(tmp_path)
    by_name = {frame.frame_id: frame for frame in scene.frames}
    assert list(by_name) == ["test/r_0", "train/r_0", "val/r_0"]
    expected = [[60, 0, 32], [0, 60, 24], [0, 0, 1]]  # one focal length, the middle
    for name, truth in zip(("train", "val", "test"), true_frames(), strict=True):
        found = by_name[f"{name}/r_0"].camera
        np.testing.assert_allclose(found.K, expected, atol=1e-9)
        np.testing.assert_allclose(found.cam_from_world, truth.camera.cam_from_world, atol=1e-9)
    (frame,) = read_scene(tmp_path, split="val").frames
    assert frame.frame_id == "val/r_0"


def test_split_by_lists_of_names(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v.update(test_filenames=["images/frame_00002.png"]))
    (frame,) = read_scene(root, split="test").frames
    assert frame.frame_id == "images/frame_00002.png"
    assert len(read_scene(root).frames) == 3
    with pytest.raises(DataError, match=r"no split 'train'; expected transforms_train.json, or"):
        read_scene(root, split="train")


def test_intrinsics_of_a_frame_go_before_those_of_all(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v["frames"][1].update(fl_x=50.0, cx=30.0))
    first, second, _ = read_scene(root).frames
    np.testing.assert_allclose(first.camera.K, [[50, 0, 30], [0, 50, 23.75], [0, 0, 1]])
    np.testing.assert_allclose(second.camera.K, K)


@pytest.mark.parametrize(
    "stated, focal",
    [
        ({"x_fov": 90.0}, (32, 32)),
        ({"camera_angle_x": np.pi / 2, "camera_angle_y": np.pi / 2}, (32, 24)),
        ({"fl_y": 70.0}, (70, 70)),
        ({"camera_angle_x": 1.35, "fl_x": 40.0, "x_fov": 77.0}, (40, 40)),
    ],
)
def test_ways_to_state_a_focal_length(
    stated: dict[str, float], focal: tuple[float, float], tmp_path: Path
) -> None:
    scenes.write_images(tmp_path)
    scenes.write_json(tmp_path, {**stated, "frames": scenes.entries()})
    camera = read_scene(tmp_path).frames[0].camera
    np.testing.assert_allclose(camera.K, [[focal[0], 0, 32], [0, focal[1], 24], [0, 0, 1]])


def test_original_world_undoes_what_the_writer_applied(tmp_path: Path) -> None:
    """applied · original = stored, in nerfstudio's words; its scale is undone for positions too."""
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v.update(applied_scale=0.5))
    stored, original = read_scene(root), read_scene(root, world="original")
    applied = np.eye(4)[[1, 0, 2, 3]] * [1, 1, -1, 1]
    for a, b in zip(stored.frames, original.frames, strict=True):
        pose = b.camera.world_from_cam.copy()
        expected = applied @ pose
        expected[:3, 3] *= 0.5
        np.testing.assert_allclose(a.camera.world_from_cam, expected, atol=1e-9)
        assert a.depth is not None
        assert b.depth is not None
        assert a.depth.scale == pytest.approx(0.5 * b.depth.scale)  # depth is in the old unit


@pytest.mark.parametrize(
    "stated, options, scale",
    [
        ({}, {}, 0.001),
        ({"depth_unit_scale_factor": 0.01}, {}, 0.01),
        ({"depth_unit_scale_factor": 0.01}, {"depth_scale": 0.2}, 0.2),
    ],
)
def test_depth_scale(
    stated: dict[str, float], options: dict[str, float], scale: float, tmp_path: Path
) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v.update(stated))
    depth = read_scene(root, **options).frames[0].depth
    assert depth is not None
    assert depth.scale == pytest.approx(scale)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".tiff"])
def test_depth_of_other_kinds(suffix: str, tmp_path: Path) -> None:
    import h5py

    root = scenes.write_nerfstudio(tmp_path)
    for i, truth in enumerate(true_frames()):
        path = root / f"depth/{i}{suffix}"
        values = truth.millimetres.astype(np.float32)
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".npz":
            np.savez(path, values)
        elif suffix == ".h5":
            with h5py.File(path, "w") as file:
                file["depth"] = values
        else:
            save(path, values)
    edit(
        root,
        lambda v: [
            f.update(depth_file_path=f["depth_file_path"][:-4] + suffix) for f in v["frames"]
        ],
    )
    for view, truth in zip(views_of(read_scene(root)), true_frames(), strict=True):
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-5)


def test_depth_that_no_entry_names(tmp_path: Path) -> None:
    """Called like the images; of images in several folders, in folders of that name."""
    scenes.write_dl3dv(tmp_path / "a")
    scenes.write_blender(tmp_path / "b")
    (tmp_path / "a/depth").mkdir()
    for i, (split, truth) in enumerate(
        zip(("train", "val", "test"), true_frames(), strict=True), start=1
    ):
        metres = truth.millimetres / np.float32(1000)
        np.save(tmp_path / f"a/depth/frame_{i:05d}.npy", metres)
        save(tmp_path / f"b/depth/{split}/r_0.png", truth.millimetres)
    for view, truth in zip(views_of(read_scene(tmp_path / "a")), true_frames(), strict=True):
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)
    for split, truth in zip(("train", "val", "test"), true_frames(), strict=True):
        (view,) = views_of(read_scene(tmp_path / "b", split=split))
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)
    edit(tmp_path / "a", lambda v: v.update(applied_scale=0.5))
    depth = read_scene(tmp_path / "a", world="original").frames[0].depth
    assert depth is not None
    assert depth.scale == 2.0


WIDE = np.array([[34.0, 0, 32], [0, 34, 24], [0, 0, 1]])
BROWN = {"k1": -0.12, "k2": 0.02, "p1": 0.004, "p2": -0.003}
FISHEYE = {"k1": 0.03, "k2": -0.01, "k3": 0.004, "k4": -0.001}


def distorted_rays(model: str, hw: tuple[int, int]) -> Any:
    """(H, W, 3) points at depth 1 that the stored image's pixels see, by OpenCV."""
    xy = cameras.query_xy(hw).reshape(-1, 1, 2)
    if model == "OPENCV":
        k = np.array([BROWN[name] for name in ("k1", "k2", "p1", "p2")])
        until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        points = cv2.undistortPoints(xy, WIDE, k, criteria=until)
    else:
        points = cv2.fisheye.undistortPoints(xy, WIDE, np.array(list(FISHEYE.values())))
    return np.concatenate([points.reshape(*hw, 2), np.ones((*hw, 1))], -1)


@pytest.mark.parametrize("model", ["OPENCV", "OPENCV_FISHEYE"])
def test_distorted_depth_and_image_become_pinhole(model: str, tmp_path: Path) -> None:
    """A slanted wall seen through a lens: after reading, pixel and depth are the pinhole's."""
    # the wall is z = 3 + x/2 in the camera, so at depth 1 rays (u, v, 1) meet it at z = 3/(1 − u/2)
    u = distorted_rays(model, HW)[..., 0]
    stored = np.where(np.abs(u) < 1.6, 3 / (1 - u / 2), 0)
    grey = np.clip(127 + 70 * u, 0, 255)  # the picture says what ray each pixel sees
    save(tmp_path / "images/frame_00001.png", np.repeat(grey[..., None], 3, 2).astype(np.uint8))
    np.save(tmp_path / "depth.npy", stored.astype(np.float32))
    values = {
        "camera_model": model,
        **(BROWN if model == "OPENCV" else FISHEYE),
        "fl_x": 34.0,
        "fl_y": 34.0,
        "cx": 32.0,
        "cy": 24.0,
        "w": HW[1],
        "h": HW[0],
        "depth_unit_scale_factor": 1.0,
        "frames": [{**scenes.entries()[0], "depth_file_path": "depth.npy"}],
    }
    scenes.write_json(tmp_path, values)
    (view,) = views_of(read_scene(tmp_path))
    assert view.encoded is None
    rays = cameras.unproject_to_camera(
        view.camera.K, cameras.query_xy(view.camera.hw), np.ones(view.camera.hw)
    )
    expected = 3 / (1 - rays[..., 0] / 2)
    valid = view.depth.valid
    assert valid.mean() > 0.5
    assert np.abs(view.depth.z / expected - 1)[valid].max() < 0.005
    inside = valid & (np.abs(rays[..., 0]) < 1.5)
    difference = np.abs(view.image[..., 0] - (127 + 70 * rays[..., 0]))[inside]
    assert difference.max() < 4
    assert np.median(difference) < 1.0


def test_ngp_fisheye_is_the_same_lens(tmp_path: Path) -> None:
    root = scenes.write_ngp(tmp_path / "a")
    edit(root, lambda v: v.update(is_fisheye=True, **FISHEYE))
    other = scenes.write_ngp(tmp_path / "b")
    edit(other, lambda v: v.update(camera_model="OPENCV_FISHEYE", **FISHEYE))
    a, b = read_scene(root).frames[0], read_scene(other).frames[0]
    assert a.distortion == b.distortion
    assert a.distortion is not None


def test_distortion_params_are_in_nerfstudios_order(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v["frames"][1].update(distortion_params=[0.1, 0.2, 0.3, 0, 0.01, 0.02]))
    assert read_scene(root).frames[0].distortion == (0.1, 0.2, 0.01, 0.02, 0.3)


def set_frame(**values: Any) -> Callable[[Path], None]:
    """Changes the entry of frame 1, which stands second in the file."""
    return lambda root: edit(root, lambda v: v["frames"][1].update(values))


def drop(key: str) -> Callable[[Path], None]:
    return lambda root: edit(root, lambda v: v["frames"][1].pop(key))


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def replace_entry(value: Any) -> Callable[[Path], None]:
    return lambda root: edit(root, lambda v: v["frames"].__setitem__(1, value))


FRAME_DEFECTS: dict[str, tuple[Callable[[Path], None], Reason, str]] = {
    "no image": (
        remove("images/frame_00001.png"),
        Reason.MISSING_FILE,
        "frame images/frame_00001.png: frame_00001.png is missing",
    ),
    "no depth file": (remove("depth/0.png"), Reason.MISSING_FILE, "0.png is missing"),
    "no mask file": (remove("masks/0.png"), Reason.MISSING_FILE, "0.png is missing"),
    "no mask stated": (drop("mask_path"), Reason.MISSING_FILE, "no mask_path"),
    "climbs out": (set_frame(file_path="../x.png"), Reason.BAD_NAME, "x.png leads out of"),
    "absolute": (set_frame(file_path="/etc/passwd"), Reason.BAD_NAME, "passwd leads out of"),
    "control characters": (set_frame(file_path="a\0b"), Reason.BAD_NAME, "the path 'a\\\\x00b'"),
    "no text": (set_frame(depth_file_path="\ud800"), Reason.BAD_NAME, "the path '"),
    "long name": (set_frame(mask_path="a" * 5000), Reason.BAD_NAME, "the path 'aaa"),
    "absurd pose": (
        set_frame(transform_matrix=(1e200 * np.ones((3, 4))).tolist()),
        Reason.BAD_POSE,
        "is not a rotation",
    ),
    "absurd lens": (set_frame(k1=1e300), Reason.BAD_METADATA, "k1 = 1e+300"),
    "no file_path": (drop("file_path"), Reason.BAD_METADATA, "file_path: field required"),
    "no object": (replace_entry(5), Reason.BAD_METADATA, "an entry of transforms.json is not an"),
    "twice": (
        set_frame(file_path="images/frame_00003.png"),
        Reason.DUPLICATE_ID,
        "images/frame_00003.png appears twice",
    ),
    "no pose": (drop("transform_matrix"), Reason.BAD_POSE, "no transform_matrix"),
    "pose of text": (set_frame(transform_matrix=[["a"]]), Reason.BAD_POSE, "not a matrix of num"),
    "ragged pose": (set_frame(transform_matrix=[[1, 2], [3]]), Reason.BAD_POSE, "not a matrix"),
    "pose of another shape": (
        set_frame(transform_matrix=np.eye(3).tolist()),
        Reason.BAD_POSE,
        "matrix of shape (3, 3)",
    ),
    "scaled pose": (
        set_frame(transform_matrix=np.diag([2.0, 2, 2, 1]).tolist()),
        Reason.BAD_POSE,
        "rotation times 2 (most frames times 1); expected a rigid camera-to-world matrix; "
        "divide the first three columns by 2",
    ),
    "mirrored pose": (
        set_frame(transform_matrix=np.diag([1.0, 1, -1, 1]).tolist()),
        Reason.BAD_POSE,
        "reflection",
    ),
    "focal length of text": (set_frame(fl_x="wide"), Reason.BAD_METADATA, "fl_x = wide"),
    "no focal length": (set_frame(fl_x=0.0), Reason.BAD_INTRINSICS, "focal lengths 0, 0"),
    "another shape": (
        set_frame(w=48, h=64),
        Reason.WRONG_SIZE,
        "image is 48×64, its intrinsics are for 64×48 (h×w)",
    ),
    "panorama": (
        set_frame(camera_model="EQUIRECTANGULAR"),
        Reason.UNKNOWN_CAMERA_MODEL,
        "camera model EQUIRECTANGULAR; expected one of OPENCV,",
    ),
    "k4": (set_frame(k4=0.1), Reason.UNKNOWN_CAMERA_MODEL, "OPENCV with k4 = 0.1"),
    "f-theta": (set_frame(ftheta_p0=0.1), Reason.UNKNOWN_CAMERA_MODEL, "lens with ftheta_p0"),
    "depth of another kind": (
        set_frame(depth_file_path="transforms.json"),
        Reason.UNREADABLE_DEPTH,
        "depth transforms.json; expected one of .png,",
    ),
}


@pytest.mark.parametrize("name", FRAME_DEFECTS)
def test_frame_defects_are_counted(name: str, tmp_path: Path) -> None:
    damage, reason, says = FRAME_DEFECTS[name]
    root = scenes.write_nerfstudio(tmp_path / "scene")
    damage(root)
    scene = read_scene(root)
    (failure,) = scene.failures
    assert failure.reason == reason
    assert says in failure.message
    assert failure.frame_id is not None
    assert len(scene.frames) == 2


def test_a_lone_frame_of_another_size_fails_when_read(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    save(root / "images/frame_00002.png", np.zeros((24, 32, 3), np.uint8))
    frames = read_scene(root).frames
    read_view(frames[0], dataset="d", scene_id="s")
    with pytest.raises(DataError, match=r"frame_00002.png is 24×32; expected 48×64"):
        read_view(frames[1], dataset="d", scene_id="s")


@pytest.mark.parametrize(
    "text, says",
    [
        ("{", "transforms.json is not JSON"),
        ("[]", "has no list called frames"),
        ('{"frames": {}}', "has no list called frames"),
        ('{"frames": [], "applied_scale": 0}', "applied_scale = 0: input should be greater"),
        ("[" * 100_000, "transforms.json is not JSON"),
    ],
)
def test_broken_files(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(DataError) as caught:
        read_scene(tmp_path)
    assert says in str(caught.value)
    assert caught.value.failure.reason == Reason.BAD_METADATA


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_roots_without_scenes(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"missing does not exist|no scene in"):
        open_source("nerfstudio", tmp_path / name)
    assert not source_spec("nerfstudio").recognise(tmp_path / name)


def test_listing_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2_000
    for i in range(count):
        (tmp_path / f"scene{i}").mkdir()
        (tmp_path / f"scene{i}/transforms.json").write_text("not read")
    with monkeypatch.context() as patch:
        for module in (io, builtins):
            patch.setattr(module, "open", lambda path, *_, **__: pytest.fail(f"opened {path}"))
        ids = open_source("nerfstudio", tmp_path).scene_ids()
    assert ids[:3] == ["scene0", "scene1", "scene2"]
    assert ids[-1] == "scene1999"


@pytest.mark.realdata
def test_real_fox(realdata: Path) -> None:
    root = realdata / "instant_ngp_fox"
    assert source_spec("nerfstudio").recognise(root)
    scene = read_scene(root)
    assert not scene.failures
    assert [frame.camera.hw for frame in scene.frames] == [(1920, 1080)] * 7
    neighbours = epipolar.median_px(replace(scene, frames=scene.frames[:4]), 1)
    # 1.1 px when written; OpenCV axes give 203 px, poses the other way round 440 px (its README)
    assert np.median(neighbours) < 1.5
