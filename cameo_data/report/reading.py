"""What the reports need of a finished build, read without decoding its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cameo_data.errors import DataError, Reason, plural
from cameo_data.report.summary import (
    FrameCount,
    GroupRecord,
    Summary,
    count_verdicts,
    record_of,
    summarise,
)
from cameo_data.shards import archive, layout, members
from cameo_data.shards.index import BuildIndex
from cameo_data.shards.reader import ShardReader
from cameo_data.shards.unpack import read_meta
from cameo_data.types import Progress, Sample


def frame_count(reader: ShardReader) -> FrameCount:
    """What became of every frame found, as the build counted.

    Raises:
        DataError: the index has no counts of frames.
    """
    counts: Any = reader.index.counts
    frames = counts.get("frames")
    try:
        reasons = counts.get("failures", {}).get("by_reason", {})
        return FrameCount(**_integers(frames), reasons=_integers(reasons))
    except (TypeError, AttributeError):
        raise DataError(
            Reason.BAD_METADATA,
            dataset=str(reader.build_dir / "index.json"),
            found=f"counts of frames {frames!r}",
            expected="found, used, left_out and failed",
            remedy="build the shards with `cameo-data build-corr`",
        ) from None


def read_numbers(reader: ShardReader, progress: Progress) -> tuple[Summary, list[float]]:
    """Counts over all samples, and each sample's largest rotation in degrees, in order."""
    largest: list[float] = []

    def passing() -> Iterator[GroupRecord]:
        for record in _records(reader):
            largest.append(record.largest_rotation_deg)
            progress("read", len(largest), len(reader))
            yield record

    return summarise(passing()), largest


def chosen_samples(
    reader: ShardReader, numbers: Sequence[int], stage: str, progress: Progress
) -> Iterator[Sample]:
    """The samples of these numbers, one at a time; each is reported once it has been used."""
    for done, number in enumerate(numbers, 1):
        yield reader[number]
        progress(stage, done, len(numbers))


def facts(index: BuildIndex, sample: Sample) -> dict[str, str]:
    """A build in a few words, label -> value, for the top of a page; ``sample`` is any of it."""
    scenes = {scene for shard in index.shards for scene in shard.scenes}
    height, width = sample.cameras[0].hw
    recipe: Mapping[str, Any] = index.recipe
    strides = ", ".join(map(str, sorted(sample.correspondence)))
    found = {
        "dataset": sample.dataset,
        "scenes": f"{len(scenes)}",
        "samples": f"{plural(index.samples, 'group')} of {len(sample.cameras)} views",
        "image size": f"{width} × {height}",
        "strides": strides or "none stored",
        "depth": f"none: sparse matches, unit {sample.unit}"
        if sample.sparse
        else f"{sample.depth_source}, unit {sample.unit}",
        "strategy": str(recipe.get("strategy", "")),
        "seed": str(recipe.get("seed", "")),
        "shards": f"{len(index.shards)}, {_bytes(index.bytes)}",
        "made by": f"cameo {index.tool_version}, recipe {index.recipe_hash[:8]}",
    }
    return {label: value for label, value in found.items() if value}


def _records(reader: ShardReader) -> Iterator[GroupRecord]:
    """The numbers of every sample, in order; reads only what they need."""
    strides = [s for s in _strides(reader.index) if s != layout.FULL_STRIDE]
    # samples with sparse matches may have no depth: their verdicts say nothing
    if not strides or layout.MATCH_VIEWS in reader.index.members:
        yield from map(record_of, reader)
        return
    name = layout.array_member("verdict", strides[0])
    for number, shard in enumerate(reader.index.shards):
        path = reader.shard_path(number)
        for entry in archive.read_table(path, shard, reader.index.members):
            found = archive.read_members(path, entry, (layout.JSON, name))
            try:
                yield _record(found, name, strides[0])
            except ValueError as error:
                raise archive.damaged(
                    path, f"sample {entry.key}: {error}", "members as docs/shards.md says"
                ) from None


def _record(found: Mapping[str, bytes], name: str, stride: int) -> GroupRecord:
    meta = read_meta(found)
    views = len(meta.frame_ids)
    shape = (views, views, meta.hw[0] // stride, meta.hw[1] // stride)
    verdict = members.decode_npy(found[name], shape, "u1")
    rotation_deg = np.array(meta.rotation_deg, np.float64)
    overlap = np.array(meta.overlap, np.float64)
    verdicts = count_verdicts(verdict)
    return GroupRecord(
        rotation_deg, overlap, verdicts, stride, False, depth_source=meta.depth_source
    )


def _strides(index: BuildIndex) -> list[int]:
    """Strides of the stored verdicts, rising."""
    names = (name for name in index.members if name.startswith("verdict"))
    return sorted({int(name.removeprefix("verdict").split(".")[0]) for name in names})


def _integers(values: Any) -> dict[str, int]:
    return {str(key): int(value) for key, value in values.items()}


def _bytes(count: int) -> str:
    """``12.3 MB``."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"
