"""``cameo.json``: every way of writing a scene down gives back its cameras and depths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rgbd_recordings import HW, K, png_that_claims, save, true_frames

from cameo_data.camera import project, query_xy, unproject, unproject_to_camera
from cameo_data.correspondence import correspond
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.frames import read_view
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.generic.records import Defaults, GenericFrameRecord, GenericSceneRecord
from cameo_data.transforms import OPENCV_FROM_OPENGL
from cameo_data.types import Scene, Verdict, View

PAGE = Path(__file__).resolve().parents[1] / "docs" / "datasets" / "generic.md"


def write(folder: Path, **changes: Any) -> Path:
    """The scene of ``rgbd_recordings``; ``changes`` of the scene's keys go over the usual ones."""
    frames = []
    for i, frame in enumerate(true_frames()):
        save(folder / f"images/{i}.png", frame.bgr)
        save(folder / f"depth/{i}.png", frame.millimetres)
        pose = frame.camera.cam_from_world.tolist()
        frames.append({"image": f"images/{i}.png", "depth": f"depth/{i}.png", "pose": pose})
    record = {
        "format": "cameo-1",
        "poses": "cam_from_world",
        "K": K.tolist(),
        "depth_scale": 0.001,
        "unit": "metre",
        "frames": frames,
    }
    return rewrite(folder, {**record, **changes})


def rewrite(folder: Path, record: dict[str, Any]) -> Path:
    (folder / "cameo.json").write_text(json.dumps(record))
    return folder


def change(folder: Path, act: Callable[[dict[str, Any]], object]) -> Path:
    record = json.loads((folder / "cameo.json").read_text())
    act(record)
    return rewrite(folder, record)


def read(folder: Path) -> tuple[Scene, list[View], dict[str, Failure]]:
    """The scene, its views, and what became of its other frames; a frame is in one of the two."""
    source = open_source("generic", folder)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    views = []
    failures = {str(failure.frame_id): failure for failure in scene.failures}
    for frame in scene.frames:
        try:
            views.append(read_view(frame, dataset="generic", scene_id=scene_id))
        except DataError as error:
            failures[frame.frame_id] = error.failure
    assert len(views) + len(failures) == len(scene.frames) + len(scene.failures)
    return scene, views, failures


def check(folder: Path) -> list[View]:
    """All views, once their cameras and depths are those that were rendered."""
    _, views, failures = read(folder)
    assert not failures
    for view, truth in zip(views, true_frames(), strict=True):
        np.testing.assert_allclose(view.camera.K, truth.camera.K, atol=1e-9)
        np.testing.assert_allclose(
            view.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-9
        )
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-5)
    return views


def test_the_usual_scene(tmp_path: Path) -> None:
    folder = write(tmp_path / "desk")
    assert source_spec("generic").recognise(folder)
    assert source_spec("generic").recognise(tmp_path)
    views = check(folder)
    assert [view.frame_id for view in views] == ["0", "1", "2"]
    assert views[0].mask is None
    assert views[0].encoded is not None


def test_matches_are_where_the_geometry_puts_them(tmp_path: Path) -> None:
    first, _, last = check(write(tmp_path))
    truth0, _, truth1 = true_frames()
    found = correspond(first.depth, first.camera, last.depth, last.camera)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.mean() > 0.5
    world = unproject(truth0.camera, query_xy(HW), truth0.millimetres / 1000)
    expected, _ = project(truth1.camera, world)
    assert np.abs(found.xy1 - expected)[visible].max() < 0.01


@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("axes", ["opencv", "opengl"])
@pytest.mark.parametrize("poses", ["cam_from_world", "world_from_cam"])
def test_poses_either_way_and_in_either_axes(
    poses: str, axes: str, rows: int, tmp_path: Path
) -> None:
    def act(record: dict[str, Any]) -> None:
        for frame, truth in zip(record["frames"], true_frames(), strict=True):
            pose = truth.camera.cam_from_world
            if axes == "opengl":
                pose = OPENCV_FROM_OPENGL @ pose
            if poses == "world_from_cam":
                pose = np.linalg.inv(pose)
            frame["pose"] = pose[:rows].tolist()

    check(change(write(tmp_path, poses=poses, axes=axes), act))


