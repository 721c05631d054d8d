"""The plan: a pure function of surveys and recipe, in which every frame is accounted for."""

import dataclasses
import random
import re

import numpy as np
import pytest

from cameo_data import recipe as recipes
from cameo_data import transforms
from cameo_data.build.plan import Task, make_plan
from cameo_data.build.survey import SceneSurvey, candidate_positions
from cameo_data.catalog import slug
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.shards.layout import KEY_PATTERN, SHARD_NAME_PATTERN


def recipe(**fields):
    source = {"name": "synthetic", "root": "x"}
    return recipes.make({"source": source, "views": 3, "groups_per_scene": 3, **fields})


def failure(scene_id, frame_id, reason=Reason.BAD_POSE):
    return Failure(reason, "data", scene_id, frame_id, "found", "expected", "remedy")


def survey(scene_id="a", views=9, failed=0, hw=(48, 64), overlap=None, **fields):
    """A scene of ``views`` usable and ``failed`` unusable frames, all of which see each other."""
    poses = [
        transforms.look_at((3 * np.sin(a), -3 * np.cos(a), 1), (0, 0, 0))
        for a in np.linspace(0, 3, views)
    ]
    values = {
        "scene_id": scene_id,
        "unit": "metre",
        "found": views + failed,
        "frame_ids": tuple(f"f{i}" for i in range(views)),
        "position": np.arange(views),
        "cam_from_world": np.array(poses).reshape(-1, 4, 4),
        "overlap": np.ones((views, views), np.float32) if overlap is None else overlap,
        "image_exts": ("png",) * views,
        "hw": hw if views else None,
        "masked": False,
        "failures": tuple(failure(scene_id, f"bad{i}") for i in range(failed)),
        "inputs": "0" * 64,
    }
    return SceneSurvey(**{**values, **fields})


def test_the_order_of_surveys_does_not_matter():
    surveys = [survey(f"scene{i}", 9 + i) for i in range(6)]
    plan = make_plan(recipe(samples_per_shard=4), "data", surveys)
    random.Random(0).shuffle(surveys)
    assert make_plan(recipe(samples_per_shard=4), "data", surveys) == plan
    samples = [sample for task in plan.tasks for sample in task.samples]
    assert [s.scene_id for s in samples] == sorted(s.scene_id for s in samples)
    assert [len(task.samples) for task in plan.tasks[:-1]] == [4] * (len(plan.tasks) - 1)


def test_a_scene_keeps_its_samples_whatever_else_is_built():
    alone = make_plan(recipe(), "data", [survey("b")])
    among = make_plan(recipe(), "data", [survey("a"), survey("b"), survey("c")])
    mine = [s for task in among.tasks for s in task.samples if s.scene_id == "b"]
    assert mine == [s for task in alone.tasks for s in task.samples]


def test_every_frame_is_accounted_for():
    surveys = [
        survey("good", 10, failed=2),
        survey("single", 1, failed=4),
        survey("apart", 5, overlap=np.eye(5, dtype=np.float32)),
        survey("gone", 0, failures=(failure("gone", None),)),
    ]
    plan = make_plan(recipe(max_failures=100), "data", surveys, [failure("unlisted", None)])
    frames = plan.counts["frames"]
    assert frames["found"] == 10 + 2 + 1 + 4 + 5
    assert frames["found"] == frames["used"] + frames["left_out"] + frames["failed"]
    assert frames["failed"] == 6
    assert frames["left_out"] == (10 - frames["used"]) + 1 + 5
    assert plan.counts["scenes"] == {"found": 5, "used": 1, "failed": 4}
    assert plan.counts["failures"]["by_reason"] == {
        "bad_pose": 8,
        "no_overlap": 1,
        "too_few_views": 1,
    }
    for counts in plan.counts["per_scene"].values():
        assert counts["found"] == counts["used"] + counts["left_out"] + counts["failed"]
    assert plan.counts["samples"] == sum(len(task.samples) for task in plan.tasks)


def test_a_scene_of_one_usable_view_says_so():
    plan = make_plan(recipe(), "data", [survey("one", 1, failed=3), survey("two")])
    message = next(f.message for f in plan.failures if f.reason is Reason.TOO_FEW_VIEWS)
    assert message == (
        "data one: 1 usable view of 4 frames; expected at least 3 for one group; "
        "repair the scene's failed frames, or ask for fewer --views"
    )


@pytest.mark.parametrize(
    "allowed, exceeded",
    [(2, True), (3, False), (0.29, True), (0.3, False), (0, True), (1.0, False)],
)
def test_the_allowance_is_a_count_or_a_share_of_frames_found(allowed, exceeded):
    plan = make_plan(recipe(max_failures=allowed), "data", [survey("a", 7, failed=3)])
    assert plan.allowance_exceeded is exceeded


