"""CRC-32 of a sample's members, so that an altered byte is noticed as it is read.

``KEY.crc32`` is a text as ``sum`` tools write it, one line a member: eight digits, two spaces, the
member's name. Reading it costs a thousandth of decoding what it covers; the SHA-256 of the index,
which also withstands intent, needs the whole shard.
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
    """Nothing, if the members, perhaps only some of a sample's, are what the text says.

    Raises:
        ValueError: one is not, or the text is damaged.
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
