"""Every misfit of a recording is one counted failure with a message; the other frames stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rgbd_recordings as recordings
from rgbd_recordings import HW, OPTIONS_7SCENES, collect

from cameo_data.errors import DataError, Reason
from cameo_data.sources import open_source

NAME = "frame-000001"


def remove(suffix: str) -> Callable[[Path], None]:
    return lambda folder: (folder / f"{NAME}.{suffix}").unlink()


def cut(suffix: str, keep: float) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / f"{NAME}.{suffix}"
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])

    return act


def replace(suffix: str, data: bytes) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / f"{NAME}.{suffix}").write_bytes(data)

    return act


def image(suffix: str, pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: recordings.save(folder / f"{NAME}.{suffix}", pixels)


def pose(matrix: np.ndarray) -> Callable[[Path], None]:
    return replace("pose.txt", recordings.lines(matrix).encode())


def flip_byte(folder: Path) -> None:
    path = folder / f"{NAME}.depth.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def fifo(folder: Path) -> None:
    path = folder / f"{NAME}.color.png"
    path.unlink()
    os.mkfifo(path)


def duplicate(folder: Path) -> None:
    recordings.save(folder / f"{NAME}.color.jpg", np.zeros((*HW, 3), np.uint8))


NAN, SCALED, MIRRORED = np.eye(4), np.eye(4), np.diag([1.0, 1, -1, 1])
NAN[0, 0] = np.nan
SCALED[:3, :3] *= 1.1
INFINITE = np.full((4, 4), -np.inf)
GREY_8 = np.full(HW, 9, np.uint8)

CASES = {
    "missing depth": (remove("depth.png"), Reason.NO_DEPTH, "has no depth image"),
    "missing colour": (remove("color.png"), Reason.MISSING_FILE, "depth.png has no colour image"),
    "missing pose": (remove("pose.txt"), Reason.MISSING_FILE, "expected frame-000001.pose.txt"),
    "NaN pose": (pose(NAN), Reason.BAD_POSE, "matrix with NaN or infinite entries"),
    "infinite pose": (pose(INFINITE), Reason.BAD_POSE, "matrix with NaN or infinite entries"),
    "scaled pose": (pose(SCALED), Reason.BAD_POSE, "rotation times 1.1 (most frames times 1)"),
    "mirrored pose": (pose(MIRRORED), Reason.BAD_POSE, "reflection"),
    "short pose": (replace("pose.txt", b"1 2 3"), Reason.BAD_POSE, "has 3 numbers; expected 12"),
    "pose of words": (replace("pose.txt", b"a b c"), Reason.BAD_POSE, "could not convert"),
    "binary pose": (replace("pose.txt", b"\xff\xfe\x00"), Reason.BAD_METADATA, "is not text"),
    "empty pose": (replace("pose.txt", b""), Reason.BAD_METADATA, "holds 0 bytes"),
    "truncated colour": (cut("color.png", 0.6), Reason.UNREADABLE_IMAGE, "is cut short after"),
    "truncated depth": (cut("depth.png", 0.6), Reason.UNREADABLE_DEPTH, "is cut short after"),
    "colour cut in its header": (
        cut("color.png", 0.004),
        Reason.UNREADABLE_IMAGE,
        "is not an im",
    ),
    "damaged depth": (flip_byte, Reason.UNREADABLE_DEPTH, "checksum of chunk b'IDAT' differs"),
    "text as colour": (replace("color.png", b"hello"), Reason.UNREADABLE_IMAGE, "is not an im"),
    "empty colour file": (replace("color.png", b""), Reason.UNREADABLE_IMAGE, "holds 0 bytes"),
    "image bomb": (
        replace("color.png", recordings.png_that_claims((30000, 30000))),
        Reason.UNREADABLE_IMAGE,
        "expected at most 100000000 pixels",
    ),
    "image bomb of modest size": (
        replace("color.png", recordings.png_that_claims((10001, 10000))),
        Reason.UNREADABLE_IMAGE,
        "10001×10000 pixels (h×w); expected at most 100000000 pixels",
    ),
    "8-bit depth": (
        image("depth.png", GREY_8),
        Reason.UNREADABLE_DEPTH,
        "holds uint8 of shape 48×64; expected one channel of 16 bits",
    ),
    "coloured depth": (
        image("depth.png", np.ones((*HW, 3), np.uint16)),
        Reason.UNREADABLE_DEPTH,
        "holds uint16 of shape 48×64×3; expected one channel of 16 bits",
    ),
    "smaller colour": (
        image("color.png", np.zeros((24, 32, 3), np.uint8)),
        Reason.WRONG_SIZE,
        "frame-000001.color.png is 24×32; expected 48×64 (h×w)",
    ),
    "smaller depth": (
        image("depth.png", np.ones((24, 32), np.uint16)),
        Reason.WRONG_SIZE,
        "frame-000001.depth.png is 24×32; expected 48×64 (h×w)",
    ),
    "empty depth": (
        image("depth.png", np.zeros(HW, np.uint16)),
        Reason.EMPTY_DEPTH,
        "frame-000001.depth.png has no valid pixel in the file",
    ),
    "depth of the invalid value": (
        image("depth.png", np.full(HW, 65535, np.uint16)),
        Reason.EMPTY_DEPTH,
        "has no valid pixel in the file",
    ),
    "pipe instead of a file": (fifo, Reason.MISSING_FILE, "is not a regular file"),
    "two colour images": (duplicate, Reason.DUPLICATE_ID, "are both frame 000001"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_bad_frame_is_counted_and_the_rest_kept(case: str, tmp_path: Path) -> None:
    act, reason, fragment = CASES[case]
    folder = recordings.write_7scenes(tmp_path / "scène 1.0")
    act(folder)
    collected = collect(folder, OPTIONS_7SCENES)
    assert set(collected.views) == {"000000", "000002"}
    (failure,) = collected.failures.values()
    assert failure.frame_id == "000001"
    assert failure.reason == reason
    assert fragment in failure.message
    assert failure.message.startswith("rgbd scène 1.0 frame 000001: ")
    assert "\n" not in failure.message
    assert failure.message.count(";") >= 2  # found; expected; remedy


def test_unknown_camera_model_fails_the_scene_by_name(tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene")
    source = open_source("rgbd", folder, {**OPTIONS_7SCENES, "camera_model": "OMNIDIRECTIONAL"})
    with pytest.raises(DataError, match="camera model 'OMNIDIRECTIONAL'; expected") as caught:
        source.scene(source.scene_ids()[0])
    assert caught.value.failure.reason == Reason.UNKNOWN_CAMERA_MODEL


def test_slightly_skewed_rotation_is_cleaned(tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene")
    path = folder / f"{NAME}.pose.txt"
    skewed = np.loadtxt(path)
    skewed[0, 0] += 1e-3
    path.write_text(recordings.lines(skewed))
    camera = collect(folder, OPTIONS_7SCENES).views["000001"].camera
    rotation = camera.cam_from_world[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)


def test_scene_with_one_usable_view(tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene")
    for i in (0, 2):
        recordings.save(folder / f"frame-{i:06d}.depth.png", np.zeros(HW, np.uint16))
    collected = collect(folder, OPTIONS_7SCENES)
    assert set(collected.views) == {"000001"}
    assert len(collected.failures) == 2


def test_odd_first_frame_does_not_condemn_the_others(tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene", 5)
    recordings.save(folder / "frame-000000.color.png", np.zeros((20, 30, 3), np.uint8))
    collected = collect(folder, OPTIONS_7SCENES)
    assert set(collected.failures) == {"000000"}


def test_names_with_dots_spaces_and_other_letters(tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene")
    for suffix in ("color.png", "depth.png", "pose.txt"):
        (folder / f"{NAME}.{suffix}").rename(folder / f"frame-é 1.5 ü.{suffix}")
    assert set(collect(folder, OPTIONS_7SCENES).views) == {"000000", "000002", "é 1.5 ü"}


@pytest.mark.parametrize("raw", [b"frame-\xff", b"frame-a\nb"])
def test_names_that_are_no_text_are_refused(raw: bytes, tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene")
    for suffix in ("color.png", "depth.png", "pose.txt"):
        target = os.fsdecode(os.fsencode(folder) + b"/" + raw + b"." + suffix.encode())
        (folder / f"{NAME}.{suffix}").rename(target)
    collected = collect(folder, OPTIONS_7SCENES)
    (failure,) = collected.failures.values()
    assert failure.reason == Reason.BAD_NAME
    failure.message.encode()  # can be written


def test_truncated_jpeg(tmp_path: Path) -> None:
    folder = recordings.write_scannet(tmp_path / "scene")
    path = folder / "color/1.jpg"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 20])
    failure = collect(folder).failures["1"]
    assert failure.reason == Reason.UNREADABLE_IMAGE
    assert "1.jpg is cut short after" in failure.message


def test_jpeg_with_bytes_after_its_end_is_whole(tmp_path: Path) -> None:
    folder = recordings.write_scannet(tmp_path / "scene")
    path = folder / "color/1.jpg"
    path.write_bytes(path.read_bytes() + b"\0" * 16)
    assert not collect(folder).failures


def test_jpeg_with_fill_bytes_before_a_marker(tmp_path: Path) -> None:
    folder = recordings.write_scannet(tmp_path / "scene")
    path = folder / "color/1.jpg"
    data = path.read_bytes()
    whole = data[:2] + b"\xff\xff" + data[2:]
    path.write_bytes(whole)
    assert not collect(folder).failures
    path.write_bytes(whole[:-20])
    assert "is cut short" in collect(folder).failures["1"].message


SCENE_CASES = {
    "poses for other frames": (
        lambda folder: (folder / "images/00012.png").unlink(),
        "poses.txt has 3 poses for 2 colour images; expected one per image",
    ),
    "a row with too few numbers": (
        lambda folder: (folder / "poses.txt").write_text("1 2 3\n"),
        "poses.txt has line 1 with 3 words; expected a matrix of 12 or 16 numbers",
    ),
    "a row with a word": (
        lambda folder: (folder / "poses.txt").write_text("x " * 16 + "\n"),
        "poses.txt has line 1: could not convert",
    ),
    "no intrinsics": (
        lambda folder: (folder / "K.txt").write_text("1 2 3 4 5\n"),
        "intrinsics 'K.txt' hold 5 numbers; expected fx, fy, cx, cy or a 3×3 matrix",
    ),
    "singular intrinsics": (
        lambda folder: (folder / "K.txt").write_text("0 60 31 23\n"),
        "matrix with focal lengths 0, 60",
    ),
    "transposed intrinsics": (
        lambda folder: (folder / "K.txt").write_text("60 0 0\n0 60 0\n31 23 1\n"),
        "not upper triangular",
    ),
    "NaN intrinsics": (
        lambda folder: (folder / "K.txt").write_text("60 nan 31 23\n"),
        "matrix with NaN or infinite entries",
    ),
    "intrinsics of a larger image": (
        lambda folder: (folder / "K.txt").write_text("525 525 320 240\n"),
        "principal point (320.5, 240.5) is the middle of a picture of 640×480, the picture is",
    ),
    "a principal point outside": (
        lambda folder: (folder / "K.txt").write_text("60 60 20 200\n"),
        "principal point (20.5, 200.5) outside the 48×64 (h×w) image",
    ),
    "binary intrinsics": (
        lambda folder: (folder / "K.txt").write_bytes(b"\xff\xff"),
        "K.txt is not text (byte 0); expected UTF-8 text",
    ),
}


@pytest.mark.parametrize("case", SCENE_CASES)
def test_scene_that_cannot_be_read(case: str, tmp_path: Path) -> None:
    act, fragment = SCENE_CASES[case]
    folder = recordings.write_dvmvs(tmp_path / "000")
    act(folder)
    with pytest.raises(DataError) as error:
        open_source("rgbd", folder).scene("000")
    assert fragment in str(error.value)
    assert str(error.value).startswith("rgbd 000: ")
    assert "\n" not in str(error.value)


def test_bad_open3d_intrinsics(tmp_path: Path) -> None:
    folder = recordings.write_open3d(tmp_path / "scene")
    path = folder / "camera_intrinsic.json"
    for text, fragment in {
        "{": "camera_intrinsic.json holds no intrinsics (ValueError",
        "[1, 2]": "camera_intrinsic.json holds no intrinsics (TypeError",
        '{"intrinsic_matrix": [1, 2]}': "holds no intrinsics (ValueError",
        '{"fx": 60, "fy": 60, "cx": 31, "cy": 23, "width": 640, "height": 480}': (
            "is for 480×640 images, these are 48×64 (h×w)"
        ),
    }.items():
        path.write_text(text)
        with pytest.raises(DataError) as error:
            open_source("rgbd", folder).scene("scene")
        assert fragment in str(error.value)


def test_tum_index_may_not_leave_the_folder(tmp_path: Path) -> None:
    folder = recordings.write_tum(tmp_path / "scene")
    recordings.save(tmp_path / "secret.png", np.zeros((*HW, 3), np.uint8))
    for target in ("../secret.png", str(tmp_path / "secret.png")):
        text = (folder / "rgb.txt").read_text().splitlines()
        text[1] = f"1305031102.000000 {target}"
        (folder / "rgb.txt").write_text("\n".join(text))
        failure = collect(folder, {"intrinsics": recordings.INTRINSICS}).failures[
            "1305031102.000000"
        ]
        assert failure.reason == Reason.BAD_NAME


def test_tum_failures(tmp_path: Path) -> None:
    folder = recordings.write_tum(tmp_path / "scene", 5)
    index = (folder / "rgb.txt").read_text().splitlines()
    depth_index = (folder / "depth.txt").read_text().splitlines()
    poses = (folder / "groundtruth.txt").read_text().splitlines()
    depth_index[1] = depth_index[1].replace("02.005", "02.105")  # too late for its colour
    poses = [line for line in poses if not 1305031102.4 < _time(line) < 1305031102.6]
    (folder / "rgb" / "1305031103.000000.png").unlink()
    index.append(index[4])  # the same stamp twice
    (folder / "rgb.txt").write_text("\n".join(index))
    (folder / "depth.txt").write_text("\n".join(depth_index))
    (folder / "groundtruth.txt").write_text("\n".join(poses))
    scene = open_source("rgbd", folder, {"intrinsics": recordings.INTRINSICS}).scene("scene")
    found = {failure.message.split(": ")[0]: failure.reason for failure in scene.failures}
    assert found == {
        "rgbd scene frame 1305031102.000000": Reason.UNASSOCIATED,
        "rgbd scene frame depth 1305031102.105000": Reason.UNASSOCIATED,
        "rgbd scene frame 1305031102.500000": Reason.UNASSOCIATED,
        "rgbd scene frame 1305031103.000000": Reason.MISSING_FILE,
        "rgbd scene frame 1305031103.500000": Reason.DUPLICATE_ID,
    }
    assert [frame.frame_id for frame in scene.frames] == [
        "1305031103.500000",
        "1305031104.000000",
    ]


def _time(line: str) -> float:
    return 0.0 if line.startswith("#") else float(line.split()[0])


def test_depth_of_four_channels_is_refused(tmp_path: Path) -> None:
    folder = recordings.write_7scenes(tmp_path / "scene")
    written, data = cv2.imencode(".png", np.ones((*HW, 4), np.uint16))
    assert written
    (folder / f"{NAME}.depth.png").write_bytes(data.tobytes())
    failure = collect(folder, OPTIONS_7SCENES).failures["000001"]
    assert failure.reason == Reason.UNREADABLE_DEPTH
