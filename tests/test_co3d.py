"""CO3D: cameras, depth and masks are those that were written, in the publisher's own layout."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import co3d_dataset as co3d
import cv2
import numpy as np
import pytest
from epipolar import distance_px
from rgbd_recordings import save, true_frames

from cameo_data import ShardReader, recipe
from cameo_data.build import build
from cameo_data.camera import project, query_xy, unproject
from cameo_data.correspondence import correspond
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_image, read_view
from cameo_data.io import gzip_json
from cameo_data.io.files import FileDefect
from cameo_data.shards.verify import verify_build
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.co3d.annotations import ViewpointRecord
from cameo_data.sources.co3d.frames import camera_from_viewpoint
from cameo_data.sources.co3d.index import FrameIndex
from cameo_data.types import Camera, Scene, Verdict, View

SEQUENCE = "110_13051_23361"
OTHER = "189_20393_38136"


def open_scene(root: Path, options: dict[str, Any] | None = None) -> Scene:
    source = open_source("co3d", root, options)
    (scene_id,) = source.scene_ids()
    return source.scene(scene_id)


def read(scene: Scene) -> list[View]:
    assert not scene.failures
    return [read_view(f, dataset="co3d", scene_id=scene.scene_id) for f in scene.frames]


def test_cameras_depths_and_masks_are_those_written(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    assert source_spec("co3d").recognise(root)
    assert source_spec("co3d").recognise(root / "apple")
    source = open_source("co3d", root)
    assert source.scene_ids() == [f"apple/{SEQUENCE}"]
    scene = source.scene(f"apple/{SEQUENCE}")
    assert scene.unit == "arbitrary"
    assert [frame.frame_id for frame in scene.frames] == ["1", "2", "3"]
    assert [frame.timestamp for frame in scene.frames] == [0.25, 0.5, 0.75]
    for view, truth in zip(read(scene), true_frames(), strict=True):
        np.testing.assert_allclose(view.camera.K, truth.camera.K, atol=1e-9)
        np.testing.assert_allclose(
            view.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-9
        )
        # a float16 has 11 significant bits
        np.testing.assert_allclose(view.depth.z[1:], truth.millimetres[1:] / 1000, rtol=2.0**-11)
        assert not view.depth.valid[0].any()  # the depth mask
        assert view.depth_source == "colmap"
        assert view.mask is not None
        assert not view.mask[:, :32].any()
        assert view.mask[:, 32:].all()


def test_root_may_be_one_category(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    assert len(read(open_scene(root / "apple"))) == 3


@pytest.mark.parametrize("intrinsics_format", ["ndc_isotropic", "ndc_norm_image_bounds", None])
@pytest.mark.parametrize("hw", [(48, 64), (64, 48), (50, 50)])
def test_both_intrinsics_formats(intrinsics_format: str | None, hw: tuple[int, int]) -> None:
    """Focal lengths differ, the principal point is off the centre; None is a missing field."""
    truth = Camera(
        np.array([[60.0, 0, 20], [0, 55.0, 30], [0, 0, 1]]),
        hw,
        true_frames()[1].camera.cam_from_world,
    )
    record = ViewpointRecord.model_validate(co3d.viewpoint(truth, intrinsics_format))
    camera = camera_from_viewpoint(record, hw)
    np.testing.assert_allclose(camera.K, truth.K, atol=1e-12)
    np.testing.assert_allclose(camera.cam_from_world, truth.cam_from_world, atol=1e-12)


def test_conversion_is_pytorch3ds_projection() -> None:
    """Points go where PyTorch3D's documented transforms put them, written out here in full."""
    values = {
        "R": ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        "T": (0.1, -0.2, 3.0),
        "focal_length": (2.5, 2.25),
        "principal_point": (0.125, -0.0625),
        "intrinsics_format": "ndc_isotropic",
    }
    points = np.array([[0.3, 0.2, 0.1], [-0.4, 0.5, -0.6]])
    view = points @ np.array(values["R"]) + values["T"]  # world -> view: rows, X R + T
    ndc = view[:, :2] / view[:, 2:] * values["focal_length"] + values["principal_point"]
    height, width = 40, 60
    # ndc -> screen: (+1, +1) is the top left of a square; the shorter side spans [−1, 1]
    screen = np.array([width, height]) / 2 - ndc * min(height, width) / 2
    camera = camera_from_viewpoint(ViewpointRecord.model_validate(values), (height, width))
    xy, z = project(camera, points)
    np.testing.assert_allclose(xy, screen, atol=1e-9)
    np.testing.assert_allclose(z, view[:, 2], atol=1e-12)


