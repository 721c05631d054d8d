"""Noisy depth made one surface: fused into a truncated signed distance field, then seen again.

Curless and Levoy (SIGGRAPH 1996), as Open3D's ``VoxelBlockGrid`` implements it: every view's
depth votes for where the surface is, and the surface is where the mean vote is zero. Each view then
gets the depth of that one surface by ray casting, so that the views agree with one another, and
holes are filled by what other views measured.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cameo_data import camera as cameras
from cameo_data.depth import consistency, neighbours
from cameo_data.depth.meshes import LEAST_COSINE, RayCaster
from cameo_data.depth.method import Arrays, DepthScene, MethodOptions, MethodSpec
from cameo_data.errors import DataError, Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.open3d_import import load_open3d
from cameo_data.types import Camera, DepthMap, EstimatedDepth

Mask = NDArray[np.bool_]

# Edge of a voxel in pixels at the median depth; the field is smooth, and its zero is found far
# below a voxel. On exact depth with 1 % of noise, 1, 2 and 3 leave 0.31, 0.30 and 0.33 %.
VOXEL_PX = 2.0
# Distance up to which a measurement votes, in voxels (Open3D's own choice) and at least as a share
# of the median depth: two measurements farther apart than twice this never meet in one surface.
TRUNCATION_VOXELS = 4.0
TRUNCATION_SHARE = 0.02
# A view's own measurement farther from the surface than this is an outlier, or is of something the
# surface does not have. Views that saw the place decide, at most ASKED of them. They agree to
# within a share of the depth and a number of pixels, the error of poses that blur the surface.
DISAGREEMENT = 0.05
ASKED, SAME_DEPTH, SAME_PX = 8, 0.03, 3.0
# Confidence of a pixel that the view itself did not measure, of one where nothing else did, and of
# one where the surface is elsewhere.
FILLED_CONFIDENCE, ALONE_CONFIDENCE, DISPUTED_CONFIDENCE = 0.5, 0.25, 0.1
# Of Open3D's grid: voxels along a block's edge, and blocks to begin with (it grows).
BLOCK_VOXELS, FIRST_BLOCKS = 16, 2_000
# Votes that a voxel needs to be part of the surface: one view is enough to see something.
LEAST_VOTES = 0.5
# Pixels drawn per view for the median depth.
MEDIAN_STEP = 7


class FuseOptions(MethodOptions):
    """How fine the surface is, and whether holes are filled."""

    voxel: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="edge of a voxel in the scene's unit  [default: two pixels at median depth]",
    )
    fill: bool = Field(True, description="give holes the depth that other views measured")


def prepare(scene: DepthScene, options: FuseOptions) -> Arrays:
    """The surface: ``vertices`` (N, 3), ``triangles`` (M, 3), and ``voxel`` (1,); and ``near``
    (F, 8), for each frame the numbers of those to ask, −1 where there are fewer."""
    readable, footprints, depths = [], [], []
    for number in range(len(scene)):
        try:
            depth = scene.given_depth(number)
        except DataError:
            continue  # counted when its own turn comes
        readable.append(number)
        middle = float(np.median(depth.z[depth.valid][::MEDIAN_STEP]))
        depths.append(middle)
        footprints.append(middle / float(scene.camera(number).K[0, 0]))
    if not readable:
        raise FileDefect(
            Reason.NO_DEPTH,
            "no frame has depth that can be read",
            "depth to fuse",
            "fuse needs the dataset's own depth; planesweep and model need none",
        )
    voxel = options.voxel or VOXEL_PX * float(np.median(footprints))
    truncation = max(TRUNCATION_VOXELS * voxel, TRUNCATION_SHARE * float(np.median(depths)))
    vertices, triangles = fused(scene, readable, voxel, truncation)
    if not len(triangles):
        raise FileDefect(
            Reason.EMPTY_DEPTH,
            f"no surface came of {len(readable)} depth maps at voxels of {voxel:.3g}",
            "views that agree on a surface",
            "check poses and depth scale with `cameo-data check`, or give -m voxel",
        )
    near = np.full((len(scene), ASKED), -1)
    for number, others in enumerate(neighbours.ranked(scene)):
        asked = [n for n in others if n in readable][:ASKED]
        near[number, : len(asked)] = asked
    return {
        "vertices": vertices, "triangles": triangles, "voxel": np.array([voxel]), "near": near,
    }  # fmt: skip


def fused(
    scene: DepthScene, numbers: list[int], voxel: float, truncation: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices and triangles of the surface that the frames' depth agrees on."""
    open3d = load_open3d()
    core: Any = open3d.core
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"),
        (core.float32, core.float32),
        ((1,), (1,)),
        voxel,
        BLOCK_VOXELS,
        FIRST_BLOCKS,
        core.Device("CPU:0"),
    )
    multiple = truncation / voxel
    for number in numbers:
        depth, camera = scene.given_depth(number), scene.camera(number)
        z = np.where(depth.valid, depth.z, np.float32(0))
        image = open3d.t.geometry.Image(core.Tensor(np.ascontiguousarray(z)))
        # the grid counts pixels from the corner of the top-left one, as we do
        K, pose = core.Tensor(np.array(camera.K)), core.Tensor(np.array(camera.cam_from_world))
        farthest = float(z.max()) * 1.01
        # of every pixel: from an image Open3D takes every fourth, which tears far surfaces
        cloud = open3d.t.geometry.PointCloud(core.Tensor(_points(depth, camera)))
        blocks = grid.compute_unique_block_coordinates(cloud, multiple)
        grid.integrate(blocks, image, K, pose, 1.0, farthest, multiple)
    mesh = grid.extract_triangle_mesh(weight_threshold=LEAST_VOTES)
    if "indices" not in mesh.triangle:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    vertices = mesh.vertex.positions.numpy().astype(np.float32)
    return vertices, mesh.triangle.indices.numpy().astype(np.int32)


