"""Pickled arrays of plain values are read as data; whatever a pickle asks to be run is not."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cameo_data.io.pickled_values import OPAQUE, read_object_array

ITEMS: list[Any] = [
    "Undistorted_SfM/0000/images/a é.jpg", None, np.arange(9.0).reshape(3, 3), 7, 2.5, True,
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), -(2**40),
]  # fmt: skip


def objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_plain_values_are_read_as_they_were(protocol: int) -> None:
    found = read_object_array(pickle.dumps(objects(ITEMS), protocol=protocol))
    assert len(found) == len(ITEMS)
    for a, b in zip(found, ITEMS, strict=True):
        np.testing.assert_array_equal(a, b)
        assert type(a) is type(b)


class Runs:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "ran"))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    data = pickle.dumps(objects(["a", Runs(trap)]), protocol=protocol)
    assert read_object_array(data) == ["a", OPAQUE]
    assert not trap.exists()
    pickle.loads(data)  # noqa: S301 - the trap works
    assert trap.exists()


def test_containers_and_unknown_things_are_opaque() -> None:
    found = read_object_array(pickle.dumps(objects([{"a": 1}, [1], {2}, b"x", 1j]), protocol=2))
    assert found == [OPAQUE] * 5


@pytest.mark.parametrize(
    "value",
    [[1, 2], np.zeros(3), objects([1, 2]).reshape(2, 1), objects([np.array(["a"])])],
    ids=["list", "numbers", "two dimensions", "texts inside"],
)
def test_other_pickles_are_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        read_object_array(pickle.dumps(value, protocol=4))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.floats(0, 1))
def test_damage_is_an_error_or_another_value(position: int, byte: int, keep: float) -> None:
    data = bytearray(pickle.dumps(objects(ITEMS), protocol=3))
    data[position % len(data)] = byte
    with contextlib.suppress(ValueError):
        read_object_array(bytes(data[: int(keep * len(data)) or None]))
