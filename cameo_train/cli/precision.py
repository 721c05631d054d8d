"""``cameo-train precision``: how well features and attention know the geometry, by rotation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cameo_data.cli import common
from cameo_data.cli.common import ExitCode

if TYPE_CHECKING:
    from cameo_train.report.precision_page import Outcome

EPILOG = """
\b
Examples:
  cameo-train precision --shards demo/shards --features sift,aliked,attention:demo/training --out p
  cameo-train precision --shards shards --features attention:run --layers all --heads best --out p
  cameo-train precision --shards shards --features attention:run --checkpoints all --out p
  cameo-train precision --shards shards --features dinov2:FOLDER,oracle,chance --bin 0 --bin 90 \\
      --bin 180 --threshold 8px --out p

Features are listed in docs/matchers.md. Stopped, the same command goes on; with further features it
measures only these. Exit code 3: some features have no weights here; the others were measured.
"""


@click.command("precision", epilog=EPILOG)
@click.option("--shards", required=True, type=click.Path(path_type=Path), help="A finished build.")
@click.option(
    "--features", required=True, help="What is measured: a comma list of KIND[:ARGUMENT]."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option("--stride", type=click.IntRange(1), help="Pixels per cell.  [default: by the build]")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    help="8px or 5%; repeat it.  [default: 5%, 1%, 2%, 10%]",
)
@click.option(
    "--bin",
    "bins_deg",
    multiple=True,
    type=float,
    help="Edge of rotation bins; repeat it.  [default: 0 15 30 60 90 120 180]",
)
@click.option(
    "--min-confidence",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Of VISIBLE queries.",
)
@click.option(
    "--samples", type=click.IntRange(1), help="Groups measured, spread evenly.  [default: all]"
)
@click.option(
    "--batch",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="Groups at a time; changes no number.",
)
@click.option(
    "--layers",
    multiple=True,
    help="Attention layers, or all; repeat it.  [default: the supervised one]",
)
@click.option(
    "--heads",
    multiple=True,
    type=click.Choice(["auto", "mean", "trained", "best", "each"]),
    help="How heads become one.  [default: auto]",
)
@click.option(
    "--noise",
    "timesteps",
    multiple=True,
    type=click.IntRange(0, 999),
    help="Timesteps of target views, of 1000; repeat it.  [default: 300]",
)
@click.option(
    "--checkpoints",
    default="latest",
    show_default=True,
    type=click.Choice(["latest", "all"]),
    help="Of a run.",
)
@click.option(
    "--references",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Clean views of a group.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the noise.")
@click.option("--device", help="cpu, cuda …  [default: a GPU where there is one]")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be measured; measure nothing.")
@common.json_option
def command(shards: Path, features: str, out: Path, dry: bool, as_json: bool, **given: Any) -> None:
    """Precision of correspondence against viewpoint rotation.

    Every point that another view sees, by the build's verdicts, is sought there by each matcher.
    The table shows the share that is found, by rotation between the views, with the ceiling of the
    grid and the floor of blind choice.
    """
    outcome = _measured(shards, features, out, given, dry, quiet=as_json)
    if outcome is None:
        return
    from cameo_train.report import precision_page

    paths = precision_page.write(outcome, out)
    if as_json:
        common.echo_json(outcome.record())
    else:
        click.echo(table(outcome))
        for spec, text in outcome.missing:
            click.echo(f"not measured: {spec}: {text}", err=True)
        for path in paths:
            click.echo(f"  {shlex.quote(str(path))}")
    if outcome.missing:
        raise click.exceptions.Exit(ExitCode.DONE_WITH_FAILURES)


def _measured(
    shards: Path, features: str, out: Path, given: dict[str, Any], dry: bool, quiet: bool
) -> Outcome | None:
    import torch

    from cameo_data import ShardReader
    from cameo_train.matchers import registry
    from cameo_train.matchers.base import MissingWeights
    from cameo_train.matchers.options import TIMESTEP, AttentionOptions
    from cameo_train.precision import protocol as protocols
    from cameo_train.precision import run
    from cameo_train.precision.results import all_results
    from cameo_train.report.precision_page import Outcome

    reader = ShardReader(shards)
    first = reader[0]
    protocol = protocols.protocol_of(
        first.cameras[0].hw, sorted(first.correspondence), stride=given["stride"],
        thresholds=given["thresholds"] or protocols.DEFAULT_THRESHOLDS,
        bins_deg=given["bins_deg"] or protocols.DEFAULT_BINS_DEG,
        min_confidence=given["min_confidence"], masked=first.restricted_to_mask,
    )  # fmt: skip
    heads = given["heads"] or ("auto",)
    options = AttentionOptions(
        given["layers"], heads, given["timesteps"] or (TIMESTEP,), given["checkpoints"],
        given["references"], given["seed"],
    )  # fmt: skip
    jobs = [run.LIMITS]
    for spec in registry.split(features):
        jobs += registry.jobs(spec, options)
    samples = run.chosen_samples(len(reader), given["samples"])
    if dry:
        _say_plan([job.label for job in jobs], protocol.facts(), len(samples), quiet)
        return None
    device = torch.device(given["device"] or ("cuda" if torch.cuda.is_available() else "cpu"))
    work = run.Work(shards, out, protocol, samples, given["batch"], device)
    found, missing = [], []
    with common.progress(quiet=quiet) as progress:
        for job in jobs:
            try:
                one = run.measure(work, job, reader, progress)
            except MissingWeights as error:
                missing.append((job.spec, str(error)))
                continue
            file = work.path(job, reader.index.sha256)
            found.append((one, str(file.relative_to(out))))
    rows = all_results(found, protocol, best_head="best" in heads, each="each" in heads)
    return Outcome(
        str(shards), reader.index.name, protocol, rows, missing, len(samples), len(reader)
    )


def _say_plan(labels: list[str], facts: dict[str, str], samples: int, as_json: bool) -> None:
    if as_json:
        common.echo_json({"dry_run": True, "rows": labels, "samples": samples, "protocol": facts})
        return
    click.echo(f"would measure {common.plural(samples, 'group')} by {', '.join(labels)}")
    click.echo(common.table([[name, text] for name, text in facts.items()]))


def table(outcome: Outcome) -> str:
    """Headline precision by rotation, and under it what it is."""
    from cameo_train.report.precision_page import percent, span

    head = ["", *(one.label for one in outcome.rows[0].bins)]
    rows = [head]
    for row in outcome.rows:
        cells = []
        for one in row.bins:
            interval = span(one.precision[0])
            value = percent(one.precision[0].value)
            cells.append(f"{value} [{interval}]" if interval else value)
        rows.append([row.label, *cells])
    rows.append(["queries", *(str(one.queries) for one in outcome.rows[0].bins)])
    facts = "\n".join(f"  {name}: {text}" for name, text in outcome.protocol.facts().items())
    title = f"precision within {outcome.protocol.thresholds[0].text}, by rotation"
    return f"{title}\n{common.table(rows)}\n{facts}"
