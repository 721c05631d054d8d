"""Arrays from PFM, NumPy and HDF5 files, whose sizes are checked before the values are read.

Nothing is unpickled, and no other file is opened: an HDF5 file can point to other files in
three ways (external links, external storage, virtual datasets), and all three are refused.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import files, image_files, npy_header, pickled_values
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import decoding

# Names of the depth array in files with several arrays: MegaDepth's, Hypersim's.
DEPTH_NAMES = ("depth", "dataset")

# "Pf", width, height, scale, and one white space before the pixels; 100 bytes hold any header.
_PFM_HEADER = re.compile(
    rb"(P[fF])\s+(\d{1,7})\s+(\d{1,7})\s+([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s"
)
_PFM_HEADER_BYTES = 100
# Paths and matrices of 10 000 images.
_LARGEST_PICKLE = 20_000_000
_REMEDY = "copy the file again, or convert it"


def read_pfm(path: Path) -> NDArray[np.float32]:
    """(H, W) values of a one-channel PFM file, top row first.

    Rows are stored from the bottom up, and a negative scale means low byte first. The scale's
    magnitude is ignored, as Middlebury's format says (its files state 0.003922 for disparities).

    Raises:
        FileDefect: missing, damaged, too large, or in colour.
    """
    data = files.read_bytes(path, Reason.UNREADABLE_DEPTH)
    header, (height, width) = _pfm_header(path, data[:_PFM_HEADER_BYTES])
    expected = header.end() + 4 * width * height
    if len(data) != expected:
        raise _unreadable(path, f"holds {len(data)} bytes", f"{expected} bytes, a complete PFM")
    order = "<f4" if float(header[4]) < 0 else ">f4"
    stored = np.frombuffer(data, order, offset=header.end()).reshape(height, width)
    return stored[::-1].astype(np.float32)


def pfm_hw(path: Path) -> tuple[int, int]:
    """Height and width from a PFM file's header.

    Raises:
        FileDefect: as ``read_pfm``, except for missing pixels.
    """
    files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    with _reading(path, "PFM"), path.open("rb") as stream:
        return _pfm_header(path, stream.read(_PFM_HEADER_BYTES))[1]


def _pfm_header(path: Path, data: bytes) -> tuple[re.Match[bytes], tuple[int, int]]:
    header = _PFM_HEADER.match(data)
    if header is None or float(header[4]) == 0:
        raise _unreadable(path, "has no PFM header", "Pf, width, height, scale")
    if header[1] == b"PF":
        raise _unreadable(path, "is a colour PFM", "one channel")
    hw = (int(header[3]), int(header[2]))
    _check_pixels(path, hw)
    return header, hw


def read_npz(path: Path, name: str | None = None) -> NDArray[Any]:
    """One array of a NumPy archive: ``name``, or the only one, or the one with a name of depth.

    Raises:
        FileDefect: missing, damaged, too large, without such an array, or not numeric.
    """
    with _npz_member(path, name) as (chosen, member):
        header = npy_header.read_header(member)
        if header.dtype.kind not in "fiub":
            found = f"holds {chosen!r} of type {header.dtype}"
            raise _unreadable(path, found, "numbers (nothing is unpickled)")
        _check_pixels(path, header.shape)
        values = _npy_values(member, header)
        return values.reshape(header.shape, order="F" if header.fortran else "C")


def npz_hw(path: Path) -> tuple[int, int]:
    """Height and width of the array that ``read_npz`` gives, from its header.

    Raises:
        FileDefect: as ``read_npz``, except for missing values.
    """
    with _npz_member(path, None) as (_, member):
        return _hw(path, npy_header.read_header(member).shape)


def read_npz_list(path: Path, name: str) -> list[Any]:
    """Entries along the first axis of an array of numbers, texts or pickled plain values.

    ``pickled_values`` reads pickled entries without unpickling them.

    Raises:
        FileDefect: as ``read_npz``, or a value that is not plain.
    """
    with _npz_member(path, name) as (_, member):
        header = npy_header.read_header(member)
        dtype, shape = header.dtype, header.shape
        if dtype.hasobject:
            return pickled_values.read_object_array(member.read(_LARGEST_PICKLE + 1))
        if dtype.kind not in "fiubU" or header.fortran or not shape:
            raise _unreadable(path, f"holds {name!r} of type {dtype}", "numbers or texts")
        _check_pixels(path, (*shape, max(1, dtype.itemsize // 16)))
        return list(_npy_values(member, header).reshape(shape))


@contextmanager
def _npz_member(path: Path, name: str | None) -> Iterator[tuple[str, IO[bytes]]]:
    """An array's name and bytes."""
    files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    with _reading(path, ".npz"), zipfile.ZipFile(path) as archive:
        names = [n.removesuffix(".npy") for n in archive.namelist()]
        chosen = _choose(path, names, name)
        info = archive.getinfo(f"{chosen}.npy")
        if info.file_size > files.MAX_FRAME_BYTES:
            raise _unreadable(
                path, f"unpacks to {info.file_size} bytes", f"at most {files.MAX_FRAME_BYTES}"
            )
        with archive.open(info) as member:
            yield chosen, member