@pytest.mark.parametrize(
    "keys",
    [
        {"K": [60.0, 61.0, 32.0, 23.75]},
        {"K": [60.0, 61.0, 31.5, 23.25], "pixel_center": "integer"},
        {"K": [120.0, 122.0, 64.0, 47.5], "K_size": [128, 96]},
        {"K": [120.0, 122.0, 63.5, 47.0], "K_size": [128, 96], "pixel_center": "integer"},
    ],
)
def test_intrinsics(keys: dict[str, Any], tmp_path: Path) -> None:
    check(write(tmp_path, **keys))


def test_a_frames_own_keys_go_first(tmp_path: Path) -> None:
    def act(record: dict[str, Any]) -> None:
        save(tmp_path / "depth/2.png", true_frames()[2].millimetres // 2 * 2)
        for frame in record["frames"]:
            frame["K"] = K.tolist()
        record["frames"][2] |= {"depth_scale": 0.001, "id": "third", "timestamp": 1.5}
        record["frames"][2]["K_size"] = [64, 48]
        del record["frames"][0]["K"]
        record |= {"K": [30.0, 30.5, 16.0, 11.875], "K_size": [32, 24]}

    folder = change(write(tmp_path), act)
    scene, views, _ = read(folder)
    for view in views:
        np.testing.assert_allclose(view.camera.K, K)
    assert scene.frames[2].frame_id == "third"
    assert scene.frames[2].timestamp == 1.5


def test_depth_along_the_ray(tmp_path: Path) -> None:
    folder = write(tmp_path, depth_along_ray=True, depth_codec="npy", depth_scale=1.0)

    def act(record: dict[str, Any]) -> None:
        for i, (frame, truth) in enumerate(zip(record["frames"], true_frames(), strict=True)):
            points = unproject_to_camera(K, query_xy(HW), truth.millimetres / 1000)
            np.save(tmp_path / f"{i}.npy", np.linalg.norm(points, axis=-1))
            frame["depth"] = f"{i}.npy"

    check(change(folder, act))


def test_depth_of_half_the_size(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for i, truth in enumerate(true_frames()):
        half = truth.millimetres.reshape(24, 2, 32, 2).mean((1, 3))
        save(folder / f"depth/{i}.png", half.round().astype(np.uint16))
    for view, truth in zip(read(folder)[1], true_frames(), strict=True):
        relative = np.abs(view.depth.z / (truth.millimetres / 1000) - 1)[view.depth.valid]
        assert np.median(relative) < 2e-3


def test_distortion(tmp_path: Path) -> None:
    """A point drawn where the lens would put it comes out where the pinhole camera does."""
    coefficients = (-0.2, 0.05, 0.001, -0.002)
    folder = write(tmp_path, distortion=coefficients)
    stored = np.zeros((*HW, 3), np.uint8)
    ray = np.array([[[0.3, 0.2, 1.0]]])
    # OpenCV counts from the first pixel's centre
    file_K = K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    place, _ = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), file_K, np.array(coefficients))
    column, row = place.ravel()
    y, x = np.mgrid[: HW[0], : HW[1]]
    stored[:] = 255 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 8)[..., None]
    save(folder / "images/0.png", stored)
    view = read(folder)[1][0]
    weights = view.image[..., 0].astype(float)
    found = (query_xy(HW) * weights[..., None]).sum((0, 1)) / weights.sum()
    np.testing.assert_allclose(found, K[:2] @ ray.ravel(), atol=0.3)


def test_masks_and_invalid_values(tmp_path: Path) -> None:
    folder = write(tmp_path, mask_threshold=0.25, depth_invalid=[65535], depth_source="lidar")
    depth = true_frames()[0].millimetres.copy()
    depth[:4] = 65535
    save(folder / "depth/0.png", depth)
    save(folder / "mask.png", np.tile(np.arange(64, dtype=np.uint8) * 2, (48, 1)))
    change(folder, lambda record: record["frames"][0].update(mask="mask.png"))
    view = read(folder)[1][0]
    assert view.mask is not None
    np.testing.assert_array_equal(view.mask[0], np.arange(64) >= 32)
    assert not view.depth.valid[:4].any()
    assert view.depth_source == "lidar"


