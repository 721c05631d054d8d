"""Attention rows from the output of ``cameo-train fit``, or from a preset with pretrained weights.

``attention:RUN`` is a run's folder (its latest checkpoint, or all), ``attention:RUN/checkpoints/
step-0000500`` one checkpoint, ``attention:cat3d-sd21@weights=FOLDER`` a preset.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import torch
from torch import nn

from cameo_data import ShardReader
from cameo_data.errors import DataError, UsageError
from cameo_train import config
from cameo_train.config import TrainConfig
from cameo_train.data.batches import trained_hw
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.attention import AttentionMatcher, AttentionReading
from cameo_train.matchers.denoise import denoise
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.group import Matcher
from cameo_train.matchers.job import MatcherJob
from cameo_train.matchers.options import AttentionOptions
from cameo_train.models import Latents, MultiViewModel, build, build_latents, presets
from cameo_train.models.latents import VaeLatents
from cameo_train.protocols.measurement import Protocol
from cameo_train.taps import resolve
from cameo_train.training import checkpoint
from cameo_train.training.objective import Objective


def attention_jobs(spec: str, argument: str | None, options: AttentionOptions) -> list[MatcherJob]:
    """One job per checkpoint.

    Raises:
        UsageError: there is nothing to measure.
    """
    read = Argument("attention", argument)
    main = read.main
    if main is None:
        raise UsageError("attention needs a run of `cameo-train fit` or a preset: attention:RUN")
    weights, size = read.text("weights"), read.text("size", "any")
    read.close()
    if main in presets():
        made = partial(_of_preset, spec, main, weights, options)
        return [MatcherJob(spec, spec, f"{spec} {options}", made)]
    if weights is not None:
        raise UsageError(f"{spec}: weights= goes with a preset; a checkpoint has its own")
    paths = checkpoints_of(Path(main), options.checkpoints)
    return [
        MatcherJob(
            spec,
            f"{spec} step {checkpoint.step_of(path)}" if len(paths) > 1 else spec,
            f"{path.resolve()} {_digest(path)} {options} {size}",
            partial(_of_checkpoint, spec, path, size == "any", options),
        )
        for path in paths
    ]


def checkpoints_of(path: Path, which: str = "latest") -> list[Path]:
    """Complete checkpoints of a run's folder, or ``path`` itself if it is a checkpoint.

    Raises:
        UsageError: there is no checkpoint.
    """
    if (path / "checkpoint.json").is_file():
        return [path]
    found = checkpoint.complete(path / "checkpoints") or checkpoint.complete(path)
    if not found:
        raise UsageError(
            f"{path}: no checkpoint there and no preset of that name; expected the --out of "
            f"`cameo-train fit`, one of its checkpoints, or {', '.join(presets())}"
        )
    return found if which == "all" else found[-1:]


def checkpoint_of_spec(spec: str) -> Path | None:
    """The latest checkpoint that ``attention:RUN`` names; None for presets and other kinds."""
    kind, _, argument = spec.partition(":")
    if kind != "attention":
        return None
    main = Argument(kind, argument).main or ""
    if main in presets():
        return None
    return checkpoints_of(Path(main))[-1]


def _digest(path: Path) -> str:
    record = (path / "checkpoint.json").read_bytes()
    stamp = (path / "weights.safetensors").stat()
    return hashlib.sha256(record + f"{stamp.st_size} {stamp.st_mtime_ns}".encode()).hexdigest()


def _of_checkpoint(
    spec: str,
    path: Path,
    any_size: bool,
    options: AttentionOptions,
    protocol: Protocol,
    device: torch.device,
) -> Matcher:
    objective, step, notes = load_objective(path, protocol.hw, any_size)
    objective.to(device)
    run_config = objective.config
    layer = resolve(objective.model.layers(), objective.layer)
    mixes: dict[str, nn.Module] = {layer: objective.head_mix} if run_config.weight else {}
    made = _matcher(
        objective.model, space_of(objective.model, run_config.weights, device), layer, mixes,
        options, protocol, spec=spec, name=run_name(path), step=step, side=run_config.size,
    )  # fmt: skip
    made.notes += notes
    return made


def load_objective(
    path: Path, hw: tuple[int, int], any_size: bool = False
) -> tuple[Objective, int, list[str]]:
    """Model and mixing head of a checkpoint, its step, and remarks for the reader.

    Raises:
        ValueError: it is damaged, or has another architecture or image size.
    """
    saved = checkpoint.load(path)
    run_config = config.load(path / "config.yaml", {})
    seen_hw = _seen_hw(run_config, hw)
    then_hw = _trained_hw(run_config)
    notes = []
    if seen_hw != hw:
        notes.append(f"{path.name}: sees images of {seen_hw[0]}×{seen_hw[1]} (h×w), as in training")
    if then_hw is not None and then_hw != seen_hw:
        line = (
            f"{path} was trained on images of {then_hw[0]}×{then_hw[1]} (h×w), this build's "
            f"are {seen_hw[0]}×{seen_hw[1]}"
        )
        if not any_size:
            raise ValueError(
                f"{line}; build shards with --size {then_hw[1]}x{then_hw[0]}, or add "
                "@size=any to measure it anyway"
            )
        notes.append(line)
    objective = Objective(run_config, build(run_config.model), seen_hw)
    own = objective.state_dict()
    for name in sorted({*own, *saved.weights}):
        ours, theirs = (
            "missing" if name not in w else "×".join(map(str, w[name].shape))
            for w in (own, saved.weights)
        )
        if ours != theirs:
            raise ValueError(
                f"{path} is of another size than {run_config.model}: {name} is {theirs} there and "
                f"{ours} here; measure it with the version of cameo that wrote it"
            )
    objective.load_state_dict(saved.weights)
    if saved.ema is not None:
        objective.load_state_dict(saved.ema)
        notes.append(f"{path.name}: averaged weights (EMA)")
    return objective.eval(), saved.step, notes


def _trained_hw(run_config: TrainConfig) -> tuple[int, int] | None:
    """Size of the images that a run was trained on; None if its shards have moved."""
    try:
        stored_hw = ShardReader(run_config.shards)[0].cameras[0].hw
    except (DataError, OSError, ValueError):
        return None
    return trained_hw(run_config, stored_hw)


def _seen_hw(run_config: TrainConfig, hw: tuple[int, int]) -> tuple[int, int]:
    """Size to which images of a build are scaled, as in training; they are never cropped."""
    return trained_hw(run_config.model_copy(update={"crop": None}), hw)


def run_name(path: Path) -> str:
    """The run's folder, from ``RUN/checkpoints/step-…``."""
    parts = path.resolve().parts
    return parts[-3] if len(parts) > 3 and parts[-2] == "checkpoints" else parts[-1]


