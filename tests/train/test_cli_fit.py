"""``cameo-train fit``: flags, files, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from runs import over, rows

from cameo_train import config
from cameo_train.cli import main
from cameo_train.config import TrainConfig
from cameo_train.models import preset
from cameo_train.training import loop

ROOT = Path(__file__).resolve().parents[2]


def run(*args):
    return CliRunner().invoke(main, ["fit", *map(str, args)])


@pytest.fixture
def given(tiny_build, tmp_path, small):
    shards = ["--shards", tiny_build[0], "--out", tmp_path / "run"]
    return [*shards, "--model", "small", "--workers", 0, "--batch", 2, "--steps", 2]


def test_every_key_has_a_flag_and_help_needs_no_torch():
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom cameo_train.cli import main\n"
        "print(CliRunner().invoke(main, ['fit', '--help']).output)\n"
        "assert not {'torch', 'diffusers', 'accelerate'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for field in TrainConfig.model_fields:
        assert f"--{field.replace('_', '-')} " in done.stdout


@pytest.mark.parametrize("name", ["cat3d-tiny", "cat3d-sd21", "mvgenmaster-sd21", "hunyuan-dit"])
def test_manifests_are_valid(name):
    found = config.load(ROOT / "manifests" / "train" / f"{name}.yaml", {})
    assert found.model == name
    assert found.weights is not None or preset(found.model).latents != "vae"


def test_the_demo_trains_on_the_demos_shards():
    found = config.load(ROOT / "manifests" / "train" / "demo.yaml", {})
    recipe = yaml.safe_load((ROOT / "manifests" / "demo.yaml").read_text())
    # 256 px, the demo's images, in tokens of 64 px trained on in patches of 4
    assert 256 // (found.size // 4) in recipe["strides"]
    assert "training" not in recipe["source"]["root"]
    assert found.shards == "demo/shards"


def test_a_run_and_what_it_says(given, tmp_path):
    done = run(*given, "--log-every", 1, "--json", "--attention")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["finished"]
    assert record["last"]["step"] == 2
    assert Path(record["checkpoint"]).is_dir()
    assert Path(record["pictures"][0]).is_file()
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2]
    more = run(*given[:-1], 3)
    assert more.exit_code == 0
    assert more.stderr.startswith("step 3, diffusion ")
    assert "checkpoints/step-0000003" in more.stdout


def test_a_file_and_flags_that_override_it(given, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("lr: 0.5\nweight: 0\ndirections: [ref-tgt]\n")
    flags = ["--directions", "tgt-ref", "--directions", "tgt-tgt", "--references", 1, 2]
    done = run(*given, "--manifest", path, "--no-flip", *flags, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    used = record["config"]
    assert (used["lr"], used["weight"], used["flip"], used["references"]) == (0.5, 0, False, [1, 2])
    assert used["directions"] == ["tgt-ref", "tgt-tgt"]
    assert record["facts"]["tokens_per_view"] == "6×8"
    assert record["facts"]["stored_strides"] == [8]
    assert not (tmp_path / "run").exists()
    assert "matches at stride  8" in run(*given, "--dry-run").stdout


@pytest.mark.parametrize(
    "flags, code, says",
    [
        (["--weight", -1], 2, "weight: -1.0: "),
        (["--model", "cat3d-tny"], 2, "there is no model 'cat3d-tny'; did you mean 'cat3d-tiny'"),
        (["--layer", "mid_blok.attentions.0"], 2, "there is no attention layer 'mid_blok"),
        (["--layer", "down_blocks.0.attentions.0"], 1, "need matches at stride 4"),
        (["--batch", 100], 1, "samples do not fill one batch of 100"),
        (["--shards", "nowhere"], 1, "nowhere"),
        (["--crop", 128], 1, "crop 128×128 is larger than the images, 48×64"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line(given, tmp_path, flags, code, says):
    done = run(*over(given, flags))
    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_tensorboard_gets_the_figures_of_metrics_jsonl(given, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = run(*given, "--tracker", "tensorboard", "--log-every", 1)
    assert done.exit_code == 0, done.output
    events = EventAccumulator(str(next((tmp_path / "run").rglob("events.out.tfevents.*")).parent))
    events.Reload()
    written = rows(tmp_path / "run")
    assert len(written) == 2
    for key in ("loss", "diffusion", "correspondence", "grad_norm", "lr", "precision"):
        drawn = events.Scalars(key)
        assert [one.step for one in drawn] == [1, 2]
        for one, row in zip(drawn, written, strict=True):
            assert one.value == pytest.approx(row[key], rel=1e-6)


def test_a_tracker_without_its_package_is_one_line(given, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = run(*given, "--tracker", "wandb")
    assert done.exit_code == 1
    assert done.stderr == "error: --tracker wandb needs the package wandb; pip install wandb\n"
    assert not (tmp_path / "run").exists()


def test_unknown_keys_of_a_file_name_the_nearest(given, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("weigth: 1\n")
    done = run(*given, "--manifest", path)
    assert done.exit_code == 2
    assert "unknown key 'weigth'; did you mean 'weight'?" in done.stderr


def test_a_signal_ends_with_75_and_a_checkpoint_though_it_reaches_the_workers(
    given, tmp_path, monkeypatch
):
    """Schedulers signal all processes of a job; the step under way still gets its data."""
    import multiprocessing

    draw, seen = loop.draw, []

    def signalled(*args):
        seen.append(args[3])
        if len(seen) == 1:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, signal.SIGTERM)
                os.kill(worker.pid, signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(*args)

    monkeypatch.setattr(loop, "draw", signalled)
    done = run(*over(given, ["--workers", 1, "--accumulate", 4]))
    assert done.exit_code == 75, done.output
    assert done.stderr.splitlines()[-1] == (
        "stopped at step 1; run the same command again to go on"
    )
    assert (tmp_path / "run" / "checkpoints" / "step-0000001").is_dir()
