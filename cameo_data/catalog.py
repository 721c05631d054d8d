"""The build's dataset, opened once per process."""

from __future__ import annotations

import functools

from cameo_data.recipe import SourceRecipe
from cameo_data.sources import Source
from cameo_data.types import Scene


@functools.lru_cache(maxsize=2)
def _open_source(source_json: str) -> Source:
    return SourceRecipe.model_validate_json(source_json).open()


@functools.lru_cache(maxsize=8)
def _open_scene(source_json: str, scene_id: str) -> Scene:
    return _open_source(source_json).scene(scene_id)


def open_source(source: SourceRecipe) -> Source:
    """The dataset, listed once per process."""
    return _open_source(source.model_dump_json())


def open_scene(source: SourceRecipe, scene_id: str) -> Scene:
    """A scene of it, the last few kept."""
    return _open_scene(source.model_dump_json(), scene_id)


def forget_sources() -> None:
    """A new build lists again: the files may have changed since the last one in this process."""
    _open_scene.cache_clear()
    _open_source.cache_clear()
