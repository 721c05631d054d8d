"""Every usual mistake, planted in a recording, is named, and what it says to apply mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from check_recordings import (
    DEPTH_UNIT,
    HW,
    K,
    Plant,
    Written,
    checked,
    ray_length,
    right,
    shoot,
    shots,
    stored,
    with_depths,
    with_poses,
    write,
)

from cameo_data import transforms
from cameo_data.transforms import OPENCV_FROM_OPENGL
from cameo_data.types import Camera


def sun_bits(millimetres: np.ndarray) -> np.ndarray:
    v = millimetres.astype(np.uint16)
    return (v << 3) | (v >> 13)


def in_unit(unit: float) -> Plant:
    return lambda w: replace(w, stored=tuple(stored(s.z, unit) for s in shots()))


def rotated_bits(w: Written) -> Written:
    bits = tuple(sun_bits(stored(shot.z, 0.001)) for shot in shots())
    return replace(w, stored=bits, options={**w.options, "depth_scale": "0.001"})


def float16_bits(w: Written) -> Written:
    """Metres as float16 in a PNG, as CO3D stores them, read as integers."""
    bits = tuple(shot.z.astype(np.float16).view(np.uint16) for shot in shots())
    return replace(w, stored=bits, options={**w.options, "depth_scale": "1"})


def of_another_size(w: Written) -> Written:
    """K of pictures half as large; ``rgbd`` itself refuses one whose centre is the very middle."""
    K_true = K + np.array([[0, 0, 9.0], [0, 0, -7.0], [0, 0, 0]])
    taken = [shoot(Camera(K_true, HW, shot.camera.cam_from_world)) for shot in shots()]
    return replace(
        w,
        K=np.diag([0.5, 0.5, 1.0]) @ K_true,
        rgb=tuple(s.rgb for s in taken),
        stored=tuple(stored(s.z) for s in taken),
    )


def stretched_assumed(w: Written) -> Written:
    """As RealEstate10K's normalised K gives for a 16:9 film in a 4:3 image, which was a crop."""
    K_wrong = w.K.copy()
    K_wrong[0, 0] *= (4 / 3) / (16 / 9)
    return replace(w, K=K_wrong)


def crop_assumed(w: Written) -> Written:
    """Pictures squeezed from 16:9 to 4:3, read with square pixels."""
    K_true = np.array([[170.0 * (4 / 3) / (16 / 9), 0, 100], [0, 170.0, 75], [0, 0, 1]])
    taken = [shoot(Camera(K_true, HW, shot.camera.cam_from_world)) for shot in shots()]
    return replace(w, rgb=tuple(s.rgb for s in taken), stored=tuple(stored(s.z) for s in taken))


def shifted_poses(by: int) -> Plant:
    def plant(w: Written) -> Written:
        return replace(w, poses=tuple(np.roll(w.poses, by, axis=0)))

    return plant


# a colour camera of 0.9 times the focal length, 50 mm to the right of the depth camera
COLOR_FROM_DEPTH = np.eye(4)
COLOR_FROM_DEPTH[0, 3] = -0.05
COLOUR_K = K * np.array([[0.9, 1, 1], [1, 0.9, 1], [1, 1, 1]])


def other_colour_camera(w: Written) -> Written:
    taken = [
        shoot(Camera(COLOUR_K, HW, COLOR_FROM_DEPTH @ shot.camera.cam_from_world))
        for shot in shots()
    ]
    return replace(w, rgb=tuple(shot.rgb for shot in taken))


