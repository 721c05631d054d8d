"""The experiment: its arms differ in what they say and nothing else, and its sums are right."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cameo_data import ShardReader
from cameo_data.errors import UsageError
from cameo_train.cli import main
from cameo_train.cli.reproduce import table
from cameo_train.data.batches import batches, plan
from cameo_train.precision import intervals
from cameo_train.precision.results import Bin, Estimate
from cameo_train.reproduce import arm_runs as training
from cameo_train.reproduce import arms, claims, data, geometry, noisy, presets
from cameo_train.reproduce.arms import Arm
from cameo_train.reproduce.claims import ClaimOutcome
from cameo_train.reproduce.experiment import Experiment, reproduce
from cameo_train.reproduce.geometry import Geometry, LayerReading
from cameo_train.reproduce.presets import PRESETS, Scenes
from cameo_train.reproduce.report import page as reproduce_page
from cameo_train.reproduce.summary import Mean, Run, crossing, summarise
from cameo_train.training import loop

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
    # Student's t with one degree of freedom: 12.706 standard errors, on the scale of logarithms
    reach = math.exp(12.706 * 0.125 / 0.625)
    assert line.steps.high == pytest.approx(0.625 * reach, rel=1e-3)
    assert line.steps.low == pytest.approx(0.625 / reach, rel=1e-3)
    assert (baseline.steps.low, baseline.steps.high) == (None, None)  # both are 100 %
    assert Mean.of([0.5], "share").low is None
    assert Mean.of([math.nan], "size") is None
    # a baseline that gets worse again was at its final loss before its end: that is the measure
    over = run_of(plain, 2, [0.4, 0.1, 0.2, 0.4])
    worse, same = summarise([over, run_of(fast, 2, [0.8, 0.4, 0.1, 0.1], seconds=2.0)])
    assert worse.steps.values == (1.0,)
    assert (same.steps.values, same.seconds.values) == ((2.0,), (4.0,))
    text = table([baseline, line, slow])
    assert "100%" in text
    assert "100% (1 of 2 seeds)" in text
    assert "not reached" in table([summarise([runs[0], runs[4]])[1]])


def test_ablations_are_arms_of_one_change():
    chosen = arms.choose(arms.ABLATIONS, model="hunyuan-dit-tiny", layers=range(6), steps=90)
    names = [arm.name for arm in chosen]
    assert len(set(names)) == len(names)
    assert names[:2] == ["baseline", "cameo"]
    assert {"shuffled", "layer-5", "weight-0.1", "official", "head-mean", "stopped"} <= set(names)
    assert {arm.against for arm in chosen} <= set(names)
    changes = {arm.name: arm.changes for arm in chosen}
    assert changes["stopped"] == {"weight_until": 30}
    assert changes["throughout"] == {"weight_until": None}
    assert "cameo@hunyuan-dit-tiny" not in names
    with pytest.raises(UsageError, match="no ablation 'controll'; did you mean 'control'"):
        arms.choose(["controll"], model="cat3d-tiny", layers=[], steps=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole experiment of a few steps."""
    patch = pytest.MonkeyPatch()
    from runs import SMALL

    from cameo_train import models

    patch.setitem(models.presets(), "small", SMALL)
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


def test_results_say_how_well_each_layer_knows_the_geometry(made):
    _, results = made
    readings = results.geometry.readings
    # checkpoints after 4 of 4 steps; the small network has these layers
    layers = len(loop.untrained(results.jobs[0].config).model.layers())
    assert len(readings) == len(results.jobs) * layers
    assert {r.step for r in readings} == {4}
    assert sum(r.supervised for r in readings) == 4  # cameo and shuffled, two seeds
    assert all(r.heads == "trained" for r in readings if r.supervised)
    for one in readings:
        for b, value in enumerate(one.precision):
            assert (value is None) == (results.geometry.queries[b] == 0)
            assert value is None or 0 <= value <= results.geometry.ceiling[b]


def test_the_page_is_whole_and_self_contained(made):
    experiment, results = made
    text = reproduce_page.write(results).read_text()
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    # three figures, and attention and one sheet of samples of each arm
    assert text.count("<img") == 3 + 2 * 3
    for claim in results.claims:
        assert claim.found in text
    for name in ("training", "rotation", "layers"):
        assert (experiment.out / "figures" / f"{name}.svg").exists()


