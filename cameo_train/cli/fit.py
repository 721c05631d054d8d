"""``cameo-train fit``: shards in, a multi-view diffusion model with supervised attention out."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_train.config import TrainConfig, load

if TYPE_CHECKING:
    from cameo_train.training.loop import Result

F = TypeVar("F", bound=Callable[..., Any])
Report = Callable[[Mapping[str, Any]], None]

EPILOG = """
\b
Examples:
  cameo-train fit --shards shards --out run --steps 1000
  cameo-train fit --shards shards --out plain --steps 1000 --weight 0
  cameo-train fit --manifest manifests/train/cat3d-tiny.yaml --shards shards --out run
  accelerate launch --num_processes 8 -m cameo_train.cli fit --manifest run.yaml

A run that was stopped goes on from its last checkpoint when the same command is run again. With
another configuration use another --out; only how far, how often and with how many workers may
change.

A damaged sample is left out and another drawn in its place, up to --max-damaged of them; the run
then ends with exit code 3, and OUT/failures.jsonl names them.
"""

# key of the configuration -> help; the order is that of --help
HELP = {
    "shards": "A finished build of `cameo-data build-corr`.",
    "out": "Folder for checkpoints, metrics and pictures.",
    "model": "Name of a model; `cameo-train models` lists them.",
    "weights": "Folder or hub name of pretrained weights.",
    "steps": "Optimiser steps.",
    "batch": "Samples per process and micro-batch.",
    "accumulate": "Micro-batches per step.",
    "seed": "Seed of all random choices.",
    "workers": "Processes that read shards.",
    "layer": "Supervised attention layer: number, official:10, or part of its name.  [default: the "
    "preset's]",
    "weight": "Weight of the correspondence loss; 0 supervises nothing.",
    "warmup_weight_steps": "Steps over which that weight rises.",
    "weight_until": "Step from which that weight is 0.  [default: never]",
    "head_mix": "How heads become one logit.",
    "target_kind": "What a query is supervised with.",
    "targets": "Matches stored in the shards, or computed from depth and pose.",
    "directions": "Query's view and key's view; repeat it.",
    "shuffle_matches": "Control experiment: give matches to other queries.",
    "max_rows": "Supervised rows per sample at most, drawn at random.  [default: all]",
    "references": "Least and most reference views, drawn per batch.  [default: 1 to views − 1]",
    "crop": "Side of a random square window.  [default: the whole image]",
    "size": "Shorter side that images are scaled to.  [default: as stored]",
    "flip": "Mirror half of all samples.",
    "shuffle_views": "Random order of views in half of all samples.",
    "lr": "Learning rate.",
    "weight_decay": "AdamW's weight decay.",
    "lr_warmup_steps": "Steps over which the learning rate rises.",
    "schedule": "Learning-rate schedule.",
    "clip": "Largest norm of the gradient.",
    "ema": "Decay of averaged weights, or 0 for none.",
    "camera_dropout": "Share of samples trained without cameras, for guidance.",
    "reference_dropout": "Share of samples trained without references.",
    "mixed_precision": "Type that the network computes in.",
    "gradient_checkpointing": "Less memory, a third more time.",
    "compile": "torch.compile.",
    "fsdp": "Cut model and optimiser over the processes instead of copying them to each.",
    "log_every": "Steps between lines, and between measurements of precision.",
    "checkpoint_every": "Steps between checkpoints.",
    "keep_checkpoints": "Number of checkpoints to keep.",
    "sample_every": "Steps between pictures of sampled views; 0 for none.",
    "sample_groups": "Groups sampled and compared.",
    "validation": "A finished build of held-out scenes to measure on.",
    "validate_every": "Steps between measurements there.",
    "validation_samples": "Groups measured on.",
    "tracker": "Experiment tracker to log to as well.",
    "max_damaged": "Damaged samples left out before the run stops.",
}


def _config_flags(command: F) -> F:
    """One flag for each key; defaults, file and checks are the configuration's own."""
    properties = TrainConfig.model_json_schema()["properties"]
    for field in reversed(list(HELP)):
        command = _flag(field, properties[field])(command)
    return command


def _flag(field: str, schema: Mapping[str, Any]) -> Callable[[F], F]:
    # "number or nothing" is a number on the command line
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind: Mapping[str, Any] = kinds[0]
    name = field.replace("_", "-")
    known: dict[str, Any] = {"integer": int, "number": float, "string": str}
    settings: dict[str, Any] = {"type": known.get(kind.get("type", ""))}
    if kind["type"] == "boolean":
        name, settings = f"{name}/--no-{name}", {}
    elif "enum" in kind:
        settings = {"type": click.Choice(kind["enum"])}
    elif "prefixItems" in kind:
        settings = {"type": int, "nargs": len(kind["prefixItems"])}
    elif kind["type"] == "array":
        settings = {"type": click.Choice(kind["items"]["enum"]), "multiple": True}
    return click.option(f"--{name}", field, default=None, help=_help(field), **settings)


def _help(field: str) -> str:
    key = TrainConfig.model_fields[field]
    if key.is_required() or key.default is None:
        return HELP[field]
    shown = key.default
    if isinstance(shown, bool):
        shown = "on" if shown else "off"
    elif isinstance(shown, tuple):
        shown = " ".join(shown)
    return f"{HELP[field]}  [default: {shown}]"


