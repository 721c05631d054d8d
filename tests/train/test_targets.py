"""Token targets: landing places become tokens and weights, per (query, key view)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cameo_data import ShardReader
from cameo_data.camera import query_xy
from cameo_data.correspondence import correspond_group, prepare
from cameo_data.types import Camera, PairMaps, Verdict
from cameo_train.supervision.targets import (
    TARGET_KINDS,
    TokenTargets,
    shuffled,
    stack,
    token_targets,
)

IMAGE_HW, GRID_HW = (48, 64), (6, 8)  # tokens of 8 × 8 px
STRIDE = 8


def maps(xy, verdict=Verdict.VISIBLE, confidence=1.0):
    """Maps of two views; xy (h, w, 2) of 0 → 1, and nothing known of 1 → 0."""
    h, w = xy.shape[:2]
    all_xy = np.full((2, 2, h, w, 2), np.nan, np.float32)
    all_verdict = np.full((2, 2, h, w), Verdict.NO_DEPTH, np.uint8)
    all_confidence = np.zeros((2, 2, h, w), np.float32)
    all_xy[0, 1], all_verdict[0, 1], all_confidence[0, 1] = xy, verdict, confidence
    return PairMaps(IMAGE_HW[0] // h, all_xy, all_verdict, all_confidence)


def targets(pair_maps, kind="nearest", **options):
    return token_targets(
        pair_maps.xy, pair_maps.verdict, pair_maps.confidence,
        image_hw=IMAGE_HW, grid_hw=GRID_HW, kind=kind, **options,
    )  # fmt: skip


def distribution(found, a=0, b=1):
    """(Q, K) weight that each query puts on each token."""
    dense = torch.zeros(found.tokens, found.tokens)
    return dense.scatter_add_(1, found.index[0, a, b], found.weight[0, a, b]).numpy()


def mean_place(dense):
    """(Q, 2) weighted mean of token centres, in pixels."""
    centres = query_xy(IMAGE_HW, STRIDE).reshape(-1, 2)
    return dense @ centres / dense.sum(1, keepdims=True)


def plane_views(shift_px, stride):
    """Two cameras side by side before a wall, the second moved so that all lands shift_px left."""
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    moved = np.eye(4)
    moved[0, 3] = -shift_px / 60 * 2  # the wall stands 2 away
    wall = np.full(IMAGE_HW, 2.0, np.float32)
    views = [prepare(wall, Camera(K, IMAGE_HW, pose)) for pose in (np.eye(4), moved)]
    return correspond_group(views, stride)


@pytest.mark.parametrize("kind", TARGET_KINDS)
def test_the_identity_is_its_own_target(kind):
    stride = 1 if kind == "patch" else STRIDE
    found = targets(maps(query_xy(IMAGE_HW, stride)), kind)
    np.testing.assert_allclose(distribution(found), np.eye(48), atol=1e-6)


@pytest.mark.parametrize("kind", TARGET_KINDS)
def test_nothing_but_visible_carries_weight(kind):
    stride = 1 if kind == "patch" else STRIDE
    for verdict in Verdict:
        found = targets(maps(query_xy(IMAGE_HW, stride), verdict), kind)
        expected = 48.0 if verdict == Verdict.VISIBLE else 0.0
        assert found.weight.sum() == pytest.approx(expected)
        assert found.weight[:, [0, 1, 1], [0, 0, 1]].sum() == 0


def test_each_pair_of_views_has_its_own_target_and_weight():
    pair_maps = maps(query_xy(IMAGE_HW, STRIDE))
    pair_maps.xy[1, 0] = pair_maps.xy[0, 1, ::-1]
    pair_maps.verdict[1, 0, :, :4] = Verdict.VISIBLE
    pair_maps.confidence[1, 0] = 0.5
    found = targets(pair_maps)
    assert found.weight[0, 0, 1].sum() == 48
    assert found.weight[0, 1, 0].sum() == 12
    assert found.index[0, 1, 0, 0, 0] == 40  # first row of tokens went to the last


def test_a_view_has_no_target_in_itself_whatever_the_maps_say():
    pair_maps = maps(query_xy(IMAGE_HW, STRIDE))
    for field in ("xy", "verdict", "confidence"):
        getattr(pair_maps, field)[0, 0] = getattr(pair_maps, field)[0, 1]
    assert targets(pair_maps).weight[0, 0, 0].sum() == 0


@settings(deadline=None, max_examples=60)
@given(
    x=st.floats(0, 63.984375, width=32), y=st.floats(0, 47.984375, width=32), c=st.floats(0.01, 1)
)
def test_nearest_and_bilinear_at_any_place(x, y, c):
    xy = np.broadcast_to(np.array([x, y], np.float32), (6, 8, 2))
    nearest, bilinear = (targets(maps(xy, confidence=c), kind) for kind in ("nearest", "bilinear"))
    token = int(y / 8) * 8 + int(x / 8)
    assert nearest.index[0, 0, 1, :, 0].tolist() == [token] * 48
    for found in (nearest, bilinear):
        np.testing.assert_allclose(found.weight[0, 0, 1].sum(-1), c, rtol=1e-5)
        assert found.weight.min() >= 0
    # inside the outermost centres the four weights put their mean on the very place
    inside = np.clip([x, y], 4, [60, 44])
    np.testing.assert_allclose(mean_place(distribution(bilinear))[0], inside, atol=2e-4)


def test_bilinear_shares_between_four_tokens():
    found = targets(maps(np.full((6, 8, 2), [10.0, 16.0], np.float32)), "bilinear")
    row = distribution(found)[0].reshape(6, 8)
    np.testing.assert_allclose(row[1:3, :2], [[0.125, 0.375], [0.125, 0.375]])
    assert np.count_nonzero(row) == 4


def test_patch_follows_every_pixel():
    """A wall seen by a camera 10 px aside: patches land 1/4 and 3/4 in two tokens."""
    found = targets(plane_views(10, 1), "patch")
    row = distribution(found)[8 * 2 + 5].reshape(6, 8)
    np.testing.assert_allclose(row[2, 3:5], [0.25, 0.75], atol=0.02)
    assert row.sum() == pytest.approx(row[2, 3:5].sum())


def test_patch_weighs_the_visible_part():
    pair_maps = maps(query_xy(IMAGE_HW, 1))
    pair_maps.verdict[0, 1, :, ::2] = Verdict.OCCLUDED
    pair_maps.xy[0, 1, :, ::2] = np.nan
    np.testing.assert_allclose(distribution(targets(pair_maps, "patch")), np.eye(48) / 2)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), slots=st.integers(1, 20), stride=st.sampled_from([1, 2, 4]))
def test_patch_equals_counting(seed, slots, stride):
    rng = np.random.default_rng(seed)
    h, w = IMAGE_HW[0] // stride, IMAGE_HW[1] // stride
    xy = (query_xy(IMAGE_HW, stride) + rng.normal(0, 6, (h, w, 2))).clip(0, [63.9, 47.9])
    pair_maps = maps(xy.astype(np.float32), rng.choice([4, 5], (h, w)), rng.random((h, w)))
    found = targets(pair_maps, "patch", slots=slots)
    assert found.index.shape[-1] == slots
    cells = STRIDE // stride
    for query in rng.choice(48, 5):
        counted = np.zeros(48)
        top, left = query // 8 * cells, query % 8 * cells
        for r in range(top, top + cells):
            for c in range(left, left + cells):
                if pair_maps.verdict[0, 1, r, c] == Verdict.VISIBLE:
                    x, y = pair_maps.xy[0, 1, r, c]
                    counted[int(y // 8) * 8 + int(x // 8)] += pair_maps.confidence[0, 1, r, c]
        counted /= cells**2
        dropped = np.sort(counted)[:-slots]
        np.testing.assert_allclose(
            found.weight[0, 0, 1, query].sum(), counted.sum() - dropped.sum(), atol=1e-6
        )
        kept = distribution(found)[query]
        np.testing.assert_allclose(kept[kept > 0], counted[kept > 0], atol=1e-6)
        assert (np.diff(found.weight[0, 0, 1, query].numpy()) <= 1e-7).all(), "heaviest first"


def test_kinds_agree_where_the_view_moves_by_whole_tokens():
    nearest = targets(plane_views(16, STRIDE))
    patch = targets(plane_views(16, 1), "patch")
    moved = nearest.weight[0, 0, 1].sum(-1) > 0.9
    assert moved.sum() > 30
    both = distribution(nearest)[moved], distribution(patch)[moved]
    assert (both[0].argmax(1) == both[1].argmax(1)).all()


def test_a_batch_is_its_groups_one_by_one():
    one, two = maps(query_xy(IMAGE_HW, STRIDE)), plane_views(10, STRIDE)
    together = token_targets(
        *(np.stack([getattr(m, f) for m in (one, two)]) for f in ("xy", "verdict", "confidence")),
        image_hw=IMAGE_HW, grid_hw=GRID_HW, kind="bilinear",
    )  # fmt: skip
    apart = stack([targets(one, "bilinear"), targets(two, "bilinear")])
    assert torch.equal(together.index, apart.index)
    assert torch.equal(together.weight, apart.weight)


def test_stacking_pads_with_empty_slots():
    joined = stack([targets(plane_views(10, STRIDE)), targets(plane_views(10, 1), "patch")])
    assert joined.index.shape == (2, 2, 2, 48, 16)
    assert joined.weight[0, ..., 1:].sum() == 0


def test_reordering_views_reorders_both_axes():
    found = targets(plane_views(10, STRIDE), "bilinear")
    swapped = found.reorder([1, 0])
    assert torch.equal(swapped.index[0, 0, 1], found.index[0, 1, 0])
    assert torch.equal(swapped.weight[0, 1, 0], found.weight[0, 0, 1])
    assert torch.equal(swapped.reorder([1, 0]).weight, found.weight)


@pytest.mark.parametrize(
    "shape, kind, said",
    [
        ((12, 16), "nearest", "maps are 12×16 cells, the token grid is 6×8"),
        ((12, 16), "bilinear", "need maps at the token stride"),
        ((9, 12), "patch", "need a multiple of it"),
        ((6, 8), "argmax", "expected one of nearest, bilinear, patch"),
    ],
)
def test_maps_that_do_not_fit_are_refused(shape, kind, said):
    with pytest.raises(ValueError, match=said):
        targets(maps(np.zeros((*shape, 2), np.float32)), kind)


def test_maps_of_different_pairs_are_refused():
    pair_maps = maps(query_xy(IMAGE_HW, STRIDE))
    with pytest.raises(ValueError, match="belong to other maps"):
        token_targets(
            pair_maps.xy, pair_maps.verdict[:1], pair_maps.confidence,
            image_hw=IMAGE_HW, grid_hw=GRID_HW,
        )  # fmt: skip


def test_targets_check_themselves():
    found = targets(plane_views(10, STRIDE))
    with pytest.raises(ValueError, match=r"are \(B, V, V, Q, T\) both"):
        TokenTargets(found.index[0], found.weight)
    with pytest.raises(ValueError, match="int64 and weight float32"):
        TokenTargets(found.index.int(), found.weight)


def test_shuffled_targets_keep_what_each_pair_weighs_and_lose_where_it_belongs(tiny_build):
    sample = ShardReader(tiny_build[0])[0]
    maps = sample.correspondence[8]
    hw = sample.cameras[0].hw
    grid = maps.verdict.shape[2:]
    true = token_targets(maps.xy, maps.verdict, maps.confidence, image_hw=hw, grid_hw=grid)
    control = shuffled(true, np.random.default_rng(0))
    seen = true.weight.sum(-1) > 0
    assert torch.equal(control.weight.sum(-1) > 0, seen)
    views = true.views
    for a, b in [(0, 1), (2, 0), (views - 1, 1)]:
        rows = seen[0, a, b]
        one, other = (
            sorted(
                zip(
                    t.index[0, a, b, rows, 0].tolist(),
                    t.weight[0, a, b, rows, 0].tolist(),
                    strict=True,
                )
            )
            for t in (true, control)
        )
        assert one == other
    moved = (true.index != control.index)[seen].float().mean()
    assert moved > 0.8
