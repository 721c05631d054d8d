"""COLMAP with the poses that a scene already has: points triangulated from tracks, dense stereo.

Dense stereo runs on CUDA only. Where this build of pycolmap has none, ``mode=sparse`` still gives
correspondences: features of one point in several views, which ``build-corr --depth`` stores as
sparse matches, and depth at these pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from cameo_data.depth.method import Arrays, DepthScene, MethodOptions, MethodSpec
from cameo_data.errors import DataError, Reason
from cameo_data.geometry import undistortion
from cameo_data.io import colmap_files
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import one_line
from cameo_data.types import DepthMap, EstimatedDepth, FloatArray

# Recordings up to this length match all pairs; in longer ones, each frame matches its neighbours.
EXHAUSTIVE_FRAMES = 60
LEAST_POINTS = 20


class ColmapDepthOptions(MethodOptions):
    """Dense or sparse."""

    side: int | None = Field(
        1024,
        ge=64,
        le=8192,
        description="longest side of the depth maps; larger images are reduced",
    )
    mode: Literal["auto", "dense", "sparse"] = Field(
        "auto", description="dense stereo (needs CUDA), or points of tracks; auto: dense if it can"
    )


def is_dense(options: ColmapDepthOptions) -> bool:
    """Whether dense stereo is to run.

    Raises:
        ValueError: CUDA was requested, and this build of pycolmap has none.
    """
    has_cuda = bool(undistortion.colmap().has_cuda)
    if options.mode == "dense" and not has_cuda:
        raise ValueError(
            "this build of pycolmap has no CUDA, which COLMAP's dense stereo needs; install "
            "pycolmap-cuda12 on a machine with a GPU, give -m mode=sparse, or use planesweep"
        )
    return options.mode != "sparse" and has_cuda


def prepare(scene: DepthScene, options: ColmapDepthOptions) -> Arrays:
    """Observations of points: ``frame`` (P,), ``point`` (P,), ``xy`` (P, 2), ``z`` (P,).

    In dense mode also ``dense_000000`` … (H, W), the depth maps by frame number.

    Raises:
        FileDefect: nothing could be triangulated, or COLMAP failed.
    """
    dense = is_dense(options)
    if len(scene) < 2:
        raise FileDefect(
            Reason.TOO_FEW_VIEWS, "1 posed view", "at least 2 that overlap", "add views"
        )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return _run(scene, Path(scratch), dense)
        except (RuntimeError, ValueError, IndexError) as error:
            raise FileDefect(
                Reason.METHOD_FAILED,
                f"COLMAP failed ({one_line(error)})",
                "posed views that share features",
                "check the poses with `cameo-data check`, or use planesweep",
            ) from None


def _run(scene: DepthScene, folder: Path, dense: bool) -> dict[str, Any]:
    library = undistortion.colmap()
    images, database, model = folder / "images", folder / "database.db", folder / "model"
    images.mkdir()
    model.mkdir()
    written = 0
    for number in range(len(scene)):
        try:
            cv2.imwrite(str(images / f"{number:06d}.png"), scene.image(number)[..., ::-1])
            written += 1
        except DataError:
            continue  # counted when the frame's own turn comes
    single, cpu = library.CameraMode.PER_IMAGE, library.Device.cpu
    library.extract_features(database, images, camera_mode=single, device=cpu)
    posed = _posed(library, scene, database)
    match = library.match_exhaustive
    if written > EXHAUSTIVE_FRAMES:
        match = library.match_sequential
    match(database, device=cpu)
    found = library.triangulate_points(posed, database, images, model)
    arrays = _observations(scene, found)
    if dense:
        arrays |= _stereo(library, scene, folder, images, model)
    elif len(np.unique(arrays["point"])) < LEAST_POINTS:
        raise FileDefect(
            Reason.METHOD_FAILED,
            f"{len(np.unique(arrays['point']))} points could be triangulated",
            f"at least {LEAST_POINTS}",
            "check the poses with `cameo-data check`; views need texture and a baseline",
        )
    return arrays


def _posed(library: Any, scene: DepthScene, database: Path) -> Any:
    """A model with the scene's own cameras and poses, which are also written to the database."""
    model = library.Reconstruction()
    base = library.Database.open(database)
    try:
        for image in base.read_all_images():
            camera = scene.camera(int(Path(image.name).stem))
            K = camera.K
            stored = library.Camera(
                model="PINHOLE",
                width=camera.hw[1],
                height=camera.hw[0],
                params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]],
                camera_id=image.camera_id,
            )
            stored.has_prior_focal_length = True
            base.update_camera(stored)
            model.add_camera_with_trivial_rig(stored)
            model.add_image_with_trivial_frame(
                library.Image(name=image.name, camera_id=image.camera_id, image_id=image.image_id),
                library.Rigid3d(camera.cam_from_world[:3]),
            )
    finally:
        base.close()
    return model