def test_matches_are_where_the_geometry_puts_them(tmp_path: Path) -> None:
    first, _, last = read(open_scene(co3d.write_category(tmp_path)))
    truth0, _, truth1 = true_frames()
    found = correspond(first.depth, first.camera, last.depth, last.camera)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.mean() > 0.5
    world = unproject(truth0.camera, query_xy(truth0.camera.hw), truth0.millimetres / 1000)
    expected, _ = project(truth1.camera, world)
    assert np.abs(found.xy1 - expected)[visible].max() < 0.05


def test_depth_masks_can_be_left_unused(tmp_path: Path) -> None:
    view = read(open_scene(co3d.write_category(tmp_path), {"depth_masks": False}))[0]
    assert view.depth.valid[0].all()


@pytest.mark.parametrize("threshold", ["0.1", "0.75", "1"])
def test_mask_threshold(threshold: str, tmp_path: Path) -> None:
    view = read(open_scene(co3d.write_category(tmp_path), {"mask_threshold": threshold}))[0]
    ramp = np.linspace(0, 255, 64).round()
    assert view.mask is not None
    np.testing.assert_array_equal(view.mask[5], ramp >= float(threshold) * 255)


def test_a_faint_mask_is_empty(tmp_path: Path) -> None:
    """One of 255 everywhere is no foreground, though nothing in the file is whiter."""
    root = co3d.write_category(tmp_path)
    save(root / f"apple/{SEQUENCE}/masks/frame000001.png", np.ones((48, 64), np.uint8))
    mask = read(open_scene(root))[0].mask
    assert mask is not None
    assert not mask.any()


