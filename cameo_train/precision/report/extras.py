"""Pictures of trained models next to their precision: attention, and views without a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cameo_data import ShardReader
from cameo_train.data.augmentation import resize
from cameo_train.matchers.denoise import batch_of
from cameo_train.matchers.group import MatcherGroup, group_of
from cameo_train.matchers.options import AttentionOptions
from cameo_train.matchers.queries import queries_of
from cameo_train.matchers.run_attention import (
    checkpoint_of_spec,
    load_objective,
    run_name,
    space_of,
)
from cameo_train.precision import perturb
from cameo_train.precision.report.layer_attention import Trained, side_by_side
from cameo_train.protocols.measurement import Protocol
from cameo_train.taps import resolve
from cameo_train.training.sampling import Image, png_bytes, write_png


@dataclass(frozen=True, eq=False)
class Extra:
    """A picture with its caption and, for some, a small table.

    Attributes:
        name: name of its file, without the ending.
        record: plain values for ``results.json``.
    """

    name: str
    title: str
    text: str
    image: Image
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    record: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Its PNG."""
        path = folder / f"{self.name}.png"
        write_png(path, self.image)
        return path

    @property
    def png(self) -> bytes:
        """The picture as a file's bytes."""
        return png_bytes(self.image)


def extras(
    specs: Sequence[str],
    reader: ShardReader,
    plan: Protocol,
    options: AttentionOptions,
    device: torch.device,
    *,
    pictures: int,
    layers: Sequence[str],
) -> list[Extra]:
    """Pictures of the checkpoints among the specs, if there are any.

    Args:
        pictures: number of groups whose attention is shown.
        layers: layers to perturb, or ``all``; empty perturbs none.
    """
    models = _trained(specs, plan, device)
    found: list[Extra] = []
    if not models:
        return found
    groups = list(_groups(reader, plan, device, pictures, options.references))
    found += _attention(models, groups, options)
    if layers:
        for number, model in enumerate(models):
            found.append(_perturbed(number, model, groups[:1], layers, options))
    return found


def _trained(specs: Sequence[str], plan: Protocol, device: torch.device) -> list[Trained]:
    """The latest checkpoints among the specs, named after their folders."""
    paths = [path for spec in specs if (path := checkpoint_of_spec(spec)) is not None]
    names = [run_name(path) for path in paths]
    found: list[Trained] = []
    for path, name in zip(paths, names, strict=True):
        objective, step, _ = load_objective(path, plan.hw, any_size=True)
        objective.to(device)
        space = space_of(objective.model, objective.config.weights, device)
        number = f" ({len(found) + 1})" if names.count(name) > 1 else ""
        found.append(Trained(f"{name}{number}", step, objective, space))
    return found


def _groups(
    reader: ShardReader, plan: Protocol, device: torch.device, count: int, references: int
) -> list[MatcherGroup]:
    """Groups spread over the build, each with something that its views share."""
    total, found = len(reader), []
    for number in range(total):
        # Halves, quarters, …: the first groups are the same for any count.
        sample = reader[(number * 618 // 1000 + total // 2 + number) % total]
        group = group_of(sample, queries_of(sample, plan), device)
        if len(group.queries) and len(group.images) > references:
            found.append(group)
        if len(found) == max(1, count):
            break
    return found


def _seen(model: Trained, group: MatcherGroup) -> MatcherGroup:
    """The group at the size of images that the model was trained on."""
    side = model.objective.config.size
    if side is None:
        return group
    return group_of(resize(group.sample, side), group.queries, group.images.device)


def _attention(
    models: Sequence[Trained], groups: Sequence[MatcherGroup], options: AttentionOptions
) -> list[Extra]:
    found: list[Extra] = []
    alike: dict[tuple[Any, ...], list[Trained]] = {}
    for model in models:
        key = (model.objective.grid_hw, model.objective.config.size)
        alike.setdefault(key, []).append(model)
    timestep = options.timesteps[0]
    for group in groups:
        for same in alike.values():
            seen = _seen(same[0], group)
            batch = batch_of([seen], options.references)
            image = side_by_side(same, seen.sample, batch, timestep=timestep, seed=options.seed)
            if image is None:
                continue
            how = "; ".join(model.how for model in same)
            text = (
                f"Sample {group.key}, target views noised to {timestep} of 1000. Each row shows a "
                "query (cross) in view 1, then its attention over every other view. The ring marks "
                "the true match, unless the point is hidden; the dot marks the token with the most "
                f"attention. Yellow is high attention; low attention leaves the view grey. {how}."
            )
            name = f"attention-{len(found) + 1}"
            found.append(Extra(name, "Where queries look", text, image))
    return found


def _perturbed(
    number: int,
    model: Trained,
    groups: Sequence[MatcherGroup],
    layers: Sequence[str],
    options: AttentionOptions,
) -> Extra:
    network = model.objective.model
    order = network.layers()
    chosen = order if "all" in layers else [resolve(order, layer) for layer in layers]
    batch = batch_of([_seen(model, group) for group in groups], options.references)
    found, images = perturb.perturbed(network, batch, model.space, chosen, seed=options.seed)
    rows = tuple(
        (
            "whole model" if one.layer is None else f"without layer {one.number} ({one.layer})",
            f"{one.psnr:.2f}",
            f"{one.ssim:.3f}",
            "" if one.psnr_to_whole is None else f"{one.psnr_to_whole:.2f}",
        )
        for one in found
    )
    text = (
        f"{model.title}, sample {groups[0].key}: its target views sampled by {perturb.STEPS} DDIM "
        "steps from the same noise, with the attention of one layer replaced by the identity (as "
        "in perturbed-attention guidance) in all steps. A low PSNR to the whole model's views "
        "means that they depend on that layer, which need not be the one with the best geometry."
    )
    record = {"model": model.title, "sample": groups[0].key, "layers": [o.record() for o in found]}
    headings = ("", "PSNR to truth, dB", "SSIM to truth", "PSNR to whole model, dB")
    return Extra(
        name=f"perturbed-{number + 1}",
        title=f"Target views without a layer: {model.title}",
        text=text,
        image=perturb.picture(found, images, batch),
        headings=headings,
        rows=rows,
        record=record,
    )
