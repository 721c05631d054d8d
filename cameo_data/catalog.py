"""Datasets by name, opened once per process, and slugs of names for use in file names."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata

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
    """A scene of the dataset; the last few scenes are cached."""
    return _open_scene(source.model_dump_json(), scene_id)


def forget_sources() -> None:
    """Empty the caches before a new build, since files may have changed since the last one."""
    _open_scene.cache_clear()
    _open_source.cache_clear()


def slug(text: str, length: int) -> str:
    """``text`` in letters, digits, ``_`` and ``-``, with a letter or digit at both ends.

    Where characters are lost, a hash of the text keeps different texts apart.

    >>> slug("redkitchen", 40), slug("büro 1.b", 40)
    ('redkitchen', 'buro_1_b_777dc3f6')
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_text).strip("_-")
    if plain == text and len(plain) <= length:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: length - 9]}_{digest}" if plain else f"x_{digest}"
