"""``ShardReader``: typed samples of a finished build, or one line that says what is wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal
from shard_fixtures import build_of, finish, make_build, make_sample

from cameo_data import DataError, ShardReader
from cameo_data.errors import Reason
from cameo_data.shards.index import read_index


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader") / "pristine"
    groups = [[make_sample("a-0"), make_sample("a-1")], [make_sample("b-0")], [make_sample("c-0")]]
    build_of(folder, groups)
    return folder


@pytest.fixture
def build(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "build"))


def damage(build: Path) -> str:
    """The message of a build that cannot be read."""
    with pytest.raises(DataError) as caught:
        list(ShardReader(build, check_hashes=True))
    assert caught.value.failure.reason is Reason.DAMAGED_SHARD
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(";") >= 2  # found; expected; remedy
    return message


def test_order_and_random_access(pristine: Path) -> None:
    reader = ShardReader(pristine)
    keys = ["a-0", "a-1", "b-0", "c-0"]
    assert len(reader) == 4
    assert [sample.key for sample in reader] == keys
    assert list(reader.keys()) == keys
    assert [reader[i].key for i in range(-4, 4)] == keys * 2
    assert [sample.key for sample in reader.shard(0)] == ["a-0", "a-1"]
    for i in (4, -5):
        with pytest.raises(IndexError):
            reader[i]


def test_members_are_the_stored_bytes(pristine: Path) -> None:
    reader = ShardReader(pristine, keep_encoded=True)
    members = reader.members(2)
    assert sorted(members) == list(reader.index.members)
    assert members["1.png"] == reader[2].encoded[1].data
    assert ShardReader(pristine)[2].encoded == ()


def test_passes_to_worker_processes(pristine: Path) -> None:
    reader = ShardReader(pristine)
    reader[0]
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301 - our own object
    assert_array_equal(again[3].depths[0].z, reader[3].depths[0].z)


def test_links_to_shards_are_followed(pristine: Path, tmp_path: Path) -> None:
    """The cache of huggingface_hub is made of links."""
    linked = tmp_path / "linked"
    (linked / "shards").mkdir(parents=True)
    for path in pristine.rglob("*"):
        if path.is_file():
            (linked / path.relative_to(pristine)).symlink_to(path)
    assert len(list(ShardReader(linked, check_hashes=True))) == 4


def test_same_build_anywhere(pristine: Path, build: Path) -> None:
    other = build.parent / "other"
    groups = [[make_sample("a-0"), make_sample("a-1")], [make_sample("b-0")], [make_sample("c-0")]]
    build_of(other, groups)
    for path in pristine.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (other / path.relative_to(pristine)).read_bytes()


def test_unfinished(build: Path) -> None:
    (build / "index.json").unlink()
    assert "no index.json; expected a finished build" in damage(build)
    assert "no index.json" in damage(build / "nowhere")


def test_shard_missing_cut_or_altered(build: Path) -> None:
    path = build / "shards" / "tiny-000001.tar"
    data = path.read_bytes()
    path.write_bytes(data[:-512])
    assert f"tiny-000001.tar: {len(data) - 512} bytes; expected {len(data)} bytes" in damage(build)
    altered = bytearray(data)
    altered[len(data) // 2] ^= 1
    path.write_bytes(altered)
    assert "tiny-000001.tar: SHA-256" in damage(build)
    path.unlink()
    assert "tiny-000001.tar: no such file" in damage(build)


@pytest.mark.parametrize("part", range(16))
def test_every_bit_of_the_index_counts(build: Path, part: int) -> None:
    path = build / "index.json"
    data = path.read_bytes()
    for position in range(part, len(data), 16):
        altered = bytearray(data)
        altered[position] ^= 1 << (position // 16 % 8)
        path.write_bytes(altered)
        with pytest.raises(DataError) as caught:
            read_index(build)
        assert "\n" not in str(caught.value)


def test_index_cut_anywhere(build: Path) -> None:
    path = build / "index.json"
    data = path.read_bytes()
    for length in range(0, len(data), 61):
        path.write_bytes(data[:length])
        assert "index.json: " in damage(build)
    path.write_bytes(data + b" ")
    assert "do not match its own sha256" in damage(build)


@pytest.mark.parametrize(
    "name", ["../evil.tar", "/etc/passwd", "pipe:id.tar", "a/b.tar", "x.tar\n"]
)
def test_index_may_not_lead_elsewhere(build: Path, name: str) -> None:
    path = build / "index.json"
    record = json.loads(path.read_text())
    record["shards"][0]["name"] = name
    path.write_text(json.dumps(record))
    assert "index.shards.0.name: " in damage(build)


def test_index_of_a_newer_format(build: Path) -> None:
    path = build / "index.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 3'))
    assert "index.format_version: input should be 1 or 2" in damage(build)


def test_damage_met_while_reading(build: Path) -> None:
    """Without hashes, what a reader decodes is checked still, by its checksum."""
    path = build / "shards" / "tiny-000000.tar"
    data = path.read_bytes()
    at = data.index(b"IHDR")
    path.write_bytes(data[: at + 4] + b"\xff\xff\xff\xff" + data[at + 8 :])
    with pytest.raises(DataError) as caught:
        ShardReader(build)[0]
    assert "sample a-0: 0.depth.png16 has CRC-32 " in str(caught.value)
    path.write_bytes(data.replace(b'{"dataset"', b'{"dotoset"', 1))
    with pytest.raises(DataError, match="sample a-0: json has CRC-32"):
        ShardReader(build)[0]


def test_write_index_refuses(tmp_path: Path) -> None:
    index = make_build(tmp_path / "one", shards=1)
    with pytest.raises(ValueError, match="at least one shard"):
        finish(tmp_path / "one", [])
    assert index.samples == 2
