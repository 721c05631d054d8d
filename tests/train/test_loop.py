"""The training loop: it learns, stops and goes on without a trace, and says what is wrong."""

from __future__ import annotations

import math
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from build_scenes import recipe
from runs import rows, small_run
from safetensors.torch import load_file

from cameo_data.build import build
from cameo_data.io.work_folder import exclusive
from cameo_train.training import checkpoint, loop, sampling
from cameo_train.training.objective import draw

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def shards(tiny_build) -> Path:
    return tiny_build[0]


def test_both_losses_fall_on_one_batch(shards, tmp_path):
    found = []
    one = {"batch": 4, "flip": False, "shuffle_views": False, "references": (1, 1)}
    free = {"camera_dropout": 0, "reference_dropout": 0, "weight": 0.5, "log_every": 30}
    config = small_run(shards, tmp_path / "run", steps=30, **one, **free)
    result = loop.fit(config, found.append)
    assert [row["step"] for row in found] == list(range(1, 31))
    assert all(math.isfinite(row["loss"]) for row in found)

    def mean(key, part):
        return sum(row[key] for row in found[part]) / 10

    start, end = slice(10), slice(-10, None)
    assert found[0]["correspondence"] == pytest.approx(math.log(48), abs=0.3)
    assert mean("correspondence", end) < mean("correspondence", start) - 0.1
    assert mean("diffusion", end) < 0.8 * mean("diffusion", start)
    assert rows(tmp_path / "run") == [{k: v for k, v in r.items() if k != "seconds"} for r in found]
    assert 0 <= result.last["precision"] <= 1
    assert result.checkpoint == checkpoint.latest(tmp_path / "run" / "checkpoints")


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(shards, tmp_path):
    settings = {"ema": 0.9, "accumulate": 2, "batch": 1, "max_rows": 20, "schedule": "cosine"}
    settings |= {"lr_warmup_steps": 2, "log_every": 3}
    whole = small_run(shards, tmp_path / "whole", **settings)
    loop.fit(whole)
    parts = small_run(shards, tmp_path / "parts", **settings)

    def stop(row):
        if row["step"] in (1, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    for at in (1, 3):
        with pytest.raises(loop.Stopped, match=f"stopped at step {at}"):
            loop.fit(parts, stop)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "of": "a step that no checkpoint covers"}\n')
    loop.fit(parts.model_copy(update={"workers": 1}))
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    for name in ("weights", "ema"):
        one, other = (
            load_file(tmp_path / run / "checkpoints" / "step-0000004" / f"{name}.safetensors")
            for run in ("parts", "whole")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_finished_run_has_nothing_to_do_and_another_one_is_refused(shards, tmp_path):
    config = small_run(shards, tmp_path / "run", steps=1)
    done = loop.fit(config)
    again = loop.fit(config)
    assert (again.steps, again.checkpoint, again.last) == (1, done.checkpoint, {})
    with pytest.raises(ValueError, match=r"configuration \(lr 0\.003 → 1\.0\); use another"):
        loop.fit(small_run(shards, tmp_path / "run", steps=1, lr=1.0))
    assert (tmp_path / "run" / "config.yaml").read_text() == config.yaml()


@pytest.mark.parametrize(
    "schedule, rates", [("constant", [0, 0.5, 1, 1]), ("linear", [0, 0.5, 1, 0.5])]
)
def test_the_learning_rate_rises_before_any_schedule(shards, tmp_path, schedule, rates):
    config = small_run(shards, tmp_path / "run", schedule=schedule, lr_warmup_steps=2)
    loop.fit(config)
    assert [row["lr"] / config.lr for row in rows(tmp_path / "run")] == pytest.approx(rates)


def test_steps_may_grow_where_the_learning_rate_does_not_depend_on_them(shards, tmp_path):
    more = {"steps": 2}
    loop.fit(small_run(shards, tmp_path / "constant", steps=1))
    assert loop.fit(small_run(shards, tmp_path / "constant", **more)).steps == 2
    loop.fit(small_run(shards, tmp_path / "cosine", steps=1, schedule="cosine"))
    with pytest.raises(ValueError, match="steps 1 → 2"):
        loop.fit(small_run(shards, tmp_path / "cosine", schedule="cosine", **more))


def test_runs_of_one_process_do_not_bind_each_other(shards, tmp_path):
    loop.fit(small_run(shards, tmp_path / "one", steps=1))
    other = small_run(shards, tmp_path / "two", steps=1, mixed_precision="bf16", accumulate=2)
    assert math.isfinite(loop.fit(other).last["loss"])


@pytest.fixture(scope="module")
def other_shards(tiny_scenes, tmp_path_factory) -> Path:
    """A build of the same scenes that holds other groups."""
    out = tmp_path_factory.mktemp("other") / "shards"
    build(recipe(tiny_scenes, seed=7), out)
    return out


def test_a_run_does_not_go_on_with_other_shards(shards, other_shards, tmp_path):
    loop.fit(small_run(shards, tmp_path / "run", steps=1))
    metrics = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"made with other --shards .* use another --out"):
        loop.fit(small_run(other_shards, tmp_path / "run", steps=2))
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == metrics
    # the remedy: another folder, or the shards that it began with, wherever they lie now
    loop.fit(small_run(other_shards, tmp_path / "another", steps=1))
    moved = shutil.copytree(shards, tmp_path / "moved")
    assert loop.fit(small_run(moved, tmp_path / "run", steps=2)).steps == 2


