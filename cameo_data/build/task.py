"""One shard: read its frames, quantise their depth, match all pairs, write."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from cameo_data import transforms
from cameo_data.build import matched
from cameo_data.build.folder import Folder, load_recipe
from cameo_data.build.plan import PlannedSample, Task
from cameo_data.catalog import open_scene
from cameo_data.correspondence import PreparedView, correspond_group, prepare
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.geometry.sparse_matches import matched_overlap
from cameo_data.io import boundary
from cameo_data.io.records import canonical_json
from cameo_data.io.work_folder import read_json, write_json
from cameo_data.recipe import Recipe
from cameo_data.shards.depth16 import quantise_depth
from cameo_data.shards.rederive import overlap_of
from cameo_data.shards.writer import ShardRecord, write_shard
from cameo_data.types import EncodedImage, Frame, Sample, Scene, View


def run_task(root: Path, index: int) -> ShardRecord:
    """Makes shard ``index`` of the plan in a build's folder, and its record; again, the same bytes.

    Raises:
        ValueError: the folder holds no plan or no such task.
        DataError: a frame that could be read when the scene was surveyed no longer can.
        OSError: the disk is full or fails.
    """
    folder = Folder(root)
    recipe, tasks = load_plan(folder)
    if not 0 <= index < len(tasks):
        raise ValueError(f"{root} plans {len(tasks)} shards; index {index} does not exist")
    task = tasks[index]
    record = write_shard(folder.shards / task.shard, make_samples(recipe, task))
    write_json(
        folder.record(index), {"task": task.hash(recipe), "shard": record.model_dump(mode="json")}
    )
    return record


def finished_record(folder: Folder, recipe: Recipe, task: Task, index: int) -> ShardRecord | None:
    """The record of a shard that this very task made and that is still there, or None."""
    saved = read_json(folder.record(index))
    if saved is None or saved.get("task") != task.hash(recipe):
        return None
    record = ShardRecord.model_validate_json(canonical_json(saved["shard"]))
    path = folder.shards / task.shard
    return record if path.is_file() and path.stat().st_size == record.bytes else None


def load_plan(folder: Folder) -> tuple[Recipe, tuple[Task, ...]]:
    """Recipe and tasks of a build, read once per process and plan."""
    try:
        stamp = folder.plan.stat().st_mtime_ns
    except FileNotFoundError:
        raise ValueError(f"{folder.root} holds no plan; run `cameo-data build-corr`") from None
    return _load_plan(folder, stamp)


@functools.lru_cache(maxsize=2)
def _load_plan(folder: Folder, _stamp: int) -> tuple[Recipe, tuple[Task, ...]]:
    plan = read_json(folder.plan)
    if plan is None:
        raise ValueError(f"{folder.plan} is damaged; delete it and run the build again")
    return load_recipe(folder), tuple(Task.from_record(record) for record in plan["tasks"])


def make_samples(recipe: Recipe, task: Task) -> Iterator[Sample]:
    """The shard's samples, one at a time.

    Raises:
        DataError: a frame cannot be read, or its scene no longer lists it.
    """
    # groups of one scene share views; two groups' worth catches most of that in little memory
    read = functools.lru_cache(maxsize=2 * recipe.views)(functools.partial(_read, recipe, task))
    for planned in task.samples:
        yield _sample(recipe, task, planned, [read(planned.scene_id, f) for f in planned.frame_ids])


@dataclass(frozen=True, eq=False)
class _Ready:
    """A view as it will be stored, ready for matching; ``dropped`` pixels of its depth could not
    be stored (see ``depth16``)."""

    view: View
    prepared: PreparedView
    dropped: int


def _read(recipe: Recipe, task: Task, scene_id: str, frame_id: str) -> _Ready:
    """Depth quantised, image encoded, masked where the build is."""
    scene = open_scene(recipe.source, scene_id)
    with boundary.reading(scene.dataset, scene_id, frame_id):
        view = read_view(
            _frame(scene, frame_id),
            dataset=scene.dataset,
            scene_id=scene_id,
            hw=recipe.hw,
            with_depth=scene.matches is None,
        )
    mask = view.mask
    if mask is None and task.masked:
        mask = np.ones(view.camera.hw, np.bool_)  # no mask says that everything counts
    depth = quantise_depth(view.depth)
    dropped = int(np.count_nonzero(view.depth.valid & ~depth.valid))
    view = replace(view, depth=depth, mask=mask, encoded=_encoded(recipe, task, view))
    used_mask = mask if recipe.restrict_to_mask else None
    return _Ready(view, prepare(depth, view.camera, used_mask), dropped)


def _frame(scene: Scene, frame_id: str) -> Frame:
    frame = next((frame for frame in scene.frames if frame.frame_id == frame_id), None)
    if frame is None:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=scene.dataset,
            scene_id=scene.scene_id,
            frame_id=frame_id,
            found="the scene no longer lists it",
            expected="the frames that were there when the build began",
            remedy="run the build again; it surveys the scene again",
        )
    return frame


def _encoded(recipe: Recipe, task: Task, view: View) -> EncodedImage:
    """The file's own bytes if the build stores that format, else the pixels encoded again."""
    ext = task.image_ext
    if view.encoded is not None and view.encoded.ext == ext:
        return view.encoded
    quality = {
        # colour at full resolution: a fifth more bytes, and matched pixels keep their colours
        "jpg": [
            *(cv2.IMWRITE_JPEG_QUALITY, recipe.image_quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, recipe.image_quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 6],
    }
    done, data = cv2.imencode(f".{ext}", view.image[..., ::-1], quality[ext])
    assert done, f"OpenCV did not encode {ext}"
    return EncodedImage(ext, data.tobytes())


def _sample(recipe: Recipe, task: Task, planned: PlannedSample, ready: list[_Ready]) -> Sample:
    scene = open_scene(recipe.source, planned.scene_id)
    views, prepared = [one.view for one in ready], [one.prepared for one in ready]
    strides = recipe.stored_strides if task.dense else ()
    correspondence = {stride: correspond_group(prepared, stride) for stride in strides}
    stride = min(recipe.stored_strides or recipe.strides)
    matches = None
    if scene.matches is not None:
        masks = [view.mask if recipe.restrict_to_mask else None for view in views]
        frames = [_frame(scene, frame_id) for frame_id in planned.frame_ids]
        matches = matched.group_matches(scene, frames, views[0].camera.hw, masks)
        overlap = matched_overlap(matches, len(views), views[0].camera.hw, stride)
    else:
        overlap = overlap_of(correspondence.get(stride) or correspond_group(prepared, stride))
    return Sample(
        key=planned.key,
        dataset=scene.dataset,
        scene_id=planned.scene_id,
        frame_ids=planned.frame_ids,
        unit=scene.unit,
        cameras=tuple(view.camera for view in views),
        images=tuple(view.image for view in views),
        encoded=tuple(view.encoded for view in views if view.encoded is not None),
        depths=tuple(view.depth for view in views),
        masks=tuple(view.mask for view in views),
        correspondence=correspondence,
        rotation_deg=transforms.relative_rotation_deg([v.camera.cam_from_world for v in views]),
        overlap=overlap,
        overlap_stride=stride,
        restricted_to_mask=recipe.restrict_to_mask,
        matches=(matches or {}) if task.matches else None,
        depth_source="+".join(sorted({view.depth_source for view in views})),
        extra={
            "strategy": recipe.strategy,
            "depth_pixels_dropped": [one.dropped for one in ready],
        },
    )
