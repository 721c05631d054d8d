"""A source whose scenes and frames raise what a test asks for; rendered scenes lie beneath."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PosixPath
from typing import Any

from cameo_data.sources import synthetic
from cameo_data.sources.source import Source
from cameo_data.types import Scene, Unused

# (scene id, frame id), or (scene id, None) for the scene itself -> what reading it raises
RAISES: dict[tuple[str, str | None], BaseException] = {}
# What every scene says of itself.
NOTES: list[str] = []
UNUSED: list[Unused] = []


class Trap(PosixPath):
    """A picture whose reading raises."""

    error: BaseException

    def is_file(self, **_: Any) -> bool:
        raise self.error


@dataclasses.dataclass(frozen=True, eq=False)
class Trapped:
    whole: Source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def scene(self, scene_id: str) -> Scene:
        if (error := RAISES.get((scene_id, None))) is not None:
            raise error
        scene = self.whole.scene(scene_id)
        frames = []
        for frame in scene.frames:
            if (error := RAISES.get((scene_id, frame.frame_id))) is not None:
                trap = Trap(frame.image_path)
                trap.error = error
                frame = dataclasses.replace(frame, image_path=trap)
            frames.append(frame)
        return dataclasses.replace(
            scene, frames=tuple(frames), notes=tuple(NOTES), unused=tuple(UNUSED)
        )


def _open(root: Path, options: Any) -> Source:
    return Trapped(synthetic.SPEC.open(root, options))


SPEC = dataclasses.replace(synthetic.SPEC, name="trapped", open=_open)
