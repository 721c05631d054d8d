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

__all__ = ["Source", "SourceOptions", "SourceSpec", "open_source", "source_names", "source_spec"]


def source_names() -> list[str]:
    """Names of all formats, ours and those that other installed packages add."""
    return sorted({*_BUILTIN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def source_spec(name: str) -> SourceSpec:
    """The format called ``name``.

    Raises:
        UsageError: no such format; the message lists the known ones.
    """
    if name in _BUILTIN:
        spec = import_module(_BUILTIN[name]).SPEC
        assert isinstance(spec, SourceSpec)
        return spec
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        spec = point.load()
        if not isinstance(spec, SourceSpec):
            raise ValueError(f"entry point {point.value} of source {name!r} is not a SourceSpec")
        return spec
    raise UsageError(f"unknown source {name!r}; expected one of {', '.join(source_names())}")


def open_source(name: str, root: Path | str, options: Mapping[str, Any] | None = None) -> Source:
    """Open a dataset of format ``name`` at ``root``.

    Raises:
        ValueError: unknown format, an address such as ``s3://…``, or (pydantic's subclass)
            unknown or malformed options.
        DataError: ``root`` is missing or holds nothing of this format.
    """
    spec = source_spec(name)
    require_local(str(root), "root")
    if (unusable := files.root_defect(Path(root))) is not None:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=name,
            found=unusable,
            expected="the dataset's folder",
            remedy="check the path, that its disk is mounted, and the folder's permissions",
        )
    return spec.open(Path(root), spec.options.model_validate(dict(options or {})))
