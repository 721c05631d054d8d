"""Lists in gzipped JSON files, read record by record, also from places in the middle.

Memory holds only the current record and, on request, resuming points: states of unpacking from
which a later read can continue without starting over.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import one_line

# CO3D v2's largest categories unpack to a few hundred megabytes.
MAX_PACKED_BYTES = 2_000_000_000
MAX_UNPACKED_BYTES = 8_000_000_000
# A frame's record takes about a kilobyte, more where it lists its evaluation batches.
MAX_RECORD_BYTES = 8_000_000
# Unpacked bytes between resuming points. Each point takes some 40 kB of memory, and a read unpacks
# half of this distance on average, about 15 ms, before it reaches its place.
RESUME_BYTES = 8_000_000
# A chunk unpacks to at most 1032 times its size: 17 MB at once from a hostile file.
_CHUNK_BYTES = 1 << 14
_DECODE = json.JSONDecoder().raw_decode


def _new_state() -> zlib._Decompress:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # gzip, its checksum verified


@dataclass(frozen=True, eq=False)
class Point:
    """A state of unpacking, with the numbers of bytes read and written."""

    packed: int = 0
    unpacked: int = 0
    state: zlib._Decompress = field(default_factory=_new_state)


def unpacked(
    path: Path, start: Point | None = None, keep: list[Point] | None = None
) -> Iterator[bytes]:
    """A gzip file's content from a resuming point on; new resuming points are appended to ``keep``.

    Raises:
        FileDefect: missing, damaged, cut short, or too large.
    """
    files.checked_size(path, MAX_PACKED_BYTES, Reason.BAD_METADATA)
    start = start or Point()
    state, read, written = start.state.copy(), start.packed, start.unpacked
    try:
        with path.open("rb") as file:
            file.seek(read)
            while data := file.read(_CHUNK_BYTES):
                if state.eof:  # gzip files may be concatenated
                    state = _new_state()
                if keep is not None and (not keep or written - keep[-1].unpacked >= RESUME_BYTES):
                    keep.append(Point(read, written, state.copy()))
                read += len(data)
                while data:
                    out = state.decompress(data)
                    written += len(out)
                    if written > MAX_UNPACKED_BYTES:
                        raise _damaged(path.name, f"unpacks to over {MAX_UNPACKED_BYTES} bytes")
                    yield out
                    data = state.unused_data if state.eof else b""
                    state = _new_state() if data else state
        if not state.eof:
            raise _damaged(path.name, f"is cut short after {read} bytes")
    except zlib.error as error:
        raise _damaged(path.name, f"is not an intact gzip file ({error})") from None
    except OSError as error:
        raise _damaged(path.name, f"cannot be read ({error.strerror})") from None


class Records:
    """The objects of a JSON list with their first and last byte, from pieces of the list's text.

    Only ASCII passes, so that places in the text are places in the file; Python's ``json`` writes
    nothing else by default.
    """

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._text = ""
        self._at = 0  # next character of the text
        self._offset = 0  # byte of the file at which the text starts

    def __iter__(self) -> Iterator[tuple[Any, tuple[int, int]]]:
        self._take("[")
        closed = self._peek() == "]"
        if closed:
            self._take("]")
        while not closed:
            if self._peek() != "{":
                raise self._wrong("no record")
            value, end = self._value()
            yield value, (self._offset + self._at, self._offset + end)
            self._at = end
            closed = self._take(",]") == "]"
        if self._peek():  # reads to the end, where the checksum is
            raise self._wrong("text after the list")

    def _more(self) -> bool:
        """Append the next piece to the unread text; False at the end."""
        piece = next(self._chunks, None)
        if piece is None or len(self._text) - self._at > MAX_RECORD_BYTES:
            return False
        if not piece.isascii():
            raise self._wrong("a non-ASCII byte somewhere after the text")
        self._text = self._text[self._at :] + piece.decode("ascii")
        self._offset += self._at
        self._at = 0
        return True

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> str:
        found = self._peek()
        if not found or found not in expected:
            raise self._wrong(repr(found) if found else "the end")
        self._at += 1
        return found

    def _value(self) -> tuple[Any, int]:
        while True:
            try:
                return _DECODE(self._text, self._at)
            except json.JSONDecodeError as error:
                tried = len(self._text) - self._at
                if not self._more():
                    raise self._wrong(error.msg) from None
                # double the text each time: parsing for each small piece would be slow
                while len(self._text) - self._at < 2 * tried and self._more():
                    pass
            except (ValueError, RecursionError) as error:  # absurd numbers or nesting
                raise self._wrong(one_line(error)) from None

    def _wrong(self, found: str) -> FileDefect:
        return no_list(self._name, f"{found} at byte {self._offset + self._at}")


def _damaged(name: str, found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA, f"{name} {found}", "a complete gzip file", "download it again"
    )


def no_list(name: str, found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA, f"{name}: {found}", "a gzipped JSON list", "download it again"
    )
