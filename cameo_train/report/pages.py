"""What all pages share: templates, pictures in them, and files that are whole or not there."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2

from cameo_data.io.work_folder import write_bytes


def render(template: str, **values: Any) -> str:
    """A page of ``report/templates``; all text passes through autoescape."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cameo_train", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def png_uri(png: bytes) -> str:
    """A PNG file's bytes as a data URI, so that a page needs no other file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def write_text(path: Path, text: str) -> None:
    """Writes a file of UTF-8, and its folder; all of it or nothing."""
    write_bytes(path, text.encode("utf-8"))