def reading(arm, large, step=10, layer=3, seed=0, supervised=False):
    return LayerReading(arm, seed, step, layer, supervised, "mean", (large,), large)


def test_the_supervised_layer_counts_and_else_the_best():
    readings = (
        reading("cameo", 0.7, supervised=True), reading("cameo", 0.9, layer=5),
        reading("baseline", 0.1), reading("baseline", 0.3, layer=4),
        reading("baseline", 0.8, layer=4, step=30), reading("baseline", None, layer=1),
    )  # fmt: skip
    known = Geometry(("60–90°",), (1.0,), (0.1,), (5,), {}, readings)
    assert known.best("cameo", 0, 10).large == 0.7
    assert known.best("baseline", 0, 10).layer == 4
    assert known.best("baseline", 1, 10) is None


MET, MISSED = ClaimOutcome.MET, ClaimOutcome.MISSED
UNCONTRADICTED, CONTRADICTED = ClaimOutcome.UNCONTRADICTED, ClaimOutcome.CONTRADICTED


def test_intervals_end_among_the_possible_values():
    shares = Mean.of([0.02, 0.3, 0.76], "share")
    assert 0 < shares.low < 0.36 < shares.high < 1
    ratios = Mean.of([0.1, 0.9, 1.7], "size")
    assert 0 < ratios.low < 0.9 < ratios.high
    assert Mean.of([1.0, 1.0], "share").low is None
    decibels = Mean.of([15.0, 16.0], "difference")
    assert decibels.high - 15.5 == pytest.approx(15.5 - decibels.low)


@pytest.mark.parametrize(
    "losses, control, precision, met",
    [
        ([0.3, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9], 0.9, [MET, MISSED, UNCONTRADICTED, MET, MET]),
        (
            [0.4, 0.3, 0.1, 0.1],
            [0.4, 0.1, 0.1, 0.1],
            0.5,
            [MISSED, MISSED, CONTRADICTED, MISSED, MISSED],
        ),
        ([0.1, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], 0.8, [MET, MET, UNCONTRADICTED, MET, MISSED]),
        (
            [0.9, 0.9, 0.9, 0.9],
            [0.9, 0.9, 0.9, 0.9],
            0.79,
            [MISSED, MISSED, UNCONTRADICTED, MISSED, MISSED],
        ),
    ],
)
def test_each_claim_is_met_or_not(losses, control, precision, met):
    plain, cameo, shuffled = (Arm(n, "") for n in (arms.BASELINE, arms.CAMEO, arms.CONTROL))
    # twice as slow with supervision: half the steps are no gain in time
    runs = [
        run_of(plain, 0, [0.4, 0.3, 0.2, 0.1]), run_of(cameo, 0, losses, seconds=2.0),
        run_of(shuffled, 0, control),
    ]  # fmt: skip
    readings = (
        reading("cameo", precision, step=1, supervised=True), reading("baseline", 0.3, step=1),
        reading("cameo", 1.0, step=4, supervised=True), reading("baseline", 0.1, step=4),
    )  # fmt: skip
    known = Geometry(("60–90°",), (1.0,), (0.1,), (5,), {}, readings)
    judged = claims.judge(runs, summarise(runs), known)
    assert [claim.outcome for claim in judged] == met


def test_without_large_turns_all_of_them_count():
    def row(queries):
        half, quarter = Estimate(0.5), Estimate(0.25)
        found = [half if n else Estimate(None) for n in queries]
        bins = [Bin("", 1, n, 1, (e,), half, None) for n, e in zip(queries, found, strict=True)]
        whole = Bin("all", 1, sum(queries), 1, (quarter,), half, None)
        return SimpleNamespace(bins=(*bins, whole), all=whole)

    assert geometry._large(row([3, 1, 0, 0, 0])) == 0.25
    assert geometry._large(row([3, 1, 0, 2, 1])) == 0.5
    known = Geometry(("0–30°",), (1.0,), (0.1,), (5,), {}, (), large_deg=0.0)
    plain = run_of(Arm(arms.BASELINE, ""), 0, [0.4, 0.3])
    runs = [plain, run_of(Arm(arms.CAMEO, ""), 0, [0.3, 0.3])]
    assert len(claims.judge(runs, summarise(runs), known)) == 2


