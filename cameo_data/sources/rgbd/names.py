"""Names that differ but are the same number: ``0`` and ``000000``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath


def same_numbers(wanted: Iterable[str], there: Iterable[str]) -> dict[str, str]:
    """Wanted names that do not exist -> the existing name with the same number.

    {} where that is ambiguous: two names with one number on either side.
    """
    wanted, there = dict.fromkeys(wanted), dict.fromkeys(there)
    known, asked = _by_number(there), _by_number(wanted)
    if known is None or asked is None:
        return {}
    return {
        name: known[number]
        for number, name in asked.items()
        if name not in there and known.get(number, name) not in wanted and number in known
    }


def said(what: str, found: dict[str, str]) -> list[str]:
    """The note on names matched by number; empty if there are none."""
    if not found:
        return []
    wanted, there = next(iter(found.items()))
    return [f"{what} are matched with pictures by number: {there} with {wanted}"]


def _by_number(names: Iterable[str]) -> dict[int, str] | None:
    """The numeric ones of the names by their number; None where two are equal."""
    numbered = {name: number for name in names if (number := _number(name)) is not None}
    if any(count > 1 for count in Counter(numbered.values()).values()):
        return None
    return {number: name for name, number in numbered.items()}


def _number(name: str) -> int | None:
    """The number that a name is, with or without an ending: ``000012``, ``12.png``."""
    stem = PurePosixPath(name).stem if not name.isdecimal() else name
    return int(stem) if stem.isascii() and stem.isdecimal() and len(stem) < 20 else None
