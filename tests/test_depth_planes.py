"""Blank surfaces: walls get their plane; skies and what is behind boxes get none."""

import cv2
import numpy as np
import pytest

from cameo_data import transforms
from cameo_data.depth import appearance, planes
from cameo_data.geometry import raycast
from cameo_data.geometry.raycast import placed
from cameo_data.types import Camera, DepthMap

HW = (120, 160)
NOISE = 1.5
WALL = placed("box", (0, 5, 0), (30, 0.1, 30))
POSTER = placed("box", (-0.6, 4.94, 0.2), (1.2, 0.02, 1.5))
FLOOR = placed("box", (0, 4, -1.3), (12, 12, 0.1))
BOX = placed("box", (0, 4, -0.3), (1.2, 0.6, 1.6))
# name: (solids, which of them are blank); the first two may be completed, the others not
SCENES = {
    "wall with a poster": ([WALL, POSTER, FLOOR], {0}),
    "corner": (
        [
            WALL,
            placed("box", (1.5, 4, 0), (0.1, 12, 12)),
            POSTER,
            placed("box", (1.44, 3.7, 0.2), (0.02, 0.8, 0.8)),
            FLOOR,
        ],
        {0, 1},
    ),
    "box before a wall": ([placed("box", (0, 6, 0), (30, 0.1, 30)), BOX, FLOOR], {0}),
    "box before a wall, no floor": ([placed("box", (0, 6, 0), (30, 0.1, 30)), BOX], {0}),
    "box before the sky": ([BOX, FLOOR], set()),
    "boxes before the sky": (
        [placed("box", (x, 4, -0.3), (0.8, 0.6, 1.6)) for x in (-0.8, 0.8)] + [FLOOR],
        set(),
    ),
    "blank box before a wall": ([WALL, placed("box", (0, 4, -0.5), (1.6, 0.6, 1.2)), FLOOR], {1}),
}


def cameras():
    K = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
    eyes = [(0.2 * (n - 3), 0.15 * np.sin(2 * n), 0.2 + 0.1 * np.cos(3 * n)) for n in range(7)]
    return [Camera(K, HW, transforms.look_at(eye, (0, 5, 0))) for eye in eyes]


def picture(solids, blank, camera, rng):
    """Image, depth, and where a surface has a pattern."""
    S = 3
    large = Camera(np.diag([S, S, 1]) @ camera.K, (S * HW[0], S * HW[1]), camera.cam_from_world)
    hits = raycast.render(solids, large)
    image = np.full((*large.hw, 3), (150.0, 170, 200))
    colours = np.random.default_rng(5).uniform(60, 200, (len(solids), 3))
    for number, solid in enumerate(solids):
        here = hits.primitive == number
        size = np.abs(solid.world_from_object[:3, :3]).max()
        cells = np.floor(np.nan_to_num(hits.p_object[here]) * size * 6).astype(np.int64)
        pattern = (cells @ (73856093, 19349663, 83492791) * 2654435761 >> 7) % 90 - 45
        image[here] = colours[number] + (0 if number in blank else pattern[:, None])
    image = cv2.resize(image, HW[::-1], interpolation=cv2.INTER_AREA)
    image = (image + rng.normal(0, NOISE, image.shape)).clip(0, 255).astype(np.uint8)
    exact = raycast.render(solids, camera)
    return image, raycast.depth_of(exact), ~np.isin(exact.primitive, [-1, *blank])


def stereo(z, patterned):
    """Depth as windows find it: up to three pixels from a pattern; beside an edge the nearer."""
    far, window = np.float32(1e9), np.ones((7, 7), np.uint8)
    near = cv2.erode(np.where(z > 0, z, far), window)
    beside = (near < far) & ((z <= 0) | (z > 1.12 * near))
    found = cv2.dilate(patterned.astype(np.uint8), window) > 0
    return DepthMap.from_array(np.where(found, np.where(beside, near, z), 0))


def completed(name, needed=2):
    """Of the middle view: exact depth, what stereo knows, and what planes add."""
    solids, blank = SCENES[name]
    rng = np.random.default_rng(0)
    views = cameras()
    made = [picture(solids, blank, camera, rng) for camera in views]
    known = [stereo(z, patterned) for _, z, patterned in made]
    others = [
        appearance.view(views[3], views[n], made[n][0], known[n])
        for n in range(len(views))
        if n != 3
    ]
    return made[3][1], known[3], planes.complete(made[3][0], known[3].z, others, needed)


@pytest.mark.parametrize("name", list(SCENES)[:2])
def test_blank_walls_get_their_plane(name):
    exact, known, flat = completed(name)
    missing = (exact > 0) & ~known.valid
    assert missing.mean() > 0.3
    assert (flat > 0)[missing].mean() > 0.75
    assert not (flat > 0)[known.valid].any()
    off = np.abs(flat - exact)[flat > 0] / exact[flat > 0]
    assert np.quantile(off, 0.98) < 0.02


@pytest.mark.parametrize("name", list(SCENES)[2:])
def test_what_may_be_anywhere_gets_no_depth(name):
    exact, known, flat = completed(name)
    assert (~known.valid).mean() > 0.05
    wrong = (flat > 0) & (np.abs(flat - exact) > 0.03 * exact)
    assert wrong.mean() < 0.002


def test_a_plane_needs_views_that_show_the_same():
    _, _, flat = completed("wall with a poster", needed=7)
    assert not flat.any()


def test_planes_are_found_one_after_another_with_their_spread():
    rng = np.random.default_rng(1)
    design = np.concatenate([rng.uniform(-0.5, 0.5, (900, 2)), np.ones((900, 1))], 1)
    first, second = np.array([0.05, -0.1, 0.5]), np.array([-0.1, 0.05, 0.3])
    exact = np.where(np.arange(900) < 500, design @ first, design @ second)
    exact[850:] = rng.uniform(0.1, 1, 50)
    w = exact * (1 + 0.002 * rng.standard_normal(900))
    found = planes.fit_planes(design, w, 900, rng)
    assert [round(plane.share, 1) for plane in found] == [0.6, 0.4]
    np.testing.assert_allclose(found[0].coefficients, first, atol=3e-4)
    np.testing.assert_allclose(found[1].coefficients, second, atol=3e-4)
    # as of 500 / ALIKE measurements, each off by 0.2 % of about 0.5
    assert found[0].spread(design)[0] == pytest.approx(0.001 / np.sqrt(5), rel=1.0)
    far = np.array([[5.0, 0, 1]])  # ten times as far out as the points are
    assert found[0].spread(far)[0] > 8 * found[0].spread(np.array([[0.0, 0, 1]]))[0]


def test_any_number_of_pixels_can_be_sampled():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    at = np.tile([[1.5, 2.5], [3.0, 0.5]], (40_000, 1))
    found = appearance._sampled(image, at, cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, np.tile([9, 2.5], 40_000))
