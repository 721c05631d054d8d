"""Recipe files: YAML under strict limits, overridden by flags."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cameo_data.errors import UsageError
from cameo_data.io.local_paths import require_local
from cameo_data.io.parsing import one_line

MAX_FILE_BYTES = 1_000_000
# A recipe has a few dozen lines, or some ten thousand if it names every scene of a large data set.
# Aliased values count each time, since nested aliases double with each level ("billion laughs").
MAX_NODES = 50_000
MAX_DEPTH = 32
MAX_ALIASES = 32
# Longest number or truth value; texts may be longer.
_LONGEST_SCALAR = 64


def merge(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` updated by ``overrides``; the source's keys and options merge one by one.

    If the source's name changes, the file's options are dropped, since they belong to its format.
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
    """The mapping in a recipe file, not yet validated.

    Raises:
        UsageError: missing, too large, not YAML, not a mapping, or naming remote storage.
    """
    if not path.is_file():
        raise UsageError(f"recipe {path}: no such file")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise UsageError(f"recipe {path}: {size} bytes; expected at most {MAX_FILE_BYTES}")
    try:
        values = parse_yaml(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"recipe {path}: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise UsageError(f"recipe {path}: holds {type(values).__name__}; expected key: value lines")
    _require_local(values, f"recipe {path}:")
    return values


def _require_local(value: Any, where: str) -> None:
    """Refuse ``s3://…`` anywhere in a file, under any key."""
    if isinstance(value, str):
        require_local(value, where)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _require_local(one, f"{where} {key}")
    elif isinstance(value, (list, tuple)):
        for one in value:
            _require_local(one, where)


def parse_yaml(text: str) -> Any:
    """Plain values of YAML text: no key twice, few aliases, bounded in depth and number.

    Values are texts, numbers, truth values, null, lists and mappings with text keys. Dates and
    base-60 numbers such as ``1:30`` stay texts, since any other reading would be a guess.

    Raises:
        yaml.YAMLError: the text breaks these rules.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 — a SafeLoader
    except (yaml.YAMLError, MemoryError):
        raise
    except Exception as error:
        # PyYAML converts scalars with int(), float() and look-ups, and lets their errors pass
        raise yaml.YAMLError(one_line(error)) from None


def parse_option(text: str) -> Any:
    """The value of a ``key=value`` flag: a list or mapping where it begins as one, else the text.

    Numbers and truth values stay text, and the options' model converts them as each field needs: a
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
    """A safe loader of plain values only, which counts them before it constructs them."""

    aliases = nodes = depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.YAMLError(f"more than {MAX_ALIASES} aliases")
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values")
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"nested more than {MAX_DEPTH} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values, counting aliases each time")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := sorted(key for key, count in counts.items() if count > 1):
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"key {twice[0]!r} appears twice (line {line})")
        for key, _ in node.value:
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                line = key.start_mark.line + 1
                given = f" {key.value!r}" if isinstance(key, yaml.ScalarNode) else ""
                raise yaml.YAMLError(f"key{given} is not a text (line {line}); put it in quotes")
        return super().construct_mapping(node, deep)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        # a time of day or a ratio stays text
        if kind is yaml.ScalarNode and implicit[0] and _BASE_60.fullmatch(value):
            return _TAG + "str"
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

    def construct_short(self, node: Any) -> Any:
        """A number, truth value or null of limited length; a base-60 number is an error."""
        kind = node.tag.removeprefix(_TAG)
        text = node.value if isinstance(node, yaml.ScalarNode) else "a collection"
        try:
            if len(text) > _LONGEST_SCALAR or (kind in ("int", "float") and ":" in text):
                raise ValueError
            return getattr(self, f"construct_yaml_{kind}")(node)
        except (ValueError, LookupError, yaml.YAMLError):
            line = node.start_mark.line + 1
            found = f"{text[:_LONGEST_SCALAR]!r} (line {line})"
            raise yaml.YAMLError(f"{found} is not {_SHORT[kind]}") from None

    def refuse(self, node: Any) -> Any:
        line = node.start_mark.line + 1
        raise yaml.YAMLError(f"tag {node.tag!r} (line {line}); expected plain values")


_TAG = "tag:yaml.org,2002:"
_SHORT = {"null": "null", "bool": "true or false", "int": "an integer", "float": "a number"}
_PLAIN_TAGS = (*_SHORT, "str", "seq", "map")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")


def _size(node: Any, known: dict[int, int]) -> int:
    """The number of values in a node, aliases counted each time; infinite if it contains itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        size = known[id(node)]
        if size == 0:
            raise yaml.YAMLError("a value that contains itself")
        return size
    known[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    else:
        children = node.value
    known[id(node)] = size = 1 + sum(_size(child, known) for child in children)
    return size


def _restrict(loader: type[_Loader]) -> None:
    """Leave the loader only plain tags and the resolvers that do not guess."""
    made: dict[Any, Any] = {
        _TAG + kind: loader.yaml_constructors[_TAG + kind] for kind in _PLAIN_TAGS
    }
    for kind in _SHORT:
        made[_TAG + kind] = loader.construct_short
    loader.yaml_constructors = {**made, None: loader.refuse}
    guesses = {_TAG + "timestamp"}
    loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag not in guesses]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_restrict(_Loader)
