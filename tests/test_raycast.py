"""Ray casting against closed forms in plain NumPy, and the oracle against its definition."""

import numpy as np
import pytest

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.geometry import raycast
from cameo_data.geometry.raycast import KINDS, Primitive, cast, orbit_rotation, placed
from cameo_data.types import Camera, Verdict

RAYS = 4000


def random_rotation(rng):
    return transforms.from_quaternion(rng.normal(size=4), np.zeros(3))[:3, :3]


def rays_about(rng, center, reach):
    """Rays from about a place towards about it: some hit, some miss."""
    origins = center + rng.uniform(-reach, reach, (RAYS, 3))
    aims = center + rng.uniform(-0.6, 0.6, (RAYS, 3))
    return origins, aims - origins


def sphere_t(center, radius, o, d):
    """|o + t d − c|² = r², smaller positive root."""
    a = (d * d).sum(-1)
    b = ((o - center) * d).sum(-1)
    c = ((o - center) ** 2).sum(-1) - radius**2
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    near, far = (-b - root) / a, (-b + root) / a
    t = np.where(near > 0, near, far)
    return np.where((b * b >= a * c) & (t > 0), t, np.inf)


def box_t(center, size, rotation, o, d):
    """Slabs: the ray is inside between its last entry and its first exit."""
    lo, ld = (o - center) @ rotation, d @ rotation
    half = np.asarray(size) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-half - lo) / ld, (half - lo) / ld
    near, far = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    t = np.where(near > 0, near, far)
    return np.where((near <= far) & (far > 0), t, np.inf)


def rect_t(center, size, rotation, o, d):
    """n · (o + t d − c) = 0 within the sides."""
    x, y, n = rotation.T
    t = ((center - o) @ n) / (d @ n)
    p = o + t[:, None] * d - center
    inside = (np.abs(p @ x) <= size[0] / 2) & (np.abs(p @ y) <= size[1] / 2)
    return np.where(inside & (t > 0), t, np.inf)


def cylinder_t(center, diameter, height, rotation, o, d):
    """The nearest of the side's two roots and the two caps that lies on the solid."""
    lo, ld = (o - center) @ rotation, d @ rotation
    a = (ld[:, :2] ** 2).sum(-1)
    b = (lo[:, :2] * ld[:, :2]).sum(-1)
    c = (lo[:, :2] ** 2).sum(-1) - (diameter / 2) ** 2
    root = np.sqrt(np.where(b * b >= a * c, b * b - a * c, np.nan))
    candidates = []
    for t in ((-b - root) / a, (-b + root) / a):
        on_side = (np.abs(lo[:, 2] + t * ld[:, 2]) <= height / 2) & (t > 0)
        candidates.append(np.where(on_side, t, np.inf))
    for z in (-height / 2, height / 2):
        t = (z - lo[:, 2]) / ld[:, 2]
        p = lo[:, :2] + t[:, None] * ld[:, :2]
        on_cap = ((p**2).sum(-1) <= (diameter / 2) ** 2) & (t > 0)
        candidates.append(np.where(on_cap, t, np.inf))
    return np.min(candidates, 0)


def assert_same_t(found, expected):
    """Equal, but for rays that graze: there a root may be found by one and not by the other."""
    assert np.isfinite(expected).mean() > 0.1
    agree = np.isfinite(found) == np.isfinite(expected)
    assert agree.mean() > 0.999
    both = np.isfinite(found) & np.isfinite(expected)
    # near a graze the root is the square root of a rounded number: 1e-6 is its worst
    np.testing.assert_allclose(found[both], expected[both], rtol=1e-6, atol=1e-9)
    assert np.median(np.abs(found[both] - expected[both])) < 1e-13


@pytest.mark.parametrize("reach", [0.2, 2.0], ids=["from inside", "from outside"])
@pytest.mark.parametrize("kind", KINDS)
def test_hits_are_the_closed_form(kind, reach):
    rng = np.random.default_rng(3)
    center, rotation = rng.normal(size=3), random_rotation(rng)
    o, d = rays_about(rng, center, reach)
    if kind == "sphere":
        size, expected = (0.8, 0.8, 0.8), sphere_t(center, 0.4, o, d)
    elif kind == "box":
        size = (0.9, 0.5, 0.7)
        expected = box_t(center, size, rotation, o, d)
    elif kind == "cylinder":
        size, expected = (0.7, 0.7, 0.9), cylinder_t(center, 0.7, 0.9, rotation, o, d)
    else:
        size = (1.1, 0.8, 1.0)
        expected = rect_t(center, size, rotation, o, d)
    hits = cast([placed(kind, center, size, rotation)], o, d)
    assert_same_t(hits.t, expected)
    np.testing.assert_array_equal(hits.hit, np.isfinite(hits.t))


