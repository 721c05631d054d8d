"""``cameo-data build-corr``: posed depth becomes correspondence shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cameo_data import recipe as recipes
from cameo_data.build import BuildResult, build, consistency, dry_run
from cameo_data.build.whole_build import geometry_warnings
from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.cli.model_flags import model_flags
from cameo_data.commands import path_word
from cameo_data.errors import TooManyFailures, plural
from cameo_data.executors.local import default_workers
from cameo_data.io import yaml_files
from cameo_data.recipe import Recipe
from cameo_data.types import Progress

EPILOG = """
\b
Examples:
  cameo-data build-corr rgbd recordings --out shards --size 512
  cameo-data build-corr auto recordings --out shards --strategy video --views 8
  cameo-data build-corr co3d CO3D --out shards --split train --scenes 'apple/*' --limit 100
  cameo-data build-corr --manifest recipe.yaml --out shards --seed 1

A build that was stopped, even by kill -9, resumes when the same command is run again, and gives the
same bytes. Run again on a finished build, it rebuilds the shards that are damaged or whose input
changed. Frames that cannot be used are left out, counted, and written to failures.jsonl.
"""


# flags that are repeated are called by the singular
FLAG_NAMES = {"rotation_bins": "rotation-bin", "strides": "stride"}


@click.command("build-corr", cls=Command, epilog=EPILOG)
@click.argument("source", required=False)
@click.argument("root", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for the shards."
)
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="A recipe file; flags override it."
)
@common.source_options
@common.subset_options
@common.depth_options
@model_flags(Recipe, names=FLAG_NAMES, without=("source",))
@click.option(
    "--workers", type=click.IntRange(1), help="Processes.  [default: one per processor core]"
)
@click.option(
    "--check/--no-check",
    "check",
    default=True,
    show_default=True,
    help="Look whether poses, depth and K of some scenes agree, as `cameo-data check` does.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Read everything, write nothing.")
@common.json_option
def command(
    source: str | None,
    root: Path | None,
    out: Path,
    manifest: Path | None,
    options: dict[str, Any],
    scenes: tuple[str, ...],
    limit: int | None,
    split: str | None,
    depth: Path | None,
    depth_confidence: float | None,
    workers: int | None,
    check: bool,
    dry: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Build correspondence shards from the recordings of format SOURCE below ROOT.

    SOURCE is a format (`cameo-data sources` lists them) or `auto`. The --manifest may name both
    instead.
    """
    chosen = common.subset_values(options, scenes, limit, split)
    chosen |= common.depth_values(depth, depth_confidence)
    recipe = resolve_recipe(source, root, manifest, chosen, fields, quiet=as_json)
    workers = workers or default_workers()
    with common.progress(quiet=as_json) as progress:
        if dry:
            plan = dry_run(recipe, workers=workers, progress=progress, check=check)
        else:
            result = _build(recipe, out, workers, progress, check, as_json)
    if dry:
        found = plan.counts.get("check")
        warnings = geometry_warnings(recipe, found) if found else []
        record = {"dry_run": True, "shards": len(plan.tasks), "counts": dict(plan.counts)}
        text = f"would write {_size(plan.counts['samples'], len(plan.tasks))} to {out}"
        lines = [text, *_chosen(recipe, plan.counts), *count_lines(plan.counts), *warnings]
        _report({**record, "warnings": warnings}, lines, as_json)
        _exit(plan.counts, ExitCode.FAILED if plan.allowance_exceeded else ExitCode.DONE)
        return
    _report(_record(result), _result_lines(recipe, result), as_json)
    _exit(result.counts, ExitCode.DONE)


def resolve_recipe(
    source: str | None,
    root: Path | None,
    manifest: Path | None,
    chosen: Mapping[str, Any],
    fields: Mapping[str, Any],
    quiet: bool = False,
) -> Recipe:
    """The recipe that file and flags give together; ``chosen`` as of ``common.subset_values``.

    Raises:
        click.UsageError: neither names a source and its folder.
        ValueError: they contradict the model.
    """
    values = yaml_files.load(manifest) if manifest is not None else {}
    if source is not None and root is None:
        raise click.UsageError("SOURCE needs a ROOT: the folder of the recordings")
    if source is None and "source" not in values:
        raise click.UsageError("give SOURCE and ROOT, or a --manifest that names them")
    changed: dict[str, Any] = {}
    if source is not None and root is not None:
        changed |= {"name": common.resolve_source(source, root, quiet), "root": str(root)}
    changed |= chosen
    flags = {key: value for key, value in fields.items() if value not in (None, ())}
    return recipes.make(yaml_files.merge(values, {**flags, "source": changed}))


