"""What a transforms.json says twice, says of other axes, or says of files that have been moved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nerfstudio_scenes as scenes
import numpy as np
import pytest
from nerfstudio_scenes import edit, opengl
from rgbd_recordings import HW, K, save, true_frames
from test_nerfstudio import assert_true_cameras, read_scene, views_of

from cameo_data.errors import DataError, Reason
from cameo_data.sources import open_source, source_spec
from cameo_data.types import Scene

ANGLE_X = 2 * float(np.arctan(HW[1] / 2 / 60))
ANGLE_Y = 2 * float(np.arctan(HW[0] / 2 / 61))


def update(root: Path, **values: Any) -> Path:
    edit(root, lambda v: v.update(values))
    return root


def only_failure(scene: Scene) -> str:
    """What all three frames failed for."""
    assert not scene.frames
    assert len(scene.failures) == 3
    (message,) = {failure.message.split(": ", 1)[1] for failure in scene.failures}
    return message


# two statements of one thing


def test_millimetres_beside_an_angle_are_refused_and_either_can_be_chosen(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    update(root, fl_x=2.82, fl_y=2.82, camera_angle_x=ANGLE_X, camera_angle_y=ANGLE_Y)
    message = only_failure(read_scene(root))
    assert "fl_x = 2.82 is a field of view of 169.9° across the width" in message
    assert "camera_angle_x = 0.979" in message
    assert "is 56.1°" in message
    assert "-o focal=angle" in message
    assert_true_cameras(read_scene(root, focal="angle"))
    edit(root, lambda v: [v.pop(key) for key in ("fl_x", "fl_y")])  # the other remedy
    assert_true_cameras(read_scene(root))


def test_pixels_are_read_where_they_are_chosen(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), camera_angle_x=0.2)
    assert "fl_x = 60 is a field of view of 56.1°" in only_failure(read_scene(root))
    assert_true_cameras(read_scene(root, focal="pixels"))


@pytest.mark.parametrize("digits", [2, 3, 6])
def test_a_rounded_angle_agrees(digits: int, tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    assert_true_cameras(read_scene(update(root, camera_angle_x=round(ANGLE_X, digits))))


def write_portrait(root: Path, **keys: Any) -> Path:
    """Turned by a quarter: 48×64 pixels (w×h), square, focal length 60."""
    for i, frame in enumerate(true_frames()):
        save(root / f"images/frame_{i + 1:05d}.png", np.rot90(frame.bgr).copy())
    scenes.write_json(root, {**keys, "frames": scenes.entries()})
    return root


LONGER = 2 * float(np.arctan(64 / 2 / 60))


def test_an_angle_of_the_longer_side_beside_pixels(tmp_path: Path) -> None:
    root = write_portrait(tmp_path, fl_x=60.0, camera_angle_x=LONGER)
    message = only_failure(read_scene(root))
    assert "the latter would be right for the other side of the picture" in message
    fixed = read_scene(root, angle_side="longer").frames[0].camera.K
    np.testing.assert_allclose(fixed[[0, 1], [0, 1]], 60)


def test_an_angle_alone_of_a_portrait_picture_is_asked_about(tmp_path: Path) -> None:
    root = write_portrait(tmp_path, camera_angle_x=LONGER)
    scene = read_scene(root)
    (note,) = [note for note in scene.notes if "longer" in note]
    assert "camera_angle_x is read as the field of view of the width" in note
    np.testing.assert_allclose(scene.frames[0].camera.K[0, 0], 45)
    fixed = read_scene(root, angle_side="longer")
    np.testing.assert_allclose(fixed.frames[0].camera.K[[0, 1], [0, 1]], 60)
    assert not [note for note in fixed.notes if "longer" in note]


def test_exchanged_angles_are_refused(tmp_path: Path) -> None:
    shorter = 2 * float(np.arctan(48 / 2 / 60))
    root = write_portrait(tmp_path, camera_angle_x=LONGER, camera_angle_y=shorter)
    message = only_failure(read_scene(root))
    assert "square ones if exchanged" in message
    update(root, camera_angle_x=shorter, camera_angle_y=LONGER)  # its remedy
    np.testing.assert_allclose(read_scene(root).frames[0].camera.K[[0, 1], [0, 1]], 60)


def test_an_angle_in_degrees_has_a_key_of_its_own(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    angles = {"x": float(np.degrees(ANGLE_X)), "y": float(np.degrees(ANGLE_Y))}
    update(root, **{f"camera_angle_{axis}": angle for axis, angle in angles.items()})
    edit(root, lambda v: [v.pop(key) for key in ("fl_x", "fl_y")])
    assert "call it x_fov, which is in degrees" in only_failure(read_scene(root))
    edit(root, lambda v: [v.update({f"{a}_fov": v.pop(f"camera_angle_{a}")}) for a in "xy"])
    assert_true_cameras(read_scene(root))


def test_an_angle_in_radians_is_not_taken_for_degrees(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), x_fov=ANGLE_X, y_fov=ANGLE_Y)
    edit(root, lambda v: [v.pop(key) for key in ("fl_x", "fl_y")])
    message = only_failure(read_scene(root))
    assert "x_fov = 0.979" in message
    assert "as radians it would be 56.1°" in message
    edit(root, lambda v: [v.update({f"camera_angle_{a}": v.pop(f"{a}_fov")}) for a in "xy"])
    assert_true_cameras(read_scene(root))


def test_shares_of_the_picture_become_pixels(tmp_path: Path) -> None:
    shares = {"fl_x": 60 / 64, "fl_y": 61 / 48, "cx": 0.5, "cy": 23.75 / 48}
    root = update(scenes.write_nerfstudio(tmp_path), **shares)
    message = only_failure(read_scene(root))
    assert "multiply fx and cx by the width, fy and cy by the height" in message
    by = {"fl_x": 64, "fl_y": 48, "cx": 64, "cy": 48}
    assert_true_cameras(read_scene(update(root, **{k: v * by[k] for k, v in shares.items()})))


def opencv_poses(values: dict[str, Any]) -> None:
    flip = np.diag([1.0, -1, -1, 1])
    for entry in values["frames"]:
        entry["transform_matrix"] = (np.array(entry["transform_matrix"]) @ flip).tolist()


@pytest.mark.parametrize(
    "key", ["coordinate_system", "convention", "pose_convention", "camera_coordinates"]
)
def test_axes_under_other_keys_are_honoured(key: str, tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), **{key: "OpenCV"})
    edit(root, opencv_poses)
    scene = read_scene(root)
    assert_true_cameras(scene)
    assert key not in " ".join(scene.notes)
    assert f"{key} = 'left-handed'" in only_failure(
        read_scene(update(root, **{key: "left-handed"}))
    )
    assert_true_cameras(read_scene(root, axes="opencv"))  # its remedy


def test_poses_said_to_point_the_other_way_are_refused(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), pose_type="c2w")
    assert_true_cameras(read_scene(root))

    def invert(values: dict[str, Any]) -> None:
        for entry in values["frames"]:
            entry["transform_matrix"] = np.linalg.inv(entry["transform_matrix"]).tolist()

    edit(update(root, pose_type="world_to_camera"), invert)
    for options in ({}, {"axes": "opengl"}):
        message = only_failure(read_scene(root, **options))
        assert "invert every transform_matrix and take pose_type out" in message
    edit(root, invert)
    edit(root, lambda v: v.pop("pose_type"))
    assert_true_cameras(read_scene(root))


@pytest.mark.parametrize("model", ["opencv", "perspective", "Pinhole"])
def test_camera_models_in_any_spelling(model: str, tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), camera_model=model)
    assert_true_cameras(read_scene(root))


def test_a_negative_focal_length_alone_is_not_called_unsquare(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), fl_y=-61.0)
    assert not [note for note in read_scene(root).notes if "not square" in note]


def test_pixels_that_are_not_square_are_noted(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), fl_y=90.0)
    (note,) = [note for note in read_scene(root).notes if "not square" in note]
    assert "fx 60 and fy 90" in note


def test_intrinsics_of_another_size_are_refused_until_it_is_stated(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    update(root, **{key: 4 * scenes.INTRINSICS[key] for key in ("fl_x", "fl_y", "cx", "cy")})
    edit(root, lambda v: [v.pop(key) for key in "wh"])
    message = only_failure(read_scene(root))
    assert "is the middle of a picture of 256×192, the picture is 64×48" in message
    assert "add w and h" in message
    scene = read_scene(update(root, w=256, h=192))
    assert_true_cameras(scene)
    assert "w and h say 256×192, the pictures are 64×48 (w×h): K is scaled to them" in scene.notes


def test_w_and_h_beside_a_principal_point_of_another_size_are_noted(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), cx=16.0, cy=12.0)
    assert any("cx and cy, or w and h, that is wrong?" in note for note in read_scene(root).notes)


@pytest.mark.parametrize("focal, degrees", [(0.9, "177"), (20_000.0, "0.183")])
def test_fields_of_view_beyond_reason(focal: float, degrees: str, tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), fl_x=focal, fl_y=focal)
    assert f"are a field of view of {degrees}° × " in only_failure(read_scene(root))


def test_negative_focal_lengths_are_read_as_the_same_picture(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), fl_y=-61.0)
    flip = np.diag([1.0, -1, 1, 1])

    def mirror(values: dict[str, Any]) -> None:
        for entry in values["frames"]:
            entry["transform_matrix"] = (flip @ entry["transform_matrix"] @ flip).tolist()

    edit(root, mirror)
    scene = read_scene(root)
    assert_true_cameras(scene)
    assert any(note.startswith("focal lengths 60, -61: a negative one") for note in scene.notes)


def test_intrinsics_of_frames_beside_other_ones_at_the_top_are_noted(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: [entry.update(fl_x=60.0, fl_y=61.0) for entry in v["frames"]])
    assert not any("differ from those at the top" in note for note in read_scene(root).notes)
    scene = read_scene(update(root, fl_x=30.0))
    assert_true_cameras(scene)
    assert any(note.startswith("fl_x of frames differ from") for note in scene.notes)


def test_two_scales_of_depth(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    update(root, depth_unit_scale_factor=0.001, integer_depth_scale=1 / 5000)
    message = only_failure(read_scene(root))
    assert "depth_unit_scale_factor = 0.001 and integer_depth_scale = 0.0002" in message
    assert_true_cameras(read_scene(root, depth_scale=0.001))
    assert_true_cameras(read_scene(update(root, integer_depth_scale=0.001)))


# poses that are equivalent


@pytest.mark.parametrize("last", [1.0, 4.0])
def test_scaled_poses_are_read_and_noted(last: float, tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)

    def scale(values: dict[str, Any]) -> None:
        for entry in values["frames"]:
            matrix = np.array(entry["transform_matrix"]) @ np.diag([2.5, 2.5, 2.5, 1])
            entry["transform_matrix"] = (last * matrix).tolist()

    edit(root, scale)
    scene = read_scene(root)
    assert_true_cameras(scene)
    assert any("multiplied by 2.5; the factor was taken out" in note for note in scene.notes)


# keys that change meaning


def write_axes(root: Path, stated_from_opencv: np.ndarray, **keys: Any) -> Path:
    scenes.write_nerfstudio(root)

    def turn(values: dict[str, Any]) -> None:
        values.update(keys)
        truth = {f"./images/frame_{i + 1:05d}.png": f for i, f in enumerate(true_frames())}
        for entry in values["frames"]:
            pose = np.linalg.inv(truth[entry["file_path"]].camera.cam_from_world)
            entry["transform_matrix"] = (pose @ np.linalg.inv(stated_from_opencv)).tolist()

    edit(root, turn)
    return root


OPENCV, OPENGL = np.eye(4), np.diag([1.0, -1, -1, 1])


@pytest.mark.parametrize(
    "axes, keys, options",
    [
        (OPENCV, {"camera_convention": "opencv"}, {}),
        (OPENCV, {"camera_convention": "OpenCV"}, {}),
        (OPENGL, {"camera_convention": "opengl"}, {}),
        (OPENGL, {}, {}),
        (OPENCV, {}, {"axes": "opencv"}),
        (OPENGL, {"camera_convention": "opencv"}, {"axes": "opengl"}),
        (np.diag([-1.0, -1, 1, 1]), {"from_mitsuba": True}, {}),
        (OPENCV, {"from_na": True}, {}),
    ],
)
def test_axes_are_those_that_the_file_states(
    axes: np.ndarray, keys: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    assert_true_cameras(read_scene(write_axes(tmp_path, axes, **keys), **options))


def test_axes_of_unknown_meaning_are_refused_until_they_are_chosen(tmp_path: Path) -> None:
    root = write_axes(tmp_path, OPENCV, camera_convention="x right, y down")
    message = only_failure(read_scene(root))
    assert "camera_convention = 'x right, y down'; expected one convention" in message
    assert_true_cameras(read_scene(root, axes="opencv"))
    update(root, camera_convention="opengl", from_na=True)
    assert "'opengl' and from_na = true" in only_failure(read_scene(root))


@pytest.mark.parametrize(
    "keys, option, unit",
    [
        ({}, None, "arbitrary"),
        ({"scale_type": "metric"}, None, "metre"),
        ({"scale_type": "colmap"}, None, "arbitrary"),
        ({"scale_type": "metric"}, "arbitrary", "arbitrary"),
    ],
)
def test_unit(keys: dict[str, str], option: str | None, unit: str, tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), **keys)
    assert read_scene(root, **({} if option is None else {"unit": option})).unit == unit


def test_keys_that_are_not_read_are_named_once(tmp_path: Path) -> None:
    root = update(scenes.write_nerfstudio(tmp_path), aabb_scale=4, scale=0.5)
    edit(root, lambda v: v["frames"][0].update(sharpness=3))
    (note,) = [note for note in read_scene(root).notes if "not read" in note]
    assert note == (
        "transforms.json: keys that are not read: aabb_scale, ply_file_path, scale; "
        "in frames: colmap_im_id, sharpness"
    )


@pytest.mark.parametrize(
    "keys, says",
    [
        ({"rolling_shutter": [0, 0, 0.5, 0]}, "rows are taken from different poses"),
        (
            {"transform_matrix": None, "transform_matrix_start": np.eye(4).tolist()},
            "the camera moves while the picture is exposed",
        ),
    ],
)
def test_pictures_of_moving_cameras_are_refused(
    keys: dict[str, Any], says: str, tmp_path: Path
) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v["frames"][1].update(keys))
    (failure,) = read_scene(root).failures
    assert failure.reason == Reason.BAD_POSE
    assert says in failure.message


def test_flagged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v["frames"][1].update(is_bad=True))
    scene = read_scene(root)
    assert [frame.frame_id[-9:] for frame in scene.frames] == ["00002.png", "00003.png"]
    (unused,) = scene.unused
    assert (unused.count, unused.examples) == (1, ("images/frame_00001.png",))
    assert "-o skip_bad=false" in unused.what
    kept = read_scene(root, skip_bad=False)
    assert_true_cameras(kept)
    assert not kept.unused


def test_test_frames_are_frames_and_a_split(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, lambda v: v.update(test_frames=[v["frames"].pop()]))
    assert_true_cameras(read_scene(root))
    (test,) = read_scene(root, split="test").frames
    train = read_scene(root, split="train").frames
    assert {test.frame_id, *(frame.frame_id for frame in train)} == {
        f"images/frame_0000{i}.png" for i in (1, 2, 3)
    }
    assert len(train) == 2
    with pytest.raises(DataError, match="no split 'val'"):
        read_scene(root, split="val")


# several files, and files elsewhere


def test_several_recordings_in_one_folder_are_all_named(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    for name in ("left", "right"):
        shutil.copy(root / "transforms.json", root / f"transforms_{name}.json")
    assert "transforms_left.json, transforms_right.json not read: -o file=NAME" in " ".join(
        read_scene(root).notes
    )
    (root / "transforms.json").unlink()
    assert source_spec("nerfstudio").recognise(root)
    with pytest.raises(DataError) as caught:
        read_scene(root)
    assert "2 recordings: transforms_left.json, transforms_right.json" in str(caught.value)
    assert "-o file=transforms_left.json" in str(caught.value)
    assert_true_cameras(read_scene(root, file="transforms_left.json"))
    (root / "transforms_right.json").unlink()
    assert_true_cameras(read_scene(root))  # the one that there is


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a folder with other\.json"):
        read_scene(scenes.write_nerfstudio(tmp_path), file="other.json")


def write_scannetpp(dslr: Path) -> Path:
    """As ScanNet++'s toolkit leaves it: names without folders, pictures one folder up."""
    frames = []
    for i, frame in enumerate(true_frames()):
        save(dslr / f"undistorted_images/DSC{i}.png", frame.bgr)
        save(dslr / f"undistorted_anon_masks/DSC{i}.png", np.full(HW, 255, np.uint8))
        save(dslr / f"resized_images/DSC{i}.png", frame.bgr)
        entry = {"file_path": f"DSC{i}.png", "mask_path": f"DSC{i}.png", "is_bad": False}
        frames.append({**entry, "transform_matrix": opengl(frame.camera)})
    values = {**scenes.INTRINSICS, "camera_model": "PINHOLE", "frames": frames[:2]}
    values |= {"test_frames": frames[2:], "has_mask": True}
    scenes.write_json(dslr / "nerfstudio", values, "transforms_undistorted.json")
    fisheye = {**values, "camera_model": "OPENCV_FISHEYE", "k1": 0.1}
    scenes.write_json(dslr / "nerfstudio", fisheye)
    return dslr


