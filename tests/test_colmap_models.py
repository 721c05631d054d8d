"""COLMAP models as people and other tools write them: incomplete, by hand, with wild numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build_scenes import recipe
from colmap_recordings import (
    HW,
    LENSES,
    PINHOLE,
    K,
    names,
    pose_words,
    poses,
    to_binary,
    write_dense,
    write_sparse,
    write_text_model,
)

from cameo_data.build import build
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.sources import open_source
from cameo_data.types import Lens, Scene, Unused


def read(root: Path, **options: Any) -> Scene:
    """The only scene."""
    source = open_source("colmap", root, options)
    (scene_id,) = source.scene_ids()
    return source.scene(scene_id)


def assert_whole(scene: Scene, frame_ids: list[str] | None = None) -> None:
    """Every frame, with the pose that was written."""
    assert scene.failures == ()
    assert [frame.frame_id for frame in scene.frames] == (frame_ids or names())
    for frame, pose in zip(scene.frames, poses(), strict=True):
        assert np.abs(frame.camera.cam_from_world - pose).max() < 1e-12


def as_text(root: Path) -> Path:
    """The dense workspace's model as text; its folder."""
    shutil.rmtree(root / "sparse")
    return write_text_model(root / "sparse", PINHOLE, poses())


def rewrite(path: Path, pattern: str, new: str, count: int = 0) -> None:
    text = path.read_text()
    changed = re.sub(pattern, new, text, count=count, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed)


# images.txt by hand


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_images_txt_without_its_empty_lines_keeps_every_frame(ending, tmp_path):
    root = write_sparse(tmp_path / "s")
    model = write_text_model(root / "sparse/0", PINHOLE, poses(), tracks=False)
    path = model / "images.txt"
    lines = [line for line in path.read_text().splitlines() if line]
    assert len(lines) == 1 + 3
    path.write_text((ending or "\n").join(lines) + ending)
    scene = read(root)
    assert_whole(scene)
    assert scene.notes == (
        "images.txt lacks the second line, of keypoints, for 3 of 3 images; they are read as "
        "images without keypoints",
    )
    assert scene.matches is None


def test_only_some_second_lines_are_left_out(tmp_path):
    """An editor strips empty lines only: the other images keep their keypoints and tracks."""
    root = write_sparse(tmp_path / "s")
    path = root / "sparse/0/images.txt"
    before = read(root).matches.between("view1.png", "view2.png")
    lines = path.read_text().splitlines()
    del lines[6]  # the keypoints of view3.png
    path.write_text("\n".join(lines) + "\n")
    points = root / "sparse/0/points3D.txt"
    rewrite(points, r" 3 \d+(?= |$)", "")  # in tracks: image 3 and the place of its keypoint
    scene = read(root)
    assert_whole(scene)
    assert "for 1 of 3 images" in scene.notes[0]
    after = scene.matches.between("view1.png", "view2.png")
    assert len(before.xy0) == len(after.xy0) > 15
    assert np.array_equal(before.xy1, after.xy1)
    assert len(scene.matches.between("view1.png", "view3.png").xy0) == 0


@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize(
    "name", ["my photo 1.png", "IMG (1).png", "tab\there.png", "sub folder/two  spaces.png"]
)
def test_names_with_spaces_in_text_models(name, tracks, tmp_path):
    root = write_sparse(tmp_path / "s")
    write_text_model(root / "sparse/0", PINHOLE, poses(), tracks=tracks)
    rewrite(root / "sparse/0/images.txt", "view1.png", name.replace("\t", "\\t"))
    target = root / "images" / name
    target.parent.mkdir(exist_ok=True)
    (root / "images/view1.png").rename(target)
    scene = read(root)
    if "\t" in name:  # a name that no report can print is refused, for itself alone
        assert [failure.reason for failure in scene.failures] == [Reason.BAD_NAME]
        assert len(scene.frames) == 2
        return
    assert {frame.frame_id for frame in scene.frames} == {name, *names()[1:]}
    assert scene.failures == scene.notes == scene.unused == ()
    if tracks:
        assert len(scene.matches.between(name, "view3.png").xy0) > 15


