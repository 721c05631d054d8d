"""The unit of a recording's times: from the options, or from their size and spacing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import Listed
from cameo_data.sources.common.trajectories import Trajectory
from cameo_data.sources.rgbd.options import Recording
from cameo_data.sources.rgbd.pairs import Inventory, time_of
from cameo_data.types import FloatArray

# name of the option's value -> seconds, and the word for it
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

# Pictures and poses come 500 times a second to once in two seconds: one factor of 1000, so that a
# spacing fits exactly one unit. Recordings of one picture every 2 to 20 s exist too (time lapses,
# keyframes), beside sensors of 50 to 500 Hz in the next finer unit: a second sign must decide.
_USUAL_S = (0.002, 2.0)
_SLOW_S = 20.0
# Clocks that count from 1970: 2000 to 2100, in seconds.
_SINCE_1970_S = (9.4e8, 4.2e9)
_DAY_S = 86_400.0


@dataclass(frozen=True, eq=False)
class Clock:
    """Times of one kind of file, as written.

    Attributes:
        name: as messages call it: ``gt.csv``, ``names of color/*.png``.
    """

    name: str
    times: FloatArray

    @property
    def spacing(self) -> float | None:
        """The median of the steps between different times, or None for fewer than two."""
        steps = np.diff(np.unique(self.times))
        return float(np.median(steps)) if len(steps) else None

    def units(self) -> frozenset[str]:
        """The units that the times may be in."""
        if not len(self.times):
            return frozenset(UNITS)
        spacing = self.spacing
        by_spacing = frozenset(UNITS) if spacing is None else _by_spacing(spacing)
        middle = float(np.median(self.times))
        by_size = frozenset(
            unit
            for unit, seconds in UNITS.items()
            if _SINCE_1970_S[0] <= middle * seconds <= _SINCE_1970_S[1]
            and (spacing is None or spacing * seconds <= _DAY_S)
        )
        return by_size & by_spacing or by_size | by_spacing


def _by_spacing(spacing: float) -> frozenset[str]:
    least, most = _USUAL_S
    found = {u for u, seconds in UNITS.items() if least <= spacing * seconds < most}
    if not found:
        found = {"s"} if spacing < least else {"ns"}
    (unit,) = found
    slower = {u for u, seconds in UNITS.items() if most <= spacing * seconds <= _SLOW_S}
    return frozenset({unit} | slower)


def unit_of(
    recording: Recording, found: Inventory, trajectory: Trajectory | None
) -> tuple[float, list[str]]:
    """Seconds of the unit that a recording's times are in, and a note on it.

    Raises:
        FileDefect: they are in different units, or it cannot be told which.
    """
    if recording.time_unit != "auto":
        return UNITS[recording.time_unit], []
    clocks: list[Clock] = []
    times = None if trajectory is None else trajectory.times
    if recording.pair_by == "time" or times is not None:
        clocks.append(_clock(recording.color, found.colors))
    if recording.pair_by == "time":
        clocks.append(_clock(recording.depth, found.depths))
    if times is not None:
        clocks.append(Clock(recording.poses, times[np.isfinite(times)]))
    unit = common_unit(clocks)
    note = f"times are in {WORDS[unit]}, as their size and spacing say (time_unit={unit})"
    return UNITS[unit], [] if unit == "s" else [note]


def _clock(pattern: str, listing: Sequence[Listed]) -> Clock:
    """The times in names; a name that states none becomes its frame's defect later."""
    times = []
    for listed in listing:
        try:
            times.append(time_of(listed))
        except FileDefect:
            continue
    where = f"names of {pattern}" if "*" in pattern else pattern
    return Clock(where, np.array(times, np.float64))


def common_unit(clocks: Sequence[Clock]) -> str:
    """The one unit that all of a recording's clocks are in, as a key of ``UNITS``.

    Raises:
        FileDefect: they are in different ones, or it cannot be told.
    """
    clocks = [clock for clock in clocks if len(clock.times)]
    if not clocks:
        return "s"
    possible = frozenset.intersection(*(clock.units() for clock in clocks))
    if not possible and _overlap(clocks):
        # all clocks have one unit: the densest tells which
        possible = min(clocks, key=lambda clock: clock.spacing or np.inf).units()
    if not possible:
        raise _disagreement(clocks)
    if len(possible) == 1:
        return next(iter(possible))
    if _equal(clocks):
        return "s"  # each time has its equal, so the unit does not matter
    raise _question(clocks, possible)


def _overlap(clocks: Sequence[Clock]) -> bool:
    start = max(float(clock.times.min()) for clock in clocks)
    return start <= min(float(clock.times.max()) for clock in clocks)


def _equal(clocks: Sequence[Clock]) -> bool:
    """Whether every other clock has all times of the first one."""
    return all(bool(np.isin(clocks[0].times, clock.times).all()) for clock in clocks[1:])


def _disagreement(clocks: Sequence[Clock]) -> FileDefect:
    said = [f"{clock.name} in {_words(clock.units())} ({_shown(clock)})" for clock in clocks]
    return FileDefect(
        Reason.BAD_METADATA,
        f"clocks of different units: {', '.join(dict.fromkeys(said))}",
        "one unit of time",
        "write all of them in one unit; or if they are in one, give time_unit=s, ms, us or ns",
    )


def _question(clocks: Sequence[Clock], possible: frozenset[str]) -> FileDefect:
    units = sorted(possible, key=list(UNITS).index)
    return FileDefect(
        Reason.BAD_METADATA,
        f"{clocks[0].name} may be in {_words(possible)} ({_shown(clocks[0])})",
        "times whose unit is clear",
        f"give {' or '.join(f'time_unit={unit}' for unit in units)}",
    )


def _words(units: frozenset[str]) -> str:
    return " or ".join(word for unit, word in WORDS.items() if unit in units)


def _shown(clock: Clock) -> str:
    steps = "" if clock.spacing is None else f", {clock.spacing:.6g} apart"
    return f"from {clock.times.min():.12g}{steps}"
