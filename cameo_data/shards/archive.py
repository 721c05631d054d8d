"""A shard as a file: the places of its members in the tar, without decoding them."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cameo_data.errors import DataError, Reason
from cameo_data.io.parsing import one_line
from cameo_data.io.whole_files import file_sha256
from cameo_data.shards import checksums, layout
from cameo_data.shards.writer import ShardEntry

REMEDY = "copy the shard again, or delete it and run the build again"
_MEMBER = re.compile(rf"({layout.KEY_PATTERN.pattern})\.([A-Za-z0-9_.-]+)")


@dataclass(frozen=True)
class SampleEntry:
    """The places of a sample's members in its shard: name -> (offset, bytes)."""

    key: str
    members: Mapping[str, tuple[int, int]]


def check_shard(path: Path, entry: ShardEntry, *, hashes: bool) -> None:
    """Check that the shard exists and has its stated size and (on request) its hash.

    Raises:
        DataError: it does not.
    """
    if not path.is_file():
        raise damaged(path, "no such file", f"a shard of {entry.bytes} bytes")
    if (size := path.stat().st_size) != entry.bytes:
        raise damaged(path, f"{size} bytes", f"{entry.bytes} bytes")
    if hashes and (found := file_sha256(path)) != entry.sha256:
        raise damaged(path, f"SHA-256 {found}", entry.sha256)


def read_table(path: Path, entry: ShardEntry, names: Collection[str]) -> list[SampleEntry]:
    """The samples of a shard in order, found by its tar headers alone.

    Raises:
        DataError: not a plain tar of samples, or the number of samples differs from the index,
            or their members differ from ``names``.
    """
    members: dict[str, dict[str, tuple[int, int]]] = {}
    last = ""
    for header in _headers(path):
        match = _MEMBER.fullmatch(header.name)
        # accept exactly what the writer writes: no links, sparse files or extended headers
        if match is None or header.type != tarfile.REGTYPE:
            raise damaged(path, f"entry {header.name[:100]!r}", "plain files named KEY.MEMBER")
        key, name = match.groups()
        if name in members.get(key, ()) or (key != last and key in members):
            raise damaged(path, f"{header.name} twice or apart", "each sample in one piece")
        members.setdefault(key, {})[name] = (header.offset_data, header.size)
        last = key
    for key, found in members.items():
        if odd := sorted(found.keys() ^ set(names)):
            state = "has" if odd[0] in found else "lacks"
            raise damaged(
                path, f"sample {key} {state} .{odd[0]}", "the same members in all samples"
            )
    if len(members) != entry.samples:
        raise damaged(path, f"{len(members)} samples", str(entry.samples))
    return [SampleEntry(key, found) for key, found in members.items()]


def _headers(path: Path) -> Iterator[tarfile.TarInfo]:
    """The headers of a plain tar up to its end mark, ``offset_data`` set.

    ``tarfile`` parses each block of 512 bytes but does not walk the file: it would follow the long
    names, PAX records and sparse maps of a hostile tar and read as much as they say.
    """
    at = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while True:
                file.seek(at)
                header = tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "ascii", "strict")
                header.offset_data = at + tarfile.BLOCKSIZE
                if not 0 <= header.size <= size - header.offset_data:
                    raise ValueError(f"{header.name[:100]!r} of {header.size} bytes")
                yield header
                blocks = -(-header.size // tarfile.BLOCKSIZE)
                at = header.offset_data + blocks * tarfile.BLOCKSIZE
    except tarfile.HeaderError as error:
        if at and type(error).__name__ == "EOFHeaderError":  # the end mark: a block of zeros
            return
        raise damaged(path, f"no tar header at byte {at} ({error})", "a plain tar") from None
    except (OSError, ValueError) as error:
        raise damaged(path, f"not a readable tar ({one_line(error)})", "a plain tar") from None


def read_members(
    path: Path, entry: SampleEntry, names: Collection[str] | None = None
) -> dict[str, bytes]:
    """Bytes of a sample's members, or only of ``names``, checked against their checksums.

    Raises:
        DataError: the file ends before them or cannot be read, or a checksum differs.
    """
    wanted = entry.members.keys() if names is None else names
    found = _read(path, entry, {*wanted, layout.CRC32} & entry.members.keys())
    if layout.CRC32 in found:
        covered = {name: data for name, data in found.items() if name != layout.CRC32}
        try:
            checksums.check(found[layout.CRC32], covered)
        except ValueError as error:
            raise damaged(path, f"sample {entry.key}: {error}", "members as written") from None
    return {name: found[name] for name in wanted}


def _read(path: Path, entry: SampleEntry, names: Collection[str]) -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    try:
        with path.open("rb") as file:
            for name in sorted(names):
                offset, size = entry.members[name]
                file.seek(offset)
                out[name] = file.read(size)
                if len(out[name]) != size:
                    raise damaged(
                        path, f"the end of the file in {entry.key}.{name}", f"{size} bytes"
                    )
    except OSError as error:
        raise damaged(path, f"an unreadable file ({one_line(error)})", "a shard") from None
    return out


def damaged(path: Path, found: str, expected: str, remedy: str = REMEDY) -> DataError:
    """The error for a build that differs from what was written."""
    return DataError(
        Reason.DAMAGED_SHARD, dataset=str(path), found=found, expected=expected, remedy=remedy
    )
