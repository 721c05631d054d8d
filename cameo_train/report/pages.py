"""Helpers for all pages: templates, embedded pictures, and files written whole or not at all."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2

from cameo_data.io.work_folder import write_bytes


def render(template: str, **values: Any) -> str:
    """A page from ``report/templates``; all text is escaped."""
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
    """Writes a UTF-8 file, and its folder, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))
