"""The pose of each frame, from one file per frame or one for all, as ``world_from_cam``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from cameo_data import files, transforms
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.sources import trajectories
from cameo_data.sources.listing import Listed, list_files
from cameo_data.sources.rgbd_options import Recording
from cameo_data.sources.rgbd_pairs import Candidate, key_of, time_of
from cameo_data.sources.stated_poses import StatedPoses
from cameo_data.sources.trajectories import Trajectory
from cameo_data.types import FloatArray

# Poses further apart than this are not interpolated, the nearer one is taken: in 0.1 s a hand-held
# camera still moves evenly, and motion capture (100 Hz) and odometry (30 Hz) are denser.
MAX_INTERPOLATION_S = 0.1

# Pose files read to learn a scale that all poses of a scene share.
_PROBES = 9

PoseOf = Callable[[Candidate], FloatArray]


@dataclass(frozen=True, eq=False)
class Poses:
    """A ``PoseOf``, with what was done to the poses as written."""

    look_up: PoseOf
    stated: StatedPoses

    def __call__(self, candidate: Candidate) -> FloatArray:
        return self.look_up(candidate)


def open_poses(
    folder: Path, recording: Recording, candidates: Sequence[Candidate]
) -> tuple[Poses, tuple[str, ...]]:
    """What looks up a candidate's ``world_from_cam``, and names of poses that are of none of them.

    A pose is (4, 4), OpenCV axes, exactly rigid; the look-up raises FileDefect where the frame has
    no pose or no rigid one. Poses by time are a curve, not of frames: none is left over.

    Raises:
        FileDefect: no pose file, an unreadable one, or rows that cannot be told apart.
    """
    alone: tuple[str, ...] = ()
    if "*" in recording.poses:
        written = _per_frame(folder, recording)
        probes = candidates[:: max(1, len(candidates) // _PROBES)]
        stated = _stated(recording, _readable(written, probes))
    else:
        path = files.inside(folder, folder / recording.poses)
        trajectory = _read(path, recording)
        stated = _stated(recording, trajectory.matrices)
        if trajectory.times is not None:
            by_time = _by_time(path, trajectory, trajectory.times, recording, stated)
            return Poses(by_time, stated), ()
        if trajectory.names is not None:
            written = _by_name(path, trajectory, trajectory.names)
            colors = [candidate for candidate in candidates if candidate.color is not None]
            known = {name for candidate in colors for name in _spellings(candidate)}
            alone = tuple(name for name in trajectory.names if name not in known)
        else:
            written = _by_order(path, trajectory, candidates)

    def look_up(candidate: Candidate) -> FloatArray:
        return to_world_from_cam(written(candidate), recording, stated)

    return Poses(look_up, stated), alone


def pose_files(folder: Path, recording: Recording) -> list[Listed]:
    """Pose files, where each frame has its own; else none."""
    return list_files(folder, recording.poses) if "*" in recording.poses else []


def _stated(recording: Recording, matrices: Iterable[FloatArray]) -> StatedPoses:
    return StatedPoses.of(matrices, recording.pose_direction, "the pose")


def _readable(written: PoseOf, candidates: Sequence[Candidate]) -> Iterator[FloatArray]:
    for candidate in candidates:
        try:
            if candidate.color is not None:
                yield written(candidate)
        except FileDefect:  # said again, and counted, when the frame is read
            continue


def to_world_from_cam(matrix: FloatArray, recording: Recording, stated: StatedPoses) -> FloatArray:
    """``world_from_cam`` in OpenCV axes from a pose as written.

    Raises:
        FileDefect: it is no rigid transform, nor equivalent to one.
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


def _read(path: Path, recording: Recording) -> Trajectory:
    if recording.pose_columns == "log":
        return trajectories.read_log(path)
    return trajectories.read_rows(path, trajectories.parse_columns(recording.pose_columns))


def _per_frame(folder: Path, recording: Recording) -> PoseOf:
    key = key_of(recording)
    paths = {key(listed): listed.path for listed in pose_files(folder, recording)}

    def pose_of(candidate: Candidate) -> FloatArray:
        path = paths.get(key(_color(candidate)))
        if path is None:
            expected = recording.poses.replace("*", candidate.frame_id)
            raise _missing("no pose file for the frame", expected)
        return trajectories.read_matrix(files.inside(folder, path))

    return pose_of


def _by_name(path: Path, trajectory: Trajectory, names: tuple[str, ...]) -> PoseOf:
    rows = {name: i for i, name in enumerate(names)}
    if len(rows) < len(names):
        twice = next(name for i, name in enumerate(names) if rows[name] != i)
        raise FileDefect(
            Reason.DUPLICATE_ID,
            f"{path.name} has frame {twice} twice",
            "one pose per frame",
            "remove the one that is not meant",
        )

    def pose_of(candidate: Candidate) -> FloatArray:
        for name in _spellings(candidate):
            if name in rows:
                pose: FloatArray = trajectory.matrices[rows[name]]
                return pose
        line = f"a line with {_color(candidate).path.name}"
        raise _missing(f"{path.name} has no pose for the frame", line)

    return pose_of


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
    stated: StatedPoses,
) -> PoseOf:
    order = np.argsort(times, kind="stable")
    times, matrices = times[order], trajectory.matrices[order]
    limit = recording.max_time_difference

    def pose_of(candidate: Candidate) -> FloatArray:
        time = time_of(_color(candidate)) if candidate.time is None else candidate.time
        after = int(np.searchsorted(times, time))
        around = [i for i in (after - 1, after) if 0 <= i < len(times)]
        gaps = [abs(float(times[i]) - time) for i in around]
        if not around or min(gaps) > limit:
            raise FileDefect(
                Reason.UNASSOCIATED,
                f"{path.name} has no pose near time {time:.6f}",
                f"one within {limit:g} s",
                "raise max_time_difference, or leave the frame out",
            )
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
    assert candidate.color is not None  # only frames with both images ask for a pose
    return candidate.color


def _missing(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.MISSING_FILE, found, expected, "restore it, or leave the frame out")
