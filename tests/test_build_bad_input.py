"""Each kind of bad input, through the command: left out, counted, written down, the rest built."""

import json
import re
import shutil

import numpy as np
import pytest
from build_scenes import copy_scenes, edit, failures
from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.shards.reader import ShardReader
from cameo_data.shards.verify import verify_build

FRAME = "0001"


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def build(scenes, out, *args):
    flags = ["--views", 3, "--stride", 8, "--min-overlap", 0.05, "--workers", 1]
    return run("build-corr", "synthetic", scenes, "--out", out, *flags, *args)


def of_frame(**values):
    """Changes one frame's entry in ``scene.json``."""

    def change(record):
        next(f for f in record["frames"] if f["frame_id"] == FRAME).update(values)

    return lambda scene: edit(scene, change)


def of_pose(change):
    pose = np.eye(4)
    change(pose)
    return of_frame(cam_from_world=pose.tolist())


def nan(pose):
    pose[0, 3] = np.nan


def infinite(pose):
    pose[1, 1] = np.inf


def sheared(pose):
    pose[0, 1] = 0.3


def image(scene):
    return scene / "images" / f"{FRAME}.png"


def depth(scene):
    return scene / "depth" / f"{FRAME}.npy"


def truncate(scene):
    data = image(scene).read_bytes()
    image(scene).write_bytes(data[: len(data) // 2])


def save_depth(array):
    return lambda scene: np.save(depth(scene), array)


def duplicate(scene):
    edit(scene, lambda record: record["frames"].append(record["frames"][1]))


DAMAGE = {
    "missing image": (lambda scene: image(scene).unlink(), "missing_file", "0001.png"),
    "missing depth": (lambda scene: depth(scene).unlink(), "missing_file", "0001.npy"),
    "unreadable image": (
        lambda scene: image(scene).write_bytes(b"nothing like a picture"),
        "unreadable_image",
        "0001.png",
    ),
    "truncated PNG": (truncate, "unreadable_image", "0001.png"),
    "wrong size": (save_depth(np.ones((24, 32), np.float32)), "wrong_size", "24×32"),
    "empty depth": (save_depth(np.zeros((48, 64), np.float32)), "empty_depth", "no valid pixel"),
    "NaN pose": (of_pose(nan), "bad_pose", "NaN or infinite"),
    "infinite pose": (of_pose(infinite), "bad_pose", "NaN or infinite"),
    "no rotation": (of_pose(sheared), "bad_pose", "not a rotation"),
    "singular K": (of_frame(K=np.diag([50.0, 0, 1]).tolist()), "bad_intrinsics", "focal lengths"),
    "duplicate id": (duplicate, "duplicate_id", "twice"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_bad_frame_is_left_out_counted_and_written_down(kind, tiny_scenes, tmp_path):
    damage, reason, found = DAMAGE[kind]
    scenes, out = copy_scenes(tiny_scenes, tmp_path / "scenes"), tmp_path / "shards"
    scene = sorted(scenes.iterdir())[0]
    damage(scene)

    refused = build(scenes, out, "--max-failures", 0)
    assert refused.exit_code == 1
    assert len(refused.stderr.strip().splitlines()[-1:]) == 1
    assert f"1 failure (1 {reason}), 0 allowed" in refused.stderr
    assert not (out / "index.json").exists()

    accepted = build(scenes, out, "--max-failures", 1)
    assert accepted.exit_code == 3, accepted.output
    assert f"failures: 1 (1 {reason}); 1 allowed" in accepted.stdout
    assert verify_build(out).ok

    [failure] = failures(out)
    assert failure["reason"] == reason
    assert failure["message"].startswith(f"synthetic {scene.name} frame {FRAME}: ")
    assert found in failure["message"]
    assert re.fullmatch(r"[^\n]+; expected [^\n]+; [^\n]+", failure["message"])

    counts = json.loads((out / "index.json").read_text())["counts"]
    frames = counts["frames"]
    assert frames["failed"] == 1
    assert frames["found"] == (13 if reason == "duplicate_id" else 12)
    assert frames["found"] == frames["used"] + frames["left_out"] + frames["failed"]
    if reason != "duplicate_id":
        used = {(s.scene_id, frame_id) for s in ShardReader(out) for frame_id in s.frame_ids}
        assert (scene.name, FRAME) not in used


def test_a_scene_with_one_usable_view_is_left_out(tiny_scenes, tmp_path):
    scenes, out = copy_scenes(tiny_scenes, tmp_path / "scenes"), tmp_path / "shards"
    scene = sorted(scenes.iterdir())[0]
    for path in sorted((scene / "images").iterdir())[1:]:
        path.write_bytes(b"")
    result = build(scenes, out, "--max-failures", "60%")
    assert result.exit_code == 3
    reasons = [failure["reason"] for failure in failures(out)]
    assert reasons.count("too_few_views") == 1
    assert f"synthetic {scene.name}: 1 usable view of 6 frames; expected at least 3" in (
        out / "failures.jsonl"
    ).read_text("utf-8").encode().decode("unicode_escape")
    assert {sample.scene_id for sample in ShardReader(out)} == {sorted(scenes.iterdir())[1].name}


def test_a_scene_that_cannot_be_listed_is_left_out(tiny_scenes, tmp_path):
    scenes, out = copy_scenes(tiny_scenes, tmp_path / "scenes"), tmp_path / "shards"
    scene = sorted(scenes.iterdir())[0]
    (scene / "scene.json").write_text("{")
    assert build(scenes, out, "--max-failures", 1).exit_code == 3
    [failure] = failures(out)
    assert (failure["reason"], failure["scene_id"]) == ("bad_metadata", scene.name)


def test_nothing_usable_fails_whatever_is_allowed(tiny_scenes, tmp_path):
    scenes, out = copy_scenes(tiny_scenes, tmp_path / "scenes"), tmp_path / "shards"
    for path in scenes.glob("*/images/*.png"):
        path.unlink()
    result = build(scenes, out, "--max-failures", "100%")
    assert result.exit_code == 1
    assert "0 samples; first: synthetic" in result.stderr


def test_names_with_dots_spaces_and_other_scripts(tiny_scenes, tmp_path):
    """Scene and frame names reach the samples as they are, the keys hold none of it."""
    scenes, out = tmp_path / "my scenes.v2", tmp_path / "shards ü"
    first, second = sorted(tiny_scenes.iterdir())
    shutil.copytree(first, scenes / "a b.c")
    shutil.copytree(second, scenes / "厨房 Küche")

    def rename(record):
        for frame in record["frames"]:
            frame["frame_id"] = f"bild {frame['frame_id']}.ä"

    edit(scenes / "a b.c", rename)
    assert build(scenes, out).exit_code == 0
    reader = ShardReader(out)
    assert {sample.scene_id for sample in reader} == {"a b.c", "厨房 Küche"}
    ids = {frame_id for sample in reader for frame_id in sample.frame_ids}
    assert any(re.fullmatch(r"bild \d{4}\.ä", frame_id) for frame_id in ids)
    keys = list(reader.keys())
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in keys)
    assert run("verify", out).exit_code == 0