def _observations(scene: DepthScene, model: Any) -> dict[str, Any]:
    frame, point, xy, z = [], [], [], []
    for image in sorted(model.images.values(), key=lambda image: str(image.name)):
        number = int(Path(image.name).stem)
        pose = scene.camera(number).cam_from_world
        for seen in image.get_observation_points2D():
            at = np.asarray(model.points3D[seen.point3D_id].xyz)
            frame.append(number)
            point.append(int(seen.point3D_id))
            xy.append(seen.xy)
            z.append(float(pose[2, :3] @ at + pose[2, 3]))
    return {
        "frame": np.array(frame, np.int64),
        "point": np.array(point, np.int64),
        "xy": np.array(xy, np.float64).reshape(-1, 2),
        "z": np.array(z, np.float64),
    }


def _stereo(
    library: Any, scene: DepthScene, folder: Path, images: Path, model: Path
) -> dict[str, Any]:
    """COLMAP's geometric depth maps; the views are pinhole, so undistorting changes nothing."""
    workspace = folder / "dense"
    library.undistort_images(workspace, model, images)
    library.patch_match_stereo(workspace)
    maps = {}
    for number in range(len(scene)):
        path = workspace / "stereo" / "depth_maps" / f"{number:06d}.png.geometric.bin"
        if path.exists():
            maps[f"dense_{number:06d}"] = colmap_files.read_array(path)
    return maps


def estimate(
    scene: DepthScene, number: int, options: ColmapDepthOptions, prepared: Arrays
) -> EstimatedDepth:
    """COLMAP's depth map, or in sparse mode depth at the pixels of points alone."""
    scene.image(number)  # a frame that cannot be read has failed
    height, width = scene.camera(number).hw
    mine = prepared["frame"] == number
    points = int(mine.sum())
    dense = prepared.get(f"dense_{number:06d}")
    if dense is not None and dense.shape == (height, width):
        return EstimatedDepth(DepthMap.from_array(dense), None, {"mode": "dense", "points": points})
    z = np.zeros((height, width), np.float32)
    column, row = np.floor(prepared["xy"][mine]).astype(np.intp).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    z[row[inside], column[inside]] = prepared["z"][mine][inside]
    return EstimatedDepth(DepthMap.from_array(z), None, {"mode": "sparse", "points": points})


def matches(
    scene: DepthScene, options: ColmapDepthOptions, prepared: Arrays
) -> Iterator[tuple[str, str, FloatArray, FloatArray]]:
    """(frame id, frame id, pixels, pixels) of all pairs of frames that share points, where these
    stand in for depth; pixels are those of ``DepthScene.camera``."""
    if is_dense(options):
        return
    frame, point, xy = prepared["frame"], prepared["point"], prepared["xy"]
    seen = {n: np.flatnonzero(frame == n) for n in np.unique(frame)}
    for a in seen:
        for b in seen:
            if a < b:
                _, rows_a, rows_b = np.intersect1d(
                    point[seen[a]], point[seen[b]], return_indices=True
                )
                if len(rows_a):
                    ids = scene.frame(int(a)).frame_id, scene.frame(int(b)).frame_id
                    yield *ids, xy[seen[a][rows_a]], xy[seen[b][rows_b]]


SPEC = MethodSpec(
    name="colmap",
    summary="COLMAP with known poses: dense stereo (CUDA), or sparse matches from tracks",
    needs="posed frames with texture; for dense stereo a pycolmap with CUDA",
    options=ColmapDepthOptions,
    estimate=estimate,
    prepare=prepare,
    matches=matches,
)
