"""Shards of a finished build -> batches of tensors, the same for any number of workers and ranks.

Shapes: B, V views, H, W. The order of views is references, then targets.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cameo_data import ShardReader, correspond_group
from cameo_data.correspondence import prepare
from cameo_data.errors import DataError, Failure
from cameo_data.shards.layout import depth_views
from cameo_data.types import PairMaps, Sample
from cameo_train.config import TrainConfig
from cameo_train.data import augmentation
from cameo_train.data.sample_order import Order, Position, sample_rng
from cameo_train.supervision.official import point_map
from cameo_train.supervision.registry import supervision
from cameo_train.supervision.targets import (
    TargetKind,
    TokenTargets,
    shuffled,
    stack,
    token_targets,
)

Source = Literal["stored", "online"]
# third words of the seeds of what is drawn per batch and in place of damaged samples; order.py
# uses 0 and 1
_BATCH_DRAWS, _SUBSTITUTES = 2, 3
# Samples tried in place of a damaged one. Of ten shards with one damaged, all of them fail once in
# 10^16 times; where nearly all are damaged it ends soon.
TRIES = 16


class Damaged(NamedTuple):
    """A sample that cannot be read: its number in the build, and why."""

    sample: int
    failure: Failure


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of groups of views.

    Attributes:
        images: (B, V, 3, H, W) float32 in [−1, 1], RGB.
        K: (B, V, 3, 3) float32 in pixels; cam_from_world: (B, V, 4, 4) float32, OpenCV axes.
        reference: (B, V) bool, True where the clean image is given; these come first.
        depth: (B, V, H, W) float32, 0 where unknown.
        targets: where each token went, or None where the run supervises nothing.
        keys: of the samples, B of them.
        position: of the data after this batch; what a checkpoint keeps.
        skipped: damaged samples that others took the place of.
    """

    images: Tensor
    K: Tensor
    cam_from_world: Tensor
    reference: Tensor
    depth: Tensor
    targets: TokenTargets | None
    keys: tuple[str, ...]
    position: Position
    skipped: tuple[Damaged, ...] = ()

    @property
    def views(self) -> int:
        """V."""
        return int(self.images.shape[1])

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of the images."""
        return int(self.images.shape[-2]), int(self.images.shape[-1])

    def to(self, device: torch.device | str) -> Batch:
        """The same with its tensors on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("images", "K", "cam_from_world", "reference", "depth")
        }
        targets = None if self.targets is None else self.targets.to(device, non_blocking=True)
        return replace(self, **moved, targets=targets)


@dataclass(frozen=True)
class Plan:
    """What is made of every sample.

    Attributes:
        grid_hw: tokens per view that matches are supervised on, or None for no targets.
        kind: of the targets, see ``targets``.
        source: ``stored`` takes the shards' maps, ``online`` computes them from depth and pose.
        crop_hw: random window of the images, or None for all of them.
        side: shorter side, in pixels, that the window is then scaled to; None for as it is.
        flip: mirror half of all samples.
        shuffle_views: put half of all samples' views into random order.
        references: least and most reference views; one number is drawn per batch.
        shuffle_matches: deal the targets out to other queries; see ``targets.shuffled``.
    """

    grid_hw: tuple[int, int] | None
    kind: TargetKind = "nearest"
    source: Source = "stored"
    crop_hw: tuple[int, int] | None = None
    side: int | None = None
    flip: bool = True
    shuffle_views: bool = True
    references: tuple[int, int] | None = None
    shuffle_matches: bool = False


def trained_hw(config: TrainConfig, stored_hw: tuple[int, int]) -> tuple[int, int]:
    """Size of the images that the model sees, of shards with images of a size.

    Raises:
        ValueError: they cannot be scaled so.
    """
    hw = stored_hw if config.crop is None else (config.crop, config.crop)
    return hw if config.size is None else augmentation.scaled_hw(hw, config.size)


def plan(config: TrainConfig, grid_hw: tuple[int, int]) -> Plan:
    """What a run makes of every sample, for a layer with this grid of tokens per view."""
    kind = supervision(config.target_kind).targets
    return Plan(
        grid_hw=grid_hw if config.weight and kind is not None else None,
        kind="nearest" if kind is None else kind,
        source=config.targets,
        crop_hw=None if config.crop is None else (config.crop, config.crop),
        side=config.size,
        flip=config.flip,
        shuffle_views=config.shuffle_views,
        references=config.references,
        shuffle_matches=config.shuffle_matches,
    )


