"""Shards that were altered after they were written: noticed as they are read, in bounded memory."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from shard_fixtures import make_build

from cameo_data import ShardReader
from cameo_data.cli import main
from cameo_data.errors import DataError
from cameo_data.shards import archive, checksums
from cameo_data.shards.index import read_index
from cameo_data.shards.verify import verify_build
from cameo_data.types import Sample


def shard_of(build: Path) -> Path:
    (path,) = (build / "shards").iterdir()
    return path


def values_of(sample: Sample) -> list[Any]:
    """Everything that a reader gives, comparable."""
    arrays = [sample.rotation_deg, sample.overlap, *sample.images]
    arrays += [part for depth in sample.depths for part in (depth.z, depth.valid)]
    arrays += [mask for mask in sample.masks if mask is not None]
    arrays += [part for camera in sample.cameras for part in (camera.K, camera.cam_from_world)]
    for stride, maps in sorted(sample.correspondence.items()):
        arrays += [np.array(stride), maps.xy, maps.verdict, maps.confidence]
    plain = (sample.key, sample.scene_id, sample.frame_ids, sample.unit, sample.depth_source)
    return [plain, json.dumps(sample.extra), *(array.tobytes() for array in arrays)]


def flip(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << (bit % 8)
    return bytes(out)


@pytest.mark.parametrize("ext", ["jpg", "png"])
def test_no_flipped_bit_gives_other_values(tmp_path: Path, ext: str) -> None:
    """300 flips anywhere in a shard, none of which changes its size, read without hashes."""
    make_build(tmp_path, shards=1, samples=1, strides=(16,), masks=True, ext=ext)
    path = shard_of(tmp_path)
    data = path.read_bytes()
    reader = ShardReader(tmp_path)
    expected = values_of(reader[0])
    chosen = random.Random(7)
    noticed = 0
    for _ in range(300):
        path.write_bytes(flip(data, chosen.randrange(8 * len(data))))
        try:
            found = ShardReader(tmp_path)[0]
        except DataError:
            noticed += 1
        else:
            assert values_of(found) == expected  # the flip was in the padding
    assert noticed > 200


def test_members_are_compared_with_their_checksums(tmp_path: Path) -> None:
    make_build(tmp_path, shards=1, samples=1)
    found = ShardReader(tmp_path).members(0)
    text = found.pop("crc32")
    assert text == checksums.made(found)
    assert text.splitlines()[0].split()[1] == min(found).encode()
    checksums.check(text, found)
    with pytest.raises(ValueError, match="json has CRC-32"):
        checksums.check(text, {**found, "json": found["json"] + b" "})
    with pytest.raises(ValueError, match="expected a checksum of it"):
        checksums.check(text, {**found, "new": b""})
    with pytest.raises(ValueError, match="crc32 is not a list of checksums"):
        checksums.check(text[:-1], found)


def as_version_1(build: Path) -> None:
    """The build as cameo wrote it before there were checksums."""
    path = shard_of(build)
    with tarfile.open(path) as tar:
        entries = [(e.name, tar.extractfile(e).read()) for e in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries:
            if name.endswith(".crc32"):
                continue
            if name.endswith(".json"):
                data = data.replace(b'"format_version":2', b'"format_version":1')
            header = tarfile.TarInfo(name)
            header.size = len(data)
            header.mode = 0o644
            tar.addfile(header, io.BytesIO(data))
    record = json.loads((build / "index.json").read_text())
    record["format_version"] = 1
    record["members"].remove("crc32")
    shard = record["shards"][0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sums = (build / "SHA256SUMS").read_text().replace(shard["sha256"], digest)
    (build / "SHA256SUMS").write_text(sums)
    record["companions"]["SHA256SUMS"]["sha256"] = hashlib.sha256(sums.encode()).hexdigest()
    shard["sha256"] = digest
    shard["bytes"] = record["bytes"] = path.stat().st_size
    unsigned = json.dumps({**record, "sha256": "0" * 64}, indent=1)
    signed = {**record, "sha256": hashlib.sha256(unsigned.encode()).hexdigest()}
    (build / "index.json").write_text(json.dumps(signed, indent=1))


def test_shards_without_checksums_are_read_as_before(tmp_path: Path) -> None:
    make_build(tmp_path, shards=1, samples=2)
    expected = [values_of(sample) for sample in ShardReader(tmp_path)]
    as_version_1(tmp_path)
    assert [values_of(sample) for sample in ShardReader(tmp_path)] == expected
    report = verify_build(tmp_path, groups=None)
    assert report.ok, report.problems
    assert "format version 1 has no checksums" in report.notes[0]
    result = CliRunner().invoke(main, ["verify", str(tmp_path)])
    assert result.exit_code == 0
    assert "format version 1 has no checksums" in result.stdout
    # the remedy that the note names finds what reading does not
    path = shard_of(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"\1")
    with pytest.raises(DataError, match="SHA-256"):
        ShardReader(tmp_path, check_hashes=True)


def test_versions_do_not_mix(tmp_path: Path) -> None:
    make_build(tmp_path, shards=1, samples=1)
    path = tmp_path / "index.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 1'))
    with pytest.raises(DataError, match="format version 1 and members do not go together"):
        ShardReader(tmp_path)


# --- hostile tars ----------------------------------------------------------------------------


def header(name: str = "a-0.json", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def resized(field: bytes) -> bytes:
    """A header whose size field holds these 12 bytes, its checksum right."""
    data = bytearray(header())
    data[124:136] = field
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def pax(records: bytes, kind: bytes) -> bytes:
    padded = records + bytes(-len(records) % 512)
    return header("x", len(records), kind) + padded + header()


HOSTILE = {
    "long name of 2^60": header("././@LongLink", 2**60, tarfile.GNUTYPE_LONGNAME),
    "long link of 2^60": header("././@LongLink", 2**60, tarfile.GNUTYPE_LONGLINK),
    "PAX of 2^60": header("x", 2**60, tarfile.XHDTYPE),
    "member of 2^60": header(size=2**60),
    "negative size": resized(b"\xff" + b"\xff" * 10 + b"\x00"),
    "size that is not a number": resized(b"12345678x\0\0\0"),
    "PAX size": pax(b"30 size=99999999999999999999\n", tarfile.XHDTYPE),
    "PAX sparse": pax(b"22 GNU.sparse.major=1\n", tarfile.XHDTYPE),
    "PAX without length": pax(b"x=1\n", tarfile.XHDTYPE),
    "PAX of length 0": pax(b"0 x=1\n", tarfile.XHDTYPE),
    "global PAX": pax(b"11 path=\xff\n", tarfile.XGLTYPE),
    "sparse": header(kind=tarfile.GNUTYPE_SPARSE),
    "name that is no ASCII": header("a-0.\udcff"),
    "device": header(kind=tarfile.BLKTYPE),
    "no header": b"\x01" * 512,
    "cut header": header()[:300],
    "nothing": b"",
    "zeros alone": bytes(1024),
    "no end mark": header(),
    "gzip": b"\x1f\x8b" + bytes(600),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tars_are_one_error_in_little_memory(tmp_path: Path, case: str) -> None:
    make_build(tmp_path, shards=1, samples=1)
    entry = read_index(tmp_path).shards[0]
    path = tmp_path / "x.tar"
    path.write_bytes(HOSTILE[case])
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        archive.read_table(path, entry, ["json"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.failure.reason == "damaged_shard"
    assert "\n" not in str(caught.value)
    assert peak < 1_000_000


def test_a_tar_cut_between_entries_is_noticed(tmp_path: Path) -> None:
    make_build(tmp_path, shards=1, samples=2)
    index = read_index(tmp_path)
    path = shard_of(tmp_path)
    table = archive.read_table(path, index.shards[0], index.members)
    data = path.read_bytes()
    start = min(offset for offset, _ in table[1].members.values()) - 512
    path.write_bytes(data[:start])
    with pytest.raises(DataError, match="no tar header at byte"):
        archive.read_table(path, index.shards[0], index.members)
    path.unlink()
    with pytest.raises(DataError, match="not a readable tar"):
        archive.read_table(path, index.shards[0], index.members)


def test_a_member_that_cannot_be_read_names_the_shard(tmp_path: Path) -> None:
    make_build(tmp_path, shards=1, samples=1)
    reader = ShardReader(tmp_path)
    list(reader.keys())
    shard_of(tmp_path).unlink()
    with pytest.raises(DataError, match=r"tiny-000000\.tar: an unreadable file"):
        reader.members(0)
