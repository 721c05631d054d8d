"""The focal lengths that an entry of ``transforms.json`` states, in pixels or by angles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import stated_intrinsics
from cameo_data.sources.common.stated_intrinsics import FOCAL_TOLERANCE, Focal, agreed
from cameo_data.sources.nerfstudio.options import AngleSide, FocalChoice, NerfstudioOptions
from cameo_data.sources.nerfstudio.records import CameraRecord
from cameo_data.types import FloatArray

_REMEDY = "correct or delete one of them, or choose with -o focal=pixels or -o focal=angle"

Hw = tuple[float, float]


def focal_lengths(
    record: CameraRecord, hw: Hw, choice: FocalChoice, angle_side: AngleSide
) -> tuple[float, float]:
    """fx and fy in pixels of a picture of ``hw``; one serves both where the other is not stated.

    Raises:
        FileDefect: neither is stated, or two statements contradict each other.
    """
    height, width = hw
    x_side = max(hw) if angle_side == "longer" else width
    x = _statements(record, "x", width, x_side)
    y = _statements(record, "y", height, height)
    if not any(s.text.startswith("fl_") for s in (*x, *y)):
        _check_degrees(record)
    if choice != "agreed":
        x, y = ([s for s in found if _by_angle(s) == (choice == "angle")] for found in (x, y))
    fx = agreed(x, "width", height, _REMEDY)
    fy = agreed(y, "height", width, _REMEDY)
    if fx is not None and fy is not None:
        _check_sides(x[0], y[0])
    if fx is None and fy is None:
        of_choice = "" if choice == "agreed" else f" by {choice}, as -o focal={choice} asks for"
        raise bad_intrinsics(f"no focal length{of_choice}")
    one = fx if fx is not None else fy
    assert one is not None
    return (one if fx is None else fx), (one if fy is None else fy)


def doubts(
    record: CameraRecord, K: FloatArray, hw: Hw, options: NerfstudioOptions
) -> Iterator[str]:
    """Sentences on intrinsics that may be meant otherwise, although nothing contradicts them."""
    height, width = hw
    whole = (round(height), round(width))
    yield from stated_intrinsics.doubts(K, whole, "take out the keys of one axis")
    angles = [key for key in ("camera_angle_x", "x_fov") if getattr(record, key) is not None]
    alone = angles and all(getattr(record, key) is None for key in ("fl_x", "fl_y", *_ANGLES_Y))
    if alone and height > width and options.angle_side == "own":
        yield (
            f"{angles[0]} is read as the field of view of the width, which is the shorter side; "
            "Blender states that of the longer side: -o angle_side=longer reads it so"
        )


def bad_intrinsics(found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_INTRINSICS,
        found,
        "fl_x, camera_angle_x or x_fov above zero",
        "add it for all frames or in the entry",
    )


def bad_size(found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_INTRINSICS,
        found,
        "w and h where K is for a picture of another size",
        "add w and h, the size that fl_x, cx and cy are for",
    )


_ANGLES_Y = ("camera_angle_y", "y_fov")


def _statements(record: CameraRecord, axis: str, side: float, angle_side: float) -> list[Focal]:
    found = []
    if (pixels := getattr(record, f"fl_{axis}")) is not None:
        found.append(Focal(f"fl_{axis} = {pixels:.6g}", pixels, side))
    for key, unit in ((f"camera_angle_{axis}", 1.0), (f"{axis}_fov", np.pi / 180)):
        if (angle := getattr(record, key)) is not None:
            focal = angle_side / (2 * float(np.tan(angle * unit / 2)))
            found.append(Focal(f"{key} = {angle:.6g}", focal, side))
    return found


def _check_degrees(record: CameraRecord) -> None:
    """Refuse an angle in degrees that nothing confirms and that radians would explain.

    Raises:
        FileDefect: it is below π.
    """
    for key in ("x_fov", "y_fov"):
        angle = getattr(record, key)
        if angle is not None and angle < np.pi:
            raise FileDefect(
                Reason.BAD_INTRINSICS,
                f"{key} = {angle:.6g} is in degrees; as radians it would be "
                f"{np.degrees(angle):.1f}°",
                f"{key} of a usual lens, in degrees",
                f"if it is in radians, call it camera_angle_{key[0]}; if not, state fl_{key[0]}",
            )


def _by_angle(statement: Focal) -> bool:
    return not statement.text.startswith("fl_")


def _check_sides(x: Focal, y: Focal) -> None:
    """Refuse angles that are swapped between the sides.

    Raises:
        FileDefect: swapped, they give square pixels; as stated, they do not.
    """
    if not (_by_angle(x) and _by_angle(y)) or abs(x.pixels / y.pixels - 1) <= FOCAL_TOLERANCE:
        return
    exchanged_x = x.pixels * y.side / x.side
    exchanged_y = y.pixels * x.side / y.side
    if abs(exchanged_x / exchanged_y - 1) <= FOCAL_TOLERANCE:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"{x.text} and {y.text} give pixels {x.pixels / y.pixels:.3g} times as high as wide, "
            "and square ones if exchanged",
            "camera_angle_x for the width, camera_angle_y for the height",
            "exchange them",
        )
