"""A finished build is looked at again: damage and changed input are said and mended."""

import re
import shutil

import cv2
import pytest
from build_scenes import copy_scenes, edit, recipe, tree
from click.testing import CliRunner

from cameo_data.build import TooManyFailures, build, build_status
from cameo_data.cli import main
from cameo_data.shards.verify import verify_build


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def finished(tiny_build, tmp_path):
    """A copy of the tiny build, which its source still belongs to."""
    return copy_scenes(tiny_build[0], tmp_path / "shards")


def cut(path):
    path.write_bytes(path.read_bytes()[:-512])


def delete(path):
    path.unlink()


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def overwrite(path):
    path.write_bytes(path.read_bytes().replace(b"cameo-shards", b"cameo-sharks"))


@pytest.mark.parametrize(
    "damage, name, says, made",
    [
        (delete, "shards/synthetic-000001.tar", "synthetic-000001.tar is missing", 1),
        (cut, "shards/synthetic-000003.tar", r"synthetic-000003.tar has \d+ bytes instead of", 1),
        (delete, "README.md", "README.md is missing", 0),
        (cut, "shards.json", "shards.json has", 0),
        (delete, "failures.jsonl", "failures.jsonl is missing", 0),
        (flip, "README.md", "README.md has other bytes than were written", 0),
        (flip, "croissant.json", "croissant.json has other bytes", 0),
        (flip, "SHA256SUMS", "SHA256SUMS has other bytes", 0),
        (overwrite, "index.json", "index.json is damaged", 0),
        (cut, "index.json", "index.json is damaged", 0),
        (delete, ".build/tasks/000000.json", "1 shard has no record", 1),
    ],
)
def test_what_is_damaged_is_said_and_made_again(
    damage, name, says, made, finished, tiny_build, tiny_scenes, caplog
):
    damage(finished / name)
    with caplog.at_level("INFO", "cameo_data"):
        result = build(recipe(tiny_scenes), finished)
    said = caplog.messages
    assert (result.made, result.kept) == (made, 4 - made)
    assert tree(finished) == tree(tiny_build[0])
    assert len(said) == 1
    assert result.notes == tuple(said)
    assert re.search(f"was finished, but .*{says}.*is built again", said[0])


def test_nothing_is_written_where_nothing_changed(finished, tiny_scenes):
    def stamps():
        paths = [path for path in sorted(finished.rglob("*")) if path.name != "lock"]
        return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}

    before = stamps()
    result = build(recipe(tiny_scenes), finished)
    assert (result.made, result.kept, result.notes) == (0, 4, ())
    assert stamps() == before


def test_the_remedy_of_verify_mends_a_flipped_bit(finished, tiny_build, tiny_scenes):
    shard = finished / "shards" / "synthetic-000002.tar"
    flip(shard)
    [problem] = verify_build(finished).problems
    assert "delete it and run the build again" in problem.remedy
    shard.unlink()
    assert build(recipe(tiny_scenes), finished).made == 1
    assert verify_build(finished).ok
    assert tree(finished) == tree(tiny_build[0])


def test_the_remedy_of_verify_mends_a_flipped_bit_beside_the_shards(
    finished, tiny_build, tiny_scenes
):
    flip(finished / "croissant.json")
    [problem] = verify_build(finished).problems
    assert "run the build again" in problem.remedy
    build(recipe(tiny_scenes), finished)
    assert verify_build(finished).ok
    assert tree(finished) == tree(tiny_build[0])


def test_a_lost_shard_is_not_made_by_an_edited_recipe(finished, tiny_build, tiny_scenes):
    path = finished / "recipe.yaml"
    path.write_text(path.read_text().replace("views: 3", "views: 2"))
    (finished / "shards" / "synthetic-000001.tar").unlink()
    assert build(recipe(tiny_scenes), finished).made == 1
    assert tree(finished) == tree(tiny_build[0])


