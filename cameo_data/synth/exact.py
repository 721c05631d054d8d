"""Exact correspondence and occlusion in written scenes, from rays instead of depth maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from cameo_data import camera as cameras
from cameo_data.errors import Reason
from cameo_data.geometry import raycast
from cameo_data.geometry.raycast import Primitive
from cameo_data.io.files import FileDefect
from cameo_data.synth.record import WRITE_AGAIN, SyntheticSceneRecord, read_frame, read_scene
from cameo_data.synth.stage import Sky, Stage, Surface
from cameo_data.types import Camera, Correspondence, Verdict


def oracle(
    scene_dir: Path | str, frame_id0: str, frame_id1: str, stride: int = 1
) -> Correspondence:
    """The exact correspondence of two frames in a scene that ``cameo-data synth`` wrote.

    Args:
        stride: step of the query grid, as for ``cameo_data.correspond``.

    Raises:
        DataError: the scene or one of the frames cannot be read.
        ValueError: a frame is not in the scene.

    Example:
        >>> oracle("scenes/room-0001", "0000", "0005", stride=16)  # doctest: +SKIP
    """
    stage, cameras_by_id = load(scene_dir)
    for frame_id in (frame_id0, frame_id1):
        if frame_id not in cameras_by_id:
            raise ValueError(f"{scene_dir} has no frame {frame_id!r}")
    camera0, camera1 = cameras_by_id[frame_id0], cameras_by_id[frame_id1]
    return raycast.oracle(stage.primitives, camera0, camera1, stride)


def load(scene_dir: Path | str) -> tuple[Stage, dict[str, Camera]]:
    """A written scene's stage, and its cameras by frame id.

    Raises:
        DataError: the scene or a frame of it cannot be read.
    """
    folder = Path(scene_dir)
    try:
        record = read_scene(folder)
        frames = [read_frame(values) for values in record.frames]
        cameras_by_id = {frame.frame_id: frame.camera(record.settings.hw) for frame in frames}
        return _stage_of(record), cameras_by_id
    except FileDefect as defect:
        raise defect.at("synthetic", folder.name) from None


def _stage_of(record: SyntheticSceneRecord) -> Stage:
    """The stage that a record describes.

    Raises:
        FileDefect: a primitive, a surface or a reference between them is invalid.
    """
    try:
        primitives = tuple(
            Primitive(p.kind, np.array(p.world_from_object, np.float64), p.surface)
            for p in record.primitives
        )
        surfaces = tuple(Surface(**s.model_dump()) for s in record.surfaces)
        return Stage(primitives, surfaces, Sky(**record.sky.model_dump()))
    except ValueError as error:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"scene.json does not describe a scene: {error}",
            "solids and surfaces as `cameo-data synth` writes them",
            WRITE_AGAIN,
        ) from None


def write_oracle(folder: Path, stage: Stage, views: list[Camera], stride: int) -> None:
    """Exact correspondences of all ordered pairs of views as two NumPy files.

    ``oracle-S-xy.npy`` is (V, V, h, w, 2) float32 and ``oracle-S-verdict.npy`` (V, V, h, w)
    uint8 for stride S, as in ``types.PairMaps``; the diagonal holds NaN and NO_DEPTH.
    """
    count, hw = len(views), cameras.query_grid_hw(views[0].hw, stride)
    xy = open_memmap(folder / f"oracle-{stride}-xy.npy", "w+", np.float32, (count, count, *hw, 2))
    verdict = open_memmap(
        folder / f"oracle-{stride}-verdict.npy", "w+", np.uint8, (count, count, *hw)
    )
    for a in range(count):
        for b in range(count):
            if a == b:
                xy[a, b], verdict[a, b] = np.nan, Verdict.NO_DEPTH
            else:
                exact = raycast.oracle(stage.primitives, views[a], views[b], stride)
                xy[a, b], verdict[a, b] = exact.xy1, exact.verdict
    xy.flush()
    verdict.flush()