def plain_plan(config: TrainConfig, grid_hw: tuple[int, int] | None) -> Plan:
    """The same without random changes, for measuring and for pictures; None for no targets."""
    return replace(
        plan(config, grid_hw or (1, 1)),
        grid_hw=grid_hw, flip=False, shuffle_views=False, shuffle_matches=False,
    )  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """What a worker must know to make one sample, wherever and whenever it runs."""

    epoch: int
    sample: int
    references: int
    position: Position


@dataclass(frozen=True)
class _Made:
    sample: Sample
    targets: TokenTargets | None
    place: _Place
    damaged: tuple[Damaged, ...] = ()


class Groups(Dataset[_Made]):
    """Samples of a build, changed and with their targets, by place.

    A damaged sample's place is taken by another, drawn from seed, epoch and place alone.
    """

    def __init__(self, build_dir: Path | str, plan: Plan, seed: int) -> None:
        self.reader = ShardReader(build_dir)
        self.plan = plan
        self.seed = seed

    def __getitem__(self, place: _Place) -> _Made:
        """What is made of a place's sample, or of the one that replaces it.

        Raises:
            DataError: all that were tried are damaged.
        """
        rng = np.random.default_rng([self.seed, place.epoch, _SUBSTITUTES, place.sample])
        sample, number, damaged = read_around(self.reader, place.sample, rng)
        draws = sample_rng(self.seed, place.epoch, number)
        sample = changed(sample, self.plan, draws)
        # matches are found among the pixels that were stored, whatever size is trained on
        targets = targets_of(sample, self.plan)
        if targets is not None and self.plan.shuffle_matches:
            targets = shuffled(targets, draws)
        if self.plan.side is not None:
            sample = augmentation.resize(sample, self.plan.side)
        return _Made(sample, targets, place, damaged)


def read_around(
    reader: ShardReader, number: int, rng: np.random.Generator | None = None
) -> tuple[Sample, int, tuple[Damaged, ...]]:
    """A sample, or if it is damaged one drawn in its place; its number; what was damaged.

    Raises:
        DataError: all of ``TRIES`` more are damaged too.
    """
    rng = np.random.default_rng(number) if rng is None else rng
    damaged: dict[int, Damaged] = {}
    for candidate in [number, *rng.integers(len(reader), size=TRIES).tolist()]:
        try:
            return reader[candidate], candidate, tuple(damaged.values())
        except DataError as error:
            last = error
            damaged[candidate] = Damaged(candidate, error.failure)
    raise last


