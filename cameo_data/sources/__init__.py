"""Dataset formats, one file each, found by name.

Another package adds a format by an entry point in the group ``cameo_data.sources`` that points to
a ``SourceSpec``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cameo_data.errors import DataError, Reason
from cameo_data.io import files
from cameo_data.io.local_paths import require_local
from cameo_data.plugins import Registry
from cameo_data.sources.source import Source, SourceOptions, SourceSpec

# name -> where its SourceSpec is
_BUILTIN = {
    "synthetic": "cameo_data.sources.synthetic:SPEC",
    "rgbd": "cameo_data.sources.rgbd.source:SPEC",
    "nerfstudio": "cameo_data.sources.nerfstudio.source:SPEC",
    "colmap": "cameo_data.sources.colmap.source:SPEC",
    "scannetpp": "cameo_data.sources.scannetpp.source:SPEC",
    "realestate10k": "cameo_data.sources.realestate10k.source:SPEC",
    "blendedmvs": "cameo_data.sources.blendedmvs:SPEC",
    "dtu": "cameo_data.sources.dtu:SPEC",
    "hypersim": "cameo_data.sources.hypersim.source:SPEC",
    "megadepth": "cameo_data.sources.megadepth.source:SPEC",
    "middlebury": "cameo_data.sources.middlebury.source:SPEC",
    "co3d": "cameo_data.sources.co3d.source:SPEC",
    "wildrgbd": "cameo_data.sources.wildrgbd.source:SPEC",
    "generic": "cameo_data.sources.generic.source:SPEC",
}

REGISTRY = Registry("source", "cameo_data.sources", _BUILTIN)

__all__ = [
    "Source",
    "SourceOptions",
    "SourceSpec",
    "checked_options",
    "open_source",
    "source_names",
    "source_spec",
]


def source_names() -> list[str]:
    """Names of all formats, ours and those that other installed packages add; sorted."""
    return sorted(REGISTRY.names())


def source_spec(name: str) -> SourceSpec:
    """The format called ``name``.

    Raises:
        UsageError: no such format; the message has the nearest, or all.
        ValueError: the package that offers it is broken.
    """
    return REGISTRY.load(name, SourceSpec)


def checked_options(name: str, values: Mapping[str, Any]) -> SourceOptions:
    """The options of format ``name`` with these values, the others at their defaults.

    Raises:
        UsageError: no such format or option, or a wrong value; one line.
    """
    return source_spec(name).options.checked(values, f"source {name!r}")


def open_source(
    name: str, root: Path | str, options: Mapping[str, Any] | None = None, **more: Any
) -> Source:
    """A dataset of format ``name``, listed but not read.

    Args:
        name: a format, one of ``source_names()``.
        root: the dataset's folder.
        options: the format's own options; ``cameo-data sources NAME`` lists them.
        more: the same as keywords.

    Raises:
        UsageError: no such format or option, a wrong value, or an address such as ``s3://…``.
        DataError: ``root`` is missing or holds nothing of this format.

    Example:
        >>> recordings = open_source("rgbd", "recordings", depth_scale=0.001)  # doctest: +SKIP
        >>> scene = recordings.scene(recordings.scene_ids()[0])  # doctest: +SKIP
        >>> len(scene.frames), scene.unit  # doctest: +SKIP
        (120, 'metre')
    """
    spec = source_spec(name)
    checked = checked_options(name, {**(options or {}), **more})
    require_local(str(root), "root")
    if (unusable := files.root_defect(Path(root))) is not None:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=name,
            found=unusable,
            expected="the dataset's folder",
            remedy="check the path, that its disk is mounted, and the folder's permissions",
        )
    return spec.open(Path(root), checked)
