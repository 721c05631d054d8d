"""Pose files and association of clocks."""

from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cameo_data import transforms
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import trajectories
from cameo_data.sources.rgbd.poses import interpolate

TUM = trajectories.parse_columns(trajectories.TUM_COLUMNS)


def test_rows_skip_comments_blank_lines_and_an_unmarked_header(tmp_path: Path) -> None:
    path = tmp_path / "groundtruth.txt"
    path.write_text("# made by hand\n\ntimestamp tx ty tz qx qy qz qw\n1.5 1 2 3 0 0 0 2\r\n")
    trajectory = trajectories.read_rows(path, TUM)
    assert trajectory.times is not None
    assert trajectory.times.tolist() == [1.5]
    np.testing.assert_array_equal(trajectory.matrices[0, :3, 3], [1, 2, 3])
    np.testing.assert_array_equal(trajectory.matrices[0, :3, :3], np.eye(3))


def test_a_quaternion_without_length_is_a_pose_of_nan(tmp_path: Path) -> None:
    path = tmp_path / "poses.txt"
    path.write_text("0 1 2 3 0 0 0 0\n1 1 2 3 nan 0 0 1\n2 1 2 3 0 0 0 1")
    matrices = trajectories.read_rows(path, TUM).matrices
    assert np.isnan(matrices[:2]).all()
    assert np.isfinite(matrices[2]).all()


def test_quaternion_order_against_a_known_turn(tmp_path: Path) -> None:
    """x → y about z by 90°: (0, 0, √½, √½)."""
    path = tmp_path / "poses.txt"
    path.write_text("0.70710678 0 0 0.70710678 0 0 0")
    columns = trajectories.parse_columns("qw qx qy qz tx ty tz")
    moved = transforms.apply(trajectories.read_rows(path, columns).matrices[0], (1, 0, 0))
    np.testing.assert_allclose(moved, (0, 1, 0), atol=1e-8)


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0", "has 4 lines; expected blocks of one line"),
        ("0 0 1\n" + "1 0 0\n" * 4, "a block at line 1 of another shape"),
        ("0 0 1\n" + "1 0 0 x\n" * 4, "line 1: could not convert"),
    ],
)
def test_broken_logs(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trajectory.log"
    path.write_text(text)
    with pytest.raises(FileDefect, match=message):
        trajectories.read_log(path)


@pytest.mark.parametrize("line", ["1.0", "x rgb/1.png", "nan rgb/1.png"])
def test_broken_index(line: str, tmp_path: Path) -> None:
    path = tmp_path / "rgb.txt"
    path.write_text(f"# ok\n1.0 rgb/1 0.png\n{line}\n")
    with pytest.raises(FileDefect, match=r"rgb\.txt has line 3"):
        trajectories.read_index(path)


def test_association_takes_the_smallest_differences_first() -> None:
    pairs = trajectories.associate(np.array([0.0, 1.0, 2.0]), np.array([0.9, 1.02, 5.0]), 0.5)
    assert pairs == [(1, 1)]  # 0.9 is nearest to 1.0 too, which is taken
    pairs = trajectories.associate(np.array([0.0, 1.0]), np.array([0.9, 1.2]), 1.0)
    assert pairs == [(1, 0)]  # 0.0 and 1.2 are too far apart


times = hnp.arrays(np.float64, st.integers(0, 12), elements=st.floats(0, 3, width=32))


@given(times, times, st.floats(0.01, 1))
def test_association_laws(times0: np.ndarray, times1: np.ndarray, limit: float) -> None:
    pairs = trajectories.associate(times0, times1, limit)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(abs(times0[i] - times1[j]) <= limit + 1e-12 for i, j in pairs)
    # nothing is left that could still be paired
    free0 = set(range(len(times0))) - {i for i, _ in pairs}
    free1 = set(range(len(times1))) - {j for _, j in pairs}
    assert all(abs(times0[i] - times1[j]) > limit - 1e-12 for i in free0 for j in free1)


def test_interpolation_is_straight_and_even() -> None:
    pose0, pose1 = np.eye(4), np.eye(4)
    pose1[:3, 3] = (1, 2, 3)
    pose1[:3, :3] = transforms.from_quaternion((0, 0, np.sin(0.3), np.cos(0.3)), (0, 0, 0))[:3, :3]
    between = interpolate(pose0, pose1, 0.25)
    np.testing.assert_allclose(between[:3, 3], (0.25, 0.5, 0.75))
    np.testing.assert_allclose(transforms.rotation_angle_deg(between), np.degrees(0.15))
    for share, end in ((0.0, pose0), (1.0, pose1)):
        np.testing.assert_allclose(interpolate(pose0, pose1, share), end, atol=1e-12)


@pytest.mark.realdata
def test_tum_association_is_that_of_its_own_tool(realdata: Path) -> None:
    """``rgb-depth-synced.txt`` is the output of the benchmark's associate.py on these files."""
    folder = realdata / "tum_fr1_xyz_index"
    rgb = trajectories.read_index(folder / "rgb.txt")
    depth = trajectories.read_index(folder / "depth.txt")
    pairs = trajectories.associate(
        np.array([e.time for e in rgb]), np.array([e.time for e in depth]), 0.02
    )
    ours = [(rgb[i].file, depth[j].file) for i, j in pairs]
    rows = [line.split() for line in (folder / "rgb-depth-synced.txt").read_text().splitlines()]
    assert ours == [(row[1], row[3]) for row in rows]
    assert len(trajectories.read_rows(folder / "groundtruth.txt", TUM).matrices) == 3000
