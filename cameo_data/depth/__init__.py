"""Methods that make depth where a dataset ships none, or better depth, one file each.

Another package adds a method by an entry point in the group ``cameo_data.depth`` that points to a
``MethodSpec``. How to use them: ``docs/depth.md``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from cameo_data.depth.method import MethodOptions, MethodSpec
from cameo_data.errors import UsageError
from cameo_data.types import EstimatedDepth

# name -> module holding a MethodSpec called SPEC
_BUILTIN = {
    "planesweep": "cameo_data.depth.planesweep",
    "model": "cameo_data.depth.model",
    "colmap": "cameo_data.depth.colmap",
    "fuse": "cameo_data.depth.fuse",
    "mesh": "cameo_data.depth.mesh",
}

ENTRY_POINT_GROUP = "cameo_data.depth"
DEFAULT_METHOD = "planesweep"

__all__ = ["EstimatedDepth", "MethodOptions", "MethodSpec", "method_names", "method_spec"]


def method_names() -> list[str]:
    """Names of all methods, ours and those that other installed packages add."""
    added = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return [*_BUILTIN, *sorted(added - set(_BUILTIN))]


def method_spec(name: str) -> MethodSpec:
    """The method called ``name``.

    Raises:
        UsageError: no such method; the message lists those there are.
        ValueError: an entry point of that name points to something else.
    """
    if name in _BUILTIN:
        spec = import_module(_BUILTIN[name]).SPEC
        assert isinstance(spec, MethodSpec)
        return spec
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        spec = point.load()
        if not isinstance(spec, MethodSpec):
            raise ValueError(f"entry point {point.value} of depth method {name!r} is no MethodSpec")
        return spec
    raise UsageError(f"unknown depth method {name!r}; expected one of {', '.join(method_names())}")
