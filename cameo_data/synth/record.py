"""``scene.json``: a procedural scene's settings, solids, surfaces and cameras.

It holds everything that the exact answer depends on, so that the answer can be computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.types import Camera, intrinsics_defect

FILE_NAME = "scene.json"
FORMAT = "cameo-synthetic"
Matrix = tuple[tuple[float, ...], ...]
Rgb = tuple[float, float, float]
Side = Annotated[int, Field(ge=1, le=10_000)]
# Rotations between all pairs are in memory at once: 10⁶ pairs take 72 MB.
MAX_FRAMES = 1000


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SceneSettings(_Record):
    """Everything that decides a scene's bytes; part of ``scene.json``.

    Attributes:
        generator: version of the code that places, colours and renders.
        index: number of the scene among the scenes of one seed.
        hw: height and width of the images.
        texture_scale: factor on the size of all texture cells.
        samples: rays per pixel.
    """

    generator: Literal[1] = 1
    seed: int = Field(ge=0)
    index: int = Field(ge=0)
    kind: Literal["objects", "room", "outdoor", "bare-room"]
    path: Literal["orbit", "video"]
    frames: int = Field(ge=1, le=MAX_FRAMES)
    hw: tuple[Side, Side]
    rotation_range_deg: float = Field(gt=0, le=180)
    texture_scale: float = Field(ge=0.1, le=10)
    samples: int = Field(ge=1, le=256)

    @property
    def scene_id(self) -> str:
        """The name of the scene's folder."""
        return f"{self.kind}-{self.index:04d}"


class SurfaceRecord(_Record):
    """As ``stage.Surface``."""

    pattern: str
    tone: str
    cell: float
    seed: int


class SkyRecord(_Record):
    """As ``stage.Sky``."""

    horizon: Rgb
    zenith: Rgb
    seed: int


class PrimitiveRecord(_Record):
    """As ``raycast.Primitive``; the matrix has four rows of four."""

    kind: Literal["box", "sphere", "cylinder", "rect"]
    world_from_object: Matrix
    surface: int


class SyntheticFrameRecord(_Record):
    """One view; paths are relative to the scene's folder, matrices as in ``types.Camera``."""

    frame_id: str = Field(min_length=1)
    image: str = Field(min_length=1)
    depth: str = Field(min_length=1)
    K: Matrix
    cam_from_world: Matrix

    def camera(self, hw: tuple[int, int]) -> Camera:
        """The view's camera.

        Raises:
            FileDefect: K or the pose is invalid.
        """
        K, pose = _array(self.K), _array(self.cam_from_world)
        if (defect := intrinsics_defect(K)) is not None:
            raise FileDefect(
                Reason.BAD_INTRINSICS, f"K is a {defect}", "a 3×3 pinhole matrix", WRITE_AGAIN
            )
        try:
            return Camera(K, hw, pose)
        except ValueError as error:
            raise FileDefect(
                Reason.BAD_POSE, str(error), "a 4×4 rigid transform", WRITE_AGAIN
            ) from None


class SyntheticSceneRecord(_Record):
    """The whole file. Frames are checked one by one, so that a bad one does not lose the others."""

    format: Literal["cameo-synthetic"] = "cameo-synthetic"
    version: Literal[1] = 1
    unit: Literal["metre"] = "metre"
    settings: SceneSettings
    sky: SkyRecord
    surfaces: tuple[SurfaceRecord, ...]
    primitives: tuple[PrimitiveRecord, ...]
    frames: tuple[dict[str, Any], ...]


WRITE_AGAIN = "write the scene again with `cameo-data synth`"


def read_scene(folder: Path) -> SyntheticSceneRecord:
    """The record in ``folder/scene.json``.

    Raises:
        FileDefect: missing, outside the folder, not JSON, or a field is unknown, missing or of
            another type.
    """
    path = files.inside(folder, folder / FILE_NAME)
    try:
        values = parsing.parse_json(files.read_text(path))
    except ValueError as error:
        raise _bad(f"{FILE_NAME} is not JSON ({error})", "one JSON object") from None
    try:
        return SyntheticSceneRecord.model_validate(values)
    except ValidationError as error:
        raise _bad(*_first_error(error, FILE_NAME)) from None


def read_frame(values: dict[str, Any]) -> SyntheticFrameRecord:
    """One entry of ``frames``.

    Raises:
        FileDefect: a field is unknown, missing or of another type.
    """
    try:
        return SyntheticFrameRecord.model_validate(values)
    except ValidationError as error:
        raise _bad(*_first_error(error, f"a frame of {FILE_NAME}")) from None


def matrix(values: np.ndarray[Any, Any]) -> Matrix:
    """An array as nested tuples; JSON keeps float64 exactly."""
    return tuple(tuple(float(v) for v in row) for row in values)


def _array(rows: Matrix) -> np.ndarray[Any, Any]:
    """(h, w) float64; where rows differ in length, an empty array, which no check accepts."""
    ragged = len({len(row) for row in rows}) != 1
    return np.zeros((0, 0)) if ragged else np.array(rows, np.float64)


def _first_error(error: ValidationError, where: str) -> tuple[str, str]:
    """What was found and what was expected in the first of a validation's errors."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where} has the unknown field {field!r}", "only the documented fields"
    if first["type"] == "missing":
        return f"{where} lacks the field {field!r}", "all documented fields"
    found = repr(first["input"])
    found = found if len(found) <= 40 else f"{found[:37]}…"
    return f"{where} has {field} = {found}", first["msg"]


def _bad(found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.BAD_METADATA, found, expected, WRITE_AGAIN)