def _points(depth: DepthMap, camera: Camera) -> NDArray[np.float32]:
    """(N, 3) in the world, of the pixels with depth."""
    xy = cameras.query_xy(camera.hw)[depth.valid]
    return cameras.unproject(camera, xy, depth.z[depth.valid]).astype(np.float32)


def estimate(
    scene: DepthScene, number: int, options: FuseOptions, prepared: Arrays
) -> EstimatedDepth:
    """The surface as the frame sees it, or its own depth where the surface is elsewhere."""
    own = scene.given_depth(number)
    caster = _caster(_Held(prepared["vertices"], prepared["triangles"]))
    seen, cosine = caster.depth(scene.camera(number))
    others = [
        (scene.given_depth(n), scene.camera(n))
        for n in map(int, prepared["near"][number])
        if n >= 0
    ]
    in_the_air = looked_through(own, seen, scene.camera(number), others)
    kept, confidence = reconcile(own, seen, cosine, options.fill, in_the_air)
    facts = {
        "voxel": round(float(prepared["voxel"][0]), 6),
        "own_depth_kept": round(float((kept.valid & own.valid).sum() / own.valid.sum()), 4),
    }
    return EstimatedDepth(kept, confidence, facts)


def looked_through(
    own: DepthMap,
    seen: DepthMap,
    camera: Camera,
    others: Sequence[tuple[DepthMap, Camera]],
) -> Mask:
    """(H, W) where a view measured something that the surface does not have, and more other views
    look through that place than measured the same: nothing is there."""
    disputed = own.valid & seen.valid & ~_agree(own, seen)
    asked = DepthMap.from_array(np.where(disputed, own.z, 0))
    said = consistency.confirm(asked, camera, others, SAME_PX, SAME_DEPTH)
    return disputed & (said.through > said.count)


def _agree(own: DepthMap, seen: DepthMap) -> Mask:
    both = own.valid & seen.valid
    apart = np.abs(own.z - seen.z) / np.where(both, seen.z, 1)
    agree: Mask = both & (apart <= DISAGREEMENT)
    return agree


def reconcile(
    own: DepthMap, seen: DepthMap, cosine: NDArray[np.float32], fill: bool, in_the_air: Mask
) -> tuple[DepthMap, NDArray[np.float32]]:
    """The fused surface where it and the view's own depth agree, or the view has none; its own
    depth where there is no surface, or where that is elsewhere.

    Args:
        cosine: (H, W) |cosine| between ray and the surface's normal.
        fill: take the surface where the view has no depth of its own.
        in_the_air: (H, W) where the view's own depth is wrong, and not kept.

    Returns:
        Depth, and (H, W) confidence: 1 where both agree, less by how far they are apart.
    """
    agree = _agree(own, seen)
    apart = np.abs(own.z - seen.z) / np.where(agree, seen.z, 1)
    filled = seen.valid & ~own.valid & (cosine >= LEAST_COSINE) if fill else np.zeros_like(agree)
    alone = own.valid & ~seen.valid
    disputed = own.valid & seen.valid & ~agree & ~in_the_air
    z = np.where(agree | filled, seen.z, np.where(alone | disputed, own.z, np.float32(0)))
    confidence = np.where(agree, 1 - apart / DISAGREEMENT / 2, 0.0)
    confidence = np.where(filled, FILLED_CONFIDENCE, confidence)
    confidence = np.where(alone, ALONE_CONFIDENCE, confidence)
    confidence = np.where(disputed, DISPUTED_CONFIDENCE, confidence).astype(np.float32)
    return DepthMap.from_array(z), confidence


class _Held:
    """Arrays as a key of a cache: the same where they are the same objects."""

    def __init__(self, vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> None:
        self.arrays = vertices, triangles

    def __hash__(self) -> int:
        return id(self.arrays[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.arrays[0] is other.arrays[0]


@functools.lru_cache(maxsize=1)
def _caster(held: _Held) -> RayCaster:
    return RayCaster(*held.arrays)


SPEC = MethodSpec(
    name="fuse",
    summary="fusion of noisy depth into one surface, seen again by every view",
    needs="posed frames with depth",
    options=FuseOptions,
    estimate=estimate,
    prepare=prepare,
)
