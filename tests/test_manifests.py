"""Every recipe in ``manifests/`` is one that can be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from cameo_data import recipe as recipes
from cameo_data.io import yaml_files
from cameo_data.sources import source_names

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = sorted((ROOT / "manifests").glob("*.yaml"))


def test_there_are_some() -> None:
    assert "demo.yaml" in [path.name for path in MANIFESTS]
    kept = {path.suffix or path.name for path in (ROOT / "manifests").iterdir()}
    assert kept == {".yaml", "train"}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_a_recipe(path: Path) -> None:
    made = recipes.make(yaml_files.load(path))
    assert made.source.name in source_names()
    assert not Path(made.source.root).is_absolute()
    assert recipes.make(made.record()).hash() == made.hash()


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_says_how_to_run_it(path: Path) -> None:
    head = path.read_text("utf-8").split("source:")[0]
    assert f"--manifest manifests/{path.name}" in head, "its comment shows the command"
