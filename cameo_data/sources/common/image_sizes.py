"""Sizes of a scene's images and depth maps, from a few headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cameo_data.geometry import undistortion
from cameo_data.io import depth_files, files, image_files, orientation
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthRef, ExifRule, Frame

# Number of headers read. The commonest size of a few counts, so that one odd frame does not make
# all others look wrong; a scene of 1000 frames lists as fast as one of ten.
_PROBES = 5


def spread(count: int) -> list[int]:
    """A few indices, spread evenly over ``count``."""
    return [int(i) for i in np.linspace(0, count - 1, min(_PROBES, count))]


def common_hw(
    folder: Path,
    paths: Sequence[Path],
    exif: ExifRule,
    like_hw: tuple[int, int] | None = None,
) -> tuple[int, int]:
    """``commonest_hw`` for images; ``exif`` and ``like_hw`` as in ``image_files.read_hw``."""
    return commonest_hw(folder, paths, lambda path: image_files.read_hw(path, exif, like_hw))


def commonest_hw(
    folder: Path, paths: Sequence[Path], read_hw: Callable[[Path], tuple[int, int]]
) -> tuple[int, int]:
    """The commonest size among a few files; the first readable one's, if those few are not.

    Raises:
        FileDefect: no file has a readable header inside ``folder``; the first one's defect.
        ValueError: no paths.
    """
    if not paths:
        raise ValueError("no file to take the size from")
    first: FileDefect | None = None
    for few in (True, False):
        found: list[tuple[int, int]] = []
        for path in [paths[i] for i in spread(len(paths))] if few else paths:
            try:
                found.append(read_hw(files.inside(folder, path)))
            except FileDefect as defect:
                first = first or defect
            if found and not few:
                break
        if found:
            return max(found, key=found.count)
    assert first is not None
    raise first


def exif_notes(frames: Sequence[Frame]) -> tuple[str, ...]:
    """What is done about EXIF orientation in a few of a scene's pictures, a sentence each."""
    notes: dict[str, None] = {}
    for frame in (frames[i] for i in spread(len(frames)) if frames[i].image_index is None):
        hw, rule = undistortion.stored_hw(frame), frame.exif_orientation
        name = frame.image_path.name
        try:
            header = image_files.read_header(frame.image_path)
            turn = orientation.settle(rule, header.orientation, header.hw, hw, name)
        except FileDefect:
            continue  # reading the frame reports this as its failure
        if header.orientation != orientation.STORED:
            asked = f"EXIF orientation {header.orientation} asks viewers to "
            asked += orientation.MEANINGS[header.orientation].replace(" it", " pictures")
            done = "is followed" if turn != orientation.STORED else "is ignored"
            whose = "displayed" if turn != orientation.STORED else "stored"
            why = ", as the size that K is for shows" if rule == "by_size" else ""
            notes[
                f"{asked}: the tag {done}; K, depth, masks and poses are taken for those of the "
                f"{whose} pixels{why} (-o exif_orientation=… changes this)"
            ] = None
    return tuple(notes)


def depth_hw(ref: DepthRef) -> tuple[int, int]:
    """Height and width of a depth file.

    Raises:
        FileDefect: missing, unreadable, too large.
    """
    return depth_files.depth_hw(ref.path, ref.codec)
