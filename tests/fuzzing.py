"""Damage to bytes, and what may come of reading them: a value or the one allowed error.

The number of examples is small enough for every run. For more, with new ones each time::

    CAMEO_FUZZ=5000 python -m pytest tests/test_fuzz_parsers.py tests/test_fuzz_sources.py -n auto

A failing example is printed by hypothesis, which shrinks it first; add it to the parser's tests.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cameo_data.errors import DataError, UsageError
from cameo_data.io.files import FileDefect

MORE = int(os.environ.get("CAMEO_FUZZ", "0"))

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WILD = (
    b"0", b"-1", b"1e400", b"-1e400", b"nan", b"inf", b"1e308", b"1e-320", b"18446744073709551616",
    b"-9223372036854775809", b"4294967295", b"2147483648", b"9" * 400, b"9" * 5000, b"1.2.3",
    b"0x10", b"1_000", b"\xd9\xa3", b"--1", b"", b"null", b"[]", b"{}", b'"x"', b"true", b"1:30:00",
)  # fmt: skip
_PIECES = (
    b"\0", b"\xff" * 8, b"\x7f\xff\xff\xff", b"\n", b"\r\n", b'"', b"[" * 2000, b'{"a":' * 2000,
    b"\\ud800", b"\\u0000", b"../../..", b"/etc/passwd", b"\xef\xbb\xbf", b"\xc3\x28", b"#", b"*a",
    b"&a ", b"!!timestamp x", b"!!python/object:os.system ", b"<<: ", b"\x80\x02]", b"%", b",",
)  # fmt: skip
_KINDS = ("flip", "byte", "cut", "drop", "insert", "double", "number", "any")


def budget(usual: int) -> Any:
    """Hypothesis' settings: ``usual`` examples, the same in every run, or as many as asked for."""
    return settings(
        max_examples=MORE or usual,
        derandomize=not MORE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few changes to bytes: bits flipped, pieces cut, inserted or doubled, wild numbers."""
    steps = draw(st.lists(_step(), min_size=1, max_size=3))

    def apply(data: bytes) -> bytes:
        for step in steps:
            data = step(data)
        return data

    return apply


@st.composite
def _step(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    kind = draw(st.sampled_from(_KINDS))
    # most formats say what they are in their first bytes
    near = draw(st.booleans())
    share = draw(st.floats(0, 1, exclude_max=True))
    length = draw(st.integers(1, 64))
    number = draw(st.sampled_from(_WILD))
    piece = draw(st.sampled_from(_PIECES) | st.binary(min_size=1, max_size=12))

    def apply(data: bytes) -> bytes:
        at = int(share * (min(len(data), 200) if near else len(data)))
        if kind == "any":
            return piece * length if near else piece
        if kind == "flip" and data:
            return data[:at] + bytes([data[at] ^ 1 << length % 8]) + data[at + 1 :]
        if kind == "byte" and data:
            return data[:at] + piece[:1] + data[at + 1 :]
        if kind == "cut":
            return data[:at]
        if kind == "drop":
            return data[:at] + data[at + length :]
        if kind == "double":
            return data[:at] + data[at : at + length] * 3 + data[at + length :]
        if kind == "number" and (found := list(_NUMBER.finditer(data[:100_000]))):
            chosen = found[int(share * len(found))]
            return data[: chosen.start()] + number + data[chosen.end() :]
        return data[:at] + piece + data[at:]

    return apply


def value_or_defect(
    read: Callable[[], object], allowed: tuple[type[Exception], ...] = (FileDefect, DataError)
) -> str | None:
    """None where ``read`` gave a value, else its error's line; any other error is raised.

    Warnings count as errors: NumPy warns of numbers that no longer mean anything.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read()
        except allowed as error:
            line = str(error)
            if isinstance(error, (FileDefect, DataError, UsageError)):
                assert "\n" not in line, repr(line)
            return line
    return None
