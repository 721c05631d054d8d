"""How to undo mistakes in depth, and of single frames."""

from __future__ import annotations

import numpy as np

from cameo_data.check.fixes.base import Fix, Options, intrinsics
from cameo_data.check.suspects.base import Evidence
from cameo_data.io import depth_files
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray, Frame


def scale(values: Evidence, current: Options, frame: Frame) -> Fix:
    if "depth_scale" in current and frame.depth is not None:
        now = float(current.get("depth_scale") or frame.depth.scale)
        return Fix({"depth_scale": f"{now * values['factor']:.6g}"})
    return Fix({}, f"multiply the depth by {values['factor']:.6g} before export")


def codec(values: Evidence, current: Options, frame: Frame) -> Fix:
    unit = scale(values, current, frame) if values["factor"] != 1 else Fix({})
    if "depth_codec" not in current:
        return Fix(unit.options, f"decode the depth as {values['codec']}; {unit.line}".rstrip("; "))
    return Fix({"depth_codec": values["codec"], **unit.options}, unit.line)


def turned(values: Evidence, current: Options, frame: Frame) -> Fix:
    turns = {90: "90° counter-clockwise", 180: "180°", 270: "90° clockwise"}
    return Fix({}, f"turn the depth maps by {turns[values['turn_deg']]} before export")


def crop(values: Evidence, current: Options, frame: Frame) -> Fix:
    K = _depth_K(frame, values["zoom"])
    given = None if K is None else intrinsics(current, K, "depth_intrinsics")
    if given is not None and not current.get("depth_intrinsics"):
        return Fix({"depth_intrinsics": given}, "estimated; a calibration of your own is better")
    x, y = values["zoom"]
    return Fix(
        {},
        f"the depth covers {1 / x:.3g} of the picture's width and {1 / y:.3g} of its height: give "
        "it its own intrinsics, or bring it onto the picture's pixels before export",
    )


def offset(values: Evidence, current: Options, frame: Frame) -> Fix:
    if values["offset"] > 0:
        return Fix({}, "drop the first depth map (each frame's own is the next one), and the last "
                   "frame")  # fmt: skip
    return Fix({}, "drop the first frame (each frame's own depth is the one before), and the last "
               "depth map")  # fmt: skip


def exchanged(values: Evidence, current: Options, frame: Frame) -> Fix:
    one, two = values["frames"]
    return Fix({}, f"exchange what frames {one} and {two} have (poses, or pictures and depth)")


def doubled(values: Evidence, current: Options, frame: Frame) -> Fix:
    one, two = values["frames"]
    return Fix({}, f"leave out frame {one}: it shows what frame {two} shows")


def of_another_frame(values: Evidence, current: Options, frame: Frame) -> Fix:
    lines = []
    if values["owners"]:
        found = ", ".join(f"that of frame {one} lies at {two}" for one, two in values["owners"])
        lines.append(f"pair the depth maps with their pictures again: {found}")
    for one, two in values["copies"]:
        lines.append(f"export the depth of frame {one} again, or leave it out: it is that of {two}")
    return Fix({}, "; ".join(lines))


def _depth_K(frame: Frame, zoom: tuple[float, float]) -> FloatArray | None:
    """K of a depth map that is looked up ``zoom`` times farther from the picture's centre."""
    if frame.depth is None or frame.depth.camera_K is not None:
        return None
    try:
        depth_hw = np.array(depth_files.depth_hw(frame.depth.path, frame.depth.codec), np.float64)
    except FileDefect:
        return None
    K = np.array(frame.camera.K)
    share = np.array(zoom) / np.array(frame.camera.hw[::-1]) * depth_hw[::-1]
    K[[0, 1], [0, 1]] *= share
    K[:2, 2] = (K[:2, 2] - np.array(frame.camera.hw[::-1]) / 2) * share + depth_hw[::-1] / 2
    return K
