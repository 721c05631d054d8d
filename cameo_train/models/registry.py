"""Architectures and their presets by name, including those of installed packages.

An architecture of this repository is one line of ``_BUILT_IN``. Another package offers an
``Architecture`` through the entry point group ``cameo_train.models``.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from cameo_data.errors import UsageError
from cameo_data.io.parsing import one_line
from cameo_data.suggestions import suggestion
from cameo_train.models.architecture import Architecture
from cameo_train.models.model_preset import Preset

GROUP = "cameo_train.models"

# architecture -> module:attribute, imported when a preset is looked up
_BUILT_IN = {
    "unet": "cameo_train.models.unet:ARCHITECTURE",
    "hunyuan-dit": "cameo_train.models.hunyuan:ARCHITECTURE",
}


class _Known(NamedTuple):
    architectures: dict[str, Architecture]
    presets: dict[str, Preset]
    problems: list[str]  # one line for each entry point that gave no architecture


def architectures() -> dict[str, Architecture]:
    """All architectures: ours first, then those of packages, by entry point name."""
    return _known().architectures


def presets() -> dict[str, Preset]:
    """All models that can be named, in the order of ``architectures``."""
    return _known().presets


def problems() -> list[str]:
    """One line for each entry point of the group that cannot be used."""
    return _known().problems


def preset(name: str | Preset, /, **changes: Any) -> Preset:
    """A preset by name, with some of its fields changed.

    Raises:
        UsageError: there is no such preset (the message gives the nearest, or all), or no such
            field.
    """
    found = _named(name) if isinstance(name, str) else name
    fields = [field.name for field in dataclasses.fields(found)]
    if odd := [key for key in changes if key not in fields]:
        raise UsageError(f"model {found.name!r} has no {odd[0]!r}; {suggestion(odd[0], fields)}")
    return dataclasses.replace(found, **changes)


def _named(name: str) -> Preset:
    known = presets()
    if name not in known:
        broken = "".join(f"; {line}" for line in problems())
        raise UsageError(f"there is no model {name!r}; {suggestion(name, known)}{broken}")
    return known[name]


@cache
def _known() -> _Known:
    known = _Known({}, {}, [])
    for place in _BUILT_IN.values():
        module, _, attribute = place.partition(":")
        _add(known, getattr(import_module(module), attribute))
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            _add(known, _loaded(point))
        except UsageError as error:
            known.problems.append(f"entry point {point.name} ({point.value}) of {GROUP}: {error}")
    return known


def _add(known: _Known, added: Architecture) -> None:
    taken = {preset.name for preset in added.presets} & set(known.presets)
    if added.name in known.architectures:
        raise UsageError(f"architecture {added.name!r} is already registered; rename it")
    if taken:
        raise UsageError(f"model {min(taken)!r} is already registered; rename the preset")
    known.architectures[added.name] = added
    known.presets.update({preset.name: preset for preset in added.presets})


def _loaded(point: EntryPoint) -> Architecture:
    try:
        found = point.load()
    except Exception as error:  # a foreign module may raise anything while it is imported
        raise UsageError(
            f"cannot be loaded: {type(error).__name__}: {one_line(error)}; update or uninstall "
            f"{'its package' if point.dist is None else point.dist.name}"
        ) from error
    if not isinstance(found, Architecture):
        raise UsageError(
            f"gives a {type(found).__name__}; expected a cameo_train.models.Architecture"
        )
    return found
