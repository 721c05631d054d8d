"""Views from files: undistorted, registered, resized, against closed forms and ray casting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rgbd_recordings as recordings

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view, resize_view
from cameo_data.geometry import raycast, registration, undistortion
from cameo_data.types import Camera, DepthMap, DepthRef, Frame, View

HW = (48, 64)
K = np.array([[60.0, 0, 31.0], [0, 58.0, 25.0], [0, 0, 1]])
DISTORTION = (0.26, -0.95, -0.005, 0.003, 1.16)  # like TUM's fr1


def read(frame: Frame, hw: tuple[int, int] | None = None) -> View:
    return read_view(frame, dataset="test", scene_id="s", hw=hw)


def ramp(xy: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 image that is linear in the pixel: red grows with x, green with y."""
    values = np.stack([3.0 * xy[..., 0], 4.0 * xy[..., 1], np.full(xy.shape[:-1], 50.0)], -1)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def plane_z(xy: np.ndarray, slant: float = 0.004) -> np.ndarray:
    """z-depth of a slanted plane: inverse depth is linear in the pixel."""
    return 1.0 / (0.5 + slant * (xy[..., 0] - 30) - 0.5 * slant * (xy[..., 1] - 20))


def make_frame(folder: Path, rgb: np.ndarray, z: np.ndarray, **changes: object) -> Frame:
    recordings.save(folder / "c.png", rgb[..., ::-1])
    np.save(folder / "d.npy", z.astype(np.float32))
    hw = (rgb.shape[0], rgb.shape[1])
    frame = Frame("7", Camera(K, hw), folder / "c.png", DepthRef(folder / "d.npy", "npy", 1.0))
    return replace(frame, **changes)


@pytest.fixture
def plane(tmp_path: Path) -> Frame:
    xy = cameras.query_xy(HW)
    return make_frame(tmp_path, ramp(xy), plane_z(xy))


def test_untouched_view_carries_the_files_bytes(plane: Frame) -> None:
    view = read(plane)
    assert view.encoded is not None
    assert view.encoded.ext == "png"
    assert view.encoded.data == plane.image_path.read_bytes()
    np.testing.assert_array_equal(view.image, ramp(cameras.query_xy(HW)))
    np.testing.assert_array_equal(view.depth.z, plane_z(cameras.query_xy(HW)).astype(np.float32))
    assert read(plane, HW).encoded is not None  # that size already


@pytest.mark.parametrize("hw", [(24, 32), (96, 128), (30, 30), (40, 64), (77, 50), (48, 20)])
def test_resized_pixels_are_where_the_camera_says(plane: Frame, hw: tuple[int, int]) -> None:
    original, view = read(plane), read(plane, hw)
    assert view.image.shape == (*hw, 3)
    assert view.depth.hw == view.camera.hw == hw
    assert view.encoded is None
    # each new pixel's ray, as a pixel of the original image
    rays = cameras.unproject_to_camera(view.camera.K, cameras.query_xy(hw), np.ones(hw))
    xy = (rays @ original.camera.K.T)[..., :2]
    assert (xy >= 0).all()
    assert (xy < [HW[1], HW[0]]).all()
    inner = (slice(3, -3), slice(3, -3))  # resampling extrapolates at the border
    np.testing.assert_allclose(view.image[inner][..., 0], 3 * xy[inner][..., 0], atol=1.6)
    np.testing.assert_allclose(view.image[inner][..., 1], 4 * xy[inner][..., 1], atol=1.6)
    assert view.depth.valid[inner].all()
    np.testing.assert_allclose(view.depth.z[inner], plane_z(xy)[inner], rtol=1e-5)


def test_crop_alone_moves_no_pixel(plane: Frame) -> None:
    view = read(plane, (48, 20))
    np.testing.assert_array_equal(view.image, read(plane).image[:, 22:42])
    np.testing.assert_array_equal(view.depth.z, read(plane).depth.z[:, 22:42])


@pytest.mark.parametrize("hw", [(31, 41), (100, 130)])
def test_resized_depth_is_never_between_two_surfaces(tmp_path: Path, hw: tuple[int, int]) -> None:
    z = np.full(HW, 3.0)
    z[10:30, 20:40] = 1.0
    z[40:, 50:] = 0.0
    view = read(make_frame(tmp_path, np.zeros((*HW, 3), np.uint8), z), hw)
    assert set(np.unique(view.depth.z)) == {0.0, 1.0, 3.0}
    np.testing.assert_array_equal(view.depth.z == 0, ~view.depth.valid)


