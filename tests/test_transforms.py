"""Laws of rigid transforms, at identity, at 180° and at everything between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cameo_data import transforms
from cameo_data.transforms import apply, invert, rotation_angle_deg

coordinates = st.floats(-100, 100, allow_subnormal=False)
points = st.tuples(coordinates, coordinates, coordinates).map(np.array)
axes = points.filter(lambda v: np.linalg.norm(v) > 1e-3).map(lambda v: v / np.linalg.norm(v))
# identity, barely turned, half a turn and its neighbourhood on purpose
angles_deg = st.one_of(
    st.sampled_from([0.0, 1e-9, 1e-6, 1e-3, 90.0, 179.999999, 180.0]), st.floats(0, 180)
)


@st.composite
def rigid(draw: st.DrawFn) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(np.radians(draw(angles_deg)) * draw(axes)).as_matrix()
    out[:3, 3] = draw(points)
    return out


@given(rigid())
def test_inverse(b_from_a: np.ndarray) -> None:
    np.testing.assert_allclose(invert(b_from_a) @ b_from_a, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(invert(invert(b_from_a)), b_from_a, atol=1e-9)


@given(rigid(), rigid(), points)
def test_chaining(c_from_b: np.ndarray, b_from_a: np.ndarray, p_a: np.ndarray) -> None:
    np.testing.assert_allclose(
        apply(c_from_b @ b_from_a, p_a), apply(c_from_b, apply(b_from_a, p_a)), atol=1e-8
    )
    np.testing.assert_allclose(
        invert(c_from_b @ b_from_a), invert(b_from_a) @ invert(c_from_b), atol=1e-8
    )


@given(rigid(), points, points)
def test_distances_are_kept(b_from_a: np.ndarray, p: np.ndarray, q: np.ndarray) -> None:
    moved = np.linalg.norm(apply(b_from_a, p) - apply(b_from_a, q))
    np.testing.assert_allclose(moved, np.linalg.norm(p - q), atol=1e-9)


@given(st.lists(rigid(), min_size=1, max_size=4))
def test_batches_are_their_elements(transforms_list: list[np.ndarray]) -> None:
    stacked = np.stack(transforms_list)
    np.testing.assert_array_equal(invert(stacked), [invert(m) for m in transforms_list])
    np.testing.assert_array_equal(
        rotation_angle_deg(stacked), [rotation_angle_deg(m) for m in transforms_list]
    )


@given(axes, angles_deg)
def test_angle_is_the_angle_turned_by(axis: np.ndarray, angle_deg: float) -> None:
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(np.radians(angle_deg) * axis).as_matrix()
    # rounding of the matrix itself is 1e-16: 1e-14 degrees
    np.testing.assert_allclose(rotation_angle_deg(out), angle_deg, rtol=1e-9, atol=2e-6)
    if angle_deg < 1:  # tiny turns are not lost, as they are by the trace's arc cosine
        np.testing.assert_allclose(rotation_angle_deg(out), angle_deg, atol=1e-13)


@given(st.lists(rigid(), min_size=2, max_size=4))
def test_relative_angles(cam_from_world: list[np.ndarray]) -> None:
    angles = transforms.relative_rotation_deg(np.stack(cam_from_world))
    np.testing.assert_allclose(angles, angles.T, atol=1e-5)
    assert (np.diag(angles) == 0).all()
    between = cam_from_world[0] @ invert(cam_from_world[1])
    np.testing.assert_allclose(angles[0, 1], rotation_angle_deg(between), atol=1e-5)


@given(rigid())
def test_quaternion_round_trip(b_from_a: np.ndarray) -> None:
    xyzw = Rotation.from_matrix(b_from_a[:3, :3]).as_quat()
    for scale in (1.0, -1.0, 0.1):  # q and −q are one rotation; length does not matter
        again = transforms.from_quaternion(scale * xyzw, b_from_a[:3, 3])
        np.testing.assert_allclose(again, b_from_a, atol=1e-12)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_quaternion_without_direction(quaternion: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="has no direction"):
        transforms.from_quaternion(quaternion, (0, 0, 0))


@given(points, points)
def test_look_at_centres_its_target(eye: np.ndarray, target: np.ndarray) -> None:
    away = target - eye
    if np.linalg.norm(np.cross(away, (0, 0, 1))) < 1e-2:
        return  # straight up or down has no horizon
    cam_from_world = transforms.look_at(eye, target)
    assert transforms.rotation_defect(cam_from_world) is None
    seen = apply(cam_from_world, target)
    np.testing.assert_allclose(seen, (0, 0, np.linalg.norm(away)), atol=1e-8)
    np.testing.assert_allclose(apply(cam_from_world, eye), 0, atol=1e-8)
    above = apply(cam_from_world, target + np.array([0, 0, 1]))
    assert above[1] < 0  # y points down
    assert abs(above[0]) < 1e-8


@pytest.mark.parametrize("target", [(0, 0, 0), (0, 0, 5), (0, 0, -5)])
def test_look_at_without_horizon(target: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="parallel to the up vector"):
        transforms.look_at((0, 0, 0), target)


@given(rigid())
def test_rigid_transforms_have_no_defect(b_from_a: np.ndarray) -> None:
    assert transforms.rotation_defect(b_from_a) is None


@given(rigid(), st.floats(0.01, 10).filter(lambda s: abs(s - 1) > 0.01))
def test_defects_are_named(b_from_a: np.ndarray, scale: float) -> None:
    scaled = b_from_a.copy()
    scaled[:3, :3] *= scale
    assert "not a rotation" in str(transforms.rotation_defect(scaled))
    mirrored = b_from_a @ np.diag([1.0, -1, 1, 1])
    assert "reflection" in str(transforms.rotation_defect(mirrored))
    for bad in (np.nan, np.inf):
        broken = b_from_a.copy()
        broken[1, 3] = bad
        assert "NaN or infinite" in str(transforms.rotation_defect(broken))
    assert "last row" in str(transforms.rotation_defect(b_from_a.T + np.eye(4)))
    assert "shape (3, 4)" in str(transforms.rotation_defect(b_from_a[:3]))


@given(rigid(), st.integers(0, 2**32 - 1))
def test_nearest_rotation_cleans_and_keeps(b_from_a: np.ndarray, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(3, 3))
    skewed = b_from_a.copy()
    skewed[:3, :3] += 1e-4 * noise
    cleaned = transforms.nearest_rotation(skewed)
    np.testing.assert_allclose(cleaned[:3, :3] @ cleaned[:3, :3].T, np.eye(3), atol=1e-13)
    np.testing.assert_array_equal(cleaned[:, 3], b_from_a[:, 3])
    # no rotation is nearer than the polar factor: the original is not
    away = np.linalg.norm(cleaned[:3, :3] - skewed[:3, :3])
    assert away <= np.linalg.norm(b_from_a[:3, :3] - skewed[:3, :3]) + 1e-12


def test_opengl_axes_are_opencv_turned_about_x() -> None:
    """A point up and before an OpenGL camera (y up, −z) is at −y, +z for OpenCV."""
    np.testing.assert_array_equal(
        apply(transforms.OPENCV_FROM_OPENGL, (1.0, 2.0, -3.0)), (1.0, -2.0, 3.0)
    )
    assert transforms.rotation_defect(transforms.OPENCV_FROM_OPENGL) is None


@pytest.mark.parametrize("xyzw", [[1e308, 0, 0, 1], [1e200] * 4, [5e-324] * 4, [np.nan] * 4])
def test_absurd_quaternions_have_no_direction_and_no_warning(xyzw: list[float]) -> None:
    with pytest.raises(ValueError, match="has no direction"):
        transforms.from_quaternion(xyzw, (0, 0, 0))


@pytest.mark.parametrize(
    "batch, points_batch",
    [
        ((), (5,)),  # one transform, many points
        ((3,), ()),  # many transforms, one point
        ((3,), (3,)),  # one point each
        ((3, 1), (3, 5)),  # many points each
        ((2, 1, 1), (4, 5)),  # every transform with every point
    ],
)
def test_apply_broadcasts_like_a_loop(batch, points_batch):
    rng = np.random.default_rng(0)
    b_from_a = np.zeros((*batch, 4, 4))
    b_from_a[..., :3, :3] = (
        Rotation.random(b_from_a[..., 0, 0].size, rng=rng).as_matrix().reshape((*batch, 3, 3))
    )
    b_from_a[..., :3, 3] = rng.normal(size=(*batch, 3))
    b_from_a[..., 3, 3] = 1
    p_a = rng.normal(size=(*points_batch, 3))
    shape = np.broadcast_shapes(batch, points_batch)
    one_by_one = np.zeros((*shape, 3))
    all_transforms = np.broadcast_to(b_from_a, (*shape, 4, 4))
    all_points = np.broadcast_to(p_a, (*shape, 3))
    for place in np.ndindex(*shape):
        one_by_one[place] = apply(all_transforms[place], all_points[place])
    moved = apply(b_from_a, p_a)
    assert moved.shape == one_by_one.shape
    np.testing.assert_allclose(moved, one_by_one, rtol=0, atol=1e-14)
    back = apply(invert(b_from_a), moved)
    np.testing.assert_allclose(back, all_points, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "matrix, points, message",
    [
        (
            (3, 4, 4),
            (5, 3),
            "transforms (3, 4, 4) and points (5, 3) do not broadcast; use b_from_a",
        ),
        ((3, 4), (5, 3), "transforms have shape (3, 4); expected (..., 4, 4)"),
        ((4, 4), (5, 4), "points have shape (5, 4); expected (..., 3)"),
        ((4, 4), (), "points have shape (); expected (..., 3)"),
    ],
)
def test_apply_refuses_other_shapes_in_one_line(matrix, points, message):
    with pytest.raises(ValueError) as caught:
        apply(np.zeros(matrix), np.zeros(points))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
