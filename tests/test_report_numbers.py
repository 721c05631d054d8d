"""Agreement and summaries: exact counts, and sums that add up."""

import json

import numpy as np
import pytest
from report_fixtures import make_sample

from cameo_data.report import agreement, plots, summary, text
from cameo_data.report.agreement import Agreement
from cameo_data.report.summary import FrameCount
from cameo_data.types import Correspondence, Verdict

FRAMES = FrameCount(30, 18, 9, 3, {"bad_pose": 1, "unreadable_depth": 2})


@pytest.fixture(scope="module")
def numbers():
    return summary.summarise([summary.record_of(make_sample())] * 2)


def known_pair(difference):
    """The agreement of two 4 × 6 views whose colours differ by this much in one channel."""
    image0 = np.full((4, 6, 3), 100, np.uint8)
    image1 = image0.copy()
    image1[..., 0] += difference
    rows, columns = np.mgrid[:4, :6]
    xy1 = np.stack([columns + 0.5, rows + 0.5], -1).astype(np.float32)
    verdict = np.full((4, 6), Verdict.VISIBLE, np.uint8)
    verdict[0] = Verdict.OCCLUDED
    ones = np.ones((4, 6), np.float32)
    return agreement.of_pair(image0, image1, Correspondence(xy1, verdict, ones, 1))


def test_median_of_known_differences_is_exact():
    one = known_pair(np.uint8(30))
    assert one.median_warped == 10.0
    assert one.share(Verdict.VISIBLE) == 0.75
    assert one.share(Verdict.OCCLUDED) == 0.25
    together = one + known_pair(np.uint8(31)) + known_pair(np.uint8(32))
    assert together.pairs == 3
    assert together.median_warped == pytest.approx(31 / 3)
    assert together.verdicts.sum() == 3 * 24


def test_nothing_measured_has_no_median():
    record = Agreement().record()
    assert record["median_colour_difference"] is None
    assert record["pairs"] == 0
    assert json.loads(json.dumps(record)) == record


def test_right_matches_agree_in_colour_where_places_do_not():
    bins = agreement.by_rotation([make_sample()], summary.ROTATION_BINS_DEG)
    total = sum(bins, Agreement())
    assert total.pairs == 12  # all ordered pairs of four views
    assert total.median_warped < 2
    assert total.median_unwarped > 10 * total.median_warped


def test_masks_restrict_the_measured_pairs():
    masked = agreement.by_rotation([make_sample(masked=True)], (0.0, 180.0))[0]
    free = agreement.by_rotation([make_sample()], (0.0, 180.0))[0]
    assert masked.share(Verdict.NO_DEPTH) >= 0.5 > free.share(Verdict.NO_DEPTH)


@pytest.mark.parametrize(
    ("value", "index"), [(0, 0), (14.9, 0), (15, 1), (119, 4), (120, 5), (180, 5), (181, None)]
)
def test_bins_are_half_open_and_the_last_closed(value, index):
    assert agreement.bin_index(value, summary.ROTATION_BINS_DEG) == index


def test_summary_counts_every_pair_and_query_once(numbers):
    sample = make_sample()
    assert numbers.samples == 2
    assert numbers.views == 8
    assert numbers.rotation.sum() == 2 * 6
    assert numbers.overlap.sum() == numbers.bin_pairs.sum() == 2 * 12
    assert numbers.stride == 8
    assert numbers.verdicts.sum() == 2 * 12 * (96 // 8) * (128 // 8)
    assert numbers.verdict_shares.sum() == pytest.approx(1)
    others = ~np.eye(4, dtype=bool)
    for verdict in Verdict:
        share = np.mean(sample.correspondence[8].verdict[others] == verdict)
        assert numbers.verdict_shares[verdict] == pytest.approx(share)


def test_verdicts_that_are_not_stored_are_computed():
    record = summary.record_of(make_sample(()))
    stored = summary.record_of(make_sample((16,)))
    assert record.recomputed
    assert record.stride == stored.stride == 16
    assert np.array_equal(record.verdicts, stored.verdicts)


def test_frames_that_vanish_are_noticed():
    assert FRAMES.adds_up
    lost = FrameCount(31, 18, 9, 3)
    assert not lost.adds_up
    assert FRAMES.record()["reasons"] == {"bad_pose": 1, "unreadable_depth": 2}


def test_text_shows_sums_shares_and_bars(numbers):
    bins = agreement.by_rotation([make_sample()], summary.ROTATION_BINS_DEG)
    lines = text.lines(numbers, FRAMES, bins)
    assert lines[0] == "Frames   30 found = 18 used + 9 left out + 3 failed"
    joined = "\n".join(lines)
    assert "unreadable_depth  2  ████" in joined
    for verdict in Verdict:
        assert f"{100 * numbers.verdict_shares[verdict]:.2f} %" in joined
    lost = text.lines(numbers, FrameCount(31, 18, 9, 3))
    assert lost[0] == "Frames   31 found ≠ 18 used + 9 left out + 3 failed"


def test_text_without_unicode_is_ascii(numbers):
    bins = agreement.by_rotation([make_sample()], summary.ROTATION_BINS_DEG)
    lines = text.lines(numbers, FrameCount(31, 18, 9, 3, {"bad_pose": 3}), bins, unicode=False)
    assert "\n".join(lines).isascii()
    assert "####" in "\n".join(lines)


def test_bars_are_proportional_and_never_lose_a_count():
    half, full, tiny, none = text.bars(["a", "b", "c", "d"], [500, 1000, 1, 0])
    assert full.count("█") == 2 * half.count("█") == 32
    assert tiny.endswith("▏")
    assert none.endswith("0")


@pytest.mark.parametrize("suffix", plots.FORMATS)
def test_plots_are_written_and_reproducible(tmp_path, numbers, suffix):
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for path in (first, second):
        plots.save(path, numbers, FRAMES, "a title & more")
    assert first.read_bytes() == second.read_bytes()
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert first.read_bytes().startswith(start)
    if suffix == "svg":
        assert "a title &amp; more" in first.read_text()


def test_plots_refuse_other_formats(tmp_path, numbers):
    with pytest.raises(ValueError, match=r"x\.gif; expected \.png, \.svg, \.pdf"):
        plots.save(tmp_path / "x.gif", numbers, FRAMES, "t")
