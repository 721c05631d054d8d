"""How far a build is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cameo_data.build import finished
from cameo_data.build.folder import Folder
from cameo_data.build.task import finished_record, load_plan
from cameo_data.commands import path_word
from cameo_data.io.work_folder import read_json
from cameo_data.shards.index import read_index


@dataclass(frozen=True, kw_only=True)
class BuildStatus:
    """What a build's folder holds.

    Attributes:
        state: ``surveying`` until there is a plan, ``building`` until ``index.json`` is written;
            ``damaged`` where a file of a finished build is missing or has another size.
        done, total: shards; 0 of 0 while surveying.
        samples, counts: None until there is a plan.
        next_command: what to run now.
    """

    root: Path
    state: Literal["surveying", "building", "finished", "damaged"]
    done: int
    total: int
    samples: int | None
    counts: Mapping[str, Any] | None
    next_command: str


def build_status(root: Path) -> BuildStatus:
    """How far the build in ``root`` is; reads only what the build wrote beside its shards.

    Raises:
        ValueError: no build is there.
        DataError: its index is damaged.
    """
    folder = Folder(root)
    resume = f"cameo-data build-corr --manifest {path_word(folder.recipe)} --out {path_word(root)}"
    if folder.index.exists():
        return _finished(root, folder, resume)
    if not folder.identity.exists():
        raise ValueError(f"{root} holds no build; expected a folder that `build-corr --out` made")
    if not folder.plan.exists():
        return BuildStatus(
            root=root,
            state="surveying",
            done=0,
            total=0,
            samples=None,
            counts=None,
            next_command=resume,
        )
    recipe, tasks = load_plan(folder)
    done = sum(finished_record(folder, recipe, task, i) is not None for i, task in enumerate(tasks))
    counts = (read_json(folder.plan) or {}).get("counts")
    samples = sum(len(task.samples) for task in tasks)
    return BuildStatus(
        root=root,
        state="building",
        done=done,
        total=len(tasks),
        samples=samples,
        counts=counts,
        next_command=resume,
    )


def _finished(root: Path, folder: Folder, resume: str) -> BuildStatus:
    index = read_index(root)
    total = len(index.shards)
    damage = finished.damage(folder, index)
    return BuildStatus(
        root=root,
        state="damaged" if damage else "finished",
        done=total - sum(what.startswith("shards/") for what in damage),
        total=total,
        samples=index.samples,
        counts=index.counts,
        next_command=resume if damage else f"cameo-data verify {path_word(root)}",
    )
