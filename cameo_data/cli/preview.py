"""``cameo-data preview``: one page of pictures of a build's matches."""

from __future__ import annotations

from pathlib import Path

import click

from cameo_data.cli.command import Command
from cameo_data.cli.common import echo_json, json_option, progress
from cameo_data.errors import plural

EXAMPLE = """
\b
Examples:
  cameo-data preview shards
  cameo-data preview shards --samples 20 --seed 7 --out page.html
"""


@click.command(cls=Command, epilog=EXAMPLE)
@click.argument("build_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--samples",
    default=8,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Groups to show, spread over rotation.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Seed that chooses groups and points.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page.  [default: BUILD_DIR/preview.html]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be shown, and write nothing.")
@json_option
def command(
    build_dir: Path, samples: int, seed: int, out: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Draw the matches of the finished build BUILD_DIR into one HTML page.

    Matches as points and lines with hidden points marked, one view warped into another, their
    colour difference, verdicts and confidence. The page needs nothing but itself.
    """
    from cameo_data.report import agreement, build_page

    out = out or build_dir / "preview.html"
    with progress(quiet=as_json) as report_progress:
        if dry_run:
            keys = build_page.choose_keys(build_dir, samples, seed, report_progress)
        else:
            page = build_page.write(build_dir, out, samples, seed, report_progress)
    if dry_run:
        if as_json:
            echo_json({"page": str(out), "dry_run": True, "groups": keys})
        else:
            click.echo(f"would show {plural(len(keys), 'group')} in {out}: {', '.join(keys)}")
        return
    size = out.stat().st_size
    doubt = agreement.doubt(page.agreement)
    if as_json:
        echo_json(
            {
                "page": str(out),
                "bytes": size,
                "groups": page.groups,
                "groups_left_out": page.groups_left_out,
                **page.agreement.record(),
                "warnings": [] if doubt is None else [doubt],
            }
        )
        return
    left_out = f", {page.groups_left_out} left out for its size" if page.groups_left_out else ""
    groups, pairs = plural(page.groups, "group"), plural(page.pairs, "pair")
    click.echo(f"{groups} and {pairs} of views{left_out} ({size / 1e6:.1f} MB)")
    if doubt is not None:
        click.echo(doubt)
    click.echo(f"Open {out.resolve()}")