def test_resized_mask_is_the_nearest_pixel(plane: Frame, tmp_path: Path) -> None:
    mask = np.zeros(HW, np.uint8)
    mask[:, 32:] = 255
    recordings.save(tmp_path / "m.png", mask)
    frame = replace(plane, mask_path=tmp_path / "m.png")
    view = read(frame, (96, 128))
    assert view.mask is not None
    np.testing.assert_array_equal(view.mask, np.kron(mask > 0, np.ones((2, 2), bool)))
    half = read(frame, (24, 20))
    assert half.mask is not None
    np.testing.assert_array_equal(half.mask[0], np.arange(6, 26) >= 16)


@pytest.mark.parametrize("white", [1, 255])
def test_masks_of_both_kinds_of_white(plane: Frame, tmp_path: Path, white: int) -> None:
    mask = np.zeros(HW, np.uint8)
    mask[5:9, 5:9] = white
    recordings.save(tmp_path / "m.png", mask)
    view = read(replace(plane, mask_path=tmp_path / "m.png"))
    np.testing.assert_array_equal(view.mask, mask > 0)


def test_undistortion_brings_all_three_to_the_pinhole_image(tmp_path: Path) -> None:
    """Stored pixels hold what the ideal pixel on their ray would: undone, it is linear again."""
    stored = cameras.query_xy(HW)
    ideal = cv2.undistortPoints(
        stored.reshape(-1, 1, 2),
        K,
        np.array(DISTORTION),
        P=K,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-12),
    ).reshape(*HW, 2)
    assert np.abs(ideal - stored).max() > 0.5  # it does something
    frame = make_frame(tmp_path, ramp(ideal), plane_z(ideal), distortion=DISTORTION)
    recordings.save(tmp_path / "m.png", np.where(ideal[..., 0] > 20, 255, 0).astype(np.uint8))
    view = read(replace(frame, mask_path=tmp_path / "m.png"))
    assert view.encoded is None
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(view.image[inner], ramp(stored)[inner], atol=1.5)
    assert view.depth.valid[inner].all()
    np.testing.assert_allclose(view.depth.z[inner], plane_z(stored)[inner], rtol=2e-4)
    assert view.mask is not None
    clear = np.abs(stored[inner][..., 0] - 20) > 1
    np.testing.assert_array_equal(view.mask[inner][clear], (stored[inner][..., 0] > 20)[clear])


def test_undistorted_pixels_from_outside_the_image_are_unknown(tmp_path: Path) -> None:
    """Pincushion: the pinhole image's corners were never stored."""
    rgb = np.full((*HW, 3), 200, np.uint8)
    recordings.save(tmp_path / "m.png", rgb[..., 0])
    frame = make_frame(tmp_path, rgb, np.ones(HW), distortion=(0.5, 0, 0, 0))
    view = read(replace(frame, mask_path=tmp_path / "m.png"))
    assert view.mask is not None
    assert not view.mask[0, 0]
    assert view.mask[24, 31]
    assert not view.depth.valid[0, 0]
    assert view.image[0, 0].tolist() == [0, 0, 0]
    assert view.depth.valid[24, 31]
    assert view.image[24, 31].tolist() == [200, 200, 200]


def test_a_polynomial_that_turns_back_shows_nothing_twice() -> None:
    """r·(1 − r²/2) grows only to r = 0.816; beyond, the image would be seen again, mirrored."""
    camera = Camera(np.array([[20.0, 0, 32], [0, 20, 24], [0, 0, 1]]), HW)
    xy = undistortion.stored_xy(camera, (-0.5, 0, 0, 0))
    rays = (cameras.query_xy(HW) - [32, 24]) / 20
    radius = np.hypot(*np.moveaxis(rays, -1, 0))
    np.testing.assert_array_equal(np.isfinite(xy[..., 0]), radius < np.sqrt(2 / 3))


@pytest.mark.parametrize("distortion", [(0.1,), (0.1, 0.2, np.nan, 0.0), (1.0,) * 6])
def test_malformed_distortion_is_a_callers_mistake(distortion: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="finite coefficients"):
        undistortion.stored_xy(Camera(K, HW), distortion)


