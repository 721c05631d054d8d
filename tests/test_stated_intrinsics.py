"""K is compared with itself, with the picture and with reason; negative focal lengths are exact."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rgbd_recordings import HW, K, save, true_frames

from cameo_data.camera import field_of_view_deg, project, unproject
from cameo_data.errors import Reason
from cameo_data.frames import read_view
from cameo_data.io.files import FileDefect
from cameo_data.sources import open_source
from cameo_data.sources.common.stated_intrinsics import Mirrored, check_size, check_view, doubts
from cameo_data.types import Camera

FLIP = np.diag([1.0, -1.0, 1.0, 1.0])


def test_field_of_view_is_that_between_opposite_sides() -> None:
    np.testing.assert_allclose(
        field_of_view_deg([[50, 0, 50], [0, 50, 25], [0, 0, 1]], (50, 100)),
        (90, 2 * np.degrees(np.arctan(0.5))),
    )
    # the principal point in a corner: 45° to one side, none to the other
    np.testing.assert_allclose(
        field_of_view_deg([[50, 0, 0], [0, 50, 0], [0, 0, 1]], (50, 50)), (45, 45)
    )


@pytest.mark.parametrize(
    "focal, fine", [(2.82, False), (15.0, True), (60.0, True), (3000.0, True), (12000.0, False)]
)
def test_fields_of_view_beyond_reason_are_refused(focal: float, fine: bool) -> None:
    made = np.array([[focal, 0, 120], [0, focal, 80], [0, 0, 1]])
    if fine:
        check_view(made, (160, 240), "correct it")
    else:
        with pytest.raises(FileDefect, match=r"of a 240×160 picture \(w×h\) are a field of view"):
            check_view(made, (160, 240), "correct it")


@pytest.mark.parametrize("factor", [0.25, 1 / 3, 0.5, 2.0, 3.0, 4.0])
def test_a_principal_point_tells_of_another_size(factor: float) -> None:
    made = K * np.array([factor, factor, 1])[:, None]
    with pytest.raises(
        FileDefect, match=rf"middle of a picture of {64 * factor:.0f}×{48 * factor:.0f},"
    ):
        check_size(made, HW, "state the size")


@pytest.mark.parametrize("center", [(32, 24), (20, 24), (32, 48), (40, 40), (10, 20)])
def test_crops_and_shifts_do_not(center: tuple[float, float]) -> None:
    made = np.array([[60.0, 0, center[0]], [0, 60, center[1]], [0, 0, 1]])
    check_size(made, HW, "state the size")


def test_a_principal_point_tells_of_any_other_size() -> None:
    made = np.array([[225.0, 0, 225], [0, 225, 150], [0, 0, 1]])
    with pytest.raises(
        FileDefect, match="middle of a picture of about 450×300, the picture is 240×160"
    ):
        check_size(made, (160, 240), "state the size")


def test_exchanged_cx_and_cy_are_the_middle_of_the_turned_picture() -> None:
    made = np.array([[118.0, 0, 79], [0, 118, 120.1], [0, 0, 1]])
    with pytest.raises(FileDefect, match=r"240×160 .*: cx and cy are exchanged, or the picture is"):
        check_size(made, (160, 240), "correct it")
    check_size(made, (160, 200), "correct it")  # a crop
    check_size(np.array([[118.0, 0, 80], [0, 118, 80], [0, 0, 1]]), (160, 160), "correct it")


@pytest.mark.parametrize("shares", [(0.5, 0.74, 0.5, 0.49), (118.0, 118, 0.5, 0.5), (60, 60, 0, 0)])
def test_shares_of_the_picture_are_not_pixels(shares: tuple[float, ...]) -> None:
    fx, fy, cx, cy = shares
    made = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    check_size(made, (160, 240), "correct it")  # which would name a picture of one pixel
    with pytest.raises(FileDefect, match=r"corner of a 240×160 picture .*shares of its sides"):
        check_view(made, (160, 240), "correct it")


@pytest.mark.parametrize(
    "focal, word",
    [((118, 118), None), ((118, 125), None), ((120, 79), "not square"), ((50, 50), "are they in")],
)
def test_doubts_are_few(focal: tuple[float, float], word: str | None) -> None:
    made = np.array([[focal[0], 0, 120.0], [0, focal[1], 80], [0, 0, 1]])
    found = doubts(made, (160, 240), "correct it")
    assert not found if word is None else word in "".join(found)


@pytest.mark.parametrize("signs", [(1, -1), (-1, 1), (-1, -1)])
def test_mirrored_cameras_see_every_point_where_the_stated_ones_do(signs: tuple[int, int]) -> None:
    """K·M·X on paper, against our cameras: pixels, depths and matches between views are equal."""
    stated = K @ np.diag([*signs, 1.0])
    mirrored = Mirrored.of([(stated[0, 0], stated[1, 1])] * 2)
    truth0, _, truth1 = true_frames()
    z0 = truth0.millimetres[::8, ::8].ravel() / 1000
    xy0 = np.argwhere(np.ones((6, 8)))[:, ::-1] * 8.0
    p_world = unproject(truth0.camera, xy0[z0 > 0], z0[z0 > 0])
    p_cam1 = p_world @ truth1.camera.cam_from_world[:3, :3].T + truth1.camera.cam_from_world[:3, 3]
    p_cam0 = p_world @ truth0.camera.cam_from_world[:3, :3].T + truth0.camera.cam_from_world[:3, 3]
    paper0, paper1 = ((p @ stated.T)[:, :2] / p[:, 2:] for p in (p_cam0, p_cam1))
    cameras = [
        Camera(mirrored.K(stated), HW, mirrored.cam_from_world(t.camera.cam_from_world))
        for t in (truth0, truth1)
    ]
    moved, z1 = project(cameras[1], unproject(cameras[0], paper0, p_cam0[:, 2]))
    np.testing.assert_allclose(moved, paper1, atol=1e-9)
    np.testing.assert_allclose(z1, p_cam1[:, 2], atol=1e-9)
    (note,) = mirrored.notes
    axis = {(1, -1): "y down already", (-1, 1): "x right already", (-1, -1): "turned by 180°"}
    assert axis[signs] in note
    if signs == (-1, -1):  # a turn by 180°: the world stays
        np.testing.assert_allclose(
            cameras[0].world_from_cam[:3, 3], truth0.camera.world_from_cam[:3, 3], atol=1e-12
        )


def test_mirrored_distortion_is_the_same_picture() -> None:
    stated_K, k = K @ np.diag([1.0, -1, 1]), (0.1, -0.05, 0.02, 0.01, 0.03)
    mirrored = Mirrored.of([(60, -61)])
    rays = np.random.default_rng(1).uniform(-0.4, 0.4, (20, 1, 2))
    rays = np.concatenate([rays, np.ones((20, 1, 1))], -1)
    zero = np.zeros(3)
    on_paper, _ = cv2.projectPoints(rays, zero, zero, stated_K, np.array(k))
    flipped = rays * [1, -1, 1]
    ours, _ = cv2.projectPoints(
        flipped, zero, zero, mirrored.K(stated_K), np.array(mirrored.distortion(k))
    )
    np.testing.assert_allclose(ours, on_paper, atol=1e-9)


def test_signs_that_differ_between_frames_are_refused() -> None:
    mirrored = Mirrored.of([(60, -60), (60, -60), (60, 60)])
    with pytest.raises(FileDefect, match="other signs than the scene's other cameras") as caught:
        mirrored.K(np.array(K))
    assert caught.value.reason == Reason.BAD_INTRINSICS


def test_icl_nuim_recordings_are_exact(tmp_path: Path) -> None:
    """Cameras with y up in a world with y up, fy negative: read as the truth that was rendered."""
    rows = []
    for i, frame in enumerate(true_frames()):
        save(tmp_path / f"color/{i}.png", frame.bgr)
        save(tmp_path / f"depth/{i}.png", frame.millimetres)
        pose = FLIP @ np.linalg.inv(frame.camera.cam_from_world) @ FLIP
        rows.append(" ".join(map(repr, pose.ravel().tolist())))
    (tmp_path / "poses.txt").write_text("\n".join(rows))
    options = {
        "color": "color/*.png",
        "depth": "depth/*.png",
        "poses": "poses.txt",
        "pixel_center": "half",
    }
    source = open_source("rgbd", tmp_path, {**options, "intrinsics": "60,-61,32,23.75"})
    scene = source.scene(source.scene_ids()[0])
    assert not scene.failures
    assert any("focal lengths 60, -61" in note for note in scene.notes)
    for frame, truth in zip(scene.frames, true_frames(), strict=True):
        np.testing.assert_allclose(frame.camera.K, K, atol=1e-9)
        np.testing.assert_allclose(
            frame.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-9
        )
    view = read_view(scene.frames[0], dataset="d", scene_id="s")
    np.testing.assert_allclose(view.depth.z, true_frames()[0].millimetres / 1000, rtol=1e-5)
    # the other reading of the same sign, which the note names: poses with y down already
    for i, frame in enumerate(true_frames()):
        rows[i] = " ".join(map(repr, np.linalg.inv(frame.camera.cam_from_world).ravel().tolist()))
    (tmp_path / "poses.txt").write_text("\n".join(rows))
    source = open_source("rgbd", tmp_path, {**options, "intrinsics": "60,61,32,23.75"})
    for frame, truth in zip(source.scene(source.scene_ids()[0]).frames, true_frames(), strict=True):
        np.testing.assert_allclose(
            frame.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-9
        )
