"""Packages with entry points, found as installed ones are, without an installation.

What an installer writes, a ``dist-info`` folder with the entry points of the ``pyproject.toml``, is
put on the path, where Python's own discovery finds it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


def install(
    folder: Path,
    patch: pytest.MonkeyPatch,
    module: str,
    code: str,
    groups: Mapping[str, Mapping[str, str]],
) -> None:
    """A package of one module; ``groups`` holds its entry points."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code, "utf-8")
    _offer(folder, patch, module, groups)


def install_example(folder: Path, patch: pytest.MonkeyPatch, package: str) -> None:
    """A package of ``docs/examples``, under the name of its folder."""
    project = tomllib.loads((EXAMPLES / package / "pyproject.toml").read_text("utf-8"))["project"]
    patch.syspath_prepend(str(EXAMPLES / package))
    patch.setattr(sys, "dont_write_bytecode", True)  # in the documentation's folder
    _offer(folder, patch, project["name"], project["entry-points"])


def _offer(
    folder: Path,
    patch: pytest.MonkeyPatch,
    name: str,
    groups: Mapping[str, Mapping[str, str]],
) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{point} = {at}" for point, at in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    patch.syspath_prepend(str(folder))
