"""float16's loss scale: steps that overflow change nothing, and a stop does not forget the scale.

CPUs train in float32 here, through the scaler that GPUs get for float16: scaling by a power of two
changes no bit unless something overflows.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from runs import rows, small_run
from safetensors.torch import load_file

from cameo_train.training import checkpoint, loop

pytestmark = pytest.mark.usefixtures("small")
SETTINGS = {"schedule": "cosine", "ema": 0.9, "log_every": 2, "batch": 1, "accumulate": 2}


@pytest.fixture(scope="module")
def shards(tiny_build) -> Path:
    return tiny_build[0]


def scaled_by(monkeypatch, scale, growth=1000):
    """Runs from now on scale their loss, at first by so much."""

    class Scaled(Accelerator):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=growth)

        def unscale_gradients(self, optimizer=None):
            for one in self._optimizers:
                self.scaler.unscale_(one.optimizer)

    monkeypatch.setattr(loop, "Accelerator", Scaled)


def weights(run, step, name="weights"):
    return load_file(run / "checkpoints" / f"step-{step:07d}" / f"{name}.safetensors")


def test_a_scale_that_fits_changes_nothing(shards, tmp_path, monkeypatch):
    loop.fit(small_run(shards, tmp_path / "plain", **SETTINGS))
    scaled_by(monkeypatch, 2.0**10)
    loop.fit(small_run(shards, tmp_path / "scaled", **SETTINGS))
    assert rows(tmp_path / "plain") == rows(tmp_path / "scaled")
    for key, value in weights(tmp_path / "plain", 4).items():
        assert torch.equal(value, weights(tmp_path / "scaled", 4)[key])


def test_a_step_that_overflows_moves_neither_weights_nor_schedule_nor_average(
    shards, tmp_path, monkeypatch
):
    scaled_by(monkeypatch, 2.0**127)
    config = small_run(shards, tmp_path / "run", steps=2, weight=1e5, **SETTINGS)
    before = loop.untrained(config).state_dict()
    loop.fit(config)
    assert [row["lr"] for row in rows(tmp_path / "run")] == [config.lr] * 2
    for name in ("weights", "ema"):
        assert all(torch.equal(v, before[k]) for k, v in weights(tmp_path / "run", 2, name).items())
    saved = checkpoint.load(checkpoint.latest(tmp_path / "run" / "checkpoints"))
    assert saved.state["scaler"]["scale"] == 2.0**125
    assert saved.state["schedule"]["last_epoch"] == 0
    assert saved.state["ema_step"] == 0
    assert saved.state["optimizer"] == {}


def test_the_scale_and_what_it_counts_survive_a_stop(shards, tmp_path, monkeypatch):
    """Steps overflow at first, then the scale grows again: both need what was before the stop."""
    scaled_by(monkeypatch, 2.0**115, growth=2)
    many = {**SETTINGS, "steps": 9, "weight": 1e4}
    loop.fit(small_run(shards, tmp_path / "whole", **many))
    parts = small_run(shards, tmp_path / "parts", **many)

    def stop(row):
        if row["step"] in (1, 5):
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in range(2):
        with pytest.raises(loop.Stopped):
            loop.fit(parts, stop)
    scaled_by(monkeypatch, 8.0, growth=2)
    loop.fit(parts)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    one, other = (
        checkpoint.load(checkpoint.latest(tmp_path / run / "checkpoints"))
        for run in ("whole", "parts")
    )
    assert one.state["scaler"] == other.state["scaler"]
    assert 1 <= one.state["schedule"]["last_epoch"] < 9
    assert all(torch.equal(value, other.weights[key]) for key, value in one.weights.items())


def test_an_infinite_loss_is_skipped_while_the_scale_can_fall(shards, tmp_path, monkeypatch):
    condition = loop.condition

    def broken(model, batch, space):
        latents, given = condition(model, batch, space)
        return latents * torch.inf, given

    monkeypatch.setattr(loop, "condition", broken)
    scaled_by(monkeypatch, 4.0)
    config = small_run(shards, tmp_path / "run", **SETTINGS)
    with pytest.raises(loop.Diverged, match=r"gradients are infinite at step 3 whatever"):
        loop.fit(config)
