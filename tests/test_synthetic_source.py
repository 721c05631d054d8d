"""The source ``synthetic``: scenes read back, and one line for everything that can be wrong."""

import json
import shutil

import numpy as np
import pytest

from cameo_data import frames, transforms
from cameo_data.errors import DataError, Reason, UsageError
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.source import Source
from cameo_data.synth import exact, generate

HW = (32, 48)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "scenes"
    wanted = generate.plan(2, kind="mixed", path="orbit", seed=2, frames=4, hw=HW, samples=1)
    generate.write_scenes(out, wanted)
    return out


@pytest.fixture
def root(pristine, tmp_path):
    """A copy to break."""
    return shutil.copytree(pristine, tmp_path / "scenes")


def edit(root, change, scene_id="room-0001"):
    path = root / scene_id / "scene.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def scene_failure(root, scene_id="room-0001"):
    with pytest.raises(DataError) as caught:
        open_source("synthetic", root).scene(scene_id)
    assert "\n" not in str(caught.value)
    return caught.value.failure


def frame_failure(root):
    scene = open_source("synthetic", root).scene("room-0001")
    assert len(scene.frames) + len(scene.failures) == 4
    (failure,) = scene.failures
    return failure


def test_scenes_are_read_back_exactly(pristine):
    source: Source = open_source("synthetic", pristine)
    assert source.dataset == "synthetic"
    assert list(source.scene_ids()) == ["objects-0000", "room-0001"]
    assert not source.failures
    for scene_id in source.scene_ids():
        scene = source.scene(scene_id)
        assert scene.unit == "metre"
        assert not scene.failures
        _, cameras = exact.load(pristine / scene_id)
        assert [frame.frame_id for frame in scene.frames] == list(cameras)
        for frame in scene.frames:
            np.testing.assert_array_equal(frame.camera.K, cameras[frame.frame_id].K)
            view = frames.read_view(frame, dataset=scene.dataset, scene_id=scene_id)
            z = np.load(pristine / scene_id / "depth" / f"{frame.frame_id}.npy")
            np.testing.assert_array_equal(view.depth.z, z)
            np.testing.assert_array_equal(view.depth.valid, z > 0)
            assert view.depth_source == "exact"
            assert view.image.shape == (*HW, 3)


def test_the_folder_is_recognised_and_so_is_a_scene(pristine, tmp_path):
    recognise = source_spec("synthetic").recognise
    assert recognise(pristine)
    assert recognise(pristine / "room-0001")
    assert not recognise(tmp_path)
    assert not recognise(tmp_path / "missing")
    (tmp_path / "scene.json").write_text('{"format": "something else"}')
    assert not recognise(tmp_path)


def test_a_single_scene_can_be_the_root(pristine):
    source = open_source("synthetic", pristine / "room-0001")
    assert list(source.scene_ids()) == ["room-0001"]
    assert len(source.scene("room-0001").frames) == 4


def test_unfinished_scenes_are_not_listed(root):
    shutil.copytree(root / "room-0001", root / ".room-0001.partial")
    (root / "notes").mkdir()
    assert list(open_source("synthetic", root).scene_ids()) == ["objects-0000", "room-0001"]