def test_half_size_depth_of_the_same_camera(plane: Frame, tmp_path: Path) -> None:
    half_hw = (24, 32)
    np.save(tmp_path / "h.npy", plane_z(2 * cameras.query_xy(half_hw)).astype(np.float32))
    view = read(replace(plane, depth=DepthRef(tmp_path / "h.npy", "npy", 1.0, hw=half_hw)))
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(view.depth.z[inner], plane_z(cameras.query_xy(HW))[inner], rtol=1e-5)


def test_depth_of_other_intrinsics_at_the_same_place(plane: Frame, tmp_path: Path) -> None:
    depth_K = np.array([[80.0, 0, 45.0], [0, 82.0, 33.0], [0, 0, 1]])
    depth_hw = (70, 90)
    rays = cameras.unproject_to_camera(depth_K, cameras.query_xy(depth_hw), np.ones(depth_hw))
    np.save(tmp_path / "k.npy", plane_z((rays @ K.T)[..., :2]).astype(np.float32))
    ref = DepthRef(tmp_path / "k.npy", "npy", 1.0, camera_K=depth_K, hw=depth_hw)
    view = read(replace(plane, depth=ref))
    inner = (slice(6, -6), slice(6, -6))
    assert view.depth.valid[inner].all()
    np.testing.assert_allclose(view.depth.z[inner], plane_z(cameras.query_xy(HW))[inner], rtol=1e-5)


# registration ------------------------------------------------------------------------------------

COLOR_FROM_DEPTH = transforms.from_quaternion((0.01, -0.02, 0.015, 1.0), (-0.06, 0.01, 0.02))
DEPTH_K = np.array([[70.0, 0, 33.0], [0, 71.0, 23.0], [0, 0, 1]])


def seen(
    scene: list[raycast.Primitive], K: np.ndarray, hw: tuple[int, int], pose: np.ndarray
) -> tuple[np.ndarray, raycast.Hits]:
    hits = raycast.render(scene, Camera(K, hw, pose))
    return raycast.depth_of(hits), hits


@pytest.mark.parametrize("magnify", [0.5, 1.0, 3.0, 8.0])
def test_registered_plane_is_exact_and_without_holes(magnify: float) -> None:
    tilt = transforms.from_quaternion((0.25, 0.2, 0, 1), (0, 0, 0))[:3, :3]
    wall = [raycast.placed("box", (0, 0, 3.0), (20, 20, 0.01), tilt)]
    hw = (round(48 * magnify), round(64 * magnify))
    color_K = np.diag([magnify, magnify, 1.0]) @ K
    z, _ = seen(wall, DEPTH_K, HW, np.eye(4))
    expected, _ = seen(wall, color_K, hw, COLOR_FROM_DEPTH)
    found = registration.register(DepthMap.from_array(z), DEPTH_K, COLOR_FROM_DEPTH, color_K, hw)
    # what the depth camera saw, with a margin of a pixel
    camera = Camera(color_K, hw, COLOR_FROM_DEPTH)
    xy, _ = cameras.project(
        Camera(DEPTH_K, HW), cameras.unproject(camera, cameras.query_xy(hw), expected)
    )
    covered = ((xy > 1) & (xy < [HW[1] - 1, HW[0] - 1])).all(-1)
    assert covered.mean() > 0.6
    assert found.valid[covered].all()
    outside = ((xy < -1) | (xy > [HW[1] + 1, HW[0] + 1])).any(-1)
    assert not found.valid[outside].any()
    np.testing.assert_allclose(found.z[covered], expected[covered], rtol=2e-6)


