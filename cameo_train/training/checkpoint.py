"""Checkpoints: all or nothing. A folder ``step-0000500`` is complete if it has that name.

It holds weights and EMA as safetensors, everything else that decides the trajectory (optimiser,
schedule, random states, position in the data) as tensors loaded with ``weights_only``, and the
configuration. It is written under a temporary name and renamed last.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cameo_data.io.os_errors import naming
from cameo_data.io.parsing import one_line
from cameo_data.io.whole_files import file_sha256, sync
from cameo_train.data.sample_order import Position

# of what the files hold; raised whenever an older checkpoint could not be gone on from
FORMAT = 3
_NAME = re.compile(r"step-(\d{7,})")


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from.

    Attributes:
        data: ``BuildIndex.data_hash`` of the builds that the run reads, by what they are for:
            ``shards`` and, where there is one, ``validation``.
        weights: trained parameters and buffers by name, of model and head mix.
        ema: the same with the trained parameters averaged, or None.
        state: of optimiser, schedule, loss scaler and the like, nested plain values and tensors.
        rng: random states of one rank, see ``rng_state``.
    """

    step: int
    position: Position
    config_hash: str
    data: Mapping[str, str]
    weights: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] | None
    state: Mapping[str, Any]
    rng: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, config_yaml: str, keep: int) -> Path:
    """Writes ``folder/step-…`` and deletes all but the latest ``keep``.

    Raises:
        OSError: the disk is full or fails; what was there stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{checkpoint.step:07d}"
    partial = folder / f".{final.name}.partial"
    for left in folder.glob(".step-*.partial"):  # of killed runs
        shutil.rmtree(left, ignore_errors=True)
    try:
        _write(partial, checkpoint, config_yaml)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # on a full disk it is only in the way
        raise
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    sync(folder)
    for old in complete(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def _write(partial: Path, checkpoint: Checkpoint, config_yaml: str) -> None:
    """All files of a checkpoint, flushed to the disk."""
    partial.mkdir()
    _save_tensors(checkpoint.weights, partial / "weights.safetensors")
    if checkpoint.ema is not None:
        _save_tensors(checkpoint.ema, partial / "ema.safetensors")
    state = {"state": dict(checkpoint.state), "rng": dict(checkpoint.rng)}
    path = partial / "state.pt"
    with naming(path), path.open("wb") as file:
        # through memory: on a full disk torch raises an error that does not say so
        buffer = io.BytesIO()
        torch.save(state, buffer)
        file.write(buffer.getbuffer())
    with naming(partial / "config.yaml"):
        (partial / "config.yaml").write_text(config_yaml, "utf-8")
    record = {
        "format": FORMAT,
        "step": checkpoint.step,
        "epoch": checkpoint.position.epoch,
        "samples": checkpoint.position.samples,
        "config_hash": checkpoint.config_hash,
        "data": dict(checkpoint.data),
        "sha256": {path.name: file_sha256(path) for path in sorted(partial.iterdir())},
    }
    with naming(partial / "checkpoint.json"):
        (partial / "checkpoint.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for path in partial.iterdir():
        with naming(path):
            sync(path)


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises OSError where safetensors raises its own error for one of the system."""
    try:
        save_file(_contiguous(tensors), path)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def complete(folder: Path) -> list[Path]:
    """All complete checkpoints, oldest first; one that was interrupted while written is none."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def step_of(path: Path) -> int:
    """The step that a complete checkpoint is of."""
    return int(path.name.removeprefix("step-"))


def data_of(path: Path) -> Mapping[str, str] | None:
    """``Checkpoint.data`` of a complete checkpoint; None where its record cannot be read."""
    try:
        found = json.loads((path / "checkpoint.json").read_text("utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    found = complete(folder)
    return found[-1] if found else None


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """A complete checkpoint. Nothing is unpickled.

    Raises:
        ValueError: it is damaged, or of another version of this software.
        OSError: it cannot be read, which does not mean that it is damaged.
    """
    try:
        record = json.loads((path / "checkpoint.json").read_text("utf-8"))
        found = record.get("format", 1)
    except _NOT_DAMAGED:
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    if found != FORMAT:
        raise ValueError(
            f"checkpoint {path} has format {found}, expected {FORMAT}; use another --out"
        )
    try:
        _check_files(path, record.get("sha256", {}))
        rest = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        ema = path / "ema.safetensors"
        return Checkpoint(
            step=int(record["step"]),
            position=Position(int(record["epoch"]), int(record["samples"])),
            config_hash=str(record["config_hash"]),
            data=dict(record["data"]),
            weights=load_file(path / "weights.safetensors", device=str(device)),
            ema=load_file(ema, device=str(device)) if ema.exists() else None,
            state=rest["state"],
            rng=rest["rng"],
        )
    except _NOT_DAMAGED:
        raise
    except Exception as error:
        # safetensors and torch raise types of their own for a damaged file
        raise _damaged(path, error) from error


# A missing permission or too little memory is no reason to delete a checkpoint.
_NOT_DAMAGED = (PermissionError, MemoryError, torch.OutOfMemoryError)


def _check_files(path: Path, sha256: Mapping[str, str]) -> None:
    """Raises ValueError where a file is not as it was written; early checkpoints have no hashes."""
    for name, expected in sha256.items():
        if file_sha256(path / name) != expected:
            raise ValueError(f"{name} has other bytes than were written")


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"checkpoint {path} is damaged ({one_line(error)}); delete it to go on from the one before"
    )


def rng_state() -> dict[str, Any]:
    """The random states of this process, as values that ``weights_only`` loads."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 — others use it
    version, words, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss),
        "python": (version, list(words), gauss_next),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Back to a state of ``rng_state``."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(  # noqa: NPY002
        (kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss)
    )
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
    if "cuda" in state and torch.cuda.is_available():
        # the run may go on with fewer devices
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies: safetensors refuses tensors that share memory."""
    return {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
