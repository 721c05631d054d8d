"""What a build says besides its counts: notes, unused files, geometry that looks wrong, choices."""

import json
import shlex
from dataclasses import replace

import depth_scenes
import numpy as np
import pytest
import trapped_source
from build_scenes import copy_scenes, edit, tree
from click.testing import CliRunner
from rgbd_recordings import OPTIONS_7SCENES, write_7scenes

from cameo_data import recipe as recipes
from cameo_data import sources
from cameo_data.build import consistency
from cameo_data.cli import main
from cameo_data.shards.verify import verify_build
from cameo_data.types import Unused

TINY = ["--views", 3, "--stride", 8, "--min-overlap", 0.01, "--workers", 1]


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def one_line(result, code):
    assert result.exit_code == code, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error")]
    return line


@pytest.fixture
def talkative(monkeypatch):
    monkeypatch.setitem(sources._BUILTIN, "trapped", "trapped_source:SPEC")
    monkeypatch.setattr(trapped_source, "NOTES", ["poses were normalised"])
    monkeypatch.setattr(
        trapped_source, "UNUSED", [Unused("pictures without a pose", 4, ("a.png", "b.png"))]
    )


def test_notes_and_unused_files_are_told_once_and_counted(talkative, tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    args = ["build-corr", "trapped", tiny_scenes, "--out", out, *TINY, "--no-check"]
    for _ in range(2):  # surveyed, and from what was kept
        result = call(*args)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("note (2 scenes): poses were normalised") == 1
        assert "not used (8): pictures without a pose (a.png, b.png, a.png)" in result.stdout
    counts = json.loads((out / "index.json").read_text())["counts"]
    assert json.loads(call(*args, "--json").stdout)["counts"] == counts
    [note], [unused] = counts["notes"], counts["unused"]
    assert (note["note"], note["scenes"]) == ("poses were normalised", 2)
    assert (unused["what"], unused["count"]) == ("pictures without a pose", 8)
    card = (out / "README.md").read_text()
    assert "- poses were normalised (2 scenes)" in card
    assert "- not used (8): pictures without a pose" in card
    assert "note (2 scenes)" in call("status", out).stdout
    assert verify_build(out).ok


def test_another_note_is_a_change_of_the_input(talkative, tiny_scenes, tmp_path, monkeypatch):
    args = ["build-corr", "trapped", tiny_scenes, "--out", tmp_path / "s", *TINY, "--no-check"]
    assert call(*args).exit_code == 0
    monkeypatch.setattr(trapped_source, "NOTES", ["poses were scaled"])
    assert "note (2 scenes): poses were scaled" in call(*args).stdout


@pytest.fixture(scope="module")
def arc(tmp_path_factory):
    return depth_scenes.write(tmp_path_factory.mktemp("arc") / "scenes", frames=6)


@pytest.fixture(scope="module")
def inverted(arc, tmp_path_factory):
    """Poses read the wrong way round."""
    scenes = copy_scenes(arc, tmp_path_factory.mktemp("inverted") / "scenes")
    for scene in scenes.iterdir():
        depth_scenes.change_poses(scene, lambda poses: [np.linalg.inv(pose) for pose in poses])
    return scenes


def test_wrong_geometry_is_said_at_the_start_and_at_the_end(inverted, tmp_path):
    out = tmp_path / "shards"
    args = ["build-corr", "synthetic", inverted, "--out", out, *TINY]
    result = call(*args)
    assert result.exit_code == 0, result.output
    warning = "warning: objects-0000: poses, depth or K look wrong"
    assert result.stderr.index(warning) < result.stderr.index("shards: 1/1")
    assert warning in result.stdout
    assert "poses are read the wrong way round" in result.stdout
    assert "check of 1 scene: 0 consistent, 1 inconsistent" in result.stdout
    card = (out / "README.md").read_text()
    assert "objects-0000: poses, depth or K look wrong" in card
    assert verify_build(out).ok
    # the command that the warning names says more
    command = result.stdout.split("run `")[1].split("`")[0]
    checked = call(*shlex.split(command)[1:])
    assert checked.exit_code == 1
    assert "objects-0000: inconsistent" in checked.stdout
    record = json.loads(call(*args, "--json").stdout)
    assert record["counts"]["check"]["scenes"][0]["verdict"] == "inconsistent"
    assert record["warnings"][0].startswith(warning)
    # what stats and preview see in the shards alone
    for command in ("stats", "preview"):
        assert "matching makes them agree no better" in call(command, out).stdout
        assert len(json.loads(call(command, out, "--json").stdout)["warnings"]) == 1
    assert "matching makes them agree no better" in (out / "preview.html").read_text()


def test_right_geometry_is_not_doubted(arc, tmp_path):
    out = tmp_path / "shards"
    result = call("build-corr", "synthetic", arc, "--out", out, *TINY)
    assert "warning" not in result.output
    assert "check of 1 scene: 1 consistent" in result.stdout
    for command in ("stats", "preview"):
        assert "warning" not in call(command, out).stdout
        assert json.loads(call(command, out, "--json").stdout)["warnings"] == []


def test_a_check_is_remembered_and_changes_no_shard(arc, tmp_path, monkeypatch):
    checked, plain = tmp_path / "checked", tmp_path / "plain"
    asked = []
    true = consistency.check_one
    monkeypatch.setattr(
        consistency, "check_one", lambda *args: asked.append(args[-1]) or true(*args)
    )
    args = ["build-corr", "synthetic", arc, *TINY]
    assert call(*args, "--out", checked).exit_code == 0
    assert call(*args, "--out", plain, "--no-check").exit_code == 0
    assert tree(checked / "shards") == tree(plain / "shards")
    whole = tree(checked)
    (checked / "index.json").unlink()
    assert call(*args, "--out", checked).exit_code == 0
    assert asked == ["objects-0000"]
    assert tree(checked) == whole
    # a build that was not checked is checked when that is asked for
    assert "was finished already" in call(*args, "--out", plain).stdout
    assert asked == ["objects-0000"] * 2
    assert tree(plain) == whole


@pytest.mark.parametrize("wide", ["consistent", "inconsistent"])
def test_a_scene_that_looks_wrong_is_looked_at_as_the_advised_command_does(arc, wide, monkeypatch):
    from cameo_data.check import judge

    true = judge.check_scene
    asked = []

    def judged(scene, **few):
        asked.append(few)
        return replace(true(scene), verdict="inconsistent" if few else wide)

    monkeypatch.setattr(judge, "check_scene", judged)
    source = recipes.source_recipe({"name": "synthetic", "root": str(arc)})
    assert consistency.check_one(source, 5, "objects-0000")["verdict"] == wide
    assert asked == [{"views": 6, "pairs": 8, "seed": 5}, {}]


def test_a_build_inside_its_scene_does_not_change_it(tmp_path):
    rec = write_7scenes(tmp_path / "rec")
    options = [arg for key, value in OPTIONS_7SCENES.items() for arg in ("-o", f"{key}={value}")]
    args = ["build-corr", "rgbd", rec, *options, "--views", 2, "--stride", 8, "--min-overlap", 0.01]
    args += ["--workers", 1, "--no-check"]
    first = call(*args, "--out", rec / "shards")
    assert first.exit_code == 0, first.output
    assert "not used" not in first.stdout
    assert "was finished already" in call(*args, "--out", rec / "shards").stdout
    assert call(*args, "--out", tmp_path / "other").exit_code == 0
    assert tree(rec / "shards" / "shards") == tree(tmp_path / "other" / "shards")


def test_few_scenes_are_checked_however_many_there_are():
    assert (consistency.SCENES, consistency.VIEWS, consistency.PAIRS) == (3, 6, 8)


def test_what_was_chosen_is_said(tiny_scenes, tmp_path):
    args = ["build-corr", "synthetic", tiny_scenes, *TINY, "--no-check", "--out"]
    result = call(*args, tmp_path / "a")
    assert "samples: 3 views each, strategy balanced, as many as use every frame" in result.stdout
    assert "frames: 12 found = 12 used + 0 left out" in result.stdout
    result = call(*args, tmp_path / "b", "--groups-per-scene", 1, "--size", "32x24")
    assert "left out: 6 frames; without --groups-per-scene every frame" in result.stdout
    assert "images: resized to 32x24\n" in result.stdout
    assert "encoded as jpg (--image-format, --image-quality)" in result.stdout


def without_depth(scenes, out):
    """The scenes as a capture in nerfstudio's layout, which has pictures and poses alone."""
    scene = sorted(scenes.iterdir())[0]
    copy_scenes(scene / "images", out / "images")
    frames, record = [], json.loads((scene / "scene.json").read_text())
    for frame in record["frames"]:
        world_from_cam = np.linalg.inv(frame["cam_from_world"]) @ np.diag([1.0, -1, -1, 1])
        frames.append({"file_path": frame["image"], "transform_matrix": world_from_cam.tolist()})
    K = record["frames"][0]["K"]
    h, w = depth_scenes.HW
    intrinsics = {"fl_x": K[0][0], "fl_y": K[1][1], "cx": K[0][2], "cy": K[1][2], "w": w, "h": h}
    text = json.dumps({"camera_model": "PINHOLE", **intrinsics, "frames": frames})
    (out / "transforms.json").write_text(text)
    return out


def follow(text, monkeypatch, folder):
    """Runs the command that a message names in backquotes."""
    monkeypatch.chdir(folder)
    [command] = [part for part in text.split("`") if part.startswith("cameo-data depth nerf")]
    return call(*shlex.split(command)[1:], "--workers", 1, "-m", "side=64")


def test_the_remedy_for_missing_depth_is_a_command_that_works(arc, tmp_path, monkeypatch):
    """The build fails, its message's command is run, and the same --out takes the corrected one."""
    capture = without_depth(arc, tmp_path / "my capture")
    args = ["build-corr", "nerfstudio", capture, "--out", tmp_path / "shards", *TINY]
    line = one_line(call(*args), 1)
    assert "6 no_depth" in line
    assert "then give --depth DEPTH to the build" in line
    made = follow(line, monkeypatch, tmp_path)
    assert made.exit_code in (0, 3), made.output
    result = call(*args, "--depth", "DEPTH", "--max-failures", "50%")
    assert result.exit_code in (0, 3), result.output
    assert "without any shard; this one takes over" in result.stderr
    assert verify_build(tmp_path / "shards").ok


def test_inspect_names_the_same_remedy(arc, tmp_path):
    """That the command works is tested above."""
    capture = without_depth(arc, tmp_path / "capture")
    shown = call("inspect", "nerfstudio", capture).stdout
    assert f"left out of a build; make depth with `cameo-data depth nerfstudio {capture} --out" in (
        shown
    )
    assert "then give --depth DEPTH to the build" in shown


def test_a_build_that_came_to_a_shard_is_not_replaced(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    args = ["build-corr", "synthetic", tiny_scenes, "--out", out, *TINY, "--no-check"]
    assert call(*args).exit_code == 0
    before = tree(out)
    (out / "index.json").unlink()
    assert "another recipe (seed: 0 there, 1 here)" in one_line(call(*args, "--seed", 1), 1)
    assert {**tree(out), "index.json": before["index.json"]} == before


def test_a_failed_first_run_leaves_nothing_behind(tiny_scenes, tmp_path):
    out, fresh = tmp_path / "shards", tmp_path / "fresh"
    scenes = copy_scenes(tiny_scenes, tmp_path / "scenes")
    edit(sorted(scenes.iterdir())[0], lambda record: record["frames"][0].update(image="no.png"))
    args = ["build-corr", "synthetic", scenes, *TINY, "--no-check"]
    assert call(*args, "--out", out, "--max-failures", 0).exit_code == 1
    corrected = [*args, "--max-failures", 1, "--seed", 1, "--out"]
    assert call(*corrected, out).exit_code == 3
    assert call(*corrected, fresh).exit_code == 3
    assert tree(out) == tree(fresh)
