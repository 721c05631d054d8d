"""Each published layout is recognised and gives the cameras and depths that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rgbd_recordings as recordings
from rgbd_recordings import HW, collect, true_frames

from cameo_data import transforms
from cameo_data.errors import DataError, Reason
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.rgbd import layouts
from cameo_data.types import Camera

WRITERS = {
    "7scenes": recordings.write_7scenes,
    "tum": recordings.write_tum,
    "scannet": recordings.write_scannet,
    "open3d": recordings.write_open3d,
    "dvmvs": recordings.write_dvmvs,
}
OPTIONS = {"7scenes": recordings.OPTIONS_7SCENES, "tum": {"intrinsics": recordings.INTRINSICS}}


@pytest.mark.parametrize("layout", WRITERS)
def test_layout_is_recognised_by_itself(layout: str, tmp_path: Path) -> None:
    folder = WRITERS[layout](tmp_path / "scene")
    found = layouts.recognise(folder)
    assert found is not None
    assert found.name == layout
    assert source_spec("rgbd").recognise(folder)
    assert source_spec("rgbd").recognise(tmp_path)


@pytest.mark.parametrize("layout", WRITERS)
def test_cameras_and_depths_are_those_written(layout: str, tmp_path: Path) -> None:
    collected = collect(WRITERS[layout](tmp_path / "scene"), OPTIONS.get(layout))
    assert not collected.failures
    for view, truth in zip(collected.views.values(), true_frames(), strict=True):
        np.testing.assert_allclose(view.camera.K, truth.camera.K, atol=1e-7)
        np.testing.assert_allclose(
            view.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-7
        )
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)
        assert view.encoded is not None
        if view.encoded.ext == "png":
            np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])
        else:
            assert np.abs(view.image - truth.bgr[..., ::-1].astype(float)).mean() < 12


@pytest.mark.parametrize("layout", WRITERS)
def test_frames_are_in_capture_order_beyond_nine(layout: str, tmp_path: Path) -> None:
    folder = WRITERS[layout](tmp_path / "scene", 12)
    scene = open_source("rgbd", folder, OPTIONS.get(layout)).scene("scene")
    centres = [frame.camera.world_from_cam[0, 3] for frame in scene.frames]
    assert centres == sorted(centres)
    assert len(centres) == 12


@pytest.mark.parametrize("color", ["image", "color", "rgb"])
def test_open3d_colour_folders(color: str, tmp_path: Path) -> None:
    assert len(collect(recordings.write_open3d(tmp_path, color=color)).views) == 3


def test_open3d_without_intrinsics_is_primesense(tmp_path: Path) -> None:
    folder = recordings.write_open3d(tmp_path / "scene")
    (folder / "camera_intrinsic.json").unlink()
    scene = open_source("rgbd", folder, {"intrinsics_size": "640x480"}).scene("scene")
    np.testing.assert_allclose(scene.frames[0].camera.K[0], [52.5, 0, 32.0])


def test_7scenes_poses_are_of_the_depth_camera(tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    recordings.save(folder / "frame-000000.color.jpg", np.zeros((480, 640, 3), np.uint8))
    recordings.save(folder / "frame-000000.depth.png", np.ones((480, 640), np.uint16))
    pose = transforms.invert(transforms.look_at((1, 2, 3), (0, 0, 0)))
    (folder / "frame-000000.pose.txt").write_text(recordings.lines(pose))
    (frame,) = open_source("rgbd", folder).scene("scene").frames
    np.testing.assert_allclose(frame.camera.K, [[525, 0, 320.5], [0, 525, 240.5], [0, 0, 1]])
    assert frame.depth is not None
    np.testing.assert_allclose(frame.depth.camera_K, [[585, 0, 320.5], [0, 585, 240.5], [0, 0, 1]])
    # the colour camera's centre lies 25 mm along the depth camera's x axis
    np.testing.assert_allclose(
        frame.camera.world_from_cam[:3, 3], pose[:3, 3] + 0.025 * pose[:3, 0], atol=1e-9
    )


@pytest.mark.parametrize(
    "name, fx, distorted",
    [
        ("rgbd_dataset_freiburg1_xyz", 517.3, True),
        ("rgbd_dataset_freiburg2_desk", 520.9, True),
        ("fr3_office", 535.4, False),
    ],
)
def test_tum_camera_by_folder_name(name: str, fx: float, distorted: bool, tmp_path: Path) -> None:
    folder = recordings.write_tum(tmp_path / name)
    for path in folder.glob("*/*.png"):
        recordings.save(path, np.ones((480, 640), np.uint16))
    frame = open_source("rgbd", folder).scene(name).frames[0]
    assert frame.camera.K[0, 0] == fx
    assert (frame.distortion is not None) == distorted


def test_tum_with_an_estimated_trajectory(tmp_path: Path) -> None:
    folder = recordings.write_tum(tmp_path / "desk")
    (folder / "groundtruth.txt").rename(folder / "estimated.txt")
    options = {"layout": "tum", "poses": "estimated.txt", "intrinsics": recordings.INTRINSICS}
    assert len(collect(folder, options).views) == 3


def test_tum_pose_is_interpolated_at_the_time_of_colour(tmp_path: Path) -> None:
    folder = recordings.write_tum(tmp_path / "desk")
    first = true_frames()[0].camera.world_from_cam
    rows = []
    # unsorted on purpose; 4 mm/ms along x, colour is taken a quarter of the way
    for time, shift in ((1305031102.015, 0.08), (1305031101.995, 0.0)):
        moved = first.copy()
        moved[0, 3] += shift
        camera = Camera(recordings.K, HW, transforms.invert(moved))
        rows.append(f"{time:.4f} {recordings.quaternion_line(camera)}")
    (folder / "groundtruth.txt").write_text("\n".join(rows))
    collected = collect(folder, {"intrinsics": recordings.INTRINSICS})
    (view,) = collected.views.values()
    np.testing.assert_allclose(
        view.camera.world_from_cam[:3, 3], first[:3, 3] + [0.02, 0, 0], atol=1e-6
    )


def test_tum_of_unknown_camera_says_what_to_give(tmp_path: Path) -> None:
    folder = recordings.write_tum(tmp_path / "desk")
    with pytest.raises(DataError, match="rgbd desk: recording of layout tum: intrinsics: field re"):
        open_source("rgbd", folder).scene("desk")


def test_folder_of_scenes_in_sequences(tmp_path: Path) -> None:
    recordings.write_7scenes(tmp_path / "chess/seq-02")
    recordings.write_7scenes(tmp_path / "chess/seq-10")
    recordings.write_7scenes(tmp_path / "office é.1/seq-01")
    (tmp_path / "notes").mkdir()
    source = open_source("rgbd", tmp_path, recordings.OPTIONS_7SCENES)
    assert source.scene_ids() == ["chess/seq-02", "chess/seq-10", "office é.1/seq-01"]
    assert len(source.scene("office é.1/seq-01").frames) == 3
    assert not source.failures


def test_scannet_scales_between_colour_and_depth_size(tmp_path: Path) -> None:
    """Depth of half the size with its own K lies over colour: one centre of projection."""
    folder = recordings.write_scannet(tmp_path / "scene")
    for i, frame in enumerate(true_frames()):
        recordings.save(folder / f"depth/{i}.png", frame.millimetres[::2, ::2])
    half = recordings.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    half[:2] /= 2  # pixel (0, 0) of the small image is pixel (0, 0) of the large one
    (folder / "intrinsic/intrinsic_depth.txt").write_text(recordings.lines(half))
    view = collect(folder).views["0"]
    truth = true_frames()[0].millimetres / 1000
    assert view.depth.hw == HW
    relative = np.abs(view.depth.z / truth - 1)[view.depth.valid]
    assert np.median(relative) < 1e-3
    assert view.depth.valid.mean() > 0.9


def test_no_recording_lists_the_layouts(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"no RGB-D recording in .*7scenes: frame-") as e:
        open_source("rgbd", tmp_path)
    assert e.value.failure.reason == Reason.MISSING_FILE
    assert not source_spec("rgbd").recognise(tmp_path)


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; expected the dataset's folder"):
        open_source("rgbd", tmp_path / "nowhere")
    assert not source_spec("rgbd").recognise(tmp_path / "nowhere")


def test_recordings_inside_a_recording_are_listed_too(tmp_path: Path) -> None:
    root = recordings.write_scannet(tmp_path / "rec")
    recordings.write_dvmvs(root / "second")
    recordings.write_dvmvs(root / "more/third")
    recordings.write_tum(root / "color/hidden")  # in a part of the recording: not looked for
    source = open_source("rgbd", root)
    assert source.scene_ids() == ["rec", "rec/more/third", "rec/second"]
    assert len(source.scene("rec/second").frames) == 3
    counted = [name for one in source.scene("rec").unused for name in one.examples]
    assert counted  # ScanNet's extrinsics; what the other recordings hold is theirs
    assert not [name for name in counted if name.startswith(("second/", "more/"))]
    assert open_source("rgbd", tmp_path).scene_ids() == source.scene_ids()


def test_a_folder_of_two_layouts_says_which_is_read(tmp_path: Path) -> None:
    folder = recordings.write_scannet(tmp_path / "rec")
    recordings.write_dvmvs(folder)
    options = {"intrinsics": recordings.INTRINSICS, "depth_intrinsics": recordings.INTRINSICS}
    (note,) = open_source("rgbd", folder, options).scene("rec").notes
    assert note.startswith("read as layout scannet, although it looks like dvmvs too")
    assert "give layout=dvmvs to read that" in note
    other = open_source("rgbd", folder, {"layout": "dvmvs"}).scene("rec")  # the remedy
    assert other.frames[0].image_path.parent.name == "images"
    assert not other.notes


@pytest.mark.parametrize("levels", ["", "chess", "7scenes/chess", "archive/7scenes/chess"])
def test_recognised_as_deep_as_listed(levels: str, tmp_path: Path) -> None:
    """The original 7-Scenes tree: chess/seq-01/frame-*.color.png below the root."""
    recordings.write_7scenes(tmp_path / levels / "seq-01")
    depth = len(Path(levels).parts) + 1
    assert source_spec("rgbd").recognise(tmp_path) == (depth <= 3)
    if depth <= 3:
        assert len(open_source("rgbd", tmp_path).scene_ids()) == 1
    else:
        with pytest.raises(DataError):
            open_source("rgbd", tmp_path)
