"""Other places to log to, through accelerate."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any


def check(name: str) -> None:
    """Raises ValueError where the tracker's package is missing; accelerate would log nowhere."""
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"--tracker {name} needs the package {name}; pip install {name}")


def settings(record: Mapping[str, Any]) -> dict[str, int | float | str]:
    """A configuration in the types that all trackers take."""
    return {
        key: value if isinstance(value, (int, float, str)) else json.dumps(value)
        for key, value in record.items()
    }


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """What a tracker draws of a step's figures."""
    return {
        key: float(value)
        for key, value in row.items()
        if key != "step" and isinstance(value, (int, float))
    }