@pytest.mark.parametrize("root", [".", "8b5c", "8b5c/dslr", "8b5c/dslr/nerfstudio"])
def test_scannetpps_undistorted_pictures(root: str, tmp_path: Path) -> None:
    write_scannetpp(tmp_path / "8b5c/dslr")
    assert source_spec("nerfstudio").recognise(tmp_path / root)
    scene = read_scene(tmp_path / root)
    assert_true_cameras(scene)
    assert [frame.frame_id for frame in scene.frames] == ["DSC0.png", "DSC1.png", "DSC2.png"]
    assert scene.frames[0].image_path.parent.name == "undistorted_images"
    assert all(view.mask is not None for view in views_of(scene, with_depth=False))
    assert "transforms.json not read: -o file=NAME reads another file" in scene.notes


def test_scannetpps_published_pictures_and_its_own_source_first(tmp_path: Path) -> None:
    dslr = write_scannetpp(tmp_path / "8b5c/dslr")
    scene = read_scene(dslr, file="transforms.json", images="resized_images")
    assert scene.frames[0].image_path.parent.name == "resized_images"
    assert scene.frames[0].distortion is not None
    (dslr / "colmap").mkdir()
    (dslr / "colmap/cameras.txt").write_text("# COLMAP\n")
    for root in (tmp_path, tmp_path / "8b5c"):
        assert source_spec("scannetpp").recognise(root)
        assert not source_spec("nerfstudio").recognise(root)


