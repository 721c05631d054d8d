"""The training loop, from a configuration to weights; read it from top to bottom.

One process per device (``accelerate launch``, ``torchrun`` or plain Python); the trajectory depends
on the configuration alone, not on how many processes share the global batch nor on how often the
run was stopped.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor

from cameo_data import ShardReader
from cameo_data.io.work_folder import exclusive, refuse_build, write_bytes
from cameo_train.config import TrainConfig
from cameo_train.config import load as load_config
from cameo_train.data.batches import Batch, batches, plan, read_around, trained_hw
from cameo_train.data.sample_order import Position
from cameo_train.models import build, build_latents
from cameo_train.models.latents import VaeLatents
from cameo_train.training import checkpoint, perceptual, sampling, sharding, trackers, validation
from cameo_train.training.metrics import Diverged, Journal, Meter, Report
from cameo_train.training.objective import Losses, Objective, condition, draw

__all__ = ["Diverged", "Stopped", "TrainResult", "fit", "plan", "untrained"]
LOG = logging.getLogger(__name__)
# float16: the loss scale is halved whenever a gradient overflows; where even the unscaled one
# does, no scale will help
LEAST_SCALE = 1.0


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


@dataclass(frozen=True)
class TrainResult:
    """What a run ends with.

    Attributes:
        last: metrics of the last step.
        checkpoint: the last one written.
        left_out: number of damaged samples.
    """

    steps: int
    last: Mapping[str, Any]
    checkpoint: Path
    left_out: int = 0


def fit(config: TrainConfig, report: Report | None = None) -> TrainResult:
    """Trains until ``config.steps``, going on from the latest checkpoint in ``config.out``.

    Args:
        report: called on the main process with the metrics of every step.

    Raises:
        DataError: the shards are damaged beyond ``max_damaged``.
        ValueError: they do not fit the model; the checkpoints belong to another configuration or
            to other shards; ``config.out`` is a build, or another run is writing to it.
        Diverged: the loss is NaN or infinite; names the samples.
        Stopped: SIGTERM or SIGINT came; the same call goes on from there.
    """
    if checkpoint.latest(Path(config.out) / "checkpoints") is None:
        refuse_build(Path(config.out))
    accelerator = _accelerator(config)
    with ExitStack() as held:
        return _fit(config, accelerator, report, held)


def _fit(
    config: TrainConfig, accelerator: Accelerator, report: Report | None, held: ExitStack
) -> TrainResult:
    """``fit``; ``held`` keeps the folder for this run until it ends."""
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    out = Path(config.out)

    data_now = data_hashes(config)

    # the model: the same on all ranks, from the seed or from weights
    objective = untrained(config).to(device)
    model = objective.model
    space = build_latents(model.preset.latents, config.weights)
    if isinstance(space, VaeLatents):
        space.vae.to(device)
    if config.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    if config.fsdp:
        sharding.shard(objective, config.mixed_precision)
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    ema = EMAModel(trained.values(), decay=config.ema) if config.ema else None
    adam = torch.optim.AdamW(trained.values(), lr=config.lr, weight_decay=config.weight_decay)
    # diffusers' "constant" would leave the warm-up out
    shape = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    schedule = get_scheduler(
        shape, adam,
        num_warmup_steps=config.lr_warmup_steps, num_training_steps=config.steps,
    )  # fmt: skip
    wrapped: Any = objective
    if config.fsdp:
        optimizer = accelerator.prepare(adam)
    else:
        wrapped, optimizer = accelerator.prepare(objective, adam)
    if config.compile:
        wrapped = torch.compile(wrapped)
    scaler = accelerator.scaler

    judged = config.sample_every > 0 and accelerator.is_main_process
    if judged and (why := perceptual.missing()) is not None:
        LOG.warning("samples are judged without LPIPS: %s", why)

    # nothing is written before model and data are known to fit
    if accelerator.is_main_process:
        held.enter_context(exclusive(out, out / ".lock"))

    # where it goes on from
    step, position = 0, Position()
    damaged: dict[int, dict[str, Any]] = {}
    if (path := checkpoint.latest(out / "checkpoints")) is not None:
        saved = checkpoint.load(path)
        _check_same(config, world, saved, path)
        _check_same_data(config, data_now, saved, path)
        step, position, damaged = saved.step, saved.position, dict(saved.state["damaged"])
        sharding.load_weights(objective, saved.weights)
        sharding.load_optimizer_state(objective, adam, saved.state["optimizer"])
        schedule.load_state_dict(saved.state["schedule"])
        if ema is not None and saved.ema is not None:
            for name, shadow in zip(trained, ema.shadow_params, strict=True):
                sharding.copy_whole_(shadow, saved.ema[name])
            ema.optimization_step = int(saved.state["ema_step"])
        if scaler is not None and saved.state["scaler"]:
            scaler.load_state_dict(saved.state["scaler"])
        checkpoint.set_rng_state(saved.rng)

    if config.tracker != "none":
        accelerator.init_trackers("cameo", trackers.settings(config.record()))
    data = batches(
        config.shards, plan(config, objective.grid_hw), batch=config.batch, seed=config.seed,
        start=position, rank=rank, world=world, workers=config.workers,
    )  # fmt: skip
    journal = None
    if accelerator.is_main_process:
        write_bytes(out / "config.yaml", config.yaml().encode())
        journal = Journal(out, step)
    meter = Meter(config, accelerator, report, journal, damaged)

    def write() -> Path:
        """A checkpoint of this step: every rank gives its part, the main process writes."""
        target = out / "checkpoints"
        weights = sharding.weights(objective)
        averaged = None
        state: dict[str, Any] = {
            "optimizer": sharding.optimizer_state(objective, adam),
            "schedule": schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "damaged": dict(meter.damaged),
            "processes": world,
        }
        if ema is not None:
            shadows = [sharding.whole(shadow) for shadow in ema.shadow_params]
            averaged = {**weights, **dict(zip(trained, shadows, strict=True))}
            state["ema_step"] = ema.optimization_step
        if accelerator.is_main_process:
            made = checkpoint.Checkpoint(
                step,
                position,
                config.hash(world),
                data_now,
                weights,
                averaged,
                state,
                checkpoint.rng_state(),
            )
            checkpoint.save(target, made, config.yaml(), config.keep_checkpoints)
        accelerator.wait_for_everyone()
        return target / f"step-{step:07d}"

    written = path
    with _stop_signals() as stopped:
        while step < config.steps:
            parts: list[tuple[Losses, Batch]] = []
            measured = (step + 1) % config.log_every == 0 or step + 1 == config.steps
            weight = config.weight_at(step)
            for micro in range(config.accumulate):
                batch = next(data)
                position = batch.position
                draws = draw(
                    config, model.latents_shape(batch.images.shape),
                    len(objective.scheduler.alphas_cumprod),
                    step * config.accumulate + micro, rank, world, device,
                )  # fmt: skip
                rows = objective.rows(batch, draws)
                batch = replace(batch, targets=None).to(device)
                latents, given = condition(model, batch, space)
                # every rank divides by the same weight, so their mean is that of one process
                normalizer = None
                if rows is not None:
                    rows = rows.to(device)
                    normalizer = accelerator.reduce(rows.total_weight, "mean")
                with accelerator.accumulate(wrapped):
                    with accelerator.autocast():
                        losses = wrapped(latents, given, draws, rows, weight, normalizer, measured)
                    accelerator.backward(losses.total)
                    if accelerator.sync_gradients:
                        norm = accelerator.clip_grad_norm_(list(trained.values()), config.clip)
                    optimizer.step()
                    optimizer.zero_grad()
                parts.append((Losses(*losses), batch))
            rate = float(schedule.get_last_lr()[0])
            overflow = scaler is not None and optimizer.step_was_skipped
            if not overflow:
                schedule.step()
                if ema is not None:
                    ema.step(trained.values())
            elif scaler.get_scale() < LEAST_SCALE:
                raise Diverged(
                    f"gradients are infinite at step {step + 1} whatever the loss scale; "
                    "use --mixed-precision bf16"
                )
            step += 1

            known: dict[str, Any] = {"step": step, "lr": rate, "epoch": position.epoch}
            if config.sample_every and step % config.sample_every == 0:
                # a sharded model computes on all ranks or on none
                if accelerator.is_main_process or config.fsdp:
                    picture = out / "samples" / f"step-{step:07d}.png"
                    with meter.paused(), accelerator.autocast(), _averaged(ema, objective):
                        found = sampling.sample_and_compare(config, model, space, device, picture)
                        known |= found.record()
                accelerator.wait_for_everyone()
            validated = step % config.validate_every == 0 or step == config.steps
            if config.validation is not None and validated:
                if accelerator.is_main_process or config.fsdp:
                    with meter.paused(), accelerator.autocast(), _averaged(ema, objective):
                        known |= validation.measure(config, objective, space, device).record()
                accelerator.wait_for_everyone()
            meter.push(
                parts, norm, known,
                measured=measured, asked_to_stop=stopped(), overflow=overflow,
            )  # fmt: skip
            save = step % config.checkpoint_every == 0 or step == config.steps
            meter.read(all_of_them=measured or save)
            if config.tracker != "none" and step % config.log_every == 0:
                accelerator.log(trackers.numbers(meter.last), step=step)
            # a single process may have been asked while it reported
            stop = meter.stop or (world == 1 and stopped())
            if stop or save:
                meter.read(all_of_them=True)
                written = write()
            if stop and step < config.steps:
                accelerator.end_training()
                raise Stopped(f"stopped at step {step}; run the same command again to go on")
    accelerator.end_training()
    assert written is not None
    return TrainResult(step, meter.last, written, len(meter.damaged))


def _accelerator(config: TrainConfig) -> Accelerator:
    """Devices, processes and number types.

    Raises:
        ValueError: this machine cannot do what the configuration requires.
    """
    if config.tracker != "none":
        trackers.check(config.tracker)
    # what an earlier run in this process chose does not bind this one
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.accumulate,
        log_with=None if config.tracker == "none" else config.tracker,
        project_dir=config.out,
        step_scheduler_with_optimizer=False,
    )
    if accelerator.distributed_type not in ("NO", "MULTI_CPU", "MULTI_GPU"):
        raise ValueError(
            f"accelerate is set up for {accelerator.distributed_type}; leave that out there, "
            "and pass --fsdp to cut the model over the processes"
        )
    if config.fsdp and accelerator.num_processes == 1:
        raise ValueError("--fsdp needs several processes; start it with torchrun")
    if config.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("--mixed-precision fp16 needs a GPU; CPUs take bf16")
    return accelerator


def _check_same(config: TrainConfig, world: int, saved: checkpoint.Checkpoint, path: Path) -> None:
    """Raises ValueError, naming what differs, where a checkpoint is of another configuration."""
    if saved.config_hash == config.hash(world):
        return
    before = load_config(path / "config.yaml", {})
    old, new = before.deciding(saved.state["processes"]), config.deciding(world)
    names = {"batch": "samples of all processes"}
    changed = [
        f"{names.get(key, key)} {old.get(key)} → {new.get(key)}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]
    raise ValueError(
        f"{path} is of another configuration ({', '.join(changed)}); use another --out, or go on "
        "as it began"
    )


def data_hashes(config: TrainConfig) -> dict[str, str]:
    """What identifies the data of a run; a build that cannot be read shows now, not after hours."""
    builds = {"shards": config.shards, "validation": config.validation}
    return {
        name: ShardReader(build).index.data_hash
        for name, build in builds.items()
        if build is not None
    }


def _check_same_data(
    config: TrainConfig, now: Mapping[str, str], saved: checkpoint.Checkpoint, path: Path
) -> None:
    """Raises ValueError where a checkpoint was trained or measured on other shards.

    The same shards may lie elsewhere, and held-out shards may be added to or left out of a run.
    """
    before = load_config(path / "config.yaml", {})
    for name, flag, old, new in (
        ("shards", "--shards", before.shards, config.shards),
        ("validation", "--validation", before.validation, config.validation),
    ):
        if name in now and name in saved.data and now[name] != saved.data[name]:
            where = f"{old} → {new}" if old != new else f"{new} was built again"
            raise ValueError(
                f"{path} was made with other {flag} ({where}: {saved.data[name][:12]} → "
                f"{now[name][:12]}); use another --out, or give the shards that it began with"
            )


def untrained(config: TrainConfig) -> Objective:
    """The model with its mixing head as a run begins, from the seed or from weights.

    Raises:
        DataError: the shards cannot be read.
        ValueError: no such model or layer, or weights of another architecture.
    """
    image_hw = _image_hw(config)
    set_seed(config.seed)
    return Objective(config, build(config.model, weights=config.weights), image_hw)


def _image_hw(config: TrainConfig) -> tuple[int, int]:
    sample, _, _ = read_around(ShardReader(config.shards), 0)
    return trained_hw(config, sample.cameras[0].hw)


@contextmanager
def _averaged(ema: EMAModel | None, objective: Objective) -> Iterator[None]:
    """Inside, the model has its averaged weights, where there are any, and can be called."""
    trained = [p for p in objective.parameters() if p.requires_grad]
    _swap(ema, trained)
    try:
        with sharding.readable(objective):
            yield
    finally:
        _swap(ema, trained)


@torch.no_grad()
def _swap(ema: EMAModel | None, trained: list[torch.nn.Parameter]) -> None:
    """Exchanges weights and their averages, one after the other, without a copy of the model."""
    pairs = () if ema is None else zip(trained, ema.shadow_params, strict=True)
    for weight, average in pairs:
        kept: Tensor = weight.clone()
        weight.copy_(average)
        average.copy_(kept)


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and SIGINT set a flag; a second one acts as ever."""
    seen: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: object) -> None:
        seen.append(number)
        signal.signal(number, before[number])

    try:
        for watched in (signal.SIGTERM, signal.SIGINT):
            before[watched] = signal.signal(watched, note)
    except ValueError:  # not the main thread, where signals never arrive
        pass
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
