"""Hypersim: tilted lenses, distances along rays and asset units become the cameras rendered."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mvs_fixtures import HW, SCENE, assert_exact, pose, read_all, save_hdf5, save_image
from mvs_fixtures import Truth as Rendered

from cameo_data import transforms
from cameo_data.errors import DataError, Reason
from cameo_data.geometry import raycast
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.hypersim.source import pinhole
from cameo_data.types import Camera

METRES_PER_UNIT = 0.0254
# settings_camera_fov 60°, and a shifted and tilted lens like that of scene ai_037_002
PLAIN = np.diag([np.tan(np.radians(30)), np.tan(np.radians(30)) * 0.75, -1.0])
TILTED = PLAIN + np.array([[0, 0.01, 0.03], [0, 0, -0.02], [-0.05, 0.09, -0.02]])
MATRIX = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]


def render(cam_from_uv: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(distance, picture) along the rays that Hypersim's notebook casts."""
    height, width = HW
    u = (np.arange(width) + 0.5) / width * 2 - 1
    v = 1 - (np.arange(height) + 0.5) / height * 2
    uv = np.dstack([*np.meshgrid(u, v), np.ones(HW)])
    world_from_cam = transforms.invert(pose(number)) @ transforms.OPENCV_FROM_OPENGL
    rays = uv @ (world_from_cam[:3, :3] @ cam_from_uv).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    hits = raycast.cast(SCENE, world_from_cam[:3, 3], rays)
    picture = 127 + 120 * np.sin(5 * np.nan_to_num(hits.p_object) + [0, 1, 2])
    return np.where(hits.hit, hits.t, np.nan), picture.astype(np.uint8)


def write(root: Path, scenes: dict[str, np.ndarray], count: int = 3) -> Path:
    rows = [",".join(["scene_name", "settings_output_img_width", *MATRIX])]
    for name, matrix in scenes.items():
        rows.append(",".join([name, "1024.0", *(repr(float(v)) for v in matrix.ravel())]))
        detail, images = root / name / "_detail", root / name / "images"
        world_from_cam = np.stack(
            [transforms.invert(pose(i)) @ transforms.OPENCV_FROM_OPENGL for i in range(count)]
        )
        keyframes = detail / "cam_00/camera_keyframe_orientations.hdf5"
        save_hdf5(keyframes, "dataset", world_from_cam[:, :3, :3])
        positions = world_from_cam[:, :3, 3] / METRES_PER_UNIT
        save_hdf5(detail / "cam_00/camera_keyframe_positions.hdf5", "dataset", positions)
        (detail / "metadata_scene.csv").write_text(
            f"parameter_name,parameter_value\nmeters_per_asset_unit,{METRES_PER_UNIT}\n"
        )
        for i in range(count):
            distance, picture = render(matrix, i)
            name_i = f"frame.{i:04d}"
            save_image(images / f"scene_cam_00_final_preview/{name_i}.tonemap.jpg", picture)
            depth = images / f"scene_cam_00_geometry_hdf5/{name_i}.depth_meters.hdf5"
            save_hdf5(depth, "dataset", distance.astype(np.float32))
    (root / "metadata_camera_parameters.csv").write_text("\n".join(rows) + "\n")
    return root


def expected(cam_from_uv: np.ndarray) -> list[Rendered]:
    """What the reader should give: rendered anew by the pinhole camera that it should find."""
    K, new_from_cam = pinhole(cam_from_uv, HW)
    found = []
    for i in range(3):
        camera = Camera(K, HW, new_from_cam @ pose(i))
        hits = raycast.render(SCENE, camera)
        found.append(Rendered(camera, raycast.depth_of(hits), np.zeros((*HW, 3), np.uint8)))
    return found


@pytest.mark.parametrize("cam_from_uv", [PLAIN, TILTED], ids=["plain", "tilted"])
def test_views_are_those_rendered(cam_from_uv: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path, {"ai_037_002": cam_from_uv})
    assert source_spec("hypersim").recognise(tmp_path)
    scene, views = read_all("hypersim", tmp_path)
    assert (scene.scene_id, scene.unit) == ("ai_037_002/cam_00", "metre")
    assert_exact(views, expected(cam_from_uv))


def test_plain_lens_keeps_the_axis() -> None:
    """60° across 1024 pixels is the 886.81 px that others use."""
    K, new_from_cam = pinhole(PLAIN, (768, 1024))
    np.testing.assert_allclose(K, [[886.81, 0, 512], [0, 886.81, 384], [0, 0, 1]], atol=1e-2)
    np.testing.assert_allclose(new_from_cam, np.eye(4), atol=1e-12)


def test_pinhole_has_the_rays_of_the_matrix() -> None:
    K, new_from_cam = pinhole(TILTED, HW)
    rng = np.random.default_rng(0)
    uv1 = np.column_stack([rng.uniform(-1, 1, (50, 2)), np.ones(50)])
    rays = uv1 @ (transforms.OPENCV_FROM_OPENGL[:3, :3] @ TILTED).T
    pixels = (rays @ new_from_cam[:3, :3].T) @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    np.testing.assert_allclose(pixels[:, 0], (uv1[:, 0] + 1) / 2 * HW[1], atol=1e-9)
    np.testing.assert_allclose(pixels[:, 1], (1 - uv1[:, 1]) / 2 * HW[0], atol=1e-9)
    assert transforms.rotation_angle_deg(new_from_cam) > 1


