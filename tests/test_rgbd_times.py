"""Units of time: told from size and spacing, or asked for; the limits stay seconds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rgbd_recordings as recordings
from rgbd_recordings import HW, INTRINSICS

from cameo_data.errors import DataError
from cameo_data.sources import open_source
from cameo_data.sources.rgbd.times import UNITS, Clock, common_unit
from cameo_data.types import Scene

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
STARTS_NS = {"since 1970": 1403715529112143517, "since switched on": 81_234_567_890_123, "zero": 0}
PICTURES, EVERY_NS, POSES_EVERY_NS = 6, 33_000_000, 11_300_000
BASE: dict[str, Any] = {
    "color": "color/*.png",
    "depth": "depth/*.png",
    "poses": "gt.csv",
    "pose_columns": "t tx ty tz qw qx qy qz",
    "pair_by": "time",
    "intrinsics": INTRINSICS,
}


def text(time_ns: int, unit: str) -> str:
    """A time in a unit, with as many digits as nanoseconds have."""
    whole, rest = divmod(time_ns, 10**9 // TICKS[unit])
    digits = 9 - len(str(TICKS[unit])) + 1
    return str(whole) if digits == 0 else f"{whole}.{rest:0{digits}d}"


def write(
    folder: Path, unit: str, start_ns: int = STARTS_NS["zero"], poses_in: str | None = None
) -> Path:
    """A camera that moves 1 m/s to the right; poses at other instants than pictures."""
    for i in range(PICTURES):
        name = text(start_ns + (i + 1) * EVERY_NS, unit)
        recordings.save(folder / f"color/{name}.png", np.full((*HW, 3), 80 + i, np.uint8))
        recordings.save(folder / f"depth/{name}.png", np.full(HW, 1000, np.uint16))
    rows = ["#timestamp, p_x, p_y, p_z, q_w, q_x, q_y, q_z"]
    for k in range(0, (PICTURES + 2) * EVERY_NS, POSES_EVERY_NS):
        rows.append(f"{text(start_ns + k, poses_in or unit)},{k / 1e9!r},0,0,1,0,0,0")
    (folder / "gt.csv").write_text("\n".join(rows) + "\n")
    return folder


def read(folder: Path, **options: Any) -> Scene:
    return open_source("rgbd", folder, {**BASE, **options}).scene(folder.name)


def error_in_mm(scene: Scene) -> float:
    centres = np.array([frame.camera.world_from_cam[0, 3] for frame in scene.frames])
    return float(1000 * np.abs(centres - 0.033 * np.arange(1, PICTURES + 1)).max())


@pytest.mark.parametrize("start", STARTS_NS)
@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_told_and_poses_are_interpolated(
    unit: str, start: str, tmp_path: Path
) -> None:
    scene = read(write(tmp_path / "rec", unit, STARTS_NS[start]))
    assert len(scene.frames) == PICTURES
    assert error_in_mm(scene) < 0.01
    expected = STARTS_NS[start] / 1e9 + 0.033
    assert scene.frames[0].timestamp == pytest.approx(expected, abs=1e-6)
    words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    said = [f"times are in {words[unit]}, as their size and spacing say (time_unit={unit})"]
    assert list(scene.notes) == ([] if unit == "s" else said)


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_that_is_given_holds(unit: str, tmp_path: Path) -> None:
    scene = read(write(tmp_path / "rec", unit), time_unit=unit)
    assert error_in_mm(scene) < 0.01
    assert not scene.notes


def test_two_clocks_in_different_units_are_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "rec", "ns", STARTS_NS["since 1970"], poses_in="s")
    with pytest.raises(DataError) as caught:
        read(folder)
    message = str(caught.value)
    assert "names of color/*.png in nanoseconds (from 1.4037" in message
    assert "gt.csv in seconds (from 1403715529.11" in message
    assert "write all of them in one unit" in message
    again = write(tmp_path / "rec2", "ns", STARTS_NS["since 1970"], poses_in="ns")  # the remedy
    assert error_in_mm(read(again)) < 0.01


def test_where_a_unit_cannot_be_told_it_is_asked_for(tmp_path: Path) -> None:
    """5 apart: pictures every 5 ms, or every 5 s."""
    folder = tmp_path / "rec"
    rows = []
    for i in range(5):
        recordings.save(folder / f"color/{5 * i}.png", np.full((*HW, 3), 80, np.uint8))
        recordings.save(folder / f"depth/{5 * i}.png", np.full(HW, 1000, np.uint16))
        rows.append(f"{5 * i + 1},{i},0,0,1,0,0,0")
    (folder / "gt.csv").write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        read(folder)
    assert "names of color/*.png may be in seconds or milliseconds (from 0, 5 apart)" in str(
        caught.value
    )
    remedies = re.findall(r"time_unit=(\w+)", caught.value.failure.remedy)
    assert remedies == ["s", "ms"]
    found = {unit: len(read(folder, time_unit=unit).frames) for unit in remedies}
    assert found == {"s": 0, "ms": 5}  # 1 s is too far away, 1 ms is not
    text = (folder / "gt.csv").read_text()
    (folder / "gt.csv").write_text(re.sub(r"(?m)^(\d+)", lambda m: str(int(m[1]) - 1), text))
    scene = read(folder)  # each picture has its pose: no unit is needed
    assert [frame.camera.world_from_cam[0, 3] for frame in scene.frames] == [0, 1, 2, 3, 4]


def test_a_pose_too_far_away_says_how_far_and_the_remedy_takes_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "rec", "ns", STARTS_NS["since 1970"])
    lines = (folder / "gt.csv").read_text().splitlines()
    (folder / "gt.csv").write_text("\n".join(lines[:15]))  # the last pictures have no pose
    scene = read(folder)
    assert scene.failures
    failure = scene.failures[-1]
    assert "s; the nearest is 0.0" in failure.message
    found = re.search(r"give max_time_difference=([\d.]+) to take the nearest", failure.remedy)
    assert found is not None
    taken = read(folder, max_time_difference=found[1])
    assert len(taken.frames) == PICTURES
    assert not taken.failures
    # raising it does not turn interpolation off where poses are near
    assert abs(taken.frames[0].camera.world_from_cam[0, 3] - 0.033) < 1e-5


def test_a_depth_too_far_away_says_how_far_and_the_remedy_takes_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "rec", "us")
    path = sorted((folder / "depth").iterdir())[-1]
    path.rename(path.with_name(f"{int(float(path.stem)) + 30000}.png"))  # 30 ms later
    failure = read(folder).failures[0]
    found = re.search(r"give max_time_difference=([\d.]+) to take the nearest", failure.remedy)
    assert found is not None
    assert found[1] == "0.0301"
    assert len(read(folder, max_time_difference=found[1]).frames) == PICTURES


def test_clocks_that_do_not_meet_are_not_asked_to_reach(tmp_path: Path) -> None:
    folder = write(tmp_path / "rec", "s")
    rows = (folder / "gt.csv").read_text().splitlines()
    shifted = [f"{100 + float(row.split(',', 1)[0])},{row.split(',', 1)[1]}" for row in rows[1:]]
    (folder / "gt.csv").write_text("\n".join(shifted))
    failure = read(folder).failures[0]
    assert "check that both clocks count from the same start" in failure.remedy
    write(tmp_path / "rec2", "s")  # the remedy: poses counted from the pictures' start
    assert len(read(tmp_path / "rec2").frames) == PICTURES


@pytest.mark.parametrize(
    ("clocks", "unit"),
    [
        ([np.arange(10)], "s"),  # numbers of frames
        ([np.arange(0, 100, 10), np.arange(100)], "s"),  # every tenth of them
        ([1305031102.0 + np.arange(10) / 30], "s"),
        ([np.arange(10) * 33.4, np.arange(40) * 10.0], "ms"),  # 10 may be 10 s or 10 ms
        ([1714557600.0 + 5 * np.arange(10)], "s"),  # a time lapse
        ([np.arange(5) * 30.0, np.arange(2000) * 0.1], "s"),  # few pictures among many poses
        ([np.array([1714557600123.0])], "ms"),  # one picture
        ([], "s"),
    ],
)
def test_units_of_clocks(clocks: list[Any], unit: str) -> None:
    assert common_unit([Clock(f"clock {i}", c * 1.0) for i, c in enumerate(clocks)]) == unit