@pytest.mark.parametrize("kind", KINDS)
def test_normals_face_the_ray_and_are_the_surface_gradient(kind):
    rng = np.random.default_rng(5)
    matrix = np.eye(4)
    matrix[:3, :3] = random_rotation(rng) @ np.diag([0.6, 0.9, 1.2])
    solid = Primitive(kind, matrix)
    o, d = rays_about(rng, np.zeros(3), 2.0)
    hits = cast([solid], o, d)
    n = hits.normal_world[hits.hit]
    np.testing.assert_allclose(np.linalg.norm(n, axis=-1), 1, atol=1e-12)
    assert (np.einsum("ij,ij->i", n, d[hits.hit]) <= 0).all()
    # a step along the surface leaves its implicit function unchanged to first order
    p = hits.p_object[hits.hit]
    tangent = np.cross(n, rng.normal(size=3)) @ np.linalg.inv(matrix[:3, :3]).T * 1e-7

    def implicit(q):
        if kind == "box":
            return np.abs(q).max(-1) - 0.5
        if kind == "rect":
            return q[:, 2]
        round_part = (q[:, : 3 if kind == "sphere" else 2] ** 2).sum(-1) - 0.25
        return round_part if kind == "sphere" else np.maximum(round_part, np.abs(q[:, 2]) - 0.5)

    assert np.abs(implicit(p)).max() < 1e-9
    on_edge = np.abs(implicit(p + tangent)) > 1e-10
    assert on_edge.mean() < 0.001


def test_of_several_the_nearest_is_hit():
    rng = np.random.default_rng(1)
    solids = [
        placed(kind, rng.uniform(-1, 1, 3), rng.uniform(0.3, 1, 3), random_rotation(rng))
        for kind in KINDS * 3
    ]
    o, d = rays_about(rng, np.zeros(3), 3.0)
    alone = np.stack([cast([solid], o, d).t for solid in solids])
    together = cast(solids, o, d)
    np.testing.assert_array_equal(together.t, alone.min(0))
    np.testing.assert_array_equal(together.primitive, np.where(together.hit, alone.argmin(0), -1))


def test_casting_commutes_with_affine_maps():
    rng = np.random.default_rng(2)
    move = np.eye(4)
    move[:3] = rng.normal(size=(3, 4))
    solids = [placed(kind, rng.uniform(-1, 1, 3), (0.5, 0.7, 0.9)) for kind in KINDS]
    moved = [Primitive(p.kind, move @ p.world_from_object) for p in solids]
    o, d = rays_about(rng, np.zeros(3), 3.0)
    here = cast(solids, o, d)
    there = cast(moved, transforms.apply(move, o), d @ move[:3, :3].T)
    same = here.primitive == there.primitive
    assert same.mean() > 0.999
    hit = same & here.hit
    np.testing.assert_allclose(there.t[hit], here.t[hit], rtol=1e-6)
    np.testing.assert_allclose(there.p_object[hit], here.p_object[hit], atol=1e-6)


def test_nothing_is_hit_in_an_empty_scene():
    hits = cast([], np.zeros(3), np.ones((2, 3, 3)))
    assert hits.t.shape == (2, 3)
    assert np.isinf(hits.t).all()
    assert not hits.hit.any()


@pytest.mark.parametrize(
    ("kind", "matrix", "message"),
    [
        ("torus", np.eye(4), "unknown primitive 'torus'"),
        ("box", np.zeros((4, 4)), "singular"),
        ("box", np.full((4, 4), np.nan), "finite"),
        ("box", np.eye(3), "finite 4×4"),
    ],
)
def test_a_wrong_primitive_is_refused(kind, matrix, message):
    with pytest.raises(ValueError, match=message):
        Primitive(kind, matrix)


