"""What a run says of its steps: figures of all ranks, ``metrics.jsonl``, and what stops it.

Figures stay on the device until they are read; on a GPU that is one step late, so that it never
waits for the next step to be prepared. A step costs one exchange between ranks.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from cameo_data.io.work_folder import write_bytes
from cameo_train.config import TrainConfig
from cameo_train.data.batches import Batch
from cameo_train.training import sharding
from cameo_train.training.objective import Losses

Report = Callable[[Mapping[str, Any]], None]
_MEANS = ("loss", "diffusion", "correspondence")
_SUMS = ("rows", "hits", "unmatched", "damaged", "stop")


class Diverged(ValueError):
    """The loss is no longer finite."""


@dataclass(frozen=True)
class _Step:
    """A step whose figures may still be on their way; see ``Meter.push``."""

    figures: Tensor
    norm: Tensor
    batches: Sequence[Batch]
    known: Mapping[str, Any]
    measured: bool
    overflow: bool


@dataclass
class Meter:
    """Collects the figures of steps and tells ``report`` of them in order.

    Attributes:
        damaged: all damaged samples so far by number, as records of ``failures.jsonl``; the same
            on all ranks.
        last: figures of the last step that was read.
        stop: whether any rank received a stop signal; the same on all ranks.
    """

    config: TrainConfig
    accelerator: Accelerator
    report: Report | None
    journal: Journal | None
    damaged: dict[int, dict[str, Any]] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    stop: bool = False

    def __post_init__(self) -> None:
        self._waiting: deque[_Step] = deque()
        self._since = time.perf_counter()

    def push(
        self,
        parts: Sequence[tuple[Losses, Batch]],
        norm: Tensor,
        known: Mapping[str, Any],
        *,
        measured: bool,
        asked_to_stop: bool,
        overflow: bool,
    ) -> None:
        """Takes the figures of a step; every rank must.

        Args:
            parts: this rank's micro-batches.
            norm: of the gradient.
            known: what the host knows already, such as the step's number.
            measured: whether precision was.
            overflow: whether the optimiser's step was left out, in float16.
        """
        losses, batches = [one for one, _ in parts], [batch for _, batch in parts]
        sums = torch.stack([torch.stack(one[:3]).detach().float() for one in losses]).sum(0)
        counts = [
            sum(one.rows for one in losses), 0, sum(one.unmatched for one in losses),
            sum(len(batch.skipped) for batch in batches), asked_to_stop,
        ]  # fmt: skip
        figures = torch.cat([sums, torch.tensor(counts, dtype=torch.float32).to(sums.device)])
        figures[len(_MEANS) + _SUMS.index("hits")] = torch.stack([o.hits for o in losses]).sum()
        seconds = time.perf_counter() - self._since
        self._since += seconds
        total = self.accelerator.reduce(figures, "sum")
        known = {**known, "seconds": seconds}
        self._waiting.append(
            _Step(total, sharding.whole(norm.detach()), batches, known, measured, overflow)
        )
        if self.accelerator.num_processes == 1:
            self.stop = asked_to_stop

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside is not counted among a step's seconds."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - began

    def read(self, all_of_them: bool) -> None:
        """Reports the steps whose figures should be there by now; every rank must.

        Raises:
            Diverged: a loss was NaN or infinite.
            ValueError: more damaged samples than allowed.
        """
        late = 0 if all_of_them or self.accelerator.device.type == "cpu" else 1
        while len(self._waiting) > late:
            self._read(self._waiting.popleft())

    def _read(self, step: _Step) -> None:
        *found, norm = torch.cat([step.figures, step.norm.to(step.figures).view(1)]).tolist()
        values = dict(zip((*_MEANS, *_SUMS), found, strict=True))
        parts = self.accelerator.num_processes * self.config.accumulate
        row: dict[str, Any] = {"step": step.known["step"]}
        row |= {name: values[name] / parts for name in _MEANS}
        row |= {name: int(values[name]) for name in ("rows", "unmatched", "damaged")}
        row |= {"grad_norm": norm, **step.known}
        if step.measured and row["rows"]:
            row["precision"] = values["hits"] / row["rows"]
        if self.config.mixed_precision == "fp16":
            row["overflow"] = step.overflow
        self.stop |= values["stop"] > 0
        if not math.isfinite(row["loss"]) and not step.overflow:
            self._raise_diverged(row, step)
        if row["damaged"]:
            row["left_out"] = self._note_damage(step)
        self.last = row
        if self.journal is not None:
            self.journal.write(row)
            if self.report is not None:
                self.report(row)

    def _raise_diverged(self, row: Mapping[str, Any], step: _Step) -> None:
        keys = sorted(gather_object([key for batch in step.batches for key in batch.keys]))
        raise Diverged(
            f"loss is {row['loss']} at step {row['step']}, samples {', '.join(keys)}; "
            "lower --lr, or look at these samples with `cameo-data preview`"
        )

    def _note_damage(self, step: _Step) -> list[str]:
        """Lines on damaged samples not seen before, of all ranks."""
        found = gather_object([damaged for batch in step.batches for damaged in batch.skipped])
        new = {
            sample: {"sample": sample, **failure.record()}
            for sample, failure in sorted(found)
            if sample not in self.damaged
        }
        self.damaged |= new
        if new and self.journal is not None:
            self.journal.write_failures(self.damaged.values())
        lines = [record["message"] for record in new.values()]
        if len(self.damaged) > self.config.max_damaged:
            raise ValueError(
                f"{len(self.damaged)} damaged samples, {self.config.max_damaged} allowed "
                f"(--max-damaged); last: {lines[-1]}"
            )
        return lines


class Journal:
    """``metrics.jsonl`` and ``failures.jsonl`` of a run's folder.

    What a checkpoint does not cover of the former is written again.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.metrics, self.failures = folder / "metrics.jsonl", folder / "failures.jsonl"
        lines = self.metrics.read_text("utf-8").splitlines() if self.metrics.exists() else []
        write_bytes(self.metrics, "".join(f"{line}\n" for line in lines[:steps]).encode())

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a step's figures."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def write_failures(self, records: Iterable[Mapping[str, Any]]) -> None:
        """All that was left out."""
        lines = (json.dumps(record, ensure_ascii=False) for record in records)
        write_bytes(self.failures, "".join(f"{line}\n" for line in lines).encode())
