"""CRC-32 of a sample's members, so that a reader notices an altered byte.

``KEY.crc32`` is a text in the format of ``sum`` tools, one line per member: eight digits, two
spaces, the member's name. Checking it takes a thousandth of the time of decoding the members. The
SHA-256 in the index, which also reveals deliberate changes, needs the whole shard.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

_LINE = re.compile(r"([0-9a-f]{8})  ([A-Za-z0-9_.-]{1,100})\n")


def made(members: Mapping[str, bytes]) -> bytes:
    """The text about these members."""
    lines = (f"{zlib.crc32(members[name]):08x}  {name}\n" for name in sorted(members))
    return "".join(lines).encode()


def check(text: bytes, members: Mapping[str, bytes]) -> None:
    """Check that the given members, all or some of a sample's, match the text.

    Raises:
        ValueError: one does not, or the text is damaged.
    """
    known = _parsed(text)
    for name, data in members.items():
        found = f"{zlib.crc32(data):08x}"
        if known.get(name) != found:
            expected = known.get(name, "a checksum of it")
            raise ValueError(f"{name} has CRC-32 {found}; expected {expected}")


def _parsed(text: bytes) -> dict[str, str]:
    lines = text.decode("ascii", "replace").splitlines(keepends=True)
    matches = [_LINE.fullmatch(line) for line in lines]
    if None in matches:
        raise ValueError("crc32 is not a list of checksums")
    return {match[2]: match[1] for match in matches if match is not None}
