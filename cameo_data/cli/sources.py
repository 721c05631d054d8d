"""``cameo-data sources``: the formats that can be read."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from cameo_data.cli import common
from cameo_data.cli.command import Command
from cameo_data.sources import SourceSpec, source_names, source_spec

EPILOG = """
\b
Examples:
  cameo-data sources
  cameo-data sources rgbd
  cameo-data sources co3d --json
"""


@click.command("sources", cls=Command, epilog=EPILOG)
@click.argument("name", required=False)
@common.json_option
def command(name: str | None, as_json: bool) -> None:
    """The dataset formats that can be read, or all about the one called NAME."""
    specs = [source_spec(known) for known in ([name] if name else source_names())]
    if as_json:
        common.echo_json({"sources": [_record(spec) for spec in specs]})
    elif name:
        click.echo(_page(specs[0]))
    else:
        click.echo(common.table([(spec.name, spec.summary) for spec in specs]))
        click.echo("\n`cameo-data sources NAME` says how a format lies on disk, and its options.")


def _record(spec: SourceSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "layout": spec.layout,
        "conventions": spec.conventions,
        "licence": spec.licence,
        "download": spec.download,
        "options": spec.options.model_json_schema().get("properties", {}),
    }


def _page(spec: SourceSpec) -> str:
    facts = [
        ("layout", spec.layout),
        ("conventions", spec.conventions),
        ("licence", spec.licence),
        ("get it", spec.download),
    ]
    lines = [f"{spec.name}: {spec.summary}", ""]
    lines += [_wrapped(f"{label:<12}", text) for label, text in facts]
    options = spec.options.model_fields
    lines += ["", "Options, each as -o KEY=VALUE:" if options else "No options."]
    width = max(map(len, options), default=0) + 2
    for key, field in options.items():
        default = "" if field.default in (None, (), "") else f"  [default: {field.default}]"
        note = "  [required]" if field.is_required() else default
        lines.append(_wrapped(f"  {key:<{width}}", f"{field.description or ''}{note}".strip()))
    return "\n".join(lines)


def _wrapped(label: str, text: str) -> str:
    if not text:
        return label.rstrip()  # textwrap drops the indent of an empty text
    return textwrap.fill(
        text, 100, initial_indent=label, subsequent_indent=" " * len(label), break_long_words=False
    )
