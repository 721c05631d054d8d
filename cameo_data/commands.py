"""Complete, quoted commands for messages, ready to paste into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cameo_data.recipe import SourceRecipe
from cameo_data.sources import source_spec


def of_source(command: str, source: SourceRecipe, *flags: str) -> str:
    """``cameo-data COMMAND SOURCE ROOT`` with the options and scenes of a recipe's ``source``."""
    words = ["cameo-data", *command.split(), source.name, _undashed(source.root)]
    for key, value in _options(source):
        words += ["-o", f"{key}={_text(value)}"]
    for pattern in source.scenes:
        words += ["--scenes", pattern]
    if source.limit is not None:
        words += ["--limit", str(source.limit)]
    if source.depth is not None:
        words += ["--depth", source.depth]
        if source.depth_confidence:
            words += ["--depth-confidence", str(source.depth_confidence)]
    return shlex.join([*words, *flags])


def path_word(path: Path | str) -> str:
    """A path as one word of a command line; a leading dash is never taken for a flag."""
    return shlex.quote(_undashed(str(path)))


def _undashed(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def make_depth(source: SourceRecipe) -> str:
    """What to do where frames have no depth."""
    made = of_source("depth", source, "--out", "DEPTH")
    return f"make depth with `{made}`, then give --depth DEPTH to the build"


def _options(source: SourceRecipe) -> Iterator[tuple[str, Any]]:
    """The options whose values differ from their defaults."""
    defaults = source_spec(source.name).options.model_construct().model_dump(mode="json")
    for key, value in source.options.items():
        if key not in defaults or defaults[key] != value:
            yield key, value


def _text(value: Any) -> str:
    """The value in YAML's flow style, as ``yaml_files.parse_option`` reads it back."""
    import yaml

    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n...\n").strip()
