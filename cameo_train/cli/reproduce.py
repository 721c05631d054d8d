"""``cameo-train reproduce``: does supervising one attention layer halve the iterations?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.errors import plural
from cameo_data.io.work_folder import refuse_build

if TYPE_CHECKING:
    from cameo_train.reproduce.summary import Line

EPILOG = """
\b
Examples:
  cameo-train reproduce --out reproduce                      # one seed, under 20 minutes of 2 cores
  cameo-train reproduce --out reproduce --seeds 3 --ablate control
  cameo-train reproduce --out smoke --quick
  cameo-train reproduce --out mine --shards shards --validation held-out --set targets=online

To resume, run the same command again; scenes, shards and finished runs are kept.
"""


COLOURS = {"met": "green", "not met": "red", "contradicted": "red"}

# The experiment sets these itself.
_OWN = ("out", "seed", "shards", "validation")


@click.command("reproduce", cls=Command, epilog=EPILOG)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for data, runs, results."
)
@click.option(
    "--preset", "preset_name", default="laptop", show_default=True,
    type=click.Choice(["laptop", "quick", "gpu"]), help="How large.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="The preset `quick`: a smoke test of two minutes.")
@click.option(
    "--seeds", default=1, show_default=True, type=click.IntRange(1), help="Seeds of every arm."
)
@click.option("--ablate", "ablations", multiple=True, help="More arms; repeat it.  See below.")
@click.option(
    "--steps", type=click.IntRange(2), help="Training steps of every run.  [default: the preset's]"
)
@click.option("--model", help="A small model preset.  [default: the preset's]")
@click.option("--weights", help="Folder or hub name of pretrained weights, for the preset `gpu`.")
@click.option("--shards", type=click.Path(), help="Your own build to train on.")
@click.option("--validation", type=click.Path(), help="A build of held-out scenes, with --shards.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", callback=common.parse_options,
    help="A key of `cameo-train fit`'s manifests, for all arms that do not set it; repeat it.",
)  # fmt: skip
@click.option(
    "--jobs", "parallel", type=click.IntRange(1), help="Runs at a time.  [default: one per core]"
)
@click.option("--dry-run", "dry", is_flag=True, help="Say which runs would be made; make none.")
@common.json_option
def command(
    out: Path,
    preset_name: str,
    quick: bool,
    seeds: int,
    ablations: tuple[str, ...],
    steps: int | None,
    model: str | None,
    weights: str | None,
    shards: str | None,
    validation: str | None,
    settings: dict[str, Any],
    parallel: int | None,
    dry: bool,
    as_json: bool,
) -> None:
    """Train the same model with and without supervision, and compare.

    Scenes are rendered with exact matches, packed into shards, and trained on through the ordinary
    loop: every arm with the same seeds, data order, noise and initial weights. The report shows how
    soon each arm reaches the final loss of the arm without supervision, on target views of held-out
    scenes.

    Ablations: control (matches dealt out at random), layer, weight, target, head, directions, stop,
    depth (matches from noisy depth), architecture, tokens (32×32 per view; hours on a CPU).
    """
    refuse_build(out)
    if (shards is None) != (validation is None):
        raise click.UsageError("give both --shards and --validation, or neither")
    if own := [key for key in settings if key in _OWN]:
        raise click.UsageError(f"--set {own[0]}: it is the experiment's own, another for each run")
    from cameo_train.reproduce.data import Data
    from cameo_train.reproduce.experiment import Experiment, reproduce
    from cameo_train.reproduce.presets import PRESETS
    from cameo_train.reproduce.report import page as reproduce_page
    from cameo_train.training.loop import Stopped

    preset = PRESETS["quick" if quick else preset_name]
    data = None if shards is None or validation is None else Data(Path(shards), Path(validation))
    if weights is not None and not preset.with_weights:
        raise click.UsageError(f"preset {preset.name} trains a model that takes no weights")
    if weights is not None and model is None:
        model = preset.with_weights
    overrides = {"steps": steps, "model": model, "weights": weights}
    experiment = Experiment(
        preset, out, range(seeds), ablations,
        settings | {key: value for key, value in overrides.items() if value is not None}, data,
    )  # fmt: skip
    if dry:
        _say_plan(experiment, as_json)
        return
    if preset.note and not as_json:
        click.secho(preset.note, bold=True)
    try:
        with common.progress(quiet=as_json) as progress:
            results = reproduce(experiment, parallel or _cores(), progress)
    except Stopped:
        # The run was in this process, and its checkpoint is written.
        click.echo("interrupted; run the same command again to go on", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    page = reproduce_page.write(results)
    if as_json:
        common.echo_json(results.record())
        return
    click.echo(table(results.lines))
    for claim in results.claims:
        word = click.style(f"{claim.outcome:18}", fg=COLOURS.get(claim.outcome))
        click.echo(f"{word}  {claim.text}: {claim.found}")
    if preset.note:
        click.secho(preset.note, bold=True)
    for path in (page, out / "results.json"):
        click.echo(f"  {shlex.quote(str(path))}")


def _cores() -> int:
    from cameo_data.executors.local import default_workers

    return default_workers()


def _say_plan(experiment: Any, as_json: bool) -> None:
    jobs = experiment.jobs()
    if as_json:
        listed = [{"arm": j.arm.name, "seed": j.seed, "config": j.config.record()} for j in jobs]
        common.echo_json({"dry_run": True, "runs": listed})
        return
    arms = {job.arm.name: job for job in jobs}
    rows = [[name, f"{job.config.steps} steps", job.arm.meaning] for name, job in arms.items()]
    click.echo(f"would train {plural(len(jobs), 'run')} in {experiment.out}:")
    click.echo(common.table(rows))


def table(lines: list[Line] | Any) -> str:
    """The lines as text: means over seeds."""
    from cameo_train.reproduce.summary import shown

    head = [
        "arm", "held-out loss", "steps to the baseline's", "time", "precision at 1/3", "at the end",
        "PSNR", "what",
    ]  # fmt: skip
    rows = [head]
    for line in lines:
        reached = "" if line.reached == line.seeds else f" ({line.reached} of {line.seeds} seeds)"
        never = "not reached"
        rows.append(
            [
                line.arm.name,
                shown(line.loss, "{:.4f}"),
                (shown(line.steps, "{:.0%}") if line.steps else never) + reached,
                shown(line.seconds, "{:.0%}") if line.seconds else "",
                shown(line.precision_early, "{:.1%}"),
                shown(line.precision, "{:.1%}"),
                shown(line.psnr, "{:.1f}") + (" dB" if line.psnr else ""),
                line.arm.meaning,
            ]
        )
    return common.table(rows)
