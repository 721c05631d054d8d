"""One reader for each ``DepthCodec``, in ``CODECS``.

Each returns the stored values as (H, W) float32, not yet scaled to scene units; 0 means none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import array_files, colmap_files, exr_files, files, image_files, npy_header
from cameo_data.io.depth_defects import reading, unreadable
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthCodec, DepthMap, DepthRef

FloatImage = NDArray[np.float32]

# Raw Kinect disparity to metres: 351.3 / (1092.5 − raw), as in NYU Depth v2's toolbox
# (get_instance… ``camera_params.m``: depthParam1 351.3, depthParam2 1092.5). 2047 means none.
_NYU_NUMERATOR = 351.3
_NYU_OFFSET = 1092.5


def read_uint16(path: Path) -> FloatImage:
    """Values of a 16-bit one-channel PNG, PGM (high byte first, as Netpbm says) or TIFF."""
    return _one_channel_16(path).astype(np.float32)


def read_uint16_swapped(path: Path) -> FloatImage:
    """Like ``read_uint16``, for a file with the low byte first, e.g. a PGM dumped from memory."""
    return _one_channel_16(path).byteswap().astype(np.float32)


def read_sun_rotated(path: Path) -> FloatImage:
    """Millimetres of a SUN RGB-D PNG, which stores each value rotated left by three bits."""
    p = _one_channel_16(path)
    return ((p >> 3) | (p << 13)).astype(np.float32)


def read_nyu_disparity(path: Path) -> FloatImage:
    """Metres of NYU Depth v2's raw Kinect disparity, in PGMs with the low byte first."""
    raw = _one_channel_16(path).byteswap().astype(np.float32)
    known = raw < _NYU_OFFSET  # above that, depth would be negative; 2047 means none
    return np.where(known, _NYU_NUMERATOR / np.where(known, _NYU_OFFSET - raw, 1), 0).astype(
        np.float32
    )


def read_float(path: Path) -> FloatImage:
    """Values of a one-channel TIFF of 32 or 64 bits, PFM or OpenEXR file."""
    suffix = path.suffix.lower()
    if suffix == ".pfm":
        return array_files.read_pfm(path)
    values = exr_files.read_exr(path) if suffix == ".exr" else _unchanged(path)
    if values.ndim != 2 or values.dtype.kind != "f":
        raise _wrong_kind(path, values, "one floating-point channel")
    return _float32(values)


def read_npy(path: Path) -> FloatImage:
    """Values of a NumPy file of (H, W) or (H, W, 1) numbers; never unpickled."""
    return _image_of_numbers(path, _map_npy(path))


def read_uint8(path: Path) -> FloatImage:
    """Values of an 8-bit one-channel PNG or PGM."""
    values = _unchanged(path)
    if values.ndim != 2 or values.dtype != np.uint8:
        raise _wrong_kind(path, values, "one channel of 8 bits")
    return values.astype(np.float32)


def read_float16_png(path: Path) -> FloatImage:
    """Values of a 16-bit one-channel PNG whose bits are float16 numbers, as in CO3D."""
    return _float32(_one_channel_16(path).view(np.float16))


def read_pfm(path: Path) -> FloatImage:
    """Values of a PFM file; the magnitude of its scale is ignored (``array_files.read_pfm``)."""
    return array_files.read_pfm(path)


def read_npz(path: Path) -> FloatImage:
    """Values of a NumPy archive's only array, or of the one called ``depth``."""
    return _image_of_numbers(path, array_files.read_npz(path))


def read_hdf5(path: Path) -> FloatImage:
    """Values of an HDF5 file's only array, or of the one called ``depth`` or ``dataset``."""
    return _image_of_numbers(path, array_files.read_hdf5(path))


def read_megadepth(path: Path) -> FloatImage:
    """Values of MegaDepth's HDF5, unless it only orders foreground and background.

    A map that only orders them has values below zero and no depth (COTR's ``prepare_data.md``
    leaves such maps out).
    """
    values = read_hdf5(path)
    if values.min(initial=0) < 0:
        raise FileDefect(
            Reason.EMPTY_DEPTH,
            f"{path.name} only orders foreground and background",
            "depth above zero",
            "leave the frame out",
        )
    return values


