"""Where an optional package is missing, the message names the extra that installs it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cameo_data.cli import common
from cameo_data.cli import main as data_main
from cameo_data.depth import networks
from cameo_data.errors import DISTRIBUTION, EXTRA_OF, install, needs
from cameo_data.io import exr_files
from cameo_data.io.files import FileDefect
from cameo_train.cli import fit
from cameo_train.matchers import diffusion, dino, lightglue_weights
from cameo_train.training import perceptual

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
INSTALL = re.compile(r"pip install (?:-c \S+ )?(?:-e )?'([\w.-]*)\[([\w,]+)\]'")


def packages(extra: str) -> set[str]:
    """Distributions that an extra lists, by the name before any version."""
    listed = PROJECT["optional-dependencies"][extra]
    return {re.split(r"[<>=!~\[ ]", line)[0] for line in listed}


def test_pyproject_has_the_name_that_messages_use() -> None:
    assert PROJECT["name"] == DISTRIBUTION


@pytest.mark.parametrize("package", EXTRA_OF)
def test_the_extra_of_a_package_installs_it(package: str) -> None:
    assert package in packages(EXTRA_OF[package])


def test_the_line_names_what_is_missing_and_how_to_get_it() -> None:
    assert needs("training", "accelerate", "diffusers") == (
        "training needs the packages accelerate and diffusers; pip install 'cameo-mv[train]'"
    )
    assert needs("sd", "diffusers") == (
        "sd needs the package diffusers; pip install 'cameo-mv[train]'"
    )
    assert install("torchvision", "kornia") == "pip install 'cameo-mv[lpips,matchers]'"


def load_lpips() -> None:
    raise ValueError(perceptual.missing())


def load_sd() -> None:
    diffusion.load("nowhere", torch.device("cpu"))


# package -> what a person runs into without it
USERS: list[tuple[str, Callable[[], object]]] = [
    ("OpenEXR", exr_files._library),
    ("transformers", lambda: networks.load("nowhere", "cpu")),
    ("transformers", lambda: dino.model_class("dinov2", "nowhere")),
    ("diffusers", load_sd),
    ("diffusers", fit._check_packages),
    ("accelerate", fit._check_packages),
    ("safetensors", fit._check_packages),
    ("kornia", lightglue_weights.kornia_feature),
    ("torchmetrics", load_lpips),
    ("torchvision", load_lpips),
]


def test_every_optional_package_that_we_import_is_tried() -> None:
    assert {package for package, _ in USERS} == EXTRA_OF.keys()


@pytest.mark.parametrize(("package", "use"), USERS)
def test_a_missing_package_is_named_with_its_extra(
    package: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    networks.load.cache_clear()
    with pytest.raises((ValueError, FileDefect)) as caught:
        use()
    assert package in str(caught.value)
    [(distribution, extra)] = INSTALL.findall(str(caught.value))
    assert distribution == DISTRIBUTION
    assert package in packages(extra)


def test_a_command_that_meets_a_missing_package_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``reproduce`` and ``precision`` import the training packages deep inside."""

    def missing(*_args: object, **_options: object) -> None:
        raise ModuleNotFoundError("No module named 'diffusers'", name="diffusers.models")

    monkeypatch.setattr(common, "resolve_source", missing)
    args = ["inspect", "auto", str(tmp_path)]
    shown = CliRunner().invoke(data_main, args)
    assert shown.exit_code == 1
    assert shown.stderr == f"error: {needs('this command', 'diffusers')}\n"
    full = CliRunner().invoke(data_main, ["--traceback", *args])
    assert isinstance(full.exception, ModuleNotFoundError)


def test_a_missing_module_of_ours_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_args: object, **_options: object) -> None:
        raise ModuleNotFoundError("No module named 'cameo_data.nosuch'", name="cameo_data.nosuch")

    monkeypatch.setattr(common, "resolve_source", missing)
    shown = CliRunner().invoke(data_main, ["inspect", "auto", str(tmp_path)])
    assert isinstance(shown.exception, ModuleNotFoundError)


def test_every_command_that_installs_us_names_us() -> None:
    patterns = ("*.md", "docs/**/*.md", "cameo_*/**/*.py", "pyproject.toml", "Makefile")
    wrong = [
        (path.relative_to(ROOT), distribution, extras)
        for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern))
        for distribution, extras in INSTALL.findall(path.read_text("utf-8"))
        if distribution not in (DISTRIBUTION, ".")
        or not set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs/examples").glob("*/pyproject.toml")), ids=lambda p: p.parent.name
)
def test_example_packages_depend_on_us_by_name(path: Path) -> None:
    dependencies = tomllib.loads(path.read_text("utf-8"))["project"]["dependencies"]
    ours = [line for line in dependencies if line.startswith("cameo")]
    assert [re.split(r"[\[<>=]", line)[0] for line in ours] == [DISTRIBUTION]
