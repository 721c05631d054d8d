"""The header of a ``.npy`` file: an array's shape, order and type, before its values are read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from cameo_data.io.parsing import one_line


@dataclass(frozen=True)
class NpyHeader:
    """What the header says; reading it leaves the stream at the first value."""

    version: tuple[int, int]
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_header(stream: IO[bytes]) -> NpyHeader:
    """The header at the start of the stream, from NumPy's own parser.

    Raises:
        ValueError: the header is missing or damaged, whatever the parser raised.
    """
    npy = np.lib.format
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about headers from Python 2 and odd literals
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(stream)
    except OSError:
        raise
    except Exception as error:
        # the header is a Python literal, so its tokens, syntax, depth and types each fail in their
        # own way, even with MemoryError (nesting too deep for the parser's stack)
        raise ValueError(f"damaged .npy header: {one_line(error)}") from None
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"damaged .npy header: shape {shape}")
    return NpyHeader(version, shape, fortran, dtype)
