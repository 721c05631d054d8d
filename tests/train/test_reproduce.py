"""The experiment: its arms differ in what they say and nothing else, and its sums are right."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice

import pytest
import torch
from click.testing import CliRunner

from cameo_data.errors import UsageError
from cameo_train import loop
from cameo_train.batches import batches, plan
from cameo_train.cli import main
from cameo_train.cli.reproduce import table
from cameo_train.reproduce import arms, presets, summary
from cameo_train.reproduce.arms import Arm
from cameo_train.reproduce.experiment import Experiment, reproduce
from cameo_train.reproduce.presets import PRESETS, Scenes
from cameo_train.reproduce.summary import Mean, Run, crossing, summarise

TINY = replace(
    PRESETS["quick"], size=32, stride=8, frames=6,
    train=Scenes(0, 2, 4), held_out=Scenes(1000, 1, 2),
    fit={
        **PRESETS["quick"].fit, "model": "small", "steps": 4, "batch": 2, "validate_every": 2,
        "validation_samples": 2, "sample_every": 4, "sample_groups": 1, "checkpoint_every": 4,
    },
)  # fmt: skip


def run_of(arm, seed, losses, seconds=1.0):
    rows = [
        {"step": i + 1, "validation_loss": loss, "validation_precision": i / 4, "seconds": seconds}
        for i, loss in enumerate(losses)
    ]
    return Run(arm, seed, rows)


def test_a_crossing_is_linear_between_measurements():
    curve = [(10, 0.5), (20, 0.3), (30, 0.1)]
    assert crossing(curve, 0.2) == pytest.approx(25)
    assert crossing(curve, 0.3) == 20
    assert crossing(curve, 0.9) == 10
    assert crossing(curve, 0.05) is None
    rising = [(10, 0.5), (20, 0.2), (30, 0.4), (40, 0.1)]
    assert crossing(rising, 0.2) == 20


def test_shares_are_of_the_same_seeds_baseline():
    plain, fast, never = (Arm(name, "") for name in ("baseline", "fast", "never"))
    runs = [
        run_of(plain, 0, [0.4, 0.3, 0.2, 0.1]), run_of(plain, 1, [0.8, 0.6, 0.4, 0.3]),
        run_of(fast, 0, [0.2, 0.1, 0.1, 0.1], seconds=2.0),
        run_of(fast, 1, [0.5, 0.4, 0.3, 0.2], seconds=2.0),
        run_of(never, 0, [0.9, 0.9, 0.9, 0.9]), run_of(never, 1, [0.9, 0.9, 0.9, 0.3]),
    ]  # fmt: skip
    baseline, line, slow = summarise(runs)
    assert baseline.steps.values == (1.0, 1.0)
    assert line.steps.values == (0.5, 0.75)
    assert line.seconds.values == (1.0, 1.5)
    assert (line.reached, line.seeds) == (2, 2)
    # measured at steps 1 to 4: nearest to a third, and the last
    assert (line.precision_early.mean, line.precision.mean) == (0.0, 0.75)
    assert (slow.reached, slow.steps.values) == (1, (1.0,))
    # Student's t with one degree of freedom: 12.706 standard errors
    assert line.steps.high - line.steps.mean == pytest.approx(12.706 * 0.125, rel=1e-3)
    assert Mean.of([0.5]).low is None
    assert Mean.of([math.nan]) is None
    text = table([baseline, line, slow])
    assert "100%" in text
    assert "100% (1 of 2 seeds)" in text
    assert "not reached" in table([summarise([runs[0], runs[4]])[1]])


def test_ablations_are_arms_of_one_change():
    chosen = arms.choose(arms.ABLATIONS, model="hunyuan-dit-tiny", layers=6, steps=90)
    names = [arm.name for arm in chosen]
    assert len(set(names)) == len(names)
    assert names[:2] == ["baseline", "cameo"]
    assert {"shuffled", "layer-5", "weight-0.1", "official", "head-mean", "stopped"} <= set(names)
    assert {arm.against for arm in chosen} <= set(names)
    assert next(a for a in chosen if a.name == "stopped").changes == {"weight_until": 30}
    assert "cameo@hunyuan-dit-tiny" not in names
    with pytest.raises(UsageError, match="no ablation 'controll'; did you mean 'control'"):
        arms.choose(["controll"], model="cat3d-tiny", layers=1, steps=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole experiment of a few steps."""
    patch = pytest.MonkeyPatch()
    from runs import SMALL

    from cameo_train.models.presets import PRESETS as models

    patch.setitem(models, "small", SMALL)
    experiment = Experiment(
        TINY, tmp_path_factory.mktemp("reproduce"), seeds=(0, 1), ablations=["control"]
    )
    yield experiment, reproduce(experiment, 1, lambda stage, done, total: None)
    patch.undo()


