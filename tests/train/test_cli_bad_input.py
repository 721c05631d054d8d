"""What people feed ``cameo-train fit`` with by mistake: each is one line that says what to do."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from build_scenes import recipe
from click.testing import CliRunner
from diffusers import HunyuanDiT2DModel, UNet2DConditionModel
from networks import DIT, UNET
from runs import over, rows

from cameo_data import ShardReader, Verdict
from cameo_data.build import build
from cameo_data.shards import checksums
from cameo_data.shards.layout import CRC32
from cameo_train.cli import main

pytestmark = pytest.mark.usefixtures("small")


def run(shards, out, *flags):
    common = ["--shards", shards, "--out", out, "--model", "small", "--workers", 0, "--batch", 1]
    arguments = ["fit", *over([*common, "--steps", 6, "--log-every", 2], flags)]
    return CliRunner().invoke(main, [str(a) for a in arguments])


def one_line(done, code=1):
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def members(path, ending):
    """Offset and size of the members of a tar with such names."""
    with tarfile.open(path) as tar:
        return [(m.offset_data, m.size) for m in tar if m.name.endswith(ending)]


def restore_checksums(path):
    """Makes the checksums of a changed shard right, as if it had been written like that."""
    with tarfile.open(path) as tar:
        entries = {m.name: (m.offset_data, tar.extractfile(m).read()) for m in tar}
    data = bytearray(path.read_bytes())
    for name, (offset, old) in entries.items():
        key, member = name.split(".", 1)
        if member == CRC32:
            of_sample = {
                other.removeprefix(f"{key}."): body
                for other, (_, body) in entries.items()
                if other.startswith(f"{key}.") and other != name
            }
            new = checksums.made(of_sample)
            assert len(new) == len(old)
            data[offset : offset + len(new)] = new
    path.write_bytes(data)


@pytest.fixture
def shards(tiny_build, tmp_path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(tiny_build[0], tmp_path / "shards")


def damage(shards, sample):
    """Breaks one sample, without changing the size of its shard; where it is."""
    reader = ShardReader(shards)
    number, row = reader._locate(sample)
    path = reader.shard_path(number)
    offset, _ = members(path, ".verdict8.npy")[row]
    data = bytearray(path.read_bytes())
    data[offset : offset + 6] = bytes(6)
    path.write_bytes(data)
    return path


def test_shards_without_matches(tiny_scenes, tmp_path):
    shards = tmp_path / "shards"
    build(recipe(tiny_scenes, corr="none"), shards)
    line = one_line(run(shards, tmp_path / "run"))
    assert line == (
        "error: the model's tokens need matches at stride 8, the shards store none; build with "
        "--stride 8 or train with --targets online"
    )
    done = run(shards, tmp_path / "run", "--targets", "online")
    assert done.exit_code == 0, done.output


def test_images_of_a_size_that_the_model_cannot_take(tiny_scenes, tmp_path):
    shards = tmp_path / "shards"
    build(recipe(tiny_scenes, size="46x34", strides=[2]), shards)
    line = one_line(run(shards, tmp_path / "run"))
    assert "does not divide images of 34×46 (h×w) into square cells" in line
    line = one_line(run(shards, tmp_path / "run", "--weight", 0), code=2)
    assert "images are 34×46 (h×w); this model needs multiples of 4" in line


def test_no_visible_match_is_counted_and_shown(shards, tmp_path):
    for path in shards.rglob("*.tar"):
        data = bytearray(path.read_bytes())
        for offset, size in members(path, ".verdict8.npy"):
            body = slice(offset + size - 3 * 3 * 6 * 8, offset + size)
            data[body] = data[body].replace(bytes([Verdict.VISIBLE]), bytes([Verdict.OCCLUDED]))
        path.write_bytes(data)
        restore_checksums(path)
    done = run(shards, tmp_path / "run", "--accumulate", 2)
    assert done.exit_code == 0, done.output
    assert "step 2, diffusion" in done.stderr
    assert "2 samples without a visible match" in done.stderr
    assert "12 samples without a visible match" in done.stdout
    for row in rows(tmp_path / "run"):
        assert (row["rows"], row["unmatched"], row["correspondence"]) == (0, 2, 0)
        assert row["loss"] == row["diffusion"]
        assert "precision" not in row


def test_a_damaged_sample_is_named_and_left_out_up_to_the_allowance(shards, tmp_path):
    path = damage(shards, 0)
    line = one_line(run(shards, tmp_path / "no", "--steps", 20))
    assert "1 damaged samples, 0 allowed (--max-damaged); last: " in line
    assert path.name in line
    # every epoch meets it again; it counts once
    done = run(shards, tmp_path / "run", "--steps", 20, "--max-damaged", 1)
    assert done.exit_code == 3, done.output
    assert sum(row["damaged"] for row in rows(tmp_path / "run")) > 1
    named = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert len(named) == 1
    assert path.name in named[0]
    assert f"left out 1 damaged sample: see {tmp_path}/run/failures.jsonl" in done.stdout
    written = [
        json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()
    ]
    assert [(one["sample"], one["reason"]) for one in written] == [(0, "damaged_shard")]
    # it is remembered over a stop
    damage(shards, 1)
    done = run(shards, tmp_path / "run", "--steps", 40, "--max-damaged", 1)
    assert done.exit_code == 1
    assert "2 damaged samples, 1 allowed" in done.stderr.splitlines()[-1]


def test_weights_of_another_architecture(shards, tmp_path):
    wide = UNet2DConditionModel(**{**UNET, "block_out_channels": (24, 32)})
    wide.save_pretrained(tmp_path / "wide" / "unet")
    line = one_line(run(shards, tmp_path / "run", "--weights", tmp_path / "wide"), code=2)
    assert "weights of another architecture: conv_in.bias" in line
    HunyuanDiT2DModel(**DIT, in_channels=4).save_pretrained(tmp_path / "dit")
    line = one_line(run(shards, tmp_path / "run", "--weights", tmp_path / "dit"), code=2)
    assert line == (
        f"error: weights of another architecture: {tmp_path}/dit is of HunyuanDiT2DModel, this "
        "model needs UNet2DConditionModel"
    )
    line = one_line(run(shards, tmp_path / "run", "--weights", tmp_path / "nowhere"), code=2)
    assert "nowhere" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags, code, says",
    [
        (["--mixed-precision", "fp16"], 1, "--mixed-precision fp16 needs a GPU; CPUs take bf16"),
        (["--fsdp"], 1, "--fsdp needs several processes; start it with torchrun"),
        (["--fsdp", "--mixed-precision", "fp16"], 2, "fsdp: works with mixed_precision no or bf16"),
    ],
)
def test_what_cannot_be_had_here(shards, tmp_path, flags, code, says):
    assert says in one_line(run(shards, tmp_path / "run", *flags), code)


def test_accelerate_set_up_for_its_own_fsdp(shards, tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "distributed_type", "FSDP")
    line = one_line(run(shards, tmp_path / "run"))
    assert line.startswith("error: accelerate is set up for FSDP; leave that out there")