def _npy_values(stream: IO[bytes], header: npy_header.NpyHeader) -> NDArray[Any]:
    """The values; ValueError where the file has fewer bytes than its header states."""
    count = math.prod(header.shape)
    return np.frombuffer(stream.read(count * header.dtype.itemsize), header.dtype, count)


def read_hdf5(path: Path, name: str | None = None) -> NDArray[Any]:
    """One array of an HDF5 file's root: ``name``, or the only one, or the one with a name of depth.

    Raises:
        FileDefect: missing, damaged, too large, without such an array, or the array is stored
            outside the file.
    """
    with _opened(path) as file:
        chosen = _choose(path, list(file), name)
        dataset = _dataset(path, file, chosen)
        return np.asarray(dataset[()])


def hdf5_hw(path: Path) -> tuple[int, int]:
    """Height and width of the array that ``read_hdf5`` gives; no value is read.

    Raises:
        FileDefect: as ``read_hdf5``.
    """
    with _opened(path) as file:
        return _hw(path, _dataset(path, file, _choose(path, list(file), None)).shape)


def _hw(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,)):
        size = "×".join(str(n) for n in shape)
        raise _unreadable(path, f"holds an array of shape {size}", "an (H, W) array of numbers")
    return int(shape[0]), int(shape[1])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py  # imported here: it takes 0.2 s, which only readers of HDF5 should pay

    files.checked_size(path, files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH)
    with _reading(path, "HDF5"), h5py.File(path, "r", locking=False) as file:
        yield file


def _dataset(path: Path, file: Any, name: str) -> Any:
    """The dataset, checked to be numeric, of a sane size and inside this file."""
    import h5py

    # check a link before following it: following an external link opens the other file
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise _unreadable(path, f"holds {name!r} as a link", "the array itself")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise _unreadable(path, f"holds {name!r} as a group", "an array")
    if dataset.is_virtual or dataset.external is not None:
        raise _unreadable(path, f"keeps {name!r} in another file", "the array itself")
    if dataset.dtype.kind not in "fiu":
        raise _unreadable(path, f"holds {name!r} of type {dataset.dtype}", "numbers")
    _check_pixels(path, dataset.shape)
    _check_pixels(path, dataset.chunks or ())
    return dataset


def _choose(path: Path, names: list[str], name: str | None) -> str:
    """The name of the array to read among a file's arrays."""
    wanted = DEPTH_NAMES if name is None else (name,)
    if name is None and len(names) == 1:
        return names[0]
    for candidate in wanted:
        if candidate in names:
            return candidate
    listed = ", ".join(repr(n) for n in names[:8]) or "nothing"
    raise _unreadable(path, f"holds {listed}", f"an array called {' or '.join(wanted)}")


def _check_pixels(path: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > image_files.MAX_PIXELS:
        size = "×".join(str(n) for n in shape)
        raise _unreadable(path, f"is {size}", f"at most {image_files.MAX_PIXELS} pixels")


def _reading(path: Path, kind: str) -> AbstractContextManager[None]:
    """Turns whatever a decoding library raises inside the block into a defect of the file."""
    expected = f"a complete {kind} file"
    return decoding(path.name, Reason.UNREADABLE_DEPTH, expected, _REMEDY)


def _unreadable(path: Path, defect: str, expected: str) -> FileDefect:
    return FileDefect(
        Reason.UNREADABLE_DEPTH,
        f"{path.name} {defect}",
        expected,
        _REMEDY,
    )
