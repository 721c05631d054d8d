"""What `auto` says about captures that no source reads as they are: their name and the way in."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import rgbd_recordings as recordings
from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.sources import source_names
from cameo_data.sources.common.raw_captures import CAPTURES, advice

# kind -> names in its folder (a folder where it ends with /)
FIXTURES: dict[str, tuple[list[str], str]] = {
    "polycam": (
        [
            "keyframes/corrected_images/1234.jpg",
            "keyframes/corrected_cameras/1234.json",
            "keyframes/depth/1234.png",
            "mesh_info.json",
        ],
        "ns-process-data polycam",
    ),
    "record3d file": (["2024-05-01--10-00-00.r3d"], "ns-process-data record3d"),
    "record3d export": (
        ["EXR_RGBD/rgb/0.jpg", "EXR_RGBD/depth/0.exr", "EXR_RGBD/metadata.json"],
        "ns-process-data record3d",
    ),
    "stray scanner": (
        ["odometry.csv", "camera_matrix.csv", "rgb.mp4", "depth/000000.png", "imu.csv"],
        "ffmpeg",
    ),
    "arkitscenes": (
        [
            "40753679/lowres_wide.traj",
            "40753679/lowres_wide/40753679_6790.png",
            "40753679/lowres_depth/40753679_6790.png",
            "40753679/lowres_wide_intrinsics/40753679_6790.pincam",
        ],
        "cameo.json",
    ),
    "arkitscenes 3dod": (
        [
            "40753679/40753679_frames/lowres_wide.traj",
            "40753679/40753679_frames/lowres_depth/40753679_6790.png",
        ],
        "cameo.json",
    ),
    "3d scanner app": (["frame_00000.jpg", "frame_00000.json", "depth_00000.png"], "cameo.json"),
    "scannet": (["scene0000_00/scene0000_00.sens", "scene0000_00/scene0000_00.txt"], "reader.py"),
    "realsense": (["20240501_100000.bag"], "rs-convert"),
    "ros 2": (["metadata.yaml", "run_0.db3"], "rosbags"),
    "unfinished nerfstudio": (
        ["images/frame_00001.png", "images_2/frame_00001.png", "colmap/database.db"],
        "ns-process-data again",
    ),
    "own layout": (
        ["color/1.png", "depth/1.pgm", "track.txt"],
        "cameo-data inspect rgbd",
    ),
    "azure kinect": (["kitchen.mkv"], "azure_kinect_mkv_reader.py"),
    "video": (["IMG_0042.MOV"], "ns-process-data video"),
    "photographs": (["DSC_0001.JPG", "DSC_0002.JPG"], "colmap automatic_reconstructor"),
    "photographs in images": (["images/1.heic", "images/2.heic"], "colmap automatic_reconstructor"),
    "archive": (["scans.zip"], "unpack it"),
}


def write(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize("kind", FIXTURES)
def test_auto_names_the_capture_and_the_way_in(kind: str, tmp_path: Path) -> None:
    names, way = FIXTURES[kind]
    root = write(tmp_path / "capture", names)
    result = CliRunner().invoke(main, ["inspect", "auto", str(root)])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "looks like" in line
    assert "which no source reads as it is" in line
    assert way in line


def test_every_capture_has_a_fixture(tmp_path: Path) -> None:
    said = [
        advice(write(tmp_path / str(number), names))
        for number, (names, _) in enumerate(FIXTURES.values())
    ]
    for capture in CAPTURES:
        assert any(line is not None and capture.name in line for line in said), capture.name


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, ["scene0000_00.sens"])
    result = CliRunner().invoke(main, ["inspect", "auto", str(tmp_path / "scene0000_00.sens")])
    assert result.exit_code == 1
    assert "ScanNet's packed recording" in result.stderr


def test_commands_of_ours_in_the_advice_exist() -> None:
    for capture in CAPTURES:
        for source in re.findall(r"cameo-data inspect (\w+)", capture.way):
            assert source in source_names()


def test_the_way_in_of_an_own_layout_works(tmp_path: Path) -> None:
    root = recordings.write_dvmvs(tmp_path / "rec")
    (root / "images").rename(root / "color")  # as no layout has it
    (root / "K.txt").unlink()
    line = advice(root)
    assert line is not None
    command = line[line.index("cameo-data inspect rgbd") : line.index(" (`cameo-data sources")]
    command = command.replace("fx,fy,cx,cy", recordings.INTRINSICS)
    result = CliRunner().invoke(main, [*shlex.split(command)[1:], "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames_found"] == 3


def test_what_nobody_knows_is_said_as_before(tmp_path: Path) -> None:
    write(tmp_path, ["notes.txt"])
    result = CliRunner().invoke(main, ["inspect", "auto", str(tmp_path)])
    assert "looks like none of" in result.stderr


def test_the_way_in_of_stray_scanner_works(tmp_path: Path) -> None:
    root = write(tmp_path / "stray", FIXTURES["stray scanner"][0])
    (root / "camera_matrix.csv").write_text("64.0, 0.0, 31.5\n0.0, 64.0, 23.5\n0.0, 0.0, 1.0\n")
    rows = ["timestamp, frame, x, y, z, qx, qy, qz, qw"]
    rows += [f"{i / 60:.6f}, {i:06d}, {i}.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0" for i in range(3)]
    (root / "odometry.csv").write_text("\n".join(rows))
    line = advice(root)
    assert line is not None
    (root / "rgb").mkdir()
    for i in range(3):  # what ffmpeg writes; depth is a quarter of its size, in millimetres
        cv2.imwrite(str(root / f"rgb/{i:06d}.png"), np.full((48, 64, 3), 90, np.uint8))
        cv2.imwrite(str(root / f"depth/{i:06d}.png"), np.full((12, 16), 2000, np.uint16))
    command = shlex.split(line[line.index("cameo-data inspect rgbd") :])
    result = CliRunner().invoke(main, [*command[1:], "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["frames_found"], found["failures"]) == (3, 0)
