"""Which colour image and which depth image are one frame."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import trajectories
from cameo_data.sources.common.file_listing import Listed, first_number, list_files, natural_key
from cameo_data.sources.rgbd import names
from cameo_data.sources.rgbd.options import Recording
from cameo_data.types import FloatArray

# A camera moves on within seconds: something further away belongs to another moment.
MOST_RAISED_S = 1.0
_LEAVE = "leave the frame out"


@dataclass(frozen=True)
class Candidate:
    """What may become a frame; one of ``color`` and ``depth`` may be None.

    Attributes:
        time: time of the colour image in seconds, if the recording has times.
        defect: why it cannot be a frame although files are there.
    """

    frame_id: str
    color: Listed | None
    depth: Listed | None
    time: float | None = None
    defect: FileDefect | None = None


@dataclass(frozen=True)
class Inventory:
    """A recording's colour and depth files, each with what its pattern or index says of it.

    Attributes:
        notes: what was done to match them.
    """

    colors: list[Listed]
    depths: list[Listed]
    notes: list[str]


def inventory(folder: Path, recording: Recording) -> Inventory:
    """The files that the recording's patterns match or its indices list.

    Raises:
        FileDefect: no colour at all, or a broken index.
    """
    colors = _listed(folder, recording.color)
    depths = _listed(folder, recording.depth)
    if not colors:
        raise FileDefect(
            Reason.MISSING_FILE,
            f"no file {recording.color!r} in {folder.name}",
            "colour images",
            "check the option color",
        )
    if recording.pair_by != "name":
        return Inventory(colors, depths, [])
    depths, notes = renamed(colors, depths, "depth maps")
    return Inventory(colors, depths, notes)


def renamed(
    colors: list[Listed], others: list[Listed], what: str
) -> tuple[list[Listed], list[str]]:
    """``others``, renamed to the picture with the same number; and the note on that.

    ``0.png`` is the depth of ``000000.png`` where no other one could be meant.
    """
    found = names.same_numbers([c.name for c in colors], [o.name for o in others])
    name_of = {there: wanted for wanted, there in found.items()}
    others = [Listed(one.path, name_of.get(one.name, one.name)) for one in others]
    return others, names.said(what, found)


def pair(found: Inventory, recording: Recording, seconds: float = 1.0) -> list[Candidate]:
    """All candidates in capture order: every colour and depth file is in exactly one.

    Args:
        seconds: the unit of the times that files state.

    Raises:
        FileDefect: counts that differ when files are paired by order.
    """
    colors, depths = found.colors, found.depths
    if recording.pair_by == "time":
        return _by_time(colors, depths, recording.max_time_difference, seconds)
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
    """The time that a file's name states, as written.

    Raises:
        FileDefect: the name is not a number.
    """
    try:
        time = float(listed.name)
    except ValueError:
        time = np.nan
    if not np.isfinite(time):
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{listed.path.name} names no time",
            "a time in place of *, or an index file",
            "pair by name instead of time",
        )
    return time


def _listed(folder: Path, pattern: str) -> list[Listed]:
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


def _by_time(
    colors: list[Listed], depths: list[Listed], max_difference: float, seconds: float
) -> list[Candidate]:
    colors, twice = _unique(colors)
    depths, twice_depth = _unique(depths)
    times = np.array([time_of(listed) * seconds for listed in colors])
    depth_times = np.array([time_of(listed) * seconds for listed in depths])
    depth_of = dict(trajectories.associate(times, depth_times, max_difference))
    expected = f"one within {max_difference:g} s"
    candidates = []
    for i, color in enumerate(colors):
        if i in depth_of:
            candidates.append(Candidate(color.name, color, depths[depth_of[i]], float(times[i])))
        else:
            found = f"no depth near the time of {color.path.name}"
            defect = alone(found, expected, times[i], depth_times)
            candidates.append(Candidate(color.name, color, None, float(times[i]), defect))
    used = set(depth_of.values())
    for i, depth in enumerate(depths):
        if i not in used:
            found = f"no colour near the time of depth {depth.path.name}"
            defect = alone(found, expected, depth_times[i], times)
            name = f"depth {depth.name}"
            candidates.append(Candidate(name, None, depth, float(depth_times[i]), defect))
    for listed in twice:
        candidates.append(
            Candidate(
                listed.name, listed, None, time_of(listed) * seconds, _duplicate([listed, listed])
            )
        )
    for listed in twice_depth:
        name = f"depth {listed.name}"
        candidates.append(
            Candidate(name, None, listed, time_of(listed) * seconds, _duplicate([listed, listed]))
        )
    return sorted(candidates, key=lambda c: (c.time or 0.0, c.defect is not None))


def _unique(listing: list[Listed]) -> tuple[list[Listed], list[Listed]]:
    """Files with a time of their own, and those whose time appears earlier in the list."""
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


def alone(found: str, expected: str, time: float, others: FloatArray) -> FileDefect:
    """The defect of a time (in seconds) without one of ``others`` near enough."""
    if not len(others):
        return FileDefect(Reason.UNASSOCIATED, f"{found}: there is none at all", expected, _LEAVE)
    gap = float(np.abs(others - time).min())
    if gap > MOST_RAISED_S:
        remedy = f"check that both clocks count from the same start, or {_LEAVE}"
    else:
        # rounded up, so that what is printed is enough
        enough = np.ceil(gap * 1e4 + 1e-6) / 1e4
        remedy = f"give max_time_difference={enough:g} to take the nearest, or {_LEAVE}"
    return FileDefect(
        Reason.UNASSOCIATED, f"{found}; the nearest is {gap:.4g} s away", expected, remedy
    )