def _build(
    recipe: Recipe,
    out: Path,
    workers: int,
    progress: Progress,
    check: bool,
    as_json: bool,
) -> BuildResult:
    try:
        return build(recipe, out, workers=workers, progress=progress, check=check)
    except TooManyFailures as error:
        if as_json:
            common.echo_json({"finished": False, "out": str(out), "counts": dict(error.counts)})
        raise


def _record(result: BuildResult) -> dict[str, Any]:
    return {
        "finished": True,
        "out": str(result.root),
        "samples": result.samples,
        "shards": result.shards,
        "bytes": result.bytes,
        "shards_made": result.made,
        "shards_kept": result.kept,
        "counts": dict(result.counts),
        "notes": list(result.notes),
        "warnings": list(result.warnings),
    }


def _result_lines(recipe: Recipe, result: BuildResult) -> list[str]:
    kept = f", {result.kept} of them from before" if result.kept and result.made else ""
    done = "was finished already: " if not result.made else ""
    quoted = path_word(result.root)
    megabytes = f"{result.bytes / 1e6:.1f} MB"
    return [
        f"{result.root}: {done}{_size(result.samples, result.shards)}{kept} ({megabytes})",
        *_chosen(recipe, result.counts),
        *count_lines(result.counts),
        *([f"left out: see {result.root / 'failures.jsonl'}"] if result.failures else []),
        *result.warnings,
        f"next: cameo-data verify {quoted}; cameo-data preview {quoted}",
    ]


def _chosen(recipe: Recipe, counts: Mapping[str, Any]) -> list[str]:
    """What was chosen, and by which flag to choose otherwise."""
    groups = (
        "as many as use every frame that overlaps with others (--groups-per-scene)"
        if recipe.groups_per_scene is None
        else f"{recipe.groups_per_scene} per scene"
    )
    lines = [f"samples: {recipe.views} views each, strategy {recipe.strategy}, {groups}"]
    if recipe.size is not None:
        lines.append(f"images: resized to {recipe.size}")
    if left_out := counts["frames"]["left_out"]:
        lines.append(f"left out: {plural(left_out, 'frame')}; {_why_left_out(recipe)}")
    return lines


def _why_left_out(recipe: Recipe) -> str:
    if recipe.groups_per_scene is not None:
        return "without --groups-per-scene every frame that overlaps with enough others is used"
    return (
        f"these share less than {recipe.min_overlap:g} with {recipe.views - 1} others "
        "(--min-overlap, --views) or are not candidates (--frame-step, --max-frames)"
    )


def _size(samples: int, shards: int) -> str:
    return f"{plural(samples, 'sample')} in {plural(shards, 'shard')}"


def count_lines(counts: Mapping[str, Any]) -> list[str]:
    """What became of everything found, in two or three lines."""
    lines = [
        f"{what}: {c['found']} found = {c['used']} used"
        + (f" + {c['left_out']} left out by grouping" if "left_out" in c else "")
        + f" + {c['failed']} failed"
        for what in ("scenes", "frames")
        for c in [counts[what]]
    ]
    images = counts.get("images", {"encoded": 0})
    if images["encoded"]:
        lines.append(
            f"images: {images['encoded']} encoded as {images['format']} (--image-format, "
            f"--image-quality), {images['kept']} kept byte for byte"
        )
    failures = counts["failures"]
    if failures["total"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failures["by_reason"].items())
        lines.append(f"failures: {failures['total']} ({reasons}); {failures['allowed']} allowed")
    # builds of earlier versions do not count these
    for note in counts.get("notes", ()):
        lines.append(common.note_line(note["note"], note["scenes"], note["examples"][0]))
    for unused in counts.get("unused", ()):
        lines.append(common.unused_line(unused["what"], unused["count"], unused["examples"]))
    if (checked := counts.get("check")) is not None:
        lines.append(consistency.summary(checked))
    return lines


def _report(record: Mapping[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        common.echo_json(record)
    else:
        click.echo("\n".join(lines))


def _exit(counts: Mapping[str, Any], code: ExitCode) -> None:
    if code is ExitCode.DONE and counts["failures"]["total"]:
        code = ExitCode.DONE_WITH_FAILURES
    if code is not ExitCode.DONE:
        raise click.exceptions.Exit(code)
