"""A library that installs signal handlers of its own leaves those of the command in place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import test_megadepth
import test_scannetpp
from build_scenes import write_scenes
from colmap_recordings import LENSES, write_dense, write_sparse

from cameo_data.types import Lens

DRIVER = Path(__file__).with_name("sigterm_driver.py")
ROOT = Path(__file__).resolve().parents[1]
BUILD = ("--views", "2", "--stride", "8", "--workers", "1")


def run_python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=ROOT)


def colmap_sparse(root: Path) -> Path:
    return write_sparse(root / "s", Lens("SIMPLE_RADIAL", LENSES["SIMPLE_RADIAL"], (48, 64)))


def scannetpp(root: Path) -> Path:
    test_scannetpp.write_scene(root)
    return root


@pytest.mark.parametrize(
    "command, source, write",
    [
        ("build-corr", "colmap", colmap_sparse),
        ("build-corr", "colmap", lambda root: write_dense(root / "s")),
        ("build-corr", "scannetpp", scannetpp),
        ("build-corr", "megadepth", test_megadepth.write_sfm),
        ("build-corr", "megadepth", test_megadepth.write_undistorted),
        ("inspect", "colmap", colmap_sparse),
        ("check", "colmap", colmap_sparse),
    ],
)
def test_sigterm_after_colmap_was_loaded_ends_with_75(
    command: str, source: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = write(tmp_path / "in")
    more = ("--out", str(tmp_path / "out"), *BUILD) if command == "build-corr" else ()
    done = run_python(str(DRIVER), command, source, str(root), *more)
    assert done.returncode == 75, done.stderr
    assert "interrupted" in done.stderr
    assert "***" not in done.stderr  # glog's stack begins with three stars


def test_sigterm_in_a_depth_run_by_colmap_ends_with_75(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "in", scenes=1, frames=2)
    out = str(tmp_path / "out")
    done = run_python(
        str(DRIVER), "depth", "colmap", "synthetic", str(scenes), "--out", out, "-m", "mode=sparse"
    )
    assert done.returncode == 75, done.stderr


LOAD_IN_THREAD = """
import os, signal, sys, threading
from cameo_data.geometry import undistortion
{install}
thread = threading.Thread(target=undistortion.colmap)
thread.start(); thread.join()
assert "pycolmap" in sys.modules
os.kill(os.getpid(), signal.SIGTERM)
print("still here")
"""


@pytest.mark.parametrize(
    "install, printed, code",
    [
        ("signal.signal(signal.SIGTERM, lambda *_: print('ours'))", "ours\nstill here\n", 0),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "still here\n", 0),
        ("", "", -15),
    ],
)
def test_every_kind_of_handler_comes_back_in_any_thread(
    install: str, printed: str, code: int
) -> None:
    done = run_python("-c", LOAD_IN_THREAD.format(install=install))
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", code)


def test_a_handler_of_c_code_comes_back() -> None:
    """``faulthandler`` handles SIGSEGV in C; Python itself knows nothing of it."""
    done = run_python(
        "-X", "faulthandler", "-c",
        "import os, signal\n"
        "from cameo_data.geometry import undistortion\n"
        "undistortion.colmap()\n"
        "os.kill(os.getpid(), signal.SIGSEGV)",
    )  # fmt: skip
    assert done.returncode == -11
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "***" not in done.stderr


def test_one_place_imports_pycolmap() -> None:
    found = set()
    for package in ("cameo_data", "cameo_train"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                else:
                    continue
                if any(name.split(".")[0] == "pycolmap" for name in names):
                    found.add(path.name)
    assert found == {"undistortion.py"}
