"""Dataset formats, one file each, found by name.

Another package adds a format by an entry point in the group ``cameo_data.sources`` that points to
a ``SourceSpec``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cameo_data.errors import DataError, Reason, UsageError
from cameo_data.io import files
from cameo_data.io.local_paths import require_local
from cameo_data.sources.source import Source, SourceOptions, SourceSpec

# name -> module holding a SourceSpec called SPEC
_BUILTIN = {
    "synthetic": "cameo_data.sources.synthetic",
    "rgbd": "cameo_data.sources.rgbd.source",
    "nerfstudio": "cameo_data.sources.nerfstudio.source",
    "colmap": "cameo_data.sources.colmap.source",
    "scannetpp": "cameo_data.sources.scannetpp.source",
    "realestate10k": "cameo_data.sources.realestate10k.source",
    "blendedmvs": "cameo_data.sources.blendedmvs",
    "dtu": "cameo_data.sources.dtu",
    "hypersim": "cameo_data.sources.hypersim.source",
    "megadepth": "cameo_data.sources.megadepth.source",
    "middlebury": "cameo_data.sources.middlebury.source",
    "co3d": "cameo_data.sources.co3d.source",
    "wildrgbd": "cameo_data.sources.wildrgbd.source",
    "generic": "cameo_data.sources.generic.source",
}

ENTRY_POINT_GROUP = "cameo_data.sources"

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
    """Names of all formats, ours and those that other installed packages add."""
    return sorted({*_BUILTIN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def source_spec(name: str) -> SourceSpec:
    """The format called ``name``.

    Raises:
        UsageError: no such format; the message lists those there are.
    """
    if name in _BUILTIN:
        spec = import_module(_BUILTIN[name]).SPEC
        assert isinstance(spec, SourceSpec)
        return spec
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        spec = point.load()
        if not isinstance(spec, SourceSpec):
            raise ValueError(f"entry point {point.value} of source {name!r} is no SourceSpec")
        return spec
    raise UsageError(f"unknown source {name!r}; expected one of {', '.join(source_names())}")


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
        options, more: the format's own options, as a mapping or as keywords;
            ``cameo-data sources NAME`` lists them.

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
