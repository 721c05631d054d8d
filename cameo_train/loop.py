"""The training loop, from a configuration to weights; read it from top to bottom.

One process per device (``accelerate launch``, ``torchrun`` or plain Python); the trajectory depends
on the configuration alone, not on how many processes share the global batch nor on how often the
run was stopped.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor

from cameo_data import ShardReader
from cameo_train import checkpoint, sampling, validation
from cameo_train.batches import Batch, batches, plan, trained_hw
from cameo_train.config import TrainConfig
from cameo_train.models import build, build_latents
from cameo_train.models.latents import VaeLatents
from cameo_train.objective import Losses, Objective, condition, draw
from cameo_train.order import Position

Report = Callable[[Mapping[str, Any]], None]


class Stopped(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


class Diverged(ValueError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Result:
    """What a run ends with.

    Attributes:
        last: metrics of the last step.
        checkpoint: the last one written.
    """

    steps: int
    last: Mapping[str, Any]
    checkpoint: Path


def fit(config: TrainConfig, report: Report | None = None) -> Result:
    """Trains until ``config.steps``, going on from the latest checkpoint in ``config.out``.

    Args:
        report: called on the main process with the metrics of every step.

    Raises:
        DataError: the shards are damaged beyond ``max_damaged``.
        ValueError: they do not fit the model; or the checkpoints are another configuration's.
        Diverged: the loss is NaN or infinite; names the samples.
        Stopped: SIGTERM or SIGINT came; the same call goes on from there.
    """
    tracker = None if config.tracker == "none" else config.tracker
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.accumulate,
        log_with=tracker,
        project_dir=config.out,
        step_scheduler_with_optimizer=False,
    )
    if accelerator.distributed_type == "FSDP":
        raise ValueError("FSDP's sharded optimiser state is not kept yet; use DDP")
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    out = Path(config.out)

    # the model: the same on all ranks, from the seed or from weights
    objective = untrained(config).to(device)
    model = objective.model
    space = build_latents(model.preset.latents, config.weights)
    if isinstance(space, VaeLatents):
        space.vae.to(device)
    if config.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    trained = [p for p in objective.parameters() if p.requires_grad]
    ema = EMAModel(trained, decay=config.ema) if config.ema else None
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    schedule = get_scheduler(
        config.schedule, optimizer,
        num_warmup_steps=config.lr_warmup_steps, num_training_steps=config.steps,
    )  # fmt: skip

    # where it goes on from
    step, position = 0, Position()
    if (path := checkpoint.latest(out / "checkpoints")) is not None:
        saved = checkpoint.load(path)
        if saved.config_hash != config.hash():
            raise ValueError(
                f"{path} is of another configuration; use another --out, or the one in "
                f"{path / 'config.yaml'}"
            )
        step, position = saved.step, saved.position
        objective.load_state_dict(saved.weights)
        optimizer.load_state_dict(saved.state["optimizer"])
        schedule.load_state_dict(saved.state["schedule"])
        if ema is not None and saved.ema is not None:
            ema.shadow_params = [saved.ema[str(i)].to(device) for i in range(len(saved.ema))]
            ema.optimization_step = int(saved.state["ema_step"])
        checkpoint.set_rng_state(saved.rng)

    wrapped, optimizer = accelerator.prepare(objective, optimizer)
    if config.compile:
        wrapped = torch.compile(wrapped)
    if tracker is not None:
        accelerator.init_trackers("cameo", config.record())
    data = batches(
        config.shards, plan(config, objective.grid_hw), batch=config.batch, seed=config.seed,
        start=position, rank=rank, world=world, workers=config.workers,
    )  # fmt: skip
    if accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.yaml").write_text(config.yaml(), "utf-8")
    metrics = _Metrics(out / "metrics.jsonl", step) if accelerator.is_main_process else None

    def write() -> Path:
        """A checkpoint of this step, by the main process; the others wait."""
        target = out / "checkpoints"
        if accelerator.is_main_process:
            plain = accelerator.unwrap_model(wrapped, keep_torch_compile=False)
            state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            averaged = None
            if ema is not None:
                averaged = {str(i): p for i, p in enumerate(ema.shadow_params)}
                state["ema_step"] = ema.optimization_step
            made = checkpoint.Checkpoint(
                step, position, config.hash(), plain.state_dict(), averaged, state,
                checkpoint.rng_state(),
            )  # fmt: skip
            checkpoint.save(target, made, config.yaml(), config.keep_checkpoints)
        accelerator.wait_for_everyone()
        return target / f"step-{step:07d}"

    row: dict[str, Any] = {}
    written = path
    damaged = 0
    with _stop_signals() as stopped:
        while step < config.steps:
            started = time.perf_counter()
            sums: dict[str, float] = {}
            measured = (step + 1) % config.log_every == 0 or step + 1 == config.steps
            for micro in range(config.accumulate):
                batch = next(data)
                position = batch.position
                damaged += len(batch.skipped)
                _check_damage(batch, damaged, config)
                batch = batch.to(device)
                latents, given = condition(model, batch, space)
                draws = draw(
                    config, tuple(latents.shape), len(objective.scheduler.alphas_cumprod),
                    step * config.accumulate + micro, rank, world, device,
                )  # fmt: skip
                rows = objective.rows(batch, draws) if config.weight else None
                # every rank divides by the same weight, so their mean is that of one process
                normalizer = None
                if rows is not None and world > 1:
                    normalizer = accelerator.reduce(rows.total_weight, "mean")
                weight = config.weight_at(step)
                with accelerator.accumulate(wrapped):
                    losses: Losses = wrapped(
                        latents, given, draws, rows, weight, normalizer, measured
                    )
                    _check_finite(losses.total, batch, step)
                    accelerator.backward(losses.total)
                    if accelerator.sync_gradients:
                        norm = accelerator.clip_grad_norm_(wrapped.parameters(), config.clip)
                    optimizer.step()
                    optimizer.zero_grad()
                _add(sums, losses, accelerator, config.accumulate, len(batch.skipped))
            rate = float(schedule.get_last_lr()[0])
            schedule.step()
            if ema is not None:
                ema.step(trained)
            step += 1

            if not measured or not sums["rows"]:
                del sums["precision"]
            row = {
                "step": step, **sums, "lr": rate, "grad_norm": float(norm),
                "epoch": position.epoch, "seconds": time.perf_counter() - started,
            }  # fmt: skip
            if config.sample_every and step % config.sample_every == 0:
                if accelerator.is_main_process:
                    picture = out / "samples" / f"step-{step:07d}.png"
                    with accelerator.autocast(), _averaged(ema, trained):
                        found = sampling.sample_and_compare(config, model, space, device, picture)
                        row |= asdict(found)
                accelerator.wait_for_everyone()
            validated = step % config.validate_every == 0 or step == config.steps
            if config.validation is not None and validated:
                if accelerator.is_main_process:
                    with accelerator.autocast(), _averaged(ema, trained):
                        row |= validation.measure(config, objective, space, device).record()
                accelerator.wait_for_everyone()
            if metrics is not None:
                metrics.write(row)
                if report is not None:
                    report(row)
            if tracker is not None and step % config.log_every == 0:
                accelerator.log({k: v for k, v in row.items() if k != "step"}, step=step)
            # ranks agree on stopping, or one would wait for the others for ever
            stop = bool(accelerator.reduce(torch.tensor(float(stopped()), device=device)) > 0)
            if stop or step % config.checkpoint_every == 0 or step == config.steps:
                written = write()
            if stop and step < config.steps:
                accelerator.end_training()
                raise Stopped(f"stopped at step {step}; run the same command again to go on")
    accelerator.end_training()
    assert written is not None
    return Result(step, row, written)


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
    return trained_hw(config, ShardReader(config.shards)[0].cameras[0].hw)


@contextmanager
def _averaged(ema: EMAModel | None, trained: list[torch.nn.Parameter]) -> Iterator[None]:
    """Inside, the model has its averaged weights, where there are any."""
    if ema is None:
        yield
        return
    ema.store(trained)
    ema.copy_to(trained)
    try:
        yield
    finally:
        ema.restore(trained)


def _add(
    sums: dict[str, float], losses: Losses, accelerator: Accelerator, parts: int, skipped: int
) -> None:
    """Adds a micro-batch's share of the step's metrics, the mean over ranks."""
    found = torch.stack(
        [losses.total.detach(), losses.diffusion.detach(), losses.correspondence.detach()]
    ).float()
    counts = torch.tensor([losses.rows, skipped], dtype=torch.float32, device=found.device)
    hits = 0.0 if math.isnan(losses.precision) else losses.precision * losses.rows
    found = accelerator.reduce(found, "mean") / parts
    counts = accelerator.reduce(torch.cat([counts, counts.new_tensor([hits])]), "sum")
    for name, value in zip(("loss", "diffusion", "correspondence"), found.tolist(), strict=True):
        sums[name] = sums.get(name, 0.0) + value
    rows = sums.get("rows", 0) + int(counts[0])
    before = sums.get("precision", 0.0) * sums.get("rows", 0)
    sums["precision"] = (before + float(counts[2])) / rows if rows else 0.0
    sums["rows"] = rows
    sums["damaged"] = sums.get("damaged", 0) + int(counts[1])


def _check_finite(loss: Tensor, batch: Batch, step: int) -> None:
    if not math.isfinite(float(loss.detach())):
        raise Diverged(
            f"loss is {float(loss.detach())} at step {step + 1}, samples {', '.join(batch.keys)}; "
            "lower --lr, or look at these samples with `cameo-data preview`"
        )


def _check_damage(batch: Batch, damaged: int, config: TrainConfig) -> None:
    if damaged > config.max_damaged:
        raise ValueError(
            f"{damaged} damaged samples, {config.max_damaged} allowed (--max-damaged); last: "
            f"{batch.skipped[-1] if batch.skipped else 'see above'}"
        )


class _Metrics:
    """``metrics.jsonl``: one line a step; what a checkpoint does not cover is written again."""

    def __init__(self, path: Path, steps: int) -> None:
        kept = path.read_text("utf-8").splitlines()[:steps] if path.exists() else []
        path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self.path = path

    def write(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


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
