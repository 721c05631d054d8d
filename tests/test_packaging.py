"""What an installation gets: one name, one version, a wheel that works without the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import cameo_data
import cameo_train

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
PACKAGES = ("cameo_data", "cameo_train")
PROGRAMS = {"cameo_data": "cameo-data", "cameo_train": "cameo-train"}


def run(*command: object, cwd: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    arguments = [str(argument) for argument in command]
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_version_is_written_in_one_place() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "cameo_data.__version__"
    }
    assert cameo_train.__version__ is cameo_data.__version__
    literals = [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(rf'"{re.escape(cameo_data.__version__)}"', path.read_text("utf-8"))
    ]
    assert literals == [Path("cameo_data/__init__.py")]


def test_the_changelog_has_the_version_below_what_is_not_released() -> None:
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert titles[0] == "Unreleased"
    assert titles[1].split()[0] == cameo_data.__version__


@pytest.mark.parametrize(("package", "program"), PROGRAMS.items())
def test_the_module_runs_as_the_program_does(package: str, program: str, tmp_path: Path) -> None:
    said = run(sys.executable, "-m", package, "--version", cwd=tmp_path).stdout
    assert said == f"{program}, version {cameo_data.__version__}\n"
    assert PROJECT["scripts"][program] == f"{package}.cli:main"


@pytest.mark.parametrize("package", PACKAGES)
def test_windows_is_refused_in_one_sentence(package: str, tmp_path: Path) -> None:
    code = f"""
import os
os.name = "nt"
try:
    import {package}.cli
except ImportError as error:
    print(error)
"""
    said = run(sys.executable, "-c", code, cwd=tmp_path).stdout
    assert said == "cameo runs on Linux and macOS; on Windows, run it inside WSL 2\n"
    assert not [line for line in PROJECT["classifiers"] if "Windows" in line]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built through a source distribution, from a copy that holds only what building needs."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy2(ROOT / name, copy)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    run(sys.executable, "-m", "build", "--no-isolation", copy, cwd=copy)
    [built] = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel; its dependencies are this environment's."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-index"]
    run(*pip, "--no-deps", "--target", target, wheel, cwd=target)
    return target


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    assert wheel.name == f"cameo_mv-{cameo_data.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == ours
    assert "cameo_data/manifests/demo.yaml" in ours


def test_the_installed_programs_are_ours(installed: Path, tmp_path: Path) -> None:
    for package, program in PROGRAMS.items():
        code = f"import {package}; print({package}.__file__)"
        found = Path(run(sys.executable, "-c", code, cwd=tmp_path, path=installed).stdout.strip())
        assert found.parents[1] == installed
        script = installed / "bin" / program
        said = run(sys.executable, script, "--version", cwd=tmp_path, path=installed).stdout
        assert said == f"{program}, version {cameo_data.__version__}\n"


# A new installation has nothing compiled yet; compiling takes minutes on a loaded machine.
SLOW = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def elsewhere(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the installed demo has run."""
    folder = tmp_path_factory.mktemp("elsewhere")
    small = ["--scenes", "1", "--frames", "8", "--size", "64", "--workers", "1", "--json"]
    program = installed / "bin/cameo-data"
    done = run(sys.executable, program, "demo", *small, cwd=folder, path=installed)
    assert json.loads(done.stdout)["page"] == "demo/shards/preview.html"
    return folder


@SLOW
def test_the_installed_demo_works_elsewhere(elsewhere: Path) -> None:
    assert "<style>" in (elsewhere / "demo/shards/preview.html").read_text("utf-8")


@SLOW
def test_the_installed_training_works_elsewhere(installed: Path, elsewhere: Path) -> None:
    steps = ["--steps", "1", "--workers", "1", "--batch", "1", "--out", "run"]
    build = ["--shards", "demo/shards", "--model", "cat3d-tiny", "--targets", "online"]
    program = installed / "bin/cameo-train"
    run(sys.executable, program, "fit", *build, *steps, cwd=elsewhere, path=installed)
    assert list((elsewhere / "run").glob("**/*.safetensors"))