@pytest.mark.parametrize(
    "pattern, new, message",
    [
        (r"^2 .*$", "2 1 0 0", "images.txt line 4 is '2 1 0 0'"),
        (r"^2 ", "1 ", "images.txt line 4 is image id 1 again; expected each id once"),
        (r" 7 view2.png$", " 7", "images.txt line 4 is "),
        (r" 7 view2.png$", " seven view2.png", "images.txt line 4 is "),
    ],
)
def test_a_line_that_is_neither_image_nor_keypoints_is_named(pattern, new, message, tmp_path):
    root = write_sparse(tmp_path / "s")
    rewrite(root / "sparse/0/images.txt", pattern, new)
    with pytest.raises(DataError) as caught:
        read(root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_byte_order_marks_and_windows_line_ends_in_every_file(tmp_path):
    root = write_dense(tmp_path / "dense")
    folder = as_text(root)
    for name in ("cameras", "images", "points3D"):
        path = folder / f"{name}.txt"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert_whole(read(root))


def test_comments_and_a_byte_order_mark_in_images_txt(tmp_path):
    root = write_sparse(tmp_path / "s")
    model = write_text_model(root / "sparse/0", PINHOLE, poses(), tracks=False)
    lines = [line for line in (model / "images.txt").read_text().splitlines() if line]
    text = "\ufeff" + "\n# by hand\n".join(lines[1:])
    (model / "images.txt").write_text(text, encoding="utf-8")
    assert_whole(read(root))


@pytest.mark.parametrize(
    "name, reason",
    [
        (b"a\xff.png", Reason.BAD_NAME),
        (b"a\x07b.png", Reason.BAD_NAME),
        (b"/etc/passwd", Reason.BAD_NAME),
        (b"../../other.png", Reason.BAD_NAME),
        (b"..", Reason.MISSING_FILE),
        (b"x" * 300 + b".png", Reason.UNREADABLE_IMAGE),
        (b"x/" * 3000 + b"a.png", Reason.UNREADABLE_IMAGE),
        (b"x" * 246 + b".png", Reason.NO_DEPTH),  # a picture may be so called, its depth may not
    ],
)
@pytest.mark.parametrize("form", ["text", "binary"])
def test_hostile_names_fail_for_themselves_alone(form, name, reason, tmp_path):
    root = write_dense(tmp_path / "s")
    path = as_text(root) / "images.txt"
    if form == "binary":
        to_binary(path.parent, path.parent)
        path = path.with_suffix(".bin")
    path.write_bytes(path.read_bytes().replace(b"view1.png", name))
    if reason == Reason.NO_DEPTH:
        (root / "images/view1.png").rename(root / "images" / name.decode())
    scene = read(root)
    assert [frame.frame_id for frame in scene.frames] == names()[1:]
    (failure,) = scene.failures
    assert failure.reason == reason
    assert failure.message.isprintable()


# Models without points, rigs or frames


@pytest.mark.parametrize("points", ["", "# none\n", None])
@pytest.mark.parametrize("tracks", [True, False])
def test_text_points_are_not_needed_beside_depth_maps(points, tracks, tmp_path):
    root = write_dense(tmp_path / "s")
    model = as_text(root)
    write_text_model(model, PINHOLE, poses(), tracks=tracks)
    (model / "points3D.txt").unlink()
    if points is not None:
        (model / "points3D.txt").write_text(points)
    scene = read(root)
    assert_whole(scene)
    assert all(frame.depth is not None for frame in scene.frames)
    assert scene.matches is None
    assert ("no points3D.txt" in " ".join(scene.notes)) == (points is None)
    result = build(recipe(root, source={"name": "colmap", "root": str(root)}), tmp_path / "out")
    assert result.samples > 0


def test_binary_points_are_not_needed_beside_depth_maps(tmp_path):
    root = write_dense(tmp_path / "s")
    path = root / "sparse/points3D.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    scene = read(root)
    assert_whole(scene)
    assert scene.notes == (
        "tracks of the model are not read: points3D.bin is cut short after 100 bytes",
    )
    path.unlink()
    assert_whole(read(root))
    assert "no points3D.bin" in read(root).notes[0]
    path.write_bytes(whole[:100])
    with pytest.raises(DataError, match=r"points3D\.bin is cut short"):
        read(root, depth="none")  # where tracks stand in for depth, they are needed


@pytest.mark.parametrize("form", ["text", "binary"])
def test_cameras_and_images_alone_are_posed_pictures(form, tmp_path):
    """As converters of SLAM and splatting tools write them."""
    root = write_sparse(tmp_path / "s")
    model = write_text_model(root / "sparse/0", PINHOLE, poses(), tracks=False)
    if form == "binary":
        to_binary(model, model)
        for path in model.glob("*.txt"):
            path.unlink()
    for path in model.glob("points3D.*"):
        path.unlink()
    scene = read(root)
    assert_whole(scene)
    assert scene.matches is None
    assert len(scene.notes) == 1


@pytest.mark.parametrize("missing", ["rigs", "frames"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_rigs_without_frames_and_the_reverse(missing, how, tmp_path):
    root = write_sparse(tmp_path / "s")
    model = root / "sparse/0"
    to_binary(model, model)
    path = model / f"{missing}.bin"
    path.unlink()
    if how == "empty":
        path.touch()
    scene = read(root)
    assert_whole(scene)
    other = {"rigs": "frames", "frames": "rigs"}[missing]
    assert scene.notes == (
        f"{other}.bin is not read, since rigs and frames belong together; poses are those in "
        "images.bin",
    )
    assert len(scene.matches.between("view1.png", "view3.png").xy0) > 15


def test_a_lost_file_of_rigs_is_not_read_as_poses_that_are_all_the_same(tmp_path):
    """Where frames state the poses, tools may leave those of the images blank."""
    root = write_sparse(tmp_path / "s")
    model = root / "sparse/0"
    rows = [f"{n} 1 {pose_words(pose)} 1 CAMERA 7 {n}" for n, pose in enumerate(poses(), 1)]
    write_text_model(model, PINHOLE, poses(), tracks=False)
    for pose in poses():
        rewrite(model / "images.txt", re.escape(pose_words(pose)), "1 0 0 0 0 0 0")
    (model / "frames.txt").write_text("\n".join(rows) + "\n")
    (model / "rigs.txt").write_text("1 1 CAMERA 7\n")
    assert_whole(read(root))
    (model / "rigs.txt").rename(tmp_path / "rigs.txt")
    with pytest.raises(DataError, match=r"frames.txt without rigs.txt, and every image"):
        read(root)
    (tmp_path / "rigs.txt").rename(model / "rigs.txt")  # the remedy
    assert_whole(read(root))


# Tracks that disagree


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("0.1 1 0", "0.1 77 0", "Image with ID 77 does not exist"),
        ("0.1 1 0", "0.1 1 1", "point2D.point3D_id == point3D_id (2 vs. 1)"),
    ],
)
def test_tracks_that_disagree_keep_colmaps_own_reason(old, new, reason, tmp_path):
    root = write_sparse(tmp_path / "s")
    points = root / "sparse/0/points3D.txt"
    rewrite(points, old, new)
    with pytest.raises(DataError) as caught:
        read(root)
    assert reason in str(caught.value)
    assert "cut short" not in str(caught.value)
    assert "remove points3D.txt to read cameras and images alone" in str(caught.value)
    points.unlink()  # the remedy
    assert_whole(read(root))


def test_tracks_that_disagree_do_no_harm_beside_depth_maps(tmp_path):
    root = write_dense(tmp_path / "s")
    rewrite(as_text(root) / "points3D.txt", "0.1 1 0", "0.1 77 0")
    scene = read(root)
    assert_whole(scene)
    assert scene.matches is None
    assert "COLMAP says: Image with ID 77 does not exist" in scene.notes[0]


# Wild numbers


@pytest.mark.parametrize(
    "old, new, found",
    [
        ("60.0", "0", "PINHOLE camera is a matrix with focal lengths 0, 61"),
        ("60.0", "-5", "focal lengths -5, 61"),
        ("60.0", "1e-300", "focal lengths 1e-300, 61"),
        ("32.0", "1e19", "a matrix with an entry of 1e+19 pixels"),
        ("32.0", "-1.8e19", "a matrix with an entry of -1.8e+19 pixels"),
        ("PINHOLE 64", "PINHOLE 0", "camera of 0×48 pixels (w×h)"),
        ("PINHOLE 64", "PINHOLE 99999999999", "camera of 99999999999×48 pixels (w×h)"),
    ],
)
@pytest.mark.parametrize("form", ["text", "binary"])
def test_wild_cameras_are_counted_failures_of_their_frames(form, old, new, found, tmp_path):
    root = write_sparse(tmp_path / "s")
    model = root / "sparse/0"
    cameras = (model / "cameras.txt").read_text()
    wild = cameras.splitlines()[-1].replace("7 PINHOLE", "8 PINHOLE", 1).replace(old, new)
    (model / "cameras.txt").write_text(cameras + wild + "\n")
    rewrite(model / "images.txt", " 7 view2.png", " 8 view2.png")
    if form == "binary":
        to_binary(model, model)
    scene = read(root)
    assert [frame.frame_id for frame in scene.frames] == ["view1.png", "view3.png"]
    (failure,) = scene.failures
    assert (failure.frame_id, failure.reason) == ("view2.png", Reason.BAD_INTRINSICS)
    assert found in failure.message


def test_a_wild_camera_does_not_end_a_build(tmp_path):
    root = write_dense(tmp_path / "s", count=4)
    model = write_text_model(root / "text", PINHOLE, poses(4))
    shutil.rmtree(root / "sparse")
    model.rename(root / "sparse")
    cameras = root / "sparse/cameras.txt"
    cameras.write_text(cameras.read_text() + "8 PINHOLE 64 48 60 61 1.8e19 23.75\n")
    rewrite(root / "sparse/images.txt", " 7 view2.png", " 8 view2.png")
    source = {"name": "colmap", "root": str(root)}
    result = build(recipe(root, source=source, max_failures=0.5), tmp_path / "out")
    assert result.samples > 0


@pytest.mark.parametrize("lens", ["PINHOLE", "OPENCV"])
def test_numbers_that_are_not_finite_name_their_camera(lens, tmp_path):
    root = write_sparse(tmp_path / "s", Lens(lens, LENSES[lens], HW))
    rewrite(root / "sparse/0/cameras.txt", r"32\.0", "nan")
    with pytest.raises(DataError, match="camera 7 has a parameter nan") as caught:
        read(root)
    assert caught.value.failure.reason == Reason.BAD_INTRINSICS


def test_a_lens_that_shows_nothing_is_a_failure_and_no_black_picture(tmp_path):
    root = write_sparse(tmp_path / "s", Lens("SIMPLE_RADIAL", LENSES["SIMPLE_RADIAL"], HW))
    rewrite(root / "sparse/0/cameras.txt", r"-0\.15", "1e300")
    frame = read(root).frames[0]
    with pytest.raises(DataError, match="shows no pixel of its 64×48 image") as caught:
        read_view(frame, dataset="colmap", scene_id="s", with_depth=False)
    assert caught.value.failure.reason == Reason.BAD_INTRINSICS


# What the model does not name


def test_pictures_depth_maps_and_masks_that_the_model_does_not_name_are_counted(tmp_path):
    root = write_dense(tmp_path / "s", count=5)
    for name in names(5):
        (root / "masks").mkdir(exist_ok=True)
        shutil.copy(root / "images" / name, root / "masks" / f"{name}.png")
    as_text(root)  # three images
    (root / "stereo/depth_maps/view1.png.photometric.bin").touch()
    (root / "database.db").touch()
    scene = read(root)
    assert_whole(scene)
    assert scene.unused == (
        Unused(
            "pictures that the model does not register",
            2,
            ("images/view4.png", "images/view5.png"),
        ),
        Unused(
            "masks of pictures that the model does not register",
            2,
            ("masks/view4.png.png", "masks/view5.png.png"),
        ),
        Unused(
            "depth maps of pictures that the model does not register",
            2,
            (
                "stereo/depth_maps/view4.png.geometric.bin",
                "stereo/depth_maps/view5.png.geometric.bin",
            ),
        ),
        Unused(
            "depth maps of another kind (choose it with -o depth=…)",
            1,
            ("stereo/depth_maps/view1.png.photometric.bin",),
        ),
        Unused("other files, which this source does not read", 1, ("database.db",)),
    )


def test_a_frame_that_fails_is_not_counted_twice(tmp_path):
    root = write_dense(tmp_path / "s")
    rewrite(as_text(root) / "cameras.txt", "60.0", "0")
    scene = read(root)
    assert len(scene.failures) == 3
    assert scene.unused == ()


def test_a_whole_project_leaves_nothing_unused(tmp_path):
    assert read(write_sparse(tmp_path / "s")).unused == ()
    assert np.array_equal(read(tmp_path / "s").frames[0].camera.K, K)


@pytest.mark.parametrize(
    "prefix", ["/home/someone/capture/images/", "images/", "C:/capture/images/"]
)
def test_names_with_the_path_of_another_machine_are_found_by_their_end(
    prefix: str, tmp_path: Path
) -> None:
    plain, moved = write_sparse(tmp_path / "plain"), write_sparse(tmp_path / "moved")
    shutil.rmtree(moved / "sparse")
    text = write_text_model(tmp_path / "text", PINHOLE, poses())
    rewrite(text / "images.txt", r" (\S+\.(?:png|jpg))$", rf" {prefix}\1")
    to_binary(text, moved / "sparse" / "0")
    expected, scene = read(plain), read(moved)
    assert_whole(scene, [frame.frame_id for frame in expected.frames])
    assert any("found by the end of the path" in note for note in scene.notes)
    assert "someone" not in repr((scene.notes, scene.frames, scene.failures, scene.unused)).replace(
        str(tmp_path), ""
    )
    one, two = (frame.frame_id for frame in scene.frames[:2])
    assert scene.matches is not None
    assert expected.matches is not None
    assert len(scene.matches.between(one, two).xy0) == len(expected.matches.between(one, two).xy0)
    (moved / "images" / one).unlink()
    (failure,) = read(moved).failures
    assert "someone" not in failure.message.replace(str(tmp_path), "")
