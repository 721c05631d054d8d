"""``cameo-data status``: how far a build is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from cameo_data.build import BuildStatus, build_status
from cameo_data.cli import common
from cameo_data.cli.build_corr import count_lines

EPILOG = """
\b
Example:
  cameo-data status shards
"""


@click.command("status", epilog=EPILOG)
@click.argument("build_dir", metavar="D", type=click.Path(path_type=Path))
@common.json_option
def command(build_dir: Path, as_json: bool) -> None:
    """How far the build in folder D is, and what to run next."""
    status = build_status(build_dir)
    if as_json:
        common.echo_json({**dataclasses.asdict(status), "root": str(status.root)})
        return
    click.echo(_headline(status))
    for line in count_lines(status.counts) if status.counts is not None else ():
        click.echo(line)
    click.echo(f"next: {status.next_command}")


def _headline(status: BuildStatus) -> str:
    if status.state == "surveying":
        return f"{status.root}: not finished; scenes are being surveyed, no shard is planned yet"
    shards = f"{status.done} of {status.total} shards, {status.samples} samples"
    done = "not finished" if status.state == "building" else status.state
    return f"{status.root}: {done}; {shards}"
