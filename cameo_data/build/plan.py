"""Which groups go into which shard: a pure function of recipe and surveys."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cameo_data import grouping, transforms
from cameo_data.build.counts import count, image_counts
from cameo_data.build.folder import identity
from cameo_data.build.scene_survey import SceneSurvey
from cameo_data.catalog import slug
from cameo_data.errors import DataError, Failure, Reason, plural
from cameo_data.io.records import canonical_json
from cameo_data.recipe import Recipe

# A key is DATASET-SCENE-NNNNNN; with these lengths it stays within shards.layout.KEY_PATTERN.
_DATASET_LENGTH, _SCENE_LENGTH = 20, 40


@dataclass(frozen=True)
class PlannedSample:
    """A sample to make."""

    key: str
    scene_id: str
    frame_ids: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A shard to make.

    Attributes:
        image_ext: of all images of the build.
        masked: whether all samples of the build carry masks.
        inputs: per scene of the shard, the hash of what its samples are made from.
        matches: whether all samples of the build carry sparse matches.
        dense: whether they carry correspondences by depth; not where no scene has any.
    """

    shard: str
    samples: tuple[PlannedSample, ...]
    image_ext: str
    masked: bool
    inputs: Mapping[str, str]
    matches: bool = False
    dense: bool = True

    def hash(self, recipe: Recipe) -> str:
        """Equal where the shard's bytes are."""
        return hashlib.sha256(canonical_json([identity(recipe), asdict(self)])).hexdigest()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Task:
        """The task of which ``asdict`` went through JSON."""
        samples = (
            PlannedSample(s["key"], s["scene_id"], tuple(s["frame_ids"])) for s in record["samples"]
        )
        return cls(**{**record, "samples": tuple(samples)})


@dataclass(frozen=True)
class BuildPlan:
    """All shards to make, and what became of everything that was found.

    Attributes:
        counts: as ``counts.count`` makes them; recorded in ``index.json``.
        failures: sorted.
    """

    tasks: tuple[Task, ...]
    counts: Mapping[str, Any]
    failures: tuple[Failure, ...]

    @property
    def allowance_exceeded(self) -> bool:
        """More failures than the recipe allows, or nothing to make."""
        return len(self.failures) > int(self.counts["failures"]["allowed"]) or not self.tasks


def make_plan(
    recipe: Recipe,
    dataset: str,
    surveys: Sequence[SceneSurvey],
    dataset_failures: Sequence[Failure] = (),
) -> BuildPlan:
    """The plan of a build; the order of ``surveys`` does not matter.

    Raises:
        ValueError: a stride is larger than the images.
        DataError: two scenes would get the same sample keys.
    """
    surveys = sorted(surveys, key=lambda survey: survey.scene_id)
    groups = {survey.scene_id: _groups(recipe, survey) for survey in surveys}
    failures = [*dataset_failures, *itertools.chain(*(survey.failures for survey in surveys))]
    for survey in surveys:
        if not groups[survey.scene_id] and (reason := _no_group(recipe, dataset, survey)):
            failures.append(reason)
    used = [survey for survey in surveys if groups[survey.scene_id]]
    _check_strides(recipe, used)
    samples = list(_samples(dataset, used, groups))
    tasks = _tasks(recipe, dataset, used, samples)
    failures.sort(key=_failure_order)
    counts = count(recipe, surveys, groups, dataset_failures, failures)
    counts["images"] = image_counts(used, groups, _image_ext(recipe, used))
    return BuildPlan(tuple(tasks), counts, tuple(failures))


def _groups(recipe: Recipe, survey: SceneSurvey) -> list[grouping.Group]:
    if len(survey.frame_ids) < recipe.views:
        return []
    rules = grouping.Rules(
        recipe.views,
        recipe.strategy,
        recipe.min_overlap,
        recipe.max_frame_gap,
        recipe.rotation_bins,
    )
    return grouping.choose_groups(
        survey.position,
        transforms.relative_rotation_deg(survey.cam_from_world),
        survey.overlap,
        rules,
        count=recipe.groups_per_scene,
        seed=recipe.seed,
        scene_id=survey.scene_id,
    )


