"""Turntable captures: a camera at rest, a thing on a plate that turns.

Layout, one folder a capture::

    turntable.json      {"radius": 2.0, "height": 0.8, "focal_px": 140.0, "views": [
                            {"angle_deg": 0, "image": "000.png", "depth": "000.npy"}, …]}
    000.png             the plate's centre is in the middle of the picture
    000.npy             z-depth in metres, float32; 0 for none

Lengths are in metres. The plate turns counter-clockwise seen from above, which is the same as a
camera that goes round it clockwise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data import (
    Camera,
    DataError,
    DepthCodec,
    DepthRef,
    Failure,
    FileDefect,
    Frame,
    Reason,
    Scene,
    SourceOptions,
    SourceSpec,
    transforms,
)
from cameo_data.io import files, image_files
from cameo_data.sources.common.scene_folders import FolderSource, find_scenes, looks_like
from cameo_data.sources.common.unused import unused_files

DATASET = "turntable"
FILE_NAME = "turntable.json"


class ViewRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    angle_deg: float = Field(allow_inf_nan=False)
    image: str
    depth: str


class CaptureRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    radius: float = Field(gt=0, allow_inf_nan=False)
    height: float = Field(allow_inf_nan=False)
    focal_px: float = Field(gt=0, allow_inf_nan=False)
    views: list[ViewRecord]


class TurntableOptions(SourceOptions):
    """Each becomes ``-o key=value``."""

    every: int = Field(1, ge=1, description="use every n-th view")


def open_turntable(root: Path, options: TurntableOptions) -> FolderSource:
    """The captures below a folder.

    Raises:
        DataError: there are none.
    """
    folders, failures = find_scenes(root, DATASET, _is_capture)
    if not folders:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=DATASET,
            found=f"no capture in {root}",
            expected=f"folders with a {FILE_NAME} each",
            remedy="write one with `python -m turntable_source OUT`",
        )

    def read(folder: Path, scene_id: str) -> Scene:
        return _scene(folder, scene_id, options)

    return FolderSource(DATASET, folders, failures, read)


def _is_capture(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()


def _scene(folder: Path, scene_id: str, options: TurntableOptions) -> Scene:
    capture = _read(folder)
    frames: list[Frame] = []
    failures: list[Failure] = []
    for view in capture.views[:: options.every]:
        try:
            frames.append(_frame(folder, capture, view))
        except FileDefect as defect:
            failures.append(defect.at(DATASET, scene_id, view.image).failure)
    chosen = _files(folder, capture.views[:: options.every])
    left_out = {"files of views that -o every passes over": _files(folder, capture.views)}
    unused = unused_files(folder, chosen, (), read=(FILE_NAME,), left_out=left_out)
    return Scene(DATASET, scene_id, tuple(frames), "metre", tuple(failures), unused=unused)


def _files(folder: Path, views: Sequence[ViewRecord]) -> list[Path]:
    return [folder / name for view in views for name in (view.image, view.depth)]


def _read(folder: Path) -> CaptureRecord:
    text = files.read_text(files.inside(folder, folder / FILE_NAME))
    try:
        return CaptureRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{FILE_NAME}: {where}: {first['msg'].lower()}",
            "radius, height, focal_px and views",
            "correct the file",
        ) from None


def _frame(folder: Path, capture: CaptureRecord, view: ViewRecord) -> Frame:
    """The view's files, and the camera as the thing on the plate sees it."""
    image = files.inside(folder, folder / view.image)
    hw = image_files.read_hw(image)  # the header only; says so if the file is missing or no image
    return Frame(
        frame_id=view.image,
        camera=Camera(_intrinsics(capture.focal_px, hw), hw, _cam_from_world(capture, view)),
        image_path=image,
        depth=DepthRef(files.inside(folder, folder / view.depth), codec=DepthCodec.NPY, scale=1.0),
    )


def _intrinsics(focal_px: float, hw: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([[focal_px, 0, hw[1] / 2], [0, focal_px, hw[0] / 2], [0, 0, 1.0]])


def _cam_from_world(
    capture: CaptureRecord, view: ViewRecord
) -> np.ndarray[Any, np.dtype[np.float64]]:
    turned = -np.radians(view.angle_deg)
    eye = (capture.radius * np.cos(turned), capture.radius * np.sin(turned), capture.height)
    return transforms.look_at(eye, target=(0.0, 0.0, 0.0))


def _recognise(root: Path) -> bool:
    return looks_like(root, _is_capture)


def _open(root: Path, options: Any) -> FolderSource:
    return open_turntable(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="pictures of a thing on a turntable",
    layout=f"CAPTURE/{FILE_NAME}, CAPTURE/000.png, CAPTURE/000.npy",
    conventions="angles of the plate in degrees, counter-clockwise from above; metres",
    licence="an example: none needed",
    download="python -m turntable_source OUT",
    options=TurntableOptions,
    open=_open,
    recognise=_recognise,
)


def write_example(out: Path, views: int = 12) -> None:
    """A capture of a box on a plate, rendered with exact depth."""
    import cv2

    from cameo_data.geometry import raycast

    things = [
        raycast.placed("cylinder", (0, 0, -0.3), (1.6, 1.6, 0.1)),
        raycast.placed("box", (0.1, 0, 0), (0.5, 0.4, 0.5)),
    ]
    out.mkdir(parents=True)
    capture: dict[str, Any] = {"radius": 2.0, "height": 0.8, "focal_px": 140.0, "views": []}
    for number in range(views):
        name = f"{number:03d}"
        view = {"angle_deg": 360 / views * number, "image": f"{name}.png", "depth": f"{name}.npy"}
        capture["views"].append(view)
        pose = _cam_from_world(CaptureRecord(**capture), ViewRecord(**view))
        hits = raycast.render(things, Camera(_intrinsics(140.0, (96, 128)), (96, 128), pose))
        # coloured by place on the thing, so that a point has one colour in all views
        waves = np.sin(9 * np.nan_to_num(hits.p_object) + [0, 1, 2])
        picture = np.where(hits.hit[..., None], 127 + 120 * waves, 30).astype(np.uint8)
        cv2.imwrite(str(out / f"{name}.png"), picture)
        np.save(out / f"{name}.npy", raycast.depth_of(hits))
    (out / FILE_NAME).write_text(json.dumps(capture, indent=1))


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) / "box")