def test_nothing_to_make_is_never_within_the_allowance():
    assert make_plan(recipe(max_failures=10), "data", [survey("a", 1)]).allowance_exceeded
    assert make_plan(recipe(max_failures=10), "data", []).allowance_exceeded


def test_failures_are_sorted():
    surveys = [survey("b", failed=2), survey("a", failed=1)]
    found = make_plan(recipe(max_failures=9), "data", surveys, [failure(None, None)]).failures
    where = [(f.scene_id, f.frame_id) for f in found]
    assert where == [(None, None), ("a", "bad0"), ("b", "bad0"), ("b", "bad1")]


NAMES = ["redkitchen", "a.b", "a b", "a_b", "Küche", "Kuche", "厨房", "..", "-x", "x" * 300, "a/b"]


def test_keys_are_unique_and_hold_no_dot():
    plan = make_plan(recipe(), "my data.set", [survey(name) for name in NAMES])
    keys = [sample.key for task in plan.tasks for sample in task.samples]
    assert len(set(keys)) == len(keys) == 3 * len(NAMES)
    assert all(KEY_PATTERN.fullmatch(key) for key in keys)
    assert all(SHARD_NAME_PATTERN.fullmatch(task.shard) for task in plan.tasks)


def test_names_that_need_no_change_get_none():
    assert slug("redkitchen_01-b", 40) == "redkitchen_01-b"
    assert re.fullmatch(r"a_b_[0-9a-f]{8}", slug("a.b", 40))
    assert len(slug("x" * 300, 40)) == 40


def test_equal_keys_are_refused():
    clash = slug("a.b", 40)
    with pytest.raises(DataError, match=r"rename one of the two scenes") as caught:
        make_plan(recipe(), "data", [survey("a.b"), survey(clash)])
    assert caught.value.failure.reason is Reason.DUPLICATE_ID


def test_a_stride_larger_than_the_images_is_refused():
    with pytest.raises(ValueError, match=r"stride 64 is larger than the 48×64 \(h×w\) images of a"):
        make_plan(recipe(strides=[8, 64]), "data", [survey("a")])


def test_one_kind_of_image_for_the_whole_build():
    def ext(*surveys, **fields):
        return make_plan(recipe(**fields), "data", surveys).tasks[0].image_ext

    jpg, own = {"image_exts": ("jpg",) * 9}, {"image_exts": (None,) * 9}
    assert ext(survey("a", **jpg), survey("b", **jpg), image_format="webp") == "jpg"
    assert ext(survey("a", **jpg), survey("b"), image_format="webp") == "webp"
    assert ext(survey("a", **jpg), survey("b", **own)) == "jpg"
    assert ext(survey("a"), survey("b", **own)) == "jpg"


def test_what_became_of_the_images_is_counted():
    def images(*surveys, **fields):
        return make_plan(recipe(**fields), "data", surveys).counts["images"]

    own, jpg = {"image_exts": (None,) * 9}, {"image_exts": ("jpg",) * 9}
    assert images(survey("a")) == {"format": "png", "kept": 8, "encoded": 0}
    assert images(survey("a", **own)) == {"format": "jpg", "kept": 0, "encoded": 8}
    assert images(survey("a", **jpg), survey("b", **own)) == {
        "format": "jpg", "kept": 8, "encoded": 8,
    }  # fmt: skip
    assert images(survey("a", **own), image_format="png")["format"] == "png"


def test_masks_in_all_samples_or_in_none():
    plan = make_plan(recipe(samples_per_shard=3), "data", [survey("a"), survey("b", masked=True)])
    assert [task.masked for task in plan.tasks] == [True, True]


def test_a_task_survives_json_and_its_hash_knows_its_inputs():
    task = make_plan(recipe(), "data", [survey("a")]).tasks[0]
    assert Task.from_record(dataclasses.asdict(task)) == task
    changed = make_plan(recipe(), "data", [survey("a", inputs="1" * 64)]).tasks[0]
    assert changed.hash(recipe()) != task.hash(recipe())
    assert task.hash(recipe(seed=1)) != task.hash(recipe())


def test_candidates_are_spread_evenly():
    assert candidate_positions(10, recipe(frame_step=3)).tolist() == [0, 3, 6, 9]
    many = candidate_positions(1000, recipe(frame_step=2, max_frames=5))
    assert many.tolist() == [0, 250, 500, 748, 998]
    assert candidate_positions(0, recipe()).tolist() == []
