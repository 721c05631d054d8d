"""What a fix is, and what makers of fixes share."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cameo_data.check.suspects.base import Evidence
from cameo_data.types import FloatArray, Frame


@dataclass(frozen=True)
class Fix:
    """How to undo a mistake.

    Attributes:
        options: of the source, for ``-o KEY=VALUE``; empty if no option does it.
        line: what to do instead or in addition; may be empty.
    """

    options: dict[str, str]
    line: str = ""

    @property
    def text(self) -> str:
        """In one line, as a shell takes it."""
        flags = " ".join(f"-o {key}={shlex.quote(value)}" for key, value in self.options.items())
        return "; ".join(part for part in (flags, self.line) if part)


# The options that a scene was read with, of whatever source.
Options = Mapping[str, Any]
# (a variant's values, the source's options, any frame of the scene) -> the fix
Maker = Callable[[Evidence, Options, Frame], Fix]


def line(text: str) -> Maker:
    """A fix that is the same sentence whatever the source."""
    return lambda values, current, frame: Fix({}, text)


def with_intrinsics(current: Options, K: FloatArray) -> Fix:
    """``-o intrinsics=`` where the source has that option, else the numbers."""
    given = intrinsics(current, K)
    if given is not None:
        return Fix({"intrinsics": given})
    numbers = ", ".join(f"{number:.6g}" for number in _four(K))
    return Fix({}, f"set fx, fy, cx, cy = {numbers} before export")


def intrinsics(current: Options, K: FloatArray, option: str = "intrinsics") -> str | None:
    """K in the source's own pixel centres, where it has that option."""
    if option not in current:
        return None
    shift = 0.5 if current.get("pixel_center") == "integer" else 0.0
    return ",".join(
        f"{number:.6g}" for number in _four(K - [[0, 0, shift], [0, 0, shift], [0] * 3])
    )


def other(value: Any, one: str, two: str) -> str:
    """The one of two that ``value`` is not."""
    return two if value == one else one


def matrix(values: FloatArray) -> str:
    """A matrix as one types it."""
    rows = (", ".join(f"{x:g}" for x in row) for row in np.asarray(values) + 0.0)
    return "[" + ", ".join(f"[{row}]" for row in rows) + "]"


def _four(K: FloatArray) -> tuple[float, float, float, float]:
    return float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
