"""Triangle meshes: read from files, and seen by cameras (Open3D's ray casting on Embree)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.io.open3d_import import load_open3d
from cameo_data.types import Camera, DepthMap

MAX_MESH_BYTES = 4_000_000_000
SUFFIXES = (".ply", ".obj", ".stl", ".off", ".gltf", ".glb")
# Cosine below which a surface counts as seen edge-on: the depth of neighbouring pixels is then
# more than ten pixel widths apart, and says little.
LEAST_COSINE = 0.1


def read_mesh(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(N, 3) vertices and (M, 3) triangles of a mesh file.

    Raises:
        FileDefect: missing, of another kind, damaged, or without triangles.
    """
    files.checked_size(path, MAX_MESH_BYTES, Reason.BAD_METADATA)
    if path.suffix.lower() not in SUFFIXES:
        raise _no_mesh(path, f"is a {path.suffix or 'file without ending'}")
    open3d = load_open3d()
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        mesh = open3d.io.read_triangle_mesh(str(path))
    vertices = np.asarray(mesh.vertices, np.float32)
    triangles = np.asarray(mesh.triangles, np.int32)
    if not len(triangles):
        raise _no_mesh(path, "holds no triangles")
    if not np.isfinite(vertices).all():
        raise _no_mesh(path, "has vertices that are not finite")
    return vertices, triangles


class RayCaster:
    """A mesh, ready to be seen from anywhere."""

    def __init__(self, vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> None:
        self._open3d = load_open3d()
        core: Any = self._open3d.core
        self._scene = self._open3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            core.Tensor(np.ascontiguousarray(vertices, np.float32)),
            core.Tensor(np.ascontiguousarray(triangles, np.uint32)),
        )

    def depth(self, camera: Camera) -> tuple[DepthMap, NDArray[np.float32]]:
        """z-depth at every pixel's centre, and (H, W) |cosine| between ray and normal.

        Both sides of a triangle are seen.
        """
        from cameo_data import camera as cameras

        origin = camera.world_from_cam[:3, 3]
        in_camera = cameras.unproject_to_camera(
            camera.K, cameras.query_xy(camera.hw), np.ones(camera.hw)
        )
        # of z 1 along the axis, so that the hit's parameter is its z-depth
        directions = in_camera @ camera.cam_from_world[:3, :3]
        rays = np.concatenate([np.broadcast_to(origin, directions.shape), directions], -1)
        hits = self._scene.cast_rays(self._open3d.core.Tensor(rays.astype(np.float32)))
        z = hits["t_hit"].numpy()
        normals = hits["primitive_normals"].numpy()
        length = np.linalg.norm(directions, axis=-1)
        cosine = np.abs(np.einsum("hwc,hwc->hw", normals, directions)) / length
        return DepthMap.from_array(z), cosine.astype(np.float32)


def _no_mesh(path: Path, found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"{path.name} {found}",
        f"a triangle mesh ({', '.join(SUFFIXES)})",
        "export the surface as a triangle mesh in the poses' world",
    )
