"""Packages with entry points, found as installed ones are, without an installer.

What an installer writes, a ``dist-info`` folder, is put on the path beside the package's module.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

# module's name, its code, group -> name -> value
Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], None]


def write_info(folder: Path, package: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """The ``dist-info`` folder of a package with these entry points."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = []
    for group, named in points.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in named.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


@contextmanager
def example_package(folder: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, the example package in ``folder`` is installed, its metadata below ``site``."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    write_info(site, project["name"], project["entry-points"])
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # in the documentation's folder
    yield
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


@contextmanager
def installer(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes packages of one module with entry points, below ``site``."""
    made = []

    def install(module: str, code: str, points: Mapping[str, Mapping[str, str]]) -> None:
        folder = site / module
        write_info(folder, module, points)
        (folder / f"{module}.py").write_text(code, "utf-8")
        monkeypatch.syspath_prepend(str(folder))
        made.append(module)

    yield install
    for module in made:
        sys.modules.pop(module, None)
