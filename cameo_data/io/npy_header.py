"""The header of a ``.npy`` file: what an array is, before any of it is read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from cameo_data.io.parsing import one_line


@dataclass(frozen=True)
class NpyHeader:
    """What the header says; the stream stands at the first value."""

    version: tuple[int, int]
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_header(stream: IO[bytes]) -> NpyHeader:
    """The header at the stream's beginning, by NumPy's own parser.

    Raises:
        ValueError: no such header, whatever the parser made of it.
    """
    npy = np.lib.format
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers of Python 2, and of odd literals
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(stream)
    except OSError:
        raise
    except Exception as error:
        # the header is a Python literal: its tokens, syntax, depth and types fail in their own
        # ways, MemoryError among them (a nesting that the parser's stack does not hold)
        raise ValueError(f"damaged .npy header: {one_line(error)}") from None
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"damaged .npy header: shape {shape}")
    return NpyHeader(version, shape, fortran, dtype)
