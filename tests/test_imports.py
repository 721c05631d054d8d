"""Imports point one way, and nothing heavy is loaded before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cameo_data.io import open3d_import

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cameo_data", "cameo_train")

# a room may import from those in earlier rows and from none in its own or later ones
ROWS = [
    ["errors", "suggestions"],
    ["transforms", "plugins"],
    ["types"],
    ["camera", "executors", "grouping"],
    ["io", "correspondence"],
    ["geometry"],
    ["frames", "shards", "synth"],
    ["sources"],
    ["recipe"],
    ["catalog", "commands", "inspection"],
    ["check", "report"],
    ["build", "depth"],
    ["cli"],
    ["__main__"],
]
# package -> what it must not import
FORBIDDEN = {
    "cameo_data.shards": ["cameo_data.sources"],
    "cameo_data.sources": ["cameo_data.correspondence", "cameo_data.shards"],
    "cameo_data.correspondence": ["cameo_data.io"],
    "cameo_data.report": ["cameo_data.build", "cameo_data.sources"],
    "cameo_data": ["cameo_train"],
    "cameo_train.training": ["cameo_train.precision", "cameo_train.matchers"],
    "cameo_train.supervision": ["cameo_train.data", "cameo_train.training", "cameo_train.models"],
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


def targets(path):
    """The modules of ours that a module imports, or imports names from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


def circles(graph):
    """Groups of nodes that reach one another, in a graph of node -> nodes."""
    reached = {}

    def reach(node):
        if node not in reached:
            found, todo = set(), list(graph.get(node, ()))
            while todo:
                following = todo.pop()
                if following not in found:
                    found.add(following)
                    todo += graph.get(following, ())
            reached[node] = found
        return reached[node]

    return sorted({tuple(sorted(m for m in reach(n) if n in reach(m))) for n in graph} - {()})


# the two packages export lazily what is below them
GRAPH = {m: targets(path) - set(PACKAGES) for m, path in MODULES.items() if m not in PACKAGES}


def room(module):
    return ".".join(module.split(".")[:2])


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [("b", "c")]


def test_no_modules_import_each_other():
    assert circles({m: names - {m} for m, names in GRAPH.items()}) == []


def test_no_rooms_import_each_other():
    rooms = {}
    for module, names in GRAPH.items():
        rooms.setdefault(room(module), set()).update(room(name) for name in names)
    assert circles({r: names - {r} for r, names in rooms.items()}) == []


def test_every_room_has_its_row_and_imports_from_earlier_ones():
    row = {f"cameo_data.{name}": number for number, names in enumerate(ROWS) for name in names}
    ours = {room(module) for module in GRAPH if inside(module, "cameo_data")}
    assert ours == row.keys()
    wrong = [
        (module, name)
        for module, names in GRAPH.items()
        if inside(module, "cameo_data")
        for name in names
        if room(name) != room(module) and row[room(name)] >= row[room(module)]
    ]
    assert wrong == []


def test_few_modules_stand_at_the_top():
    for package, most in (("cameo_data", 10), ("cameo_train", 6)):
        modules = {path.name for path in (ROOT / package).glob("*.py")}
        assert len(modules - {"__init__.py", "__main__.py"}) <= most


@pytest.mark.parametrize("package", PACKAGES)
def test_only_commands_import_a_command(package):
    for module, names in IMPORTS.items():
        # cameo-train's share the helpers of cameo-data's
        if ".cli" not in module and not module.endswith(".__main__"):
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
