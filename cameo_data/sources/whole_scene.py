"""A scene none of whose frames can be used, for one reason: one failure, said once."""

from __future__ import annotations

from dataclasses import replace

from cameo_data.errors import DataError
from cameo_data.types import Scene


def usable(scene: Scene) -> Scene:
    """The scene itself, unless all of its frames fail alike.

    Raises:
        DataError: no frame is left, and each of several failed for the same reason.
    """
    if scene.frames or len(scene.failures) < 2:
        return scene
    first = scene.failures[0]
    if any(replace(other, frame_id=first.frame_id) != first for other in scene.failures):
        return scene
    raise DataError(
        first.reason,
        dataset=scene.dataset,
        scene_id=scene.scene_id,
        found=f"{first.found} (all {len(scene.failures)} frames)",
        expected=first.expected,
        remedy=first.remedy,
    )