def test_depth_is_along_the_optical_axis():
    wall = placed("rect", (0, 0, 3), (50, 50, 1))
    K = np.array([[20.0, 0, 9], [0, 25.0, 7], [0, 0, 1]])
    z = raycast.depth_of(raycast.render([wall], Camera(K, (14, 18))))
    np.testing.assert_array_equal(z, np.float32(3))


def oracle_scene():
    """A wall, a card that hides part of it, a ball, and sky."""
    return [
        placed("rect", (0, 2.5, 0.5), (4, 3, 1), [[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
        placed("rect", (0.2, 1.2, 0.4), (0.7, 0.9, 1), [[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
        placed("sphere", (-0.7, 1.0, 0.3), (0.5, 0.5, 0.5)),
        placed("box", (0, 1, -0.2), (3, 2, 0.1), orbit_rotation(20)),
    ]


def oracle_cameras():
    K = np.array([[30.0, 0, 16.4], [0, 30.0, 11.8], [0, 0, 1]])
    front = Camera(K, (24, 32), transforms.look_at((-0.4, -1.2, 0.7), (0, 1, 0.3)))
    aside = Camera(
        K * 0.9 + np.diag([0, 0, 0.1]),
        (20, 30),
        transforms.look_at((1.3, -0.6, 0.9), (0, 1.4, 0.2)),
    )
    behind = Camera(K, (24, 32), transforms.look_at((0.3, 2.0, 0.8), (0, 0.5, 0.2)))
    return {"front": front, "aside": aside, "behind": behind}


def verdict_of_one(solids, camera0, camera1, xy0):
    """The definition, query by query: where it lands, and whether anything is nearer there."""
    hits = raycast.cast_pixels(solids, camera0, xy0)
    if not hits.hit:
        return Verdict.NO_DEPTH, None
    p = cameras.unproject(camera0, xy0, hits.t)
    xy1, z1 = cameras.project(camera1, p)
    if z1 <= 0:
        return Verdict.BEHIND, None
    if not (0 <= xy1[0] < camera1.hw[1] and 0 <= xy1[1] < camera1.hw[0]):
        return Verdict.OUTSIDE, None
    eye1 = camera1.world_from_cam[:3, 3]
    seen = raycast.cast_pixels(solids, camera1, xy1)
    other_side = hits.normal_world @ (p - eye1) > 0
    hidden = seen.t < z1 - 1e-6 or other_side
    return (Verdict.OCCLUDED if hidden else Verdict.VISIBLE), xy1


@pytest.mark.parametrize("a", ["front", "aside", "behind"])
@pytest.mark.parametrize("b", ["front", "aside", "behind"])
def test_the_oracle_is_its_definition(a, b):
    solids, views = oracle_scene(), oracle_cameras()
    exact = raycast.oracle(solids, views[a], views[b], stride=2)
    queries = cameras.query_xy(views[a].hw, 2)
    assert exact.verdict.shape == queries.shape[:2]
    for row in range(queries.shape[0]):
        for column in range(queries.shape[1]):
            verdict, xy1 = verdict_of_one(solids, views[a], views[b], queries[row, column])
            assert exact.verdict[row, column] == verdict, (row, column)
            if xy1 is None:
                assert np.isnan(exact.xy1[row, column]).all()
            else:
                np.testing.assert_allclose(exact.xy1[row, column], xy1, atol=1e-4)


def test_the_oracle_scene_shows_every_verdict_but_unknown():
    solids, views = oracle_scene(), list(oracle_cameras().values())
    seen = {
        int(v) for a in views for b in views for v in raycast.oracle(solids, a, b, 2).verdict.flat
    }
    assert seen == {int(v) for v in Verdict if v is not Verdict.UNKNOWN}


def test_the_gap_says_how_much_nearer_the_occluder_is():
    wall, card = placed("rect", (0, 0, 4), (9, 9, 1)), placed("rect", (0, 0, 3), (1, 1, 1))
    K = np.array([[10.0, 0, 5], [0, 10.0, 5], [0, 0, 1]])
    aside = np.eye(4)
    aside[0, 3] = -2.0
    # from the side the wall beside the card is seen, from the front the card hides it
    exact, gap = raycast.oracle_at(
        [wall, card], Camera(K, (10, 10), aside), Camera(K, (10, 10)), np.array([[[0.5, 5.0]]])
    )
    assert exact.verdict[0, 0] == Verdict.OCCLUDED
    assert gap[0, 0] == pytest.approx(0.25)
