"""Lenses of every COLMAP model: images, masks, depth and points come out as of a pinhole camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from colmap_recordings import HW, LENSES, SCENE, colour_of, poses, take
from rgbd_recordings import save

from cameo_data.camera import query_xy
from cameo_data.errors import Reason
from cameo_data.frames import read_image, read_view, view_xy
from cameo_data.geometry import raycast, undistortion
from cameo_data.io.files import FileDefect
from cameo_data.types import Camera, DepthRef, Frame, Lens


def frame_of(folder: Path, lens: Lens, focal_scale: float = 1.0) -> Frame:
    """Image, mask (where the box is) and depth as a camera with that lens stores them."""
    picture = take(lens, poses()[1])
    K, hw = undistortion.pinhole_of(lens, focal_scale)
    save(folder / "image.png", picture.bgr)
    save(folder / "mask.png", np.where(picture.z < 2.1, 255, 0).astype(np.uint8))
    np.save(folder / "depth.npy", picture.z)
    return Frame(
        "f",
        Camera(K, hw, poses()[1]),
        folder / "image.png",
        depth=DepthRef(folder / "depth.npy", "npy", 1.0),
        mask_path=folder / "mask.png",
        distortion=lens,
    )


def test_there_is_a_fixture_for_every_model():
    known = {*pycolmap.CameraModelId.__members__} - {"INVALID", "EQUIRECTANGULAR"}
    assert known == set(LENSES)


@pytest.mark.parametrize("model", LENSES)
def test_views_are_those_of_a_pinhole_camera(model, tmp_path):
    lens = Lens(model, LENSES[model], HW)
    frame = frame_of(tmp_path, lens)
    view = read_view(frame, dataset="d", scene_id="s")
    hits = raycast.render(SCENE, view.camera)
    z, colour = raycast.depth_of(hits), colour_of(hits)[..., ::-1]
    known = view.depth.valid
    assert known.mean() > 0.8
    relative = np.abs(view.depth.z - z)[known] / z[known]
    assert np.median(relative) < 1e-4
    assert np.mean(relative < 1e-3) > 0.95  # the rest lies at edges, a line of few pixels
    difference = np.abs(view.image.astype(float) - colour)[known]
    assert np.median(difference) <= 1
    assert np.mean(difference < 6) > 0.97
    assert np.mean((view.mask == (z < 2.1))[known]) > 0.98
    assert np.array_equal(read_image(frame, dataset="d", scene_id="s"), view.image)


@pytest.mark.parametrize("model", LENSES)
def test_points_go_where_the_pixels_go(model, tmp_path):
    lens = Lens(model, LENSES[model], HW)
    frame = frame_of(tmp_path, lens, 0.8)
    stored = undistortion.stored_xy(frame.camera, lens)
    known = np.isfinite(stored[..., 0])
    back = undistortion.pinhole_xy(frame, stored[known])
    assert np.abs(back - query_xy(frame.camera.hw)[known]).max() < 1e-6


def test_the_models_are_opencv_s_where_opencv_has_them():
    rays = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3)) * [1, 1, 0] + [0, 0, 1]
    zero = np.zeros(3)
    for model, project in {
        "OPENCV": lambda k: cv2.projectPoints(rays, zero, zero, np.eye(3), k)[0],
        "OPENCV_FISHEYE": lambda k: cv2.fisheye.projectPoints(
            rays[:, None], zero, zero, np.eye(3), k
        )[0],
    }.items():
        params = LENSES[model]
        expected = project(np.array(params[4:])).reshape(-1, 2) * params[:2] + params[2:4]
        found = undistortion.colmap_camera(Lens(model, params, HW)).img_from_cam(rays)
        assert np.abs(found - expected).max() < 1e-9


def test_coefficients_and_lens_give_the_same_view(tmp_path):
    lens = Lens("OPENCV", LENSES["OPENCV"], HW)
    frame = frame_of(tmp_path, lens)
    coefficients = LENSES["OPENCV"][4:]
    by_lens = undistortion.stored_xy(frame.camera, lens)
    by_opencv = undistortion.stored_xy(frame.camera, coefficients)
    np.testing.assert_allclose(by_lens, by_opencv, atol=1e-9, equal_nan=True)
    opencv = Frame("f", frame.camera, frame.image_path, distortion=coefficients)
    xy = np.array([[5.0, 6.0], [60.0, 40.0], [32.0, 24.0]])
    assert np.abs(view_xy(opencv, xy) - view_xy(frame, xy)).max() < 1e-9


def test_pixels_where_the_model_turns_back_are_unknown():
    # r (1 − 0.2 r²) turns at r = 1.29: beyond, the image would appear a second time
    lens = Lens("SIMPLE_RADIAL", (150.0, 200.0, 150.0, -0.2), (300, 400))
    camera = Camera(np.array([[50.0, 0, 200], [0, 50, 150], [0, 0, 1]]), (300, 400))
    known = np.isfinite(undistortion.stored_xy(camera, lens)[..., 0])
    radius = np.linalg.norm((query_xy((300, 400)) - [200, 150]) / 50, axis=-1)
    assert not known[radius > 1.3].any()
    assert known[radius < 1.28].mean() > 0.95  # some lie above or below the stored image


def test_a_panorama_gives_the_square_ahead():
    lens = Lens("EQUIRECTANGULAR", (128.0, 64.0), (64, 128))
    K, hw = undistortion.pinhole_of(lens)
    assert hw == (41, 41)
    xy = undistortion.stored_xy(Camera(K, hw), lens)
    # straight ahead is the middle of the panorama, the edge is 45° away: an eighth of its width
    assert np.allclose(xy[20, 20], (64, 32))
    assert abs(xy[20, 40, 0] - (64 + 128 / 8)) < 1


def test_focal_scale_shows_more_of_a_fisheye(tmp_path):
    lens = Lens("OPENCV_FISHEYE", LENSES["OPENCV_FISHEYE"], HW)
    frame = frame_of(tmp_path, lens, 0.5)
    view = read_view(frame, dataset="d", scene_id="s")
    assert view.camera.K[0, 0] == 30
    hits = raycast.render(SCENE, view.camera)
    z, known = raycast.depth_of(hits), view.depth.valid
    assert 0.2 < known.mean() < 0.9  # the stored image is wide, but not that wide
    assert np.median(np.abs(view.depth.z - z)[known] / z[known]) < 2e-3


def test_view_xy_follows_resize_and_crop(tmp_path):
    lens = Lens("RADIAL", LENSES["RADIAL"], HW)
    frame = frame_of(tmp_path, lens)
    size = (36, 36)
    view = read_view(frame, dataset="d", scene_id="s", hw=size)
    world = np.array([[0.1, 2.94, 0.2], [-0.5, 2.94, 0.3], [0.4, 2.94, -0.4]])
    p_cam = (np.c_[world, np.ones(3)] @ frame.camera.cam_from_world.T)[:, :3]
    stored = undistortion.colmap_camera(lens).img_from_cam(p_cam)
    expected = p_cam @ view.camera.K.T
    found = view_xy(frame, stored, size)
    assert np.allclose(found, expected[:, :2] / expected[:, 2:], atol=1e-6)
    assert np.isnan(view_xy(frame, np.array([[0.5, 24.0]]), size)).all()  # cropped away


@pytest.mark.parametrize(
    "lens, reason, message",
    [
        (Lens("NOPE", (1.0,), HW), Reason.UNKNOWN_CAMERA_MODEL, "camera model 'NOPE'"),
        (Lens("INVALID", (1.0,), HW), Reason.UNKNOWN_CAMERA_MODEL, "camera model 'INVALID'"),
        (Lens("OPENCV", (1.0, 2.0), HW), Reason.BAD_INTRINSICS, "with 2 parameters"),
        (Lens("PINHOLE", (np.nan, 1, 1, 1), HW), Reason.BAD_INTRINSICS, "expected finite fx, fy"),
    ],
)
def test_unknown_lenses_are_named(lens, reason, message):
    with pytest.raises(FileDefect) as caught:
        undistortion.pinhole_of(lens)
    assert caught.value.reason == reason
    assert message in str(caught.value)