def changed(sample: Sample, plan: Plan, rng: np.random.Generator) -> Sample:
    """The sample with the plan's random changes.

    Every draw is made whether it is used or not, so that one option does not move the others.
    """
    shuffled, mirrored = rng.random(2) < 0.5
    order = rng.permutation(len(sample.images))
    corner = rng.random(2)
    if plan.shuffle_views and shuffled:
        sample = augmentation.reorder(sample, order.tolist())
    if plan.flip and mirrored:
        sample = augmentation.flip(sample)
    if plan.crop_hw is not None:
        hw = sample.cameras[0].hw
        step = int(np.lcm.reduce([*sample.correspondence, 1]))
        room = [(size - window) // step for size, window in zip(hw, plan.crop_hw, strict=True)]
        if min(room) < 0:
            raise ValueError(
                f"crop {plan.crop_hw[0]}×{plan.crop_hw[1]} is larger than the images, "
                f"{hw[0]}×{hw[1]} (h×w)"
            )
        top, left = (int(c * (r + 1)) * step for c, r in zip(corner, room, strict=True))
        sample = augmentation.crop(sample, top, left, plan.crop_hw)
    return sample


def targets_of(sample: Sample, plan: Plan) -> TokenTargets | None:
    """Token targets at the plan's grid.

    Raises:
        ValueError: the grid does not divide the images into square cells, or its stride is not
            stored.
    """
    if plan.grid_hw is None:
        return None
    hw = sample.cameras[0].hw
    stride = token_stride(hw, plan.grid_hw)
    maps = _maps(sample, 1 if plan.kind == "patch" else stride, plan.source)
    return token_targets(
        maps.xy, maps.verdict, maps.confidence,
        image_hw=hw, grid_hw=plan.grid_hw, kind=plan.kind,
    )  # fmt: skip


def token_stride(hw: tuple[int, int], grid_hw: tuple[int, int]) -> int:
    """Pixels per token."""
    rows, columns = hw[0] / grid_hw[0], hw[1] / grid_hw[1]
    if rows != columns or rows != int(rows):
        raise ValueError(
            f"a grid of {grid_hw[0]}×{grid_hw[1]} tokens does not divide images of "
            f"{hw[0]}×{hw[1]} (h×w) into square cells; build with another --size"
        )
    return int(rows)


def _maps(sample: Sample, stride: int, source: Source) -> PairMaps:
    if source == "stored":
        if stride not in sample.correspondence:
            stored = ", ".join(map(str, sorted(sample.correspondence))) or "none"
            raise ValueError(
                f"the model's tokens need matches at stride {stride}, the shards store {stored}; "
                f"build with --stride {stride} or train with --targets online"
            )
        return sample.correspondence[stride]
    views = [
        prepare(depth, camera, mask if sample.restricted_to_mask else None)
        for depth, camera, mask in zip(sample.depths, sample.cameras, sample.masks, strict=True)
    ]
    return correspond_group(views, stride)


def collate(made: Sequence[_Made]) -> Batch:
    """One batch of samples.

    Raises:
        ValueError: they differ in size or number of views.
    """
    samples = [one.sample for one in made]
    shapes = {(len(s.images), s.cameras[0].hw) for s in samples}
    if len(shapes) > 1:
        raise ValueError(f"samples of one batch differ in views or size: {sorted(shapes)}")
    targets = [one.targets for one in made if one.targets is not None]
    references = torch.zeros(len(samples), len(samples[0].images), dtype=torch.bool)
    references[:, : made[0].place.references] = True
    return Batch(
        images=torch.stack([_images(s) for s in samples]),
        K=_stacked([[c.K for c in s.cameras] for s in samples]),
        cam_from_world=_stacked([[c.cam_from_world for c in s.cameras] for s in samples]),
        reference=references,
        depth=_stacked([[np.where(d.valid, d.z, 0) for d in s.depths] for s in samples]),
        targets=stack(targets) if targets else None,
        keys=tuple(s.key for s in samples),
        position=made[-1].place.position,
        skipped=tuple(damaged for one in made for damaged in one.damaged),
    )


def _images(sample: Sample) -> Tensor:
    pixels = torch.from_numpy(np.stack(sample.images)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32) / 127.5 - 1.0


def _stacked(arrays: Any) -> Tensor:
    return torch.from_numpy(np.asarray(arrays, np.float32))


class _Places:
    """Batches of places, without end, from a position on."""

    def __init__(self, order: Order, start: Position, references: tuple[int, int]) -> None:
        self.order, self.start, self.references = order, start, references

    def __iter__(self) -> Iterator[list[_Place]]:
        low, high = self.references
        epoch = self.start.epoch
        for samples, after in self.order.steps(self.start):
            epoch = after.epoch
            rng = np.random.default_rng([self.order.seed, epoch, _BATCH_DRAWS, after.samples])
            count = int(rng.integers(low, high + 1))
            yield [_Place(epoch, sample, count, after) for sample in samples]


def batches(
    build_dir: Path | str,
    plan: Plan,
    *,
    batch: int,
    seed: int,
    start: Position | None = None,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Iterator[Batch]:
    """Batches without end, from ``start`` on; the same whatever ``workers`` is.

    Raises:
        DataError: the build is not finished or damaged.
        ValueError: the build does not fit the plan.
    """
    groups = Groups(build_dir, plan, seed)
    views = depth_views(groups.reader.index.members)
    references = plan.references or (1, views - 1)
    if not 1 <= references[0] <= references[1] < views:
        raise ValueError(
            f"references {references[0]} to {references[1]} do not leave a target of {views} views"
        )
    order = Order(len(groups.reader), batch, seed, rank, world)
    groups[_Place(0, 0, references[0], Position())]  # what does not fit is said here, in one line
    places = _Places(order, start or Position(), references)
    loader: DataLoader[Any] = DataLoader(
        groups,
        batch_sampler=places,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=False,
        worker_init_fn=_leave_signals,
        generator=torch.Generator(),  # its seed for the workers is not to move the global one
    )
    return iter(loader)


def _leave_signals(_worker: int) -> None:
    """Ctrl-C and schedulers signal all processes; only the main one decides when workers end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def official_batch(batch: Batch) -> dict[str, Tensor]:
    """The batch as the official CAMEO ``train.py`` takes it from its data loader.

    After that script and its README (github.com/cvlab-kaist/CAMEO, commit a1d2dc3). Its default
    configuration also reads ``tag``, a name of the dataset per sample; see ``docs/supervision.md``.

    Returns:
        image (B, V, 3, H, W) in [0, 1]; intrinsic (B, V, 3, 3) in pixels; extrinsic (B, V, 4, 4)
        world-to-camera; point_map (B, V, 3, H, W), world points, 0 where the depth is unknown.
    """
    return {
        "image": batch.images / 2 + 0.5,
        "intrinsic": batch.K,
        "extrinsic": batch.cam_from_world,
        "point_map": point_map(batch.depth, batch.K, batch.cam_from_world),
    }
