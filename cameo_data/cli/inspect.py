"""``cameo-data inspect``: what is in a dataset's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cameo_data import commands
from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.errors import plural

if TYPE_CHECKING:
    from cameo_data.errors import Failure
    from cameo_data.inspection.overview import Overview, SceneRow
    from cameo_data.recipe import SourceRecipe

EPILOG = """
\b
Examples:
  cameo-data inspect auto recordings
  cameo-data inspect rgbd recordings -o depth_scale=0.001 --read-all
  cameo-data inspect co3d CO3D --split test --scenes 'apple/*' --look 0
"""

MAX_ROWS = 40
MAX_FAILURE_LINES = 20


@click.command("inspect", cls=Command, epilog=EPILOG)
@common.chosen_scenes
@click.option(
    "--look",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Scenes to look into, spread evenly over all; 0 for every one.",
)
@click.option("--read-all", is_flag=True, help="Read every frame of them, not only one per scene.")
@common.json_option
def command(
    chosen: common.Chosen,
    look: int,
    read_all: bool,
    as_json: bool,
) -> None:
    """What is in the folder ROOT of format SOURCE (or `auto`); nothing is written.

    Scenes, frames, sizes, fields of view, how far views are turned and apart (`baseline`: the
    median between consecutive frames, and between the two furthest apart), depth, and everything
    that a build would skip and why. Of many scenes some are looked into; one frame of each is read
    to see its depth. Ends with exit code 3 where something cannot be used.
    """
    from cameo_data.inspection.overview import overview

    recipe = chosen.recipe(quiet=True)
    opened = recipe.open()
    with common.progress(quiet=as_json) as progress:
        found = overview(opened, look, read_all, progress)
    if as_json:
        head = {"source": recipe.name, "guessed": chosen.guessed, "dataset": opened.dataset}
        common.echo_json({**head, "root": str(chosen.root), **found.record()})
    else:
        guessed = ", guessed" if chosen.guessed else ""
        click.echo(_text(f"{opened.dataset} (format {recipe.name}{guessed})", found, recipe))
    if found.failed:
        raise click.exceptions.Exit(ExitCode.DONE_WITH_FAILURES)


def _text(title: str, found: Overview, recipe: SourceRecipe) -> str:
    about = "" if found.complete else "about "
    looked = "" if found.complete else f"; {len(found.rows)} scenes looked into"
    scenes, frames = plural(found.scenes, "scene"), found.estimated_frames
    lines = [f"{title}: {scenes}, {about}{frames} frames{looked}", ""]
    header = (
        "scene",
        "frames",
        "size (w×h)",
        "view (h×v)",
        "turned",
        "baseline",
        "depth known",
        "depth range",
        "failed",
    )
    shown = found.rows[:MAX_ROWS]
    masks = ("foreground", *(_foreground(row) for row in shown))
    rows = [header, *(_row(row) for row in shown)]
    if any(row.foreground_share is not None for row in shown):
        rows = [(*cells, mask) for cells, mask in zip(rows, masks, strict=True)]
    lines.append(common.table(rows))
    if len(found.rows) > MAX_ROWS:
        lines.append(f"… and {len(found.rows) - MAX_ROWS} more (--json lists them)")
    lines += ["", *_totals(found.record(), recipe)]
    for note, scenes_of in found.notes.items():
        lines.append(common.note_line(note, len(scenes_of), scenes_of[0]))
    for unused in found.unused:
        lines.append(common.unused_line(unused.what, unused.count, unused.examples))
    if found.failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.reasons.most_common())
        lines += ["", f"{found.failed} cannot be used: {reasons}"]
        alike = _alike(found.failures)
        lines += [f"  {line}" for line, _ in alike[:MAX_FAILURE_LINES]]
        more = found.failed - sum(count for _, count in alike[:MAX_FAILURE_LINES])
        if more:
            lines.append(f"  … and {more} more (see --json)")
    return "\n".join(lines)


def _alike(failures: Sequence[Failure]) -> list[tuple[str, int]]:
    """Lines of failures, of which those of a scene that differ in the frame alone are one."""
    groups: dict[Failure, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(replace(failure, frame_id=None), []).append(failure)
    lines = []
    for whole, members in groups.items():
        if len(members) == 1:
            lines.append((members[0].message, 1))
        else:
            found = f"{len(members)} frames, such as {members[0].frame_id}: {whole.found}"
            lines.append((replace(whole, found=found).message, len(members)))
    return lines


def _totals(record: dict[str, Any], recipe: SourceRecipe) -> list[str]:
    lines = []
    sizes = [f"{s['hw'][1]}×{s['hw'][0]} ({plural(s['frames'], 'frame')})" for s in record["sizes"]]
    if sizes:
        lines.append(f"sizes: {', '.join(sizes[:4])}{' …' if sizes[4:] else ''}")
    if (turned := record["largest_rotation_deg"]) is not None:
        least, median, largest = (f"{angle:.0f}°" for angle in turned)
        spread = largest if least == largest else f"{least} to {largest}, median {median}"
        lines.append(f"widest rotation within a scene: {spread}")
    if (share := record["frames_with_depth_share"]) is not None:
        known = record["valid_depth_share"]
        pixels = "" if known is None else f"; {100 * known:.0f} % of the pixels read"
        lines.append(f"depth: {100 * share:.0f} % of the frames{pixels}")
        if sparse := record["scenes_with_sparse_matches"]:
            scenes = plural(sparse, "scene")
            lines.append(
                f"{scenes} with sparse matches, which a build stores in place of dense ones"
            )
        elif share < 1:
            lines.append(
                f"frames without depth are left out of a build; {commands.make_depth(recipe)}"
            )
    return lines


def _foreground(row: SceneRow) -> str:
    return "–" if row.foreground_share is None else f"{100 * row.foreground_share:.0f} %"


def _row(row: SceneRow) -> tuple[str, ...]:
    sizes = [f"{hw[1]}×{hw[0]}" for hw, _ in row.sizes.most_common(2)]
    more = " …" if len(row.sizes) > 2 else ""
    unit = {"metre": " m"}.get(row.unit, "")
    depth = "–" if row.depth is None else f"{row.depth[0]:.3g}–{row.depth[1]:.3g}{unit}"
    share = "–" if row.valid_share is None else f"{100 * row.valid_share:.0f} %"
    fov = "–" if row.fov_deg is None else f"{_between(row.fov_deg[0])}×{_between(row.fov_deg[1])}°"
    apart = "–" if row.neighbours is None else f"{row.neighbours:.3g}, {row.extent:.3g}{unit}"
    turned = "–" if row.rotation_deg is None else f"{row.rotation_deg:.0f}°"
    size = ", ".join(sizes) + more
    return row.scene_id, str(row.found), size, fov, turned, apart, share, depth, str(row.failed)


def _between(spread: tuple[float, float, float]) -> str:
    """The median, or from where to where where it differs by a degree."""
    least, median, largest = spread
    return f"{median:.0f}" if largest - least < 1 else f"{least:.0f}–{largest:.0f}"
