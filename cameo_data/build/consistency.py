"""``check`` on a few of a build's scenes: shards with wrong geometry are made, but not silently."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from cameo_data.build.folder import Folder, identity
from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.catalog import open_scene, open_source
from cameo_data.errors import DataError, plural
from cameo_data.executors import local
from cameo_data.inspection.overview import evenly
from cameo_data.io import boundary
from cameo_data.io.records import canonical_json
from cameo_data.io.work_folder import read_json, write_json
from cameo_data.recipe import Recipe, SourceRecipe
from cameo_data.types import Progress

# Scenes looked at, and views and pairs of each: some seconds in all, however large the build. Gross
# mistakes (inverted poses, another unit, OpenGL axes) show in any pair of views.
SCENES, VIEWS, PAIRS = 3, 6, 8
# Raised whenever the same scenes may be judged otherwise.
RULES = 2


def look(
    recipe: Recipe,
    folder: Folder | None,
    surveys: Sequence[SceneSurvey],
    workers: int,
    progress: Progress,
) -> dict[str, Any]:
    """What ``check`` says of some scenes, plain values for JSON; remembered in the build's folder.

    Args:
        surveys: of the scenes that samples are made of.

    Returns:
        ``scenes``: scene_id, verdict, complaints and mistakes (description and fix) of each.
    """
    chosen = evenly(sorted(surveys, key=lambda survey: survey.scene_id), SCENES)
    basis = [identity(recipe), RULES, [(s.scene_id, s.inputs) for s in chosen]]
    inputs = hashlib.sha256(canonical_json(basis)).hexdigest()
    known = None if folder is None else read_json(folder.check)
    if known is not None and known.get("inputs") == inputs:
        return {"scenes": known["scenes"]}
    scene_ids = [survey.scene_id for survey in chosen]
    found: dict[int, dict[str, Any]] = {}
    step = functools.partial(check_one, recipe.source, recipe.seed)
    running = local.run(step, scene_ids, workers=workers, described=lambda name: f"scene {name}")
    with closing(running) as results:
        for index, record in results:
            found[index] = record
            progress("scenes checked", len(found), len(scene_ids))
    # through JSON: what is remembered and what is new are the same, down to the order of keys
    scenes = json.loads(canonical_json([found[index] for index in range(len(scene_ids))]))
    if folder is not None:
        write_json(folder.check, {"inputs": inputs, "scenes": scenes})
    return {"scenes": scenes}


def check_one(source: SourceRecipe, seed: int, scene_id: str) -> dict[str, Any]:
    """The check of one scene.

    A long walk has few neighbours among so few views, and right data can look wrong. So a scene
    that does is looked at again, as widely as the ``cameo-data check`` that a warning advises.
    """
    from cameo_data.check import report
    from cameo_data.check.judge import check_scene

    opened = open_source(source)
    try:
        with boundary.reading(opened.dataset, scene_id):
            scene = open_scene(source, scene_id)
            checked = check_scene(scene, views=VIEWS, pairs=PAIRS, seed=seed)
            if checked.verdict == _BAD:
                checked = check_scene(scene)
            record = report.Report(source, opened, 1, [checked], []).record()["scenes"][0]
    except DataError as error:
        complaints = [error.failure.message]
        return {"scene_id": scene_id, "verdict": "undecided", "complaints": complaints,
                "mistakes": []}  # fmt: skip
    return {
        "scene_id": scene_id,
        "verdict": checked.verdict,
        "complaints": list(checked.complaints),
        "mistakes": [
            {key: mistake[key] for key in ("description", "fix")} for mistake in record["mistakes"]
        ],
    }


def warnings(found: Mapping[str, Any], command: str) -> list[str]:
    """One line per scene that looks wrong; ``command`` is the ``check`` that says more."""
    return [_warning(scene, command) for scene in found["scenes"] if scene["verdict"] == _BAD]


_BAD = "inconsistent"


def _warning(scene: Mapping[str, Any], command: str) -> str:
    why = "; ".join(scene["complaints"]) or "a usual mistake explains more than the data as it is"
    likely = "".join(
        f"; likely: {mistake['description']} (apply: {mistake['fix']})"
        for mistake in scene["mistakes"]
    )
    line = (
        f"warning: {scene['scene_id']}: poses, depth or K look wrong: {why}{likely}; "
        f"run `{command}` before you train on these shards"
    )
    return " ".join(line.split())


def summary(found: Mapping[str, Any]) -> str:
    """``check of 3 scenes: 2 consistent, 1 undecided``."""
    verdicts = [scene["verdict"] for scene in found["scenes"]]
    scenes = plural(len(verdicts), "scene")
    line = f"check of {scenes}: {verdicts.count('consistent')} consistent"
    for other in (_BAD, "undecided"):
        line += f", {count} {other}" if (count := verdicts.count(other)) else ""
    return line
