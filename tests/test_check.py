"""The check's measures against closed forms, its sampling, and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from check_recordings import COUNT, HW, K, right, shots, with_poses, write
from click.testing import CliRunner

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.check import check_scene, geometry
from cameo_data.check.matching import MatchedPair, match_pairs
from cameo_data.check.score import gain
from cameo_data.check.views import choose_by_pose, choose_places, read_views
from cameo_data.cli import main
from cameo_data.sources import open_source
from cameo_data.sources.common.subset import subset
from cameo_data.types import Camera, Frame, Scene


def run(*args: Any) -> Any:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def flags(options: dict[str, Any]) -> list[str]:
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def two_cameras() -> tuple[Camera, Camera]:
    one = Camera(K, HW, transforms.look_at((0, -1, 0.2), (0, 3, 0)))
    return one, Camera(K, HW, transforms.look_at((0.6, -0.7, 0.4), (0.1, 3, 0)))


def seen_points(n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.stack([rng.uniform(-1, 1, n), rng.uniform(1.5, 5, n), rng.uniform(-1, 1, n)], -1)


class TestGeometry:
    def test_true_matches_lie_on_the_piece_at_their_depth(self) -> None:
        one, two = two_cameras()
        p = seen_points()
        (xy0, z0), (xy1, _) = cameras.project(one, p), cameras.project(two, p)
        relative = two.cam_from_world @ one.world_from_cam
        piece = geometry.epipolar_piece(one.K, two.K, relative, xy0, xy1)
        np.testing.assert_allclose(piece.distance_px, 0, atol=1e-9)
        np.testing.assert_allclose(piece.z0, z0, rtol=1e-9)
        moved, _ = geometry.transfer(one.K, two.K, relative, xy0, z0)
        np.testing.assert_allclose(moved, xy1, atol=1e-9)

    def test_distance_is_that_to_the_densely_sampled_piece(self) -> None:
        """In front of the camera the camera backs away, turns round, or does not move at all."""
        rng = np.random.default_rng(5)
        inverse_depth = np.concatenate([[0], np.geomspace(1e-5, 1e5, 40_000)])
        for _ in range(60):
            relative = np.eye(4)
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            relative[:3, :3] = turn * np.sign(np.linalg.det(turn))
            relative[:3, 3] = rng.normal(size=3) * rng.choice([0.0, 1.0], p=[0.1, 0.9])
            xy0, xy1 = rng.uniform(0, 150, (2, 1, 2))
            r, e = geometry.pixel_transfer(K, K, relative, xy0)
            p = r + inverse_depth[:, None] * e
            front = p[:, 2] > 0
            expected = np.inf
            if front.any():
                line = p[front, :2] / p[front, 2:]
                expected = _distance_to_polyline(xy1[0], line)
            found = geometry.epipolar_piece(K, K, relative, xy0, xy1).distance_px[0]
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-2)

    def test_a_turned_baseline_is_off_the_piece_though_on_the_line(self) -> None:
        one, two = two_cameras()
        p = seen_points()
        xy0, xy1 = cameras.project(one, p)[0], cameras.project(two, p)[0]
        turned = two.cam_from_world @ one.world_from_cam
        turned[:3, 3] *= -1
        assert np.median(geometry.epipolar_distance(one.K, two.K, turned, xy0, xy1)) > 5


def _distance_to_polyline(point: np.ndarray, line: np.ndarray) -> float:
    start, step = line[:-1], np.diff(line, axis=0)
    squared = (step**2).sum(1)
    along = ((point - start) * step).sum(1) / np.where(squared > 0, squared, 1)
    nearest = start + np.clip(along, 0, 1)[:, None] * step
    ends = np.concatenate([nearest, line])
    return float(np.linalg.norm(ends - point, axis=1).min())


def test_features_have_no_offset() -> None:
    """Matches of exact views lie on their epipolar lines without a systematic shift."""
    one, two = shots()[2], shots()[3]
    from cameo_data.check.matching import _inliers, mutual
    from cameo_data.check.views import features

    (xy_a, d_a), (xy_b, d_b) = features(one.rgb), features(two.rgb)
    rows, columns = mutual(d_a, d_b)
    xy_a, xy_b = xy_a[rows], xy_b[columns]
    kept = _inliers(xy_a, xy_b, 1.5, 0)
    assert len(kept) > 30
    relative = two.camera.cam_from_world @ one.camera.world_from_cam
    column, row = np.floor(xy_a[kept]).astype(int).T
    moved, _ = geometry.transfer(K, K, relative, xy_a[kept], one.z[row, column].astype(float))
    assert np.abs(np.nanmedian(moved - xy_b[kept], axis=0)).max() < 0.1


@pytest.mark.parametrize("count", [1, 2, 16, 17, 40, 3000])
def test_places_are_seeded_bursts(count: int) -> None:
    places = choose_places(count, 16, seed=1)
    assert len(places) == len(set(places)) == min(count, 16)
    assert places == sorted(places)
    assert places == choose_places(count, 16, seed=1)
    assert 0 <= places[0] <= places[-1] < count
    if count == 3000:
        assert places != choose_places(count, 16, seed=2)
        assert places[-1] - places[0] > count / 2
        assert 10 in np.diff(places)  # neighbours in a burst share what they see


@pytest.mark.parametrize("inverted", [False, True])
def test_pictures_in_no_order_are_chosen_by_pose(inverted: bool) -> None:
    """Of a shuffled round, whatever way its poses are read, neighbours are looked at."""
    turns = np.random.default_rng(2).permutation(400) * 2 * np.pi / 400
    frames = []
    for angle in turns:
        pose = transforms.look_at((4 * np.cos(angle), 4 * np.sin(angle), 1), (0, 0, 0))
        camera = Camera(K, HW, transforms.invert(pose) if inverted else pose)
        frames.append(Frame(f"{angle:.4f}", camera, Path("none.png")))
    places = choose_by_pose(frames, 16, seed=0)
    assert 12 <= len(places) <= 16
    around = np.sort(turns[places])
    gaps = np.diff(np.concatenate([around, around[:1] + 2 * np.pi]))
    assert np.sum(gaps < 0.05) >= 3 * len(places) / 4 - 1


def test_gain_counts_pairs_that_change() -> None:
    before = np.log([[4.0, 4, 0.1, 0.5, np.nan]] * 4)
    after = before.copy()
    after[:3, :2] -= np.log(2)
    found = gain(before, after)
    assert found.factor == pytest.approx(4)
    assert found.share == 1
    assert found.by_measure == pytest.approx(
        {"epipolar": 2, "transfer": 2, "depth": 1, "colour": 1}
    )
    assert found.convincing
    after[:, 3] += np.log(1.5)  # colour gets worse: not the right reading
    assert not gain(before, after).convincing
    assert not gain(before, before).convincing


def test_gain_of_a_reading_that_loses_a_measure() -> None:
    """Depth that can no longer be read is no way to make it agree."""
    before = np.log([[1.0, 4, 0.1, 0.5, np.nan]] * 4)
    after = before.copy()
    after[:, 1:] = np.nan
    assert gain(before, after).factor < 0.5
    assert gain(after, before).factor > 2


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("check") / "office"
    return folder, write(folder, right())


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("check") / "hall"
    return folder, write(folder, with_poses(transforms.invert)(right()))


def the_scene(recording: tuple[Path, dict[str, Any]]) -> Scene:
    source = open_source("rgbd", *recording)
    return source.scene(source.scene_ids()[0])


def without_depth(scene: Scene) -> Scene:
    return replace(scene, frames=tuple(replace(frame, depth=None) for frame in scene.frames))


def test_works_without_depth(
    recording: tuple[Path, dict[str, Any]], inverted: tuple[Path, dict[str, Any]]
) -> None:
    good = check_scene(without_depth(the_scene(recording)), views=COUNT, pairs=9)
    assert good.verdict == "consistent"
    assert good.figures is not None
    assert (good.figures.depth_within, good.figures.transfer_px) == (None, None)
    bad = check_scene(without_depth(the_scene(inverted)), views=COUNT, pairs=9)
    assert [mistake.suspect for mistake in bad.mistakes] == ["poses_inverted"]


def test_the_same_seed_gives_the_same_figures(recording: tuple[Path, dict[str, Any]]) -> None:
    scene = the_scene(recording)
    one, two = (check_scene(scene, views=4, pairs=3, seed=4) for _ in range(2))
    assert one.figures == two.figures
    assert one.figures is not None
    assert one.figures != check_scene(scene, views=4, pairs=3, seed=5).figures


def test_pictures_without_features_are_compared_by_depth(tmp_path: Path) -> None:
    grey = replace(right(), rgb=tuple(np.full((*HW, 3), 127, np.uint8) for _ in shots()))
    good = check_scene(the_scene((tmp_path / "a", write(tmp_path / "a", grey))), views=5)
    assert good.verdict == "consistent"
    assert good.figures is not None
    assert good.figures.epipolar_px is None
    turned = with_poses(transforms.invert)(grey)
    bad = check_scene(the_scene((tmp_path / "b", write(tmp_path / "b", turned))), views=5)
    assert "poses_inverted" in [mistake.suspect for mistake in bad.mistakes]


def test_neither_features_nor_depth_is_undecided(tmp_path: Path) -> None:
    grey = replace(right(), rgb=tuple(np.full((*HW, 3), 127, np.uint8) for _ in shots()))
    scene = without_depth(the_scene((tmp_path / "a", write(tmp_path / "a", grey))))
    assert check_scene(scene).verdict == "undecided"
    alone = replace(scene, frames=scene.frames[:1])
    assert check_scene(alone).verdict == "undecided"


def test_unreadable_frames_are_failures_of_the_scene(tmp_path: Path) -> None:
    options = write(tmp_path / "a", right())
    (tmp_path / "a/color/002.png").write_bytes(b"no picture at all")
    found = check_scene(the_scene((tmp_path / "a", options)), views=COUNT, pairs=9)
    assert [failure.frame_id for failure in found.failures] == ["002"]
    assert found.views == COUNT - 1
    assert found.verdict == "consistent"


def test_pairs_share_features(recording: tuple[Path, dict[str, Any]]) -> None:
    views, failures = read_views(the_scene(recording), range(COUNT))
    assert not failures
    pairs = match_pairs(views, 6, 0)
    assert len(pairs) == 6
    assert all(isinstance(pair, MatchedPair) and len(pair.xy_a) >= 20 for pair in pairs)
    assert {view.place for view in views} == set(range(COUNT))


SMALL = ["--views", COUNT, "--pairs", 9]


def test_the_command_passes_a_right_reading(recording: tuple[Path, dict[str, Any]]) -> None:
    folder, options = recording
    result = run("check", "rgbd", folder, *flags(options), *SMALL)
    assert result.exit_code == 0, result.output
    assert "office: consistent (7 views, 9 pairs)" in result.stdout
    assert "agree within 1 / 2 / 5 / 10 %" in result.stdout
    record = json.loads(run("check", "rgbd", folder, *flags(options), *SMALL, "--json").stdout)
    assert record["consistent"] is True
    assert record["scenes"][0]["figures"]["depth_within"]["0.02"] > 0.8


def test_the_command_names_the_mistake_and_the_flag(
    inverted: tuple[Path, dict[str, Any]],
) -> None:
    folder, options = inverted
    result = run("check", "rgbd", folder, *flags(options), *SMALL)
    assert result.exit_code == 1
    assert "hall: inconsistent" in result.stdout
    assert "mistake: poses are read the wrong way round" in result.stdout
    assert "apply: -o pose_direction=cam_from_world" in result.stdout
    again = run(
        "check", "rgbd", folder, *flags(options), "-o", "pose_direction=cam_from_world", *SMALL
    )
    assert again.exit_code == 0, again.output
    record = json.loads(run("check", "rgbd", folder, *flags(options), *SMALL, "--json").stdout)
    (mistake,) = record["scenes"][0]["mistakes"]
    assert mistake["options"] == {"pose_direction": "cam_from_world"}
    assert mistake["figures_without_it"]["depth_within"]["0.02"] > 0.8


def test_many_scenes_are_sampled(recording: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, options = recording
    for name in ("a", "b", "c"):
        (tmp_path / name).symlink_to(f"{folder}-gone")
    assert run("check", "rgbd", tmp_path, *flags(options)).exit_code == 1
    root = folder.parent
    result = run("check", "rgbd", root, *flags(options), *SMALL, "--scenes", "off*", "--sample", 1)
    assert result.exit_code == 0, result.output
    nothing = run("check", "rgbd", root, *flags(options), "--scenes", "kitchen*")
    assert nothing.exit_code == 1
    assert "no scene matches 'kitchen*'; expected some of 1: office" in nothing.stderr


def test_a_scene_that_cannot_be_judged_ends_with_1(tmp_path: Path) -> None:
    one = replace(right(), rgb=right().rgb[:1], stored=right().stored[:1], poses=right().poses[:1])
    options = write(tmp_path / "lone", one)
    result = run("check", "rgbd", tmp_path / "lone", *flags(options))
    assert result.exit_code == 1
    assert "lone: undecided (1 views, 0 pairs)" in result.stdout
    assert "not judged: 0 pairs of 1 views share features" in result.stdout


def test_subset_of_a_source(recording: tuple[Path, dict[str, Any]]) -> None:
    source = open_source("rgbd", recording[0].parent, recording[1])
    assert subset(source, (), None) is source
    part = subset(source, ("office", "x*"), 5)
    assert list(part.scene_ids()) == ["office"]
    assert part.scene("office").frames
