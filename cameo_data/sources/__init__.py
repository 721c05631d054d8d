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

__all__ = ["Source", "SourceOptions", "SourceSpec", "open_source", "source_names", "source_spec"]


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
