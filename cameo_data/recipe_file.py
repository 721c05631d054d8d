"""Recipe files: YAML read with care, and overridden by flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cameo_data.errors import UsageError
from cameo_data.local_paths import require_local

MAX_FILE_BYTES = 1_000_000
# A recipe is a few dozen lines; nested aliases double in size with each level ("billion laughs").
MAX_ALIASES = 32


def merge(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with what ``overrides`` sets; the source's keys and options merge one by one.

    Another source name drops the file's options, which belong to the other format.
    """
    merged = {**values, **{k: v for k, v in overrides.items() if k != "source"}}
    old, new = values.get("source"), overrides.get("source")
    if not new:
        return merged
    if not isinstance(old, Mapping):
        return {**merged, "source": dict(new)}
    source = {**old, **new}
    if "name" not in new or new["name"] == old.get("name"):
        given = old.get("options")
        given = given if isinstance(given, Mapping) else {}
        source["options"] = {**given, **new.get("options", {})}
    else:
        source["options"] = dict(new.get("options", {}))
    return {**merged, "source": source}


def load(path: Path) -> dict[str, Any]:
    """The mapping in a recipe file, not yet checked.

    Raises:
        UsageError: missing, too large, not YAML, not a mapping, or naming remote storage.
    """
    if not path.is_file():
        raise UsageError(f"recipe {path}: no such file")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise UsageError(f"recipe {path}: {size} bytes; expected at most {MAX_FILE_BYTES}")
    try:
        values = parse_yaml(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"recipe {path}: holds {type(values).__name__}; expected key: value lines")
    _require_local(values, f"recipe {path}:")
    return values


def _require_local(value: Any, where: str) -> None:
    """Refuses ``s3://…`` anywhere in a file, whichever key it is of."""
    if isinstance(value, str):
        require_local(value, where)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _require_local(one, f"{where} {key}")
    elif isinstance(value, (list, tuple)):
        for one in value:
            _require_local(one, where)


def parse_yaml(text: str) -> Any:
    """Plain values of YAML text, by the safe loader, with few aliases and no key twice."""
    return yaml.load(text, _Loader)  # noqa: S506 — a SafeLoader


def parse_option(text: str) -> Any:
    """The value of a ``key=value`` flag: a list or mapping where it begins as one, else the text.

    Numbers and truth values stay text, which the options' model reads as its field needs it: a
    frame may be called ``007``.

    >>> parse_option("[585, 585]"), parse_option("0.001")
    ([585, 585], '0.001')
    """
    if not text.startswith(("[", "{")):
        return text
    try:
        return parse_yaml(text)
    except yaml.YAMLError:
        return text


class _Loader(yaml.SafeLoader):
    """Safe loader that counts aliases and refuses a key that stands twice."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.YAMLError(f"more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"key {twice[0]!r} stands twice (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)