def darker(path):
    assert cv2.imwrite(str(path), cv2.imread(str(path)) // 2)


def test_a_changed_picture_is_named_and_its_shards_are_those_of_a_fresh_build(
    tiny_scenes, tmp_path
):
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    out, fresh = tmp_path / "shards", tmp_path / "fresh"
    build(recipe(mine), out)
    first = sorted(mine.iterdir())[0]
    darker(first / "images" / "0002.png")
    result = build(recipe(mine), out)
    assert f"input: scene {first.name} changed (frames 0002)" in result.notes[0]
    assert (result.made, result.kept) == (2, 2)  # one sample a shard, two samples a scene
    build(recipe(mine), fresh)
    assert tree(out) == tree(fresh)
    assert build(recipe(mine), out).notes == ()


def lose_frame(scenes):
    edit(sorted(scenes.iterdir())[0], lambda record: record["frames"].pop())


def lose_scene(scenes):
    shutil.rmtree(sorted(scenes.iterdir())[1])


def gain_scene(scenes):
    shutil.copytree(sorted(scenes.iterdir())[1], scenes / "zz")


def break_frame(scenes):
    (sorted(scenes.iterdir())[1] / "images" / "0003.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    "change, says",
    [
        (lose_frame, "scene objects-0000 changed (frames 0005)"),
        (lose_scene, "scene objects-0001 is gone"),
        (gain_scene, "scene zz is new"),
        (break_frame, "scene objects-0001 changed (frames 0003)"),
    ],
)
def test_other_input_is_said_and_ends_in_a_fresh_builds_bytes(change, says, tiny_scenes, tmp_path):
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    out, fresh = tmp_path / "shards", tmp_path / "fresh"
    build(recipe(mine), out)
    change(mine)
    assert says in build(recipe(mine), out).notes[0]
    build(recipe(mine), fresh)
    assert {k: v for k, v in tree(out).items() if not k.startswith(".build")} == {
        k: v for k, v in tree(fresh).items() if not k.startswith(".build")
    }


def test_input_that_fails_beyond_the_allowance_leaves_a_finished_build_alone(
    tiny_scenes, tmp_path, caplog
):
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    out = tmp_path / "shards"
    build(recipe(mine), out)
    before = {k: v for k, v in tree(out).items() if not k.startswith(".build")}
    for path in (sorted(mine.iterdir())[0] / "images").iterdir():
        path.write_bytes(b"no picture")
    caplog.set_level("INFO", "cameo_data")
    for _ in range(2):
        with pytest.raises(TooManyFailures):
            build(recipe(mine), out)
    assert "the finished build was left as it is" in caplog.messages
    assert {k: v for k, v in tree(out).items() if not k.startswith(".build")} == before


def test_a_build_outlives_its_input(tiny_scenes, tmp_path):
    """The recordings are on a disk that is not there: the shards are still finished."""
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    out = tmp_path / "shards"
    build(recipe(mine), out)
    shutil.rmtree(mine)
    result = build(recipe(mine), out)
    assert (result.made, result.kept) == (0, 4)
    assert "its input was not compared" in result.notes[0]


def test_a_copy_without_its_work_folder(finished, tiny_build, tiny_scenes):
    shutil.rmtree(finished / ".build")
    result = build(recipe(tiny_scenes), finished)
    assert (result.made, result.kept) == (0, 4)
    assert "has no .build" in result.notes[0]
    (finished / "shards" / "synthetic-000001.tar").unlink()
    result = build(recipe(tiny_scenes), finished)
    assert result.made == 4
    assert "no .build to tell which shards are still right" in result.notes[0]
    assert tree(finished) == tree(tiny_build[0])


def test_the_command_says_it(finished, tiny_scenes):
    (finished / "shards" / "synthetic-000001.tar").unlink()
    manifest = finished / "recipe.yaml"
    result = call("build-corr", "--manifest", manifest, "--out", finished, "--workers", 1)
    assert result.exit_code == 0
    assert "synthetic-000001.tar is missing: what is affected is built again" in result.stderr
    assert "4 samples in 4 shards, 3 of them from before" in result.stdout


def test_status_looks_at_the_shards_too(finished, tiny_scenes):
    cut(finished / "shards" / "synthetic-000001.tar")
    status = build_status(finished)
    assert (status.state, status.done, status.total) == ("damaged", 3, 4)
    assert status.next_command.startswith("cameo-data build-corr --manifest")
    shown = call("status", finished)
    assert "damaged" in shown.stdout
    assert call(*status.next_command.split()[1:], "--workers", 1).exit_code == 0
    assert build_status(finished).state == "finished"


def test_commands_for_a_folder_that_starts_with_a_dash_can_be_pasted(
    finished, tiny_scenes, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.move(finished, "-odd")
    said = call("status", "./-odd").stdout
    assert "next: cameo-data verify ./-odd" in said
    assert call(*said.split("next: cameo-data ")[1].split()).exit_code == 0
    (tmp_path / "-odd" / "shards" / "synthetic-000001.tar").unlink()
    said = call("status", "./-odd").stdout
    assert call(*said.split("next: cameo-data ")[1].split(), "--no-check").exit_code == 0
    assert verify_build("-odd").ok
