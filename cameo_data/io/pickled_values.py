"""The plain values in a pickle, without unpickling it.

NumPy stores arrays of objects (texts, None, arrays of several sizes) as a pickle, and unpickling
runs whatever code the file names. Here ``pickletools`` splits the pickle into its operations, and
only those that build plain values are carried out; nothing that a file names is imported or called.
Three names are understood as descriptions of data: NumPy's array, NumPy's dtype and the encoding
of bytes as text. Everything else that a pickle builds becomes ``OPAQUE``.
"""

from __future__ import annotations

import math
import pickletools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cameo_data.io.parsing import one_line


class _Opaque:
    def __repr__(self) -> str:
        return "a value that is not plain"


class _Mark:
    pass


class _Name:
    """A global that the pickle names; it is never looked up."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Array:
    """An array or dtype under construction: its creation's arguments, later its state."""

    def __init__(self, kind: str, arguments: Any) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None


OPAQUE: Final = _Opaque()
_MARK: Final = _Mark()

_RECONSTRUCT = {f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core")}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LARGEST_ARRAY = 10_000_000
# A one-byte operation can build an empty list of 64 bytes; paths and matrices of 10 000 images take
# 500 000 operations.
_MOST_OPERATIONS = 4_000_000


def read_object_array(data: bytes) -> list[Any]:
    """Items, in order, of a one-dimensional pickled array of objects; inner arrays as NumPy arrays.

    Raises:
        ValueError: the bytes are not such a pickle.
    """
    try:
        values = _run(data)
        if not (isinstance(values, _Array) and values.state is not None):
            raise ValueError("no pickled array")
        _, shape, _, _, items = values.state
        if not (isinstance(items, list) and shape == (len(items),)):
            raise ValueError("no pickled array of one dimension of objects")
        return [_plain(item) for item in items]
    except MemoryError:
        raise
    except Exception as error:
        # any operation may meet a value of any type, so the exceptions vary
        raise ValueError(f"malformed pickle ({one_line(error)})") from None


def _run(data: bytes) -> Any:
    """The value that the pickle describes."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    texts = _Texts(len(data))
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if count > _MOST_OPERATIONS:
            raise ValueError(f"more than {_MOST_OPERATIONS} operations")
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[argument])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _build(name, argument, stack, texts)
    raise ValueError("pickle without an end")


class _Texts:
    """Turns texts back into bytes, in total no more than the pickle, which holds each text once."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def encode(self, text: str) -> bytes:
        self._left -= len(text)
        if self._left < 0:
            raise ValueError("texts longer than the pickle that holds them")
        return text.encode("latin1")


def _build(name: str, argument: Any, stack: list[Any], texts: _Texts) -> None:
    """Operations on the values on the stack."""
    if name == "MARK":
        stack.append(_MARK)
    elif name == "TUPLE":
        stack.append(tuple(_pop_to_mark(stack)))
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "LIST":
        stack.append(_pop_to_mark(stack))
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _pop_to_mark(stack)
        if isinstance(stack[-1], list):
            stack[-1].extend(items)
    elif name == "EMPTY_DICT":
        stack.append(OPAQUE)
    elif name in ("SETITEM", "SETITEMS"):
        _ = _pop_to_mark(stack) if name == "SETITEMS" else [stack.pop(), stack.pop()]
    elif name == "GLOBAL":
        stack.append(_Name(argument))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_Name(f"{module} {attribute}"))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, callee = stack.pop(), stack.pop()
        stack.append(_described(callee, arguments, texts))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], _Array):
            stack[-1].state = state
    else:
        raise ValueError(f"operation {name}")


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _described(callee: Any, arguments: Any, texts: _Texts) -> Any:
    """The value that stands for a call in the pickle; the call is not made."""
    name = callee.name if isinstance(callee, _Name) else ""
    if name in _RECONSTRUCT:
        return _Array("array", arguments)
    if name == "numpy dtype":
        return _Array("dtype", arguments)
    if name == "_codecs encode" and isinstance(arguments[0], str) and arguments[1:] == ("latin1",):
        return texts.encode(arguments[0])
    return OPAQUE


def _plain(value: Any) -> Any:
    """A finished value: arrays are built, names and unknown objects become ``OPAQUE``."""
    if isinstance(value, _Array):
        return _array(value) if value.kind == "array" else OPAQUE
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return OPAQUE


def _array(value: _Array) -> NDArray[Any]:
    """The numeric array from a state (version, shape, dtype, Fortran order, bytes)."""
    if value.state is None:
        raise ValueError("array without content")
    _, shape, kind, fortran, data = value.state
    code = kind.arguments[0]
    if not (isinstance(code, str) and code[:1] in "fiu" and code[1:] in ("4", "8")):
        raise ValueError(f"array of type {code!r}")
    order = kind.state[1] if kind.state is not None and kind.state[1] in ("<", ">") else "<"
    count = math.prod(shape)
    if not isinstance(data, bytes) or not 0 <= count <= _LARGEST_ARRAY:
        raise ValueError(f"array of shape {shape}")
    values = np.frombuffer(data, order + code, count)
    return values.reshape(shape, order="F" if fortran else "C")
