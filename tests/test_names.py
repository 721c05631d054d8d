"""Names that say it: no public class is defined twice, long records are made by keyword."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_no_public_class_name_is_defined_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in ("cameo_data", "cameo_train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice, f"rename these to what they are: {twice}"


# Made by libraries, or to be changed with the code around it.
POSITIONAL = {"VoxelBlockGrid", "Checkpoint", "SupervisedRows"}


def test_no_record_is_made_of_more_than_six_positional_values() -> None:
    """Twelve values in a row are exchanged without anybody noticing."""
    found = []
    for package in ("cameo_data", "cameo_train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and len(node.args) > 6:
                    name = ast.unparse(node.func).rpartition(".")[2]
                    if name.strip("_")[:1].isupper() and name not in POSITIONAL:
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not found, f"give these by keyword: {found}"