def test_split_and_table_elsewhere(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"ai_001_001": PLAIN, "ai_001_002": PLAIN}, 1)
    (root / "metadata_images_split_scene_v1.csv").write_text(
        "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,"
        "split_partition_name\nai_001_001,cam_00,0,True,,train\nai_001_002,cam_00,0,True,,val\n"
    )
    assert open_source("hypersim", root, {"split": "val"}).scene_ids() == ["ai_001_002/cam_00"]
    shutil.move(root / "metadata_camera_parameters.csv", tmp_path / "p.csv")
    with pytest.raises(DataError, match=r"hypersim: metadata_camera_parameters\.csv is missing"):
        open_source("hypersim", root)
    opened = open_source("hypersim", root, {"camera_parameters": tmp_path / "p.csv"})
    assert len(opened.scene("ai_001_001/cam_00").frames) == 1


def test_sky_has_no_depth(tmp_path: Path) -> None:
    write(tmp_path, {"ai_001_001": PLAIN})
    folder = tmp_path / "ai_001_001/images/scene_cam_00_geometry_hdf5"
    distance = render(PLAIN, 0)[0]
    distance[:10] = np.nan
    save_hdf5(folder / "frame.0000.depth_meters.hdf5", "dataset", distance)
    view = read_all("hypersim", tmp_path)[1][0]
    assert not view.depth.valid[:10].any()
    assert view.depth.valid[10:].all()


S = "ai_001_001"
DETAIL = f"{S}/_detail"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


ORIENTATIONS = f"{DETAIL}/cam_00/camera_keyframe_orientations.hdf5"
SCENE_BREAKS: list[tuple[Callable[[Path], Any], Reason, str]] = [
    (lambda r: (r / ORIENTATIONS).unlink(), Reason.BAD_POSE, "orientations.hdf5 is missing"),
    (
        lambda r: save_hdf5(r / ORIENTATIONS, "dataset", np.zeros((3, 3))),
        Reason.BAD_POSE,
        "is 3×3; expected N×3×3",
    ),
    (
        lambda r: save_hdf5(r / ORIENTATIONS, "dataset", np.zeros((2, 3, 3))),
        Reason.BAD_POSE,
        "2 orientations and 3 positions",
    ),
    (
        lambda r: edit(r / DETAIL / "metadata_scene.csv", "0.0254", "-1"),
        Reason.BAD_METADATA,
        "meters_per_asset_unit is '-1'",
    ),
    (
        lambda r: edit(r / DETAIL / "metadata_scene.csv", "meters_per", "feet_per"),
        Reason.BAD_METADATA,
        "no meters_per_asset_unit",
    ),
    (
        lambda r: edit(r / "metadata_camera_parameters.csv", S, "ai_999_999"),
        Reason.BAD_INTRINSICS,
        "ai_001_001 is not in metadata_camera_parameters.csv",
    ),
    (
        lambda r: edit(r / "metadata_camera_parameters.csv", ",-1.0", ",1.0"),
        Reason.BAD_INTRINSICS,
        "expected a projection that does not mirror the image",
    ),
]


@pytest.mark.parametrize("breaks, reason, message", SCENE_BREAKS)
def test_broken_scene(
    breaks: Callable[[Path], Any], reason: Reason, message: str, tmp_path: Path
) -> None:
    write(tmp_path, {S: PLAIN})
    breaks(tmp_path)
    with pytest.raises(DataError) as caught:
        open_source("hypersim", tmp_path).scene(f"{S}/cam_00")
    assert caught.value.failure.reason == reason
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("M_cam_from_uv_11", "other", "no column M_cam_from_uv_11"),
        (",-1.0", ",x", "line 2: M_cam_from_uv is not a number"),
        (",-1.0", "", "line 2 is cut short"),
    ],
)
def test_broken_table(old: str, new: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, {S: PLAIN})
    edit(tmp_path / "metadata_camera_parameters.csv", old, new)
    with pytest.raises(DataError, match=f"hypersim: metadata_camera_parameters.csv: {message}"):
        open_source("hypersim", tmp_path)


def test_frames_without_pose_or_with_a_broken_one(tmp_path: Path) -> None:
    write(tmp_path, {S: PLAIN})
    orientations = np.stack([np.eye(3), np.eye(3) * 2])
    save_hdf5(tmp_path / ORIENTATIONS, "dataset", orientations)
    positions = f"{DETAIL}/cam_00/camera_keyframe_positions.hdf5"
    save_hdf5(tmp_path / positions, "dataset", np.zeros((2, 3)))
    scene = open_source("hypersim", tmp_path).scene(f"{S}/cam_00")
    assert [frame.frame_id for frame in scene.frames] == ["0000"]
    reasons = {failure.frame_id: failure.reason for failure in scene.failures}
    assert reasons == {"0001": Reason.BAD_POSE, "0002": Reason.UNASSOCIATED}


def test_nothing_there(tmp_path: Path) -> None:
    assert not source_spec("hypersim").recognise(tmp_path)
    with pytest.raises(DataError, match="hypersim: no scene in"):
        open_source("hypersim", tmp_path)
