"""WildRGB-D: what was written in its layout is read; every misfit is one failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rgbd_recordings import HW, K, save, true_frames

from cameo_data.camera import project, query_xy, unproject
from cameo_data.correspondence import correspond
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.frames import read_view
from cameo_data.sources import open_source, source_spec
from cameo_data.types import Verdict, View

SCENE = "apple/scene_000"


def write_scene(folder: Path, count: int = 3) -> Path:
    poses = ""
    for i, frame in enumerate(true_frames(count)):
        save(folder / f"rgb/{i:05d}.png", frame.bgr)
        save(folder / f"depth/{i:05d}.png", frame.millimetres)
        mask = np.zeros(HW, np.uint8)
        mask[:, 20:] = 255
        save(folder / f"masks/{i:05d}.png", mask)
        numbers = " ".join(f"{v:.9f}" for v in frame.camera.world_from_cam.ravel())
        poses += f"{i} {numbers}\n"
    (folder / "cam_poses.txt").write_text(poses)
    metadata = {"w": HW[1], "h": HW[0], "K": K.T.ravel().tolist(), "fps": 60}
    (folder / "metadata").write_text(json.dumps(metadata))
    return folder


def write_dataset(root: Path) -> Path:
    """Three apples and a pear, with lists."""
    for name in ("apple/scenes/scene_000", "apple/scenes/scene_002", "apple/scenes/scene_010"):
        write_scene(root / name, 2)
    write_scene(root / "pear/scenes/scene_000", 2)
    for category, names in (("apple", (0, 2, 10)), ("pear", (0,))):
        scenes = [f"scenes/scene_{n:03d}" for n in names]
        lists = {"train": scenes[:1], "val": scenes[1:]}
        (root / category / "nvs_list.json").write_text(json.dumps(lists))
        lists = {"train": scenes[1:], "val": scenes[:1]}
        (root / category / "camera_eval_list.json").write_text(json.dumps(lists))
        kinds = dict(zip(scenes, ("single", "multi", "hand"), strict=False))
        (root / category / "types.json").write_text(json.dumps(kinds))
    return root


def read(root: Path, options: dict[str, Any] | None = None) -> tuple[list[View], list[Failure]]:
    source = open_source("wildrgbd", root, options)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    views, failures = [], list(scene.failures)
    for frame in scene.frames:
        try:
            views.append(read_view(frame, dataset="wildrgbd", scene_id=scene_id))
        except DataError as error:
            failures.append(error.failure)
    return views, failures


def test_cameras_depths_and_masks_are_those_written(tmp_path: Path) -> None:
    views, failures = read(write_scene(tmp_path / "scene_000"))
    assert not failures
    for view, truth in zip(views, true_frames(), strict=True):
        np.testing.assert_allclose(view.camera.K, truth.camera.K, atol=1e-9)
        np.testing.assert_allclose(
            view.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-7
        )
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)
        np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])
        assert view.mask is not None
        np.testing.assert_array_equal(view.mask[0], np.arange(64) >= 20)


def test_matches_are_where_the_geometry_puts_them(tmp_path: Path) -> None:
    (first, _, last), _ = read(write_scene(tmp_path / "scene_000"))
    truth0, _, truth1 = true_frames()
    found = correspond(first.depth, first.camera, last.depth, last.camera)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.mean() > 0.5
    world = unproject(truth0.camera, query_xy(HW), truth0.millimetres / 1000)
    expected, _ = project(truth1.camera, world)
    assert np.abs(found.xy1 - expected)[visible].max() < 0.01


def test_pixels_counted_from_centres(tmp_path: Path) -> None:
    views, _ = read(write_scene(tmp_path / "scene_000"), {"pixel_center": "integer"})
    np.testing.assert_allclose(views[0].camera.K[:2, 2], K[:2, 2] + 0.5)


def test_frames_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene_000", 12)
    poses = (folder / "cam_poses.txt").read_text().splitlines()
    (folder / "cam_poses.txt").write_text("\n".join(sorted(poses)))  # 1, 10, 11, 2 …
    scene = open_source("wildrgbd", folder).scene("scene_000")
    assert [frame.frame_id for frame in scene.frames] == [str(n) for n in range(12)]
    assert scene.unit == "metre"


def test_recognised_as_dataset_category_and_scene(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    for folder in (root, root / "apple", root / SCENE.replace("/", "/scenes/")):
        assert source_spec("wildrgbd").recognise(folder)
    assert not source_spec("wildrgbd").recognise(tmp_path / "nowhere")
    assert not source_spec("wildrgbd").recognise(root / "apple/scenes/scene_000/rgb")
    assert open_source("wildrgbd", root / "pear").scene_ids() == ["pear/scene_000"]


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, ["apple 000", "apple 002", "apple 010", "pear 000"]),
        ({"split": "train"}, ["apple 000", "pear 000"]),
        ({"split": "val"}, ["apple 002", "apple 010"]),
        ({"split": "val", "split_of": "camera_eval"}, ["apple 000", "pear 000"]),
        ({"kind": "single"}, ["apple 000", "pear 000"]),
        ({"kind": "hand"}, ["apple 010"]),
    ],
)
def test_splits_and_kinds(options: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    source = open_source("wildrgbd", write_dataset(tmp_path), options)
    assert [name.replace("/scene_", " ") for name in source.scene_ids()] == expected
    assert not source.failures


def test_what_is_left_out_on_request_is_said(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    source = open_source("wildrgbd", root, {"split": "train", "kind": "single"})
    assert source.notes == ("scenes not in the split train of nvs_list.json: 2",)
    with pytest.raises(DataError, match=r"no scene is left in .* \(scenes not in the split val"):
        open_source("wildrgbd", root / "pear", {"split": "val"})


def rewrite_pose(line: str) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        poses = (folder / "cam_poses.txt").read_text().splitlines()
        poses[1] = line.replace("POSE", poses[1].split(" ", 1)[1])
        (folder / "cam_poses.txt").write_text("\n".join(poses))

    return act


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def scaled(factor: float) -> str:
    return " ".join(str(v) for v in np.diag([factor, factor, factor, 1]).ravel())


FRAMES: dict[str, tuple[Callable[[Path], object], str, Reason, str]] = {
    "missing image": (remove("rgb/00001.png"), "1", Reason.MISSING_FILE, "rgb/00001.png is mis"),
    "missing depth": (remove("depth/00001.png"), "1", Reason.MISSING_FILE, "depth/00001.png is"),
    "missing mask": (remove("masks/00001.png"), "1", Reason.MISSING_FILE, "masks/00001.png is"),
    "words": (rewrite_pose("one POSE"), "one", Reason.BAD_METADATA, "has frame 'one'; expected"),
    "number twice": (rewrite_pose("0 POSE"), "0 again", Reason.DUPLICATE_ID, "0 appears twice"),
    "number twice, padded": (rewrite_pose("00 POSE"), "0 again", Reason.DUPLICATE_ID, "twice"),
    "scaled pose": (
        rewrite_pose(f"1 {scaled(2)}"),
        "1",
        Reason.BAD_POSE,
        "rotation times 2 (most frames times 1)",
    ),
    "NaN pose": (rewrite_pose(f"1 {scaled(float('nan'))}"), "1", Reason.BAD_POSE, "NaN"),
    "8-bit depth": (
        lambda folder: save(folder / "depth/00001.png", np.ones(HW, np.uint8)),
        "1",
        Reason.UNREADABLE_DEPTH,
        "expected one channel of 16 bits",
    ),
    "other image size": (
        lambda folder: save(folder / "rgb/00001.png", np.ones((24, 32, 3), np.uint8)),
        "1",
        Reason.WRONG_SIZE,
        "is 24×32; expected 48×64",
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_bad_frame_costs_only_itself(case: str, tmp_path: Path) -> None:
    change, frame_id, reason, message = FRAMES[case]
    folder = write_scene(tmp_path / "scene_000")
    change(folder)
    views, (failure,) = read(folder)
    assert len(views) == 2
    assert (failure.frame_id, failure.reason) == (frame_id, reason)
    assert message in failure.message


SCENES: dict[str, tuple[str, str, Reason, str]] = {
    "no JSON": ("metadata", "{", Reason.BAD_METADATA, "metadata has no JSON"),
    "a list": ("metadata", "[]", Reason.BAD_METADATA, "metadata has a list; expected a JSON table"),
    "no size": ("metadata", '{"K": []}', Reason.BAD_METADATA, "w and h (None, None)"),
    "short K": ("metadata", '{"w": 64, "h": 48, "K": [1, 2]}', Reason.BAD_METADATA, "nine numbers"),
    "K by rows": (
        "metadata",
        json.dumps({"w": 64, "h": 48, "K": K.ravel().tolist()}),
        Reason.BAD_INTRINSICS,
        "not upper triangular with last row 0 0 1; expected a pinhole matrix, column by column",
    ),
    "short pose": ("cam_poses.txt", "0 1 2 3", Reason.BAD_METADATA, "line 1 with 4 words"),
}


@pytest.mark.parametrize("case", SCENES)
def test_bad_scene(case: str, tmp_path: Path) -> None:
    name, text, reason, message = SCENES[case]
    folder = write_scene(tmp_path / "scene_000")
    (folder / name).write_text(text)
    with pytest.raises(DataError) as error:
        open_source("wildrgbd", folder).scene("scene_000")
    assert error.value.failure.reason == reason
    assert message in str(error.value)


@pytest.mark.parametrize(
    "name, text, options, message",
    [
        ("nvs_list.json", "[1]", {"split": "val"}, "nvs_list.json has a list; expected a JSON tab"),
        ("nvs_list.json", '{"val": 3}', {"split": "val"}, "has no list called val"),
        ("types.json", '{"scene_000": 1}', {"kind": "multi"}, "kinds that are not words"),
    ],
)
def test_bad_list_costs_its_category(
    name: str, text: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    root = write_dataset(tmp_path)
    (root / "pear" / name).write_text(text)
    source = open_source("wildrgbd", root, options)
    (failure,) = source.failures
    assert failure.scene_id == "pear"
    assert message in failure.message
    with pytest.raises(DataError, match="wildrgbd pear: "):
        open_source("wildrgbd", root / "pear", options)


def test_roots_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; expected the dataset's folder"):
        open_source("wildrgbd", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no scene in"):
        open_source("wildrgbd", tmp_path)
    root = write_scene(tmp_path / "scene_000")
    with pytest.raises(ValueError, match="unknown scene 'x'"):
        open_source("wildrgbd", root).scene("x")


def test_many_scenes_are_listed_at_once(tmp_path: Path) -> None:
    for category in range(4):
        for number in range(250):
            (tmp_path / f"category{category}/scenes/scene_{number:03d}").mkdir(parents=True)
    assert len(open_source("wildrgbd", tmp_path).scene_ids()) == 1000


def test_keys_of_the_metadata_that_are_not_read_are_named(tmp_path: Path) -> None:
    source = open_source("wildrgbd", write_scene(tmp_path / "scene_000"))
    (scene_id,) = source.scene_ids()
    assert source.scene(scene_id).notes == ("metadata: keys that are not read: fps",)