def test_an_arm_that_changes_nothing_is_left_out():
    settings = {"weight": 0.1, "head_mix": "mean"}
    assert Arm("a", "", {"weight": 0.1}).repeats(settings)
    assert not Arm("a", "", {"weight": 0.2}).repeats(settings)
    assert not Arm("a", "", {"weight": 0.1}, depth="rough").repeats(settings)
    assert not Arm("cameo", "").repeats(settings)
    experiment = Experiment(TINY, TINY, ablations=["weight", "head", "depth"])
    names = [arm.name for arm in experiment.arms()]
    layers = replace(experiment, preset=PRESETS["laptop"], ablations=["layer"])
    assert [a.name for a in layers.arms()[2:]] == [f"layer-{n}" for n in (0, 1, 2, 4, 5)]
    layers = replace(layers, overrides={"layer": "-1"})
    assert [a.name for a in layers.arms()[2:]] == [f"layer-{n}" for n in range(5)]
    assert "weight-0.2" not in names
    assert {"weight-0.02", "head-mlp", "sensor-depth", "rough-depth"} <= set(names)


def test_supervision_ends_after_a_third_of_the_steps_however_many():
    for preset, steps, until in (("laptop", 900, 300), ("laptop", 90, 30), ("gpu", 90, None)):
        overrides = {"steps": steps}
        experiment = Experiment(
            PRESETS[preset], Path("out"), ablations=["stop"], overrides=overrides
        )
        assert {job.config.weight_until for job in experiment.jobs()[:2]} == {until}
        other = "stopped" if until is None else "throughout"
        assert [arm.name for arm in experiment.arms()] == ["baseline", "cameo", other]
    chosen = Experiment(PRESETS["laptop"], Path("out"), overrides={"weight_until": 7})
    assert chosen.settings()["weight_until"] == 7


def test_noise_is_as_large_as_it_says():
    rng = np.random.default_rng(0)
    far = np.full((400, 400), 4.0, np.float32)
    worse = noisy.sensor(far, rng)
    assert (worse == 0).mean() == pytest.approx(0.1, abs=0.005)
    # equation 3 at 4 m
    assert worse[worse > 0].std() == pytest.approx(0.0012 + 0.0019 * 3.6**2, rel=0.02)
    # the mean of many views: one has 64 errors only
    spread = np.mean([(noisy.rough(far, rng) / far).std() for _ in range(20)])
    assert 0.06 < spread < 0.12
    assert (noisy.rough(np.zeros((8, 8), np.float32), rng) == 0).all()


def test_worse_depth_changes_matches_and_nothing_else(made, tmp_path):
    scenes = made[0].out / "data" / "train" / "scenes"
    before = {p: p.read_bytes() for p in sorted(scenes.rglob("*.npy"))}
    small = replace(TINY, held_out=TINY.train)
    data.prepare(small, tmp_path, ["exact", "rough"], 1, lambda stage, done, total: None)
    exact, rough = (
        ShardReader(data.Data.below(tmp_path).training(name)) for name in ("exact", "rough")
    )
    assert [s.key for s in exact] == [s.key for s in rough]
    differ = []
    for one, two in zip(exact, rough, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.images, two.images, strict=True))
        differ.append(not np.allclose(one.correspondence[8].xy, two.correspondence[8].xy))
    assert all(differ)
    assert {p: p.read_bytes() for p in sorted(scenes.rglob("*.npy"))} == before
    own = tmp_path / "train" / "scenes"
    assert all(
        np.load(own / p.relative_to(scenes)).tobytes() == np.load(p).tobytes() for p in before
    )
    with pytest.raises(UsageError, match="needs the preset's own scenes"):
        data.Data(tmp_path, tmp_path).training("rough")