def rename(to: Callable[[str], str], *keys: str) -> Callable[[dict[str, Any]], None]:
    """Paths of all entries, written otherwise; by default those of the pictures."""

    def act(values: dict[str, Any]) -> None:
        for entry in values["frames"]:
            for key in keys or ("file_path",):
                entry[key] = to(entry[key].removeprefix("./"))

    return act


@pytest.mark.parametrize(
    "start",
    [
        "/home/someone/data/scene/",
        "C:\\Users\\someone\\scene\\",
        "~/data/scene/",
        "../scene/",
        "data/scene/",
    ],
)
def test_moved_scenes_are_found_by_the_ends_of_their_paths(start: str, tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    keys = ("file_path", "depth_file_path", "mask_path")
    edit(
        root, rename(lambda path: start + path.replace("/", "\\" if "\\" in start else "/"), *keys)
    )
    scene = read_scene(root)
    assert_true_cameras(scene)
    assert [f.frame_id for f in scene.frames] == [f"images/frame_0000{i}.png" for i in (1, 2, 3)]
    for view, truth in zip(views_of(scene), true_frames(), strict=True):
        np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])
        assert view.mask is not None
    found = [note for note in scene.notes if "3 paths start outside the scene's folder" in note]
    assert {note.split(":")[0] for note in found} == set(keys)


