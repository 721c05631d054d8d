"""``cameo-train precision``: how well features and attention know the geometry, by rotation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.errors import plural
from cameo_data.io.work_folder import refuse_build

if TYPE_CHECKING:
    from cameo_data.types import Progress
    from cameo_train.precision.report.page import Outcome
    from cameo_train.precision.session import Failed, Session

EPILOG = """
\b
Examples:
  cameo-train precision --shards demo/shards --features sift,aliked,attention:demo/training --out p
  cameo-train precision --shards shards --features attention:run --layers all --heads best --out p
  cameo-train precision --shards shards --features attention:run --checkpoints all --out p
  cameo-train precision --shards shards --features dinov2:FOLDER,oracle,chance --bin 0 --bin 90 \\
      --bin 180 --threshold 8px --out p
  cameo-train precision --shards shards --features attention:run --perturb all --out p
  cameo-train precision --compare before --compare after --out difference

Features are listed in docs/matchers.md. To resume, run the same command again; with further
features it measures only these. Exit code 3: some features lack weights; the others were measured.
"""


# Parameters that apply only to the measurement by rotation -> their flags.
_NOT_OF_NAMED = {
    "thresholds": "--threshold",
    "bins_deg": "--bin",
    "min_confidence": "--min-confidence",
    "pictures": "--pictures",
    "perturb": "--perturb",
}


@click.command("precision", cls=Command, epilog=EPILOG)
@click.option("--shards", type=click.Path(path_type=Path), help="A finished build.")
@click.option("--features", help="Features to measure: a comma list of KIND[:ARGUMENT].")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option(
    "--compare",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Compare results, measure nothing; repeat it: all others against the first.",
)
@click.option(
    "--protocol",
    "named",
    type=click.Choice(["probe3d-navi", "probe3d-scannet", "cameo"]),
    help="Run a published evaluation instead; see docs/matchers.md.",
)
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
    help="Least confidence of a VISIBLE query.",
)
@click.option(
    "--samples", type=click.IntRange(1), help="Groups measured, spread evenly.  [default: all]"
)
@click.option(
    "--batch",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="Groups per batch; does not change results.",
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
    help="How heads are combined.  [default: auto]",
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
    help="Checkpoints of a run to measure.",
)
@click.option(
    "--references",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Clean views of a group.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the noise."
)
@click.option(
    "--pictures",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Groups whose attention is shown, of checkpoints.",
)
@click.option(
    "--perturb",
    multiple=True,
    help="Layers, or all, without whose attention target views are sampled; repeat it.",
)
@click.option("--device", help="cpu, cuda …  [default: a GPU if there is one]")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be measured; measure nothing.")
@common.json_option
def command(
    shards: Path | None,
    features: str | None,
    out: Path,
    folders: tuple[Path, ...],
    named: str | None,
    dry: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Precision of correspondence against viewpoint rotation.

    For every point that another view sees, by the build's verdicts, each matcher searches that
    view. The table shows the share that is found, by rotation between the views, with the
    ceiling of the grid and the floor of blind choice.
    """
    refuse_build(out)
    if folders:
        if _flags_given() - {"folders", "out", "dry", "as_json"}:
            raise click.UsageError("--compare goes with --out alone")
        _compare(folders, out, dry, as_json)
        return
    if shards is None or features is None:
        raise click.UsageError("give --shards and --features, or --compare twice")
    if named is not None and (vain := sorted(_flags_given() & _NOT_OF_NAMED.keys())):
        flags = ", ".join(_NOT_OF_NAMED[name] for name in vain)
        raise click.UsageError(f"--protocol {named} states its own protocol; leave out {flags}")
    from cameo_train.precision import session as sessions

    session = sessions.prepare(shards, features, out, given)
    if dry:
        facts, count = session.protocol.facts(), len(session.work.samples)
        _say_plan([job.label for job in session.jobs], facts, count, as_json)
        return
    with common.progress(quiet=as_json) as progress:
        if named is not None:
            record, text, failed = _by_name(session, named, progress)
            paths: list[Path] = []
        else:
            record, text, failed, paths = _by_rotation(session, shards, given, progress)
    if as_json:
        common.echo_json(record)
    else:
        click.echo(text)
        for path in paths:
            click.echo(f"  {shlex.quote(str(path))}")
    for spec, reason in failed:
        click.echo(f"not measured: {spec}: {reason}", err=True)
    if failed:
        every = len({spec for spec, _ in failed}) == len(session.specs)
        raise click.exceptions.Exit(ExitCode.FAILED if every else ExitCode.DONE_WITH_FAILURES)