def read_dtu(path: Path) -> FloatImage:
    """Values of DTU's ``depth_map_NNNN.pfm`` where its ``depth_visual_NNNN.png`` is not black.

    That mask leaves out what the reconstructed surface adds beyond the scan; without the mask, all
    values count.
    """
    values = array_files.read_pfm(path)
    visual = path.with_name(path.name.replace("depth_map", "depth_visual")).with_suffix(".png")
    if not visual.exists():
        return values
    lit = image_files.read_mask(files.inside(path.parent, visual))
    if lit.shape != values.shape:
        raise _wrong_kind(visual, lit, f"the size of {path.name}")
    return np.where(lit, values, np.float32(0))


def read_colmap(path: Path) -> FloatImage:
    """Values of a depth map in COLMAP's dense workspace, ``stereo/depth_maps/*.bin``."""
    return colmap_files.read_array(path)


# These encodings share one kind of file, an image with one 16-bit channel. Any of them can be read
# as any other, so the user must choose the right one (``check`` tries them all).
CODECS_OF_16_BITS: dict[DepthCodec, Callable[[Path], FloatImage]] = {
    DepthCodec.UINT16: read_uint16,
    DepthCodec.UINT16_SWAPPED: read_uint16_swapped,
    DepthCodec.SUN_ROTATED: read_sun_rotated,
    DepthCodec.NYU_DISPARITY: read_nyu_disparity,
    DepthCodec.FLOAT16_PNG: read_float16_png,
}
CODECS: dict[DepthCodec, Callable[[Path], FloatImage]] = {
    **CODECS_OF_16_BITS,
    DepthCodec.FLOAT: read_float,
    DepthCodec.NPY: read_npy,
    DepthCodec.UINT8: read_uint8,
    DepthCodec.PFM: read_pfm,
    DepthCodec.NPZ: read_npz,
    DepthCodec.HDF5: read_hdf5,
    DepthCodec.MEGADEPTH: read_megadepth,
    DepthCodec.DTU: read_dtu,
    DepthCodec.COLMAP: read_colmap,
}


def read_depth(depth: DepthRef) -> DepthMap:
    """The depth map in scene units, in the depth camera's own pixels.

    Raises:
        FileDefect: missing, damaged, too large, of another encoding.
        ValueError: distances along rays come without ``camera_K``.
    """
    values = CODECS[depth.codec](depth.path)
    for marker in depth.invalid:
        values = np.where(values == np.float32(marker), np.float32(np.nan), values)
    if depth.along_ray and depth.camera_K is None:
        raise ValueError("distances along rays need camera_K")
    with np.errstate(all="ignore"):  # values that overflow become infinite, which is not depth
        values = values * np.float32(depth.scale)
        if depth.stereo is not None:
            values = _z_from_disparity(values, depth.stereo)
        if depth.along_ray and depth.camera_K is not None:
            values = _z_from_distance(values, depth.camera_K)
    if depth.least_confidence > 0:
        values = np.where(_sure(depth, values.shape), values, np.float32(0))
    if depth.mask_path is not None:
        values = np.where(_depth_mask(depth.mask_path, values.shape), values, np.float32(0))
    return DepthMap.from_array(values)


def read_confidence(path: Path) -> FloatImage:
    """(H, W) confidence in [0, 1] beside the depth in a NumPy archive, where 255 means 1."""
    return _float32(array_files.read_npz(path, "confidence")) / np.float32(255)