def test_arms_share_data_and_initial_weights_and_the_control_is_shuffled(made):
    jobs = {(job.arm.name, job.seed): job.config for job in made[1].jobs}
    plain, cameo, control = (jobs[name, 0] for name in ("baseline", "cameo", "shuffled"))
    models = [loop.untrained(c).model.state_dict() for c in (plain, cameo, control)]
    assert all(torch.equal(models[0][k], other[k]) for other in models[1:] for k in models[0])
    grid = loop.untrained(cameo).grid_hw
    taken = [
        list(islice(batches(c.shards, plan(c, grid), batch=2, seed=c.seed), 3))
        for c in (plain, cameo, control)
    ]
    for one, two, three in zip(*taken, strict=True):
        assert one.keys == two.keys == three.keys
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.images, three.images)
        assert one.targets is None
        seen = two.targets.weight.sum(-1) > 0
        assert torch.equal(three.targets.weight.sum(-1) > 0, seen)
        assert not torch.equal(three.targets.index[seen], two.targets.index[seen])
    other = loop.untrained(jobs["cameo", 1]).model.state_dict()
    assert any(not torch.equal(other[k], models[0][k]) for k in other)


def test_results_hold_every_run(made):
    experiment, results = made
    record = json.loads((experiment.out / "results.json").read_text())
    assert record == json.loads(json.dumps(results.record()))
    assert [(r["arm"], r["seed"]) for r in record["runs"]] == [
        (arm, seed) for seed in (0, 1) for arm in ("baseline", "cameo", "shuffled")
    ]
    for run in record["runs"]:
        assert [step for step, _ in run["validation_loss"]] == [2, 4]
        assert run["psnr"][-1][0] == 4
    for job in results.jobs:
        assert (job.out / "attention.png").exists()
        assert (job.out / "samples" / "step-0000004.png").exists()
    # scenes of the two splits are different ones
    assert TINY.train.seed != TINY.held_out.seed
    again = reproduce(experiment, 1, lambda stage, done, total: None)
    assert again.record() == results.record()


def test_the_command_says_what_it_would_do(tmp_path):
    given = ["reproduce", "--out", str(tmp_path / "out"), "--quick", "--ablate", "control"]
    done = CliRunner().invoke(main, [*given, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "would train 3 runs" in done.output
    assert "shuffled  60 steps  matches dealt out at random" in done.output
    assert not (tmp_path / "out").exists()
    wrong = CliRunner().invoke(main, [*given, "--shards", "x"])
    assert wrong.exit_code == 2
    assert "both --shards and --validation" in wrong.output
    assert set(presets.PRESETS) == {"laptop", "quick"}
    assert summary.CONFIDENCE == 0.95


def test_an_arm_without_its_baseline_is_refused():
    with pytest.raises(ValueError, match="arm fast has no baseline of seed 1"):
        summarise([run_of(Arm("baseline", ""), 0, [0.1]), run_of(Arm("fast", ""), 1, [0.1])])
