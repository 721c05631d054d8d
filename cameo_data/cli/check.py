"""``cameo-data check``: are poses, depths and intrinsics right, and if not, which mistake is it?"""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.cli.common import ExitCode
from cameo_data.errors import DataError, Failure
from cameo_data.io import boundary

EPILOG = """
\b
Examples:
  cameo-data check auto recordings
  cameo-data check rgbd recordings -o depth_scale=0.001 --scenes 'office*'

Exit codes: 0 all examined scenes are consistent, 1 some are not (or nothing could be
judged), 3 consistent where it could be judged, but some scenes could not.
"""


@click.command("check", cls=Command, epilog=EPILOG)
@common.chosen_scenes
@click.option(
    "--sample",
    default=8,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Number of scenes to examine, drawn by --seed from those chosen; 0 for all.",
)
@click.option(
    "--views", default=16, show_default=True, type=click.IntRange(2, 64), help="Views per scene."
)
@click.option(
    "--pairs",
    default=40,
    show_default=True,
    type=click.IntRange(1),
    help="Pairs of views per scene.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Seed of all random choices.",
)
@common.json_option
def command(
    chosen: common.Chosen,
    sample: int,
    views: int,
    pairs: int,
    seed: int,
    as_json: bool,
) -> None:
    """Are the poses, depths and intrinsics in ROOT, of format SOURCE (or `auto`), right?

    Compares views with each other: depth with depth, features with epipolar lines and with where
    depth moves them, colour with colour. Where a usual mistake (inverted poses, OpenGL axes,
    another unit …) explains more, it is named with the option or line that undoes it. Needs no
    depth, but says more with it.
    """
    from cameo_data.check import report
    from cameo_data.check.judge import SceneCheck, check_scene

    recipe = chosen.recipe(quiet=as_json)
    opened = recipe.open()
    drawn = _drawn(opened.scene_ids(), sample, seed)
    checks: list[SceneCheck] = []
    failures: list[Failure] = list(opened.failures)
    with common.progress(quiet=as_json) as progress:
        for number, scene_id in enumerate(drawn):
            try:
                with boundary.reading(opened.dataset, scene_id):
                    scene = opened.scene(scene_id)
                    checks.append(check_scene(scene, views=views, pairs=pairs, seed=seed))
            except DataError as error:
                failures.append(error.failure)
            progress("scenes", number + 1, len(drawn))
    found = report.Report(recipe, opened, len(opened.scene_ids()), checks, failures)
    if as_json:
        common.echo_json(found.record())
    else:
        click.echo("\n".join(found.lines()))
    if code := _exit_code(checks):
        raise click.exceptions.Exit(code)


def _drawn(scene_ids: Any, sample: int, seed: int) -> list[str]:
    if not sample or len(scene_ids) <= sample:
        return list(scene_ids)
    places = np.random.default_rng(seed).permutation(len(scene_ids))[:sample]
    return [scene_ids[i] for i in sorted(places)]


def _exit_code(checks: Any) -> ExitCode:
    verdicts = {check.verdict for check in checks}
    if "inconsistent" in verdicts or "consistent" not in verdicts:
        return ExitCode.FAILED
    return ExitCode.DONE if verdicts == {"consistent"} else ExitCode.DONE_WITH_FAILURES
