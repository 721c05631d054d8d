"""A source behind the boundary: every exception while listing it or a scene is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cameo_data.errors import Failure
from cameo_data.io import boundary
from cameo_data.sources.source import Source
from cameo_data.types import Scene


@dataclass(frozen=True, eq=False)
class Guarded:
    """Another source whose errors all become ``DataError`` (see ``boundary``)."""

    whole: Source

    @property
    def dataset(self) -> str:
        return self.whole.dataset

    @property
    def failures(self) -> Sequence[Failure]:
        return self.whole.failures

    def scene_ids(self) -> Sequence[str]:
        with boundary.reading(self.dataset):
            return self.whole.scene_ids()

    def scene(self, scene_id: str) -> Scene:
        with boundary.reading(self.dataset, scene_id):
            return self.whole.scene(scene_id)
