"""The samples of a finished build as typed NumPy records."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from cameo_data.shards import archive
from cameo_data.shards.archive import SampleEntry
from cameo_data.shards.index import BuildIndex, read_index
from cameo_data.shards.layout import SHARD_FOLDER
from cameo_data.shards.unpack import unpack_sample
from cameo_data.types import Sample

# Number of shards whose tar headers are kept in memory; random access rarely needs more at a time,
# and the headers of 32 samples with 20 members take about 100 kB.
_KEPT_TABLES = 256


class ShardReader:
    """Samples of a finished build, in order or by number; every one is checked as it is read.

    Files are open only during a read, so a reader may be passed to worker processes.

    Args:
        build_dir: the folder that holds ``index.json``.
        check_hashes: also compare each shard's SHA-256 now, which reads the whole build.
        keep_encoded: also keep the image files' bytes, as ``Sample.encoded``.

    Raises:
        DataError: the build is not finished, its index is damaged, or a shard is missing, has
            another size or (with ``check_hashes``) is altered; also on reading a damaged sample.

    Example:
        >>> reader = ShardReader("shards")  # doctest: +SKIP
        >>> len(reader), reader[-1].key  # doctest: +SKIP
        (24, 'objects-0001-000011')
        >>> for sample in reader:  # doctest: +SKIP
        ...     print(sample.key, sample.correspondence[8].verdict.shape)
    """

    def __init__(
        self,
        build_dir: Path | str,
        *,
        check_hashes: bool = False,
        keep_encoded: bool = False,
    ) -> None:
        self.build_dir = Path(build_dir)
        self.index: BuildIndex = read_index(self.build_dir)
        self._keep_encoded = keep_encoded
        self._ends = list(accumulate(shard.samples for shard in self.index.shards))
        self._tables: dict[int, list[SampleEntry]] = {}
        for number, shard in enumerate(self.index.shards):
            archive.check_shard(self.shard_path(number), shard, hashes=check_hashes)

    def __len__(self) -> int:
        """The number of samples in the build."""
        return self.index.samples

    def __getitem__(self, i: int) -> Sample:
        """Sample number ``i``, counted over all shards; a negative ``i`` counts from the end."""
        number, row = self._locate(i)
        return self._read(number, self._table(number)[row])

    def __iter__(self) -> Iterator[Sample]:
        """All samples in order."""
        for number in range(len(self.index.shards)):
            yield from self.shard(number)

    def shard(self, number: int) -> Iterator[Sample]:
        """The samples of one shard in order, so that each worker can read its own shards."""
        return (self._read(number, entry) for entry in self._table(number))

    def keys(self) -> Iterator[str]:
        """Keys of all samples in order; reads tar headers only."""
        return (
            entry.key for number in range(len(self.index.shards)) for entry in self._table(number)
        )

    def members(self, i: int) -> dict[str, bytes]:
        """The undecoded members of sample number ``i``, by name without the key."""
        number, row = self._locate(i)
        return archive.read_members(self.shard_path(number), self._table(number)[row])

    def shard_path(self, number: int) -> Path:
        """The file of shard ``number``."""
        return self.build_dir / SHARD_FOLDER / self.index.shards[number].name

    def _locate(self, i: int) -> tuple[int, int]:
        """Shard number of a sample, and its place in the shard."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of a build of {len(self)}")
        i %= len(self)
        number = bisect.bisect_right(self._ends, i)
        return number, i - (self._ends[number - 1] if number else 0)

    def _table(self, number: int) -> list[SampleEntry]:
        table = self._tables.pop(number, None)
        if table is None:
            table = archive.read_table(
                self.shard_path(number), self.index.shards[number], self.index.members
            )
        self._tables[number] = table
        if len(self._tables) > _KEPT_TABLES:
            del self._tables[next(iter(self._tables))]
        return table

    def _read(self, number: int, entry: SampleEntry) -> Sample:
        path = self.shard_path(number)
        found = archive.read_members(path, entry)
        try:
            sample = unpack_sample(found, keep_encoded=self._keep_encoded)
            if sample.key != entry.key:
                raise ValueError(f"json says key {sample.key!r}")
        except ValueError as error:
            raise archive.damaged(
                path, f"sample {entry.key}: {error}", "members as docs/shards.md says"
            ) from None
        return sample
