"""Writes seeded procedural scenes, byte for byte the same with any number of workers.

A scene's folder appears by one rename when it is complete. A killed run leaves a hidden folder,
which the next run removes.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data.io.files import FileDefect
from cameo_data.synth import paths, record, render
from cameo_data.synth.job import SceneJob
from cameo_data.synth.layouts import LAYOUTS, MIXED
from cameo_data.synth.record import SceneSettings
from cameo_data.synth.stage import Stage
from cameo_data.types import Camera, Progress

# A path that comes too near a solid is drawn again. Layouts keep their rings free, so one or two
# draws suffice, and a layout that needs more has a bug.
MAX_DRAWS = 20


@dataclass(frozen=True)
class SynthReport:
    """What a run did.

    Attributes:
        kept: scenes that existed already, made with the same settings.
        mended: the written scenes that existed before with missing or truncated files.
        images: images rendered by this run.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    images: int
    seconds: float
    mended: tuple[str, ...] = ()


def plan(
    scenes: int,
    *,
    kind: str,
    path: str,
    seed: int,
    frames: int,
    hw: tuple[int, int],
    rotation_range_deg: float = 180.0,
    texture_scale: float = 1.0,
    samples: int = render.DEFAULT_SAMPLES,
) -> list[SceneSettings]:
    """Settings of each scene; ``mixed`` takes kinds and paths in turn.

    Scene i does not depend on the number of scenes, so a set can grow.

    Raises:
        ValueError: a value is out of range (pydantic's error).
    """
    kinds = MIXED if kind == "mixed" else [kind]
    ways = list(paths.PATHS) if path == "mixed" else [path]
    return [
        SceneSettings.model_validate(
            {
                "seed": seed,
                "index": index,
                "kind": kinds[index % len(kinds)],
                "path": ways[index // len(kinds) % len(ways)],
                "frames": frames,
                "hw": hw,
                "rotation_range_deg": rotation_range_deg,
                "texture_scale": texture_scale,
                "samples": samples,
            }
        )
        for index in range(scenes)
    ]


def make_scene(settings: SceneSettings) -> tuple[Stage, list[Camera]]:
    """The solids and cameras of a scene; nothing is rendered."""
    rng = np.random.default_rng([settings.seed, settings.index, 0])
    stage, space = LAYOUTS[settings.kind](rng, settings.texture_scale)
    for draw in range(MAX_DRAWS):
        rng = np.random.default_rng([settings.seed, settings.index, 1, draw])
        views = paths.camera_path(
            space, settings.path, settings.frames, settings.hw, settings.rotation_range_deg, rng
        )
        if paths.clear_of(stage.primitives, views):
            return stage, views
    raise AssertionError(f"{settings.scene_id}: no free camera path in {MAX_DRAWS} draws")


def write_scenes(
    out: Path,
    scenes: Sequence[SceneSettings],
    *,
    workers: int = 1,
    oracle_stride: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> SynthReport:
    """Write each scene to ``out/<scene_id>``; complete scenes that exist are kept.

    Raises:
        ValueError: a folder of that name holds something else.
        OSError: writing fails.
    """
    start = time.perf_counter()
    there = [is_written(out, settings, oracle_stride) for settings in scenes]
    todo = [s for s, written in zip(scenes, there, strict=True) if not written]
    mended = tuple(s.scene_id for s in todo if (out / s.scene_id).exists())
    total = sum(s.frames for s in todo)
    done = 0
    running: deque[SceneJob] = deque()
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for index, settings in enumerate(todo):
                stride = oracle_stride or _oracle_stride(out / settings.scene_id)
                running.append(SceneJob.start(pool, out, settings, *make_scene(settings), stride))
                # one scene more than those in progress keeps all workers busy
                while running and (len(running) > workers + 1 or index == len(todo) - 1):
                    for future in running[0].futures:
                        future.result()
                        done += 1
                        progress("render", done, total)
                    running[0].finish()
                    running.popleft()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for job in running:
                shutil.rmtree(job.partial, ignore_errors=True)
    return SynthReport(
        tuple(s.scene_id for s in todo),
        tuple(s.scene_id for s, written in zip(scenes, there, strict=True) if written),
        total,
        time.perf_counter() - start,
        mended,
    )


def is_written(out: Path, settings: SceneSettings, oracle_stride: int | None = None) -> bool:
    """Whether ``out`` holds the scene, made with the same settings and with no file damaged.

    Raises:
        ValueError: something else is in its place.
    """
    folder = out / settings.scene_id
    if not folder.exists():
        return False
    try:
        scene = record.read_scene(folder)
    except FileDefect as defect:
        raise ValueError(f"{folder}: {defect}; or choose another folder") from None
    different = [
        f"{name} {value}, not {getattr(settings, name)}"
        for name, value in scene.settings
        if value != getattr(settings, name)
    ]
    if different:
        raise ValueError(
            f"{folder} holds a scene with {'; '.join(different)}; "
            "remove it or choose another folder"
        )
    if oracle_stride is not None and not (folder / f"oracle-{oracle_stride}-xy.npy").is_file():
        raise ValueError(
            f"{folder} has no oracle of stride {oracle_stride}; remove it or choose another folder"
        )
    return _is_whole(folder, scene)


def _oracle_stride(folder: Path) -> int | None:
    """The stride of a damaged scene's oracle, so that the new scene gets one too."""
    found = sorted(folder.glob("oracle-*-xy.npy"))
    return int(found[0].name.split("-")[1]) if found else None


# The last chunk of a PNG file, which a truncated file lacks.
_PNG_END = b"IEND\xaeB`\x82"


def _is_whole(folder: Path, scene: record.SyntheticSceneRecord) -> bool:
    """Whether every picture and array exists and is complete, checked without decoding them."""
    arrays = [folder / str(frame["depth"]) for frame in scene.frames]
    for xy in folder.glob("oracle-*-xy.npy"):
        arrays += [xy, folder / xy.name.replace("-xy", "-verdict")]
    try:
        for frame in scene.frames:
            if not (folder / str(frame["image"])).read_bytes().endswith(_PNG_END):
                return False
        for path in arrays:
            np.load(path, mmap_mode="r", allow_pickle=False)  # the header, and the file's length
    except (OSError, ValueError, EOFError):
        return False
    return True
