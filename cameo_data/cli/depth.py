"""``cameo-data depth``: depth maps for scenes that ship none, or better ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cameo_data import commands
from cameo_data import depth as methods
from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.depth import computation
from cameo_data.errors import TooManyFailures, plural
from cameo_data.executors.local import default_workers
from cameo_data.recipe import Recipe, SourceRecipe, source_recipe

EPILOG = """
\b
Examples, each followed by its shards:
  cameo-data depth planesweep auto MY_VIDEO --out depth
  cameo-data build-corr auto MY_VIDEO --depth depth --out shards
\b
  cameo-data depth model colmap PROJECT --out depth -m model=models/depth-anything
  cameo-data depth mesh scannetpp ROOT --out depth -m mesh=meshes/{scene}.ply

A run that was stopped goes on when the same command is run again. Frames without depth are
counted, and written to failures.jsonl.
"""


def _list_methods(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    for name in methods.method_names():
        spec = methods.method_spec(name)
        click.echo(f"{name}: {spec.summary}\n  needs {spec.needs}")
        for key, field in spec.options.model_fields.items():
            said = field.description or ""
            shown = "" if field.default is None else f"  [default: {field.default}]"
            click.echo(f"  -m {key}=…  {said}{shown}")
        click.echo("")
    ctx.exit()


@click.command("depth", cls=Command, epilog=EPILOG)
@click.argument("method")
@click.argument("source")
@click.argument("root", required=False, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the depth.")
@click.option(
    "-m",
    "--method-option",
    "method_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=common.parse_options,
    help="An option of the method; may be given several times. See --list.",
)
@common.source_options
@common.subset_options
@common.depth_options
@click.option(
    "--max-failures",
    default="10%",
    show_default=True,
    help=Recipe.model_fields["max_failures"].description,
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes; few on a GPU.  [default: one per processor core]",
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_methods,
    help="All methods with their options, and nothing else.",
)
@click.option("--dry-run", "dry", is_flag=True, help="List the scenes, write nothing.")
@common.json_option
def command(
    method: str,
    source: str,
    root: Path | None,
    out: Path,
    method_options: dict[str, Any],
    options: dict[str, Any],
    scenes: tuple[str, ...],
    limit: int | None,
    split: str | None,
    depth: Path | None,
    depth_confidence: float | None,
    max_failures: str,
    workers: int | None,
    dry: bool,
    as_json: bool,
) -> None:
    """Write depth maps of the scenes of format SOURCE (or `auto`) below ROOT.

    METHOD is planesweep (the default: it may be left out), model, colmap, fuse, mesh or that of
    another package. `build-corr`, `check` and `inspect` take the result with --depth.
    """
    if root is None:
        method, source, root = methods.DEFAULT_METHOD, method, Path(source)
    allowance = computation.parse_allowance(max_failures)
    computation.method_options(method, method_options)
    name = common.resolve_source(source, root, quiet=as_json)
    values = common.source_values(name, root, options, scenes, limit, split)
    recipe = source_recipe(values | common.depth_values(depth, depth_confidence))
    if dry:
        _say_plan(out, method, computation.dry_run(method, method_options, recipe, out), as_json)
        return
    with common.progress(quiet=as_json) as progress:
        try:
            result = computation.estimate(
                method,
                method_options,
                recipe,
                out,
                workers=workers or default_workers(),
                max_failures=allowance,
                progress=progress,
            )
        except TooManyFailures as error:
            if as_json:
                common.echo_json({"finished": False, "out": str(out), "counts": dict(error.counts)})
            raise
    if as_json:
        common.echo_json(_record(result))
    else:
        click.echo("\n".join(_lines(result, recipe)))
    if result.failures:
        raise click.exceptions.Exit(ExitCode.DONE_WITH_FAILURES)


def _record(result: computation.DepthResult) -> dict[str, Any]:
    share = result.known_share
    return {
        "finished": True,
        "out": str(result.root),
        "method": result.method,
        "scenes_made": result.made,
        "scenes_kept": result.kept,
        "known_share": None if share is None else round(share, 4),
        "counts": dict(result.counts),
    }


def _lines(result: computation.DepthResult, source: SourceRecipe) -> list[str]:
    counts, share = result.counts, result.known_share
    some = result.kept and result.made
    kept = f", {plural(result.kept, 'scene')} from before" if some else ""
    done = "was finished already: " if not result.made else ""
    lines = [
        f"{result.root}: {done}depth of {plural(counts['frames']['used'], 'frame')} by "
        f"{result.method}{kept}; on average {100 * (share or 0):.0f} % of the pixels known"
    ]
    for what in ("scenes", "frames"):
        c = counts[what]
        lines.append(f"{what}: {c['found']} found = {c['used']} used + {c['failed']} failed")
    failures = counts["failures"]
    if failures["total"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failures["by_reason"].items())
        lines.append(f"failures: {failures['total']} ({reasons}); {failures['allowed']} allowed; "
                     f"see {result.root / 'failures.jsonl'}")  # fmt: skip
    used = source.model_copy(update={"depth": str(result.root), "depth_confidence": 0.0})
    lines.append(f"next: {commands.of_source('build-corr', used, '--out', 'SHARDS')}")
    return lines


def _say_plan(out: Path, method: str, plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        common.echo_json({"dry_run": True, "out": str(out), "method": method, **plan})
        return
    failures = plan["failures"]
    kept = f" ({plan['frames_kept']} are there already)" if plan["frames_kept"] else ""
    lost = f"; {len(failures)} cannot be used, first: {failures[0]['message']}" if failures else ""
    click.echo(
        f"would write depth of {plural(plan['frames'], 'frame')} of "
        f"{plural(plan['scenes'], 'scene')} by {method} to {out}{kept}{lost}"
    )
