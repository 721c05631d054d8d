"""How to undo mistakes in poses."""

from __future__ import annotations

from typing import Any

from cameo_data.check.fixes.base import Fix, Maker, Options, matrix, other
from cameo_data.check.suspects.base import Evidence
from cameo_data.check.suspects.poses import quarter_turns
from cameo_data.types import Frame


def poses(*, inverted: bool, opengl: bool) -> Maker:
    """Poses of the other direction, of the other axes, or both."""

    def fix(values: Evidence, current: Options, frame: Frame) -> Fix:
        options, lines = {}, []
        if inverted:
            if "pose_direction" in current:
                options["pose_direction"] = other(
                    current["pose_direction"], "world_from_cam", "cam_from_world"
                )
            else:
                lines.append("invert each pose (numpy.linalg.inv) before export")
        if opengl:
            if "pose_axes" in current:
                options["pose_axes"] = other(current["pose_axes"], "opencv", "opengl")
            else:
                lines.append("multiply: world_from_cam @ diag(1, −1, −1, 1), before export")
        return Fix(options, "; ".join(lines))

    return fix


def turned(values: Evidence, current: Options, frame: Frame) -> Fix:
    axes = quarter_turns(values["turn_deg"] // 90)[:3, :3]
    return _axes(axes)


def convention(values: Evidence, current: Options, frame: Frame) -> Fix:
    return _axes(values["axes"])


def rotation_inverted(values: Evidence, current: Options, frame: Frame) -> Fix:
    return Fix(
        {},
        f"as read, {values['way']}: export rotation and translation of one direction "
        "(cam_from_world is [R | t] with t = −R @ centre)",
    )


def quaternion(values: Evidence, current: Options, frame: Frame) -> Fix:
    columns = str(current.get("pose_columns") or "")
    if "qw" not in columns.split():
        wanted = "wxyz" if values["read_as"] == "xyzw" else "xyzw"
        return Fix({}, f"quaternions are stored in the order {wanted}: read them so before export")
    order = [name for name in columns.split() if name in ("qx", "qy", "qz", "qw")]
    renamed = iter([*order[-1:], *order[:-1]] if values["read_as"] == "xyzw" else
                   [*order[1:], *order[:1]])  # fmt: skip
    words = [next(renamed) if name in order else name for name in columns.split()]
    return Fix({"pose_columns": " ".join(words)})


def offset(values: Evidence, current: Options, frame: Frame) -> Fix:
    if values["offset"] > 0:
        return Fix({}, "drop the first pose (each frame's own is the next one), and the last frame")
    return Fix(
        {}, "drop the first frame (each frame's own pose is the one before), and the last pose"
    )


def _axes(axes: Any) -> Fix:
    return Fix(
        {},
        f"multiply the rotation and the translation of each cam_from_world from the left by "
        f"{matrix(axes)} before export",
    )