@click.command("fit", cls=Command, epilog=EPILOG)
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="A configuration file; flags override it."
)
@_config_flags
@click.option(
    "--attention", is_flag=True, help="End with OUT/attention.png: attention before and after."
)
@click.option("--dry-run", "dry", is_flag=True, help="Check everything, train and write nothing.")
@common.json_option
def command(
    manifest: Path | None, attention: bool, dry: bool, as_json: bool, **fields: Any
) -> None:
    """Train a multi-view diffusion model on the shards of a finished build.

    It learns to denoise target views, given reference views and all cameras. With --weight above 0,
    one attention layer is taught the ground-truth matches at the same time.
    """
    config = load(
        manifest, {key: value for key, value in fields.items() if value not in (None, ())}
    )
    _check_packages()
    if dry:
        _dry_run(config, as_json)
        return
    from cameo_train.training import loop

    if config.sample_every and not as_json and _is_main_process():
        from cameo_train.training import perceptual

        if (why := perceptual.missing()) is not None:
            click.echo(f"samples are judged without LPIPS: {why}", err=True)
    try:
        with _reporter(config, quiet=as_json) as report:
            result = loop.fit(config, report)
    except loop.Stopped as stopped:
        if as_json:
            common.echo_json({"finished": False, "out": config.out})
        click.echo(str(stopped), err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    if not _is_main_process():
        return
    pictures = []
    if attention:
        from cameo_train.report.attention import before_and_after

        pictures.append(before_and_after(config, result.checkpoint))
    record = {
        "finished": True,
        "out": config.out,
        "steps": result.steps,
        "checkpoint": str(result.checkpoint),
        "last": dict(result.last),
        "pictures": [str(path) for path in pictures],
        "left_out": result.left_out,
    }
    if as_json:
        common.echo_json(record)
    else:
        _echo_result(config, result, pictures)
    if result.left_out:
        raise click.exceptions.Exit(ExitCode.DONE_WITH_FAILURES)


def _echo_result(config: TrainConfig, result: Result, pictures: Sequence[Path]) -> None:
    done = f": {describe(result.last)}" if result.last else " was finished already"
    click.echo(f"{config.out}{done}")
    for path in (result.checkpoint, Path(config.out) / "metrics.jsonl", *pictures):
        click.echo(f"  {shlex.quote(str(path))}")
    unmatched = _unmatched(Path(config.out) / "metrics.jsonl")
    if unmatched:
        count = common.plural(unmatched, "sample")
        click.echo(f"{count} without a visible match trained the diffusion loss alone")
    if result.left_out:
        path = Path(config.out) / "failures.jsonl"
        count = common.plural(result.left_out, "damaged sample")
        click.echo(f"left out {count}: see {shlex.quote(str(path))}")


def _unmatched(metrics: Path) -> int:
    """Over the whole run."""
    with metrics.open(encoding="utf-8") as lines:
        return sum(json.loads(line)["unmatched"] for line in lines)


def _check_packages() -> None:
    missing = [
        name
        for name in ("torch", "diffusers", "accelerate", "safetensors")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ValueError(f"training needs {', '.join(missing)}; pip install 'cameo[train]'")


def _is_main_process() -> bool:
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def _dry_run(config: TrainConfig, as_json: bool) -> None:
    from cameo_train.training.dry_run import facts

    found = facts(config)
    if as_json:
        common.echo_json({"dry_run": True, "config": config.record(), "facts": found})
        return
    click.echo(config.yaml().rstrip())
    click.echo("# would train:")
    rows = [["#", key.replace("_", " "), str(value)] for key, value in found.items()]
    click.echo(common.table(rows))


def describe(row: Mapping[str, Any]) -> str:
    """A step's metrics in one line."""
    parts = [f"step {row['step']}", f"diffusion {row['diffusion']:.4f}"]
    if row["rows"]:
        parts.append(f"correspondence {row['correspondence']:.3f}")
    if "precision" in row:
        parts.append(f"precision {row['precision']:.1%}")
    if "validation_loss" in row:
        parts.append(f"held out {row['validation_loss']:.4f}")
    if "validation_precision" in row:
        parts.append(f"precision {row['validation_precision']:.1%} ({row['reading']})")
    if "psnr" in row:
        parts.append(f"PSNR {row['psnr']:.1f} dB, SSIM {row['ssim']:.3f}")
    if "lpips" in row:
        parts.append(f"LPIPS {row['lpips']:.3f}")
    if row.get("unmatched"):
        parts.append(f"{common.plural(row['unmatched'], 'sample')} without a visible match")
    if row.get("overflow"):
        parts.append("gradients overflowed, no step")
    return ", ".join(parts)


@contextmanager
def _reporter(config: TrainConfig, quiet: bool) -> Iterator[Report]:
    """A bar with losses and rate on a terminal, a line every ``log_every`` steps elsewhere."""
    if quiet:
        yield lambda row: None
    elif sys.stderr.isatty():
        with tqdm(total=config.steps, unit="step", dynamic_ncols=True, file=sys.stderr) as bar:
            yield lambda row: _advance(bar, row)
    else:

        def line(row: Mapping[str, Any]) -> None:
            for left_out in row.get("left_out", ()):
                click.echo(f"left out: {left_out}", err=True)
            if row["step"] % config.log_every == 0 or row["step"] == config.steps:
                click.echo(f"{describe(row)}, {row['seconds']:.2f} s", err=True)

        yield line


def _advance(bar: tqdm[Any], row: Mapping[str, Any]) -> None:
    if bar.n == 0:
        bar.initial = row["step"] - 1  # or the rate would count steps of an earlier run
    for left_out in row.get("left_out", ()):
        bar.write(f"left out: {left_out}", file=sys.stderr)
    bar.n = row["step"] - 1
    shown = {"loss": f"{row['diffusion']:.4f}"}
    if row["rows"]:
        shown["match"] = f"{row['correspondence']:.3f}"
    bar.set_postfix(shown, refresh=False)
    bar.update(1)