def _sure(depth: DepthRef, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    confidence = read_confidence(depth.path)
    if confidence.shape != shape:
        raise _wrong_kind(depth.path, confidence, "confidence of the depth's size")
    return confidence >= depth.least_confidence


def _depth_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    known = np.asarray(image_files.read_grey(path) > 0, np.bool_)
    if known.shape != shape:
        raise _wrong_kind(path, known, f"{shape[0]}×{shape[1]} (h×w) like the depth")
    return known


def _z_from_disparity(disparity: FloatImage, stereo: tuple[float, float]) -> FloatImage:
    """z = f·B / (d + cx1 − cx0), as Middlebury's ``calib.txt`` defines it; 0 where d is unknown."""
    sum_px: NDArray[np.float64] = disparity.astype(np.float64) + stereo[1]
    known = np.isfinite(sum_px) & (sum_px > 0)
    z = np.where(known, stereo[0] / np.where(known, sum_px, 1.0), 0.0)
    return np.asarray(z, np.float32)


def _z_from_distance(distance: FloatImage, K: NDArray[np.float64]) -> FloatImage:
    """z of points at a distance from the camera's centre: distance / |K⁻¹ (x, y, 1)|."""
    height, width = distance.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(K).T
    return np.asarray(distance / np.linalg.norm(rays, axis=-1), np.float32)


def _image_of_numbers(path: Path, array: NDArray[Any]) -> FloatImage:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.size == 0:
        raise _wrong_kind(path, array, "an (H, W) array of numbers")
    return _float32(array)


def _float32(array: NDArray[Any]) -> FloatImage:
    """The values as float32; overflow gives no warning, since infinity and NaN are not depth."""
    with np.errstate(all="ignore"):
        return array.astype(np.float32)


def depth_hw(path: Path, codec: DepthCodec) -> tuple[int, int]:
    """Height and width from the header of a depth file with this codec.

    Raises:
        FileDefect: missing, unreadable, too large.
    """
    if codec not in _SIZES and (others := _ARRAY_CODECS.get(path.suffix.lower())) is not None:
        raise FileDefect(
            Reason.UNREADABLE_DEPTH,
            f"{path.name} does not fit the depth codec {codec}",
            "a codec that fits the file",
            f"choose the depth codec {others}; with it, depth_scale is usually 1",
        )
    return _SIZES.get(codec, _picture_hw)(path)


def _picture_hw(path: Path) -> tuple[int, int]:
    return image_files.read_hw(path, reason=Reason.UNREADABLE_DEPTH)


def _npy_hw(path: Path) -> tuple[int, int]:
    height, width = _map_npy(path).shape[:2]
    return int(height), int(width)


def _float_hw(path: Path) -> tuple[int, int]:
    by_suffix = {".exr": exr_files.exr_hw, ".pfm": array_files.pfm_hw}
    return by_suffix.get(path.suffix.lower(), _picture_hw)(path)


# Codecs by extension, for files that no picture decoder reads.
_ARRAY_CODECS = {
    ".npy": DepthCodec.NPY,
    ".npz": DepthCodec.NPZ,
    ".h5": DepthCodec.HDF5,
    ".hdf5": DepthCodec.HDF5,
    ".pfm": DepthCodec.PFM,
    ".exr": DepthCodec.FLOAT,
}
# Readers of the size for codecs whose files are not pictures.
_SIZES: dict[DepthCodec, Callable[[Path], tuple[int, int]]] = {
    DepthCodec.FLOAT: _float_hw,
    DepthCodec.NPY: _npy_hw,
    DepthCodec.PFM: array_files.pfm_hw,
    DepthCodec.NPZ: array_files.npz_hw,
    DepthCodec.HDF5: array_files.hdf5_hw,
    DepthCodec.MEGADEPTH: array_files.hdf5_hw,
    DepthCodec.DTU: array_files.pfm_hw,
    DepthCodec.COLMAP: colmap_files.array_hw,
}


def _unchanged(path: Path) -> NDArray[np.generic]:
    return image_files.read_unchanged(path, Reason.UNREADABLE_DEPTH)


def _one_channel_16(path: Path) -> NDArray[np.uint16]:
    values = _unchanged(path)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise _wrong_kind(path, values, "one channel of 16 bits")
    return values.astype(np.uint16, copy=False)


def _map_npy(path: Path) -> NDArray[Any]:
    """The array in a .npy file, mapped but not read."""
    size = files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    with reading(path, ".npy"), path.open("rb") as stream:
        if stream.peek(2)[:2] == b"PK":
            raise unreadable(path, "is an archive of arrays", "one array in a .npy file")
        header = npy_header.read_header(stream)
        start = stream.tell()
        shape, dtype = header.shape, header.dtype
        if len(shape) < 2 or dtype.hasobject or not 0 < math.prod(shape) <= image_files.MAX_PIXELS:
            of = "×".join(str(n) for n in shape) or "()"
            raise unreadable(
                path,
                f"holds {dtype} of shape {of}",
                f"an (H, W) array of numbers, at most {image_files.MAX_PIXELS} pixels",
            )
        needed = start + math.prod(shape) * dtype.itemsize
        if size < needed:
            raise unreadable(path, f"holds {size} bytes", f"{needed} bytes, as its header says")
        return np.memmap(path, dtype, "r", start, shape, "F" if header.fortran else "C")


def _wrong_kind(path: Path, values: NDArray[Any], expected: str) -> FileDefect:
    shape = "×".join(str(n) for n in values.shape)
    return unreadable(path, f"holds {values.dtype} of shape {shape}", expected)
