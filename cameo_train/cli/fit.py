"""``cameo-train fit``: shards in, a multi-view diffusion model with supervised attention out."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.cli.model_flags import model_flags
from cameo_data.errors import needs, plural
from cameo_train.config import TrainConfig, load

if TYPE_CHECKING:
    from cameo_train.training.loop import TrainResult

Report = Callable[[Mapping[str, Any]], None]

EPILOG = """
\b
Examples:
  cameo-train fit --shards shards --out run --steps 1000
  cameo-train fit --shards shards --out plain --steps 1000 --weight 0
  cameo-train fit --manifest run.yaml --shards shards --out run
  accelerate launch --num_processes 8 -m cameo_train.cli fit --manifest run.yaml

A run that was stopped goes on from its last checkpoint when the same command is run again. With
another configuration use another --out; only how far, how often and with how many workers may
change.

A damaged sample is left out and another drawn in its place, up to --max-damaged of them; the run
then ends with exit code 3, and OUT/failures.jsonl names them.
"""


@click.command("fit", cls=Command, epilog=EPILOG)
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="A configuration file; flags override it."
)
@model_flags(TrainConfig)
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


def _echo_result(config: TrainConfig, result: TrainResult, pictures: Sequence[Path]) -> None:
    done = f": {describe(result.last)}" if result.last else " was finished already"
    click.echo(f"{config.out}{done}")
    for path in (result.checkpoint, Path(config.out) / "metrics.jsonl", *pictures):
        click.echo(f"  {shlex.quote(str(path))}")
    unmatched = _unmatched(Path(config.out) / "metrics.jsonl")
    if unmatched:
        count = plural(unmatched, "sample")
        click.echo(f"{count} without a visible match trained the diffusion loss alone")
    if result.left_out:
        path = Path(config.out) / "failures.jsonl"
        count = plural(result.left_out, "damaged sample")
        click.echo(f"left out {count}: see {shlex.quote(str(path))}")


def _unmatched(metrics: Path) -> int:
    """Over the whole run."""
    with metrics.open(encoding="utf-8") as lines:
        return sum(json.loads(line)["unmatched"] for line in lines)


def _check_packages() -> None:
    missing = [
        name
        for name in ("diffusers", "accelerate", "safetensors", "torchmetrics")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ValueError(needs("training", *missing))


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
        parts.append(f"{plural(row['unmatched'], 'sample')} without a visible match")
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
