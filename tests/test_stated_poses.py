"""Poses that are equivalent to rigid ones are read as those; others are refused with a remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cameo_data import transforms
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.stated_poses import SCALE_TOLERANCE, Direction, StatedPoses

DIRECTIONS: tuple[Direction, ...] = ("world_from_cam", "cam_from_world")
seeds = st.integers(0, 10_000)
# a scale that is within the tolerance of 1 is drift, and stays in the camera's position
scales = st.floats(1e-3, 1e3).filter(lambda s: s == 1 or abs(s - 1) > SCALE_TOLERANCE)


def rigid(seed: int, count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    out = []
    for rotation in Rotation.random(count, rng=rng).as_matrix():
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, rng.normal(size=3)
        out.append(pose)
    return out


def directions_seen(world_from_cam: np.ndarray, p_world: np.ndarray) -> np.ndarray:
    """Unit vectors in the camera's axes under which points are seen: all that pixels depend on."""
    p_cam = np.linalg.inv(world_from_cam) @ np.append(p_world, 1)
    p_cam = p_cam[:3] / p_cam[3]
    seen: np.ndarray = p_cam / np.linalg.norm(p_cam)
    return seen


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(seed=seeds, scale=scales, last=st.sampled_from([1.0, -1.0, 0.1, 40.0]))
def test_equivalent_poses_see_every_point_where_the_stated_ones_do(
    direction: Direction, seed: int, scale: float, last: float
) -> None:
    stated = [pose @ np.diag([scale, scale, scale, 1]) for pose in rigid(seed)]
    if direction == "cam_from_world":
        stated = [np.linalg.inv(pose) for pose in stated]
    stated = [last * pose for pose in stated]
    poses = StatedPoses.of(stated, direction, "pose")
    p_world = np.random.default_rng(seed).normal(size=3)
    for matrix in stated:
        found = poses.rigid(matrix.tolist())
        assert transforms.rotation_defect(found) is None
        if direction == "cam_from_world":
            matrix, found = np.linalg.inv(matrix), transforms.invert(found)
        np.testing.assert_allclose(
            directions_seen(found, p_world), directions_seen(matrix, p_world), atol=1e-6
        )


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_was_done_is_noted_once(direction: Direction) -> None:
    stated = [2.0 * pose for pose in rigid(1)]  # homogeneous: the rotation is not scaled
    poses = StatedPoses.of(stated, direction, "pose")
    for matrix, truth in zip(stated, rigid(1), strict=True):
        np.testing.assert_allclose(poses.rigid(matrix), truth, atol=1e-12)
    (note,) = poses.notes
    assert note.startswith("pose: 3 matrices with a last row other than 0 0 0 1")
    scaled = [pose @ np.diag([2.5, 2.5, 2.5, 1]) for pose in rigid(1)]
    poses = StatedPoses.of(scaled, "world_from_cam", "transform_matrix")
    for matrix, truth in zip(scaled, rigid(1), strict=True):
        np.testing.assert_allclose(poses.rigid(matrix), truth, atol=1e-12)
    (note,) = poses.notes
    assert "of 3 frames are multiplied by 2.5" in note
    assert "multiply depth_scale by 2.5" in note


def test_rigid_poses_stay_as_they_are_and_nothing_is_noted() -> None:
    poses = StatedPoses.of(rigid(2), "cam_from_world", "pose")
    for pose in rigid(2):
        np.testing.assert_allclose(poses.rigid(pose[:3].tolist()), pose, atol=1e-12)
    assert poses.notes == ()


def refused(poses: StatedPoses, matrix: Any) -> FileDefect:
    with pytest.raises(FileDefect) as caught:
        poses.rigid(matrix)
    return caught.value


def test_one_frame_of_another_scale_is_refused_and_its_remedy_works() -> None:
    truth = rigid(3, 4)
    stated = [pose @ np.diag([2.0, 2, 2, 1]) for pose in truth]
    stated[1] = truth[1] @ np.diag([6.0, 6, 6, 1])
    poses = StatedPoses.of(stated, "world_from_cam", "pose")
    defect = refused(poses, stated[1])
    assert "rotation times 6 (most frames times 2)" in defect.found
    assert "divide the first three columns by 3" in defect.remedy
    stated[1][:, :3] /= 3
    np.testing.assert_allclose(poses.rigid(stated[1]), truth[1], atol=1e-12)


def test_factors_of_which_no_two_agree_are_refused_and_the_remedy_works() -> None:
    truth = rigid(4, 4)
    factors = (2.0, 3, 5, 7)
    stated = [np.diag([s, s, s, 1.0]) @ pose for s, pose in zip(factors, truth, strict=True)]
    poses = StatedPoses.of(stated, "cam_from_world", "pose")
    for matrix, factor in zip(stated, factors, strict=True):
        defect = refused(poses, matrix)
        assert f"rotation times {factor:g} (most frames share no factor)" in defect.found
        assert f"divide the first three rows by {factor:g}" in defect.remedy
        matrix[:3] /= factor
    for matrix, pose in zip(stated, truth, strict=True):
        # as a camera of that centre: the rows' last numbers are divided too
        found = StatedPoses.of(stated, "cam_from_world", "pose").rigid(matrix)
        np.testing.assert_allclose(found[:3, :3], pose[:3, :3], atol=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_scales_that_differ_along_the_axes_are_refused_and_the_remedy_works(
    direction: Direction,
) -> None:
    truth = rigid(5)[0]
    stretched = truth @ np.diag([1.0, 2, 3, 1])
    if direction == "cam_from_world":
        truth, stretched = np.linalg.inv(truth), np.linalg.inv(stretched)
    poses = StatedPoses.of([truth, truth, stretched], direction, "pose")
    defect = refused(poses, stretched)
    if direction == "world_from_cam":
        assert "columns are multiplied by 1, 2, 3" in defect.found
        assert "divide each of the first three columns by its length" in defect.remedy
        stretched[:, :3] /= np.linalg.norm(stretched[:, :3], axis=0)
    else:
        assert "divide each of the first three rows by the length of its first three" in (
            defect.remedy
        )
        stretched[:3] /= np.linalg.norm(stretched[:3, :3], axis=1, keepdims=True)
    np.testing.assert_allclose(poses.rigid(stretched), truth, atol=1e-12)


@pytest.mark.parametrize(
    "matrix, found",
    [
        (np.diag([1.0, 1, -1, 1]), "reflection"),
        (np.array([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "not a rotation"),
        (np.full((4, 4), np.nan), "NaN or infinite"),
        (np.eye(4) + np.eye(4)[::-1] * 0.5, "last row"),
        (np.zeros((4, 4)), "last row"),
        (np.eye(3), "shape (3, 3)"),
        ([[1, 2], [3]], "not a matrix of numbers"),
        ("text", "not a matrix of numbers"),
        ((1e200 * np.ones((3, 4))).tolist(), "not a rotation"),
    ],
)
def test_what_is_no_pose_is_refused(matrix: Any, found: str) -> None:
    assert found in refused(StatedPoses.of([matrix], "world_from_cam", "pose"), matrix).found
