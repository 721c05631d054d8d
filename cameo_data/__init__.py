"""Exact cross-view correspondences from posed depth, packed into WebDataset shards.

The heart of it works on plain arrays::

    from cameo_data import Camera, correspond
    matches = correspond(depth0, camera0, depth1, camera1, stride=16)

``__init__.pyi`` lists what is exported. Importing this package loads neither torch nor open3d, and
compiles nothing: names are resolved on first use.
"""

import logging
import os

import lazy_loader

# The one place: pyproject.toml and cameo_train read it, and shards record it.
__version__ = "0.1.0"

if os.name != "posix":  # file locks, signals and atomic renames are those of POSIX
    raise ImportError("cameo runs on Linux and macOS; on Windows, run it inside WSL 2")

# a library is silent unless the program that uses it wants to see what it logs
logging.getLogger(__name__).addHandler(logging.NullHandler())

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
