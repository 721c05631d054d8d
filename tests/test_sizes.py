"""Sizes as people write them, and sizes that follow from others."""

import pytest

from cameo_data.camera import hw_within
from cameo_data.io.parsing import parse_hw


@pytest.mark.parametrize("text", ["640x480", " 640X480 ", "640×480"])
def test_a_size_is_width_by_height(text):
    assert parse_hw(text) == (480, 640)


def test_one_number_is_a_square():
    assert parse_hw("512") == (512, 512)


@pytest.mark.parametrize("text", ["5x", "x5", "True", "", "512.0", "1x2x3", "-64"])
def test_what_is_no_size_says_what_is_expected(text):
    with pytest.raises(ValueError, match="expected 512 or 640x480"):
        parse_hw(text)


@pytest.mark.parametrize("text", ["15", "16x8193", "99999"])
def test_sides_have_limits(text):
    with pytest.raises(ValueError, match="expected sides from 16 to 8192 pixels"):
        parse_hw(text)
    assert max(parse_hw(text, (1, 99_999))) < 100_000


def test_within_a_side_is_only_ever_smaller():
    assert hw_within((480, 640), 320) == (240, 320)
    assert hw_within((48, 64), 320) == (48, 64)
    assert hw_within((1, 10_000), 100) == (1, 100)