def test_frames_without_depth_and_a_table_of_matches(tmp_path: Path) -> None:
    def act(record: dict[str, Any]) -> None:
        del record["depth_scale"]
        for frame in record["frames"]:
            del frame["depth"]

    folder = change(write(tmp_path, matches="matches.csv"), act)
    (folder / "matches.csv").write_text(
        "frame0,frame1,x0,y0,x1,y1\n0,1,20.5,11.5,17.5,11.5\n2,0,1,2,3,4\n"
    )
    scene = open_source("generic", folder).scene(folder.name)
    assert all(frame.depth is None for frame in scene.frames)
    assert scene.matches is not None
    assert scene.matches.between("0", "1").xy1.tolist() == [[17.5, 11.5]]
    assert scene.matches.between("0", "2").xy0.tolist() == [[3, 4]]
    (folder / "matches.csv").write_text("frame0,frame1,x0,y0,x1,y1\n0,9,1,1,1,1\n")
    with pytest.raises(DataError, match=r"matches.csv names frame '9'"):
        open_source("generic", folder).scene(folder.name)


# folders and splits


def test_scenes_up_to_three_levels_deep(tmp_path: Path) -> None:
    for name in ("desk10", "desk2", "a/b/c", "a/b/.hidden", "a/b/c/inside", "1/2/3/4"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "cameo.json").write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert open_source("generic", tmp_path).scene_ids() == ["a/b/c", "desk2", "desk10"]


def test_splits(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / name)
    (tmp_path / "splits.json").write_text('{"train": ["c", "a", "gone"], "test": 3}')
    assert open_source("generic", tmp_path, {"split": "train"}).scene_ids() == ["a", "c"]
    with pytest.raises(DataError, match=r'splits.json: no \'val\'; expected {"val": \['):
        open_source("generic", tmp_path, {"split": "val"})
    with pytest.raises(DataError, match=r"splits.json: .*not iterable"):
        open_source("generic", tmp_path, {"split": "test"})
    (tmp_path / "splits.json").write_text('{"train": []}')
    with pytest.raises(DataError, match="no scene of split 'train' in"):
        open_source("generic", tmp_path, {"split": "train"})
    (tmp_path / "splits.json").unlink()
    with pytest.raises(DataError, match=r"splits.json is missing"):
        open_source("generic", tmp_path, {"split": "train"})


def test_name_of_the_data(tmp_path: Path) -> None:
    source = open_source("generic", write(tmp_path / "desk"), {"dataset": "mine"})
    assert source.dataset == source.scene("desk").dataset == "mine"


def test_many_scenes_are_listed_at_once(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "cameo.json").touch()
    assert len(open_source("generic", tmp_path).scene_ids()) == 1000


# what is wrong with a frame


def put(**keys: Any) -> Callable[[Path], object]:
    """Sets keys of the second frame; None takes them away."""

    def act(record: dict[str, Any]) -> None:
        frame = record["frames"][1]
        frame.update(keys)
        for key in [key for key in keys if keys[key] is None]:
            del frame[key]

    return lambda folder: change(folder, act)


def bomb(folder: Path) -> None:
    (folder / "images/1.png").write_bytes(png_that_claims((30000, 30000)))


