"""Chunks of scenes in pixelSplat's format: ``.torch`` files with cameras and encoded images.

A chunk is a list of scenes, each a dict (``src/dataset/dataset_re10k.py`` of dcharatan/pixelsplat):

    key         the scene's name
    timestamps  (N,) integers
    cameras     (N, 18): fx fy cx cy normalised by width and height, two zeros, world-to-camera 3×4
    images      N one-dimensional uint8 tensors, each a JPEG or PNG file

Such files contain pickles. They are always loaded with ``weights_only=True``, which builds tensors
and plain containers and refuses everything else; PyTorch is imported only here.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.io.image_files import RgbFile
from cameo_data.io.parsing import decoding
from cameo_data.types import ExifRule

SUFFIX = ".torch"
# pixelSplat closes a chunk at 100 MB; other tools write larger ones.
MAX_CHUNK_BYTES = 50_000_000_000
# RealEstate10K's longest clip has fewer than 1 000.
MAX_FRAMES = 1_000_000

_REMEDY = "write the chunk again"


@dataclass(frozen=True, eq=False)
class ChunkScene:
    """One scene of a chunk.

    Attributes:
        index: its place in the chunk.
        timestamps: N integers.
        cameras: (N, 18) float64.
        images: N encoded images.
    """

    index: int
    key: str
    timestamps: tuple[int, ...]
    cameras: NDArray[np.float64]
    images: tuple[Any, ...]


def read_scene(path: Path, key: str) -> ChunkScene:
    """The scene called ``key``; its images are mapped, not read.

    Raises:
        FileDefect: missing, not such a chunk, without that scene, or the scene is malformed.
    """
    scenes = _load(path)
    for index, values in enumerate(scenes):
        if isinstance(values, dict) and values.get("key") == key:
            return _scene(path, index, values)
    raise _malformed(path, f"has no scene {key!r}", "the scenes that index.json names")


def read_rgb(
    path: Path,
    scene: int,
    number: int,
    exif: ExifRule = "refuse",
    like_hw: tuple[int, int] | None = None,
) -> RgbFile:
    """Image ``number`` of the chunk's scene at place ``scene``.

    ``exif`` and ``like_hw`` are as in ``image_files.read_rgb``.

    Raises:
        FileDefect: as ``read_scene``, or the image is damaged.
    """
    scenes = _load(path)
    if scene >= len(scenes) or not isinstance(scenes[scene], dict):
        raise _malformed(path, f"has {len(scenes)} scenes", f"more than {scene}")
    found = _scene(path, scene, scenes[scene])
    if number >= len(found.images):
        raise _malformed(path, f"has {len(found.images)} images", f"more than {number}")
    with decoding(path.name, Reason.UNREADABLE_IMAGE, "encoded bytes", _REMEDY):
        data = image_bytes(found, number)
    name = f"{path.name}, {found.key} {number}"
    return image_files.decode_rgb(data, name, exif, like_hw)


def image_bytes(scene: ChunkScene, number: int) -> bytes:
    """Image ``number`` as a JPEG or PNG file."""
    data: bytes = scene.images[number].numpy().tobytes()
    return data


def _load(path: Path) -> list[Any]:
    size = files.checked_size(path, MAX_CHUNK_BYTES, Reason.UNREADABLE_IMAGE)
    return _load_cached(path, size, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)  # mapped, so a chunk costs only its index, about 0.15 ms per image
def _load_cached(path: Path, _size: int, _changed: int) -> list[Any]:
    torch = import_module("torch")
    expected = "a chunk of tensors that loads with weights_only=True"
    with decoding(path.name, Reason.BAD_METADATA, expected, _REMEDY):
        try:
            chunk = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except pickle.UnpicklingError:
            raise _malformed(path, "holds more than tensors and plain values", expected) from None
    if not isinstance(chunk, list):
        raise _malformed(path, f"holds a {type(chunk).__name__}", "a list of scenes")
    return chunk


def _scene(path: Path, index: int, values: dict[str, Any]) -> ChunkScene:
    """The checked record of one scene."""
    # tensors may be sparse, quantised or without storage, so the exceptions vary
    with decoding(path.name, Reason.BAD_METADATA, "plain tensors", _REMEDY):
        return _checked_scene(path, index, values)


def _checked_scene(path: Path, index: int, values: dict[str, Any]) -> ChunkScene:
    torch = import_module("torch")
    key = values.get("key")
    where = f"scene {key!r}" if isinstance(key, str) else f"scene {index}"
    missing = [k for k in ("key", "timestamps", "cameras", "images") if k not in values]
    if missing:
        raise _malformed(path, f"{where} has no {missing[0]}", "key, timestamps, cameras, images")
    times, cameras, images = values["timestamps"], values["cameras"], values["images"]
    tensors = isinstance(times, torch.Tensor) and isinstance(cameras, torch.Tensor)
    if not tensors or times.ndim != 1 or times.is_floating_point() or cameras.ndim != 2:
        raise _malformed(path, f"{where} has unexpected timestamps or cameras", "(N,) and (N, 18)")
    if len(times) > MAX_FRAMES:
        raise _malformed(path, f"{where} has {len(times)} frames", f"at most {MAX_FRAMES}")
    counts = (len(times), len(cameras), len(images) if isinstance(images, list) else 0)
    if len(set(counts)) > 1 or cameras.shape[1] != 18:
        found = f"{where} has {counts[0]} timestamps, {counts[2]} images, cameras "
        found += "×".join(map(str, cameras.shape))
        raise _malformed(path, found, "N timestamps, N images, cameras N×18")
    for image in images:
        if not (isinstance(image, torch.Tensor) and image.ndim == 1 and image.dtype == torch.uint8):
            raise _malformed(path, f"{where} has images of another type", "encoded bytes (uint8)")
        if image.numel() > files.MAX_FRAME_BYTES:  # a tensor may claim more than its file holds
            raise _malformed(path, f"{where} has an image of {image.numel()} bytes", "images")
    return ChunkScene(
        index,
        str(key),
        tuple(int(t) for t in times.tolist()),
        cameras.to(torch.float64).numpy().copy(),
        tuple(images),
    )


def _malformed(path: Path, found: str, expected: str) -> FileDefect:
    return FileDefect(Reason.BAD_METADATA, f"{path.name} {found}", expected, _REMEDY)
