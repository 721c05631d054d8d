"""Overlays and matches show what the correspondence says, nothing else."""

import numpy as np
import pytest
from report_fixtures import HW, make_sample

from cameo_data.correspondence import correspond_prepared
from cameo_data.report import agreement, matches, overlay, palette, pictures, selection
from cameo_data.types import Correspondence, Verdict


@pytest.fixture(scope="module")
def sample():
    return make_sample()


@pytest.fixture(scope="module")
def match(sample):
    views = agreement.prepared(sample)
    return correspond_prepared(views[0], views[2], 1)


def shifted(hw, by, verdict=Verdict.VISIBLE):
    """Every pixel of A is at the place ``by`` (x, y) beside it in B."""
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    xy1 = np.stack([columns + 0.5 + by[0], rows + 0.5 + by[1]], -1).astype(np.float32)
    codes = np.full(hw, verdict, np.uint8)
    return Correspondence(xy1, codes, np.ones(hw, np.float32), 1)


def test_image_is_sampled_about_pixel_centres():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    centres = np.array([[[0.5, 0.5], [6.5, 4.5], [3.5, 2.5]]])
    assert np.array_equal(overlay.sample_image(image, centres)[0], image[[0, 4, 2], [0, 6, 3]])
    between = overlay.sample_image(image, np.array([[[1.0, 0.5]]]))[0, 0].astype(float)
    assert np.abs(between - image[0, :2].astype(float).mean(0)).max() <= 1
    assert not overlay.sample_image(image, np.array([[[np.nan, 1.0]]])).any()


def test_warp_undoes_a_shift_exactly():
    rng = np.random.default_rng(1)
    image1 = rng.integers(0, 256, (20, 30, 3), np.uint8)
    image0 = np.roll(image1, (-2, 3), (0, 1))
    match = shifted((20, 30), (-3, 2))
    inside = np.s_[:-2, 3:]
    assert np.array_equal(overlay.warp(image0, image1, match)[inside], image0[inside])
    warped, unwarped = overlay.colour_difference(image0, image1, match)
    assert warped[inside].max() == 0
    assert np.median(unwarped) > 30
    assert np.allclose(
        unwarped[inside],
        np.abs(image0[inside].astype(int) - image1[inside].astype(int)).mean(-1),
        atol=1e-4,
    )


def test_only_visible_queries_claim_anything():
    image0 = np.full((16, 16, 3), 250, np.uint8)
    image1 = np.full((16, 16, 3), 10, np.uint8)
    hidden = shifted((16, 16), (0, 0), Verdict.OCCLUDED)
    assert np.array_equal(overlay.warp(image0, image1, hidden), overlay.faded(image0))
    assert np.array_equal(overlay.difference(image0, image1, hidden), overlay.faded(image0))
    assert np.isnan(overlay.colour_difference(image0, image1, hidden)[0]).all()


def test_verdict_overlay_keeps_the_six_apart():
    codes = np.repeat(np.arange(6, dtype=np.uint8), 8)[None].repeat(16, 0)
    nan = np.full((*codes.shape, 2), np.nan, np.float32)
    match = Correspondence(nan, codes, np.zeros(codes.shape, np.float32), 1)
    drawn = overlay.verdicts(np.full((*codes.shape, 3), 128, np.uint8), match).astype(int)
    middles = drawn[8, 4::8]
    apart = np.abs(middles[:, None] - middles[None]).sum(-1)
    assert apart[~np.eye(6, dtype=bool)].min() > 40


def test_confidence_shows_the_least_of_a_neighbourhood():
    match = shifted((9, 9), (0, 0))
    match.confidence[4, 4] = 0.0
    drawn = overlay.confidence(np.full((9, 9, 3), 255, np.uint8), match)
    low, high = palette.heat_rgb([0.0, 1.0])
    assert np.abs(drawn[3:6, 3:6].astype(int) - low.astype(int)).max() <= 1
    assert np.abs(drawn[0, 0].astype(int) - high.astype(int)).max() <= 1


def test_strided_maps_cover_their_cells():
    values = np.arange(6).reshape(2, 3)
    laid = overlay.cells(values, 4, (9, 14))
    assert laid.shape == (9, 14)
    assert np.array_equal(laid[::4, ::4][:2, :3], values)
    assert laid[8, 13] == 5  # beyond the last whole cell it repeats


