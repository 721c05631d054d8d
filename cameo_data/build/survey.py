"""What a scene holds, measured once: which frames can be used, and how much they see of each other.

Every candidate frame is read the way the shards will read it; what fails here is left out and
recorded. Overlap is then measured between all ordered pairs at reduced size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cameo_data.build import matched, scene_survey
from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.camera import hw_within
from cameo_data.catalog import open_scene
from cameo_data.correspondence import PreparedView, correspond_prepared, prepare
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.frames import read_view, resize_view
from cameo_data.io import boundary
from cameo_data.recipe import Recipe
from cameo_data.types import Frame, Scene, Verdict, View

T = TypeVar("T")

# Overlaps are measured on views of this longer side at this stride: at most 1024 queries a pair.
# On the demo's scenes the share is within 0.023 of that of every second pixel at full size; at
# 128 and 4, as many queries but coarser geometry, it is off by up to 0.08.
SURVEY_SIDE = 256
SURVEY_STRIDE = 8


@dataclass(frozen=True)
class SurveyJob:
    """One scene to survey; the result is kept at ``cache`` unless that is None.

    Attributes:
        threads: to work with; more than one where there are fewer scenes than processes.
    """

    recipe: Recipe
    scene_id: str
    cache: Path | None
    threads: int = 1


def survey_scene(job: SurveyJob) -> SceneSurvey:
    """The survey of a scene, from the cache where the inputs have not changed since."""
    try:
        scene = open_scene(job.recipe.source, job.scene_id)
        with boundary.reading(scene.dataset, job.scene_id):
            return _survey_opened(job, scene)
    except DataError as error:
        return _empty(job.scene_id, error.failure)


def _survey_opened(job: SurveyJob, scene: Scene) -> SceneSurvey:
    frames = [scene.frames[i] for i in candidate_positions(len(scene.frames), job.recipe)]
    marks = scene_survey.frame_marks(frames)
    inputs = scene_survey.fingerprint_of(job.recipe, scene, marks)
    if job.cache is not None and (known := scene_survey.load(job.cache, inputs)) is not None:
        return known
    survey = replace(measure(job.recipe, scene, inputs, job.threads), marks=marks)
    if job.cache is not None:
        survey = replace(survey, changed=scene_survey.differences(job.cache, marks))
        scene_survey.save(job.cache, survey)
    return survey


def candidate_positions(count: int, recipe: Recipe) -> NDArray[np.int64]:
    """Places of the frames to consider: every ``frame_step``-th, at most ``max_frames``, even."""
    positions = np.arange(0, count, recipe.frame_step)
    if len(positions) > recipe.max_frames:
        chosen = np.linspace(0, len(positions) - 1, recipe.max_frames).round().astype(np.int64)
        positions = positions[chosen]
    return positions.astype(np.int64)


def measure(recipe: Recipe, scene: Scene, inputs: str = "", threads: int = 1) -> SceneSurvey:
    """The survey of a scene; ``inputs`` is what its frames were recognised by."""
    frames = [scene.frames[i] for i in candidate_positions(len(scene.frames), recipe)]
    common = recipe.hw or _common_hw(frames)

    def read(place: int) -> _Usable | Failure:
        frame = frames[place]
        try:
            with boundary.reading(scene.dataset, scene.scene_id, frame.frame_id):
                _refuse_size(scene, frame, recipe.hw or frame.camera.hw, common)
                view = read_view(
                    frame,
                    dataset=scene.dataset,
                    scene_id=scene.scene_id,
                    hw=recipe.hw,
                    with_depth=scene.matches is None,
                )
                return _reduced(recipe, view, place)
        except DataError as error:
            return error.failure

    outcomes = _map(read, range(len(frames)), threads)
    usable = [outcome for outcome in outcomes if isinstance(outcome, _Usable)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    return SceneSurvey(
        scene_id=scene.scene_id,
        unit=scene.unit,
        found=len(scene.frames) + sum(f.frame_id is not None for f in scene.failures),
        frame_ids=tuple(view.frame_id for view in usable),
        position=np.array([view.place for view in usable], np.int64),
        cam_from_world=np.array([v.small.camera.cam_from_world for v in usable]).reshape(-1, 4, 4),
        overlap=_overlaps(recipe, scene, frames, usable, threads),
        image_exts=tuple(view.image_ext for view in usable),
        hw=common if usable else None,
        masked=any(view.masked for view in usable),
        failures=(*scene.failures, *failures),
        inputs=inputs,
        matched=scene.matches is not None,
        notes=scene.notes,
        unused=scene.unused,
    )


@dataclass(frozen=True, eq=False)
class _Usable:
    """What is kept of a view while its scene is surveyed: there may be hundreds."""

    place: int
    frame_id: str
    image_ext: str | None
    masked: bool
    small: PreparedView


def _reduced(recipe: Recipe, view: View, place: int) -> _Usable:
    small = resize_view(view, hw_within(view.camera.hw, SURVEY_SIDE))
    mask = small.mask if recipe.restrict_to_mask else None
    ext = view.encoded.ext if view.encoded else None
    prepared = prepare(small.depth, small.camera, mask)
    return _Usable(place, view.frame_id, ext, view.mask is not None, prepared)


def _common_hw(frames: list[Frame]) -> tuple[int, int] | None:
    """The size of most frames; of equally many, that of the first."""
    return Counter(f.camera.hw for f in frames).most_common(1)[0][0] if frames else None


def _refuse_size(
    scene: Scene, frame: Frame, hw: tuple[int, int], common: tuple[int, int] | None
) -> None:
    if common is not None and hw != common:
        raise DataError(
            Reason.WRONG_SIZE,
            dataset=scene.dataset,
            scene_id=scene.scene_id,
            frame_id=frame.frame_id,
            found=f"image is {hw[0]}×{hw[1]} (h×w)",
            expected=f"{common[0]}×{common[1]} like most frames of the scene",
            remedy="give --size to bring all to one size",
        )


def _overlaps(
    recipe: Recipe, scene: Scene, frames: list[Frame], usable: list[_Usable], threads: int
) -> NDArray[np.float32]:
    """Overlap of the usable views: by depth, or by the matches that stand in for it."""
    if scene.matches is None:
        return overlaps([view.small for view in usable], threads)
    chosen = [frames[view.place] for view in usable]
    small_hw = usable[0].small.camera.hw if usable else (1, 1)
    return matched.overlaps(
        scene,
        chosen,
        recipe.hw,
        (small_hw, SURVEY_STRIDE),
        lambda row, places: _map(row, places, threads),
    )


def overlaps(views: Sequence[PreparedView], threads: int = 1) -> NDArray[np.float32]:
    """(N, N) share of VISIBLE queries from row to column, 1 on the diagonal."""

    def row(a: int) -> list[float]:
        return [
            1.0
            if a == b
            else correspond_prepared(views[a], view, SURVEY_STRIDE).share(Verdict.VISIBLE)
            for b, view in enumerate(views)
        ]

    rows = _map(row, range(len(views)), threads)
    return np.array(rows, np.float32).reshape(len(views), len(views))


def _map(function: Callable[[int], T], items: Sequence[int], threads: int) -> list[T]:
    """Results in order; decoding and matching let go of the interpreter, so threads do help."""
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def _empty(scene_id: str, failure: Failure) -> SceneSurvey:
    none = np.zeros(0, np.int64)
    poses, overlap = np.zeros((0, 4, 4)), np.zeros((0, 0), np.float32)
    return SceneSurvey(
        scene_id=scene_id,
        unit="arbitrary",
        found=0,
        frame_ids=(),
        position=none,
        cam_from_world=poses,
        overlap=overlap,
        image_exts=(),
        hw=None,
        masked=False,
        failures=(failure,),
        inputs="",
    )
