"""Architectures and their presets by name, including those of installed packages.

An architecture of this repository is one line of ``REGISTRY``. Another package offers an
``Architecture`` through the entry point group ``cameo_train.models``.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, NamedTuple

from cameo_data.errors import UsageError
from cameo_data.plugins import Registry
from cameo_data.suggestions import suggestion
from cameo_train.models.architecture import Architecture
from cameo_train.models.model_preset import Preset

REGISTRY = Registry(
    "architecture",
    "cameo_train.models",
    {
        "unet": "cameo_train.models.unet:ARCHITECTURE",
        "hunyuan-dit": "cameo_train.models.hunyuan:ARCHITECTURE",
    },
)


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
    for name in REGISTRY.builtin:
        _add(known, name)
    for name in REGISTRY.added():
        try:
            _add(known, name)
        except ValueError as error:  # a broken package takes no other model away
            known.problems.append(str(error))
    return known


def _add(known: _Known, name: str) -> None:
    added = REGISTRY.load(name, Architecture)
    taken = {preset.name for preset in added.presets} & set(known.presets)
    if added.name in known.architectures:
        raise UsageError(f"architecture {name!r}: {added.name!r} is already registered; rename it")
    if taken:
        raise UsageError(
            f"architecture {name!r}: model {min(taken)!r} is already registered; rename the preset"
        )
    known.architectures[added.name] = added
    known.presets.update({preset.name: preset for preset in added.presets})