def test_held_out_shards_may_come_and_go_but_not_change(shards, other_shards, tmp_path):
    def run(steps, **settings):
        return loop.fit(small_run(shards, tmp_path / "run", steps=steps, **settings))

    run(1)
    run(2, validation=str(shards))
    with pytest.raises(ValueError, match="made with other --validation"):
        run(3, validation=str(other_shards))
    assert run(3).steps == 3


def test_two_runs_do_not_share_a_folder(shards, tmp_path):
    config = small_run(shards, tmp_path / "run", steps=1)
    with (
        exclusive(tmp_path / "run", tmp_path / "run" / ".lock"),
        pytest.raises(ValueError, match="another run is writing to this folder"),
    ):
        loop.fit(config)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert loop.fit(config).steps == 1


def test_a_run_does_not_go_into_a_build(shards, tmp_path):
    with pytest.raises(ValueError, match=r"is the folder of a build.*give another --out"):
        loop.fit(small_run(shards, shards, steps=1))
    assert not (Path(shards) / "checkpoints").exists()


def test_averaged_weights_are_saved_under_the_names_of_the_weights(shards, tmp_path):
    result = loop.fit(small_run(shards, tmp_path / "run", steps=3, ema=0.5, weight=0))
    weights, averaged = (
        load_file(result.checkpoint / f"{name}.safetensors") for name in ("weights", "ema")
    )
    assert weights.keys() == averaged.keys()
    assert torch.equal(weights["head_mix.mlp.0.weight"], averaged["head_mix.mlp.0.weight"])
    name = "model.backbone.conv_in.weight"
    assert not torch.equal(weights[name], averaged[name])
    objective = loop.untrained(small_run(shards, tmp_path / "run", weight=0))
    objective.load_state_dict(averaged)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_sampling_leaves_no_trace_in_training(shards, tmp_path, monkeypatch, ema):
    monkeypatch.setitem(sampling.sample.__kwdefaults__, "steps", 2)
    plain = loop.fit(small_run(shards, tmp_path / "plain", steps=3, ema=ema))
    often = loop.fit(small_run(shards, tmp_path / "often", steps=3, ema=ema, sample_every=1))
    assert "psnr" in often.last
    weights = (load_file(run.checkpoint / "weights.safetensors") for run in (plain, often))
    one, other = weights
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_figures_read_a_step_late_are_the_same(shards, tmp_path, monkeypatch):
    """As on a GPU, which never waits: they come later and in order, and none is lost."""
    loop.fit(small_run(shards, tmp_path / "now", steps=5, log_every=4))
    seen = []

    def late(self, all_of_them):
        while len(self._waiting) > (0 if all_of_them else 1):
            self._read(self._waiting.popleft())

    monkeypatch.setattr(loop.Meter, "read", late)

    def stop(row):
        seen.append(row["step"])
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    config = small_run(shards, tmp_path / "late", steps=5, log_every=4)
    with pytest.raises(loop.Stopped, match="stopped at step 3"):
        loop.fit(config, stop)
    assert seen == [1, 2, 3]
    loop.fit(config, lambda row: seen.append(row["step"]))
    assert seen == [1, 2, 3, 4, 5]
    assert rows(tmp_path / "late") == rows(tmp_path / "now")


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_samples(
    shards, tmp_path, monkeypatch
):
    seen = []

    def broken(model, batch, space):
        seen.extend(batch.keys)
        latents, given = condition(model, batch, space)
        return latents * math.nan, given

    condition = loop.condition
    monkeypatch.setattr(loop, "condition", broken)
    with pytest.raises(loop.Diverged, match="loss is nan at step 1") as caught:
        loop.fit(small_run(shards, tmp_path / "run"))
    assert len(seen) == 2
    assert all(key in str(caught.value) for key in seen)
    assert checkpoint.latest(tmp_path / "run" / "checkpoints") is None


def test_weight_0_needs_no_matches_and_leaves_the_head_alone(tiny_scenes, tmp_path):
    shards = tmp_path / "shards"
    build(recipe(tiny_scenes, strides=[16]), shards)
    with pytest.raises(ValueError, match="need matches at stride 8, the shards store 16") as caught:
        loop.fit(small_run(shards, tmp_path / "no", workers=1))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "no" / "metrics.jsonl").exists()
    config = small_run(shards, tmp_path / "run", steps=2, weight=0.0)
    before = loop.untrained(config).head_mix.state_dict()
    result = loop.fit(config)
    assert result.last["rows"] == 0
    assert "precision" not in result.last
    assert result.last["correspondence"] == 0
    assert result.last["loss"] == result.last["diffusion"]
    after = load_file(result.checkpoint / "weights.safetensors")
    assert all(torch.equal(after[f"head_mix.{name}"], value) for name, value in before.items())


def test_draws_do_not_depend_on_the_number_of_ranks(shards, tmp_path):
    config = small_run(shards, tmp_path)
    one = draw(config, (4, 3, 2, 2, 2), 1000, 7, 0, 1, "cpu")
    halves = [draw(config, (2, 3, 2, 2, 2), 1000, 7, rank, 2, "cpu") for rank in (0, 1)]
    for rank, half in enumerate(halves):
        assert torch.equal(half.noise, one.noise[rank::2])
        assert torch.equal(half.timestep, one.timestep[rank::2])
        assert half.rows == one.rows[rank::2]


def test_all_weights_get_a_gradient(shards, tmp_path):
    """Else DDP would wait for them."""
    for name, weight in (("supervised", 0.1), ("plain", 0.0)):
        config = small_run(shards, tmp_path / name, steps=1, weight=weight)
        result = loop.fit(config)
        state = checkpoint.load(result.checkpoint).state["optimizer"]
        trained = [p for p in loop.untrained(config).parameters() if p.requires_grad]
        assert len(state["state"]) == len(trained)
