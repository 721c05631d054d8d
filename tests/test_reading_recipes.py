"""The recipes of docs/shards.md, run as they stand there on a small build."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from shard_fixtures import make_build

from cameo_data import ShardReader

DOCS = Path(__file__).resolve().parents[1] / "docs" / "shards.md"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes") / "built"
    make_build(folder, strides=(1, 8, 16), masks=True)
    return folder


def recipe(first_line: str, build: Path) -> str:
    """The code block of the docs that begins with this line, reading from ``build``."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(first_line)]
    return str(found).replace("my-shards", str(build))


def run(build: Path, *first_lines: str, **names: Any) -> dict[str, Any]:
    """Names defined by these blocks, run one after another."""
    for line in first_lines:
        exec(compile(recipe(line, build), f"docs/shards.md: {line}", "exec"), names)  # noqa: S102
    return names


def check_against_reader(build: Path, decoded: dict[str, Any], names: dict[str, Any]) -> None:
    """What a recipe decoded of the last sample equals what our own reader says."""
    sample = ShardReader(build)[-1]
    for n in range(3):
        assert_array_equal(names["depth"](decoded, n).astype(np.float32), sample.depths[n].z)
        assert_array_equal(decoded[f"{n}.mask.png8"] > 0, sample.masks[n])
    assert_array_equal(decoded["intrinsics.npy"], np.stack([c.K for c in sample.cameras]))
    maps = sample.correspondence[8]
    assert_array_equal(np.asarray(decoded["verdict8.npy"]), maps.verdict)
    steps = decoded["json"]["xy_steps_per_px"]
    dense = sample.correspondence[1]
    assert_array_equal(decoded["verdict1.0-2.png8"], dense.verdict[0, 2])
    x = np.where(dense.verdict[0, 2] >= 3, dense.xy[0, 2][..., 0], 0)
    assert_array_equal(decoded["xy1.0-2.x.png16"] / steps, x)


def test_own_reader(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(build, "from cameo_data import ShardReader", "from cameo_data import rederive")
    assert "4 samples" in capsys.readouterr().out
    assert_array_equal(names["dense"].verdict, names["sample"].correspondence[1].verdict)
    assert_array_equal(names["dense"].xy, names["sample"].correspondence[1].xy)


# webdataset and mlcroissant leave the closing of their files to the garbage collector
def unclosed(test: Any) -> Any:
    for category in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
        test = pytest.mark.filterwarnings(f"ignore::{category}")(test)
    return test


@unclosed
def test_plain_webdataset(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(build, "import io", "import glob")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ShardReader(build).keys())
    check_against_reader(build, names["sample"], names)
    sample = ShardReader(build)[-1]
    xy_a, xy_b, visible = names["matches"](names["sample"], 0, 1, stride=8)
    assert visible.any()
    assert_array_equal(xy_b[visible], sample.correspondence[8].xy[0, 1][visible])
    assert_array_equal(xy_a[0, 0], [4, 4])
    assert_array_equal(names["sample"]["2.png"], sample.images[2])


def test_plain_tarfile(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(build, "import io", "import os")
    assert len(capsys.readouterr().out.splitlines()) == 2
    check_against_reader(build, names["sample"], names)


def test_plain_tarfile_notices_damage(build: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(build, copy)
    path = min((copy / "shards").iterdir())
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        between = tar.getmembers()[8].offset  # where tarfile itself sees a shorter archive
    for length in (0, 700, between, len(data) - 10_240, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="is not as long as index"):
            run(copy, "import io", "import os")
    at = data.index(b"IDAT") + 20
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(ValueError, match=r"png\d* is missing or damaged"):
        run(copy, "import io", "import os")


@pytest.fixture
def offline_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The ``datasets`` package, kept off the network and with its caches in ``tmp_path``."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    return datasets


def test_hugging_face_streaming(
    build: Path, offline_datasets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(build, "import io", "import datasets")
    assert len(capsys.readouterr().out.splitlines()) == 4
    check_against_reader(build, names["sample"], names)
    image = names["row"]["1.png"]
    assert_array_equal(np.asarray(image), ShardReader(build)[-1].images[1])


def test_hugging_face_card(build: Path, offline_datasets: Any) -> None:
    rows = offline_datasets.load_dataset(str(build), split="train")
    assert rows["__key__"] == list(ShardReader(build).keys())
    assert isinstance(rows[0]["0.depth.png16"], bytes)
    assert isinstance(rows.features["0.png"], offline_datasets.Image)
    assert rows[0]["json"]["frame_ids"] == ["frame.000 1", "frame.000 2", "übrig"]


@unclosed
def test_training_loader(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(build, "import io", "import glob")
    capsys.readouterr()
    for block in ("import json", "from torch.utils.data"):
        batches = run(build, block, **names)
        assert len(capsys.readouterr().out.splitlines()) == 2
        assert batches["batch"]["image"].shape == (2, 3, 3, 48, 64)
        assert batches["batch"]["xy"].shape == (2, 3, 3, 3, 4, 2)
        names = batches


@pytest.mark.parametrize("shards", [1, 5])
@pytest.mark.parametrize(
    "blocks",
    [
        ("import json",),
        ("import json", "from torch.utils.data"),
    ],
    ids=["resampled", "random access"],
)
def test_processes_take_equally_many_batches(
    tmp_path: Path, shards: int, blocks: tuple[str, ...]
) -> None:
    """Whatever the number of shards: a process with fewer batches would hang the other."""
    build = tmp_path / "built"
    make_build(build, shards=shards, samples=5, strides=(8, 16))
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                here / "recipe_ranks.py",
                str(rank),
                build,
                tmp_path / "meet",
                *blocks,
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ended = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for process, (_, errors) in zip(processes, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    one, other = (out.splitlines()[-1] for out, _ in ended)
    assert one == other == f"batches: {[2] * max(1, 5 * shards // 4)}"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sums(build: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=build,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checked = {line.split(": ")[0] for line in done.stdout.splitlines()}
    files = {str(path.relative_to(build)) for path in build.rglob("*") if path.is_file()}
    assert checked == files - {"SHA256SUMS", "index.json"}


def test_wids_list(build: Path) -> None:
    """The fields that webdataset's wids_specs.check_shards and resolve_dsdesc demand."""
    listed = json.loads((build / "shards.json").read_text())
    assert listed["wids_version"] == 1
    for shard in listed["shardlist"]:
        assert (build / shard["url"]).stat().st_size == shard["filesize"]
    assert [shard["nsamples"] for shard in listed["shardlist"]] == [2, 2]


@unclosed
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_croissant(build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path))  # read when it is imported
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(build / "croissant.json"))
    assert not dataset.metadata.issues.errors
    keys = [record["samples/key"].decode() for record in dataset.records("samples")]
    assert sorted(keys) == list(ShardReader(build).keys())
