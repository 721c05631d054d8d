"""Runs all arms and seeds through the ordinary training loop, several at a time; resumable."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data.executors import local
from cameo_data.types import Progress
from cameo_train.config import TrainConfig, load
from cameo_train.reproduce.arms import Arm
from cameo_train.reproduce.data import Data
from cameo_train.reproduce.presets import ExperimentPreset

_POLL_S = 2.0
_stopped = threading.Event()  # set once this process has to stop


@dataclass(frozen=True)
class TrainingRun:
    """One run of the training loop."""

    arm: Arm
    seed: int
    config: TrainConfig

    @property
    def out(self) -> Path:
        return Path(self.config.out)


def jobs(
    preset: ExperimentPreset,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    data: Data,
    out: Path,
    overrides: Mapping[str, Any],
) -> list[TrainingRun]:
    """Every arm with every seed. Runs of one seed share data order, draws and, if the network is
    the same, initial weights; they differ only in the arm's settings.

    Args:
        overrides: keys of ``TrainConfig`` for all arms, which override the preset's.

    Raises:
        UsageError: a key or value that the configuration does not know.
    """
    shared = {**preset.settings(overrides), "validation": str(data.held_out)}
    shared.setdefault("sample_every", max(1, int(shared["steps"]) // 2))
    return [
        TrainingRun(
            arm,
            seed,
            load(
                None,
                {
                    **shared,
                    **arm.changes,
                    "seed": seed,
                    "shards": str(data.training(arm.depth)),
                    "out": str(out / f"{arm.name}-{seed}"),
                },
            ),
        )
        for seed in seeds
        for arm in arms
    ]


def run(todo: Sequence[TrainingRun], parallel: int, progress: Progress) -> None:
    """Trains all, ``parallel`` at a time on one core each; a single run takes all cores.

    Raises:
        loop.Stopped: a signal arrived while one run was active.
        KeyboardInterrupt: a signal arrived while several were active.
    """
    _stopped.clear()
    with (
        _watched(todo, progress),
        closing(local.run(train, todo, workers=parallel)) as results,
    ):
        for _ in results:
            pass


def train(job: TrainingRun) -> None:
    """Trains one run to its end and draws its attention before and after."""
    from cameo_train.report.attention import before_and_after
    from cameo_train.training import loop

    if _stopped.is_set():
        raise loop.Stopped("stopped before this run began")
    if is_finished(job):
        return
    try:
        result = loop.fit(job.config)
    except loop.Stopped:
        # The pool has already passed this process its next run, which must not begin.
        _stopped.set()
        raise
    if not (job.out / "attention.png").exists():
        before_and_after(job.config, result.checkpoint)


def is_finished(job: TrainingRun) -> bool:
    """Whether the run was made by this exact configuration from these exact shards; ``fit`` reports
    what is wrong with others."""
    from cameo_train.training import checkpoint, loop

    written = job.out / "config.yaml"
    last = checkpoint.latest(job.out / "checkpoints")
    return (
        (job.out / "attention.png").exists()
        and written.exists()
        and written.read_text("utf-8") == job.config.yaml()
        and last is not None
        and checkpoint.step_of(last) == job.config.steps
        and checkpoint.data_of(last) == loop.data_hashes(job.config)
    )


@contextmanager
def _watched(todo: Sequence[TrainingRun], progress: Progress) -> Iterator[None]:
    """Reports steps as the runs record them."""
    total = sum(job.config.steps for job in todo)
    done = threading.Event()

    def watch() -> None:
        last = -1
        while not done.wait(_POLL_S):
            now = sum(steps_done(job) for job in todo)
            if now != last:
                progress("training steps", now, total)
            last = now

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress("training steps", total, total)


def steps_done(job: TrainingRun) -> int:
    """Number of steps that a run has recorded."""
    path = job.out / "metrics.jsonl"
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
