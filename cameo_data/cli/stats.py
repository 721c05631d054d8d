"""``cameo-data stats``: rotation, overlap and verdict shares of a build, and its frames."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cameo_data.cli.command import Command
from cameo_data.cli.common import echo_json, json_option, progress

EXAMPLE = """
\b
Examples:
  cameo-data stats shards
  cameo-data stats shards --out stats.svg --colours 16
"""


@click.command(cls=Command, epilog=EXAMPLE)
@click.argument("build_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also plot into this file; its ending decides: .png, .svg or .pdf.",
)
@click.option(
    "--colours",
    default=8,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Measure how well matched colours agree over N groups; 0 for none.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed that chooses them."
)
@click.option("--dry-run", is_flag=True, help="Print everything, but write no plot.")
@json_option
def command(
    build_dir: Path, out: Path | None, colours: int, seed: int, dry_run: bool, as_json: bool
) -> None:
    """Say what is in the finished build BUILD_DIR.

    How far views of a group are turned against each other, how much they share, what became of
    every query and of every frame found.
    """
    from cameo_data.report import agreement, plots, reading, selection, summary, text
    from cameo_data.shards.reader import ShardReader

    if out is not None:
        plots.format_of(out)
    with progress(quiet=as_json) as report_progress:
        reader = ShardReader(build_dir)
        frames = reading.frame_count(reader)
        build, largest = reading.read_numbers(reader, report_progress)
        chosen = selection.groups(largest, colours, seed)
        samples = reading.chosen_samples(reader, chosen, "colours", report_progress)
        bins = agreement.by_rotation(samples, summary.ROTATION_BINS_DEG) if chosen else []
    written = out is not None and not dry_run
    if out is not None and written:
        out.parent.mkdir(parents=True, exist_ok=True)
        plots.save(out, build, frames, reader.index.name)
    doubt = agreement.doubt(sum(bins, agreement.Agreement()))
    if as_json:
        record: dict[str, Any] = {
            "build": str(build_dir),
            "frames": frames.record(),
            **build.record(),
            "colours": agreement.record(bins, summary.ROTATION_BINS_DEG, groups=len(chosen)),
            "warnings": [] if doubt is None else [doubt],
            "plot": str(out) if written else None,
        }
        echo_json(record)
        return
    for line in text.lines(build, frames, bins, unicode=_shows_blocks()):
        click.echo(line)
    if doubt is not None:
        click.echo(f"\n{doubt}")
    if out is not None:
        click.echo(f"\n{'Plots are in' if written else 'Plots would be in'} {out}")


def _shows_blocks() -> bool:
    """Whether standard output can hold the characters of the bars."""
    try:
        "█≠–°".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