def test_registration_keeps_the_nearer_surface_and_what_was_hidden_unknown() -> None:
    """A card before a wall: no pixel between them, none where only the colour camera sees."""
    front, back = 1.495, 2.995
    # edges just beyond depth pixels' centres: the outermost pieces reach furthest out
    left, right = (26.45 - 33) * front / 70, (49.55 - 33) * front / 70
    top, bottom = (8.45 - 23) * front / 71, (37.55 - 23) * front / 71
    center = ((left + right) / 2, (top + bottom) / 2, 1.5)
    card = raycast.placed("box", center, (right - left, bottom - top, 0.01))
    scene = [raycast.placed("box", (0, 0, 3.0), (20, 20, 0.01)), card]
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = -0.3
    z, _ = seen(scene, DEPTH_K, HW, np.eye(4))
    expected, hits = seen(scene, DEPTH_K, HW, color_from_depth)
    found = registration.register(DepthMap.from_array(z), DEPTH_K, color_from_depth, DEPTH_K, HW)
    on_front = np.isclose(found.z, front, rtol=1e-5)
    on_back = np.isclose(found.z, back, rtol=1e-5)
    assert (on_front | on_back | ~found.valid).all()
    # the card: right to half a pixel of the depth camera, and the overlap, at its outline
    x, y = np.moveaxis(cameras.query_xy(HW), -1, 0)
    edge_x = 70 * (np.array([left, right]) - 0.3) / front + 33
    edge_y = 71 * np.array([top, bottom]) / front + 23

    def on_card(margin: float) -> np.ndarray:
        across = (x > edge_x[0] - margin) & (x < edge_x[1] + margin)
        return across & (y > edge_y[0] - margin) & (y < edge_y[1] + margin)

    assert not (on_front & ~on_card(0.6)).any()
    assert on_front[on_card(-0.6)].all()
    # the strip of wall that the card hides from the depth camera
    camera = Camera(DEPTH_K, HW, color_from_depth)
    p_world = cameras.unproject(camera, cameras.query_xy(HW), expected)
    blocked = raycast.cast([card], np.zeros(3), p_world).t < 0.99
    hidden = cv2.erode((blocked & (hits.primitive == 0)).astype(np.uint8), np.ones((3, 3))) > 0
    assert hidden.sum() > 50
    assert not found.valid[hidden].any()


def test_registered_noise_leaves_no_cracks() -> None:
    """Depth steps of 1 %, as a Kinect's at 4 m: neighbouring pieces no longer touch exactly."""
    rng = np.random.default_rng(0)
    z = 2.0 * (1 + 0.005 * rng.integers(-1, 2, HW))
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = -0.1
    color_K = np.diag([3.7, 3.7, 1.0]) @ DEPTH_K
    found = registration.register(
        DepthMap.from_array(z), DEPTH_K, color_from_depth, color_K, (192, 256)
    )
    assert found.valid[8:168, 8:200].all()


def test_registered_sphere_is_right_between_pixels() -> None:
    """Each place is taken from the piece whose centre is nearest."""
    ball = [raycast.placed("sphere", (0, 0, 2.0), (0.8, 0.8, 0.8))]
    z, _ = seen(ball, DEPTH_K, HW, np.eye(4))
    color_K = np.diag([4.0, 4.0, 1.0]) @ K
    expected, hits = seen(ball, color_K, (192, 256), COLOR_FROM_DEPTH)
    found = registration.register(
        DepthMap.from_array(z), DEPTH_K, COLOR_FROM_DEPTH, color_K, (192, 256)
    )
    front = np.nan_to_num(hits.p_object)[..., 2] < -0.35
    error = np.abs(found.z[front] / expected[front] - 1)
    assert found.valid[front].all()
    assert error.mean() < 1.3e-4  # 1.36e-4 if the last piece drawn were taken
    assert error.max() < 1.3e-3


def test_registration_leaves_out_what_is_behind_the_colour_camera() -> None:
    color_from_depth = np.eye(4)
    color_from_depth[2, 3] = -2.0
    z = np.where(np.arange(64) < 32, 1.0, 4.0) * np.ones(HW)
    found = registration.register(DepthMap.from_array(z), DEPTH_K, color_from_depth, DEPTH_K, HW)
    assert set(np.unique(found.z)) == {0.0, 2.0}


def test_registration_does_not_depend_on_the_unit() -> None:
    scene = [
        raycast.placed("box", (0, 0, 3.0), (20, 20, 0.01)),
        raycast.placed("sphere", (0.1, 0, 1.5), (0.8, 0.6, 0.7)),
    ]
    z, _ = seen(scene, DEPTH_K, HW, np.eye(4))
    one = registration.register(DepthMap.from_array(z), DEPTH_K, COLOR_FROM_DEPTH, K, HW)
    moved = COLOR_FROM_DEPTH.copy()
    moved[:3, 3] *= 1024
    other = registration.register(DepthMap.from_array(1024 * z), DEPTH_K, moved, K, HW)
    np.testing.assert_array_equal(one.valid, other.valid)
    np.testing.assert_allclose(1024 * one.z, other.z, rtol=1e-6)


