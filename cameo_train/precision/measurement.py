"""Measures every matcher on every group of a build, in batches, and returns tallies; resumable.

Each matcher has a file ``OUT/rows/….npz``, which is replaced every half minute. A stopped run
therefore continues, and a run with further matchers measures only these.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cameo_data import ShardReader
from cameo_data.io.work_folder import write_bytes
from cameo_data.types import Progress
from cameo_train.matchers import grid_limits
from cameo_train.matchers.group import Found, MatcherGroup, Row, group_of
from cameo_train.matchers.job import MatcherJob
from cameo_train.matchers.queries import queries_of
from cameo_train.precision.tally import MAX_UNITS, Tally, units_of
from cameo_train.protocols.measurement import Protocol

SAVE_EVERY_S = 30.0
FOLDER = "rows"
FORMAT = 1  # version of the files; other versions are not read


@dataclass(frozen=True, eq=False)
class Measured:
    """The results of one matcher.

    Attributes:
        rows, tallies: lists of equal length.
        samples: number of groups that were measured.
    """

    label: str
    rows: tuple[Row, ...]
    tallies: tuple[Tally, ...]
    notes: tuple[str, ...]
    samples: int


class Limits:
    """Two rows without a matcher: the ceiling of the grid, and the floor of blind choice."""

    rows = (
        Row("ceiling", "ceiling of the grid", "the candidate nearest to the truth", "ceiling"),
        Row("floor", "chance (computed)", "any candidate, all alike", "floor"),
    )

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.notes: list[str] = []

    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """Both, exactly."""
        for group in groups:
            xy1, bins = group.queries.xy1, group.queries.bin
            yield [
                Found(bins, grid_limits.ceiling_px(xy1, self.protocol)),
                Found(bins, None, grid_limits.chance(xy1, self.protocol)),
            ]


LIMITS = MatcherJob(
    "limits", "ceiling and chance", "limits", lambda protocol, device: Limits(protocol)
)


@dataclass(frozen=True)
class Work:
    """Settings that all matchers of a run share.

    Attributes:
        samples: numbers of the groups that are measured.
        batch: groups per batch; does not change the results.
    """

    build_dir: Path
    out: Path
    protocol: Protocol
    samples: tuple[int, ...]
    batch: int
    device: torch.device

    def path(self, job: MatcherJob, build_sha256: str) -> Path:
        """Path of a matcher's tallies."""
        identity = [FORMAT, build_sha256, self.protocol.record(), self.samples, job.identity]
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        word = "".join(c if c.isalnum() else "-" for c in job.spec)[:40].strip("-")
        return self.out / FOLDER / f"{word}-{digest[:16]}.npz"


def chosen_samples(total: int, count: int | None) -> tuple[int, ...]:
    """All group numbers, or the given count of them spread evenly over the build."""
    if count is None or count >= total:
        return tuple(range(total))
    return tuple(int(i) for i in np.linspace(0, total - 1, count).round())


def measure(work: Work, job: MatcherJob, reader: ShardReader, progress: Progress) -> Measured:
    """The tallies of one matcher, read from its file and measured from where that ends.

    Raises:
        MissingWeights: weights are missing; the message says what to get.
        ValueError: features do not fit, or are NaN or infinite.
        DataError: a sample is damaged, or has no data on visibility.
    """
    path = work.path(job, reader.index.sha256)
    state = _read(path)
    total = len(work.samples)
    if state is not None and state.samples == total:
        progress(job.label, total, total)
        return state
    matcher = job.make(work.protocol, work.device)
    units = units_of([s for shard in reader.index.shards for s in shard.scenes])
    if state is None or [asdict(r) for r in state.rows] != [asdict(r) for r in matcher.rows]:
        empty = tuple(Tally.empty(min(len(units), MAX_UNITS), work.protocol) for _ in matcher.rows)
        state = Measured(job.label, tuple(matcher.rows), empty, (), 0)
    done, notes, saved = state.samples, list(state.notes), time.monotonic()

    def now() -> Measured:
        told = tuple(dict.fromkeys([*notes, *matcher.notes]))
        return Measured(job.label, state.rows, state.tallies, told, done)

    progress(job.label, done, total)
    # If the run is stopped, the file stays as last written, so no group is counted twice.
    for groups in _groups(work, reader, work.samples[done:]):
        for group, found in zip(groups, matcher.found(groups), strict=True):
            unit = units[group.sample.scene_id]
            for tally, one in zip(state.tallies, found, strict=True):
                tally.add_pairs(unit, group.queries.pairs, group.queries.left_out)
                tally.add(unit, one, work.protocol)
        done += len(groups)
        progress(job.label, done, total)
        if time.monotonic() - saved > SAVE_EVERY_S:
            _write(path, now())
            saved = time.monotonic()
    _write(path, now())
    return now()


def _groups(
    work: Work, reader: ShardReader, samples: Sequence[int]
) -> Iterator[list[MatcherGroup]]:
    """Batches of groups; the next batch is read while one is measured."""

    def read(numbers: Sequence[int]) -> list[MatcherGroup]:
        made = []
        for number in numbers:
            sample = reader[number]
            made.append(group_of(sample, queries_of(sample, work.protocol), work.device))
        return made

    parts = [samples[i : i + work.batch] for i in range(0, len(samples), work.batch)]
    with ThreadPoolExecutor(1) as reading:
        pending = reading.submit(read, parts[0]) if parts else None
        for following in [*parts[1:], None]:
            if pending is None:
                return
            ready = pending.result()
            pending = reading.submit(read, following) if following is not None else None
            yield ready


def _write(path: Path, state: Measured) -> None:
    header = {
        "format": FORMAT,
        "label": state.label,
        "rows": [asdict(row) for row in state.rows],
        "notes": state.notes,
        "samples": state.samples,
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header))}
    for number, tally in enumerate(state.tallies):
        arrays |= {f"{number}.{name}": value for name, value in tally.arrays().items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def _read(path: Path) -> Measured | None:
    """The results so far; None if there are none, or if the file has another format."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as found:
            header = json.loads(str(found["header"]))
            tallies = tuple(
                Tally.of_arrays({k.partition(".")[2]: found[k] for k in found
                                 if k.startswith(f"{number}.")})
                for number in range(len(header["rows"]))
            )  # fmt: skip
        rows = tuple(Row(**row) for row in header["rows"])
        notes, samples = tuple(header["notes"]), int(header["samples"])
        return Measured(header["label"], rows, tallies, notes, samples)
    except Exception:  # truncated or foreign file: zipfile, NumPy and json raise their own errors
        return None


def read_measured(path: Path) -> Measured:
    """A finished matcher's tallies.

    Raises:
        ValueError: the file is missing or damaged.
    """
    found = _read(path)
    if found is None:
        raise ValueError(f"{path} is missing or damaged; run `cameo-train precision` again")
    return found
