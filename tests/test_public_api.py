"""What the two packages export: can be found, is described and typed, and is cheap to import."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cameo_data
import cameo_train

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"cameo_data": cameo_data, "cameo_train": cameo_train}


def exported(package: str) -> list[str]:
    """Names in the package's stub."""
    tree = ast.parse((ROOT / package / "__init__.pyi").read_text("utf-8"))
    return [
        alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]


NAMES = [(package, name) for package in PACKAGES for name in exported(package)]


@pytest.mark.parametrize("package, name", NAMES, ids=lambda value: value)
def test_every_exported_name_resolves_and_is_described(package, name):
    found = getattr(PACKAGES[package], name)
    assert name in dir(PACKAGES[package])
    assert name in PACKAGES[package].__all__
    text = (found.__doc__ or "").strip()
    assert text, f"{package}.{name} has no docstring"
    assert text.splitlines()[0].endswith((".", ":")), f"{package}.{name}: {text.splitlines()[0]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_star_import_gives_them_all(package):
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)  # noqa: S102
    assert set(exported(package)) <= names.keys()


def test_a_name_that_is_not_there_fails_as_ever():
    with pytest.raises(AttributeError, match="corespond"):
        cameo_data.corespond  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'corespond'"):
        exec("from cameo_data import corespond", {})  # noqa: S102


def test_build_is_the_function_whatever_is_imported_before():
    """``cameo_data.build`` is a package as well."""
    code = (
        "import cameo_data, cameo_data.build.status\n"
        "from cameo_data.build import BuildStatus\n"
        "from cameo_data import build\n"
        "assert callable(build) and cameo_data.build is build\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_is_cheap(package):
    code = f"import {package}, sys; dir({package}); print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {"torch", "open3d", "cv2", "numba", "scipy", "matplotlib", "numpy", "pydantic"}
    assert not set(done.stdout.split()) & heavy


USE = """
from typing import assert_type

import numpy as np

from cameo_data import Camera, Correspondence, Recipe, ShardReader, SourceRecipe, build, correspond
from cameo_data import BuildResult, Sample, transforms
from cameo_train import PrecisionMeter, TokenTargets, token_targets

camera = Camera(np.eye(3), (4, 4))
assert_type(correspond(np.ones((4, 4)), camera, np.ones((4, 4)), camera), Correspondence)
assert_type(ShardReader("shards")[0], Sample)
recipe = Recipe(source=SourceRecipe(name="synthetic", root="scenes"), views=3)
assert_type(build(recipe, "shards"), BuildResult)
maps = ShardReader("shards")[0].correspondence[8]
targets = token_targets(
    maps.xy, maps.verdict, maps.confidence, image_hw=(48, 64), grid_hw=(6, 8)
)
assert_type(targets, TokenTargets)
PrecisionMeter(stride=8).add_features(ShardReader("shards")[0], np.zeros((3, 4, 6, 8)))
transforms.apply(np.eye(4), np.zeros(3))
"""


def test_type_checkers_know_the_exports(tmp_path):
    (tmp_path / "use.py").write_text(USE)
    (tmp_path / "misuse.py").write_text("from cameo_data import corespond\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml",
         "--cache-dir", ROOT / ".mypy_cache", tmp_path / "use.py", tmp_path / "misuse.py"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    [error] = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert 'Module "cameo_data" has no attribute "corespond"' in error


def referenced(package: str) -> set[str]:
    """What the page of the reference describes."""
    page = (ROOT / "docs" / "reference" / f"{package}.md").read_text("utf-8")
    return set(re.findall(r"^::: ([\w.]+)", page, re.M))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_describes_what_is_exported(package):
    described = {path.rpartition(".")[2] for path in referenced(package)}
    missing = []
    for name in exported(package):
        of_module = any(path.startswith(f"{package}.{name}.") for path in referenced(package))
        module = isinstance(getattr(PACKAGES[package], name), ModuleType)
        if name not in described and not (module and of_module):
            missing.append(name)
    assert not missing, f"add these to docs/reference/{package}.md: {missing}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_describes_things_of_today(package):
    for path in referenced(package):
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            module, _, name = path.rpartition(".")
            assert hasattr(importlib.import_module(module), name), path


PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
IMPORT = re.compile(r"^ *from (cameo_(?:data|train))\.([\w.]+) import ([\w, ]+)$", re.M)


def test_the_documentation_imports_from_the_top_what_is_exported():
    wrong = []
    for page in PAGES:
        for package, module, names in IMPORT.findall(page.read_text("utf-8")):
            for name in names.split(", "):
                if name in exported(package) and module not in exported(package):
                    wrong.append(f"{page.name}: from {package}.{module} import {name}")
    assert not wrong
