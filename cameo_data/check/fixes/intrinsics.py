"""How to undo mistakes in intrinsics and in the pictures that they are of."""

from __future__ import annotations

from cameo_data.check.fixes.base import Fix, Maker, Options, intrinsics, other, with_intrinsics
from cameo_data.check.suspects.base import Evidence
from cameo_data.io import image_files, orientation, parsing
from cameo_data.io.files import FileDefect
from cameo_data.types import Frame


def size(values: Evidence, current: Options, frame: Frame) -> Fix:
    x, y = values["ratio"]
    height, width = frame.camera.hw
    if "intrinsics_size" not in current:
        return Fix({}, f"scale K before export: its first row by {x:.4g}, its second by {y:.4g}")
    if current["intrinsics_size"]:
        height, width = parsing.parse_hw(str(current["intrinsics_size"]), (1, 99_999))
    return Fix({"intrinsics_size": f"{round(width / x)}x{round(height / y)}"})


def stated(values: Evidence, current: Options, frame: Frame) -> Fix:
    return with_intrinsics(current, values["K"])


def fit(name: str) -> Maker:
    """Of the option ``frame_fit``, where the source has it."""

    def fix(values: Evidence, current: Options, frame: Frame) -> Fix:
        if "frame_fit" in current and name != "padded":
            return Fix({"frame_fit": name})
        return with_intrinsics(current, values["K"])

    return fix


def half_pixel(values: Evidence, current: Options, frame: Frame) -> Fix:
    wanted = "integer" if values["shift"] > 0 else "half"
    if current.get("pixel_center") == other(wanted, "integer", "half"):
        return Fix({"pixel_center": wanted})
    return Fix({}, f"add {values['shift']:+g} to cx and cy before export")


def turned(what: str) -> Maker:
    """Of pictures, or of pictures and depth, turned after K and poses were made."""

    def fix(values: Evidence, current: Options, frame: Frame) -> Fix:
        if "exif_orientation" in current and what == "pictures" and _has_orientation(frame):
            now = str(current["exif_orientation"])
            return Fix({"exif_orientation": other(now, "stored", "displayed")})
        back = 360 - values["turn_deg"]
        way = f"{back}° clockwise" if back <= 180 else "90° counter-clockwise"
        return Fix({}, f"turn the {what} back by {way} before export")

    return fix


def registration(values: Evidence, current: Options, frame: Frame) -> Fix:
    colour = frame.camera.K.copy()
    colour[[0, 1], [0, 1]] *= values["focal_ratio"]
    given = intrinsics(current, colour)
    depth = intrinsics(current, frame.camera.K)
    if given is None or depth is None or "color_from_depth" not in current:
        return Fix(
            {},
            f"register depth to colour first: about fx, fy = {colour[0, 0]:.4g}, "
            f"{colour[1, 1]:.4g} of colour, {values['offset']:+.3g} sideways (x) from depth to "
            "colour; better with a calibration of your own",
        )
    return Fix(
        {
            "intrinsics": given,
            "depth_intrinsics": depth,
            "color_from_depth": f"{values['offset']:.3g},0,0",
            **({"pose_camera": "depth"} if "pose_camera" in current else {}),
        },
        "estimated; a calibration of your own is better",
    )


def _has_orientation(frame: Frame) -> bool:
    try:
        if frame.image_index is not None:
            return False
        return image_files.read_header(frame.image_path).orientation != orientation.STORED
    except FileDefect:
        return False
