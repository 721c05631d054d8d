"""What a named mistake is called, and the flag or line that undoes it for the source at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cameo_data.files import FileDefect
from cameo_data.sources import Source, source_spec
from cameo_data.sources.rgbd import RgbdSource, describe
from cameo_data.types import FloatArray, Frame

# suspect -> what it is, in one phrase
DESCRIPTIONS = {
    "poses_inverted": "poses are read the wrong way round (camera-to-world and world-to-camera "
    "confused)",
    "opengl_axes": "camera axes are of the other kind (OpenGL: y up, looking along −z; OpenCV: y "
    "down, looking along +z)",
    "poses_inverted_opengl_axes": "poses are read the wrong way round, and with the other camera "
    "axes (OpenGL, OpenCV)",
    "disparity_direction": "the baseline points the wrong way: left and right, or the sign of the "
    "disparity or of the translations, are swapped",
    "trajectory_offset": "each frame has the pose of the frame beside it: the trajectory is off by "
    "one",
    "intrinsics_size": "the intrinsics are those of images of another size",
    "frames_cropped": "the frames were cropped, not stretched: their pixels are square",
    "frames_padded": "the frames were padded, not stretched: their pixels are square",
    "frames_stretched": "the frames were stretched, not cropped: their pixels are not square",
    "half_pixel": "the principal point is half a pixel off: the first pixel's centre is counted as "
    "(0, 0) instead of (0.5, 0.5), or the reverse",
    "depth_along_ray": "depth is the distance along the ray, read as z-depth",
    "depth_not_along_ray": "depth is z-depth, but was read as the distance along the ray",
    "depth_scale": "depth is in another unit than the poses",
    "depth_codec": "the stored depth bits are encoded in another way",
    "colour_not_registered": "colour and depth are of different cameras: depth is not registered "
    "to colour",
}

# Sources whose files hold OpenGL cameras: there an inversion that keeps the file's axes is what
# the reading, in OpenCV axes, sees as an inversion with other axes.
_OPENGL_SOURCES = frozenset({"nerfstudio", "hypersim"})


@dataclass(frozen=True)
class Fix:
    """How to undo a mistake.

    Attributes:
        options: of the source, for ``-o KEY=VALUE``; empty where it has none that does it.
        line: what to do instead or besides; may be empty.
    """

    options: dict[str, str]
    line: str = ""

    @property
    def text(self) -> str:
        """In one line."""
        flags = " ".join(f"-o {key}={value}" for key, value in self.options.items())
        return "; ".join(part for part in (flags, self.line) if part)


def current_options(
    name: str, options: Mapping[str, Any], source: Source, scene_id: str
) -> dict[str, Any]:
    """What the scene was read with: ``options``, defaults, and a recording's own description."""
    if isinstance(source, RgbdSource):
        try:
            return describe(source.folders[scene_id], source.options).model_dump()
        except FileDefect:
            return {}
    fields = source_spec(name).options.model_fields
    return {**{key: field.default for key, field in fields.items()}, **options}


def named(suspect: str, name: str, current: Mapping[str, Any]) -> str:
    """The suspect as it appears in the source's own convention; see ``_OPENGL_SOURCES``."""
    axes = current.get("pose_axes") or ("opengl" if name in _OPENGL_SOURCES else "opencv")
    swapped = {
        "poses_inverted": "poses_inverted_opengl_axes",
        "poses_inverted_opengl_axes": "poses_inverted",
    }
    return swapped.get(suspect, suspect) if axes == "opengl" else suspect


def fix_of(
    suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], frame: Frame
) -> Fix:
    """How to undo a mistake, ``suspect`` as of ``named``.

    Args:
        current: as of ``current_options``, with what was given to undo mistakes before this one.
        frame: any of the scene, as it was read.
    """
    makers = {
        "poses_inverted": _poses,
        "opengl_axes": _poses,
        "poses_inverted_opengl_axes": _poses,
        "trajectory_offset": _offset,
        "intrinsics_size": _size,
        "frames_cropped": _focal,
        "frames_padded": _focal,
        "frames_stretched": _focal,
        "half_pixel": _half_pixel,
        "depth_scale": _scale,
        "depth_codec": _codec,
        "colour_not_registered": _registration,
    }
    if suspect in makers:
        return makers[suspect](suspect, values, current, frame)
    return Fix({}, _LINES[suspect])


_LINES = {
    "disparity_direction": "swap the two views (or negate the baseline, or the translations of the "
    "poses) before export",
    "depth_along_ray": "convert before export: "
    "z = d / sqrt(((x − cx) / fx)² + ((y − cy) / fy)² + 1)",
    "depth_not_along_ray": "store or read the depth as it is: do not divide by the ray's length",
}