def test_preset_gpu_runs_in_miniature(tmp_path, monkeypatch):
    """The same architecture, latents, precision and views; narrow, small images, two steps."""
    from cameo_train import models

    full = PRESETS["gpu"]
    known = models.preset(full.fit["model"])
    narrow = replace(
        known.backbone, block_out_channels=(32, 32, 32, 32), attention_head_dim=(2, 2, 2, 2),
        norm_num_groups=8, layers_per_block=1, cross_attention_dim=8,
    )  # fmt: skip
    monkeypatch.setitem(models.presets(), known.name, replace(known, backbone=narrow))
    small = replace(
        full, size=64, frames=6, train=Scenes(0, 1, 2), held_out=Scenes(1000, 1, 2),
        fit={
            **full.fit, "steps": 2, "batch": 2, "workers": 0, "validate_every": 1,
            "validation_samples": 2, "sample_groups": 1, "sample_every": 2, "checkpoint_every": 1,
        },
    )  # fmt: skip
    results = reproduce(Experiment(small, tmp_path), 1, lambda stage, done, total: None)
    assert [run.arm.name for run in results.runs] == ["baseline", "cameo"]
    assert all(math.isfinite(run.final_loss) for run in results.runs)
    assert reproduce_page.write(results).exists()


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


def test_finished_runs_are_not_opened_again(made, monkeypatch):
    job = made[1].jobs[0]
    monkeypatch.setattr(loop, "fit", lambda config: pytest.fail("opened"))
    training.train(job)
    longer = job.config.model_copy(update={"steps": job.config.steps + 1})
    assert not training.is_finished(replace(job, config=longer))
    other = job.config.model_copy(update={"lr": 1.0})
    assert not training.is_finished(replace(job, config=other))
    monkeypatch.setattr(loop, "data_hashes", lambda config: {"shards": "others"})
    assert not training.is_finished(job)
    monkeypatch.undo()
    (job.out / "attention.png").rename(job.out / "moved.png")
    assert not training.is_finished(job)
    (job.out / "moved.png").rename(job.out / "attention.png")


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
    assert set(presets.PRESETS) == {"laptop", "quick", "gpu"}
    useless = CliRunner().invoke(main, [*given, "--weights", "sd21"])
    assert useless.exit_code == 2
    assert "preset quick trains a model that takes no weights" in useless.output
    loaded = CliRunner().invoke(
        main,
        ["reproduce", "--out", "x", "--preset", "gpu", "--weights", "sd21", "--dry-run", "--json"],
    )
    config = json.loads(loaded.output)["runs"][0]["config"]
    changed = CliRunner().invoke(
        main, [*given, "--dry-run", "--json", "--set", "lr=0.5", "--set", "references=[1, 1]"]
    )
    assert {r["config"]["lr"] for r in json.loads(changed.output)["runs"]} == {0.5}
    for text, message in (
        ("seed=3", "seed: it is the experiment's own"), ("lr", "expected KEY=VALUE"),
        ("lr=fast", "lr: 'fast'"), ("lrr=1", "unknown key 'lrr'; did you mean 'lr'"),
    ):  # fmt: skip
        refused = CliRunner().invoke(main, [*given, "--dry-run", "--set", text])
        assert refused.exit_code == 2
        assert message in refused.output
    assert (config["model"], config["weights"]) == ("cat3d-sd21", "sd21")
    assert intervals.LEVEL == 0.95


def test_a_stop_ends_runs_side_by_side_and_begins_no_other(tiny_build, tmp_path):
    out = tmp_path / "out"
    command = [
        sys.executable, "-c", "from cameo_train.cli import main; main()", "reproduce", "--quick",
        "--out", str(out), "--shards", str(tiny_build[0]), "--validation", str(tiny_build[0]),
        "--model", "cat3d-tiny", "--seeds", "2", "--steps", "5000", "--jobs", "2",
        "--set", "batch=2", "--set", "targets=online",
    ]  # fmt: skip
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def begun():
        return {path.parent.name for path in out.glob("runs/*/metrics.jsonl")}

    deadline = time.monotonic() + 600
    while len(begun()) < 2 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=300)
    assert running.returncode == 75, told
    assert begun() == {"baseline-0", "cameo-0"}
    assert len(list(out.glob("runs/*/checkpoints/*"))) == 2


def test_an_arm_without_its_baseline_is_refused():
    with pytest.raises(ValueError, match="arm fast has no baseline of seed 1"):
        summarise([run_of(Arm("baseline", ""), 0, [0.1]), run_of(Arm("fast", ""), 1, [0.1])])