def _flags_given() -> set[str]:
    """Names of the parameters given on the command line."""
    context = click.get_current_context()
    return {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def _by_rotation(
    session: Session, shards: Path, given: dict[str, Any], progress: Progress
) -> tuple[dict[str, Any], str, Failed, list[Path]]:
    from cameo_train.precision.report import extras as precision_extras
    from cameo_train.precision.report import page as precision_page
    from cameo_train.precision.session import measure

    rows, failed = measure(session, progress)
    bad = {spec for spec, _ in failed}
    extras = precision_extras.extras(
        [spec for spec in session.specs if spec not in bad], session.reader, session.protocol,
        session.options, session.work.device,
        pictures=given["pictures"], layers=given["perturb"],
    )  # fmt: skip
    outcome = precision_page.Outcome(
        shards=str(shards),
        build=session.reader.index.name,
        protocol=session.protocol,
        rows=rows,
        missing=failed,
        samples=len(session.work.samples),
        of_samples=len(session.reader),
        extras=extras,
    )
    paths = precision_page.write(outcome, session.work.out)
    return outcome.record(), table(outcome), failed, paths


def _by_name(session: Session, name: str, progress: Progress) -> tuple[dict[str, Any], str, Failed]:
    from cameo_train.precision.report import named as precision_named
    from cameo_train.precision.session import measure_by
    from cameo_train.protocols import named_protocol

    named = named_protocol(name)
    found, failed = measure_by(named, session, progress)
    record = precision_named.write(named, found, failed, session.work.out)
    rows = precision_named.table(found)
    facts = "\n".join(f"  {key}: {value}" for key, value in precision_named.facts(named).items())
    return record, f"recall by {name}\n{common.table(rows)}\n{facts}", failed


def _compare(folders: tuple[Path, ...], out: Path, dry: bool, as_json: bool) -> None:
    from cameo_train.precision.compare import compare
    from cameo_train.precision.report import compare as precision_compare

    plan, found = compare(folders)
    paths = [] if dry else precision_compare.write(plan, found, out)
    if as_json:
        common.echo_json(precision_compare.record(plan, found))
        return
    click.echo(f"difference in precision within {plan.thresholds[0].text}, by rotation")
    click.echo(common.table(precision_compare.table(plan, found)))
    for path in paths:
        click.echo(f"  {shlex.quote(str(path))}")


def _say_plan(labels: list[str], facts: dict[str, str], samples: int, as_json: bool) -> None:
    if as_json:
        common.echo_json({"dry_run": True, "rows": labels, "samples": samples, "protocol": facts})
        return
    click.echo(f"would measure {plural(samples, 'group')} by {', '.join(labels)}")
    click.echo(common.table([[name, text] for name, text in facts.items()]))


def table(outcome: Outcome) -> str:
    """Headline precision by rotation, with a description below."""
    from cameo_train.precision.report.page import percent, span
    from cameo_train.precision.results import shown

    head = ["", *(one.label for one in outcome.rows[0].bins)]
    rows = [head]
    told = shown(outcome.rows)
    for row in told:
        cells = []
        for one in row.bins:
            interval = span(one.precision[0])
            value = percent(one.precision[0].value)
            cells.append(f"{value} [{interval}]" if interval else value)
        rows.append([row.label, *cells])
    rows.append(["queries", *(str(one.queries) for one in outcome.rows[0].bins)])
    facts = "\n".join(f"  {name}: {text}" for name, text in outcome.protocol.facts().items())
    title = f"precision within {outcome.protocol.thresholds[0].text}, by rotation"
    rest = len(outcome.rows) - len(told)
    more = f"  {plural(rest, 'further row')} in results.csv and on the page\n" if rest else ""
    return f"{title}\n{common.table(rows)}\n{more}{facts}"
