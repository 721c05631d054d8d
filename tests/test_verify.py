"""``verify``: whatever is wrong with a build is found and named, one line each."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from shard_fixtures import build_of, finish, make_build, make_sample

from cameo_data.cli import main
from cameo_data.errors import DataError
from cameo_data.io import whole_files
from cameo_data.shards import archive, checksums, members
from cameo_data.shards.index import read_index
from cameo_data.shards.verify import verify_build
from cameo_data.shards.writer import ShardRecord
from cameo_data.types import PairMaps, Sample

SHARDS = ("tiny-000000.tar", "tiny-000001.tar")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "pristine"
    make_build(folder)
    return folder


@pytest.fixture
def build(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "build"))


def problems(build: Path, groups: int | None = 0) -> list[str]:
    """Messages without the folder and the remedy."""
    found = [problem.message for problem in verify_build(build, groups=groups).problems]
    assert not any("\n" in message for message in found)
    return [message.removeprefix(f"{build}/") for message in found]


@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {"strides": ()},
        {"strides": (1, 16), "masks": True, "restricted": True},
        {"masks": True, "ext": "jpg", "hw": (50, 70)},
    ],
    ids=str,
)
def test_a_whole_build_passes(tmp_path: Path, kinds: dict[str, Any]) -> None:
    make_build(tmp_path / "build", **kinds)
    report = verify_build(tmp_path / "build", groups=None)
    assert report.ok, report.problems
    assert (report.shards, report.samples, report.groups) == (2, 4, 4)
    assert report.index_sha256 == read_index(tmp_path / "build").sha256


def test_what_a_build_may_have_beside_it(build: Path) -> None:
    (build / ".build").mkdir()
    (build / ".gitattributes").write_text("")
    (build / "preview.html").write_text("")
    assert problems(build) == []


def all_files(build: Path) -> list[Path]:
    return sorted(path for path in build.rglob("*") if path.is_file())


def test_one_flipped_bit_in_any_file(build: Path) -> None:
    rng = np.random.default_rng(0)
    for path in all_files(build):
        data = path.read_bytes()
        # first and last byte (a tar ends in padding), and some between
        for position in {0, len(data) - 1, *rng.integers(0, len(data), 4).tolist()}:
            altered = bytearray(data)
            altered[position] ^= 1 << rng.integers(8)
            path.write_bytes(altered)
            found = problems(build)
            assert len(found) == 1, (path, position, found)
            assert found[0].startswith(f"{path.relative_to(build)}: ")
        path.write_bytes(data)
    assert problems(build) == []


def test_truncation_anywhere(build: Path) -> None:
    rng = np.random.default_rng(1)
    for path in all_files(build):
        data = path.read_bytes()
        for length in {0, 1, len(data) - 1, *rng.integers(0, len(data), 3).tolist()}:
            path.write_bytes(data[:length])
            found = problems(build)
            assert len(found) == 1, (path, length, found)
            assert found[0].startswith(f"{path.relative_to(build)}: ")
        path.write_bytes(data + b"\0")
        assert len(problems(build)) == 1
        path.write_bytes(data)


def test_missing_and_extra_files(build: Path) -> None:
    for path in all_files(build):
        data = path.read_bytes()
        path.unlink()
        (found,) = problems(build)
        name = path.relative_to(build)
        assert found.startswith(
            f"{name}: no such file" if path.name != "index.json" else str(build)
        )
        path.write_bytes(data)
    for name in ("notes.txt", "shards/tiny-000002.tar", "shards/.x.partial"):
        (build / name).write_text("")
        (found,) = problems(build)
        assert found.startswith(f"{name}: a file; expected only ")
        (build / name).unlink()
    shutil.rmtree(build / "shards")
    assert len(problems(build)) == 2


def test_all_problems_are_reported(build: Path) -> None:
    (build / "shards" / SHARDS[0]).write_bytes(b"")
    (build / "shards" / SHARDS[1]).unlink()
    (build / "README.md").write_text("hello")
    assert len(problems(build)) == 3


# --- builds whose hashes are right, but whose content is not ---------------------------------


def reindexed(build: Path, edit: Callable[[list[tuple[str, bytes]]], None], **claims: Any) -> None:
    """Rewrite the first shard's tar entries and an index that believes them."""
    old = read_index(build)
    path = build / "shards" / SHARDS[0]
    with tarfile.open(path) as tar:
        entries = [(e.name, tar.extractfile(e).read()) for e in tar]  # type: ignore[union-attr]
    edit(entries)
    entries = summed(entries)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    records = [
        ShardRecord(**{**entry.model_dump(), "members": old.members}) for entry in old.shards
    ]
    changed = {"bytes": path.stat().st_size, "sha256": whole_files.file_sha256(path), **claims}
    records[0] = records[0].model_copy(update=changed)
    finish(build, records)


