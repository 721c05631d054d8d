"""Which colour image and which depth image are one frame."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data import files
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.sources import trajectories
from cameo_data.sources.listing import Listed, first_number, list_files, natural_key
from cameo_data.sources.rgbd_options import Recording


@dataclass(frozen=True)
class Candidate:
    """What may become a frame; one of ``color`` and ``depth`` may be None.

    Attributes:
        time: seconds of the colour image, where the recording has times.
        defect: why it cannot be a frame although files are there.
    """

    frame_id: str
    color: Listed | None
    depth: Listed | None
    time: float | None = None
    defect: FileDefect | None = None


def pair(folder: Path, recording: Recording) -> list[Candidate]:
    """All candidates in capture order: every colour and depth file is in exactly one.

    Raises:
        FileDefect: no files at all, a broken index, or counts that differ where order pairs.
    """
    colors = _inventory(folder, recording.color)
    depths = _inventory(folder, recording.depth)
    if not colors:
        raise FileDefect(
            Reason.MISSING_FILE,
            f"no file {recording.color!r} in {folder.name}",
            "colour images",
            "check the option color",
        )
    if recording.pair_by == "time":
        return _by_time(colors, depths, recording.max_time_difference)
    if recording.pair_by == "order":
        return _by_order(colors, depths)
    return _by_key(colors, depths, key_of(recording))


def key_of(recording: Recording) -> Callable[[Listed], Hashable]:
    """What makes files of one frame equal: their name, or the first number in it."""
    if recording.pair_by != "number":
        return lambda listed: listed.name

    def number(listed: Listed) -> Hashable:
        found = first_number(listed.path.stem)
        return listed.name if found is None else found

    return number


def time_of(listed: Listed) -> float:
    """The time that a file's name states.

    Raises:
        FileDefect: the name is no number.
    """
    try:
        time = float(listed.name)
    except ValueError:
        time = np.nan
    if not np.isfinite(time):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{listed.path.name} names no time",
            "seconds in place of *, or an index file",
            "pair by name instead of time",
        )
    return time


def _inventory(folder: Path, pattern: str) -> list[Listed]:
    """Files that a pattern matches or an index lists."""
    if "*" in pattern or not pattern.endswith(".txt"):
        return list_files(folder, pattern)
    index = files.inside(folder, folder / pattern)
    return [Listed(folder / entry.file, entry.stamp) for entry in trajectories.read_index(index)]


def _by_key(
    colors: list[Listed], depths: list[Listed], key: Callable[[Listed], Hashable]
) -> list[Candidate]:
    found: dict[Hashable, tuple[list[Listed], list[Listed]]] = {}
    for side, listing in enumerate((colors, depths)):
        for listed in listing:
            found.setdefault(key(listed), ([], []))[side].append(listed)
    candidates = [_joined(ours, theirs) for ours, theirs in found.values()]
    return sorted(candidates, key=lambda candidate: natural_key(candidate.frame_id))


def _joined(colors: list[Listed], depths: list[Listed]) -> Candidate:
    defect = None
    if (most := max(colors, depths, key=len))[1:]:
        defect = _duplicate(most)
    frame_id = (colors or depths)[0].name
    return Candidate(
        frame_id, colors[0] if colors else None, depths[0] if depths else None, defect=defect
    )


def _by_order(colors: list[Listed], depths: list[Listed]) -> list[Candidate]:
    if len(colors) != len(depths):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{len(colors)} colour and {len(depths)} depth images",
            "as many of each, since they are paired by order",
            "complete the recording, or pair by name, number or time",
        )
    candidates = []
    seen: dict[str, Listed] = {}
    for color, depth in zip(colors, depths, strict=True):
        earlier = seen.setdefault(color.name, color)
        defect = None if earlier is color else _duplicate([earlier, color])
        candidates.append(Candidate(color.name, color, depth, defect=defect))
    return candidates


def _by_time(colors: list[Listed], depths: list[Listed], max_difference: float) -> list[Candidate]:
    colors, twice = _unique(colors)
    depths, twice_depth = _unique(depths)
    times = np.array([time_of(listed) for listed in colors])
    depth_times = np.array([time_of(listed) for listed in depths])
    depth_of = dict(trajectories.associate(times, depth_times, max_difference))
    expected = f"one within {max_difference:g} s"
    candidates = []
    for i, color in enumerate(colors):
        if i in depth_of:
            candidates.append(Candidate(color.name, color, depths[depth_of[i]], float(times[i])))
        else:
            defect = _alone(f"no depth near the time of {color.path.name}", expected)
            candidates.append(Candidate(color.name, color, None, float(times[i]), defect))
    used = set(depth_of.values())
    for i, depth in enumerate(depths):
        if i not in used:
            defect = _alone(f"no colour near the time of depth {depth.path.name}", expected)
            name = f"depth {depth.name}"
            candidates.append(Candidate(name, None, depth, float(depth_times[i]), defect))
    for listed in twice:
        candidates.append(
            Candidate(listed.name, listed, None, time_of(listed), _duplicate([listed, listed]))
        )
    for listed in twice_depth:
        name = f"depth {listed.name}"
        candidates.append(
            Candidate(name, None, listed, time_of(listed), _duplicate([listed, listed]))
        )
    return sorted(candidates, key=lambda c: (c.time or 0.0, c.defect is not None))


def _unique(listing: list[Listed]) -> tuple[list[Listed], list[Listed]]:
    """Files with a time of their own, and those whose time stands earlier in the list."""
    first: dict[str, Listed] = {}
    twice = [one for one in listing if first.setdefault(one.name, one) is not one]
    return list(first.values()), twice


def _duplicate(listed: list[Listed]) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"{listed[0].path.name} and {listed[1].path.name} are both frame {listed[1].name}",
        "one file per frame",
        "remove the one that is not meant",
    )


def _alone(found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.UNASSOCIATED, found, expected, "raise max_time_difference, or leave the frame out"
    )