def test_registered_frame(tmp_path: Path) -> None:
    wall = [raycast.placed("box", (0, 0, 3.0), (20, 20, 0.01))]
    z, _ = seen(wall, DEPTH_K, HW, np.eye(4))
    frame = make_frame(tmp_path, np.zeros((*HW, 3), np.uint8), z)
    assert frame.depth is not None
    ref = replace(frame.depth, camera_K=DEPTH_K, color_from_depth=COLOR_FROM_DEPTH)
    view = read(replace(frame, depth=ref))
    expected, _ = seen(wall, K, HW, COLOR_FROM_DEPTH)
    assert view.depth.valid.mean() > 0.6
    np.testing.assert_allclose(
        view.depth.z[view.depth.valid], expected[view.depth.valid], rtol=1e-5
    )


# bad input ---------------------------------------------------------------------------------------


def failure(frame: Frame, hw: tuple[int, int] | None = None) -> tuple[Reason, str]:
    with pytest.raises(DataError) as error:
        read(frame, hw)
    assert str(error.value).startswith("test s frame 7: ")
    assert "\n" not in str(error.value)
    return error.value.failure.reason, str(error.value)


def test_frame_without_depth(plane: Frame) -> None:
    reason, message = failure(replace(plane, depth=None))
    assert reason == Reason.NO_DEPTH
    assert "attach precomputed depth" in message


def test_missing_files(plane: Frame, tmp_path: Path) -> None:
    (tmp_path / "d.npy").unlink()
    assert failure(plane) == (
        Reason.MISSING_FILE,
        "test s frame 7: d.npy is missing; expected a file; restore it or remove its frame",
    )
    (tmp_path / "c.png").unlink()
    assert failure(plane)[1].startswith("test s frame 7: c.png is missing")


def test_mask_of_another_size(plane: Frame, tmp_path: Path) -> None:
    recordings.save(tmp_path / "m.png", np.ones((5, 6), np.uint8))
    reason, message = failure(replace(plane, mask_path=tmp_path / "m.png"))
    assert reason == Reason.WRONG_SIZE
    assert "m.png is 5×6; expected 48×64 (h×w)" in message


def test_depth_outside_the_crop(tmp_path: Path) -> None:
    z = np.zeros(HW)
    z[:, :4] = 1.0
    frame = make_frame(tmp_path, np.zeros((*HW, 3), np.uint8), z)
    reason, message = failure(frame, (48, 48))
    assert reason == Reason.EMPTY_DEPTH
    assert "no valid pixel after cropping" in message


def test_depth_that_the_colour_camera_does_not_see(plane: Frame) -> None:
    away = np.eye(4)
    away[0, 3] = 100.0
    assert plane.depth is not None
    reason, message = failure(replace(plane, depth=replace(plane.depth, color_from_depth=away)))
    assert reason == Reason.EMPTY_DEPTH
    assert "once brought into the colour camera" in message


def test_colour_files_that_other_readers_see_differently_are_not_copied(
    plane: Frame, tmp_path: Path
) -> None:
    rgb = ramp(cameras.query_xy(HW))
    variants = {
        "grey.png": rgb[..., 0],
        "alpha.png": np.dstack([rgb, rgb[..., 0]]),
        "deep.png": rgb.astype(np.uint16) * 257,
        "c.bmp": rgb,
        "c.ppm": rgb,
    }
    for name, pixels in variants.items():
        recordings.save(tmp_path / name, pixels)
        view = read(replace(plane, image_path=tmp_path / name))
        assert view.image.shape == (*HW, 3)
        assert view.encoded is None, name
    recordings.save(tmp_path / "c.webp", rgb)
    encoded = read(replace(plane, image_path=tmp_path / "c.webp")).encoded
    assert encoded is not None
    assert encoded.ext == "webp"


def test_resize_of_a_view_in_memory(plane: Frame) -> None:
    view = read(plane)
    assert resize_view(view, HW) is view
    twice = resize_view(resize_view(view, (96, 128)), HW)
    np.testing.assert_allclose(twice.camera.K, view.camera.K)
    np.testing.assert_allclose(twice.depth.z, view.depth.z, rtol=1e-3)
