"""Tiny scenes for the build's tests, and what the tests compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cameo_data import recipe as recipes
from cameo_data.recipe import Recipe
from cameo_data.synth import generate

HW = (48, 64)


def write_scenes(out: Path, scenes: int = 2, frames: int = 6) -> Path:
    """Rendered scenes of a few small frames."""
    settings = generate.plan(
        scenes, kind="objects", path="orbit", seed=5, frames=frames, hw=HW, samples=1
    )
    generate.write_scenes(out, settings)
    return out


def recipe(scenes: Path, **fields: Any) -> Recipe:
    """Two groups of three views per scene, one sample a shard."""
    values = {"views": 3, "strides": [8], "samples_per_shard": 1, "min_overlap": 0.05}
    values["groups_per_scene"] = 2
    source = {"name": "synthetic", "root": str(scenes)}
    return recipes.make({"source": source, **values, **fields})


def copy_scenes(scenes: Path, out: Path) -> Path:
    """Scenes that a test may damage."""
    shutil.copytree(scenes, out)
    return out


def edit(scene: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a scene's record in place."""
    path = scene / "scene.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the lock, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def failures(build_dir: Path) -> list[dict[str, Any]]:
    """The records in ``failures.jsonl``."""
    return [json.loads(line) for line in (build_dir / "failures.jsonl").read_text().splitlines()]
