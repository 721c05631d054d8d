"""What a recording's files and options state of one thing is compared, or normalised and noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rgbd_recordings import INTRINSICS, lines, true_frames
from test_rgbd_options import BASE, assert_true, matrix_row, write_images, write_track

from cameo_data.errors import DataError
from cameo_data.sources import open_source
from cameo_data.types import Scene


def read_scene(folder: Path, options: dict[str, Any]) -> Scene:
    source = open_source("rgbd", folder, options)
    return source.scene(source.scene_ids()[0])


def poses() -> list[np.ndarray]:
    return [np.linalg.inv(frame.camera.cam_from_world) for frame in true_frames()]


@pytest.mark.parametrize("direction", ["world_from_cam", "cam_from_world"])
@pytest.mark.parametrize("per_frame", [False, True])
def test_scaled_and_homogeneous_poses(per_frame: bool, direction: str, tmp_path: Path) -> None:
    stated = [3 * pose @ np.diag([2.5, 2.5, 2.5, 1]) for pose in poses()]
    if direction == "cam_from_world":
        stated = [np.linalg.inv(pose) for pose in stated]
    options = {**BASE, "pose_direction": direction}
    if per_frame:
        write_images(tmp_path)
        (tmp_path / "pose").mkdir()
        for i, pose in enumerate(stated):
            (tmp_path / f"pose/{i}.txt").write_text(lines(pose))
        options["poses"] = "pose/*.txt"
    else:
        write_track(tmp_path, [matrix_row(pose) for pose in stated])
    assert_true(tmp_path, options)
    notes = " ".join(read_scene(tmp_path, options).notes)
    factor = "2.5" if direction == "world_from_cam" else "0.4"
    assert f"the rotations of 3 frames are multiplied by {factor};" in notes
    assert "3 matrices with a last row other than 0 0 0 1" in notes


def test_one_scaled_pose_is_refused_and_its_remedy_works(tmp_path: Path) -> None:
    stated = poses()
    stated[1] = stated[1] @ np.diag([2.0, 2, 2, 1])
    (failure,) = read_scene(write_track(tmp_path, [*map(matrix_row, stated)]), BASE).failures
    assert "rotation times 2 (most frames times 1)" in failure.found
    assert "divide the first three columns by 2" in failure.remedy
    stated[1][:, :3] /= 2
    write_track(tmp_path, [*map(matrix_row, stated)])
    assert_true(tmp_path, BASE)


def write(folder: Path) -> Path:
    return write_track(folder, [*map(matrix_row, poses())])


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_scene(folder, {**BASE, **options})
    return str(caught.value)


def test_intrinsics_of_another_size(tmp_path: Path) -> None:
    folder = write(tmp_path)
    fx, fy, cx, cy = (2 * float(n) for n in INTRINSICS.split(","))
    double = f"{fx},{fy},{cx + 0.5},{cy + 0.5}"  # in the integer convention
    message = refused(folder, intrinsics=double)
    assert "is the middle of a picture of 128×96, the picture is 64×48" in message
    assert "intrinsics_size=WIDTHxHEIGHT" in message
    assert_true(folder, {**BASE, "intrinsics": double, "intrinsics_size": "128x96"})
    turned = refused(folder, intrinsics=double, intrinsics_size="96x128")
    assert "image is 48×64, its intrinsics are for 128×96 (h×w)" in turned


def write_json(folder: Path, **keys: Any) -> dict[str, Any]:
    fx, fy, cx, cy = (float(n) for n in INTRINSICS.split(","))
    values = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": 64, "height": 48, **keys}
    (folder / "camera.json").write_text(json.dumps(values))
    return {**BASE, "intrinsics": "camera.json"}


def test_sizes_that_contradict_each_other(tmp_path: Path) -> None:
    folder = write(tmp_path)
    write_json(folder)
    message = refused(folder, intrinsics="camera.json", intrinsics_size="128x96")
    assert "says that it is for 64×48 images, intrinsics_size says 128×96 (w×h)" in message
    assert_true(folder, {**BASE, "intrinsics": "camera.json", "intrinsics_size": "64x48"})


def test_keys_of_a_camera_file_are_read_refused_or_named(tmp_path: Path) -> None:
    folder = write(tmp_path)
    options = write_json(folder, depth_scale=0.00025, coeffs=[0.0, 0, 0, 0, 0], model="none")
    assert_true(folder, options)
    notes = read_scene(folder, options).notes
    assert notes == ("camera.json: keys that are not read: coeffs, depth_scale, model",)
    write_json(folder, coeffs=[0.1, 0.2, 0, 0, 0])
    message = refused(folder, intrinsics="camera.json")
    assert "camera.json states a distorted lens (coeffs = [0.1, 0.2, 0, 0, 0])" in message
    assert_true(folder, {**options, "distortion": "0,0,0,0"})  # one remedy; the other:
    distorted = read_scene(folder, {**options, "distortion": "0.1,0.2,0,0,0"})
    assert distorted.frames[0].distortion == (0.1, 0.2, 0, 0, 0)


def test_fields_of_view_beyond_reason(tmp_path: Path) -> None:
    assert "are a field of view of 177°" in refused(write(tmp_path), intrinsics="0.9,0.9,32,24")


def test_a_flipped_recording_flips_its_depth_camera_too(tmp_path: Path) -> None:
    """Registered depth lands where it does without the flip: C becomes F·C·F."""
    folder = write(tmp_path)
    options = {**BASE, "depth_intrinsics": "30,31,32,24", "color_from_depth": "0.05,0.02,0.01"}
    plain = read_scene(folder, options).frames[0].depth
    fx, fy, cx, cy = INTRINSICS.split(",")
    signs = {"intrinsics": f"{fx},-{fy},{cx},{cy}", "depth_intrinsics": "30,-31,32,24"}
    flipped = read_scene(folder, {**options, **signs}).frames[0].depth
    assert plain is not None
    assert flipped is not None
    flip = np.diag([1.0, -1, 1, 1])
    np.testing.assert_allclose(flipped.color_from_depth, flip @ plain.color_from_depth @ flip)
    np.testing.assert_allclose(flipped.camera_K, plain.camera_K)
    message = refused(folder, **{**options, "depth_intrinsics": "30,-31,32,24"})
    assert "have other signs than the scene's other cameras" in message
