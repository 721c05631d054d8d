"""``images.txt`` of a COLMAP model: its two lines per image, before COLMAP's library reads them.

The library takes every second line for an image's keypoints, whatever it holds, and ends a name at
its first space. Models written by hand or by other tools leave the empty second lines out and have
names with spaces; both are read here, and each line is judged by what it holds:

    IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME      the name goes to the end of the line
    X Y POINT3D_ID X Y POINT3D_ID …                   keypoints; may be empty

(https://colmap.github.io/format.html, "images.txt").
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable

# The characters of numbers, including "nan" and "inf".
_OF_NUMBERS = b"0123456789+-.eE \tnaifNAIF"
_WORDS = 10


@dataclass(frozen=True)
class TextImages:
    """What ``images.txt`` says apart from poses and keypoints.

    Attributes:
        names: the images' names by id.
        without_keypoints: number of images whose second line is left out.
        as_colmap_writes: whether the library reads the file as intended.
    """

    names: dict[int, str]
    without_keypoints: int
    as_colmap_writes: bool


@dataclass(frozen=True)
class _Entry:
    """An image's lines.

    Attributes:
        numbers: the words before the name.
        keypoints: the second line, or None where it is left out.
        plain: whether single spaces, and nothing else, separate the words.
    """

    line: int
    image_id: int
    numbers: tuple[bytes, ...]
    name: bytes
    keypoints: bytes | None
    plain: bool


def scan_images(path: Path) -> TextImages:
    """The images' names, and whether COLMAP's library would read the file as intended.

    Raises:
        FileDefect: a line is neither an image nor keypoints, or an id appears twice.
    """
    names: dict[int, str] = {}
    missing, plain = 0, True
    for entry in _entries(path):
        if entry.image_id in names:
            raise _bad(path, entry.line, f"image id {entry.image_id} again", "each id once")
        # bytes that are not UTF-8 stay visible as such: the frame's name is refused, not the model
        names[entry.image_id] = entry.name.decode("utf-8", "surrogateescape")
        missing += entry.keypoints is None
        plain = plain and entry.plain
    return TextImages(names, missing, plain and not missing)


def write_plain_images(path: Path, out: Path) -> None:
    """The same file as COLMAP writes it, each image called ``image`` and its id."""
    with out.open("wb") as file:
        for entry in _entries(path):
            file.write(b" ".join((*entry.numbers, f"image{entry.image_id}".encode())) + b"\n")
            file.write((entry.keypoints or b"") + b"\n")


def _entries(path: Path) -> Iterator[_Entry]:
    pending: _Entry | None = None
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            marked = raw.startswith(codecs.BOM_UTF8) and number == 1
            line = raw.removeprefix(codecs.BOM_UTF8 if marked else b"").strip()
            if line.startswith(b"#"):
                if pending is not None:  # COLMAP's library would take it for keypoints
                    pending = replace(pending, plain=False)
                continue
            if pending is None and not line:
                continue
            if pending is not None and _are_keypoints(line):
                yield replace(pending, keypoints=line)
                pending = None
                continue
            if pending is not None:
                yield pending
            pending = _image(line, number, plain=not marked)
            if pending is None:
                text = printable(line[:60].decode("utf-8", "backslashreplace"))
                raise _bad(
                    path,
                    number,
                    f"{text!r}",
                    "an image (IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME) or its keypoints "
                    "(triples X Y POINT3D_ID)",
                )
    if pending is not None:
        yield pending


def _image(line: bytes, number: int, plain: bool) -> _Entry | None:
    """The image that a line states, its keypoints still unknown; None if it states none."""
    words = line.split(None, _WORDS - 1)
    if len(words) < _WORDS:
        return None
    *numbers, name = words
    try:
        image_id, _ = int(numbers[0]), int(numbers[8])
        for word in numbers[1:8]:
            float(word)
    except ValueError:
        return None
    if b"".join(numbers).translate(None, _OF_NUMBERS):  # Python's 1_000 is not a number to COLMAP
        return None
    plain = plain and b" ".join(words) == line and not any(space in name for space in b" \t")
    plain = plain and name.decode("utf-8", "replace").encode() == name
    return _Entry(number, image_id, tuple(numbers), name, None, plain)


def _are_keypoints(line: bytes) -> bool:
    return not line.translate(None, _OF_NUMBERS) and len(line.split()) % 3 == 0


def _bad(path: Path, line: int, found: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"{path.name} line {line} is {found}",
        expected,
        "correct the line, or rewrite the model with COLMAP's model_converter",
    )
