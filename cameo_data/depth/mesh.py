"""Depth by casting rays at a given surface: ScanNet++, Replica, BlendedMVS, scanned objects."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from cameo_data.depth.meshes import RayCaster, read_mesh
from cameo_data.depth.method import Arrays, DepthScene, MethodOptions, MethodSpec
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import EstimatedDepth, Scene


class MeshOptions(MethodOptions):
    """Which mesh."""

    mesh: str = Field(
        min_length=1,
        description="mesh file in the poses' world and unit; {scene} stands for the scene's name",
    )


def estimate(
    scene: DepthScene, number: int, options: MeshOptions, _prepared: Arrays
) -> EstimatedDepth:
    """What the frame's camera sees of the mesh; 0 where it sees nothing."""
    path = _path(scene.scene, options)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    depth, _ = _caster(path, stamp).depth(scene.camera(number))
    if not depth.valid.any():
        raise FileDefect(
            Reason.EMPTY_DEPTH,
            f"the camera sees nothing of {path.name}",
            "a mesh in the world of the poses",
            "check that mesh and poses share origin, axes and unit",
        )
    return EstimatedDepth(depth, None, {"mesh": path.name})


@functools.lru_cache(maxsize=2)
def _caster(path: Path, _stamp: int) -> RayCaster:
    return RayCaster(*read_mesh(path))


def _path(scene: Scene, options: MeshOptions) -> Path:
    return Path(options.mesh.replace("{scene}", scene.scene_id))


def _files(scene: Scene, options: MeshOptions) -> Sequence[Path]:
    return [_path(scene, options)]


SPEC = MethodSpec(
    name="mesh",
    summary="ray casting of a given triangle mesh",
    needs="posed frames and a mesh in their world",
    options=MeshOptions,
    estimate=estimate,
    files=_files,
)
