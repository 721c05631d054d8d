"""Decoding of foreign bytes with one kind of error and bounded memory.

Libraries raise many kinds of error for damaged files: NumPy's header parser a ``TokenError``,
PyTorch an ``AttributeError``, h5py an ``AssertionError``. No list of them is complete, so decoders
run inside ``decoding``. Values that take more memory than their bytes (JSON, long tables) are
counted first.
The limits are listed in ``docs/limits.md``.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect

# CO3D's longest set lists take some 50 MB; a transforms.json of 100 000 frames takes as much.
MAX_JSON_BYTES = 100_000_000
# Brackets, commas and colons are counted, about one per value; a value takes up to about 80 bytes
# of memory. CO3D's longest set lists have 2.7 million.
MAX_JSON_VALUES = 5_000_000
# An hour of poses at 100 Hz is 360 000 lines; a table of matches may be longer.
MAX_LINES = 3_000_000

# Allowed sides, in pixels, of an image size that a person gives.
IMAGE_SIDES = (16, 8192)

_STRUCTURE = (b"[", b"{", b",", b":")
_LONG_INTEGER = re.compile(r"[0-9]{309}")
_LONGEST_MESSAGE = 200


@contextmanager
def decoding(name: str, reason: Reason, expected: str, remedy: str) -> Iterator[None]:
    """Turns whatever is raised inside into a FileDefect about the file called ``name``.

    Use it only around a decoder of foreign bytes, since it would hide a bug of our own.
    ``MemoryError`` passes, since it says nothing about the file.
    """
    try:
        yield
    except (FileDefect, MemoryError):
        raise
    except Exception as error:
        found = f"{name} cannot be read ({one_line(error)})"
        raise FileDefect(reason, found, expected, remedy) from None


def one_line(error: BaseException) -> str:
    """An exception's text, printable and short; its type where it has no text."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def parse_hw(text: str, sides: tuple[int, int] = IMAGE_SIDES) -> tuple[int, int]:
    """(height, width) of ``512`` (a square) or ``640x480``, width by height as people write it.

    >>> parse_hw("640x480")
    (480, 640)

    Raises:
        ValueError: neither form, or a side outside ``sides`` (least, most).
    """
    found = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", text.strip().lower())
    if found is None:
        raise ValueError("expected 512 or 640x480 (width x height)")
    hw = int(found[2] or found[1]), int(found[1])
    if not sides[0] <= min(hw) <= max(hw) <= sides[1]:
        raise ValueError(f"expected sides from {sides[0]} to {sides[1]} pixels")
    return hw


def check_json_size(data: bytes) -> None:
    """Check that JSON text does not hold more values than memory can.

    Raises:
        ValueError: it does.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"{len(data)} bytes of JSON; at most {MAX_JSON_BYTES} are read")
    if len(data) > MAX_JSON_VALUES:
        count = sum(data.count(mark) for mark in _STRUCTURE)
        if count > MAX_JSON_VALUES:
            raise ValueError(f"some {count} values of JSON; at most {MAX_JSON_VALUES} are read")


def parse_json(text: str | bytes) -> Any:
    """The values of JSON text, after a check that memory can hold them.

    An integer beyond the floating-point range becomes infinity, as such a float does.

    Raises:
        ValueError: not JSON, nested too deeply, or too many values; one line.
    """
    check_json_size(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    try:
        read = text if isinstance(text, str) else text.decode("utf-8-sig")
        hook = _integer if _LONG_INTEGER.search(read) else None
        return json.loads(read, parse_int=hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(one_line(error)) from None


def _integer(digits: str) -> int | float:
    """An integer of any length, since int() alone refuses more than 4300 digits."""
    number = float(digits)
    return number if math.isinf(number) else int(digits)


def lines(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, at most ``MAX_LINES`` of them.

    Raises:
        FileDefect: there are more.
    """
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if number > MAX_LINES:
            raise FileDefect(
                Reason.BAD_METADATA,
                f"{name} has more than {MAX_LINES} lines",
                f"at most {MAX_LINES}",
                "split it, or leave out rows that no frame needs",
            )
        yield number, line.rstrip("\n")