NAN = float("nan")
EYE = np.eye(4).tolist()
FRAMES: dict[str, tuple[Callable[[Path], object], str, Reason, str]] = {
    "unknown key": (
        put(dept="x"),
        "number 1",
        Reason.BAD_METADATA,
        "cameo.json: key dept = 'x': extra inputs are not permitted; expected known keys as",
    ),
    "no image": (put(image=None), "number 1", Reason.BAD_METADATA, "key image: field required"),
    "no pose": (put(pose=None), "number 1", Reason.BAD_METADATA, "key pose"),
    "short pose": (put(pose=[[1, 0, 0, 0]]), "number 1", Reason.BAD_METADATA, "key pose"),
    "NaN in a pose": (put(pose=[[NAN] * 4] * 3), "number 1", Reason.BAD_METADATA, "key pose"),
    "same id": (put(id="0"), "number 1", Reason.DUPLICATE_ID, "frame id '0' appears twice"),
    "same image": (put(image="images/0.png"), "number 1", Reason.DUPLICATE_ID, "'0' appears twice"),
    "id of control characters": (put(id="a\n"), "number 1", Reason.BAD_NAME, "control characters"),
    "scaled pose": (
        put(pose=(2 * np.eye(4)).tolist()[:3]),
        "1",
        Reason.BAD_POSE,
        "rotation times 2 (most frames times 1)",
    ),
    "mirrored pose": (
        put(pose=np.diag([1, 1, -1, 1]).tolist()),
        "1",
        Reason.BAD_POSE,
        "reflection",
    ),
    "last row": (put(pose=[*EYE[:3], [0, 0, 0, 2]]), "1", Reason.BAD_POSE, "last row"),
    "focal length": (put(K=[-1, 1, 1, 1]), "1", Reason.BAD_INTRINSICS, "focal lengths -1, 1"),
    "size of K": (put(K=[1, 1, 1, 1], K_size=[0, 1]), "1", Reason.BAD_INTRINSICS, "K_size 0×1"),
    "missing image": (put(image="x.png"), "1", Reason.MISSING_FILE, "x.png is missing"),
    "missing depth": (put(depth="x.png"), "1", Reason.MISSING_FILE, "x.png is missing"),
    "missing mask": (put(mask="x.png"), "1", Reason.MISSING_FILE, "x.png is missing"),
    "path out of the folder": (put(image="../x.png"), "1", Reason.BAD_NAME, "leads out of"),
    "text as image": (put(image="cameo.json"), "cameo", Reason.UNREADABLE_IMAGE, "is not an image"),
    "image bomb": (bomb, "1", Reason.UNREADABLE_IMAGE, "expected at most 100000000 pixels"),
    "8-bit depth": (
        lambda folder: save(folder / "depth/1.png", np.ones(HW, np.uint8)),
        "1",
        Reason.UNREADABLE_DEPTH,
        "one channel of 16 bits",
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_bad_frame_costs_only_itself(case: str, tmp_path: Path) -> None:
    act, frame_id, reason, message = FRAMES[case]
    folder = write(tmp_path / "desk")
    act(folder)
    if case in ("missing image", "path out of the folder"):
        frame_id = "x"
    _, views, failures = read(folder)
    assert len(views) == 2
    ((found_id, failure),) = failures.items()
    assert (found_id, failure.reason) == (frame_id, reason)
    assert message in failure.message
    assert "\n" not in failure.message


def test_depth_without_a_scale(tmp_path: Path) -> None:
    folder = change(write(tmp_path), lambda record: record.pop("depth_scale"))
    _, views, failures = read(folder)
    assert not views
    assert {f.found for f in failures.values()} == {"depth without depth_scale"}


def test_no_intrinsics(tmp_path: Path) -> None:
    folder = change(write(tmp_path), lambda record: record.pop("K"))
    assert "no K, neither for the frame nor for the scene" in read(folder)[2]["0"].message


SCENES: dict[str, tuple[dict[str, Any] | str, str]] = {
    "not JSON": ("{", "cameo.json: not JSON (Expecting property name"),
    "deep JSON": ("[" * 100_000, "cameo.json: not JSON ("),
    "a list": ("[]", "cameo.json: key of the record = '[]'"),
    "unknown key": ({"scale": 1}, "key scale = '1': extra inputs are not permitted"),
    "another format": ({"format": "cameo-2"}, "key format = 'cameo-2'"),
    "poses": ({"poses": "c2w"}, "key poses = 'c2w': input should be 'cam_from_world' or"),
    "axes": ({"axes": "colmap"}, "key axes = 'colmap'"),
    "codec": ({"depth_codec": "exr16"}, "key depth_codec = 'exr16': expected one of uint16"),
    "scale": ({"depth_scale": 0}, "key depth_scale = '0'"),
    "distortion": ({"distortion": [1, 2]}, "expected 4, 5, 8, 12, 14 numbers"),
    "frames": ({"frames": {}}, "key frames = '{}'"),
    "matches": ({"matches": "../m.csv"}, "m.csv leads out of desk"),
    "lost matches": ({"matches": "m.csv"}, "m.csv is missing"),
}


@pytest.mark.parametrize("case", SCENES)
def test_bad_scene(case: str, tmp_path: Path) -> None:
    values, message = SCENES[case]
    folder = write(tmp_path / "desk", **(values if isinstance(values, dict) else {}))
    if isinstance(values, str):
        (folder / "cameo.json").write_text(values)
    with pytest.raises(DataError) as error:
        open_source("generic", folder).scene("desk")
    assert error.value.failure.scene_id == "desk"
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_roots_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; expected the dataset's folder"):
        open_source("generic", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no cameo.json in"):
        open_source("generic", tmp_path)
    assert not source_spec("generic").recognise(tmp_path)
    with pytest.raises(ValueError, match="unknown scene 'x'"):
        open_source("generic", write(tmp_path / "desk")).scene("x")


# the page


def test_the_page_names_every_key_and_no_other() -> None:
    table = re.findall(r"^\| (`.+?) \|", PAGE.read_text("utf-8"), re.M)
    named = {key for cell in table for key in re.findall(r"`(\w+)`", cell)}
    known = {
        *GenericSceneRecord.model_fields,
        *GenericFrameRecord.model_fields,
        *Defaults.model_fields,
    }
    assert named == known


def test_the_pages_program_writes_a_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, PAGE.name, "exec"), {})  # noqa: S102 - our own page
    _, views, failures = read(tmp_path / "scenes")
    assert not failures
    places = [view.camera.world_from_cam[0, 3] for view in views]
    np.testing.assert_allclose(places, 0.1 * np.arange(6), atol=1e-12)
    np.testing.assert_allclose(views[0].depth.z, 2.0)
    found = correspond(views[0].depth, views[0].camera, views[1].depth, views[1].camera)
    # f · baseline / depth = 60 · 0.1 / 2 pixels to the left
    moved = (query_xy(HW) - found.xy1)[:, 8:]
    np.testing.assert_allclose(moved, np.broadcast_to([3.0, 0.0], moved.shape), atol=1e-4)


# statements that are equivalent, contradict each other, or are of another place


def test_scaled_and_homogeneous_poses_are_normalised_and_noted(tmp_path: Path) -> None:
    def act(record: dict[str, Any]) -> None:
        for frame in record["frames"]:
            world_from_cam = np.linalg.inv(frame["pose"]) @ np.diag([2.5, 2.5, 2.5, 1])
            frame["pose"] = (4 * np.linalg.inv(world_from_cam)).tolist()

    folder = change(write(tmp_path), act)
    check(folder)
    scene, _, _ = read(folder)
    assert any("last row other than 0 0 0 1" in note for note in scene.notes)
    assert any("the rotations of 3 frames are multiplied by 0.4" in note for note in scene.notes)
    assert any("multiply depth_scale by 2.5" in note for note in scene.notes)


def test_negative_focal_lengths(tmp_path: Path) -> None:
    def act(record: dict[str, Any]) -> None:
        flip = np.diag([1.0, -1, 1, 1])
        for frame in record["frames"]:
            frame["pose"] = (flip @ frame["pose"] @ flip).tolist()

    folder = change(write(tmp_path, K=[60.0, -61.0, 32.0, 23.75]), act)
    check(folder)
    assert any(note.startswith("focal lengths 60, -61") for note in read(folder)[0].notes)


@pytest.mark.parametrize(
    "keys, message, remedy",
    [
        (
            {"K": [120.0, 122.0, 64.0, 47.5]},
            "is the middle of a picture of 128×96, the picture is 64×48 (w×h)",
            {"K_size": [128, 96]},
        ),
        (
            {"K": [60.0, 61.0, 32.0, 23.75], "K_size": [48, 64]},
            "image is 48×64, its intrinsics are for 64×48 (h×w)",
            {"K_size": [64, 48]},
        ),
        (
            {"K": [0.94, 0.95, 32.0, 23.75]},
            "are a field of view of 177°",
            {"K": [60.0, 61.0, 32.0, 23.75]},
        ),
    ],
)
def test_intrinsics_that_cannot_be_of_the_picture(
    keys: dict[str, Any], message: str, remedy: dict[str, Any], tmp_path: Path
) -> None:
    _, views, failures = read(write(tmp_path, **keys))
    assert not views
    assert all(message in failure.message for failure in failures.values())
    check(write(tmp_path, **{**keys, **remedy}))


def test_moved_paths_are_found_by_their_ends(tmp_path: Path) -> None:
    def act(record: dict[str, Any]) -> None:
        for frame in record["frames"]:
            frame["image"] = f"/home/someone/desk/{frame['image']}"
            frame["depth"] = f"../desk/{frame['depth']}"

    folder = change(write(tmp_path), act)
    assert [view.frame_id for view in check(folder)] == ["0", "1", "2"]
    notes = " ".join(read(folder)[0].notes)
    assert "image: 3 paths start outside the scene's folder" in notes
    assert "depth: 3 paths start outside the scene's folder" in notes
    (folder / "images/1.png").unlink()
    (failure,) = read(folder)[2].values()
    assert "someone" not in json.dumps(failure.record())


def test_absolute_paths_are_no_ids(tmp_path: Path) -> None:
    folder = write(tmp_path)
    change(folder, lambda record: record["frames"][1].update(id="/home/someone/1"))
    (failure,) = read(folder)[2].values()
    assert "is an absolute path" in failure.message
    assert "someone" not in json.dumps(failure.record())
    change(folder, lambda record: record["frames"][1].pop("id"))  # its remedy
    check(folder)