def test_depth_of_half_the_size_as_in_v1(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    for number, frame in enumerate(true_frames(), 1):
        name = f"frame{number:06d}"
        folder = root / "apple" / SEQUENCE
        half = frame.millimetres.reshape(24, 2, 32, 2).mean((1, 3)) / 2000
        co3d.float16_png(folder / f"depths/{name}.jpg.geometric.png", half)
        save(folder / f"depth_masks/{name}.png", np.full((24, 32), 255, np.uint8))
    for view, truth in zip(read(open_scene(root)), true_frames(), strict=True):
        assert view.depth.hw == (48, 64)
        relative = np.abs(view.depth.z / (truth.millimetres / 1000) - 1)[view.depth.valid]
        assert np.median(relative) < 2e-3


def test_frames_without_depth_and_masks_are_listed(tmp_path: Path) -> None:
    def strip(records: list[co3d.Record]) -> None:
        for record in records:
            record |= {"depth": None, "mask": None, "meta": None}
            del record["camera_name"]

    scene = open_scene(co3d.write_category(tmp_path, change=strip))
    assert len(scene.frames) == 3
    assert not scene.failures
    assert read_image(scene.frames[0], dataset="co3d", scene_id="x").shape == (48, 64, 3)
    with pytest.raises(DataError, match="the frame has no depth") as error:
        read_view(scene.frames[0], dataset="co3d", scene_id="x")
    assert error.value.failure.reason == Reason.NO_DEPTH


def test_it_builds_and_verifies(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path / "data", count=6)
    source = {"name": "co3d", "root": str(root)}
    made = recipe.make({"source": source, "views": 3, "restrict_to_mask": True, "strides": [8]})
    result = build(made, tmp_path / "shards")
    assert (result.samples, result.failures) == (2, 0)
    assert verify_build(tmp_path / "shards", groups=None).ok
    for sample in ShardReader(tmp_path / "shards"):
        assert sample.unit == "arbitrary"
        assert sample.depth_source == "colmap"
        assert sample.restricted_to_mask
        assert (sample.overlap > 0.2).all()


# which sequences and frames


def write_two(root: Path) -> Path:
    co3d.write_category(root, sequences=(SEQUENCE, OTHER))
    co3d.write_category(root, "hydrant", ("106_12650_23736",))
    lists = {
        "train": [co3d.triple(SEQUENCE, 3), co3d.triple(SEQUENCE, 1)],
        "val": [],
        "test": [co3d.triple(OTHER, 2), co3d.triple(SEQUENCE, 2)],
    }
    batches = [
        [co3d.triple(OTHER, 3), co3d.triple(OTHER, 1)],
        [co3d.triple(SEQUENCE, 2)],
        [co3d.triple(OTHER, 2), co3d.triple(OTHER, 3), co3d.triple(OTHER, 1)],
    ]
    co3d.write_lists(root, "apple", "fewview_train", lists)
    co3d.write_lists(root, "apple", "fewview_dev", lists, batches)
    return root


def contents(root: Path, options: dict[str, Any]) -> dict[str, list[str]]:
    source = open_source("co3d", root, options)
    assert not source.failures
    return {
        scene_id: [frame.frame_id for frame in source.scene(scene_id).frames]
        for scene_id in source.scene_ids()
    }


def test_set_lists_and_splits(tmp_path: Path) -> None:
    root = write_two(tmp_path)
    one, two = f"apple/{SEQUENCE}", f"apple/{OTHER}"
    assert list(contents(root, {})) == [one, two, "hydrant/106_12650_23736"]
    assert contents(root, {"split": "train"}) == {one: ["1", "3"]}
    assert contents(root, {"subset": "fewview_dev", "split": "test"}) == {one: ["2"], two: ["2"]}
    assert contents(root, {"subset": "fewview_dev"}) == {one: ["1", "2", "3"], two: ["2"]}
    assert list(contents(root, {"categories": "hydrant"})) == ["hydrant/106_12650_23736"]


def test_evaluation_batches_are_scenes_with_the_target_first(tmp_path: Path) -> None:
    options = {"subset": "fewview_dev", "eval_batches": "true"}
    assert contents(write_two(tmp_path), options) == {
        f"apple/{OTHER}/eval-00000": ["3", "1"],
        f"apple/{OTHER}/eval-00001": ["2", "3", "1"],
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"eval_batches": True}, "eval_batches needs a subset"),
        ({"eval_batches": True, "subset": "a", "split": "val"}, "batches belong to the split test"),
        ({"subset": "../../secret"}, "subset"),
        ({"split": "dev"}, "split"),
        ({"mask_threshold": 0}, "mask_threshold"),
        ({"quality": 1}, "quality"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_source("co3d", write_two(tmp_path), options)


def test_what_is_left_out_on_request_is_said(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path, sequences=("a", "b", "c", "d"))
    records = [
        co3d.sequence_record("apple", n, q) for n, q in (("a", 0.9), ("b", 0.4), ("c", None))
    ]
    records.append(co3d.sequence_record("apple", "not_here"))
    co3d.write_jgz(root / "apple/sequence_annotations.jgz", records)
    source = open_source("co3d", root, {"min_viewpoint_quality": "0.5"})
    assert source.scene_ids() == ["apple/a"]
    assert not source.failures  # chosen, not failed
    assert source.notes == (
        "sequences below min_viewpoint_quality=0.5 or not scored: 2",
        "sequences annotated but without a folder here: 1",
    )
    with pytest.raises(DataError, match=r"no sequence is left \(sequences below min_cloud_qual"):
        open_source("co3d", root, {"min_cloud_quality": "0"})
    with pytest.raises(DataError, match=r"no sequence is left .* the set lists here are: none"):
        open_source("co3d", root, {"split": "val"})


# many sequences


def test_many_sequences_are_listed_at_once(tmp_path: Path) -> None:
    names = [f"{n}_13051_23361" for n in range(400)]
    for category in ("apple", "ball", "cup", "tv", "vase"):
        for name in names:
            (tmp_path / category / name).mkdir(parents=True)
        records = [co3d.sequence_record(category, name) for name in names]
        co3d.write_jgz(tmp_path / category / "sequence_annotations.jgz", records)
        co3d.write_jgz(tmp_path / category / "frame_annotations.jgz", [])
    tracemalloc.start()
    source = open_source("co3d", tmp_path)
    assert len(source.scene_ids()) == 2000
    assert tracemalloc.get_traced_memory()[0] < 2000 * 1000
    tracemalloc.stop()


def test_memory_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    """Of a category's frames nothing is kept but where each sequence's are."""

    def kept(count: int) -> int:
        frames = [{"sequence_name": f"s{n // (count // 4)}", "number": n} for n in range(count)]
        co3d.write_jgz(tmp_path / "frame_annotations.jgz", frames)
        tracemalloc.start()
        index = FrameIndex(tmp_path / "frame_annotations.jgz")
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(index.read("s3")) == count // 4
        return size

    assert kept(20_000) < 1.5 * kept(200)


@pytest.mark.parametrize("indent", [None, 1])
def test_annotations_are_read_in_pieces_and_from_the_middle(
    indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequences come out alike whether their frames stand together or not, and from any point."""
    monkeypatch.setattr(gzip_json, "_CHUNK_BYTES", 97)
    monkeypatch.setattr(gzip_json, "RESUME_BYTES", 1000)
    noise = np.random.default_rng(0)
    frames = [
        {"sequence_name": f"s{n % 7 if n > 40 else n // 7}", "noise": noise.bytes(40).hex()}
        for n in range(80)
    ]
    text = json.dumps(frames, indent=indent).encode()
    path = tmp_path / "frame_annotations.jgz"
    path.write_bytes(gzip.compress(text[:1500]) + gzip.compress(text[1500:]))  # two members
    index = FrameIndex(path)
    assert len(index.points) > 2
    for name in {frame["sequence_name"] for frame in frames}:
        assert index.read(name) == [f for f in frames if f["sequence_name"] == name]
    assert index.read("s9") == []


AS_PUBLISHED = [{"sequence_name": f"s{n // 3}", "number": n} for n in range(9)]


def test_published_annotations_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    co3d.write_jgz(tmp_path / "frame_annotations.jgz", AS_PUBLISHED)
    monkeypatch.setattr(gzip_json.Records, "__iter__", None)
    index = FrameIndex(tmp_path / "frame_annotations.jgz")
    assert [index.read(f"s{n}") for n in range(3)] == [AS_PUBLISHED[n : n + 3] for n in (0, 3, 6)]


@pytest.mark.parametrize(
    "record",
    [
        {"number": 9, "sequence_name": "s1"},
        {"sequence_name": "s1", "meta": {"sequence_name": "s2"}},
        {"sequence_name": "s1", "meta": [{"sequence_name": "s2"}, {"sequence_name": "s1"}]},
        {"sequence_name": "s1", "note": '{"sequence_name": "s2"}'},
        {"sequence_name": 's"1', "number": 9},
    ],
)
@pytest.mark.parametrize("place", [0, 4, 9])
def test_annotations_made_otherwise_are_decoded(
    record: dict[str, Any], place: int, tmp_path: Path
) -> None:
    """What looks like the beginning of a record and is none, and the reverse."""
    records = [*AS_PUBLISHED[:place], record, *AS_PUBLISHED[place:]]
    co3d.write_jgz(tmp_path / "frame_annotations.jgz", records)
    index = FrameIndex(tmp_path / "frame_annotations.jgz")
    for name in ("s0", "s1", "s2", 's"1'):
        assert index.read(name) == [r for r in records if r["sequence_name"] == name]


@pytest.mark.parametrize(
    "text, found",
    [
        ('[{"sequence_name": "s0"}, {"number": 1}]', "a record without sequence_name at byte 26"),
        ('[{"sequence_name": "s0"}] []', "text after the list"),
        ('[{"sequence_name": "s0"}, {"sequence_name": "s1"}, 3]', "no record"),
        ('[{"sequence_name": "s0", "n": nil}]', "Expecting value"),
    ],
)
def test_broken_annotations_show_when_read(text: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "frame_annotations.jgz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(FileDefect, match=re.escape(found)):
        [FrameIndex(path).read(name) for name in ("s0", "s1")]


def test_one_category_is_indexed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("co3d", co3d.write_category(tmp_path, sequences=(SEQUENCE, OTHER)))
    source.scene(f"apple/{SEQUENCE}")
    monkeypatch.setattr("cameo_data.sources.co3d.source.FrameIndex", None)  # not needed any more
    assert len(source.scene(f"apple/{OTHER}").frames) == 3


# real data


@pytest.mark.realdata
def test_apple_epipolar_distances(realdata: Path) -> None:
    """The publisher's cameras, read our way, put matched features on each other's lines."""
    root = realdata / "co3d_apple"
    scene = open_scene(root)
    assert len(scene.frames) == 8
    assert not scene.failures
    matched = matched_pixels(scene)
    assert sum(len(xy0) for _, xy0, _ in matched) > 500
    right = epipolar_median(matched, [frame.camera for frame in scene.frames])
    assert right < 0.75  # 0.67 when written; 20 by the legacy format, 108 with inverted poses
    legacy = json.loads(gzip.decompress((root / "apple/frame_annotations.jgz").read_bytes()))
    for record in legacy:
        record["viewpoint"]["intrinsics_format"] = "ndc_norm_image_bounds"
    cameras = [
        camera_from_viewpoint(ViewpointRecord.model_validate(r["viewpoint"]), f.camera.hw)
        for r, f in zip(legacy, scene.frames, strict=True)
    ]
    assert epipolar_median(matched, cameras) > 10 * right


def matched_pixels(scene: Scene) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """SIFT matches of neighbours a and a + 1 that one fundamental matrix explains.

    That matrix is fitted to the matches alone: the cameras have no part in choosing them.
    """
    sift = cv2.SIFT_create(6000)
    seen = []
    for frame in scene.frames:
        image = read_image(frame, dataset="co3d", scene_id=scene.scene_id)
        points, features = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        # OpenCV counts from the first pixel's centre
        seen.append((np.array([p.pt for p in points]) + 0.5, features))
    matched = []
    for a, ((all0, features0), (all1, features1)) in enumerate(pairwise(seen)):
        nearest = cv2.BFMatcher().knnMatch(features0, features1, k=2)
        good = [m for m, second in nearest if m.distance < 0.8 * second.distance]
        xy0, xy1 = all0[[m.queryIdx for m in good]], all1[[m.trainIdx for m in good]]
        cv2.setRNGSeed(0)
        _, inlier = cv2.findFundamentalMat(xy0, xy1, cv2.USAC_MAGSAC, 1.0, 0.9999, 20_000)
        kept = inlier.ravel() > 0
        matched.append((a, xy0[kept], xy1[kept]))
    return matched


def epipolar_median(
    matched: list[tuple[int, np.ndarray, np.ndarray]], cameras: list[Camera]
) -> float:
    """Median distance in pixels of matches from the lines that the cameras put them on."""
    distances = [distance_px(cameras[a], cameras[a + 1], xy0, xy1) for a, xy0, xy1 in matched]
    return float(np.median(np.concatenate(distances)))
