"""The pose of each frame, from one file per frame or one for all, as ``world_from_cam``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import trajectories
from cameo_data.sources.common.file_listing import Listed, list_files
from cameo_data.sources.common.stated_poses import StatedPoses
from cameo_data.sources.common.trajectories import Trajectory
from cameo_data.sources.rgbd.names import said, same_numbers
from cameo_data.sources.rgbd.options import Recording
from cameo_data.sources.rgbd.pairs import Candidate, alone, key_of, renamed, time_of
from cameo_data.types import FloatArray

# Poses further apart than this are not interpolated, the nearer one is taken: in 0.1 s a hand-held
# camera still moves evenly, and motion capture (100 Hz) and odometry (30 Hz) are denser.
MAX_INTERPOLATION_S = 0.1

# Pose files read to learn a scale that all poses of a scene share.
_PROBES = 9

PoseOf = Callable[[Candidate], FloatArray]


@dataclass(frozen=True, eq=False)
class Poses:
    """The poses of a recording, by candidate.

    Attributes:
        pose_of: looks up a candidate's ``world_from_cam`` (4, 4), OpenCV axes, exactly rigid;
            raises FileDefect where the frame has no pose or no rigid one.
        files: pose files, where each frame has its own, by their frames' names.
        rows_alone: names of rows that belong to no candidate. Poses by time form a curve, so
            none is left over.
        notes: how poses were matched where that is not as written.
        stated: what was done to the poses looked up so far, for a note once all are.
    """

    pose_of: PoseOf
    files: Sequence[Listed] = ()
    rows_alone: tuple[str, ...] = ()
    notes: Sequence[str] = ()
    stated: StatedPoses | None = None


def read_poses(folder: Path, recording: Recording) -> Trajectory | None:
    """The file of all poses, or None where each frame has a file of its own.

    Raises:
        FileDefect: no pose file, or an unreadable one.
    """
    if "*" in recording.poses:
        return None
    path = files.inside(folder, folder / recording.poses)
    if recording.pose_columns == "log":
        return trajectories.read_log(path)
    return trajectories.read_rows(path, trajectories.parse_columns(recording.pose_columns))


def open_poses(
    folder: Path,
    recording: Recording,
    trajectory: Trajectory | None,
    candidates: Sequence[Candidate],
    seconds: float = 1.0,
) -> Poses:
    """The poses that a recording's files state.

    Args:
        trajectory: the file of all poses, or None where each frame has its own.
        seconds: the unit of its times and of those in files' names.

    Raises:
        FileDefect: rows that cannot be told apart.
    """
    path = folder / recording.poses
    if trajectory is None:
        found = _per_frame(folder, recording, candidates)
    elif trajectory.times is not None:
        stated = _stated(recording, trajectory.matrices)
        by_time = _by_time(path, trajectory, trajectory.times, recording, seconds, stated)
        return Poses(by_time, stated=stated)
    elif trajectory.names is not None:
        found = _by_name(path, trajectory, trajectory.names, candidates)
    else:
        found = Poses(_by_order(path, trajectory, candidates))
    written = found.pose_of
    if trajectory is None:
        probes = candidates[:: max(1, len(candidates) // _PROBES)]
        stated = _stated(recording, _readable(written, probes))
    else:
        stated = _stated(recording, trajectory.matrices)
    return replace(
        found,
        pose_of=lambda one: to_world_from_cam(written(one), recording, stated),
        stated=stated,
    )


def _stated(recording: Recording, matrices: Iterable[FloatArray]) -> StatedPoses:
    return StatedPoses.of(matrices, recording.pose_direction, "the pose")


def _readable(written: PoseOf, candidates: Sequence[Candidate]) -> Iterator[FloatArray]:
    for candidate in candidates:
        try:
            if candidate.color is not None:
                yield written(candidate)
        except FileDefect:  # raised again, and counted, when the frame is read
            continue


def to_world_from_cam(matrix: FloatArray, recording: Recording, stated: StatedPoses) -> FloatArray:
    """``world_from_cam`` in OpenCV axes from a pose as written.

    Raises:
        FileDefect: it is neither a rigid transform nor equivalent to one.
    """
    try:
        pose = stated.rigid(matrix)
    except FileDefect as defect:
        raise FileDefect(
            defect.reason, defect.found, defect.expected, f"{defect.remedy}, or check pose_columns"
        ) from None
    if recording.pose_direction == "cam_from_world":
        pose = transforms.invert(pose)
    if recording.pose_axes == "opengl":
        pose = pose @ transforms.OPENCV_FROM_OPENGL  # its own inverse
    return pose


def _per_frame(folder: Path, recording: Recording, candidates: Sequence[Candidate]) -> Poses:
    key = key_of(recording)
    listing = list_files(folder, recording.poses)
    notes: list[str] = []
    if recording.pair_by == "name":
        colors = [candidate.color for candidate in candidates if candidate.color is not None]
        listing, notes = renamed(colors, listing, "pose files")
    paths = {key(listed): listed.path for listed in listing}

    def pose_of(candidate: Candidate) -> FloatArray:
        path = paths.get(key(_color(candidate)))
        if path is None:
            expected = recording.poses.replace("*", candidate.frame_id)
            raise _missing("no pose file for the frame", expected)
        return trajectories.read_matrix(files.inside(folder, path))

    return Poses(pose_of, files=listing, notes=notes)


def _by_name(
    path: Path, trajectory: Trajectory, names: tuple[str, ...], candidates: Sequence[Candidate]
) -> Poses:
    rows = {name: i for i, name in enumerate(names)}
    if len(rows) < len(names):
        twice = next(name for i, name in enumerate(names) if rows[name] != i)
        raise FileDefect(
            Reason.DUPLICATE_ID,
            f"{path.name} has frame {twice} twice",
            "one pose per frame",
            "remove the one that is not meant",
        )

    colors = [candidate for candidate in candidates if candidate.color is not None]
    unnamed = [c for c in colors if rows.keys().isdisjoint(_spellings(c))]
    numbers = same_numbers([candidate.frame_id for candidate in unnamed], names)

    def pose_of(candidate: Candidate) -> FloatArray:
        for name in (*_spellings(candidate), numbers.get(candidate.frame_id)):
            if name is not None and name in rows:
                pose: FloatArray = trajectory.matrices[rows[name]]
                return pose
        line = f"a line with {_color(candidate).path.name}"
        raise _missing(f"{path.name} has no pose for the frame", line)

    known = {*numbers.values(), *(name for c in colors for name in _spellings(c))}
    alone = tuple(name for name in names if name not in known)
    return Poses(pose_of, rows_alone=alone, notes=said(f"poses of {path.name}", numbers))


def _spellings(candidate: Candidate) -> tuple[str, str, str]:
    """The name as the pattern found it, the file's, the file's without its ending."""
    color = _color(candidate).path
    return candidate.frame_id, color.name, color.stem


def _by_order(path: Path, trajectory: Trajectory, candidates: Sequence[Candidate]) -> PoseOf:
    colors = [candidate for candidate in candidates if candidate.color is not None]
    if len(colors) != len(trajectory.matrices):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} has {len(trajectory.matrices)} poses for {len(colors)} colour images",
            "one per image, in the order of their names",
            "complete the recording, or name its frames in the pose file",
        )
    rows = {id(candidate): i for i, candidate in enumerate(colors)}
    return lambda candidate: trajectory.matrices[rows[id(candidate)]]


def _by_time(
    path: Path,
    trajectory: Trajectory,
    times: FloatArray,
    recording: Recording,
    seconds: float,
    stated: StatedPoses,
) -> PoseOf:
    order = np.argsort(times, kind="stable")
    times, matrices = times[order] * seconds, trajectory.matrices[order]
    limit = recording.max_time_difference

    def pose_of(candidate: Candidate) -> FloatArray:
        time = candidate.time
        if time is None:
            time = time_of(_color(candidate)) * seconds
        after = int(np.searchsorted(times, time))
        around = [i for i in (after - 1, after) if 0 <= i < len(times)]
        gaps = [abs(float(times[i]) - time) for i in around]
        if not around or min(gaps) > limit:
            found = f"{path.name} has no pose near time {time:.6f} s"
            raise alone(found, f"one within {limit:g} s", time, times)
        nearest = to_world_from_cam(matrices[around[int(np.argmin(gaps))]], recording, stated)
        if min(gaps) == 0 or len(around) < 2 or sum(gaps) > MAX_INTERPOLATION_S:
            return nearest
        ends = [to_world_from_cam(matrices[i], recording, stated) for i in around]
        return interpolate(ends[0], ends[1], gaps[0] / sum(gaps))

    return pose_of


def interpolate(pose0: FloatArray, pose1: FloatArray, share: float) -> FloatArray:
    """The ``world_from_cam`` at ``share`` of the way: straight for the centre, slerp to turn."""
    out = np.eye(4)
    turning = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([pose0[:3, :3], pose1[:3, :3]])))
    out[:3, :3] = turning(share).as_matrix()
    out[:3, 3] = (1 - share) * pose0[:3, 3] + share * pose1[:3, 3]
    return out


def _color(candidate: Candidate) -> Listed:
    assert candidate.color is not None  # only frames with both images need a pose
    return candidate.color


def _missing(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.MISSING_FILE, found, expected, "restore it, or leave the frame out")
