"""``cameo-data demo``: the whole way from nothing to a page of matches, offline."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode

EPILOG = """
\b
Example:
  cameo-data demo --out demo
"""


@click.command("demo", cls=Command, epilog=EPILOG)
@click.option(
    "--out",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for scenes, shards and page.",
)
@click.option("--scenes", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--frames", default=16, show_default=True, type=click.IntRange(4), help="Frames per scene."
)
@click.option(
    "--size",
    default=256,
    show_default=True,
    type=click.IntRange(64),
    help="Side of the images in pixels.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@click.option("--dry-run", is_flag=True, help="Say which commands would run, and run none.")
@common.json_option
def command(
    out: Path,
    scenes: int,
    frames: int,
    size: int,
    workers: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Render scenes, build shards, verify them, and draw a page of matches; offline, no input.

    Runs the commands that you would run, and shows each. Run again, it goes on from where it was.
    """
    started = time.perf_counter()
    with as_file(files("cameo_data") / "manifests" / "demo.yaml") as manifest:
        steps = _steps(out, manifest, scenes, frames, size, workers)
        results: dict[str, Any] = {}
        for step in steps:
            if not as_json:
                click.secho(f"$ cameo-data {shlex.join(step)}", bold=True)
            if not dry_run:
                results[step[0]] = _run(step, as_json)
    page = out / "shards" / "preview.html"
    if as_json:
        commands = [["cameo-data", *step] for step in steps]
        seconds = round(time.perf_counter() - started, 1)
        common.echo_json(
            {"page": str(page), "seconds": seconds, "commands": commands, "results": results}
        )
    elif not dry_run:
        click.echo(f"\nDone in {time.perf_counter() - started:.0f} s. Look at the matches:")
        click.secho(f"  {page.resolve()}", bold=True)


def _steps(
    out: Path, manifest: Path, scenes: int, frames: int, size: int, workers: int | None
) -> list[list[str]]:
    root, shards = str(out / "scenes"), str(out / "shards")
    pool = [] if workers is None else ["--workers", str(workers)]
    counts = ["--scenes", str(scenes), "--frames", str(frames), "--size", str(size)]
    return [
        ["synth", root, *counts, *pool],
        ["build-corr", "synthetic", root, "--manifest", str(manifest), "--out", shards, *pool],
        ["verify", shards],
        ["stats", shards],
        ["preview", shards],
    ]


def _run(step: list[str], as_json: bool) -> Any:
    """Runs one command in this process; its JSON where asked for.

    Raises:
        click.exceptions.Exit: it failed, having said why.
    """
    from cameo_data.cli import main

    shared = ["--traceback"] if click.get_current_context().find_root().params["traceback"] else []
    said = io.StringIO()
    capture = contextlib.redirect_stdout(said) if as_json else contextlib.nullcontext()
    with capture:
        code = main.main(
            [*shared, *step, *(["--json"] if as_json else [])], "cameo-data", standalone_mode=False
        )
    if code:
        raise click.exceptions.Exit(ExitCode(code))
    return json.loads(said.getvalue()) if as_json else None
