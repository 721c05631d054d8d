"""Shards to batches: laws of the changes, of the order, and of what a batch holds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from build_scenes import recipe
from hypothesis import given, settings
from hypothesis import strategies as st

from cameo_data import ShardReader, correspond_group
from cameo_data.build import build
from cameo_data.camera import project, query_xy, unproject
from cameo_data.correspondence import prepare
from cameo_data.errors import DataError
from cameo_data.types import Sample, Verdict
from cameo_train.data import augmentation
from cameo_train.data.batches import Plan, batches, official_batch, targets_of
from cameo_train.data.sample_order import Order, Position

GRID = (6, 8)  # stride 8 on 48×64


@pytest.fixture(scope="module")
def shards(tiny_build) -> Path:
    return tiny_build[0]


@pytest.fixture(scope="module")
def sample(shards) -> Sample:
    return ShardReader(shards)[0]


def derived(sample: Sample, stride: int):
    views = [prepare(d, c) for d, c in zip(sample.depths, sample.cameras, strict=True)]
    return correspond_group(views, stride)


def same_maps(one, other):
    """Equal but for queries on an outline, whose cell has two surfaces of equal share."""
    assert (one.verdict == other.verdict).mean() > 0.99
    both = (one.verdict == other.verdict) & np.isfinite(one.xy).all(-1)
    assert (np.abs(one.xy - other.xy)[both].max(-1) < 1e-3).mean() > 0.98


def test_a_flip_is_the_scene_in_a_mirror(sample):
    stored = derived(sample, 8)
    sample = replace(sample, correspondence={8: stored})
    flipped = augmentation.flip(sample)
    same_maps(flipped.correspondence[8], derived(flipped, 8))
    twice = augmentation.flip(flipped)
    np.testing.assert_allclose(twice.correspondence[8].xy, stored.xy, atol=1e-4)
    for a, b in zip(twice.cameras, sample.cameras, strict=True):
        np.testing.assert_allclose(a.cam_from_world, b.cam_from_world, atol=1e-12)
        np.testing.assert_allclose(a.K, b.K, atol=1e-12)


def test_a_crop_keeps_matches_and_drops_what_leaves(sample):
    sample = replace(sample, correspondence={8: derived(sample, 8)})
    cropped = augmentation.crop(sample, 8, 16, (32, 40))
    assert cropped.images[0].shape == (32, 40, 3)
    inside = cropped.correspondence[8]
    again = derived(cropped, 8)
    # a point that leaves the window is OUTSIDE in both; beside the border the crop knows less
    assert ((inside.verdict == Verdict.OUTSIDE) == (again.verdict == Verdict.OUTSIDE)).all()
    agree = inside.verdict == again.verdict
    assert agree.mean() > 0.95
    with pytest.raises(ValueError, match="not on the grid of stride 8"):
        augmentation.crop(sample, 4, 0, (32, 32))


def test_a_resized_sample_sees_the_same_scene_in_other_pixels(sample):
    small = augmentation.resize(sample, 24)
    assert small.images[0].shape == (24, 32, 3)
    assert small.depths[0].z.shape == small.cameras[0].hw == (24, 32)
    assert not small.correspondence
    points = unproject(sample.cameras[1], query_xy((48, 64), 8), np.full((6, 8), 2.0))
    (large_xy, z), (small_xy, z_small) = (
        project(s.cameras[1], points) for s in (sample, small)
    )  # fmt: skip
    np.testing.assert_allclose(small_xy, large_xy / 2, atol=1e-9)
    np.testing.assert_allclose(z_small, z)
    assert augmentation.resize(sample, 48).images[0].tobytes() == sample.images[0].tobytes()
    with pytest.raises(ValueError, match=r"shorter side of 25: the longer one would be 33\.3"):
        augmentation.resize(sample, 25)


def test_targets_do_not_depend_on_the_size_that_is_trained_on(shards):
    """Tokens are shares of the picture; matches are those of the stored pixels."""
    as_stored, scaled = (
        next(batches(shards, Plan(GRID, side=side), batch=2, seed=5)) for side in (None, 24)
    )
    assert scaled.images.shape[-2:] == scaled.depth.shape[-2:] == (24, 32)
    assert torch.equal(scaled.targets.index, as_stored.targets.index)
    assert torch.equal(scaled.targets.weight, as_stored.targets.weight)
    torch.testing.assert_close(scaled.K[..., :2, :] * 2, as_stored.K[..., :2, :])


def test_shuffled_matches_are_other_targets_of_the_same_batch(shards):
    true, control = (
        next(batches(shards, Plan(GRID, shuffle_matches=s), batch=2, seed=5)) for s in (False, True)
    )
    assert torch.equal(true.images, control.images)
    seen = true.targets.weight.sum(-1) > 0
    assert torch.equal(control.targets.weight.sum(-1) > 0, seen)
    assert (true.targets.index != control.targets.index)[seen].float().mean() > 0.5


def test_reordering_permutes_pairs(sample):
    order = [2, 0, 1]
    moved = augmentation.reorder(sample, order)
    maps, before = moved.correspondence[8], sample.correspondence[8]
    for a, b in itertools.permutations(range(3), 2):
        assert np.array_equal(maps.verdict[a, b], before.verdict[order[a], order[b]])
    assert moved.frame_ids == tuple(sample.frame_ids[i] for i in order)
    assert moved.rotation_deg[0, 1] == sample.rotation_deg[2, 0]


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(1, 60), batch=st.integers(1, 4), world=st.integers(1, 3),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_ranks_share_an_epoch_evenly(count, batch, world, seed):
    if count < batch * world:
        with pytest.raises(ValueError, match="do not fill one batch"):
            Order(count, batch, seed, 0, world)
        return
    steps = count // (batch * world)
    taken = []
    for rank in range(world):
        order = Order(count, batch, seed, rank, world)
        for mine, position in itertools.islice(order.steps(Position()), steps):
            assert len(mine) == batch
            assert position.epoch == 0
            taken += mine
    assert len(taken) == len(set(taken)) == steps * batch * world


def test_a_run_goes_on_in_the_middle_with_other_ranks():
    whole = Order(40, 4, 7)
    first = list(itertools.islice(whole.steps(Position()), 3))
    position = first[-1][1]
    rest = [set(mine) for mine, _ in itertools.islice(whole.steps(position), 4)]
    two = [Order(40, 2, 7, rank, 2) for rank in range(2)]
    split = [list(itertools.islice(o.steps(position), 4)) for o in two]
    for i in range(4):
        assert set(split[0][i][0]) | set(split[1][i][0]) == rest[i]
    # and into the next epoch
    *_, (_, last) = itertools.islice(whole.steps(Position(0, 40)), 1)
    assert last == Position(1, 4)


def signature(batch):
    return batch.keys, float(batch.images.double().sum()), float(batch.targets.weight.sum())


def test_batches_do_not_depend_on_workers_and_resume(shards):
    plan = Plan(GRID)

    def take(count, start=None, workers=0):
        made = batches(shards, plan, batch=1, seed=3, start=start, workers=workers)
        return list(itertools.islice(made, count))

    straight = take(7)
    assert [signature(b) for b in take(7, workers=2)] == [signature(b) for b in straight]
    resumed = take(4, start=straight[2].position)
    assert [signature(b) for b in resumed] == [signature(b) for b in straight[3:]]
    for batch in straight:
        assert batch.images.shape[2:] == (3, 48, 64)
        assert batch.images.abs().max() <= 1
        references = batch.reference.sum(1)
        assert (references >= 1).all()
        assert (references < batch.views).all()
        # references come first
        assert (batch.reference.int().diff(dim=1) <= 0).all()
    assert len({b.keys for b in straight}) > 1


def test_stored_and_online_targets_are_the_same(sample):
    stored = targets_of(sample, Plan(GRID))
    online = targets_of(sample, Plan(GRID, source="online"))
    assert torch.equal(stored.index, online.index)
    # stored confidences are rounded to 8 bits
    torch.testing.assert_close(stored.weight, online.weight, atol=1 / 255, rtol=0)


def test_what_does_not_fit_is_said(sample, shards):
    with pytest.raises(ValueError, match=r"stride 4, the shards store 8.*--stride 4"):
        targets_of(sample, Plan((12, 16)))
    with pytest.raises(ValueError, match="does not divide images of 48×64"):
        targets_of(sample, Plan((5, 8)))
    with pytest.raises(ValueError, match="do not leave a target of 3 views"):
        batches(shards, Plan(GRID, references=(1, 3)), batch=1, seed=0)


def test_a_damaged_sample_is_named_and_replaced(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    build(recipe(tiny_scenes), out)
    reader = ShardReader(out)
    shard = reader.shard_path(0)
    data = bytearray(shard.read_bytes())
    place = data.find(b"\x93NUMPY")
    data[place] = 0
    shard.write_bytes(data)
    seen = []
    for batch in itertools.islice(batches(out, Plan(None), batch=2, seed=0), len(reader) // 2):
        seen += batch.skipped
        assert len(batch.keys) == 2
    assert len({one.sample for one in seen}) == 1
    assert shard.name in seen[0].failure.message


def test_what_replaces_a_damaged_sample_depends_on_neither_batch_nor_ranks(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    build(recipe(tiny_scenes), out)
    shard = ShardReader(out).shard_path(0)
    data = bytearray(shard.read_bytes())
    data[data.find(b"\x93NUMPY")] = 0
    shard.write_bytes(data)

    def keys(batch, rank=0, world=1):
        made = batches(out, Plan(None), batch=batch, seed=0, rank=rank, world=world)
        return [b.keys for b in itertools.islice(made, 4 // (batch * world))]

    whole = keys(4)[0]
    assert len(set(whole)) < 4
    assert tuple(key for batch in keys(1) for key in batch) == whole
    assert (keys(2, 0, 2)[0], keys(2, 1, 2)[0]) == (whole[0::2], whole[1::2])


def test_a_build_without_any_good_sample_is_an_error(tiny_scenes, tmp_path):
    out = tmp_path / "shards"
    build(recipe(tiny_scenes), out)
    reader = ShardReader(out)
    for path in {reader.shard_path(i) for i in range(len(reader))}:
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=r"\.tar"):
        batches(out, Plan(None), batch=1, seed=0)


def test_official_layout_holds_world_points(shards):
    batch = next(batches(shards, Plan(None, flip=False, shuffle_views=False), batch=1, seed=0))
    official = official_batch(batch)
    assert official["image"].min() >= 0
    assert official["image"].max() <= 1
    torch.testing.assert_close(official["image"] * 2 - 1, batch.images)
    sample = next(s for s in ShardReader(shards) if s.key == batch.keys[0])
    for v, (camera, depth) in enumerate(zip(sample.cameras, sample.depths, strict=True)):
        expected = unproject(camera, query_xy(camera.hw), depth.z)
        found = official["point_map"][0, v].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found[depth.valid], expected[depth.valid], atol=1e-3)
        assert (found[~depth.valid] == 0).all()
        xy, _ = project(camera, found[depth.valid])
        np.testing.assert_allclose(xy, query_xy(camera.hw)[depth.valid], atol=0.05)
