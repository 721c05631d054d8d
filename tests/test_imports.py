"""Imports point one way, and nothing heavy is loaded before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cameo_data.io import open3d_import

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cameo_data", "cameo_train")

# a module may import from its own row and from rows above; never from one below
LAYERS = [
    ["cameo_data.errors"],
    ["cameo_data.transforms"],
    ["cameo_data.types"],
    ["cameo_data.camera"],
    ["cameo_data.correspondence", "cameo_data.geometry.raycast"],
    ["cameo_data.build"],
]
# package -> what it must not import
FORBIDDEN = {
    "cameo_data.shards": ["cameo_data.build", "cameo_data.sources", "cameo_data.report"],
    "cameo_data.sources": ["cameo_data.correspondence", "cameo_data.shards", "cameo_data.build"],
    "cameo_data.correspondence": ["cameo_data.shards", "cameo_data.sources"],
    "cameo_data.types": ["cameo_data.camera", "cameo_data.shards"],
    "cameo_data.report": ["cameo_data.build", "cameo_data.sources"],
    "cameo_data.synth": ["cameo_data.build", "cameo_data.shards"],
    "cameo_data.executors": ["cameo_data.build"],
    "cameo_data.grouping": ["cameo_data.build", "cameo_data.recipe", "cameo_data.sources"],
    "cameo_data": ["cameo_train"],
}


def modules():
    """Name -> path of every module of ours."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path):
    """Dotted names that a module imports, anywhere in it; type-checking imports included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def inside(name, package):
    return name == package or name.startswith(f"{package}.")


IMPORTS = {name: imported(path) for name, path in MODULES.items()}


def test_the_walk_sees_the_packages():
    assert "cameo_data.cli.build_corr" in MODULES
    assert "cameo_data.types" in IMPORTS["cameo_data.camera"]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_forbidden_imports(package):
    wrong = [
        (module, name)
        for module, names in IMPORTS.items()
        if inside(module, package) and module != "cameo_data"  # its exports are lazy
        for name in names
        if any(inside(name, other) for other in FORBIDDEN[package])
    ]
    assert wrong == []


def test_layers_point_one_way():
    for row, layer in enumerate(LAYERS):
        later = [package for below in LAYERS[row + 1 :] for package in below]
        for module, names in IMPORTS.items():
            if any(inside(module, package) for package in layer):
                assert not {n for n in names if any(inside(n, package) for package in later)}, (
                    module
                )


@pytest.mark.parametrize("package", PACKAGES)
def test_only_commands_import_a_command(package):
    for module, names in IMPORTS.items():
        if ".cli" not in module:  # cameo-train's share the helpers of cameo-data's
            assert not {n for n in names if inside(n, f"{package}.cli")}, module


def test_click_is_used_by_commands_only():
    for module, names in IMPORTS.items():
        if ".cli" not in module:
            assert not {n for n in names if inside(n, "click")}, module


def loaded_by(code):
    """Names of all modules loaded after running ``code`` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import cameo_data")
    assert not loaded & {"torch", "open3d", "cv2", "numba", "scipy", "matplotlib", "numpy"}


def test_importing_the_commands_loads_neither_torch_nor_open3d():
    every = "\n".join(f"import {name}" for name in MODULES if inside(name, "cameo_data"))
    assert not loaded_by("import cameo_data.cli") & {"torch", "open3d", "numba", "cv2"}
    assert not loaded_by(every) & {"torch", "open3d"}


@pytest.mark.parametrize(
    "error, package",
    [
        (OSError("libusb-1.0.so.0: cannot open shared object file"), "libusb-1.0-0"),
        (ImportError("libGL.so.1: cannot open shared object file"), "libgl1"),
        (ModuleNotFoundError("No module named 'open3d'"), "pip install --force-reinstall open3d"),
    ],
)
def test_what_open3d_lacks_is_named_in_one_line(error, package, monkeypatch):
    def fail(name):
        raise error

    monkeypatch.setattr(open3d_import, "import_module", fail)
    with pytest.raises(ValueError, match="open3d cannot be loaded") as caught:
        open3d_import.load_open3d()
    assert str(caught.value).endswith(package)
    assert "\n" not in str(caught.value)
