"""Laws of pinhole cameras: nothing is lost in projecting, resizing and cropping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_transforms import rigid

from cameo_data import camera as cameras
from cameo_data.types import Camera

sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@st.composite
def pinholes(draw: st.DrawFn) -> Camera:
    hw = draw(sizes)
    focal = st.floats(0.3, 5).map(lambda f: f * max(hw))
    K = np.array(
        [
            [draw(focal), draw(st.floats(-1, 1)), draw(st.floats(-0.5, 1.5)) * hw[1]],
            [0, draw(focal), draw(st.floats(-0.5, 1.5)) * hw[0]],
            [0, 0, 1],
        ]
    )
    return Camera(K, hw, draw(rigid()))


def pixels(camera: Camera, seed: int) -> np.ndarray:
    """Corners of the image, its pixel centres at the border, and places inside."""
    height, width = camera.hw
    rng = np.random.default_rng(seed)
    border = [[0, 0], [width, 0], [0, height], [width, height], [0.5, 0.5]]
    return np.concatenate([border, rng.uniform(0, 1, (8, 2)) * [width, height]])


@given(pinholes(), st.integers(0, 9), st.floats(1e-3, 1e3))
def test_project_undoes_unproject(camera: Camera, seed: int, scale: float) -> None:
    xy = pixels(camera, seed)
    z = scale * np.geomspace(0.1, 10, len(xy))
    p_cam = cameras.unproject_to_camera(camera.K, xy, z)
    np.testing.assert_array_equal(p_cam[:, 2], z)
    here = Camera(camera.K, camera.hw)
    again, z_again = cameras.project(here, cameras.unproject(here, xy, z))
    np.testing.assert_allclose(again, xy, atol=1e-9 * max(camera.hw))
    np.testing.assert_allclose(z_again, z, rtol=1e-12)


@given(pinholes(), st.integers(0, 9))
def test_project_undoes_unproject_anywhere_in_the_world(camera: Camera, seed: int) -> None:
    xy = pixels(camera, seed)
    z = np.geomspace(1, 10, len(xy))
    again, z_again = cameras.project(camera, cameras.unproject(camera, xy, z))
    # the world's origin is up to 170 away: rounding there is 1e-14 of z ≥ 1, times the focal length
    np.testing.assert_allclose(again, xy, atol=1e-9 * max(camera.hw))
    np.testing.assert_allclose(z_again, z, rtol=1e-10)


@given(pinholes())
def test_what_is_not_in_front_has_no_pixel(camera: Camera) -> None:
    local = np.array([[0, 0, 0], [1, 2, 0], [0.1, 0.2, -1], [0, 0, -1e-300], [0, 0, 1e-12]])
    here = Camera(camera.K, camera.hw)
    xy, z = cameras.project(here, local)
    assert np.isnan(xy[:4]).all()
    np.testing.assert_allclose(xy[4], camera.K[:2, 2], atol=1e-9)
    np.testing.assert_array_equal(z, local[:, 2])


@given(pinholes(), sizes, st.integers(0, 9))
def test_resize_commutes_with_projection(camera: Camera, hw: tuple[int, int], seed: int) -> None:
    xy = pixels(camera, seed)
    p_world = cameras.unproject(camera, xy, np.geomspace(1, 10, len(xy)))
    before, _ = cameras.project(camera, p_world)
    after, _ = cameras.project(cameras.resize(camera, hw), p_world)
    step = np.array([hw[1] / camera.hw[1], hw[0] / camera.hw[0]])
    np.testing.assert_allclose(after, before * step, atol=1e-7 * max(hw))
    back = cameras.resize(cameras.resize(camera, hw), camera.hw)
    np.testing.assert_allclose(back.K, camera.K, rtol=1e-12, atol=1e-12)


@given(pinholes(), st.data())
def test_crop_commutes_with_projection(camera: Camera, data: st.DataObject) -> None:
    top = data.draw(st.integers(0, camera.hw[0] - 1))
    left = data.draw(st.integers(0, camera.hw[1] - 1))
    hw = (
        data.draw(st.integers(1, camera.hw[0] - top)),
        data.draw(st.integers(1, camera.hw[1] - left)),
    )
    cropped = cameras.crop(camera, top, left, hw)
    p_world = cameras.unproject(camera, pixels(camera, 0), np.full(13, 2.0))
    before, _ = cameras.project(camera, p_world)
    after, _ = cameras.project(cropped, p_world)
    np.testing.assert_allclose(after, before - [left, top], atol=1e-7 * max(camera.hw))
    assert cropped.hw == hw


@pytest.mark.parametrize(
    "window", [(-1, 0, (2, 2)), (0, -1, (2, 2)), (3, 0, (2, 2)), (0, 4, (2, 2))]
)
def test_crop_may_not_leave_the_image(window: tuple[int, int, tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="leaves the 4×5 image"):
        cameras.crop(Camera(np.eye(3), (4, 5)), *window)


@given(sizes, sizes)
def test_cover(hw: tuple[int, int], target_hw: tuple[int, int]) -> None:
    covering = cameras.cover_hw(hw, target_hw)
    assert covering[0] >= target_hw[0]
    assert covering[1] >= target_hw[1]
    assert covering[0] == target_hw[0] or covering[1] == target_hw[1]
    # the same shape, to a pixel
    scale = max(target_hw[0] / hw[0], target_hw[1] / hw[1])
    assert abs(covering[0] - hw[0] * scale) <= 1
    assert abs(covering[1] - hw[1] * scale) <= 1


@given(sizes, st.integers(1, 64))
def test_query_grid_holds_whole_cells_and_their_centres(hw: tuple[int, int], stride: int) -> None:
    xy = cameras.query_xy(hw, stride)
    assert xy.shape == (*cameras.query_grid_hw(hw, stride), 2)
    if xy.size:
        assert (xy[0, 0] == stride / 2).all()
        np.testing.assert_array_equal(xy[-1, -1], (np.array(xy.shape[1::-1]) - 0.5) * stride)
        assert (xy[-1, -1] + stride / 2 <= [hw[1], hw[0]]).all()


def test_first_pixel_centre_is_half_a_pixel_in() -> None:
    np.testing.assert_array_equal(cameras.query_xy((2, 3))[0], [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5]])


@pytest.mark.parametrize(
    "K, message",
    [
        (np.eye(4), r"matrix of shape \(4, 4\)"),
        (np.diag([np.nan, 1, 1]), "NaN or infinite"),
        (np.diag([0.0, 1, 1]), "focal lengths 0, 1"),
        (np.diag([1.0, -1, 1]), "focal lengths 1, -1"),
        (np.array([[1, 0, 0], [0, 1, 0], [5, 5, 1.0]]), "not upper triangular"),
        (np.zeros((3, 3)), "focal lengths 0, 0"),
    ],
)
def test_malformed_intrinsics(K: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Camera(K, (4, 4))


def test_cameras_cannot_change_after_the_fact() -> None:
    K = np.eye(3)
    camera = Camera(K, (4, 4))
    K[0, 0] = 7
    assert camera.K[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        camera.K[0, 0] = 7
    with pytest.raises(ValueError, match="not positive"):
        Camera(np.eye(3), (0, 4))
    with pytest.raises(ValueError, match="not a rotation"):
        Camera(np.eye(3), (4, 4), np.diag([2.0, 1, 1, 1]))
