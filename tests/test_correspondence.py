"""The geometry core against exact ray casting, closed forms, its slow twin, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy import all_cases, changed_by_scale, clean, degraded, noisy
from benchmarks.scenes import acceptance_scene, view_pairs
from cameo_data import Camera, correspond, transforms
from cameo_data.camera import project, query_xy, resize, unproject
from cameo_data.correspondence import correspond_group, correspond_prepared, prepare, reference
from cameo_data.correspondence.core import noise_between
from cameo_data.geometry import raycast
from cameo_data.types import DepthMap, Verdict

HW = (48, 64)
K = np.array([[55.0, 0, 33.1], [0, 54.0, 23.3], [0, 0, 1]])
PAIRS = [pair.name for pair in view_pairs(HW)]


@pytest.mark.parametrize("hw", [(480, 640), (512, 512)])
def test_reaches_every_figure_asked_for(hw):
    for figure in clean(all_cases(hw, 0)):
        assert figure.met, f"{figure.name}: {figure.value} against {figure.target}"


@pytest.mark.parametrize("block", [1, 8])
def test_noise_and_holes_need_no_flag(block):
    for figure in noisy(all_cases((480, 640), 0)[::3], block):
        assert figure.met, f"{figure.name}: {figure.value} against {figure.target}"


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_verdicts_do_not_depend_on_the_unit(factor):
    changed, total = changed_by_scale(all_cases((512, 512), 0)[:6], factor)
    # float32 depth is rounded anew in another unit: a verdict within 1e-7 of a threshold may turn
    assert changed <= 1e-6 * total


@pytest.mark.parametrize("exponent", [-10, 10])
def test_powers_of_two_change_nothing_at_all(exponent):
    # no rounding here, so not one bit of any answer may differ
    changed, _ = changed_by_scale(all_cases((480, 640), 0)[:4], 2.0**exponent)
    assert changed == 0


@pytest.mark.parametrize("noise", [0.0, 0.005])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("name", PAIRS[2::5])
def test_agrees_with_its_slow_twin(name, stride, noise):
    case = next(c for c in all_cases(HW, 1) if c.pair.name == name)
    rng = np.random.default_rng(0)
    depth0 = degraded(case.depth0, rng, 1, noise, 0.05)
    depth1 = degraded(case.depth1, rng, 4, noise, 0.05)
    mask0, mask1 = rng.random((2, *HW)) < 0.9
    arguments = (depth0, case.pair.camera0, depth1, case.pair.camera1)
    fast = correspond(*arguments, stride=stride, mask0=mask0, mask1=mask1)
    slow = reference.correspond(*arguments, stride=stride, mask0=mask0, mask1=mask1)
    assert np.array_equal(fast.verdict, slow.verdict)
    np.testing.assert_allclose(fast.confidence, slow.confidence, atol=1e-5)
    np.testing.assert_allclose(fast.xy1, slow.xy1, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 4, 7])
def test_landing_places_are_exact(stride):
    scene = acceptance_scene(2)
    pair = list(view_pairs((96, 128)))[4]
    truth = raycast.oracle(scene, pair.camera0, pair.camera1, stride)
    depth0, depth1 = (
        raycast.depth_of(raycast.render(scene, camera)) for camera in (pair.camera0, pair.camera1)
    )
    found = correspond(depth0, pair.camera0, depth1, pair.camera1, stride=stride)
    # with an even stride queries lie between pixels: those beside an outline may take either side
    smooth = (
        (np.abs(found.xy1 - truth.xy1).max(-1) < 0.05)
        if stride % 2 == 0
        else np.ones(found.verdict.shape, bool)
    )
    both = (found.verdict == Verdict.VISIBLE) & (truth.verdict == Verdict.VISIBLE)
    assert (both & smooth).sum() > 0.95 * both.sum() > 20
    error = np.linalg.norm(found.xy1 - truth.xy1, axis=-1)[both & smooth]
    assert error.mean() < 0.01


@pytest.mark.parametrize("stride", [1, 2, 3, 8, 16, 48])
def test_every_query_has_one_verdict_and_finite_places_only_inside(stride):
    case = all_cases(HW, 0)[5]
    found = correspond(
        case.depth0, case.pair.camera0, case.depth1, case.pair.camera1, stride=stride
    )
    assert found.verdict.shape == (HW[0] // stride, HW[1] // stride)
    assert sum(found.share(v) for v in Verdict) == pytest.approx(1)
    landed = np.isin(found.verdict, (Verdict.UNKNOWN, Verdict.OCCLUDED, Verdict.VISIBLE))
    assert np.array_equal(landed, np.isfinite(found.xy1).all(-1))
    xy = found.xy1[landed]
    assert (xy >= 0).all()
    assert (xy < (HW[1], HW[0])).all()
    assert (found.confidence >= 0).all()
    assert (found.confidence <= 1).all()
    assert (found.confidence[found.verdict < Verdict.OCCLUDED] == 0).all()


def test_a_view_matches_itself():
    case = all_cases(HW, 0)[0]
    camera = case.pair.camera0
    found = correspond(case.depth0, camera, case.depth0, camera)
    assert np.array_equal(found.verdict == Verdict.VISIBLE, case.depth0 > 0)
    known = case.depth0 > 0
    np.testing.assert_allclose(found.xy1[known], query_xy(HW)[known], atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    normal=st.tuples(*[st.floats(-0.35, 0.35)] * 2),
    turn=st.tuples(*[st.floats(-0.25, 0.25)] * 3),
    shift=st.tuples(*[st.floats(-0.4, 0.4)] * 3),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_on_a_plane_everything_inside_is_visible_at_the_closed_form(normal, turn, shift, scale):
    # plane n · p = 1 in camera 0, in units of ``scale``
    n = np.array([*normal, 1.0]) / (2.0 * scale)
    one = Camera(K, HW)
    pose = np.eye(4)
    pose[:3, :3] = _rotation(turn)
    pose[:3, 3] = np.array(shift) * scale
    two = Camera(K * [[1.1], [1.1], [1]], (40, 60), pose)
    depth = [_plane_depth(n, camera) for camera in (one, two)]
    found = correspond(depth[0], one, depth[1], two)
    xy1, z1 = project(two, unproject(one, query_xy(HW), depth[0].astype(np.float64)))
    inside = (z1 > 0) & (xy1 >= 0).all(-1) & (xy1 < (60, 40)).all(-1)
    border = np.abs(xy1 / (60, 40) - 0.5).max(-1) > 0.5 - 1e-5
    sure = inside & ~border & (depth[0] > 0)
    np.testing.assert_allclose(found.xy1[sure], xy1[sure], atol=1e-3)
    # the plane's own side decides: seen from behind it is another surface
    center = two.world_from_cam[:3, 3]
    if 1 - n @ center > 0.05:
        known = _four_known(depth[1] > 0, xy1, sure)
        assert (found.verdict[known] == Verdict.VISIBLE).all()
        assert (found.confidence[known] == 1).all()


def test_hidden_and_unknown_are_told_apart():
    # a near square before a wall; camera 1 is moved to the right, so the square covers other wall
    wall, square = 4.0, 2.0
    one, two = Camera(K, HW), Camera(K, HW, _moved(-0.5))
    scene = [
        raycast.placed("rect", (0, 0, wall), (20, 20, 1)),
        raycast.placed("rect", (0, 0, square), (0.6, 0.6, 1)),
    ]
    depth0, depth1 = (raycast.depth_of(raycast.render(scene, c)) for c in (one, two))
    truth = raycast.oracle(scene, one, two)
    found = correspond(depth0, one, depth1, two)
    assert (truth.verdict == Verdict.OCCLUDED).sum() > 20
    assert (found.verdict == truth.verdict).mean() > 0.98
    # the wall behind is not nearer, it contradicts: remove the square from view 1 only
    bare = np.full(HW, wall, np.float32)
    found = correspond(depth0, one, bare, two)
    on_square = (depth0 < 3) & np.isfinite(found.xy1).all(-1)
    assert on_square.sum() > 100
    assert (found.verdict[on_square] == Verdict.UNKNOWN).all()


def test_a_hole_never_hides_anything():
    one, two = Camera(K, HW), Camera(K, HW, _moved(-0.2))
    depth = np.full(HW, 2.0, np.float32)
    holed = depth.copy()
    holed[10:20, 10:30] = 0
    holed[30, ::2] = np.nan
    holed[::3, 50] = np.inf
    found = correspond(depth, one, holed, two)
    assert (found.verdict == Verdict.OCCLUDED).sum() == 0
    assert (found.verdict == Verdict.UNKNOWN).sum() > 50
    assert (correspond(holed, one, depth, two).verdict == Verdict.NO_DEPTH)[10:20, 10:30].all()


def test_behind_and_outside():
    depth = np.full(HW, 2.0, np.float32)
    turned = np.eye(4)
    turned[:3, :3] = np.diag([-1.0, 1, -1])
    found = correspond(depth, Camera(K, HW), depth, Camera(K, HW, turned))
    assert (found.verdict == Verdict.BEHIND).all()
    found = correspond(depth, Camera(K, HW), depth, Camera(K, HW, _moved(50)))
    assert (found.verdict == Verdict.OUTSIDE).all()


def test_the_back_of_a_thin_card_is_not_its_front():
    # 1 mm thick, seen from both sides: depths differ by 0.05 %, less than any tolerance
    scene = [raycast.placed("box", (0, 0, 2.0), (1.5, 1.5, 0.001))]
    other_side = transforms.look_at((0, 0, 4), (0, 0, 2), (0, -1, 0))
    one, two = Camera(K, HW), Camera(K, HW, other_side)
    depth0, depth1 = (raycast.depth_of(raycast.render(scene, c)) for c in (one, two))
    found = correspond(depth0, one, depth1, two)
    outline = found.confidence < 1
    assert ((found.verdict == Verdict.VISIBLE) & ~outline).sum() <= (depth0 > 0).sum()


def test_masks_restrict_queries_and_targets():
    one, two = Camera(K, HW), Camera(K, HW, _moved(-0.2))
    depth = np.full(HW, 2.0, np.float32)
    mask0, mask1 = np.zeros((2, *HW), bool)
    mask0[:, :32] = True
    mask1[:24] = True
    found = correspond(depth, one, depth, two, mask0=mask0, mask1=mask1)
    assert (found.verdict[:, 32:] == Verdict.NO_DEPTH).all()
    landed = np.isfinite(found.xy1).all(-1)
    lower = landed & (found.xy1[..., 1] >= 24)
    assert (found.verdict[lower] == Verdict.UNKNOWN).all()
    assert (found.verdict[landed & ~lower] == Verdict.VISIBLE).all()


def test_views_may_differ_in_size():
    case = all_cases((60, 80), 0)[4]
    camera1 = resize(case.pair.camera1, (30, 40))
    scene = acceptance_scene(0)
    depth1 = raycast.depth_of(raycast.render(scene, camera1))
    found = correspond(case.depth0, case.pair.camera0, depth1, camera1)
    truth = raycast.oracle(scene, case.pair.camera0, camera1)
    assert found.verdict.shape == (60, 80)
    assert (found.verdict == truth.verdict).mean() > 0.97


def test_noise_is_estimated():
    case = all_cases((240, 320), 0)[2]
    rng = np.random.default_rng(3)

    def estimate(noise: float) -> float:
        depth0, depth1 = (degraded(d, rng, 1, noise, 0.0) for d in (case.depth0, case.depth1))
        return noise_between(prepare(depth0, case.pair.camera0), prepare(depth1, case.pair.camera1))

    assert estimate(0.0) == 0
    # view 0's own error, and that of four averaged pixels of view 1
    for noise in (0.005, 0.02):
        assert noise < estimate(noise) < 1.8 * noise


def test_disparities_in_whole_steps_are_no_occluders():
    # 8-bit stereo: a wall seen slantwise becomes stairs, each a little nearer than the last
    one, two = Camera(K, HW), Camera(K, HW, _moved(-0.25))
    plane = np.array([0.12, 0.02, 0.4])
    stairs = []
    for camera in (one, two):
        disparity = 100 / _plane_depth(plane, camera)
        stairs.append((100 / np.maximum(np.rint(disparity), 1)).astype(np.float32))
    found = correspond(stairs[0], one, stairs[1], two)
    landed = found.verdict >= Verdict.UNKNOWN
    assert landed.sum() > 1500
    assert (found.verdict[landed] == Verdict.VISIBLE).mean() > 0.98
    slow = reference.correspond(stairs[0], one, stairs[1], two, stride=3)
    fast = correspond(stairs[0], one, stairs[1], two, stride=3)
    assert np.array_equal(fast.verdict, slow.verdict)


def test_groups_hold_all_ordered_pairs():
    case = all_cases(HW, 0)[0]
    views = [
        prepare(case.depth0, case.pair.camera0),
        prepare(case.depth1, case.pair.camera1),
        prepare(DepthMap.from_array(case.depth0), case.pair.camera0),
    ]
    maps = correspond_group(views, 8)
    assert maps.xy.shape == (3, 3, 6, 8, 2)
    for a in range(3):
        assert (maps.verdict[a, a] == Verdict.NO_DEPTH).all()
        assert np.isnan(maps.xy[a, a]).all()
        for b in range(3):
            if a != b:
                one = correspond_prepared(views[a], views[b], 8)
                assert np.array_equal(maps.verdict[a, b], one.verdict)
                assert np.array_equal(maps.xy[a, b], one.xy1, equal_nan=True)
                assert np.array_equal(maps.confidence[a, b], one.confidence)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"depth0": np.ones((4, 4))}, "depth is 4×4, camera says 48×64"),
        ({"depth1": np.ones(5)}, "depth is 5, camera says 48×64"),
        ({"stride": 0}, "stride is 0; expected 1 to 48"),
        ({"stride": 49}, "stride is 49; expected 1 to 48"),
        ({"mask0": np.ones((2, 2), bool)}, "mask is 2×2, camera says"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "depth0": np.ones(HW), "camera0": Camera(K, HW),
        "depth1": np.ones(HW), "camera1": Camera(K, HW),
    } | change  # fmt: skip
    with pytest.raises(ValueError, match=message):
        correspond(**arguments)


def test_a_group_needs_views_of_one_size():
    small = prepare(np.ones((8, 8)), Camera(K, (8, 8)))
    large = prepare(np.ones(HW), Camera(K, HW))
    with pytest.raises(ValueError, match="at least two views"):
        correspond_group([small], 1)
    with pytest.raises(ValueError, match="one size"):
        correspond_group([small, large], 1)


def _moved(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def _rotation(vector) -> np.ndarray:
    angle = np.linalg.norm(vector)
    half = np.sin(angle / 2) / angle if angle > 0 else 0.5
    return transforms.from_quaternion((*(half * np.array(vector)), np.cos(angle / 2)), np.zeros(3))[
        :3, :3
    ]


def _plane_depth(normal: np.ndarray, camera: Camera) -> np.ndarray:
    """Depth of the plane normal · p_world = 1, 0 where the ray misses it."""
    rays = raycast.pixel_rays(camera, query_xy(camera.hw))
    center = camera.world_from_cam[:3, 3]
    with np.errstate(divide="ignore"):
        t = (1 - normal @ center) / (rays @ normal)
    return np.where((t > 0) & np.isfinite(t), t, 0).astype(np.float32)


def _four_known(known: np.ndarray, xy1: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Where the 4×4 pixels around a landing place are all known."""
    x, y = (np.floor(np.nan_to_num(xy1[..., i]) - 0.5).astype(int) for i in (0, 1))
    good = where.copy()
    for j in range(-1, 3):
        for i in range(-1, 3):
            row = np.clip(y + j, 0, known.shape[0] - 1)
            column = np.clip(x + i, 0, known.shape[1] - 1)
            good &= known[row, column] & (y + j == row) & (x + i == column)
    return good
