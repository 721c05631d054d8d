"""The effect of each constant of the kernel: all figures with one constant changed at a time."""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from benchmarks import accuracy
from cameo_data.correspondence import core, kernel

SWEEP: dict[str, tuple[float, ...]] = {
    "SAME": (0.0003, 0.0005, 0.002, 0.005),
    "SMOOTH": (0.0001, 0.001),
    "EDGE": (0.01, 0.04),
    "STEEP": (0.08, 0.3),
    "STEEP_TANGENT": (0.1, 1.0),
    "CREASE": (0.03, 0.3),
    "LEVEL": (0.3, 0.6),
    "SIGMAS": (1.5, 2.0, 3.0, 4.0),
}


@contextmanager
def with_constant(name: str, value: float) -> Iterator[ModuleType]:
    """The kernel compiled with another value; ``correspond`` uses it inside the block."""
    text = Path(kernel.__file__).read_text("utf-8")
    changed, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", text)
    if count != 1:
        raise ValueError(f"constant {name} appears {count} times in {kernel.__file__}; expected 1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed_kernel.py"
        path.write_text(changed, "utf-8")
        spec = importlib.util.spec_from_file_location("changed_kernel", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["changed_kernel"] = module
        spec.loader.exec_module(module)
        core.kernel = module
        try:
            yield module
        finally:
            core.kernel = kernel
            del sys.modules["changed_kernel"]


def sweep(hw: tuple[int, int] = (480, 640)) -> Iterator[tuple[str, float, list[float]]]:
    """(constant, value, figures) with the figures of ``row``."""
    yield "as shipped", float("nan"), row(hw)
    for name, values in SWEEP.items():
        for value in values:
            with with_constant(name, value):
                yield name, value, row(hw)


HEADINGS = ("precision", "recall", "outline precision", "outline recall", "hidden called VISIBLE",
            "thin called VISIBLE", "noisy precision", "noisy recall")  # fmt: skip


def row(hw: tuple[int, int]) -> list[float]:
    """The figures that a constant can trade against one another."""
    found = accuracy.all_cases(hw, 0)
    figures = accuracy.clean(found)
    return [f.value for f in figures[2:8]] + [f.value for f in accuracy.noisy(found, 8)]
