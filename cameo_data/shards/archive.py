"""A shard as a file: what lies where in the tar, without decoding any of it."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cameo_data.errors import DataError, Reason
from cameo_data.shards import layout
from cameo_data.shards.writer import ShardEntry, file_sha256

REMEDY = "copy the shard again, or delete it and run the build again"
_MEMBER = re.compile(rf"({layout.KEY_PATTERN.pattern})\.([A-Za-z0-9_.-]+)")


@dataclass(frozen=True)
class SampleEntry:
    """Where a sample's members lie in its shard: name -> (offset, bytes)."""

    key: str
    members: Mapping[str, tuple[int, int]]


def check_shard(path: Path, entry: ShardEntry, *, hashes: bool) -> None:
    """Nothing, if the shard is there, of its size and (on request) its hash.

    Raises:
        DataError: it is not.
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
        DataError: no plain tar of samples, another number of them than the index says, or other
            members than ``names``.
    """
    members: dict[str, dict[str, tuple[int, int]]] = {}
    last = ""
    try:
        with tarfile.open(path, "r:") as tar:
            for header in tar:
                match = _MEMBER.fullmatch(header.name)
                # exactly what the writer writes: no links, no sparse files, no extended headers
                if match is None or header.type != tarfile.REGTYPE or header.pax_headers:
                    raise damaged(path, f"entry {header.name!r}", "plain files named KEY.MEMBER")
                key, name = match.groups()
                if name in members.get(key, ()) or (key != last and key in members):
                    raise damaged(path, f"{header.name} twice or apart", "each sample in one piece")
                members.setdefault(key, {})[name] = (header.offset_data, header.size)
                last = key
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise damaged(path, f"no readable tar ({error})", "a plain tar") from None
    for key, found in members.items():
        if odd := sorted(found.keys() ^ set(names)):
            state = "has" if odd[0] in found else "lacks"
            raise damaged(
                path, f"sample {key} {state} .{odd[0]}", "the same members in all samples"
            )
    if len(members) != entry.samples:
        raise damaged(path, f"{len(members)} samples", str(entry.samples))
    return [SampleEntry(key, found) for key, found in members.items()]


def read_members(path: Path, entry: SampleEntry) -> dict[str, bytes]:
    """Bytes of a sample's members.

    Raises:
        DataError: the file ends before them.
    """
    out: dict[str, bytes] = {}
    with path.open("rb") as file:
        for name, (offset, size) in entry.members.items():
            file.seek(offset)
            out[name] = file.read(size)
            if len(out[name]) != size:
                raise damaged(path, f"the end of the file in {entry.key}.{name}", f"{size} bytes")
    return out


def damaged(path: Path, found: str, expected: str, remedy: str = REMEDY) -> DataError:
    """The error of a build that is not as it was written."""
    return DataError(
        Reason.DAMAGED_SHARD, dataset=str(path), found=found, expected=expected, remedy=remedy
    )
