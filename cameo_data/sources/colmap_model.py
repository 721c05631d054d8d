"""A COLMAP model's images: name, lens, pose and tracks; everything else in it is COLMAP's business.

COLMAP's conventions: ``cam_from_world`` with OpenCV axes, and pixels whose top-left one has its
centre at (0.5, 0.5) (https://colmap.github.io/cameras.html), both as ours. With rigs and frames the
library composes the pose of each image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import colmap_files, files, transforms, undistortion
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.matches import Tracks
from cameo_data.sources.listing import natural_key
from cameo_data.types import FloatArray, Lens


@dataclass(frozen=True, eq=False)
class ModelImage:
    """An image of a model; ``cam_from_world`` is None where it is not registered."""

    name: str
    lens: Lens
    cam_from_world: FloatArray | None

    def pose(self) -> FloatArray:
        """(4, 4) ``cam_from_world``.

        Raises:
            FileDefect: the image is not registered, or its pose is not rigid.
        """
        defect = "image is not registered: it has no pose"
        if self.cam_from_world is not None:
            found = transforms.rotation_defect(self.cam_from_world)
            if found is None:
                return transforms.nearest_rotation(self.cam_from_world)
            defect = f"the pose is a {found}"
        raise FileDefect(
            Reason.BAD_POSE, defect, "a rotation and a translation", "leave the frame out"
        )


@dataclass(frozen=True, eq=False)
class Model:
    """A model's images in natural order of their names, and its tracks by those names."""

    images: tuple[ModelImage, ...]
    tracks: Tracks


def read_model(folder: Path) -> Model:
    """The model in a folder: binary or text, with or without rigs and frames.

    Raises:
        FileDefect: no model, a damaged one, or a camera that COLMAP does not know.
    """
    ext = colmap_files.model_ext(folder)
    if ext is None:
        raise FileDefect(
            Reason.MISSING_FILE,
            f"{folder.name} has no cameras and images (.bin or .txt)",
            "a COLMAP model",
            "copy the model's folder whole",
        )
    library = undistortion.colmap()
    codes = _param_counts(library)
    colmap_files.check_model(folder, ext, dict(codes.values()))
    if ext == "txt":
        _check_models_named(folder / "cameras.txt", codes)
    try:
        model = library.Reconstruction()
        (model.read_binary if ext == "bin" else model.read_text)(str(folder))
        images = [_image(image) for image in model.images.values()]
    except Exception as error:  # whatever the library stumbles over, MemoryError among it
        reason = " ".join(str(error).split())[:200]
        # a failed check or index of its own code says nothing about the file but that it is damaged
        internal = "Check failed" in reason or "_M_range_check" in reason
        raise FileDefect(
            Reason.BAD_METADATA,
            f"COLMAP cannot read the model in {folder.name}"
            + (": a file of it is damaged or cut short" if internal else f" ({reason})"),
            "a model that COLMAP can open",
            "copy it again, or write it anew with COLMAP's model_converter",
        ) from None
    images.sort(key=lambda image: natural_key(image.name))
    paths = [folder / f"{name}.{ext}" for name in colmap_files.MODEL_FILES[1:]]
    return Model(tuple(images), Tracks(tuple(paths), _Observations(model)))


class _Observations:
    """Looks up which points an image sees where; an image is converted when first asked for."""

    def __init__(self, model: Any) -> None:
        self._images = {image.name: image for image in model.images.values()}
        self._known: dict[str, tuple[NDArray[np.int64], FloatArray]] = {}

    def __call__(self, name: str) -> tuple[NDArray[np.int64], FloatArray]:
        if name not in self._known:
            points = self._images[name].get_observation_points2D()
            ids = np.array([point.point3D_id for point in points], np.int64)
            xy = np.array([point.xy for point in points], np.float64).reshape(-1, 2)
            self._known[name] = ids, xy
        return self._known[name]


def _image(image: Any) -> ModelImage:
    camera = image.camera
    lens = Lens(
        camera.model_name,
        tuple(float(value) for value in camera.params),
        (int(camera.height), int(camera.width)),
    )
    if not image.has_pose:
        return ModelImage(image.name, lens, None)
    pose = image.cam_from_world()
    cam_from_world = np.eye(4)
    # the library makes the identity of the quaternion 0 0 0 0, which is no rotation
    cam_from_world[:3] = pose.matrix() if np.any(pose.rotation.quat) else np.nan
    return ModelImage(image.name, lens, cam_from_world)


def _param_counts(library: Any) -> Mapping[str, tuple[int, int]]:
    """Code and number of parameters of each camera model by its name."""
    found = {}
    for name, model in library.CameraModelId.__members__.items():
        if name != "INVALID":
            camera = library.Camera.create_from_model_name(1, name, 1.0, 1, 1)
            found[name] = int(model), len(camera.params)
    return found


def _check_models_named(path: Path, known: Mapping[str, Any]) -> None:
    """COLMAP says of an unknown camera only that there is one."""
    for line in files.read_text(path, files.MAX_TEXT_BYTES).splitlines():
        words = line.split()
        if len(words) > 1 and not words[0].startswith("#") and words[1] not in known:
            raise FileDefect(
                Reason.UNKNOWN_CAMERA_MODEL,
                f"camera {words[0]} is of model {words[1]!r}",
                f"one of {', '.join(known)}",
                "undistort the images with the tool that made the model",
            )
