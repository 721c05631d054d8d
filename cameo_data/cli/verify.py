"""``cameo-data verify``: every byte of a build, and its matches computed again."""

from __future__ import annotations

from pathlib import Path

import click

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.errors import plural


def _parse_groups(_ctx: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    """A number of groups, or None for all."""
    if value == "all":
        return None
    if not (value.isascii() and value.isdigit()):
        raise click.BadParameter(f"{value!r}; expected a number or `all`")
    return int(value)


@click.command(
    cls=Command,
    epilog="Example: cameo-data verify shards --groups all",
)
@click.argument("build", metavar="D", type=click.Path(path_type=Path))
@click.option(
    "--groups",
    metavar="N|all",
    default="16",
    callback=_parse_groups,
    show_default=True,
    help="Samples whose matches are derived again from stored depth and poses.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed that chooses the samples."
)
@common.json_option
def command(build: Path, groups: int | None, seed: int, as_json: bool) -> None:
    """Check a finished build D: every byte, and its matches computed again.

    Finds truncated, altered, missing and extra bytes, files and members, and derives the
    correspondences of some samples again from the stored depth and poses. Needs no source data.
    Exit code 0: all is well; 1: there are problems, one line each.
    """
    from cameo_data.shards.verify import verify_build

    with common.progress(quiet=as_json) as progress:
        report = verify_build(build, groups=groups, seed=seed, progress=progress)
    if as_json:
        common.echo_json(report.record())
    else:
        for problem in report.problems:
            click.echo(problem.message)
        for note in report.notes:
            click.echo(f"{report.build}: {note}")
        if report.ok:
            shards = plural(report.shards, "shard")
            samples = plural(report.samples, "sample")
            checked = plural(report.groups, "sample")
            click.echo(
                f"{report.build}: {shards}, {samples}, {report.bytes / 1e6:.1f} MB as written; "
                f"matches of {checked} derived again, identical. Index {report.index_sha256}"
            )
        else:
            click.echo(f"{report.build}: {plural(len(report.problems), 'problem')}", err=True)
    if not report.ok:
        raise click.exceptions.Exit(ExitCode.FAILED)
