"""Packing samples, and shards on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from PIL import Image
from shard_fixtures import HW, encode_image, make_sample

from cameo_data.io import whole_files
from cameo_data.shards import members
from cameo_data.shards.pack import pack_sample
from cameo_data.shards.unpack import unpack_sample
from cameo_data.shards.writer import write_shard
from cameo_data.types import DepthMap, EncodedImage, Sample

KINDS = {
    "token": {},
    "none": {"strides": ()},
    "full, masks": {"strides": (1, 4), "masks": True, "restricted": True},
    "odd size, jpg": {"hw": (50, 67), "ext": "jpg"},
    "webp": {"ext": "webp"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: str) -> None:
    sample = make_sample(**KINDS[kind])  # type: ignore[arg-type]
    packed = pack_sample(sample)
    back = unpack_sample(packed, keep_encoded=True)
    assert back.encoded == sample.encoded
    for name in ("key", "dataset", "scene_id", "frame_ids", "unit", "depth_source", "extra",
                 "overlap_stride", "restricted_to_mask"):  # fmt: skip
        assert getattr(back, name) == getattr(sample, name)
    assert_array_equal(back.rotation_deg, sample.rotation_deg)
    assert_array_equal(back.overlap, sample.overlap)
    for n in range(3):
        assert_array_equal(back.cameras[n].K, sample.cameras[n].K)
        assert_array_equal(back.cameras[n].cam_from_world, sample.cameras[n].cam_from_world)
        assert_array_equal(back.depths[n].z, sample.depths[n].z)
        assert_array_equal(back.depths[n].valid, sample.depths[n].valid)
        if sample.encoded[n].ext == "png":
            assert_array_equal(back.images[n], sample.images[n])
        if sample.masks[n] is None:
            assert back.masks[n] is None
        else:
            assert_array_equal(back.masks[n], sample.masks[n])
    assert list(back.correspondence) == list(sample.correspondence)
    for stride, maps in sample.correspondence.items():
        stored = back.correspondence[stride]
        assert_array_equal(stored.verdict, maps.verdict)
        assert_array_equal(np.isnan(stored.xy), np.isnan(maps.xy))
        assert np.nanmax(np.abs(stored.xy - maps.xy)) <= 1 / 64
        assert np.abs(stored.confidence - maps.confidence).max() <= 0.5 / 255 + 1e-6
    assert pack_sample(back) == packed


def test_json_is_plain_sorted_ascii() -> None:
    data = pack_sample(make_sample())["json"]
    record = json.loads(data)
    assert data == json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert record["frame_ids"][2] == "übrig"
    assert record["hw"] == list(HW)
    assert record["strides"] == [8, 16]
    assert len(record["depth_max_rel_error"]) == 3
    assert 0 < max(record["depth_max_rel_error"]) < 1e-3


def test_images_are_the_given_bytes() -> None:
    sample = make_sample(ext="jpg")
    assert pack_sample(sample)["1.jpg"] == sample.encoded[1].data


def with_first(sample: Sample, name: str, value: object) -> Sample:
    """The sample with another first image or depth."""
    return replace(sample, **{name: (value, *getattr(sample, name)[1:])})


def not_quantised(depth: DepthMap) -> DepthMap:
    ramp = np.linspace(1, 1 + 1e-5, depth.z.size, dtype=np.float32)
    return DepthMap.from_array(depth.z * ramp.reshape(depth.hw))


# case -> (what is done to the sample, what the message names)
REFUSED: dict[str, tuple[Callable[[Sample], Sample], str]] = {
    "key with a dot": (lambda s: replace(s, key="a.b"), "key"),
    "key of webdataset's own": (lambda s: replace(s, key="__a__"), "key"),
    "key too long": (lambda s: replace(s, key="a" * 73), "key"),
    "no images": (lambda s: replace(s, encoded=()), "0 encoded for 3 views"),
    "one depth smaller": (
        lambda s: with_first(s, "depths", DepthMap.from_array(np.ones((4, 4)))),
        "views of sizes",
    ),
    "depth not quantised": (
        lambda s: with_first(s, "depths", not_quantised(s.depths[0])),
        "quantise_depth",
    ),
    "masks of some views": (
        lambda s: replace(s, masks=(np.ones(HW, np.bool_), None, None)),
        "some have none",
    ),
    "image of another size": (
        lambda s: with_first(s, "encoded", encode_image(np.zeros((10, 12, 3), np.uint8), "png")),
        "10×12",
    ),
    "image of another kind": (
        lambda s: with_first(s, "encoded", EncodedImage("jpg", s.encoded[0].data)),
        "not a jpg image",
    ),
    "image of an unknown kind": (
        lambda s: with_first(s, "encoded", EncodedImage("gif", b"GIF89a")),
        "gif",
    ),
    "maps of another stride": (
        lambda s: replace(s, correspondence={4: s.correspondence[8]}),
        "stride 4",
    ),
    "NaN": (lambda s: replace(s, overlap=np.full((3, 3), np.nan)), "overlap"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_contradictions_are_refused(case: str) -> None:
    change, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        pack_sample(change(make_sample()))
    assert "\n" not in str(caught.value)


def test_turned_photographs_are_refused() -> None:
    """Readers disagree about EXIF orientation, so the pixels would not fit the camera."""
    image = Image.fromarray(make_sample().images[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    with pytest.raises(ValueError, match="EXIF orientation 6"):
        members.check_image(buffer.getvalue(), "jpg", HW)


def test_rewriting_gives_the_same_bytes(tmp_path: Path) -> None:
    samples = [make_sample("a"), make_sample("b", pair=5)]
    first = write_shard(tmp_path / "one" / "x-000000.tar", samples)
    second = write_shard(tmp_path / "two" / "x-000000.tar", iter(samples))
    assert first == second
    data = [(tmp_path / n / "x-000000.tar").read_bytes() for n in ("one", "two")]
    assert data[0] == data[1]
    assert first.sha256 == hashlib.sha256(data[0]).hexdigest()
    assert first.bytes == len(data[0])
    assert first.samples == 2
    assert first.scenes == ("scene/a, Küche",)


def test_tar_is_plain_ustar(tmp_path: Path) -> None:
    path = tmp_path / "x-000000.tar"
    key = "k" * 72
    record = write_shard(path, [make_sample(key, strides=(1, 8), masks=True)])
    with tarfile.open(path, "r:") as tar:
        entries = tar.getmembers()
        assert tar.pax_headers == {}
    assert {entry.type for entry in entries} == {tarfile.REGTYPE}
    assert [entry.name for entry in entries] == [f"{key}.{name}" for name in record.members]
    assert list(record.members) == sorted(record.members)
    assert {(e.mtime, e.mode, e.uid, e.gid, e.uname, e.gname) for e in entries} == {
        (0, 0o644, 0, 0, "", "")
    }
    assert path.read_bytes()[257:265] == b"ustar\x0000"
    assert max(len(entry.name) for entry in entries) <= 100


def test_samples_of_a_shard_agree(tmp_path: Path) -> None:
    path = tmp_path / "x-000000.tar"
    with pytest.raises(ValueError, match=r"'b' differs from the first in .*mask"):
        write_shard(path, [make_sample("a"), make_sample("b", masks=True)])
    with pytest.raises(ValueError, match=r"'b' differs from the first in bin, strategy"):
        write_shard(path, [make_sample("a"), replace(make_sample("b"), extra={})])
    with pytest.raises(ValueError, match="two samples have the key 'a'"):
        write_shard(path, [make_sample("a"), make_sample("a")])
    with pytest.raises(ValueError, match="at least one sample"):
        write_shard(path, [])
    with pytest.raises(ValueError, match="not a shard's name"):
        write_shard(tmp_path / "x.tar.gz", [make_sample("a")])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_shard(tmp_path: Path) -> None:
    path = tmp_path / "x-000000.tar"
    write_shard(path, [make_sample("a")])
    before = path.read_bytes()

    def failing() -> Iterator[Sample]:
        yield make_sample("b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(path, failing())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_lies_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "file_sha256", lambda path: "0" * 64)
    with pytest.raises(OSError, match="bytes read back differ"):
        write_shard(tmp_path / "x-000000.tar", [make_sample("a")])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "x-000000.tar", [make_sample("a")])
    assert list(tmp_path.iterdir()) == []


Change = Callable[[bytes], bytes | None]


def json_with(field: str, value: object) -> Change:
    """The record with one field changed."""
    return lambda data: json.dumps({**json.loads(data), field: value}).encode()


def array(values: NDArray[Any]) -> Change:
    return lambda data: members.encode_npy(values)


def object_array(data: bytes) -> bytes:
    """An array that only unpickling can read."""
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.array([{}], object), version=(1, 0))
    return buffer.getvalue()


def gone(data: bytes) -> None:
    return None


BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (50_000).to_bytes(4) * 2

# case -> (member, what becomes of it, what the message says)
DAMAGES: dict[str, tuple[str, Change, str]] = {
    "json missing": ("json", gone, "json is missing"),
    "json cut": ("json", lambda data: data[:50], "json: invalid JSON"),
    "newer format": (
        "json",
        json_with("format_version", 3),
        "format_version: input should be 1 or 2",
    ),
    "no height": ("json", json_with("hw", [0, 64]), "json.hw.0"),
    "huge": ("json", json_with("hw", [60000, 60000]), "exceed 100000000 pixels"),
    "strides": ("json", json_with("strides", [16, 8]), "strides do not rise"),
    "overlap": ("json", json_with("overlap", [[1, 0, 0]]), "overlap is not 3×3"),
    "range": ("json", json_with("depth_inverse_range", [[1, 0.5]] * 3), "not a range"),
    "no range": ("json", json_with("depth_inverse_range", [[0, 0]] * 3), "gives it no range"),
    "unit": ("json", json_with("unit", "mile"), "json.unit"),
    "one view": ("json", json_with("frame_ids", ["a"]), "json.frame_ids"),
    "unknown field": ("json", json_with("surprise", 1), "json.surprise: extra inputs"),
    "steps": ("json", json_with("xy_steps_per_px", 0), "json.xy_steps_per_px"),
    "array missing": ("xy8.npy", gone, "xy8.npy is missing"),
    "image missing": ("1.png", gone, "found 0 of them, expected 1"),
    "image twice": ("1.jpg", lambda data: b"", "found 2 of them, expected 1"),
    "unknown member": ("x.pkl", lambda data: b"cos\nsystem\n", "x.pkl belongs to no sample"),
    "array of another type": ("xy8.npy", array(np.zeros(3)), "xy8.npy: array is float64 (3,)"),
    "array cut": ("xy8.npy", lambda data: data[:-1], "xy8.npy: array holds"),
    "array without header": ("xy8.npy", lambda data: b"junk", "xy8.npy: "),
    "array header cut": ("xy8.npy", lambda data: data[:40], "xy8.npy: "),
    "pickle": ("xy8.npy", object_array, "xy8.npy: array is object"),
    "unknown verdict": (
        "verdict8.npy",
        array(np.full((3, 3, 6, 8), 6, np.uint8)),
        "verdict8.npy: unknown verdict",
    ),
    "bent pose": ("cam_from_world.npy", array(np.zeros((3, 4, 4))), "last row"),
    "singular K": ("intrinsics.npy", array(np.zeros((3, 3, 3))), "focal lengths 0"),
    "depth of another size": (
        "0.depth.png16",
        lambda data: members.encode_png(np.zeros((480, 640), np.uint16)),
        "480×640",
    ),
    "depth of 8 bits": (
        "0.depth.png16",
        lambda data: members.encode_png(np.zeros(HW, np.uint8)),
        "8 bits",
    ),
    "no PNG": ("0.depth.png16", lambda data: b"abc", "0.depth.png16: not a PNG"),
    "depth cut": ("0.depth.png16", lambda data: data[:100], "0.depth.png16: PNG is truncated"),
    "image cut": ("0.png", lambda data: data[:20], "0.png: not a png image"),
    "image bomb": ("0.png", lambda data: BOMB + data[24:], "0.png: "),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_members_are_named(case: str) -> None:
    member, change, message = DAMAGES[case]
    packed = pack_sample(make_sample(strides=(1, 8), masks=True))
    damaged = change(packed.pop(member, b""))
    if damaged is not None:
        packed[member] = damaged
    with pytest.raises(ValueError) as caught:
        unpack_sample(packed)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_png_settings_are_lossless() -> None:
    codes = np.random.default_rng(0).integers(0, 65536, (40, 50), np.uint16)
    data = members.encode_png(codes)
    assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), codes)
    assert_array_equal(members.decode_png(data, (40, 50), 16), codes)
