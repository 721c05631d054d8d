"""Depth that cannot cover its picture is refused, by every source, with both sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import nerfstudio_scenes
import numpy as np
import pytest
import rgbd_recordings as recordings
from numpy.typing import NDArray

from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.io.orientation import same_aspect
from cameo_data.sources import open_source
from cameo_data.types import Camera, DepthRef, Frame


@pytest.mark.parametrize(
    "hw, other",
    [
        ((192, 256), (1440, 1920)),  # ARKit
        ((480, 640), (968, 1296)),  # ScanNet
        ((160, 240), (23, 34)),  # 240 / 7 and 160 / 7, rounded
        ((1080, 1920), (135, 240)),
        ((135, 240), (1080, 1920)),
        ((427, 640), (213, 320)),
        ((1, 1), (1, 1)),
    ],
)
def test_reduced_sizes_are_of_one_aspect(hw: tuple[int, int], other: tuple[int, int]) -> None:
    assert same_aspect(hw, other)
    assert same_aspect(hw[::-1], other[::-1])


@pytest.mark.parametrize(
    "hw, other",
    [
        ((160, 240), (240, 160)),
        ((192, 256), (1000, 1500)),  # 4:3 beside 3:2
        ((1080, 1920), (480, 640)),
        ((512, 512), (480, 640)),
        ((240, 320), (240, 310)),
    ],
)
def test_other_aspects_are_told_apart(hw: tuple[int, int], other: tuple[int, int]) -> None:
    assert not same_aspect(hw, other)
    assert not same_aspect(other, hw)


def write(folder: Path, depth_of: Any) -> Path:
    """A scene in all three descriptions, with depth maps made of the true ones."""
    (folder / "depth").mkdir(parents=True)
    generic, nerf = [], []
    for i, frame in enumerate(recordings.true_frames()):
        recordings.save(folder / f"color/{i}.png", frame.bgr)
        recordings.save(folder / f"depth/{i}.png", depth_of(frame.millimetres))
        pose = frame.camera.world_from_cam
        (folder / f"pose{i}.txt").write_text(recordings.lines(pose))
        image, depth = f"color/{i}.png", f"depth/{i}.png"
        generic.append({"image": image, "depth": depth, "pose": pose.tolist()})
        matrix = nerfstudio_scenes.opengl(frame.camera)
        nerf.append({"file_path": image, "depth_file_path": depth, "transform_matrix": matrix})
    K = recordings.K
    record = {
        "format": "cameo-1", "poses": "world_from_cam", "K": K.tolist(),
        "depth_scale": 0.001, "unit": "metre", "frames": generic,
    }  # fmt: skip
    (folder / "cameo.json").write_text(json.dumps(record))
    values = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "frames": nerf}
    (folder / "transforms.json").write_text(json.dumps(values))
    (folder / "rgbd.yaml").write_text(
        "color: color/*.png\ndepth: depth/*.png\nposes: pose*.txt\n"
        f"intrinsics: {recordings.INTRINSICS}\n"
    )
    return folder


def messages(source: str, folder: Path, **options: Any) -> list[str]:
    """What is wrong with a scene, found when it is listed."""
    opened = open_source(source, folder, options)
    try:
        scene = opened.scene(opened.scene_ids()[0])
    except DataError as error:
        return [error.failure.message]
    assert all(failure.reason is Reason.WRONG_SIZE for failure in scene.failures)
    return [failure.message for failure in scene.failures]


def wide(mm: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(mm[4:44])  # 64×40


@pytest.mark.parametrize("source", ["rgbd", "generic", "nerfstudio"])
def test_turned_depth(source: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "scene", np.rot90)
    found = messages(source, folder)
    assert "is 48×64, its picture 64×48 (w×h): aspects 0.75 and 1.33" in found[0]
    assert "it fits when turned by 90°" in found[0]
    # the remedy: turn the depth maps
    for i in range(3):
        depth = cv2.imread(str(folder / f"depth/{i}.png"), cv2.IMREAD_UNCHANGED)
        recordings.save(folder / f"depth/{i}.png", np.rot90(depth, -1))
    assert messages(source, folder) == []


@pytest.mark.parametrize("source", ["rgbd", "generic", "nerfstudio"])
def test_depth_of_a_part_of_the_picture(source: str, tmp_path: Path) -> None:
    found = messages(source, write(tmp_path / "scene", wide))
    assert "is 64×40, its picture 64×48 (w×h)" in found[0]
    assert "crop depth or pictures" in found[0]


@pytest.mark.parametrize("source", ["rgbd", "generic", "nerfstudio"])
def test_reduced_depth_is_read(source: str, tmp_path: Path) -> None:
    assert messages(source, write(tmp_path / "scene", lambda mm: mm[::2, ::2])) == []


def test_depth_with_intrinsics_of_its_own_may_have_any_shape(tmp_path: Path) -> None:
    folder = write(tmp_path / "scene", wide)
    fx, fy, cx, cy = map(float, recordings.INTRINSICS.split(","))
    given = {"depth_intrinsics": f"{fx},{fy},{cx},{cy - 4}"}
    assert messages("rgbd", folder, **given) == []
    source = open_source("rgbd", folder, given)
    scene = source.scene(source.scene_ids()[0])
    view = read_view(scene.frames[0], dataset="d", scene_id="s")
    truth = recordings.true_frames()[0].millimetres / 1000
    np.testing.assert_allclose(view.depth.z[5:43], truth[5:43], rtol=1e-4)
    assert not view.depth.valid[:4].any()


def test_any_source_is_held_to_it_when_a_frame_is_read(tmp_path: Path) -> None:
    recordings.save(tmp_path / "i.png", np.zeros((48, 64, 3), np.uint8))
    recordings.save(tmp_path / "d.png", np.ones((64, 48), np.uint16))
    ref = DepthRef(tmp_path / "d.png", "uint16", 1.0, hw=(64, 48))
    frame = Frame("f", Camera(recordings.K, (48, 64)), tmp_path / "i.png", ref)
    with pytest.raises(DataError, match="it fits when turned by 90°"):
        read_view(frame, dataset="d", scene_id="s")


def test_a_turned_mask_is_told_to_be_turned(tmp_path: Path) -> None:
    recordings.save(tmp_path / "i.png", np.zeros((48, 64, 3), np.uint8))
    recordings.save(tmp_path / "d.png", np.ones((48, 64), np.uint16))
    recordings.save(tmp_path / "m.png", np.full((64, 48), 255, np.uint8))
    ref = DepthRef(tmp_path / "d.png", "uint16", 1.0)
    camera, image, mask = Camera(recordings.K, (48, 64)), tmp_path / "i.png", tmp_path / "m.png"
    frame = Frame("f", camera, image, ref, mask_path=mask)
    with pytest.raises(DataError, match=r"m\.png is 64×48; expected 48×64.*turn it by 90°"):
        read_view(frame, dataset="d", scene_id="s")
    recordings.save(mask, np.full((48, 64), 255, np.uint8))
    assert read_view(frame, dataset="d", scene_id="s").mask is not None
