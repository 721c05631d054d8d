"""Two processes that share a batch train as one does: DDP and FSDP, on the CPU over gloo."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from runs import rows, small_run
from safetensors.torch import load_file

from cameo_train.training import checkpoint, loop

pytestmark = pytest.mark.usefixtures("small")
HERE = Path(__file__).resolve().parent
STEPS = 4
SETTINGS = {"ema": 0.9, "accumulate": 2, "weight": 0.5, "log_every": 2, "max_rows": 40}


def flags(**settings):
    """Command line of a configuration."""
    given = []
    for key, value in settings.items():
        name = f"--{key.replace('_', '-')}"
        given += [name] if value is True else [name, str(value)]
    return given


def free_ports(count):
    """Ports that nobody listens on, below those that systems give to outgoing connections.

    Each test process has a range of its own, and draws anew: the global generator starts alike in
    all of them, so that two at a time took the same ports and waited for each other's ranks.
    """
    found = []
    start = 20_000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10)
    for port in random.SystemRandom().sample(range(start, start + 1000), 1000):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) != 0:
                found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def two_processes(folder: Path, commands):
    """Exit codes and outputs of both processes, of ``cameo-train fit`` run over and over."""
    script = folder / "commands"
    ports = free_ports(len(commands))
    lines = (json.dumps([port, *line]) for port, line in zip(ports, commands, strict=True))
    script.write_text("\n".join(lines))
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    common |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "ranks.py", script],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ended = [process.communicate(timeout=600) for process in processes]
    finally:  # one waits for the other for ever if that has failed
        for process in processes:
            process.kill()
            process.communicate()
    for process, (_, errors) in zip(processes, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [[json.loads(line) for line in out.splitlines()] for out, _ in ended]


@pytest.fixture(scope="module")
def shards(tiny_build) -> Path:
    return tiny_build[0]


@pytest.fixture(scope="module")
def ran(shards, tmp_path_factory):
    """Folder of all runs of two processes, and what these said."""
    out = tmp_path_factory.mktemp("ranks")
    common = {"shards": shards, "model": "small", "workers": 0, "lr": 3e-3, "batch": 1}
    common |= {"steps": STEPS, **SETTINGS}

    def command(name, **changes):
        return flags(**{**common, "out": out / name, **changes})

    stop = {"stop_at": 2 * SETTINGS["accumulate"], "rank": 1}
    commands = {
        "ddp": command("ddp"),
        "ddp-stopped": [stop, *command("ddp-stopped")],
        "fsdp": command("fsdp", fsdp=True, sample_every=4),
        "fsdp-stopped": [stop, *command("fsdp-stopped", fsdp=True)],
        "ddp-goes-on": command("fsdp-stopped"),
        "bf16": command(
            "bf16", fsdp=True, steps=1, mixed_precision="bf16", gradient_checkpointing=True
        ),
    }
    said = two_processes(out, list(commands.values()))
    return out, {name: [one[i] for one in said] for i, name in enumerate(commands)}


@pytest.fixture
def alone(shards, tmp_path):
    """One process with the same global batch, uninterrupted."""
    config = small_run(shards, tmp_path / "alone", batch=2, steps=STEPS, **SETTINGS)
    loop.fit(config)
    return tmp_path / "alone"


def last(run: Path, name="weights"):
    return load_file(run / "checkpoints" / f"step-{STEPS:07d}" / f"{name}.safetensors")


def assert_same(run: Path, other: Path):
    """The same curve and the same weights up to the order of float32 sums."""
    one, two = rows(run), rows(other)
    assert [row["step"] for row in one] == list(range(1, STEPS + 1))
    for a, b in zip(one, two, strict=True):
        for key in ("loss", "diffusion", "correspondence", "grad_norm"):
            assert a[key] == pytest.approx(b[key], rel=1e-4), key
        for key in ("rows", "lr", "epoch", "unmatched", "damaged"):
            assert a[key] == b[key]
        assert ("precision" in a) == ("precision" in b)
    assert one[0]["rows"] > 0
    for name in ("weights", "ema"):
        found, expected = last(run, name), last(other, name)
        assert found.keys() == expected.keys()
        for key, value in found.items():
            # Where a gradient is nothing but rounding, AdamW enlarges it to a step of its own size:
            # which single weights that are depends on the processor. Other data on one of the
            # processes would move most weights of every tensor by up to STEPS times 3e-3.
            apart = ~torch.isclose(value, expected[key], rtol=1e-3, atol=1e-4)
            assert int(apart.sum()) <= 1 + value.numel() // 10_000, key


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_processes_train_as_one_does(ran, alone, name):
    out, said = ran
    assert [one["code"] for one in said[name]] == [0, 0], said[name]
    assert_same(out / name, alone)
    # rank 0 alone says how it ended
    assert "step 4" in said[name][0]["output"]


@pytest.mark.parametrize("name", ["ddp-stopped", "fsdp-stopped"])
def test_one_signalled_process_stops_both_and_one_goes_on(ran, alone, name, shards):
    out, said = ran
    assert [one["code"] for one in said[name]] == [75, 75], said[name]
    if name == "ddp-stopped":
        config = small_run(shards, out / name, batch=2, steps=STEPS, **SETTINGS)
        loop.fit(config)
    else:
        assert [one["code"] for one in said["ddp-goes-on"]] == [0, 0], said["ddp-goes-on"]
    assert_same(out / name, alone)


def test_the_global_batch_must_stay_the_same(ran, shards):
    out, _ = ran
    config = small_run(shards, out / "ddp", batch=1, steps=STEPS, **SETTINGS)
    with pytest.raises(ValueError, match="samples of all processes 2 → 1"):
        loop.fit(config)


def test_a_sharded_run_samples_and_computes_in_bfloat16(ran):
    out, said = ran
    assert (out / "fsdp" / "samples" / "step-0000004.png").exists()
    assert "psnr" in rows(out / "fsdp")[3]
    assert [one["code"] for one in said["bf16"]] == [0, 0], said["bf16"]
    exact, rounded = rows(out / "fsdp"), rows(out / "bf16")
    assert rounded[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.02)
    assert rounded[0]["loss"] != exact[0]["loss"]
    saved = checkpoint.load(checkpoint.latest(out / "bf16" / "checkpoints"))
    assert {value.dtype for value in saved.weights.values()} == {torch.float32}


def test_its_checkpoint_is_that_of_any_run(ran):
    out, _ = ran
    path = checkpoint.latest(out / "fsdp" / "checkpoints")
    whole = checkpoint.load(path)
    expected = checkpoint.load(checkpoint.latest(out / "ddp" / "checkpoints"))
    for part in ("weights", "ema"):
        one, two = getattr(whole, part), getattr(expected, part)
        assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in two.items()}
    assert whole.state["optimizer"].keys() == expected.state["optimizer"].keys()
