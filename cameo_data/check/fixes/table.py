"""Every mistake in one place: what it is called, and what undoes it in the source at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cameo_data.check.fixes import depth, intrinsics, poses
from cameo_data.check.fixes.base import Fix, Maker, Options, line
from cameo_data.check.suspects.base import Evidence, Suspect
from cameo_data.io.files import FileDefect
from cameo_data.sources import Source, source_spec
from cameo_data.sources.rgbd.source import RgbdSource, describe
from cameo_data.types import Frame


@dataclass(frozen=True)
class Mistake:
    """A mistake for people.

    Attributes:
        description: what it is, in one phrase.
        fix: what undoes it.
    """

    description: str
    fix: Maker


MISTAKES: dict[Suspect, Mistake] = {
    Suspect.POSES_INVERTED: Mistake(
        "poses are read the wrong way round (camera-to-world and world-to-camera confused)",
        poses.poses(inverted=True, opengl=False),
    ),
    Suspect.OPENGL_AXES: Mistake(
        "camera axes are of the other kind (OpenGL: y up, looking along −z; OpenCV: y down, "
        "looking along +z)",
        poses.poses(inverted=False, opengl=True),
    ),
    Suspect.POSES_INVERTED_OPENGL_AXES: Mistake(
        "poses are read the wrong way round, and with the other camera axes (OpenGL, OpenCV)",
        poses.poses(inverted=True, opengl=True),
    ),
    Suspect.CAMERAS_TURNED: Mistake(
        "the cameras of the poses are turned about their optical axes by quarter turns against "
        "pictures and K (portrait pictures with poses of the landscape sensor, PyTorch3D's axes)",
        poses.turned,
    ),
    Suspect.CAMERA_CONVENTION: Mistake(
        "the cameras of the poses have axes of another convention (robotics: x forward, y left, z "
        "up)",
        poses.convention,
    ),
    Suspect.ROTATION_INVERTED: Mistake(
        "poses have the rotation of one direction and the translation of the other",
        poses.rotation_inverted,
    ),
    Suspect.QUATERNION_ORDER: Mistake(
        "quaternions are read in the wrong order (w first and w last confused)", poses.quaternion
    ),
    Suspect.DISPARITY_DIRECTION: Mistake(
        "the baseline points the wrong way: left and right, or the sign of the disparity or of the "
        "translations, are swapped",
        line(
            "swap the two views (or negate the baseline, or the translations of the poses) before "
            "export"
        ),
    ),
    Suspect.TRAJECTORY_OFFSET: Mistake(
        "each frame has the pose of the frame beside it: the trajectory is off by one",
        poses.offset,
    ),
    Suspect.INTRINSICS_SIZE: Mistake(
        "the intrinsics are those of images of another size", intrinsics.size
    ),
    Suspect.FIELD_OF_VIEW_SIDE: Mistake(
        "the field of view is that of the image's other side (width and height confused)",
        intrinsics.stated,
    ),
    Suspect.PRINCIPAL_POINT_SWAPPED: Mistake("cx and cy are exchanged", intrinsics.stated),
    Suspect.FOCAL_LENGTH: Mistake(
        "the focal lengths are those of another camera or zoom", intrinsics.stated
    ),
    Suspect.FRAMES_CROPPED: Mistake(
        "the frames were cropped, not stretched: their pixels are square",
        intrinsics.fit("cropped"),
    ),
    Suspect.FRAMES_PADDED: Mistake(
        "the frames were padded, not stretched: their pixels are square", intrinsics.fit("padded")
    ),
    Suspect.FRAMES_STRETCHED: Mistake(
        "the frames were stretched, not cropped: their pixels are not square",
        intrinsics.fit("stretched"),
    ),
    Suspect.HALF_PIXEL: Mistake(
        "the principal point is half a pixel off: the first pixel's centre is counted as (0, 0) "
        "instead of (0.5, 0.5), or the reverse",
        intrinsics.half_pixel,
    ),
    Suspect.FRAMES_TURNED: Mistake(
        "pictures and depth were turned by quarter turns, K and poses were not",
        intrinsics.turned("pictures and depth maps"),
    ),
    Suspect.PICTURES_TURNED: Mistake(
        "pictures were turned by quarter turns (as EXIF orientation asks for), the rest was not",
        intrinsics.turned("pictures"),
    ),
    Suspect.DEPTH_TURNED: Mistake(
        "depth maps were turned by quarter turns, the pictures were not", depth.turned
    ),
    Suspect.DEPTH_ALONG_RAY: Mistake(
        "depth is the distance along the ray, read as z-depth",
        line("convert before export: z = d / sqrt(((x − cx) / fx)² + ((y − cy) / fy)² + 1)"),
    ),
    Suspect.DEPTH_NOT_ALONG_RAY: Mistake(
        "depth is z-depth, but was read as the distance along the ray",
        line("store or read the depth as it is: do not divide by the ray's length"),
    ),
    Suspect.DEPTH_SCALE: Mistake("depth is in another unit than the poses", depth.scale),
    Suspect.DEPTH_CODEC: Mistake("the stored depth bits are encoded in another way", depth.codec),
    Suspect.DEPTH_CROP: Mistake(
        "the depth maps cover another part of the view than the pictures (another aspect, crop or "
        "zoom)",
        depth.crop,
    ),
    Suspect.DEPTH_OFFSET: Mistake(
        "each frame has the depth of the frame beside it: the depth maps are off by one",
        depth.offset,
    ),
    Suspect.COLOUR_INTRINSICS: Mistake(
        "the intrinsics of the colour camera are wrong, those of the depth camera are not",
        intrinsics.stated,
    ),
    Suspect.COLOUR_NOT_REGISTERED: Mistake(
        "colour and depth are of different cameras: depth is not registered to colour",
        intrinsics.registration,
    ),
    Suspect.FRAMES_EXCHANGED: Mistake("two frames are exchanged", depth.exchanged),
    Suspect.FRAME_DOUBLED: Mistake(
        "a frame shows the picture of another frame, with a pose of its own", depth.doubled
    ),
    Suspect.DEPTH_OF_ANOTHER_FRAME: Mistake(
        "some frames have the depth of another frame", depth.of_another_frame
    ),
}

# Sources whose files hold OpenGL cameras: there an inversion that keeps the file's axes is what
# the reading, in OpenCV axes, sees as an inversion with other axes.
_OPENGL_SOURCES = frozenset({"nerfstudio", "hypersim"})


def current_options(
    name: str, options: Mapping[str, Any], source: Source, scene_id: str
) -> dict[str, Any]:
    """What the scene was read with: ``options``, defaults, and a recording's own description."""
    fields = source_spec(name).options.model_fields
    given = {**{key: field.default for key, field in fields.items()}, **options}
    if isinstance(source, RgbdSource):
        try:
            described = describe(source.folders[scene_id], source.options).model_dump()
        except FileDefect:
            return {}
        extra = {key: given[key] for key in given if key == "exif_orientation"}
        return {**extra, **described}
    return given


def named(suspect: Suspect, name: str, current: Options) -> Suspect:
    """The suspect as it appears in the source's own convention; see ``_OPENGL_SOURCES``."""
    axes = current.get("pose_axes") or ("opengl" if name in _OPENGL_SOURCES else "opencv")
    swapped = {
        Suspect.POSES_INVERTED: Suspect.POSES_INVERTED_OPENGL_AXES,
        Suspect.POSES_INVERTED_OPENGL_AXES: Suspect.POSES_INVERTED,
    }
    return swapped.get(suspect, suspect) if axes == "opengl" else suspect


def fix_of(suspect: Suspect, values: Evidence, current: Options, frame: Frame) -> Fix:
    """How to undo a mistake, ``suspect`` as of ``named``.

    Args:
        current: as of ``current_options``, with what was given to undo mistakes before this one.
        frame: any of the scene, as it was read.
    """
    return MISTAKES[suspect].fix(values, current, frame)
