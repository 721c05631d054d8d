"""Exact cross-view correspondences from posed depth, packed into WebDataset shards.

The heart of it works on plain arrays::

    from cameo_data import Camera, correspond
    matches = correspond(depth0, camera0, depth1, camera1, stride=16)

Importing this package loads neither torch nor open3d, and compiles nothing: names are resolved on
first use.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# The one place: pyproject.toml and cameo_train read it, and shards record it.
__version__ = "0.1.0"

if os.name != "posix":  # file locks, signals and atomic renames are those of POSIX
    raise ImportError("cameo runs on Linux and macOS; on Windows, run it inside WSL 2")

# public name -> module that defines it
_EXPORTS = {
    "Camera": "cameo_data.types",
    "Correspondence": "cameo_data.types",
    "DepthMap": "cameo_data.types",
    "Verdict": "cameo_data.types",
    "DataError": "cameo_data.errors",
    "correspond": "cameo_data.correspondence",
    "correspond_group": "cameo_data.correspondence",
    "ShardReader": "cameo_data.shards.reader",
    "open_source": "cameo_data.sources",
}

if TYPE_CHECKING:
    from cameo_data.correspondence import correspond, correspond_group
    from cameo_data.errors import DataError
    from cameo_data.shards.reader import ShardReader
    from cameo_data.sources import open_source
    from cameo_data.types import Camera, Correspondence, DepthMap, Verdict

__all__ = [
    "Camera",
    "Correspondence",
    "DataError",
    "DepthMap",
    "ShardReader",
    "Verdict",
    "__version__",
    "correspond",
    "correspond_group",
    "open_source",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'cameo_data' has no attribute {name!r}")
