"""``index.json``: lists what a build holds and marks it as finished."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from cameo_data.io import records
from cameo_data.io.parsing import MAX_JSON_BYTES
from cameo_data.io.whole_files import file_sha256, remove_partials, write_file
from cameo_data.shards import layout, side_files
from cameo_data.shards.archive import damaged
from cameo_data.shards.layout import SHARD_FOLDER
from cameo_data.shards.writer import Count, Sha256, ShardEntry, ShardRecord

INDEX = "index.json"
# The build writes these before the index, and the index covers those that exist.
BUILD_FILES = ("recipe.yaml", "failures.jsonl")
# Enough for some 400 000 shards.
MAX_INDEX_BYTES = MAX_JSON_BYTES
_UNSIGNED = "0" * 64


class FileRecord(BaseModel):
    """A file beside the shards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bytes: Count
    sha256: Sha256


class BuildIndex(BaseModel):
    """``index.json``.

    Attributes:
        recipe, recipe_hash: the resolved configuration of the build and its hash.
        counts: frames found, used, left out and so on, by the build.
        members: what every sample holds, sorted.
        companions: the files beside the shards, by name.
        sha256: of this very file with these 64 digits replaced by zeros.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["cameo-shards"]
    format_version: layout.FormatVersion
    tool_version: str
    name: str
    recipe: dict[str, JsonValue]
    recipe_hash: str
    counts: dict[str, JsonValue]
    members: Annotated[tuple[str, ...], Field(min_length=1)]
    samples: Annotated[int, Field(ge=1)]
    bytes: Count
    shards: Annotated[tuple[ShardEntry, ...], Field(min_length=1)]
    companions: dict[str, FileRecord]
    sha256: Sha256

    @property
    def data_hash(self) -> str:
        """SHA-256 over the hashes of all shards in order: equal where two builds hold the same
        bytes, whatever their folder, tool version or companions."""
        return hashlib.sha256("".join(shard.sha256 for shard in self.shards).encode()).hexdigest()

    @model_validator(mode="after")
    def _consistent(self) -> BuildIndex:
        names = [shard.name for shard in self.shards]
        if names != sorted(set(names)):
            raise ValueError("shards are not in order or appear twice")
        if self.samples != sum(shard.samples for shard in self.shards):
            raise ValueError("samples are not the sum over the shards")
        if self.bytes != sum(shard.bytes for shard in self.shards):
            raise ValueError("bytes are not the sum over the shards")
        if (layout.CRC32 in self.members) != (self.format_version > 1):
            raise ValueError(f"format version {self.format_version} and members do not go together")
        allowed = {*side_files.NAMES, *BUILD_FILES}
        if odd := sorted(self.companions.keys() - allowed):
            raise ValueError(f"{odd[0]!r} is not a file of a build")
        return self


def write_index(
    build_dir: Path,
    *,
    recipe: Mapping[str, Any],
    recipe_hash: str,
    tool_version: str,
    shards: Sequence[ShardRecord],
    counts: Mapping[str, Any],
    name: str | None = None,
    licence: str | None = None,
) -> BuildIndex:
    """Finish a build: write the companions of its shards, and ``index.json`` last.

    ``recipe.yaml`` and ``failures.jsonl`` must be there already, where the build has them; nothing
    may still be writing shards.

    Args:
        name: of the data set, for people; what the shards' names begin with by default.
        licence: of the data the shards were made from, for the card, e.g. ``cc-by-4.0``.

    Raises:
        ValueError: no shards, or their samples hold different members.
    """
    if not shards:
        raise ValueError("a build needs at least one shard")
    ordered = tuple(sorted(shards, key=lambda shard: shard.name))
    if odd := [shard.name for shard in ordered if shard.members != ordered[0].members]:
        raise ValueError(
            f"samples of {odd[0]} hold other members than those of {ordered[0].name}; where "
            "another version of cameo wrote some of them, delete the shards and build again"
        )
    remove_partials(build_dir)
    remove_partials(build_dir / SHARD_FOLDER)
    about = side_files.About(name or ordered[0].name.rpartition("-")[0], licence, tool_version)
    files = {n: _record(build_dir / n) for n in BUILD_FILES if (build_dir / n).is_file()}
    for file_name, data in side_files.texts(about, ordered, counts, files):
        write_file(build_dir / file_name, data)
        files[file_name] = _record(build_dir / file_name)
    index = records.made(
        BuildIndex,
        "index",
        format="cameo-shards",
        format_version=layout.FORMAT_VERSION,
        tool_version=tool_version,
        name=about.name,
        recipe=dict(recipe),
        recipe_hash=recipe_hash,
        counts=dict(counts),
        members=ordered[0].members,
        samples=sum(shard.samples for shard in ordered),
        bytes=sum(shard.bytes for shard in ordered),
        shards=tuple(shard.entry() for shard in ordered),
        companions=files,
        sha256=_UNSIGNED,
    )
    unsigned = (index.model_dump_json(indent=1) + "\n").encode()
    digest = hashlib.sha256(unsigned).hexdigest()
    write_file(build_dir / INDEX, _with_digest(unsigned, digest))
    return index.model_copy(update={"sha256": digest})


def read_index(build_dir: Path) -> BuildIndex:
    """The index of a finished build, its own hash checked.

    Raises:
        DataError: the build is not finished, or the index is damaged.
    """
    path = build_dir / INDEX
    if not path.is_file():
        raise damaged(
            build_dir,
            f"no {INDEX}",
            f"a finished build, which has {INDEX}",
            "run the build again to finish it, or check the path",
        )
    if (size := path.stat().st_size) > MAX_INDEX_BYTES:
        raise damaged(path, f"{size} bytes", f"at most {MAX_INDEX_BYTES}", _AGAIN)
    data = path.read_bytes()
    try:
        index = records.parse(BuildIndex, data, "index")
    except ValueError as error:
        raise damaged(
            path, str(error), "an index that this version of cameo wrote", _AGAIN
        ) from None
    unsigned = _with_digest(data, _UNSIGNED)
    if hashlib.sha256(unsigned).hexdigest() != index.sha256:
        raise damaged(path, "bytes that do not match its own sha256", index.sha256, _AGAIN)
    return index


_AGAIN = "copy it again, or run the build again"


def _record(path: Path) -> FileRecord:
    return FileRecord(bytes=path.stat().st_size, sha256=file_sha256(path))


def _with_digest(data: bytes, digest: str) -> bytes:
    """The index with its own digest, the last one in it, replaced."""
    pattern = rb'("sha256": ?")[0-9a-f]{64}("\s*\}\s*)\Z'
    return re.sub(pattern, rb"\g<1>" + digest.encode() + rb"\g<2>", data)
