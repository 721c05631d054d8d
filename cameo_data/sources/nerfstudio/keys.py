"""Keys of ``transforms.json`` apart from frames and intrinsics: which change what poses mean.

Sources: MapAnything's WAI format for ``camera_convention`` and ``scale_type``; instant-ngp's
``nerf_matrix_to_ngp`` in ``nerf_loader.h`` for ``from_mitsuba`` and ``from_na``, and its
``nerf_loader.cu`` for ``rolling_shutter``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.stated_intrinsics import FOCAL_TOLERANCE
from cameo_data.sources.nerfstudio.options import Axes
from cameo_data.sources.nerfstudio.records import (
    CameraRecord,
    FrameRecords,
    NerfstudioFrameRecord,
    Transforms,
    TransformsRecord,
)
from cameo_data.types import FloatArray, Unit

# Names of axes, in lower case and without other characters -> stated from OpenCV's camera axes.
_OPENGL = transforms.OPENCV_FROM_OPENGL
_AXES: dict[str, FloatArray] = {
    **dict.fromkeys(("opencv", "cv", "colmap", "rdf"), np.eye(4)),
    **dict.fromkeys(("opengl", "gl", "blender", "nerf", "nerfstudio", "rub"), _OPENGL),
}
_CAMERA_TO_WORLD = ("c2w", "camtoworld", "cameratoworld", "camera2world", "worldfromcam")
_WORLD_TO_CAMERA = ("w2c", "worldtocam", "worldtocamera", "world2camera", "camfromworld")
# Keys that state the axes or the direction of poses, apart from WAI's camera_convention.
_CONVENTION_KEY = re.compile(
    r"((camera|cam|pose|coordinate|coord)s?_?)?(convention|system|coordinates|axes)|pose_?type"
    r"|camera_?(coordinate_?)?(convention|system)",
    re.IGNORECASE,
)
# Mitsuba's camera has x left, y up and looks along +z.
_MITSUBA: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0])
_OWN = frozenset(("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y"))
# Number of unread keys that a note names.
_MOST_KEYS = 20


def stated_from_opencv(file: Transforms, chosen: Axes) -> FloatArray:
    """(4, 4), from OpenCV's camera axes to those of the file's poses.

    Raises:
        FileDefect: two keys contradict each other, or one has a value of unknown meaning.
    """
    record = file.record
    stated: dict[str, FloatArray] = {}
    for key, value in _conventions(file).items():
        name = re.sub(r"[^a-z0-9]", "", value.lower())
        text = f"{key} = {printable(value[:60])!r}"
        if name in _WORLD_TO_CAMERA:
            raise FileDefect(
                Reason.BAD_POSE,
                f"{text}: poses that point from world to camera",
                "camera-to-world poses",
                f"invert every transform_matrix and take {key} out",
            )
        if name in _CAMERA_TO_WORLD or chosen != "stated":
            continue
        if name not in _AXES:
            raise _unclear(text)
        stated[text] = _AXES[name]
    if chosen != "stated":
        return _AXES[chosen]
    if record.from_mitsuba:
        stated["from_mitsuba = true"] = _MITSUBA
    if record.from_na:
        stated["from_na = true"] = np.eye(4)
    found = list(stated.values())
    if any(not np.array_equal(other, found[0]) for other in found[1:]):
        raise _unclear(" and ".join(stated))
    return found[0] if found else _OPENGL


def _conventions(file: Transforms) -> dict[str, str]:
    """Keys at the top of the file that state axes or direction of the poses, with their texts."""
    return {
        key: value
        for key, value in file.shared.items()
        if isinstance(value, str) and _CONVENTION_KEY.fullmatch(key)
    }


def unit(files: Sequence[Transforms], chosen: Unit | None) -> Unit:
    """The unit of the poses: as chosen, else metres where every file says that it is metric."""
    if chosen is not None:
        return chosen
    metric = bool(files) and all(file.record.scale_type == "metric" for file in files)
    return "metre" if metric else "arbitrary"


def depth_scale(record: TransformsRecord, chosen: float | None) -> float | None:
    """Scene units per stored depth unit, as chosen or as the file has it; None where it does not.

    Raises:
        FileDefect: the file states two different ones.
    """
    stated = [
        scale
        for scale in (record.depth_unit_scale_factor, record.integer_depth_scale)
        if scale is not None
    ]
    if chosen is None and len(stated) == 2 and abs(stated[0] / stated[1] - 1) > FOCAL_TOLERANCE:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"depth_unit_scale_factor = {stated[0]:g} and integer_depth_scale = {stated[1]:g}",
            "one scale of depth",
            "delete one of them, or give -o depth_scale",
        )
    return chosen or next(iter(stated), None)


def own_intrinsics(file: Transforms, values: dict[str, Any]) -> list[str]:
    """Keys of an entry whose values differ from the same keys at the top of the file."""
    found = []
    for key in _OWN & values.keys() & file.shared.keys():
        own, shared = values[key], file.shared[key]
        if all(isinstance(value, (int, float)) for value in (own, shared)):
            if abs(own - shared) > FOCAL_TOLERANCE * abs(shared):
                found.append(key)
        elif own != shared:
            found.append(key)
    return found


def check_motion(entry: FrameRecords) -> None:
    """Refuse a picture that one pose cannot describe.

    Raises:
        FileDefect: the camera moves while it is exposed.
    """
    if entry.frame.transform_matrix is None and entry.frame.transform_matrix_start is not None:
        raise FileDefect(
            Reason.BAD_POSE,
            "transform_matrix_start and _end: the camera moves while the picture is exposed",
            "one transform_matrix",
            "state the pose in the middle of the exposure as transform_matrix",
        )
    shutter = entry.camera.rolling_shutter
    # instant-ngp: time of the first row, of later rows and columns, and motion blur
    if shutter is not None and any(shutter[1:]):
        raise FileDefect(
            Reason.BAD_POSE,
            f"rolling_shutter = {list(shutter)}: rows are taken from different poses",
            "a picture taken at one time",
            "undo the rolling shutter first; take the key out where it does not matter",
        )


def unread(file: Transforms) -> str | None:
    """A sentence that names the keys of a file that are not read, or None."""
    shared = TransformsRecord.model_fields.keys() | CameraRecord.model_fields.keys()
    own = NerfstudioFrameRecord.model_fields.keys() | CameraRecord.model_fields.keys()
    entries = (*file.record.frames, *file.record.test_frames)
    in_frames = {key for values in entries if isinstance(values, dict) for key in values}
    parts = []
    if top := _names(set(file.shared) - shared - _conventions(file).keys()):
        parts.append(top)
    if inner := _names(in_frames - own):
        parts.append(f"in frames: {inner}")
    return f"{file.name}: keys that are not read: {'; '.join(parts)}" if parts else None


def _names(keys: set[str]) -> str:
    shown = [printable(key[:40]) for key in sorted(keys)[:_MOST_KEYS]]
    more = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _unclear(found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        found,
        "one convention, 'opengl' or 'opencv'",
        "state the axes of the posed cameras with -o axes=opengl or -o axes=opencv",
    )
