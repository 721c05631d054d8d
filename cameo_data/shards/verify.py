"""Checks that a finished build is unchanged and that its matches follow from its depth.

The check needs only the build, no source data and no network.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data.errors import DataError, Failure
from cameo_data.io.whole_files import file_sha256
from cameo_data.shards import archive, layout
from cameo_data.shards.archive import SampleEntry, damaged
from cameo_data.shards.index import INDEX, BuildIndex, FileRecord, read_index
from cameo_data.shards.layout import SHARD_FOLDER
from cameo_data.shards.rederive import differences
from cameo_data.shards.unpack import image_exts, read_meta, unpack_sample
from cameo_data.shards.writer import ShardEntry
from cameo_data.types import Progress

# Files that later commands put beside a finished build; they can be made again.
DERIVED = frozenset({"preview.html", "stats.html", "stats.json", "stats.png", "stats.svg"})


@dataclass(frozen=True)
class VerifyReport:
    """What was checked, and every problem that was found.

    Attributes:
        index_sha256: the index's own hash; keep a copy elsewhere to recognise the build, since
            whoever can replace all files can also replace the index.
        groups: number of samples whose correspondences were computed again.
        notes: what an undamaged build lacks.
    """

    build: str
    problems: tuple[Failure, ...]
    index_sha256: str | None = None
    shards: int = 0
    samples: int = 0
    bytes: int = 0
    groups: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **vars(self),
            "ok": self.ok,
            "problems": [problem.record() for problem in self.problems],
        }


def verify_build(
    build_dir: Path | str,
    *,
    groups: int | None = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check every byte, file, member and record of a build, and compute some matches again.

    Args:
        groups: number of samples to compute again from stored depth and poses; None for all.
        seed: chooses these samples.
    """
    folder = Path(build_dir)
    try:
        index = read_index(folder)
    except DataError as error:
        # without the index nothing else can be checked
        return VerifyReport(str(folder), (error.failure,))
    report = progress or (lambda stage, done, total: None)
    problems = [*_companion_problems(folder, index), *_stray_files(folder, index)]
    check = _Shards(folder, index)
    for number, shard in enumerate(index.shards):
        problems += check.shard(shard)
        report("shards", number + 1, len(index.shards))
    chosen = _choose(check.sound, groups, seed)
    for number, (path, entry) in enumerate(chosen):
        problems += _group_problems(path, entry)
        report("groups", number + 1, len(chosen))
    return VerifyReport(
        build=str(folder),
        problems=tuple(problems),
        index_sha256=index.sha256,
        shards=len(index.shards),
        samples=index.samples,
        bytes=index.bytes,
        groups=len(chosen),
        notes=_notes(index),
    )


def _notes(index: BuildIndex) -> tuple[str, ...]:
    if index.format_version > 1:
        return ()
    return (
        "format version 1 has no checksums of single members, so a reader notices an altered byte "
        "only by `verify` or ShardReader(D, check_hashes=True); build again to have them",
    )


def _companion_problems(folder: Path, index: BuildIndex) -> Iterator[Failure]:
    for name, record in sorted(index.companions.items()):
        yield from _file_problems(folder / name, record)


def _file_problems(path: Path, record: FileRecord) -> Iterator[Failure]:
    remedy = "copy the file again, or run the build again"
    if not path.is_file():
        yield damaged(path, "no such file", "a file of the build", remedy).failure
    elif (size := path.stat().st_size) != record.bytes:
        yield damaged(path, f"{size} bytes", f"{record.bytes} bytes", remedy).failure
    elif (found := file_sha256(path)) != record.sha256:
        yield damaged(path, f"SHA-256 {found}", record.sha256, remedy).failure


def _stray_files(folder: Path, index: BuildIndex) -> Iterator[Failure]:
    """Files that are not part of the build; hidden ones beside the shards (.git) are allowed."""
    known = {INDEX, SHARD_FOLDER, *index.companions, *DERIVED}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            yield damaged(path, "a file", "only files of the build here", "move it away").failure
    shards = folder / SHARD_FOLDER
    names = {shard.name for shard in index.shards}
    for path in sorted(shards.iterdir()) if shards.is_dir() else ():
        if path.name not in names:
            yield damaged(path, "a file", "only the shards in index.json", "move it away").failure


class _Shards:
    """Checks the shards of one build in turn and keeps what must hold across them."""

    def __init__(self, folder: Path, index: BuildIndex) -> None:
        self._folder, self._index = folder, index
        self._shard_of_key: dict[str, str] = {}
        self._extra: frozenset[str] | None = None
        self.sound: list[tuple[Path, SampleEntry]] = []

    def shard(self, shard: ShardEntry) -> list[Failure]:
        """Problems of one shard; if there are none, its samples join ``sound``."""
        path = self._folder / SHARD_FOLDER / shard.name
        try:
            archive.check_shard(path, shard, hashes=True)
            table = archive.read_table(path, shard, self._index.members)
        except DataError as error:
            return [error.failure]
        problems = []
        scenes = set()
        for entry in table:
            try:
                scenes.add(self._sample(path, shard, entry))
            except DataError as error:
                problems.append(error.failure)
            except ValueError as error:
                problems.append(_sample_problem(path, entry, str(error)))
        if not problems and tuple(sorted(scenes)) != shard.scenes:
            found = f"scenes {', '.join(sorted(scenes))}"
            problems.append(damaged(path, found, ", ".join(shard.scenes)).failure)
        if not problems:
            self.sound += [(path, entry) for entry in table]
        return problems

    def _sample(self, path: Path, shard: ShardEntry, entry: SampleEntry) -> str:
        """The sample's scene; ValueError where its record contradicts the rest of the build."""
        meta = read_meta(archive.read_members(path, entry))
        if meta.format_version != self._index.format_version:
            raise ValueError(f"json says format version {meta.format_version}")
        if meta.key != entry.key:
            raise ValueError(f"json says key {meta.key!r}")
        if (other := self._shard_of_key.setdefault(meta.key, shard.name)) != shard.name:
            raise ValueError(f"the key is also in {other}")
        exts = image_exts(entry.members, len(meta.frame_ids))
        masks = layout.mask_member(0) in entry.members
        matches = layout.MATCH_XY in entry.members
        if odd := layout.expected_members(meta, exts, masks, matches) ^ entry.members.keys():
            raise ValueError(f"json and members disagree about {min(odd)}")
        if self._extra is None:
            self._extra = frozenset(meta.extra)
        if odd := self._extra ^ meta.extra.keys():
            raise ValueError(f"extra.{min(odd)} is in some samples only")
        return meta.scene_id


def _choose(
    sound: list[tuple[Path, SampleEntry]], groups: int | None, seed: int
) -> list[tuple[Path, SampleEntry]]:
    if groups is None or groups >= len(sound):
        return sound
    rows = sorted(random.Random(seed).sample(range(len(sound)), groups))
    return [sound[row] for row in rows]


def _group_problems(path: Path, entry: SampleEntry) -> list[Failure]:
    try:
        sample = unpack_sample(archive.read_members(path, entry))
    except DataError as error:
        return [error.failure]
    except ValueError as error:
        return [_sample_problem(path, entry, str(error))]
    return [
        damaged(
            path,
            f"sample {entry.key}: {difference}",
            "what follows from its depth and poses",
            "rebuild with this version of cameo, or verify with the one in index.json",
        ).failure
        for difference in differences(sample)
    ]


def _sample_problem(path: Path, entry: SampleEntry, found: str) -> Failure:
    return damaged(path, f"sample {entry.key}: {found}", "members as docs/shards.md says").failure
