"""The kernels of ``planesweep``: against slow twins, and on surfaces that are known exactly."""

import depth_reference
import numpy as np
import pytest
import torch

from cameo_data import transforms
from cameo_data.depth import consistency, semi_global, surface, sweep
from cameo_data.geometry import raycast
from cameo_data.geometry.raycast import placed
from cameo_data.types import Camera, DepthMap

HW = (14, 18)


def view(eye, hw=HW, target=(0, 3, 0), focal=1.1):
    K = np.array([[focal * hw[1], 0, hw[1] / 2 + 0.3], [0, focal * hw[1], hw[0] / 2], [0, 0, 1]])
    return Camera(K, hw, transforms.look_at(eye, target))


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("eye", [(0.5, 0, 0.1), (0, 1.2, 0), (0.2, 6.5, 0)])
def test_the_cost_is_that_of_its_slow_twin(radius, eye):
    rng = np.random.default_rng(0)
    camera0, camera1 = view((0, 0, 0)), view(eye, (11, 20))
    grey0 = rng.random(HW).astype(np.float32) - 0.5
    grey1 = rng.random((11, 20)).astype(np.float32) - 0.5
    fields = rng.uniform(0.2, 0.6, (3, *HW)).astype(np.float32)
    ref = sweep.reference(torch.from_numpy(grey0), radius)
    other = sweep.neighbour(camera0, camera1, torch.from_numpy(grey1))
    found = sweep.pair_cost(ref, other, torch.from_numpy(fields)).numpy()
    slow = [depth_reference.pair_cost(grey0, camera0, grey1, camera1, w, radius) for w in fields]
    np.testing.assert_allclose(found, slow, atol=2e-4)
    assert 0 < np.mean(found == sweep.NO_VIEW_COST) < 1


def test_the_two_views_that_agree_best_count():
    rng = np.random.default_rng(1)
    grey = torch.from_numpy(rng.random(HW).astype(np.float32) - 0.5)
    ref = sweep.reference(grey, 1)
    others = [
        sweep.neighbour(
            view((0, 0, 0)), view(eye), torch.from_numpy(rng.random(HW).astype(np.float32) - 0.5)
        )
        for eye in ((0.1, 0, 0), (0.3, 0, 0), (0, 0, 0.2))
    ]
    fields = torch.full((11, *HW), 0.3)
    each = torch.stack([sweep.pair_cost(ref, other, fields) for other in others])
    torch.testing.assert_close(sweep.cost(ref, others, fields), each.sort(0).values[:2].mean(0))
    torch.testing.assert_close(sweep.cost(ref, others[:1], fields), each[0])


def test_blank_windows_agree_with_nothing():
    ref = sweep.reference(torch.full(HW, 0.1), 2)
    other = sweep.neighbour(view((0, 0, 0)), view((0.2, 0, 0)), torch.full(HW, 0.1))
    assert sweep.pair_cost(ref, other, torch.full((1, *HW), 0.3)).min() > 0.99


def test_semi_global_paths_are_those_of_their_slow_twin():
    rng = np.random.default_rng(2)
    costs = rng.random((1, 12, 9)).astype(np.float32)
    grey = rng.uniform(-0.5, 0.5, (1, 12)).astype(np.float32)
    found = semi_global.aggregate(torch.from_numpy(costs), torch.from_numpy(grey)).numpy()
    step, jump = semi_global.STEP_COST, semi_global.JUMP_COST
    both = np.zeros((12, 9))
    for way in (slice(None), slice(None, None, -1)):
        line, values = costs[0][way], grey[0][way].astype(np.float64)
        jumps = jump / (1 + np.abs(np.diff(values, prepend=values[0])) / semi_global.EDGE)
        both += depth_reference.one_path(line, np.maximum(jumps, 2 * step), step)[way]
    # in a picture one pixel high the six paths that leave it are the costs themselves
    np.testing.assert_allclose(found[0], both + 6 * costs[0], rtol=1e-5)


def test_the_vertex_of_a_parabola_is_exact():
    at = torch.tensor([[2.3, 0.0, 3.9]])
    costs = (torch.arange(6.0) - at[..., None]) ** 2
    index = costs.argmin(2)
    found = index + surface.vertex(costs, index)
    torch.testing.assert_close(found, torch.tensor([[2.3, 0.0, 3.9]]))


def test_the_median_of_nine_is_the_median():
    w = torch.from_numpy(np.random.default_rng(3).random((7, 9)).astype(np.float32))
    padded = np.pad(w.numpy(), 1, mode="edge")
    slow = [[np.median(padded[y : y + 3, x : x + 3]) for x in range(9)] for y in range(7)]
    np.testing.assert_array_equal(surface.median(w).numpy(), np.array(slow, np.float32))


def test_smoothing_keeps_planes_and_outlines():
    x = torch.arange(40.0).expand(30, 40)
    plane = 0.2 + 0.001 * x
    torch.testing.assert_close(
        surface.smooth(plane, 0.005)[5:-5, 5:-5], plane[5:-5, 5:-5], atol=1e-6, rtol=0
    )
    stairs = torch.where(x < 20, 0.2, 0.4)
    torch.testing.assert_close(surface.smooth(stairs, 0.005), stairs)


SOLIDS = [placed("box", (0, 4, 0), (20, 0.1, 20)), placed("sphere", (0.2, 3, 0), (1, 1, 1))]
BIG = (60, 80)


def exact(camera):
    return DepthMap.from_array(raycast.depth_of(raycast.render(SOLIDS, camera)))


def test_exact_depth_is_confirmed_where_others_see_it_and_wrong_depth_is_not():
    eyes = [(0, 0, 0), (0.3, 0, 0), (-0.3, 0, 0.1)]
    views = [view(eye, BIG) for eye in eyes]
    depths = [exact(camera) for camera in views]
    others = list(zip(depths[1:], views[1:], strict=True))
    said = consistency.confirm(depths[0], views[0], others)
    seen = sum(raycast.oracle(SOLIDS, views[0], camera).verdict == 5 for camera in views[1:])
    assert np.mean(said.count[seen == 2] == 2) > 0.97
    assert np.mean(said.count > seen) < 0.02  # a pixel or so beside outlines
    both = said.count == 2
    np.testing.assert_allclose(said.z[both], depths[0].z[both], rtol=6e-3)  # the sphere's rim
    # 10 % nearer is in the air: the others look through it
    nearer = DepthMap.from_array(depths[0].z * 0.9)
    said = consistency.confirm(nearer, views[0], others)
    assert said.count.max() == 0
    assert np.mean(said.through[seen == 2] >= 1) > 0.9


def test_specks_go_and_surfaces_grow_over_small_gaps():
    kept = np.zeros((40, 40), bool)
    kept[5:30, 5:30] = True
    kept[35, 35] = True
    assert not consistency.without_specks(kept, 5)[35, 35]
    kept[12:14, 10:20] = False
    w = np.full((40, 40), 0.5)
    w[12, 15] = 0.6  # not of that surface
    grown = consistency.grown(kept, w, np.ones_like(kept))
    assert grown[12:14, 10:20].sum() == 19
    assert not grown[12, 15]
    assert not consistency.grown(kept, w, np.zeros_like(kept))[13, 15]