def summed(entries: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The same with checksums that believe them."""
    samples: dict[str, dict[str, bytes]] = {}
    for entry, data in entries:
        key, _, name = entry.partition(".")
        samples.setdefault(key, {})[name] = data
    out = []
    for entry, data in entries:
        key, _, name = entry.partition(".")
        covered = {n: d for n, d in samples[key].items() if n != "crc32"}
        out.append((entry, checksums.made(covered) if name == "crc32" else data))
    return out


def member_of(name: str, change: Callable[[bytes], bytes]) -> Callable[[list[Any]], None]:
    """Changes one member of the first sample."""

    def edit(entries: list[tuple[str, bytes]]) -> None:
        for i, (entry, data) in enumerate(entries):
            if entry == f"scene-a_000000.{name}":
                entries[i] = (entry, change(data))
                return
        raise AssertionError(name)

    return edit


def json_with(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({**json.loads(data), **fields}).encode()


def rename(old: str, new: str) -> Callable[[list[Any]], None]:
    def edit(entries: list[tuple[str, bytes]]) -> None:
        entries[:] = [(name.replace(old, new), data) for name, data in entries]

    return edit


CONTENT: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "sample gone": (lambda e: e.__delitem__(slice(len(e) // 2, None)), "1 samples; expected 2"),
    "member gone": (lambda e: e.pop(3), "sample scene-a_000000 lacks .1.png"),
    "member added": (lambda e: e.insert(0, ("scene-a_000000.a.txt", b"")), "has .a.txt"),
    "member twice": (lambda e: e.insert(0, e[0]), "twice or apart"),
    "foreign entry": (lambda e: e.append(("README", b"")), "entry 'README'"),
    "path in a key": (rename("scene-a", "../scene-a"), "entry '../scene-a"),
    "key of another shard": (rename("scene-a_", "scene-b_"), "json says key"),
    "json": (member_of("json", lambda data: b"{}"), "sample scene-a_000000: json."),
    "strides": (member_of("json", json_with(strides=[8])), "disagree about confidence16.npy"),
    "scene": (member_of("json", json_with(scene_id="other")), "scenes other, scene/a"),
    "extra": (member_of("json", json_with(extra={})), "is in some samples only"),
}


@pytest.mark.parametrize("case", CONTENT)
def test_content_that_no_hash_can_tell(build: Path, case: str) -> None:
    edit, message = CONTENT[case]
    reindexed(build, edit)
    found = problems(build)
    assert found
    assert message in found[0]


@pytest.mark.parametrize("kind", ["link", "hard link", "sparse", "extended header", "folder"])
def test_a_shard_holds_plain_files_only(build: Path, kind: str) -> None:
    path = build / "shards" / SHARDS[0]
    types = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "folder": tarfile.DIRTYPE}
    header = tarfile.TarInfo("scene-a_000000.json")
    header.type = types.get(kind, tarfile.REGTYPE)
    header.linkname = "../../index.json" if "link" in kind else ""
    if kind == "extended header":
        header.pax_headers = {"comment": "x"}
    data = header.tobuf(tarfile.PAX_FORMAT if header.pax_headers else tarfile.GNU_FORMAT)
    if kind == "sparse":  # GNU's old format: a type of its own and one empty region
        header.type = tarfile.GNUTYPE_SPARSE
        data = header.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(data + b"\0" * 1024)
    entry = read_index(build).shards[0]
    with pytest.raises(
        DataError, match=r"expected plain files named KEY\.MEMBER|not a readable tar"
    ):
        archive.read_table(path, entry, ["json"])


def test_keys_are_unique_in_the_build(tmp_path: Path) -> None:
    build_of(tmp_path / "build", [[make_sample("a")], [make_sample("a")]])
    (found,) = problems(tmp_path / "build")
    assert "sample a: the key is also in tiny-000000.tar" in found


def with_maps(sample: Sample, change: Callable[[PairMaps], PairMaps]) -> Sample:
    return replace(
        sample, correspondence={**sample.correspondence, 8: change(sample.correspondence[8])}
    )


def moved(maps: PairMaps) -> PairMaps:
    """One visible query lands a sixty-fourth of a pixel further on."""
    xy = maps.xy.copy()
    a, b, r, c = np.argwhere(maps.verdict == 5)[0]
    xy[a, b, r, c, 0] += np.float32(1 / 64)
    return replace(maps, xy=xy)


def judged(maps: PairMaps) -> PairMaps:
    verdict = maps.verdict.copy()
    verdict[tuple(np.argwhere(verdict == 5)[0])] = 4
    return replace(maps, verdict=verdict)


def doubted(maps: PairMaps) -> PairMaps:
    confidence = maps.confidence.copy()
    confidence[tuple(np.argwhere(confidence > 0.5)[0])] -= np.float32(1 / 255)
    return replace(maps, confidence=confidence)


def turned(sample: Sample) -> Sample:
    return replace(sample, rotation_deg=sample.rotation_deg + 0.001 * (1 - np.eye(3)))


def overlapping(sample: Sample) -> Sample:
    return replace(sample, overlap=sample.overlap * 0.99)


LIES: dict[str, tuple[Callable[[Sample], Sample], str]] = {
    "xy": (
        lambda s: with_maps(s, moved),
        "xy at stride 8: 1 of 864 values differ, by up to 0.0156",
    ),
    "verdict": (lambda s: with_maps(s, judged), "verdict at stride 8: 1 of 432 values differ"),
    "confidence": (lambda s: with_maps(s, doubted), "confidence at stride 8: 1 of 432"),
    "rotation": (turned, "rotation_deg is not the angle"),
    "overlap": (overlapping, "overlap is not the share of VISIBLE at stride 16"),
    "mask": (lambda s: replace(s, restricted_to_mask=False), "verdict at stride 8"),
}


@pytest.mark.parametrize("case", LIES)
def test_matches_that_do_not_follow_from_depth_and_poses(tmp_path: Path, case: str) -> None:
    change, message = LIES[case]
    sample = make_sample("a", masks=True, restricted=True)
    build_of(tmp_path / "build", [[change(sample)]])
    assert problems(tmp_path / "build", groups=0) == []
    assert any(message in found for found in problems(tmp_path / "build", groups=1))


def test_lies_at_full_resolution(tmp_path: Path) -> None:
    sample = make_sample("a", strides=(1,))
    maps = sample.correspondence[1]
    build_of(tmp_path / "build", [[replace(sample, correspondence={1: judged(maps)})]])
    (found,) = problems(tmp_path / "build", groups=None)
    assert "verdict at stride 1: 1 of 27648 values differ" in found


def test_groups_are_chosen_by_the_seed(tmp_path: Path) -> None:
    samples = [make_sample(f"a-{n}") for n in range(6)]
    samples[4] = turned(samples[4])
    build_of(tmp_path / "build", [samples])
    found = [not verify_build(tmp_path / "build", groups=2, seed=seed).ok for seed in range(12)]
    assert any(found)
    assert not all(found)
    assert not verify_build(tmp_path / "build", groups=None).ok


# --- the command -----------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["verify", *arguments])


def test_command_says_that_all_is_well(build: Path) -> None:
    result = run(str(build), "--groups", "all")
    assert result.exit_code == 0, result.output
    assert "2 shards, 4 samples" in result.stdout
    assert "matches of 4 samples derived again, identical" in result.stdout


def test_command_names_each_problem(build: Path) -> None:
    (build / "shards" / SHARDS[0]).unlink()
    (build / "README.md").unlink()
    result = run(str(build))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(": ")[1].split(";")[0] for line in lines] == ["no such file"] * 2
    assert "2 problems" in result.stderr


def test_command_json(build: Path) -> None:
    result = run(str(build), "--json", "--groups", "1")
    record = json.loads(result.stdout)
    assert record["ok"] is True
    assert record["groups"] == 1
    (build / "shards.json").write_text("[]")
    result = run(str(build), "--json")
    record = json.loads(result.stdout)
    assert result.exit_code == 1
    assert record["problems"][0]["reason"] == "damaged_shard"
    assert result.stderr == ""


def test_command_of_no_build(tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert result.exit_code == 1
    assert "no index.json; expected a finished build" in result.stdout


@pytest.mark.parametrize("groups", ["-1", "few", "1.5"])
def test_command_usage(build: Path, groups: str) -> None:
    result = run(str(build), f"--groups={groups}")
    assert result.exit_code == 2
    assert "expected a number or `all`" in result.stderr


def test_png_bytes_do_not_matter_to_rederiving(build: Path) -> None:
    """Another zlib may pack the same codes differently; only what they decode to counts."""
    import cv2

    def repack(data: bytes) -> bytes:
        codes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        out = cv2.imencode(".png", codes, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        assert out != data
        assert members.decode_png(out, codes.shape, 16) is not None
        return bytes(out)

    reindexed(build, member_of("0.depth.png16", repack))
    assert problems(build, groups=None) == []
