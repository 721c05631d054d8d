"""Which formats a folder looks like."""

from __future__ import annotations

from pathlib import Path

from cameo_data.sources import SourceSpec, source_names, source_spec
from cameo_data.sources.common.scene_walk import first_scene


def formats_of(root: Path) -> list[str]:
    """Names of the formats that ``root`` looks like.

    A format whose scenes are inside another's scenes is left out: ScanNet++ keeps a
    ``transforms.json`` and a COLMAP model in each of its own.
    """
    found = [spec for name in source_names() if (spec := source_spec(name)).recognise(root)]
    if len(found) < 2:
        return [spec.name for spec in found]
    return [spec.name for spec in found if not _within_another(root, spec, found)]


def _within_another(root: Path, spec: SourceSpec, others: list[SourceSpec]) -> bool:
    if spec.is_scene is None:
        return False
    scene = first_scene(root, spec.is_scene)
    if scene is None:
        return False
    parents = [root / part for part in scene.relative_to(root).parents]
    return any(
        other is not spec and other.is_scene is not None and any(map(other.is_scene, parents))
        for other in others
    )
