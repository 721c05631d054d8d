"""Fixtures that all tests share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# The same examples every time, however busy the machine: a red run means that the code changed.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

if TYPE_CHECKING:
    from plugin_packages import Install

    from cameo_data.build import BuildResult

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real captures; tests that need it skip where it is absent."""
    if not REALDATA.is_dir():
        pytest.skip(f"real captures are not at {REALDATA}")
    return REALDATA


@pytest.fixture(scope="session")
def tiny_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered scenes of six frames; not to be changed, see ``build_scenes.copy_scenes``."""
    from build_scenes import write_scenes

    return write_scenes(tmp_path_factory.mktemp("tiny") / "scenes")


@pytest.fixture(scope="session")
def tiny_build(
    tiny_scenes: Path, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, BuildResult]":
    """Shards of them and what the build said; not to be changed."""
    from build_scenes import recipe

    from cameo_data.build import build

    out = tmp_path_factory.mktemp("tiny") / "shards"
    return out, build(recipe(tiny_scenes), out)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Install]":
    """Makes a package of one module with entry points, found as installed ones are."""
    from plugin_packages import installer

    with installer(tmp_path / "site", monkeypatch) as install:
        yield install
