"""Depth stored in whole steps: stairs hide nothing, and walls without steps are not stairs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from benchmarks.accuracy import all_cases, scaled
from benchmarks.imperfect import STEPS, STEPS_Z, rounded, stepped, stereo_cases
from cameo_data import correspond
from cameo_data.correspondence import prepare, reference
from cameo_data.types import Verdict

HW = (48, 64)


@lru_cache(maxsize=1)
def _stereo():
    return tuple(stereo_cases((240, 320)))


@pytest.mark.parametrize("step", STEPS)
def test_stairs_hide_nothing(step):
    for figure in stepped(_stereo(), step):
        assert figure.met, f"{figure.name}: {figure.value} against {figure.target}"


@pytest.mark.parametrize("step", STEPS)
def test_steps_are_found(step):
    for case, focal_baseline in _stereo()[::2]:
        found = prepare(rounded(case.depth0, focal_baseline, step), case.pair.camera0).steps
        if step in STEPS_Z:
            expected = (0, STEPS_Z[step])
        elif step == "8 bit disparity":
            expected = (1 / case.depth0[case.depth0 > 0].min() / 255, 0)
        else:
            above, _, below = step.removesuffix(" px").partition("/")
            expected = (float(above) / float(below or 1) / focal_baseline, 0)
        assert found == pytest.approx(expected, rel=0.01)


def test_exact_depth_has_no_steps():
    for case, _ in _stereo()[::2]:
        assert prepare(case.depth0, case.pair.camera0).steps == (0, 0)
    camera = _stereo()[0][0].pair.camera0
    # w is linear in the column: as many equal steps as columns, but no treads
    tilted = np.broadcast_to(1 / np.linspace(0.2, 0.5, 320), (240, 320)).astype(np.float32)
    assert prepare(tilted, camera).steps == (0, 0)
    # a few walls that face the camera
    walls = np.repeat(np.arange(1, 9), 40)[None].repeat(240, 0).astype(np.float32)
    assert prepare(walls, camera).steps == (0, 0)


def test_steps_scale_with_the_unit_of_length():
    case, focal_baseline = _stereo()[2]
    case = all_cases((240, 320), 0)[4]
    for step in ("1/4 px", "cm"):
        plain = _answer(case, focal_baseline, step, 1)
        for factor in (2.0**-9, 2.0**7):
            other = _answer(case, focal_baseline, step, factor)
            assert np.array_equal(plain.verdict, other.verdict)
            assert np.array_equal(plain.confidence, other.confidence)


def _answer(case, focal_baseline, step, factor):
    depths = [rounded(d, focal_baseline, step) for d in (case.depth0, case.depth1)]
    pair = scaled(case, factor).pair
    return correspond(
        depths[0] * np.float32(factor), pair.camera0, depths[1] * np.float32(factor), pair.camera1
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("step", ["1 px", "1/4 px", "cm", "8 bit depth"])
def test_agrees_with_its_slow_twin(step, stride):
    case = all_cases(HW, 1)[3]
    depths = [rounded(d, 40.0, step) for d in (case.depth0, case.depth1)]
    arguments = (depths[0], case.pair.camera0, depths[1], case.pair.camera1)
    fast = correspond(*arguments, stride=stride)
    slow = reference.correspond(*arguments, stride=stride)
    assert np.array_equal(fast.verdict, slow.verdict)
    np.testing.assert_allclose(fast.confidence, slow.confidence, atol=1e-5)
    assert (fast.verdict == Verdict.VISIBLE).mean() > 0.3