@pytest.mark.parametrize("verdict", [Verdict.VISIBLE, Verdict.OCCLUDED])
def test_picked_queries_have_the_verdict_and_spread(match, verdict):
    picked = matches.pick(match, HW, verdict, 12, seed=3)
    assert picked.xy0.shape == picked.xy1.shape == (12, 2)
    column, row = np.floor(picked.xy0).astype(int).T
    assert (match.verdict[row, column] == verdict).all()
    assert np.array_equal(match.xy1[row, column].astype(float), picked.xy1)
    apart = np.linalg.norm(picked.xy0[:, None] - picked.xy0[None], axis=-1)
    assert apart[~np.eye(12, dtype=bool)].min() > 2
    again = matches.pick(match, HW, verdict, 12, seed=3)
    assert np.array_equal(picked.xy0, again.xy0)


def test_fewer_queries_than_asked_for_are_all_picked():
    match = shifted((8, 8), (0, 0), Verdict.OUTSIDE)
    match.verdict[2, 3:5] = Verdict.VISIBLE
    picked = matches.pick(match, (8, 8), Verdict.VISIBLE, 10)
    assert sorted(picked.xy0.tolist()) == [[3.5, 2.5], [4.5, 2.5]]
    assert len(matches.pick(match, (8, 8), Verdict.OCCLUDED, 10).xy0) == 0


def test_marks_stand_at_both_ends_of_a_match(sample):
    grey = np.full((60, 80, 3), 128, np.uint8)
    match = shifted((60, 80), (10, 5), Verdict.OUTSIDE)
    match.verdict[20, 30] = Verdict.VISIBLE
    drawn = matches.side_by_side(grey, grey, match)
    colour = palette.position_rgb(np.array([30.5, 20.5]), (60, 80)).astype(int)
    assert drawn.shape == (60, 160 + matches.GAP, 3)
    for row, column in ((20, 30), (25, 80 + matches.GAP + 40)):
        assert np.abs(drawn[row, column].astype(int) - colour).max() <= 2
    assert np.array_equal(grey, np.full((60, 80, 3), 128, np.uint8))  # the input is left alone


def test_a_hidden_point_is_marked_differently_in_both_views():
    grey = np.full((60, 80, 3), 128, np.uint8)
    match = shifted((60, 80), (0, 0), Verdict.OUTSIDE)
    match.verdict[30, 40] = Verdict.OCCLUDED
    drawn = matches.side_by_side(grey, grey, match)
    right = 80 + matches.GAP
    cross, ring = drawn[30, right + 40].astype(int), drawn[30, 40].astype(int)
    assert np.abs(cross - palette.HIDDEN_RGB).max() <= 2
    assert np.abs(ring - palette.HIDDEN_RGB).max() > 60  # hollow


def test_views_of_different_sizes_share_a_canvas():
    small, large = np.zeros((20, 30, 3), np.uint8), np.zeros((50, 40, 3), np.uint8)
    drawn = matches.side_by_side(small, large, shifted((20, 30), (0, 0)), scale=2.0)
    assert drawn.shape == (100, 60 + matches.GAP + 80, 3)


def test_token_grid_draws_every_query(sample):
    match = sample.correspondence[16]
    one = Correspondence(match.xy[0, 1], match.verdict[0, 1], match.confidence[0, 1], 16)
    drawn = matches.token_grid(sample.images[0], sample.images[1], one)
    visible = np.argwhere(one.verdict == Verdict.VISIBLE)
    assert len(visible)
    for row, column in visible:
        at = drawn[16 * row + 7, 16 * column + 7].astype(int)
        assert at.max() - at.min() > 60  # coloured on grey


def test_thumbnails_are_bounded_and_never_enlarged():
    image = np.random.default_rng(0).integers(0, 256, (300, 1200, 3), np.uint8)
    small = pictures.picture(image, 400)
    assert (small.width, small.height) == (400, 100)
    assert pictures.picture(image[:10, :20], 400).width == 20
    assert small.uri.startswith("data:image/webp;base64,")


def test_pairs_span_rotation(sample):
    chosen = selection.pairs(sample, 3)
    angles = [float(sample.rotation_deg[pair]) for pair in chosen]
    every = sample.rotation_deg[np.triu_indices(4, 1)]
    assert angles == sorted(angles)
    assert angles[0] == every.min()
    assert angles[-1] == every.max()
    assert selection.pairs(sample, 99) == sorted(
        {(a, b) for a in range(4) for b in range(a + 1, 4)},
        key=lambda pair: sample.rotation_deg[pair],
    )


def test_groups_span_rotation_and_depend_on_the_seed():
    largest = list(np.random.default_rng(0).uniform(0, 180, 200))
    chosen = selection.groups(largest, 6, seed=1)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 6
    assert np.ptp([largest[i] for i in chosen]) > 90
    assert chosen == selection.groups(largest, 6, seed=1)
    assert chosen != selection.groups(largest, 6, seed=2)
    assert selection.groups(largest[:3], 6) == [0, 1, 2]
    assert selection.groups(largest, 0) == []
