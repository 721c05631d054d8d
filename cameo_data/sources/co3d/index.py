"""Frames of one CO3D sequence from a category's annotations, without decoding the rest.

``frame_annotations.jgz`` is one gzipped JSON list of all frames of a category, 100 MB and more once
unpacked. One pass notes where each sequence's records are; a sequence is later unpacked from the
nearest resuming point.

The pass only searches for the starts of records, which have ``sequence_name`` first as published,
and decodes nothing else; that takes a tenth of the time. A file with another form is noticed at
once (the name also appears elsewhere) or when a sequence is read (its spans do not hold its
records). It is then read record by record.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cameo_data.io import parsing
from cameo_data.io.gzip_json import Point, Records, no_list, unpacked

# As ``json.dumps`` writes it; a name is that of a folder, without quotes or escapes.
_START = re.compile(rb'\{"sequence_name": ?"([^"\\]{1,255})"')
_KEY = b'"sequence_name"'
# More than the beginning of a record takes.
_OVERLAP = 512

# CO3D v2's largest category has some 1 500 sequences; a sequence has some 200 frames of a kilobyte,
# up to 8 where it lists evaluation batches. The records of a sequence are contiguous.
MAX_SEQUENCES = 100_000
MAX_RUNS = 2_000_000
MAX_SEQUENCE_BYTES = 32_000_000

Spans = dict[str, "array[int]"]


class FrameIndex:
    """Where in ``frame_annotations.jgz`` each sequence's frames are.

    Attributes:
        spans: first and last byte, unpacked, of each run of a sequence's records: s0, e0, s1, …
        points: resuming points in rising order.

    Raises:
        FileDefect: missing, damaged, too large, not a JSON list, or a record without a
            sequence's name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.points: list[Point] = []
        spans = _skim(unpacked(path, keep=self.points))
        self._skimmed = spans is not None
        self.spans = self._by_records() if spans is None else spans

    def read(self, sequence: str) -> list[Any]:
        """The sequence's frame records, not yet checked, in the file's order; [] without any.

        Raises:
            FileDefect: the file changed, is gone or is not a list of records, or the sequence's
                records are more than memory should hold.
        """
        found = self._read(sequence)
        if self._skimmed and (not found or any(_name(value) != sequence for value in found)):
            self.spans, self._skimmed = self._by_records(), False
            found = self._read(sequence)
        if found is None:
            raise no_list(self.path.name, "changed while it was read")
        return found

    def _read(self, sequence: str) -> list[Any] | None:
        """None where the spans hold no records."""
        spans = self.spans.get(sequence, array("q"))
        found: list[Any] = []
        size = sum(spans[1::2]) - sum(spans[::2])
        if size > MAX_SEQUENCE_BYTES:
            where = f"{size} bytes of records of sequence {sequence[:80]!r}"
            raise no_list(self.path.name, f"{where}, more than {MAX_SEQUENCE_BYTES}")
        for start, end in zip(spans[::2], spans[1::2], strict=True):
            text = self._text(start, end).rstrip(b", \t\r\n")
            try:
                found += parsing.parse_json(b"[%s]" % text)
            except ValueError:
                return None
        return found

    def _text(self, start: int, end: int) -> bytes:
        point = max((p for p in self.points if p.unpacked <= start), key=lambda p: p.unpacked)
        text = bytearray()
        place = point.unpacked
        for chunk in unpacked(self.path, point):
            if place + len(chunk) > start:
                text += chunk[max(0, start - place) : end - place]
            place += len(chunk)
            if place >= end:
                break
        return bytes(text)

    def _by_records(self) -> Spans:
        self.points = []
        spans: Spans = {}
        last = None
        runs = 0
        for value, (start, end) in Records(unpacked(self.path, keep=self.points), self.path.name):
            name = _name(value)
            if name is None:
                raise no_list(self.path.name, f"a record without sequence_name at byte {start}")
            if name == last:
                spans[name][-1] = end  # the usual case: a sequence's frames are contiguous
            else:
                spans.setdefault(name, array("q")).extend((start, end))
                runs += 1
            last = name
            if len(spans) > MAX_SEQUENCES or runs > MAX_RUNS:
                raise no_list(self.path.name, f"more sequences than {MAX_SEQUENCES}, or scattered")
        return spans


def _name(value: Any) -> str | None:
    name = value.get("sequence_name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _skim(chunks: Iterator[bytes]) -> Spans | None:
    """Spans found by the starts of records; None where the text has another form.

    A span reaches to the next sequence's first record, so a comma may be at its end.
    """
    spans: Spans = {}
    last: list[str] = []
    keys = records = runs = offset = 0
    text = b""
    for chunk in itertools.chain(chunks, (None,)):
        ended = chunk is None
        text += chunk or b""
        if not text.isascii():
            return None  # Records says what is wrong
        # a start that the end of a piece cuts off is found with the next piece
        length = len(text) if ended else max(0, len(text) - _OVERLAP)
        keys += text.count(_KEY, 0, length + len(_KEY) - 1)
        for found in _START.finditer(text):
            if found.start() >= length:
                break
            if not records and text[: found.start()].strip() != b"[":
                return None
            records += 1
            name = found[1].decode()
            if last != [name]:
                _close(spans, last, offset + found.start())
                spans.setdefault(name, array("q")).extend((offset + found.start(), 0))
                last = [name]
                runs += 1
        if len(spans) > MAX_SEQUENCES or runs > MAX_RUNS:
            return None  # Records says so
        if not ended:
            text, offset = text[length:], offset + length
    if keys != records or not text.rstrip().endswith(b"]"):
        return None
    _close(spans, last, offset + text.rindex(b"]"))
    return spans


def _close(spans: Spans, names: list[str], end: int) -> None:
    for name in names:
        spans[name][-1] = end