def test_absolute_paths_inside_the_scene_do_not_become_ids(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, rename(lambda path: str(root / path)))
    scene = read_scene(root)
    assert_true_cameras(scene)
    assert [f.frame_id for f in scene.frames] == [f"images/frame_0000{i}.png" for i in (1, 2, 3)]
    scenes.write_images(root, "images_2", step=2)
    reduced = read_scene(root, images="images_2")
    assert {f.frame_id for f in reduced.frames} == {f"frame_0000{i}.png" for i in (1, 2, 3)}
    (root / "images/frame_00001.png").unlink()
    (failure,) = read_scene(root).failures
    assert str(tmp_path.parent) not in json.dumps(failure.record())
    assert failure.reason == Reason.MISSING_FILE


def test_moved_reduced_pictures(tmp_path: Path) -> None:
    root = scenes.write_dl3dv(tmp_path)
    edit(root, rename(lambda path: f"/home/someone/1K/0a1b/{path}"))
    scene = read_scene(root)
    assert_true_cameras(scene)
    assert scene.frames[0].image_path.parent.name == "images_4"
    assert scene.frames[0].frame_id == "images/frame_00001.png"


def test_splits_of_moved_scenes(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    edit(root, rename(lambda path: f"/home/someone/data/{path}"))
    update(root, test_filenames=["/home/someone/data/images/frame_00002.png"])
    (frame,) = read_scene(root, split="test").frames
    assert frame.frame_id == "images/frame_00002.png"


def test_names_without_a_folder(tmp_path: Path) -> None:
    """Found in the one folder that has them, never among depth maps of the same names."""
    root = scenes.write_nerfstudio(tmp_path)
    (root / "images").rename(root / "pictures")
    edit(root, rename(lambda path: path.rpartition("/")[2]))
    assert_true_cameras(read_scene(root))
    shutil.copytree(root / "pictures", root / "copies")
    failures = {failure.frame_id: failure for failure in read_scene(root).failures}
    assert len(failures) == 3
    message = failures["frame_00001.png"].message
    assert "may be copies/frame_00001.png or pictures/frame_00001.png" in message
    assert "choose a folder with -o images=FOLDER" in message
    assert_true_cameras(read_scene(root, images="pictures"))


def test_a_lost_picture_is_not_replaced_by_its_depth_map(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    for path in (root / "images").iterdir():
        shutil.copy(path, root / "depth" / path.name)
    (root / "images/frame_00001.png").unlink()
    (failure,) = read_scene(root).failures
    assert failure.reason == Reason.MISSING_FILE
    shutil.rmtree(root / "images")
    assert len(read_scene(root).failures) == 3


def test_recordings_below_a_root_are_all_scenes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scenes.write_nerfstudio(tmp_path / name)
    assert open_source("nerfstudio", tmp_path).scene_ids() == ["a", "b"]
    np.testing.assert_allclose(open_source("nerfstudio", tmp_path).scene("b").frames[0].camera.K, K)


# names and poses that differ in their writing alone


@pytest.mark.parametrize(
    "written, there",
    [
        ("frame_00001.PNG", "frame_00001.png"),
        ("my%20frame.png", "my frame.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("frame_00001.jpg", "frame_00001.png"),
    ],
)
def test_a_name_spelled_differently_is_told(written: str, there: str, tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    (root / "images/frame_00001.png").rename(root / "images" / there)

    def name(to: str) -> Callable[[dict[str, Any]], None]:
        return lambda v: v["frames"][1].update(file_path=f"images/{to}")

    edit(root, name(written))
    scene = read_scene(root)
    (failure,) = scene.failures
    assert f"{written} is missing, {there} is there" in failure.message
    assert f"correct the name in the data to {there}" in failure.message
    assert "pictures of another size" not in str(scene.unused)
    edit(root, name(there))  # its remedy
    assert not read_scene(root).failures


def test_a_missing_name_that_two_may_be_is_only_missing(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)
    for name in ("1.JPG", "1.png"):
        shutil.copy(root / "images/frame_00001.png", root / "images" / name)
    edit(root, lambda v: v["frames"][1].update(file_path="images/1.webp"))
    (failure,) = read_scene(root).failures
    assert "1.webp is missing; expected a file; restore it" in failure.message


def test_transposed_poses_are_told(tmp_path: Path) -> None:
    root = scenes.write_nerfstudio(tmp_path)

    def transpose(values: dict[str, Any]) -> None:
        for entry in values["frames"]:
            entry["transform_matrix"] = np.transpose(entry["transform_matrix"]).tolist()

    edit(root, transpose)
    message = only_failure(read_scene(root))
    assert "is a transposed matrix, its translation in the last row" in message
    assert message.endswith("transpose it")
    edit(root, transpose)
    assert_true_cameras(read_scene(root))
