"""Hypersim's CSV tables: projections, splits, and the length of an asset unit."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray

PARAMETERS = "metadata_camera_parameters.csv"
SPLITS = "metadata_images_split_scene_v1.csv"
SCENE = "metadata_scene.csv"

_MATRIX = [[f"M_cam_from_uv_{row}{column}" for column in range(3)] for row in range(3)]


def read_projections(root: Path, path: Path | None) -> dict[str, FloatArray]:
    """M_cam_from_uv (3, 3) by scene, from the table at ``path`` or in the root.

    Raises:
        FileDefect: no such table, or a column or number is missing.
    """
    table = root / PARAMETERS if path is None else path
    if not table.is_file():
        raise FileDefect(
            Reason.MISSING_FILE,
            f"{PARAMETERS} is missing",
            f"the table in {root}, or its path in -o camera_parameters=…",
            "take it from github.com/apple/ml-hypersim/tree/main/contrib/mikeroberts3000",
        )
    found = {}
    for number, row in _rows(table, ["scene_name", *_MATRIX[0], *_MATRIX[1], *_MATRIX[2]]):
        try:
            matrix = [[float(row[name]) for name in names] for names in _MATRIX]
        except ValueError:
            raise _bad(table, f"line {number}: M_cam_from_uv is not a number", "numbers") from None
        found[row["scene_name"]] = np.array(matrix)
    return found


def read_split(root: Path, split: str) -> frozenset[str]:
    """Scenes of a split.

    Raises:
        FileDefect: no such table, or a column is missing.
    """
    table = root / SPLITS
    if not table.is_file():
        raise FileDefect(
            Reason.MISSING_FILE,
            f"{SPLITS} is missing",
            f"the table in {root}",
            "take it from github.com/apple/ml-hypersim/tree/main/evermotion_dataset/analysis",
        )
    columns = ["scene_name", "split_partition_name"]
    rows = _rows(table, columns)
    return frozenset(row["scene_name"] for _, row in rows if row["split_partition_name"] == split)


def read_metres_per_unit(folder: Path) -> float:
    """Metres in an asset unit of a scene.

    Raises:
        FileDefect: the table is missing or states no positive number.
    """
    table = files.inside(folder, folder / "_detail" / SCENE)
    for _, row in _rows(table, ["parameter_name", "parameter_value"]):
        if row["parameter_name"] == "meters_per_asset_unit":
            try:
                value = float(row["parameter_value"])
            except ValueError:
                value = math.nan
            if not (math.isfinite(value) and value > 0):
                raise _bad(table, f"meters_per_asset_unit is {row['parameter_value']!r}", "metres")
            return value
    raise _bad(table, "no meters_per_asset_unit", "a row with it")


def _rows(table: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a table that has those columns; other columns are left alone."""
    text = files.read_text(table, files.MAX_TEXT_BYTES)
    reader = csv.DictReader(line for _, line in parsing.lines(text, table.name))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise _bad(table, f"no column {', '.join(missing)}", "the publisher's columns")
    for row in reader:
        if any(row[name] is None for name in columns):
            raise _bad(table, f"line {reader.line_num} is cut short", "a value in every column")
        yield reader.line_num, {name: row[name].strip() for name in columns}


def _bad(table: Path, found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA, f"{table.name}: {found}", expected, "restore the publisher's table"
    )
