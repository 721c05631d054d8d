"""What became of everything found: found = used + left_out + failed, in frames and in scenes.

A frame fails where it cannot be used; it is left out where it could, but ``frame_step``,
``max_frames`` or grouping chose others. The frames of a scene that cannot be listed are not known
and not counted; the scene is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.errors import Failure
from cameo_data.grouping import Group
from cameo_data.recipe import Recipe, allowed
from cameo_data.sources.common.unused_totals import EXAMPLES, merged, scenes_by_note


def count(
    recipe: Recipe,
    surveys: Sequence[SceneSurvey],
    groups: Mapping[str, list[Group]],
    dataset_failures: Sequence[Failure],
    failures: Sequence[Failure],
) -> dict[str, Any]:
    """``frames`` and ``scenes``, ``samples``, ``failures`` by reason, ``notes``, ``unused`` and
    ``per_scene``."""
    scenes = {survey.scene_id: _scene_counts(survey, groups[survey.scene_id]) for survey in surveys}
    keys = ("found", "used", "left_out", "failed")
    frames = {key: sum(scene[key] for scene in scenes.values()) for key in keys}
    unlisted = sum(failure.scene_id is not None for failure in dataset_failures)
    with_samples = sum(scene["samples"] > 0 for scene in scenes.values())
    found = len(surveys) + unlisted
    reasons = Counter(failure.reason.value for failure in failures)
    return {
        "frames": frames,
        "scenes": {"found": found, "used": with_samples, "failed": found - with_samples},
        "samples": sum(scene["samples"] for scene in scenes.values()),
        "failures": {
            "total": len(failures),
            "allowed": allowed(recipe.max_failures, frames["found"]),
            "by_reason": dict(sorted(reasons.items())),
        },
        "notes": _notes(surveys),
        "unused": [
            {**asdict(one), "examples": list(one.examples)}
            for one in merged(one for survey in surveys for one in survey.unused)
        ],
        "per_scene": scenes,
    }


def image_counts(
    surveys: Sequence[SceneSurvey], groups: Mapping[str, list[Group]], ext: str
) -> dict[str, Any]:
    """The format that images are stored in, and how many frames keep their file's own bytes."""
    used = [
        survey.image_exts[view]
        for survey in surveys
        for view in {view for group in groups[survey.scene_id] for view in group}
    ]
    kept = sum(own == ext for own in used)
    return {"format": ext, "kept": kept, "encoded": len(used) - kept}


def _notes(surveys: Sequence[SceneSurvey]) -> list[dict[str, Any]]:
    """What sources did to the data or ignored in it: each sentence once, with its scenes."""
    found = scenes_by_note((survey.scene_id, survey.notes) for survey in surveys)
    return [
        {"note": note, "scenes": len(ids), "examples": ids[:EXAMPLES]}
        for note, ids in found.items()
    ]


def _scene_counts(survey: SceneSurvey, groups: Sequence[Group]) -> dict[str, int]:
    used = len({view for group in groups for view in group})
    failed = sum(failure.frame_id is not None for failure in survey.failures)
    return {
        "found": survey.found,
        "used": used,
        "left_out": survey.found - used - failed,
        "failed": failed,
        "samples": len(groups),
    }