def _of_preset(
    spec: str,
    preset: str,
    weights: str | None,
    options: AttentionOptions,
    protocol: Protocol,
    device: torch.device,
) -> Matcher:
    torch.manual_seed(options.seed)
    try:
        model = build(preset, weights=weights).eval().to(device)
    except UsageError as error:
        raise MissingWeights(f"{spec}: {error}") from None
    layer = resolve(model.layers(), model.preset.layer)
    name = f"{preset}, {'random weights' if weights is None else Path(weights).name}"
    space = space_of(model, weights, device)
    return _matcher(model, space, layer, {}, options, protocol, spec=spec, name=name, step=None)


def space_of(model: MultiViewModel, weights: str | None, device: torch.device) -> Latents:
    """The latents that a model works in.

    Raises:
        MissingWeights: the weights of its VAE are missing.
    """
    try:
        space = build_latents(model.preset.latents, weights)
    except UsageError as error:
        raise MissingWeights(f"{model.preset.name}: {error}") from None
    if isinstance(space, VaeLatents):
        space.vae.to(device)
    return space


def _matcher(
    model: MultiViewModel,
    space: Latents,
    layer: str,
    mixes: dict[str, nn.Module],
    options: AttentionOptions,
    protocol: Protocol,
    *,
    spec: str,
    name: str,
    step: int | None,
    side: int | None = None,
) -> AttentionMatcher:
    run = partial(
        denoise, model, space, references=options.references, seed=options.seed, side=side
    )
    readings = readings_of(model, layer, mixes, options)
    if not readings:
        raise ValueError(f"{spec} has no trained mixing head (trained with --weight 0)")
    return AttentionMatcher(
        model, run, readings, options.timesteps, protocol,
        spec=spec, name=name, step=step, mixes=mixes,
    )  # fmt: skip


def readings_of(
    model: MultiViewModel,
    layer: str,
    mixes: dict[str, nn.Module],
    options: AttentionOptions,
) -> list[AttentionReading]:
    """The readings of each layer."""
    layers = model.layers()
    chosen = [layer]
    if options.layers:
        everything = "all" in options.layers
        chosen = layers if everything else [resolve(layers, text) for text in options.layers]
    found = []
    for path in dict.fromkeys(chosen):
        ways: list[str] = []
        for heads in options.heads:
            if heads in ("mean", "auto"):
                ways.append("mean")
            if heads in ("trained", "auto") and path in mixes:
                ways.append("trained")
            if heads in ("best", "each"):
                ways += [f"head {n}" for n in range(model.heads(path))]
        main = path == layer or layer not in chosen
        number = layers.index(path)
        found += [AttentionReading(path, number, way, main) for way in dict.fromkeys(ways)]
    return found
