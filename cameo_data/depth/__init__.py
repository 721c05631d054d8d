"""Methods that make depth where a dataset ships none, or better depth, one file each.

Another package adds a method by an entry point in the group ``cameo_data.depth`` that points to a
``MethodSpec``. How to use them: ``docs/depth.md``.
"""

from __future__ import annotations

from cameo_data.depth.method import MethodOptions, MethodSpec
from cameo_data.plugins import Registry
from cameo_data.types import EstimatedDepth

# name -> where its MethodSpec is
_BUILTIN = {
    "planesweep": "cameo_data.depth.planesweep:SPEC",
    "model": "cameo_data.depth.model:SPEC",
    "colmap": "cameo_data.depth.colmap:SPEC",
    "fuse": "cameo_data.depth.fuse:SPEC",
    "mesh": "cameo_data.depth.mesh:SPEC",
}

REGISTRY = Registry("depth method", "cameo_data.depth", _BUILTIN)
DEFAULT_METHOD = "planesweep"

__all__ = ["EstimatedDepth", "MethodOptions", "MethodSpec", "method_names", "method_spec"]


def method_names() -> list[str]:
    """Names of all methods, ours and those that other installed packages add."""
    return REGISTRY.names()


def method_spec(name: str) -> MethodSpec:
    """The method called ``name``.

    Raises:
        UsageError: no such method; the message has the nearest, or all.
        ValueError: the package that offers it is broken.
    """
    return REGISTRY.load(name, MethodSpec)
