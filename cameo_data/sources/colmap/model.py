"""A COLMAP model's images: name, lens, pose and tracks; everything else in it is COLMAP's business.

COLMAP's conventions: ``cam_from_world`` with OpenCV axes, and the top-left pixel's centre at
(0.5, 0.5) (https://colmap.github.io/cameras.html), both the same as ours. With rigs and frames the
library composes the pose of each image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.geometry import undistortion
from cameo_data.geometry.sparse_matches import Tracks
from cameo_data.io import colmap_files, files
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import one_line
from cameo_data.sources.colmap.stage import Staged, stage
from cameo_data.sources.common.file_listing import natural_key
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
    """A model's images in natural order of their names, and its tracks by those names.

    Attributes:
        tracks: None where no image sees a point, or where ``tracks_defect`` says what is wrong.
        notes: what the files lack and how they were read nevertheless.
    """

    images: tuple[ModelImage, ...]
    tracks: Tracks | None
    tracks_defect: FileDefect | None = None
    notes: tuple[str, ...] = ()

    def usable_tracks(self) -> Tracks | None:
        """The tracks, where they stand in for depth.

        Raises:
            FileDefect: they are damaged, or disagree.
        """
        if self.tracks_defect is not None:
            raise self.tracks_defect
        return self.tracks

    def renamed(self, names: Mapping[str, str]) -> Model:
        """The same images by other names; those that ``names`` lacks keep theirs."""
        images = tuple(replace(x, name=names.get(x.name, x.name)) for x in self.images)
        if self.tracks is None:
            return replace(self, images=images)
        written = {new: old for old, new in names.items()}
        seen = self.tracks.observations
        tracks = Tracks(self.tracks.paths, lambda name: seen(written.get(name, name)))
        return replace(self, images=images, tracks=tracks)

    def notes_without_tracks(self) -> tuple[str, ...]:
        """The notes, and what is wrong with tracks that nothing needs."""
        if self.tracks_defect is None:
            return self.notes
        return (*self.notes, f"tracks of the model are not read: {self.tracks_defect.found}")


def read_model(folder: Path) -> Model:
    """The model in a folder: binary or text, with or without points, rigs and frames.

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
        _check_cameras(folder / "cameras.txt", codes)
    staged = stage(folder, ext)
    model, defect = _load(library, staged)
    names = {} if staged.text is None else staged.text.names
    named = [(names.get(number) or _name(x), x) for number, x in model.images.items()]
    images = [_image(name, image) for name, image in named]
    _check_posed(staged, images)
    images.sort(key=lambda image: natural_key(image.name))
    tracks = None
    if defect is None and any(image.num_points3D for _, image in named):
        tracks = Tracks(staged.track_files(), _Observations(dict(named)))
    return Model(tuple(images), tracks, defect, staged.notes)


def _check_posed(staged: Staged, images: Sequence[ModelImage]) -> None:
    """COLMAP composes the poses in ``images`` from rigs and frames; others leave them blank."""
    poses = [image.cam_from_world for image in images if image.cam_from_world is not None]
    if staged.lone is None or len(poses) < 2:
        return
    if all(np.array_equal(pose, poses[0]) for pose in poses):
        other = next(name for name in colmap_files.RIG_FILES if name != staged.lone)
        raise FileDefect(
            Reason.BAD_POSE,
            f"{staged.lone}.{staged.ext} without {other}.{staged.ext}, and every image has the "
            "same pose",
            "poses of the images, or both files",
            f"restore {other}.{staged.ext}",
        )


def _load(library: Any, staged: Staged) -> tuple[Any, FileDefect | None]:
    """COLMAP's own object, and what is wrong with its tracks if it had to be read without.

    Raises:
        FileDefect: the library cannot read it even without points.
    """
    defect = staged.points_defect
    if staged.with_points:
        try:
            return staged.load(library), None
        except Exception as error:  # whatever the library stumbles over
            defect = FileDefect(
                Reason.BAD_METADATA,
                f"tracks of the model in {staged.folder.name} disagree, COLMAP says: "
                f"{_reason(error)}",
                "points and images that list the same observations",
                "triangulate them again with COLMAP's point_triangulator, or remove "
                f"{colmap_files.POINTS}.{staged.ext} to read cameras and images alone",
            )
    try:
        return replace(staged, with_points=False).load(library), defect
    except Exception as error:  # whatever the library stumbles over, MemoryError among it
        raise FileDefect(
            Reason.BAD_METADATA,
            f"COLMAP cannot read the model in {staged.folder.name} ({_reason(error)})",
            "a model that COLMAP can open",
            "copy it again, or rewrite it with COLMAP's model_converter",
        ) from None


def _reason(error: Exception) -> str:
    """COLMAP's own words, without the place in its code; for a failed check, what was checked."""
    return re.sub(r"^\[[^\]]*\] ", "", one_line(error)) or type(error).__name__


class _Observations:
    """Looks up which points an image sees where; an image is converted when first needed."""

    def __init__(self, images: Mapping[str, Any]) -> None:
        self._images = images
        self._known: dict[str, tuple[NDArray[np.int64], FloatArray]] = {}

    def __call__(self, name: str) -> tuple[NDArray[np.int64], FloatArray]:
        if name not in self._known:
            points = self._images[name].get_observation_points2D()
            ids = np.array([point.point3D_id for point in points], np.int64)
            xy = np.array([point.xy for point in points], np.float64).reshape(-1, 2)
            self._known[name] = ids, xy
        return self._known[name]


def _name(image: Any) -> str:
    try:
        return str(image.name)
    except UnicodeDecodeError as error:  # stays visible: the frame is refused, not the model
        return error.object.decode("utf-8", "surrogateescape")


def _image(name: str, image: Any) -> ModelImage:
    camera = image.camera
    lens = Lens(
        camera.model_name,
        tuple(float(value) for value in camera.params),
        (int(camera.height), int(camera.width)),
    )
    if not image.has_pose:
        return ModelImage(name, lens, None)
    pose = image.cam_from_world()
    cam_from_world = np.eye(4)
    # the library turns the quaternion 0 0 0 0, which is not a rotation, into the identity
    cam_from_world[:3] = pose.matrix() if np.any(pose.rotation.quat) else np.nan
    return ModelImage(name, lens, cam_from_world)


def _param_counts(library: Any) -> Mapping[str, tuple[int, int]]:
    """Code and number of parameters of each camera model by its name."""
    found = {}
    for name, model in library.CameraModelId.__members__.items():
        if name != "INVALID":
            camera = library.Camera.create_from_model_name(1, name, 1.0, 1, 1)
            found[name] = int(model), len(camera.params)
    return found


def _check_cameras(path: Path, known: Mapping[str, Any]) -> None:
    """Names the unknown camera or wild number; COLMAP only says that there is one."""
    for line in files.read_text(path, files.MAX_TEXT_BYTES).splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        if words[1] not in known:
            raise FileDefect(
                Reason.UNKNOWN_CAMERA_MODEL,
                f"camera {words[0]} is of model {words[1]!r}",
                f"one of {', '.join(known)}",
                "undistort the images with the tool that made the model",
            )
        for word in words[2:]:
            colmap_files.check_camera_number(words[0], word)
