"""Whatever must know every verdict does: a new one fails here until each place has it.

The list of these places stands beside ``Verdict`` in ``cameo_data/types.py``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from cameo_data.correspondence import kernel
from cameo_data.report import palette
from cameo_data.types import Verdict

ROOT = Path(__file__).parents[1]
NAMES = [verdict.name for verdict in Verdict]


def loaded_names(path: Path) -> set[str]:
    """Names and attributes that a module reads."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    attributes = {
        n.attr
        for n in nodes
        if isinstance(n, ast.Attribute)
        and isinstance(n.value, ast.Name)
        and n.value.id == "Verdict"
    }
    return names | attributes


def test_codes_are_consecutive_from_zero() -> None:
    """``len(Verdict)`` counters are indexed by code."""
    assert [int(verdict) for verdict in Verdict] == list(range(len(Verdict)))


def test_the_kernel_has_the_codes_of_the_enumeration_and_uses_each() -> None:
    codes = {name: getattr(kernel, name, None) for name in NAMES}
    assert codes == {verdict.name: int(verdict) for verdict in Verdict}
    assert all(type(code) is int for code in codes.values()), "numba compiles plain integers"
    functions = ast.parse(Path(kernel.__file__).read_text("utf-8")).body
    used = {
        node.id
        for function in functions
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Name)
    }
    assert set(NAMES) <= used


def test_the_slow_twin_gives_every_verdict() -> None:
    assert set(NAMES) <= loaded_names(ROOT / "cameo_data/correspondence/reference.py")


def test_every_verdict_has_a_colour_of_its_own_and_a_meaning() -> None:
    assert set(palette.VERDICT_RGB) == set(palette.VERDICT_MEANING) == set(Verdict)
    assert len(set(palette.VERDICT_RGB.values())) == len(Verdict)
    assert len(set(palette.VERDICT_MEANING.values())) == len(Verdict)
    table = palette.verdict_table()
    for verdict in Verdict:
        np.testing.assert_array_equal(table[verdict], palette.VERDICT_RGB[verdict])


@pytest.mark.parametrize("page", ["conventions.md", "shards.md"])
def test_the_tables_of_the_pages_have_every_code(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| `?([A-Z_]+)`? \|", text, re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(int(v), v.name) for v in Verdict]


def test_the_list_of_arrays_has_every_code() -> None:
    (row,) = re.findall(r"^\| `verdictS\.npy` .*$", (ROOT / "docs/shards.md").read_text(), re.M)
    expected = [(str(int(v)), v.name) for v in Verdict]
    assert re.findall(r"(\d) ([A-Z_]+)", row) == expected
