"""Writes shards: plain tars, complete or absent, with equal bytes for equal samples."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from cameo_data.io.whole_files import HashingFile, replacing
from cameo_data.shards import layout
from cameo_data.shards.pack import pack_sample
from cameo_data.types import Sample

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class ShardEntry(BaseModel):
    """A finished shard, as ``index.json`` lists it.

    Attributes:
        name: file name in ``shards/``.
        scenes: the sorted, distinct ``scene_id`` of its samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=f"^{layout.SHARD_NAME_PATTERN.pattern}$")]
    samples: Annotated[int, Field(ge=1)]
    bytes: Count
    sha256: Sha256
    scenes: tuple[str, ...]


class ShardRecord(ShardEntry):
    """A shard as its writer knows it.

    Attributes:
        members: sorted member names of each sample; the same in all shards of a build.
    """

    members: Annotated[tuple[str, ...], Field(min_length=1)]

    def entry(self) -> ShardEntry:
        """The shard's entry in the index."""
        return ShardEntry(**self.model_dump(exclude={"members"}))


def write_shard(path: Path, samples: Iterable[Sample]) -> ShardRecord:
    """Write one shard: under a temporary name, flushed to disk, read back, hashed, renamed.

    Raises:
        ValueError: the name is not a shard's, there is no sample, a key appears twice, or the
            samples do not all carry the same members.
        OSError: the disk is full, or the bytes read back differ from those written.
    """
    if not layout.SHARD_NAME_PATTERN.fullmatch(path.name):
        raise ValueError(f"{path.name!r} is not a shard's name; expected e.g. train-000000.tar")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        count, scenes, names = _write_samples(file, samples)
    return ShardRecord(
        name=path.name,
        samples=count,
        bytes=file.tell(),
        sha256=file.sha256.hexdigest(),
        scenes=tuple(sorted(scenes)),
        members=names,
    )


def _write_samples(
    file: HashingFile, samples: Iterable[Sample]
) -> tuple[int, set[str], tuple[str, ...]]:
    keys: set[str] = set()
    scenes: set[str] = set()
    names: tuple[str, ...] = ()
    extra: list[str] = []
    with tarfile.open(fileobj=cast(IO[bytes], file), mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            if sample.key in keys:
                raise ValueError(f"two samples have the key {sample.key!r}")
            packed = pack_sample(sample)
            names, extra = names or tuple(sorted(packed)), extra or sorted(sample.extra)
            if (tuple(sorted(packed)), sorted(sample.extra)) != (names, extra):
                odd = sorted({*packed, *sample.extra} ^ {*names, *extra})
                raise ValueError(
                    f"sample {sample.key!r} differs from the first in {', '.join(odd)}; all "
                    "samples of a build carry the same members and the same keys in `extra`"
                )
            keys.add(sample.key)
            scenes.add(sample.scene_id)
            for name in names:
                tar.addfile(
                    _header(f"{sample.key}.{name}", len(packed[name])), io.BytesIO(packed[name])
                )
    if not keys:
        raise ValueError("a shard needs at least one sample")
    return len(keys), scenes, names


def _header(name: str, size: int) -> tarfile.TarInfo:
    """A plain ustar header: nothing in it depends on when, where or by whom it was written."""
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o644
    header.mtime = 0
    return header
