"""The commands: help, exit codes, one line for every error that a person can cause."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from build_scenes import copy_scenes, tree
from click.testing import CliRunner

from cameo_data import errors
from cameo_data.build import whole_build
from cameo_data.cli import _COMMANDS, build_corr, common, main
from cameo_data.io import whole_files

TINY = ["--views", "3", "--stride", "8", "--min-overlap", "0.05", "--workers", "1"]
TINY += ["--groups-per-scene", "2", "--no-check"]


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def one_line(result, code=1):
    """The error's line, once it is known to be the only one."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)  # nothing unexpected
    [line] = [line for line in result.stderr.splitlines() if not line.startswith("scenes surveyed")]
    return line


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help_with_an_example_and_json(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"cameo-data {name}" in result.output.split("Options:")[1]
    assert "--json" in result.output


def test_the_group_lists_all_commands_and_exit_codes():
    text = " ".join(run("--help").output.split())
    assert all(f" {name} " in text for name in _COMMANDS)
    assert "75 interrupted" in text


@pytest.mark.parametrize(
    "args",
    [
        ["no-such-command"],
        ["build-corr"],
        ["build-corr", "rgbd", "--out", "x"],
        ["build-corr", "--out", "x"],
        ["build-corr", "rgbd", "root", "--out", "x", "-o", "novalue"],
        ["build-corr", "rgbd", "root", "--out", "x", "-o", "a=1", "-o", "a=2"],
        ["build-corr", "rgbd", "root", "--out", "x", "--corr", "some"],
        ["inspect", "rgbd"],
        ["status"],
    ],
)
def test_wrong_usage_ends_with_2(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args, says",
    [
        (["nosuch", "root"], "unknown source 'nosuch'; expected one of "),
        (["synthetic", "root", "--views", "1"], "views: 1: "),
        (["synthetic", "root", "--size", "big"], "size: 'big': expected 512 or 640x480"),
        (["synthetic", "root", "--max-failures", "x"], "max_failures: 'x': expected a number"),
        (
            ["synthetic", "root", "-o", "colour=red"],
            "unknown option 'colour' of source 'synthetic'",
        ),
        (["synthetic", "root", "--manifest", "no.yaml"], "recipe no.yaml: no such file"),
        (["synthetic", "nowhere"], "synthetic: nowhere does not exist; expected"),
        (["auto", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_wrong_input_is_one_line(args, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = 1 if "nowhere" in says else 2  # what was asked for is wrong, or what is there
    line = one_line(run("build-corr", *args, "--out", "out"), code)
    assert line.startswith("error: ")
    assert says in line


def test_build_status_and_json(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    built = run("build-corr", "auto", tiny_scenes, "--out", out, *TINY, "--json")
    assert built.exit_code == 0, built.output
    record = json.loads(built.stdout)
    assert built.stderr == ""
    assert record["samples"] == 4
    assert record["counts"]["frames"]["found"] == 12
    again = run("build-corr", "auto", tiny_scenes, "--out", out, *TINY)
    assert f"{out}: was finished already: 4 samples in 1 shard" in again.stdout
    status = run("status", out)
    assert f"{out}: finished; 1 of 1 shards, 4 samples" in status.stdout
    assert f"next: cameo-data verify {out}" in status.stdout
    assert json.loads(run("status", out, "--json").stdout)["state"] == "finished"


def test_the_command_that_status_names_finishes_the_build(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    flags = [flag for flag in TINY if flag != "--no-check"]
    assert run("build-corr", "synthetic", tiny_scenes, "--out", out, *flags).exit_code == 0
    whole = tree(out)
    (out / "index.json").unlink()
    (out / "shards" / "synthetic-000000.tar").unlink()
    following = json.loads(run("status", out, "--json").stdout)["next_command"].split()
    assert following[0] == "cameo-data"
    done = run(*following[1:])
    assert done.exit_code == 0, done.output
    assert tree(out) == whole


def test_flags_override_the_manifest(tiny_scenes, tmp_path):
    manifest = tmp_path / "recipe.yaml"
    manifest.write_text(
        f"source: {{name: synthetic, root: {tiny_scenes}}}\nviews: 3\nseed: 4\nstrides: [8]\n"
    )
    made = build_corr.resolve_recipe(None, None, manifest, {}, {"seed": 9, "strides": ()})
    assert (made.views, made.seed, made.strides) == (3, 9, (8,))


def test_progress_is_plain_lines_where_there_is_no_terminal(tiny_scenes, tmp_path):
    result = run("build-corr", "synthetic", tiny_scenes, "--out", tmp_path / "shards", *TINY)
    assert result.stderr.splitlines() == [
        "scenes surveyed: 1/2",
        "scenes surveyed: 2/2",
        "shards: 1/1",
    ]


def test_a_dry_run_says_what_would_be_written(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    result = run("build-corr", "synthetic", tiny_scenes, "--out", out, *TINY, "--dry-run")
    assert result.exit_code == 0
    assert f"would write 4 samples in 1 shard to {out}" in result.stdout
    assert not out.exists()


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_an_interrupted_build_ends_with_75_and_says_how_to_go_on(
    how, tiny_scenes, tmp_path, monkeypatch
):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")

    def stop(root, index):
        if how == "ctrl-c":
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal did not arrive")

    args = ["build-corr", "synthetic", tiny_scenes, "--out", tmp_path / "shards", *TINY]
    with monkeypatch.context() as patch:
        patch.setattr(whole_build, "run_task", stop)
        stopped = run(*args)
    assert stopped.exit_code == 75
    assert "interrupted; run the same command again to go on" in stopped.stderr
    assert run(*args).exit_code == 0


def test_a_full_disk_is_one_line(tiny_scenes, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device", "shard.tar")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    args = ["build-corr", "synthetic", tiny_scenes, "--out", tmp_path / "shards", *TINY]
    assert one_line(run(*args)).startswith("error: shard.tar: No space left on device; free space")


def test_a_folder_that_cannot_be_written_is_one_line(tiny_scenes, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "shards"
    args = ["build-corr", "synthetic", tiny_scenes, "--out", out, *TINY]
    assert "Not a directory" in one_line(run(*args))


def test_unexpected_errors_keep_their_traceback(tiny_scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(whole_build, "claimed", lambda root, recipe: [][0])
    result = run("build-corr", "synthetic", tiny_scenes, "--out", tmp_path / "shards", *TINY)
    assert isinstance(result.exception, IndexError)


def test_a_traceback_can_be_asked_for(tmp_path):
    result = run("--traceback", "build-corr", "nosuch", tmp_path, "--out", tmp_path / "x")
    assert isinstance(result.exception, ValueError)


def test_sources_names_every_format_and_its_options():
    listed = run("sources").stdout
    assert "rgbd " in listed
    assert "synthetic " in listed
    page = run("sources", "rgbd").stdout
    assert "depth_scale" in page
    assert "conventions" in page
    record = json.loads(run("sources", "--json").stdout)
    assert "depth_scale" in {s["name"]: s for s in record["sources"]}["rgbd"]["options"]
    assert "expected one of" in one_line(run("sources", "nosuch"), 2)


def test_inspect_says_what_is_there(tiny_scenes, monkeypatch):
    result = run("inspect", "auto", tiny_scenes)
    assert result.exit_code == 0, result.output
    assert "synthetic (format synthetic, guessed): 2 scenes, 12 frames" in result.stdout
    assert "64×48" in result.stdout
    assert "depth: 100 % of the frames" in result.stdout
    assert "widest rotation within a scene" in result.stdout
    record = json.loads(run("inspect", "synthetic", tiny_scenes, "--read-all", "--json").stdout)
    assert [scene["frames_read"] for scene in record["scenes"]] == [6, 6]
    assert (record["frames_with_depth_share"], record["guessed"]) == (1.0, False)


def test_inspect_shows_what_cannot_be_used(tiny_scenes, tmp_path):
    scenes = copy_scenes(tiny_scenes, tmp_path / "scenes")
    scene = sorted(scenes.iterdir())[0]
    (scene / "images" / "0001.png").write_bytes(b"no picture")
    (scene / "depth" / "0002.npy").unlink()
    listed, read = run("inspect", "synthetic", scenes), run("inspect", "auto", scenes, "--read-all")
    assert listed.exit_code == read.exit_code == 3
    assert "1 cannot be used: 1 missing_file" in listed.stdout  # not every picture is opened
    assert "2 cannot be used: 1 " in read.stdout
    assert f"synthetic {scene.name} frame 0001: " in read.stdout
    before = tree(scenes)
    run("inspect", "auto", scenes)
    assert tree(scenes) == before


def test_a_folder_like_no_format_is_said_to_be(tmp_path):
    assert "looks like none of " in one_line(run("inspect", "auto", tmp_path))


def test_the_demo_ends_with_its_page(tmp_path):
    tiny = ["--scenes", 1, "--frames", 8, "--size", 64, "--workers", 1]
    planned = run("demo", "--out", tmp_path / "demo", *tiny, "--dry-run")
    assert planned.exit_code == 0
    assert not (tmp_path / "demo").exists()
    result = run("demo", "--out", tmp_path / "demo", *tiny)
    assert result.exit_code == 0, result.output
    assert set(planned.stdout.splitlines()) <= set(result.stdout.splitlines())
    page = tmp_path / "demo" / "shards" / "preview.html"
    assert result.stdout.splitlines()[-1].strip() == str(page)
    assert page.stat().st_size > 10_000
    record = json.loads(run("demo", "--out", tmp_path / "demo", *tiny, "--json").stdout)
    assert record["page"] == str(page)
    assert record["results"]["verify"]["ok"] is True


def test_errors_cross_process_borders():
    """A worker's DataError arrives as it was: message and reason."""
    error = errors.DataError(
        errors.Reason.BAD_POSE, dataset="d", found="f", expected="e", remedy="r"
    )
    restore, args = error.__reduce__()
    assert str(restore(*args)) == str(error)


def test_exit_codes_as_a_process(tmp_path):
    """The installed command, not click's test runner: status and stream."""
    command = [sys.executable, "-c", "from cameo_data.cli import main; main()"]
    done = subprocess.run(
        [*command, "status", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_table_lines_up():
    assert common.table([("a", "b"), ("long", "c")]) == "a     b\nlong  c"


def test_inspect_shows_views_and_baselines(tmp_path):
    """A camera that moves by 0.5 and then by 0.7 along one line, 90° × 53° wide."""
    import numpy as np
    from rgbd_recordings import save

    for number in range(3):
        save(tmp_path / f"{number}.png", np.full((16, 32, 3), 100, np.uint8))
    poses = np.stack([np.eye(4)] * 3)
    poses[1:, 0, 3] = 0.5, 1.2
    frames = [{"image": f"{i}.png", "pose": pose.tolist()} for i, pose in enumerate(poses)]
    record = {"format": "cameo-1", "poses": "world_from_cam", "K": [16, 16, 16, 8]}
    (tmp_path / "cameo.json").write_text(json.dumps({**record, "frames": frames}))
    shown = run("inspect", "generic", tmp_path).stdout
    assert "view (h×v)" in shown
    assert "90×53°" in shown
    assert "0.6, 1.2" in shown
    [scene] = json.loads(run("inspect", "generic", tmp_path, "--json").stdout)["scenes"]
    assert scene["fov_deg"]["horizontal"] == [90, 90, 90]
    assert scene["fov_deg"]["vertical"] == [53.13, 53.13, 53.13]
    assert (scene["neighbour_distance"], scene["extent"]) == (0.6, 1.2)
    frames[2]["K"] = [160, 160, 16, 8]
    (tmp_path / "cameo.json").write_text(json.dumps({**record, "frames": frames}))
    assert "11–90×6–53°" in run("inspect", "generic", tmp_path).stdout


def test_inspect_says_what_all_frames_fail_for_once(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    frames = [{"image": f"{i}.png", "pose": [[1, 0, 0, 0]] * 3} for i in range(3)]
    frames[2]["image"] = "lost.png"
    record = {"format": "cameo-1", "poses": "world_from_cam", "K": [16, 16, 16, 8]}
    for entry in frames[:2]:
        entry["image"] = "gone.png"
        entry["id"] = f"id{frames.index(entry)}"
    (tmp_path / "cameo.json").write_text(json.dumps({**record, "frames": frames}))
    result = run("inspect", "generic", tmp_path)
    assert result.exit_code == 3
    assert "3 cannot be used: 3 missing_file" in result.stdout
    assert "2 frames, such as id0: gone.png is missing" in result.stdout
    assert "frame lost: lost.png is missing" in result.stdout


@pytest.mark.parametrize(
    "args, code, says",
    [
        (["build-corr", "synthetic", "nowhere", "--out", "x"], 1, "nowhere does not exist"),
        (["build-corr", "synthetic", "nowhere"], 2, "Missing option '--out'"),
        (["build-corr", "nosuch", "root", "--out", "x"], 2, "unknown source 'nosuch'"),
        (["inspect", "synthetic", "nowhere"], 1, "nowhere does not exist"),
        (["check", "auto", "nowhere"], 1, "nowhere"),
        (["depth", "synthetic", "nowhere", "--out", "x"], 1, "nowhere does not exist"),
        (["status", "nowhere"], 1, "holds no build"),
        (["verify", "nowhere"], 1, None),
        (["stats", "."], 1, "no index.json"),
        (["preview", "."], 1, "no index.json"),
        (["sources", "nosuch"], 2, "nosuch"),
        (["synth", "x", "--size", "5"], 2, "sides from 16 to 8192"),
    ],
)
def test_json_is_one_object_whatever_the_exit_code(args, code, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*args, "--json")
    assert result.exit_code == code, result.output
    record = json.loads(result.stdout)
    if says is not None:
        assert (record["finished"], record["exit_code"]) == (False, code)
        assert says in record["error"]
        assert says in result.stderr
    assert run(*args).exit_code == code
    assert "exit_code" not in run(*args).stdout


def test_too_many_failures_are_one_json_object(tiny_scenes, tmp_path):
    scenes = copy_scenes(tiny_scenes, tmp_path / "scenes")
    for picture in scenes.rglob("*.png"):
        picture.write_bytes(b"")
    result = run("build-corr", "synthetic", scenes, "--out", tmp_path / "x", *TINY, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["counts"]["failures"]["total"]


def test_an_interrupted_command_is_one_json_object(monkeypatch, tmp_path):
    def interrupted(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_corr, "build", interrupted)
    result = run("build-corr", "synthetic", tmp_path, "--out", tmp_path / "x", "--json")
    assert result.exit_code == 75
    record = json.loads(result.stdout)
    assert record["exit_code"] == 75
    assert "run the same command again" in record["error"]


def test_scenes_are_not_written_into_a_build(tiny_build):
    result = run("synth", tiny_build[0], "--scenes", 1, "--dry-run")
    assert "is the folder of a build" in one_line(result)
