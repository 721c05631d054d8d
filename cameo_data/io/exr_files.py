"""Depth from OpenEXR files: channel Z, the Z of one of several layers, or the only channel."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason, install
from cameo_data.io import files, image_files
from cameo_data.io.depth_defects import reading, unreadable
from cameo_data.io.files import FileDefect

# Renderers write more passes than anyone views; this limits reading to four pictures' worth.
_MOST_VALUES = 4 * image_files.MAX_PIXELS
# OpenEXR's reserved name for depth, and what renderers call its layer or channel (Blender writes
# "ViewLayer.Depth.Z" up to 3.x and "ViewLayer.Depth.V" since).
_DEPTH_LAYERS = ("depth", "z", "zdepth")


def exr_hw(path: Path) -> tuple[int, int]:
    """Height and width from the header of an OpenEXR file.

    Raises:
        FileDefect: missing, unreadable, too large, or OpenEXR is not installed.
    """
    exr = _library()
    files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    with reading(path, "OpenEXR"), exr.File(str(path), header_only=True) as file:
        low, high = file.header()["dataWindow"]
        channels = sum(len(part.channels) for part in file.parts)
        height, width = int(high[1]) - int(low[1]) + 1, int(high[0]) - int(low[0]) + 1
    if (
        min(height, width) < 1
        or height * width > image_files.MAX_PIXELS
        or height * width * channels > _MOST_VALUES
    ):
        raise unreadable(
            path,
            f"is {height}×{width} (h×w) with {channels} channels",
            f"at most {image_files.MAX_PIXELS} pixels, and {_MOST_VALUES} values",
        )
    return height, width


def read_exr(path: Path) -> NDArray[np.generic]:
    """The depth channel's values, (H, W).

    Raises:
        FileDefect: as ``exr_hw``, or the depth channel is ambiguous.
    """
    exr_hw(path)  # refuses a file that is too large before its pixels are read
    channels: dict[str, NDArray[Any]] = {}
    with reading(path, "OpenEXR"), _library().File(str(path), separate_channels=True) as file:
        for number, part in enumerate(file.parts):
            prefix = f"{part.name()}." if len(file.parts) > 1 else ""
            for name, channel in part.channels.items():
                spelled = f"{prefix}{name}"
                if spelled in channels:
                    spelled = f"{number}.{spelled}"
                channels[spelled] = np.array(channel.pixels)
    return channels[_choose(path, channels)]


def _choose(path: Path, channels: dict[str, NDArray[Any]]) -> str:
    """The name of the depth channel.

    Raises:
        FileDefect: there is none, or several differ.
    """
    if "Z" in channels:
        return "Z"
    named = [name for name in channels if _is_depth(name)]
    rest = [name for name in channels if name.rpartition(".")[2] != "A"]
    for candidates in (named, rest):
        first = candidates[:1]
        if first and all(np.array_equal(channels[first[0]], channels[c]) for c in candidates[1:]):
            return first[0]
        if first:
            break  # several depth channels differ, and the remaining candidates cannot decide
    candidates = named or rest
    listed = ", ".join(sorted(candidates)[:12]) + (" …" if len(candidates) > 12 else "")
    raise unreadable(
        path,
        f"has {len(candidates)} channels that differ ({listed})",
        "one channel of depth, called Z or LAYER.Z",
    )


def _is_depth(name: str) -> bool:
    """Whether a channel's name marks it as the depth of its layer."""
    *layers, channel = name.lower().split(".")
    if channel == "z":  # but not the third component of a vector such as a normal or a position
        return not layers or layers[-1] not in ("normal", "normals", "n", "position", "p", "vector")
    layer = layers[-1] if layers else channel
    return layer in _DEPTH_LAYERS and channel in ("v", "y", "r", "g", "b", *_DEPTH_LAYERS)


def _library() -> ModuleType:
    """The OpenEXR package; OpenCV's wheels are built without OpenEXR."""
    try:
        return import_module("OpenEXR")
    except ImportError:
        raise FileDefect(
            Reason.UNREADABLE_DEPTH,
            "depth is an OpenEXR file and the package OpenEXR is not installed",
            "a reader for it",
            f"{install('OpenEXR')}, or convert the depth to TIFF or .npy",
        ) from None