def _poses(
    suspect: str, _values: Mapping[str, Any], current: Mapping[str, Any], _frame: Frame
) -> Fix:
    options, lines = {}, []
    if suspect.startswith("poses_inverted"):
        if "pose_direction" in current:
            options["pose_direction"] = _other(
                current["pose_direction"], "world_from_cam", "cam_from_world"
            )
        else:
            lines.append("invert each pose (numpy.linalg.inv) before export")
    if suspect.endswith("opengl_axes"):
        if "pose_axes" in current:
            options["pose_axes"] = _other(current["pose_axes"], "opencv", "opengl")
        else:
            lines.append("multiply: world_from_cam @ diag(1, −1, −1, 1), before export")
    return Fix(options, "; ".join(lines))


def _offset(
    _suspect: str, values: Mapping[str, Any], _current: Mapping[str, Any], _frame: Frame
) -> Fix:
    if values["offset"] > 0:
        return Fix({}, "drop the first pose (each frame's own is the next one), and the last frame")
    return Fix(
        {}, "drop the first frame (each frame's own pose is the one before), and the last pose"
    )


def _size(
    _suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], frame: Frame
) -> Fix:
    x, y = values["ratio"]
    height, width = frame.camera.hw
    if "intrinsics_size" not in current:
        return Fix({}, f"scale K before export: its first row by {x:.4g}, its second by {y:.4g}")
    if current["intrinsics_size"]:
        width, height = (int(side) for side in str(current["intrinsics_size"]).split("x"))
    return Fix({"intrinsics_size": f"{round(width / x)}x{round(height / y)}"})


def _focal(
    suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], frame: Frame
) -> Fix:
    if "frame_fit" in current and suspect != "frames_padded":
        return Fix({"frame_fit": suspect.removeprefix("frames_")})
    return _intrinsics(current, values["K"]) or Fix(
        {}, f"set fx, fy = {values['K'][0, 0]:.6g}, {values['K'][1, 1]:.6g} before export"
    )


def _half_pixel(
    _suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], _frame: Frame
) -> Fix:
    wanted = "integer" if values["shift"] > 0 else "half"
    if current.get("pixel_center") == _other(wanted, "integer", "half"):
        return Fix({"pixel_center": wanted})
    return Fix({}, f"add {values['shift']:+g} to cx and cy before export")


def _scale(
    _suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], frame: Frame
) -> Fix:
    if "depth_scale" in current and frame.depth is not None:
        scale = float(current.get("depth_scale") or frame.depth.scale)
        return Fix({"depth_scale": f"{scale * values['factor']:.6g}"})
    return Fix({}, f"multiply the depth by {values['factor']:.6g} before export")


def _codec(
    suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], frame: Frame
) -> Fix:
    scaled = values["factor"] != 1
    scale = _scale(suspect, values, current, frame) if scaled else Fix({})
    if "depth_codec" not in current:
        return Fix(
            scale.options, f"decode the depth as {values['codec']}; {scale.line}".rstrip("; ")
        )
    return Fix({"depth_codec": values["codec"], **scale.options}, scale.line)


def _registration(
    _suspect: str, values: Mapping[str, Any], current: Mapping[str, Any], frame: Frame
) -> Fix:
    colour = frame.camera.K.copy()
    colour[[0, 1], [0, 1]] *= values["focal_ratio"]
    given = _intrinsics(current, colour)
    if given is None or "color_from_depth" not in current:
        return Fix(
            {},
            f"register depth to colour first: about fx, fy = {colour[0, 0]:.4g}, "
            f"{colour[1, 1]:.4g} of colour, {values['offset']:+.3g} sideways (x) from depth to "
            "colour; better with a calibration of your own",
        )
    depth = _intrinsics(current, frame.camera.K)
    assert depth is not None
    return Fix(
        {
            **given.options,
            "depth_intrinsics": depth.options["intrinsics"],
            "color_from_depth": f"{values['offset']:.3g},0,0",
            **({"pose_camera": "depth"} if "pose_camera" in current else {}),
        },
        "estimated; a calibration of your own is better",
    )


def _intrinsics(current: Mapping[str, Any], K: FloatArray) -> Fix | None:
    """``-o intrinsics=`` in the source's own pixel centres, where it has that option."""
    if "intrinsics" not in current:
        return None
    shift = 0.5 if current.get("pixel_center") == "integer" else 0.0
    numbers = K[0, 0], K[1, 1], K[0, 2] - shift, K[1, 2] - shift
    return Fix({"intrinsics": ",".join(f"{number:.6g}" for number in numbers)})


def _other(value: Any, one: str, two: str) -> str:
    return two if value == one else one
