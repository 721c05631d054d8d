"""What a build makes: verified samples, the same bytes for any number of workers."""

import dataclasses
import json

import numpy as np
import pytest
from build_scenes import copy_scenes, edit, failures, recipe, tree

from cameo_data import catalog
from cameo_data.build import TooManyFailures, build, dry_run, whole_build
from cameo_data.build import folder as folders
from cameo_data.build import survey as surveys
from cameo_data.build.folder import Folder
from cameo_data.correspondence import correspond_group, prepare
from cameo_data.shards.reader import ShardReader
from cameo_data.shards.verify import verify_build


def test_a_build_is_verified_and_counts_everything(tiny_build):
    out, result = tiny_build
    assert verify_build(out, groups=None).ok
    assert result.samples == result.shards == result.made == 4
    frames = result.counts["frames"]
    assert frames["found"] == 12 == frames["used"] + frames["left_out"] + frames["failed"]
    used = {(s.scene_id, frame_id) for s in ShardReader(out) for frame_id in s.frame_ids}
    assert len(used) == frames["used"]


def test_samples_hold_what_the_geometry_core_says_of_the_stored_depth(tiny_build):
    out, _ = tiny_build
    for sample in ShardReader(out):
        views = [prepare(d, c) for d, c in zip(sample.depths, sample.cameras, strict=True)]
        maps = correspond_group(views, 8)
        assert np.array_equal(sample.correspondence[8].verdict, maps.verdict)
        share = (maps.verdict == 5).mean((2, 3))
        others = ~np.eye(3, dtype=bool)
        assert np.allclose(sample.overlap[others], share[others])


def test_images_are_the_files_own_bytes(tiny_build, tiny_scenes):
    out, _ = tiny_build
    reader = ShardReader(out)
    for i, sample in enumerate(reader):
        for n, frame_id in enumerate(sample.frame_ids):
            path = tiny_scenes / sample.scene_id / "images" / f"{frame_id}.png"
            assert reader.members(i)[f"{n}.png"] == path.read_bytes()


def test_more_workers_make_the_same_bytes(tiny_build, tiny_scenes, tmp_path):
    out, _ = tiny_build
    build(recipe(tiny_scenes), tmp_path / "shards", workers=2)
    assert tree(tmp_path / "shards") == tree(out)


def test_too_many_failures_stop_before_any_shard(tiny_scenes, tmp_path):
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    for path in (sorted(mine.iterdir())[0] / "images").glob("000[0-2].png"):
        path.write_bytes(b"no picture")
    out = tmp_path / "shards"
    with pytest.raises(TooManyFailures, match=r"3 failures \(3 unreadable_image\), 2 allowed"):
        build(recipe(mine, max_failures=2), out)
    assert len(failures(out)) == 3
    assert not (out / "shards").exists()
    assert not (out / "index.json").exists()
    # a larger allowance is the same build: it goes on from the surveys
    result = build(recipe(mine, max_failures=3), out)
    assert result.failures == 3
    assert verify_build(out).ok


def test_surveys_are_kept_and_read_back_as_they_were(tiny_scenes, tmp_path):
    scene_id = sorted(tiny_scenes.iterdir())[0].name
    job = surveys.SurveyJob(recipe(tiny_scenes), scene_id, tmp_path / "s.npz")
    made, read = surveys.survey_scene(job), surveys.survey_scene(job)
    for field in dataclasses.fields(made):
        a, b = getattr(made, field.name), getattr(read, field.name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
    (tmp_path / "s.npz").write_bytes(b"damaged")
    assert surveys.survey_scene(job).inputs == made.inputs


def test_threads_do_not_change_a_survey(tiny_scenes):
    scene = catalog.open_scene(recipe(tiny_scenes).source, sorted(tiny_scenes.iterdir())[0].name)
    one, many = (surveys.measure(recipe(tiny_scenes), scene, "", n) for n in (1, 3))
    assert np.array_equal(one.overlap, many.overlap)
    assert one.frame_ids == many.frame_ids


def test_odd_sizes_need_a_size(tiny_scenes, tmp_path):
    """A recording whose camera changed size: the fewer frames fail unless all are resized."""
    scene = surveys.open_scene(recipe(tiny_scenes).source, sorted(tiny_scenes.iterdir())[0].name)
    hw = [frame.camera.hw for frame in scene.frames]
    assert len(set(hw)) == 1
    odd = dataclasses.replace(
        scene.frames[0], camera=dataclasses.replace(scene.frames[0].camera, hw=(50, 64))
    )
    mixed = dataclasses.replace(scene, frames=(odd, *scene.frames[1:]))
    survey = surveys.measure(recipe(tiny_scenes), mixed)
    assert [f.reason.value for f in survey.failures] == ["wrong_size"]
    assert "give --size" in survey.failures[0].message


@pytest.mark.parametrize("corr, strides", [("full", [1]), ("none", [])])
def test_what_is_stored(tiny_scenes, tmp_path, corr, strides):
    build(recipe(tiny_scenes, corr=corr, groups_per_scene=1), tmp_path / "shards")
    sample = ShardReader(tmp_path / "shards")[0]
    assert sorted(sample.correspondence) == strides
    assert verify_build(tmp_path / "shards").ok
    assert 0 < sample.overlap[0, 1] < 1


def test_resized_builds(tiny_scenes, tmp_path):
    build(recipe(tiny_scenes, size="40x32", image_format="jpg"), tmp_path / "shards")
    sample = ShardReader(tmp_path / "shards")[0]
    assert {image.shape for image in sample.images} == {(32, 40, 3)}
    assert {camera.hw for camera in sample.cameras} == {(32, 40)}
    assert verify_build(tmp_path / "shards").ok


def test_a_dry_run_plans_the_same_and_writes_nothing(
    tiny_build, tiny_scenes, tmp_path, monkeypatch
):
    _, result = tiny_build
    monkeypatch.chdir(tmp_path)
    plan = dry_run(recipe(tiny_scenes))
    assert plan.counts == result.counts
    assert list(tmp_path.iterdir()) == []


def test_the_kept_recipe_is_the_whole_recipe(tiny_build, tiny_scenes):
    out, _ = tiny_build
    assert folders.load_recipe(Folder(out)) == recipe(tiny_scenes)
    index = json.loads((out / "index.json").read_text())
    assert index["recipe_hash"] == recipe(tiny_scenes).hash()


def test_a_frame_that_vanishes_during_the_build_ends_it_with_one_line(
    tiny_scenes, tmp_path, monkeypatch
):
    mine = copy_scenes(tiny_scenes, tmp_path / "scenes")
    monkeypatch.setattr(whole_build, "run_task", _vanish(mine, whole_build.run_task))
    with pytest.raises(Exception, match=r"frame 000\d: .*expected") as caught:
        build(recipe(mine), tmp_path / "shards")
    assert "\n" not in str(caught.value)


def _vanish(scenes, run_task):
    def run(root, index):
        catalog.forget_sources()
        for scene in scenes.iterdir():
            edit(scene, lambda record: record.update(frames=record["frames"][:1]))
        return run_task(root, index)

    return run