PLANTS: dict[str, tuple[Plant, list[str], dict[str, str] | None]] = {
    "poses": (
        with_poses(transforms.invert),
        ["poses_inverted"],
        {"pose_direction": "cam_from_world"},
    ),
    "axes": (
        with_poses(lambda m: m @ OPENCV_FROM_OPENGL),
        ["opengl_axes"],
        {"pose_axes": "opengl"},
    ),
    "poses and axes": (
        with_poses(lambda m: transforms.invert(m @ OPENCV_FROM_OPENGL)),
        ["poses_inverted_opengl_axes"],
        {"pose_direction": "cam_from_world", "pose_axes": "opengl"},
    ),
    "ray": (with_depths(lambda d: d * ray_length()), ["depth_along_ray"], None),
    "no ray": (with_depths(lambda d: d / ray_length()), ["depth_not_along_ray"], None),
    "unit": (in_unit(0.001), ["depth_scale"], {"depth_scale": "0.001"}),
    "TUM's unit": (in_unit(0.0002), ["depth_scale"], {"depth_scale": "0.0002"}),
    "bits": (rotated_bits, ["depth_codec"], {"depth_codec": "sun_rotated"}),
    "bytes": (
        with_depths(lambda d: d.byteswap()),
        ["depth_codec"],
        {"depth_codec": "uint16_swapped"},
    ),
    "bits in another unit": (
        lambda w: replace(rotated_bits(w), options=w.options),
        ["depth_codec"],
        {"depth_codec": "sun_rotated", "depth_scale": "0.001"},
    ),
    "float16 read as integers": (
        float16_bits,
        ["depth_codec"],
        {"depth_codec": "float16_png"},
    ),
    "float16 in another unit": (
        lambda w: replace(float16_bits(w), options=w.options),
        ["depth_codec"],
        {"depth_codec": "float16_png", "depth_scale": "1"},
    ),
    "integers read as float16": (
        lambda w: replace(w, options={**w.options, "depth_codec": "float16_png"}),
        ["depth_codec"],
        {"depth_codec": "uint16"},
    ),
    "half a pixel": (
        lambda w: replace(w, K=w.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]),
        ["half_pixel"],
        {"pixel_center": "integer"},
    ),
    "half a pixel too much": (
        lambda w: replace(w, options={**w.options, "pixel_center": "integer"}),
        ["half_pixel"],
        {"pixel_center": "half"},
    ),
    "size": (of_another_size, ["intrinsics_size"], {"intrinsics_size": "100x75"}),
    "crop": (stretched_assumed, ["frames_cropped"], {"intrinsics": "170,170,100,75"}),
    "stretch": (crop_assumed, ["frames_stretched"], {"intrinsics": "127.5,170,100,75"}),
    "late by one": (shifted_poses(1), ["trajectory_offset"], None),
    "early by one": (shifted_poses(-1), ["trajectory_offset"], None),
    "poses and unit": (
        lambda w: in_unit(0.001)(with_poses(transforms.invert)(w)),
        ["poses_inverted", "depth_scale"],
        {"pose_direction": "cam_from_world", "depth_scale": "0.001"},
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_mistake_is_named_and_mended(plant: str, tmp_path: Path) -> None:
    make, names, fix = PLANTS[plant]
    options = write(tmp_path / "scene", make(right()))
    check, found, given = checked(tmp_path / "scene", options)
    assert check.verdict == "inconsistent"
    assert sorted(found) == sorted(names)
    assert given == (fix or {})
    if fix is not None:
        mended, still, _ = checked(tmp_path / "scene", {**options, **given})
        assert (mended.verdict, still) == ("consistent", [])


def test_a_right_reading_is_not_blamed(tmp_path: Path) -> None:
    check, found, _ = checked(tmp_path / "scene", write(tmp_path / "scene", right()))
    assert (check.verdict, found, check.complaints) == ("consistent", [], ())
    assert check.figures is not None
    assert check.figures.depth_within is not None
    assert check.figures.depth_within[0] > 0.8
    assert check.figures.epipolar_px is not None
    assert check.figures.epipolar_px < 0.3


def test_an_offset_says_which_way(tmp_path: Path) -> None:
    for by, way in ((1, 1), (-1, -1)):
        options = write(tmp_path / f"scene{by}", shifted_poses(by)(right()))
        check, _, _ = checked(tmp_path / f"scene{by}", options)
        assert check.mistakes[0].values == {"offset": way}


def test_colour_of_another_camera(tmp_path: Path) -> None:
    options = write(tmp_path / "scene", other_colour_camera(right()))
    check, found, given = checked(tmp_path / "scene", options)
    assert found == ["colour_not_registered"]
    assert check.mistakes[0].values["focal_ratio"] == pytest.approx(0.9, abs=0.02)
    assert check.mistakes[0].values["offset"] == pytest.approx(-0.05, abs=0.015)
    assert check.figures is not None
    assert check.figures.depth_within is not None
    assert check.figures.depth_within[1] > 0.9  # depth alone would have passed
    mended, still, _ = checked(tmp_path / "scene", {**options, **given})
    assert (mended.verdict, still) == ("consistent", [])


def test_a_rectified_rig_with_its_baseline_turned(tmp_path: Path) -> None:
    rig = right(shots("sideways"))
    options = write(tmp_path / "right", rig)
    assert checked(tmp_path / "right", options)[:2][1] == []

    def turned(pose: np.ndarray) -> np.ndarray:
        pose = pose.copy()
        pose[:3, 3] *= -1
        return pose

    options = write(tmp_path / "turned", with_poses(turned)(rig))
    _, found, _ = checked(tmp_path / "turned", options)
    assert found == ["disparity_direction"]


def test_a_loose_tolerance_does_not_catch_an_inverted_pose(tmp_path: Path) -> None:
    """A camera that turns and steps a little before a far wall: 10 % holds whatever the poses."""
    from cameo_data.check.measure import TOLERANCES

    poses = []
    for i in range(6):
        eye = (0.02 * i, -0.4 + 0.01 * i, 0.2)
        poses.append(transforms.look_at(eye, (-0.4 + 0.12 * i, 4.0, 0.1 * i)))
    taken = [shoot(Camera(K, HW, pose)) for pose in poses]
    inverted = with_poses(transforms.invert)(right(taken))
    check, found, _ = checked(tmp_path / "scene", write(tmp_path / "scene", inverted))
    assert found == ["poses_inverted"]
    assert check.figures is not None
    assert check.figures.depth_within is not None
    assert dict(zip(TOLERANCES, check.figures.depth_within, strict=True))[0.10] > 0.6


def test_units_are_not_blamed_within_calibration(tmp_path: Path) -> None:
    """Depth 2 % long is a sensor's calibration, not a unit."""
    options = write(tmp_path / "scene", right())
    options["depth_scale"] = str(1.02 * DEPTH_UNIT)
    _, found, _ = checked(tmp_path / "scene", options)
    assert found == []
