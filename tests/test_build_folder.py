"""A build's folder: killed and run again, changed, shared, foreign or full."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from build_scenes import copy_scenes, recipe, tree

from cameo_data import recipe as recipes
from cameo_data.build import build, build_status, run_task
from cameo_data.build import folder as folders
from cameo_data.io import whole_files

DRIVER = Path(__file__).with_name("kill_driver.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the driver forks")
def test_killed_at_every_write_it_ends_in_the_same_bytes(tiny_build, tiny_scenes, tmp_path):
    """SIGKILL at the first flush to disk of the first run, the second of the second, and so on."""
    out, _ = tiny_build
    (tmp_path / "recipe.yaml").write_text(recipe(tiny_scenes).yaml())
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path / "recipe.yaml"), str(tmp_path / "shards")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15  # kills: surveys, plan, shards, records, companions, index
    assert tree(tmp_path / "shards") == tree(out)


def test_a_second_run_only_makes_what_is_missing(tiny_build, tiny_scenes, tmp_path):
    out, _ = tiny_build
    again = copy_scenes(out, tmp_path / "shards")
    (again / "index.json").unlink()
    (again / "shards" / "synthetic-000002.tar").unlink()
    (again / "shards" / ".synthetic-000001.tar.0123abcd.partial").write_bytes(b"half")
    (again / "shards" / "synthetic-000009.tar").write_bytes(b"of another plan")
    result = build(recipe(tiny_scenes), again)
    assert (result.made, result.kept) == (1, 3)
    assert tree(again) == tree(out)


def test_a_finished_build_is_not_built_again(tiny_build, tiny_scenes):
    out, _ = tiny_build
    before = tree(out)
    result = build(recipe(tiny_scenes), out)
    assert (result.made, result.kept, result.samples) == (0, 4, 4)
    assert tree(out) == before


def test_what_changed_on_disk_is_surveyed_and_made_again(tiny_scenes, tmp_path):
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    out, fresh = tmp_path / "shards", tmp_path / "fresh"
    build(recipe(mine), out)
    (out / "index.json").unlink()
    scene = sorted(mine.iterdir())[0]
    depth = scene / "depth" / "0002.npy"
    np.save(depth, np.load(depth) * np.float32(1.5))
    build(recipe(mine), out)
    build(recipe(mine), fresh)
    assert tree(out) == tree(fresh)


def test_another_recipe_is_refused_with_what_differs(tiny_build, tiny_scenes):
    out, _ = tiny_build
    before = tree(out)
    with pytest.raises(ValueError, match=r"another recipe \(views: 3 there, 2 here; seed: 0 there"):
        build(recipe(tiny_scenes, views=2, seed=5), out)
    changed = recipe(tiny_scenes).record()
    changed["source"]["limit"] = 1
    with pytest.raises(ValueError, match=r"recipe \(source.limit: None there, 1 here\); give"):
        build(recipes.make(changed), out)
    assert tree(out) == before


def test_another_recipe_is_refused_in_a_copy_without_its_work_folder(
    tiny_build, tiny_scenes, tmp_path
):
    out, _ = tiny_build
    copy = copy_scenes(out, tmp_path / "copy")
    for path in sorted((copy / ".build").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (copy / ".build").rmdir()
    assert build(recipe(tiny_scenes), copy).made == 0
    with pytest.raises(ValueError, match="another recipe"):
        build(recipe(tiny_scenes, seed=1), copy)


def test_another_version_of_the_tool_is_refused(tiny_scenes, tmp_path, monkeypatch):
    out = tmp_path / "shards"
    build(recipe(tiny_scenes), out)
    monkeypatch.setattr(folders, "__version__", "99.0")
    with pytest.raises(ValueError, match=r"holds a build of cameo \d.*, this is 99.0"):
        build(recipe(tiny_scenes), out)


def test_a_folder_with_other_files_is_refused(tiny_scenes, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files; give a new or an empty folder"):
        build(recipe(tiny_scenes), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_builds_in_one_folder_are_refused(tiny_scenes, tmp_path):
    with (
        folders.claimed(tmp_path / "shards", recipe(tiny_scenes)),
        pytest.raises(ValueError, match="another run is writing to this folder"),
    ):
        build(recipe(tiny_scenes), tmp_path / "shards")
    assert build(recipe(tiny_scenes), tmp_path / "shards").made == 4  # the lock is gone


def test_status(tiny_build, tiny_scenes, tmp_path):
    out, _ = tiny_build
    status = build_status(out)
    assert (status.state, status.done, status.total, status.samples) == ("finished", 4, 4, 4)
    copy = copy_scenes(out, tmp_path / "a copy")
    (copy / "index.json").unlink()
    (copy / "shards" / "synthetic-000002.tar").unlink()
    status = build_status(copy)
    assert (status.state, status.done, status.total) == ("building", 3, 4)
    assert status.next_command == (
        f"cameo-data build-corr --manifest '{copy}/recipe.yaml' --out '{copy}'"
    )
    (copy / ".build" / "plan.json").unlink()
    assert build_status(copy).state == "surveying"
    with pytest.raises(ValueError, match="holds no build"):
        build_status(tmp_path)


def test_a_task_can_be_run_alone(tiny_build, tmp_path):
    """What an array job does: the same bytes from the folder and a number."""
    out, _ = tiny_build
    copy = copy_scenes(out, tmp_path / "shards")
    (copy / "index.json").unlink()
    (copy / "shards" / "synthetic-000001.tar").unlink()
    run_task(copy, 1)
    name = "shards/synthetic-000001.tar"
    assert (copy / name).read_bytes() == (out / name).read_bytes()
    with pytest.raises(ValueError, match="index 4 does not exist"):
        run_task(copy, 4)


def test_leftovers_of_a_full_disk_are_removed(tiny_build, tiny_scenes, tmp_path, monkeypatch):
    out, _ = tiny_build
    wrote = whole_files.os.fsync

    def full(descriptor):
        raise OSError(28, "No space left on device", "shard.tar")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        build(recipe(tiny_scenes), tmp_path / "shards")
    assert not [name for name in tree(tmp_path / "shards") if "partial" in name]
    monkeypatch.setattr(whole_files.os, "fsync", wrote)
    build(recipe(tiny_scenes), tmp_path / "shards")
    assert tree(tmp_path / "shards") == tree(out)


def spellings(folder: Path) -> list[str]:
    """Of one folder, as seen from the folder above it."""
    (folder.parent / "link").symlink_to(folder)
    name = folder.name
    return [name, f"{name}/", f"./{name}", f"../{folder.parent.name}/{name}", str(folder), "link"]


def test_another_spelling_of_the_root_is_the_same_recipe(
    tiny_build, tiny_scenes, tmp_path, monkeypatch
):
    scenes = copy_scenes(tiny_scenes, tmp_path / "scenes")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "shards"
    build(recipe(Path("scenes")), out)
    for spelling in spellings(scenes):
        assert build(recipe(spelling), out).made == 0, spelling
    (out / "index.json").unlink()  # stopped before its end
    (out / "shards" / "synthetic-000002.tar").unlink()
    result = build(recipe(scenes), out)
    assert (result.made, result.kept) == (1, 3)
    for path in sorted((tiny_build[0] / "shards").iterdir()):
        assert (out / "shards" / path.name).read_bytes() == path.read_bytes()
    copy_scenes(tiny_scenes, tmp_path / "others")
    with pytest.raises(ValueError, match=r"source.root: .*scenes there, others here"):
        build(recipe("others"), out)
    with pytest.raises(ValueError, match="another recipe"):
        build(recipe(scenes, views=2), out)
