"""Sizes of a scene's images and depth maps, from a few headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cameo_data import depth_io, files, image_io
from cameo_data.files import FileDefect
from cameo_data.types import DepthRef

# Headers read: the commonest size of a few, so that one odd frame does not make all others look
# wrong, and a scene of 1000 frames lists as fast as one of ten.
_PROBES = 3


def spread(count: int) -> list[int]:
    """A few places evenly over ``count`` ones."""
    return [int(i) for i in np.linspace(0, count - 1, min(_PROBES, count))]


def common_hw(folder: Path, paths: Sequence[Path]) -> tuple[int, int]:
    """The commonest size among a few images; the first readable one's, if those few are not.

    Raises:
        FileDefect: no image has a readable header inside ``folder``; the first one's defect.
        ValueError: no paths.
    """
    if not paths:
        raise ValueError("no image to take the size from")
    first: FileDefect | None = None
    for few in (True, False):
        found: list[tuple[int, int]] = []
        for path in [paths[i] for i in spread(len(paths))] if few else paths:
            try:
                found.append(image_io.read_hw(files.inside(folder, path)))
            except FileDefect as defect:
                first = first or defect
            if found and not few:
                break
        if found:
            return max(found, key=found.count)
    assert first is not None
    raise first


def depth_hw(ref: DepthRef) -> tuple[int, int]:
    """Height and width of a depth file.

    Raises:
        FileDefect: missing, unreadable, too large.
    """
    return depth_io.depth_hw(ref.path, ref.codec)