def _no_group(recipe: Recipe, dataset: str, survey: SceneSurvey) -> Failure | None:
    """Why a scene without groups has none, unless that is known already."""
    usable = len(survey.frame_ids)
    if any(failure.frame_id is None for failure in survey.failures):
        return None
    if usable < recipe.views:
        return Failure(
            reason=Reason.TOO_FEW_VIEWS,
            dataset=dataset,
            scene_id=survey.scene_id,
            frame_id=None,
            found=f"{plural(usable, 'usable view')} of {survey.found} frames",
            expected=f"at least {recipe.views} for one group",
            remedy="repair the scene's failed frames, or ask for fewer --views",
        )
    remedy = "lower --min-overlap, or check poses and depth scale with `cameo-data inspect`"
    if recipe.restrict_to_mask and survey.masked:
        remedy = (
            "look at the masks, to which matches are restricted (`cameo-data inspect` shows their "
            f"foreground): correct them, or leave out --restrict-to-mask; else {remedy}"
        )
    return Failure(
        reason=Reason.NO_OVERLAP,
        dataset=dataset,
        scene_id=survey.scene_id,
        frame_id=None,
        found=f"no {recipe.views} of {usable} views overlap by {recipe.min_overlap:g} or more "
        f"as strategy {recipe.strategy} asks",
        expected="views that see the same surfaces",
        remedy=remedy,
    )


def _check_strides(recipe: Recipe, surveys: Iterable[SceneSurvey]) -> None:
    largest = max(recipe.strides)
    for survey in surveys:
        if survey.hw is not None and largest > min(survey.hw):
            raise ValueError(
                f"stride {largest} is larger than the {survey.hw[0]}×{survey.hw[1]} (h×w) images "
                f"of {survey.scene_id}; give smaller --stride or larger --size"
            )


def _samples(
    dataset: str, surveys: Sequence[SceneSurvey], groups: Mapping[str, list[grouping.Group]]
) -> Iterable[PlannedSample]:
    taken: dict[str, str] = {}
    for survey in surveys:
        prefix = f"{slug(dataset, _DATASET_LENGTH)}-{slug(survey.scene_id, _SCENE_LENGTH)}"
        if prefix in taken:
            raise DataError(
                Reason.DUPLICATE_ID,
                dataset=dataset,
                scene_id=survey.scene_id,
                found=f"its sample keys would be {prefix}-…, as those of {taken[prefix]}",
                expected="scenes of different names",
                remedy="rename one of the two scenes",
            )
        taken[prefix] = survey.scene_id
        for number, group in enumerate(groups[survey.scene_id]):
            frame_ids = tuple(survey.frame_ids[i] for i in group)
            yield PlannedSample(f"{prefix}-{number:06d}", survey.scene_id, frame_ids)


def _tasks(
    recipe: Recipe,
    dataset: str,
    surveys: Sequence[SceneSurvey],
    samples: Sequence[PlannedSample],
) -> Iterable[Task]:
    inputs = {survey.scene_id: survey.inputs for survey in surveys}
    masked = any(survey.masked for survey in surveys)
    matches = any(survey.matched for survey in surveys)
    dense = not all(survey.matched for survey in surveys)
    ext = _image_ext(recipe, surveys)
    size = recipe.samples_per_shard
    for number, start in enumerate(range(0, len(samples), size)):
        part = tuple(samples[start : start + size])
        scenes = sorted({sample.scene_id for sample in part})
        name = f"{slug(dataset, _DATASET_LENGTH)}-{number:06d}.tar"
        hashes = {scene: inputs[scene] for scene in scenes}
        yield Task(
            shard=name,
            samples=part,
            image_ext=ext,
            masked=masked,
            inputs=hashes,
            matches=matches,
            dense=dense,
        )


def _image_ext(recipe: Recipe, surveys: Sequence[SceneSurvey]) -> str:
    """That of the files, where all can be stored as they are; else the recipe's."""
    exts = {ext for survey in surveys for ext in survey.image_exts}
    only = next(iter(exts), None) if len(exts) == 1 else None
    return only or recipe.image_format


def _failure_order(failure: Failure) -> tuple[str, ...]:
    return (failure.scene_id or "", failure.frame_id or "", failure.reason, failure.message)