def test_a_root_without_scenes_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no scene in .*; expected a folder of scenes"):
        open_source("synthetic", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_source("synthetic", tmp_path / "missing")
    with pytest.raises(UsageError, match="unknown option 'colour' of source 'synthetic'"):
        open_source("synthetic", tmp_path, {"colour": "red"})


def test_an_unknown_scene_is_refused(pristine):
    failure = scene_failure(pristine, "room-0009")
    assert failure.reason is Reason.MISSING_FILE
    assert "no such scene" in failure.message


def with_nan_pose(record):
    record["frames"][2]["cam_from_world"][0][3] = float("nan")


def with_reflection(record):
    flip = transforms.OPENCV_FROM_OPENGL * [1, 1, -1, 1] * [1, -1, 1, 1] * [-1, 1, 1, 1]
    record["frames"][2]["cam_from_world"] = flip.tolist()


BROKEN_SCENES = {
    "unknown field": (lambda r: r.update(colour=1), "unknown field 'colour'"),
    "unknown field below": (
        lambda r: r["primitives"][3].update(shine=1),
        "unknown field 'primitives.3.shine'",
    ),
    "missing field": (lambda r: r.pop("frames"), "lacks the field 'frames'"),
    "other format": (lambda r: r.update(format="blender"), "has format = 'blender'"),
    "later version": (lambda r: r.update(version=2), "has version = 2; expected Input should be 1"),
    "wrong type": (lambda r: r["settings"].update(frames="many"), "has settings.frames = 'many'"),
    "no size": (lambda r: r["settings"].update(hw=[0, 48]), "has settings.hw.0 = 0"),
}


@pytest.mark.parametrize("case", BROKEN_SCENES)
def test_a_bad_scene_file_is_one_line(root, case):
    change, message = BROKEN_SCENES[case]
    edit(root, change)
    failure = scene_failure(root)
    assert failure.reason is Reason.BAD_METADATA
    assert failure.message.startswith("synthetic room-0001: scene.json ")
    assert message in failure.message
    assert failure.message.endswith("write the scene again with `cameo-data synth`")
    # the other scene is none the worse
    assert len(open_source("synthetic", root).scene("objects-0000").frames) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "scene.json is not JSON"),
        (b"\xff\xfe", "scene.json is not text"),
        (b"", "scene.json holds 0 bytes"),
        (b"[" * 100_000, "scene.json is not JSON"),
        (b"[1]", "scene.json"),
    ],
)
def test_a_damaged_scene_file_is_one_line(root, content, message):
    (root / "room-0001" / "scene.json").write_bytes(content)
    failure = scene_failure(root)
    assert failure.reason is Reason.BAD_METADATA
    assert message in failure.message


BROKEN_FRAMES = {
    "nan pose": (with_nan_pose, Reason.BAD_POSE, "0002", "NaN"),
    "reflection": (with_reflection, Reason.BAD_POSE, "0002", "reflection"),
    "short pose": (
        lambda r: r["frames"][2]["cam_from_world"].pop(), Reason.BAD_POSE, "0002", "shape (3, 4)",
    ),
    "ragged K": (lambda r: r["frames"][2]["K"][1].pop(), Reason.BAD_INTRINSICS, "0002", "shape"),
    "singular K": (
        lambda r: r["frames"][2]["K"][0].__setitem__(0, 0.0),
        Reason.BAD_INTRINSICS, "0002", "focal lengths 0",
    ),
    "unknown field": (
        lambda r: r["frames"][2].update(lens="wide"), Reason.BAD_METADATA, "0002", "field 'lens'",
    ),
    "no id": (
        lambda r: r["frames"][2].pop("frame_id"), Reason.BAD_METADATA, "number 2", "'frame_id'",
    ),
    "id twice": (
        lambda r: r["frames"][2].update(frame_id="0001"), Reason.DUPLICATE_ID, "0001", "twice",
    ),
    "image gone": (
        lambda r: r["frames"][2].update(image="images/9.png"),
        Reason.MISSING_FILE, "0002", "images/9.png is missing",
    ),
    "path out": (
        lambda r: r["frames"][2].update(image="../objects-0000/images/0000.png"),
        Reason.BAD_NAME, "0002", "leads out of room-0001",
    ),
    "absolute path": (
        lambda r: r["frames"][2].update(depth="/etc/hostname"),
        Reason.BAD_NAME, "0002", "leads out of room-0001",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_FRAMES)
def test_a_bad_frame_costs_only_itself(root, case):
    change, reason, frame_id, message = BROKEN_FRAMES[case]
    edit(root, change)
    failure = frame_failure(root)
    assert failure.reason is reason
    assert failure.frame_id == frame_id
    assert message in failure.message
    assert "\n" not in failure.message
