"""Flags made of a model's keys: the description, type and default of each are the model's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

F = TypeVar("F", bound=Callable[..., Any])
_TYPES: dict[str, Any] = {"integer": int, "number": float, "string": str}


def model_flags(
    model: type[BaseModel],
    *,
    names: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> Callable[[F], F]:
    """One flag for each key, in the model's order; what is not given reaches the command as None.

    Args:
        names: flags that are not called like their key, by key.
        without: keys that have no flag.
    """
    properties = model.model_json_schema()["properties"]

    def add(command: F) -> F:
        for key in reversed(list(model.model_fields)):
            if key not in without:
                name = (names or {}).get(key, key.replace("_", "-"))
                flag, settings = _settings(name, properties[key])
                text = help_text(model, key)
                command = click.option(flag, key, default=None, help=text, **settings)(command)
        return command

    return add


def help_text(model: type[BaseModel], key: str) -> str:
    """A key's description with its default; where that is None, the description says what it means.

    Raises:
        ValueError: the key has no description.
    """
    field = model.model_fields[key]
    if field.description is None:
        raise ValueError(f"{model.__name__}.{key} has no description; give Field(description=…)")
    shown = default_text(model, key)
    return field.description if shown is None else f"{field.description}  [default: {shown}]"


def default_text(model: type[BaseModel], key: str) -> str | None:
    """A key's default as it is typed; None where it has none, or the default is None."""
    field = model.model_fields[key]
    if field.default is None or field.default is PydanticUndefined:
        return None
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    if isinstance(field.default, tuple):
        return " ".join(map(str, field.default)) or None
    return str(field.default)


def _settings(name: str, schema: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The flag as click takes it, and what kind of value it has."""
    # "number or nothing" is a number on the command line
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind = kinds[0]
    if len(kinds) > 1:  # a number or a share: the model reads the text
        return f"--{name}", {"type": str}
    if kind.get("type") == "boolean":
        return f"--{name}/--no-{name}", {}
    if "enum" in kind:
        return f"--{name}", {"type": click.Choice(kind["enum"])}
    if "prefixItems" in kind:
        return f"--{name}", {"type": int, "nargs": len(kind["prefixItems"])}
    if kind.get("type") == "array":
        of = kind["items"]
        of_type = click.Choice(of["enum"]) if "enum" in of else _TYPES[of["type"]]
        return f"--{name}", {"type": of_type, "multiple": True}
    settings: dict[str, Any] = {"type": _TYPES[kind["type"]]}
    if "examples" in schema:  # names that packages can add to
        settings["metavar"] = f"[{'|'.join(schema['examples'])}]"
    return f"--{name}", settings
