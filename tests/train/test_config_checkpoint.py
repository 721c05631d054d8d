"""The run's configuration and what it goes on from."""

from __future__ import annotations

import json
import random
import resource
import shutil

import numpy as np
import pytest
import torch

from cameo_data.errors import UsageError
from cameo_train import config
from cameo_train.data.sample_order import Position
from cameo_train.training import checkpoint

NEEDED = {"shards": "s", "out": "o"}


def test_file_flags_and_back(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("shards: a\nout: b\nlr: 0.001\ndirections: [ref-tgt]\n")
    found = config.load(path, {"lr": 0.5})
    assert (found.shards, found.lr, found.directions) == ("a", 0.5, ("ref-tgt",))
    path.write_text(found.yaml())
    assert config.load(path, {}) == found


@pytest.mark.parametrize(
    "values, says",
    [
        ({"steps": 0}, "steps: 0: "),
        ({"learning_rat": 1}, "unknown key 'learning_rat'; "),
        ({"weigth": 1}, "unknown key 'weigth'; did you mean 'weight'?"),
        ({"weight": float("nan")}, "weight: nan: "),
        ({"directions": ()}, "directions: expected at least one"),
        ({"references": (2, 1)}, "references: expected least and most"),
    ],
)
def test_wrong_values_are_one_line(values, says):
    with pytest.raises(UsageError) as caught:
        config.load(None, {**NEEDED, **values})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_what_decides_the_trajectory_is_hashed():
    one = config.load(None, NEEDED)
    assert config.load(None, {**NEEDED, "steps": 5, "workers": 0}).hash() == one.hash()
    assert config.load(None, {**NEEDED, "lr": 5.0}).hash() != one.hash()


def made(step, **changes):
    weights = {"a.weight": torch.randn(3, 2), "tied": torch.zeros(2)}
    values = {
        "step": step,
        "position": Position(1, 8),
        "config_hash": "abc",
        "data": {"shards": "0123"},
        "weights": weights,
        "ema": {"a.weight": torch.ones(3, 2)},
        "state": {"optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "lr": [1e-3]}},
        "rng": checkpoint.rng_state(),
    }
    return checkpoint.Checkpoint(**(values | changes))


def test_a_checkpoint_comes_back_whole(tmp_path):
    saved = made(5)
    draws = (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    path = checkpoint.save(tmp_path, saved, "lr: 1\n", keep=2)
    found = checkpoint.load(path)
    assert (found.step, found.position, found.config_hash) == (5, Position(1, 8), "abc")
    assert found.data == {"shards": "0123"}
    assert torch.equal(found.weights["a.weight"], saved.weights["a.weight"])
    assert torch.equal(found.ema["a.weight"], torch.ones(3, 2))
    assert found.state["optimizer"]["state"][0]["step"] == 3
    checkpoint.set_rng_state(found.rng)
    assert draws == (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002


def test_old_ones_go_and_interrupted_ones_do_not_count(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, made(step), "", keep=2)
    assert [p.name for p in checkpoint.complete(tmp_path)] == ["step-0000002", "step-0000003"]
    (tmp_path / ".step-0000009.partial").mkdir()
    assert checkpoint.latest(tmp_path).name == "step-0000003"
    assert checkpoint.latest(tmp_path / "nowhere") is None


def test_the_same_step_may_be_written_again(tmp_path):
    checkpoint.save(tmp_path, made(1), "", keep=1)
    path = checkpoint.save(tmp_path, made(1, config_hash="new"), "", keep=1)
    assert checkpoint.load(path).config_hash == "new"


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt", "checkpoint.json"])
def test_a_damaged_one_is_named(tmp_path, name):
    path = checkpoint.save(tmp_path, made(1), "", keep=1)
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"step-0000001 is damaged .*; delete it"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "ema.safetensors", "state.pt"])
def test_a_flipped_bit_is_noticed(tmp_path, name):
    checkpoint.save(tmp_path, made(1), "", keep=2)
    path = checkpoint.save(tmp_path, made(2), "", keep=2)
    data = bytearray((path / name).read_bytes())
    data[-3] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} has other bytes .*; delete it to go on"):
        checkpoint.load(path)
    shutil.rmtree(path)
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 1


def test_a_checkpoint_without_hashes_is_read(tmp_path):
    path = checkpoint.save(tmp_path, made(1), "", keep=1)
    record = json.loads((path / "checkpoint.json").read_text())
    del record["sha256"]
    (path / "checkpoint.json").write_text(json.dumps(record))
    assert checkpoint.load(path).step == 1


@pytest.mark.parametrize("error", [PermissionError, MemoryError, torch.OutOfMemoryError])
def test_what_cannot_be_read_now_is_not_called_damaged(tmp_path, monkeypatch, error):
    path = checkpoint.save(tmp_path, made(1), "", keep=1)

    def refuse(*_args, **_more):
        raise error

    monkeypatch.setattr(checkpoint, "load_file", refuse)
    with pytest.raises(error):
        checkpoint.load(path)


@pytest.mark.parametrize("large", ["weights", "ema", "state"])
def test_a_full_disk_is_an_error_of_the_system_and_leaves_nothing(tmp_path, large):
    """A limit on file sizes stands in for the full disk."""
    checkpoint.save(tmp_path, made(1), "", keep=1)
    big = {"a.weight": torch.zeros(1 << 18)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            checkpoint.save(tmp_path, made(2, **{large: big}), "", keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "step-0000002" in str(caught.value.filename)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000001"]


def test_what_a_killed_run_left_half_written_goes(tmp_path):
    (tmp_path / ".step-0000009.partial").mkdir(parents=True)
    checkpoint.save(tmp_path, made(1), "", keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001"]
