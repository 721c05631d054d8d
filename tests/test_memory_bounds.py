"""Files small on disk and large in memory: refused, or within the bounds of docs/limits.md."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cameo_data.geometry import sparse_matches
from cameo_data.io import array_files, files, parsing, pickled_values
from cameo_data.io.files import FileDefect
from cameo_data.sources.co3d import annotations as co3d_annotations
from cameo_data.sources.co3d import index as co3d_index
from cameo_data.sources.co3d.index import FrameIndex
from cameo_data.sources.common import trajectories
from cameo_data.sources.hypersim import tables
from cameo_data.sources.realestate10k import cameras

MB = 1_000_000
DOCS = Path(__file__).resolve().parents[1] / "docs" / "limits.md"


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak / MB:.0f} MB"


def packed(path: Path, parts: Iterator[bytes]) -> Path:
    with gzip.open(path, "wb", compresslevel=9) as file:
        for part in parts:
            file.write(part)
    return path


def of_one_sequence(name: bytes = b"a") -> Iterator[bytes]:
    """A list of 200 MB of frame records."""
    record = b'{"sequence_name": "%s", "x": [%s]}' % (name, b",".join([b"[]"] * 1000))
    many = b", ".join([record] * 500)
    yield b"[" + record
    for _ in range(200 * MB // len(many)):
        yield b", " + many
    yield b"]"


def test_co3d_annotations_of_200_mb(tmp_path: Path) -> None:
    path = packed(tmp_path / "frame_annotations.jgz", of_one_sequence())
    assert path.stat().st_size < 2 * MB
    with peak_below(150 * MB):
        index = FrameIndex(path)
        with pytest.raises(FileDefect, match="bytes of records of sequence 'a', more than"):
            index.read("a")


def test_co3d_annotations_of_too_many_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co3d_index, "MAX_SEQUENCES", 50)
    monkeypatch.setattr(co3d_annotations, "MAX_RECORDS", 50)
    path = tmp_path / "x.jgz"
    for count, fits in ((50, True), (51, False)):
        values = [{"sequence_name": f"s{n}"} for n in range(count)]
        path.write_bytes(gzip.compress(json.dumps(values).encode()))
        if fits:
            assert FrameIndex(path).read("s7") == [{"sequence_name": "s7"}]
            assert len(list(co3d_annotations.read_records(path))) == count
            continue
        with pytest.raises(FileDefect, match="more sequences than 50"):
            FrameIndex(path)
        with pytest.raises(FileDefect, match="more than 50 records"):
            list(co3d_annotations.read_records(path))


def test_co3d_annotations_of_scattered_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co3d_index, "MAX_RUNS", 50)
    values = [{"sequence_name": "ab"[n % 2]} for n in range(51)]
    path = tmp_path / "x.jgz"
    path.write_bytes(gzip.compress(json.dumps(values).encode()))
    with pytest.raises(FileDefect, match="or scattered"):
        FrameIndex(path)


@pytest.mark.parametrize("unit", [b"[],", b'{"a":', b"[[[", b"0,", b'"",'])
def test_json_of_too_many_values_is_refused_before_it_is_built(unit: bytes) -> None:
    text = b"[" + unit * (1 + parsing.MAX_JSON_VALUES)
    with peak_below(MB), pytest.raises(ValueError, match="values of JSON; at most 5000000"):
        parsing.parse_json(text)


def test_json_that_is_too_long_is_refused() -> None:
    text = b'"' + bytes(parsing.MAX_JSON_BYTES)
    with peak_below(MB), pytest.raises(ValueError, match="bytes of JSON; at most 100000000"):
        parsing.parse_json(text)


def test_the_largest_json_takes_no_more_than_a_gigabyte() -> None:
    """As many values as are let through, of the kind that takes most memory."""
    script = (
        "import resource; from cameo_data.io import parsing\n"
        "count = parsing.MAX_JSON_VALUES // 4 - 1\n"
        "text = b'[' + b','.join(b'{\"%d\":[]}' % n for n in range(count)) + b']'\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000,) * 2)\n"
        "assert len(parsing.parse_json(text)) == count\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_json_is_unicode_and_numbers() -> None:
    assert parsing.parse_json('{"a": [1, -2.5, 9223372036854775807, "\\ud83d\\ude00"]}') == {
        "a": [1, -2.5, 9223372036854775807, "😀"]
    }
    assert parsing.parse_json(b"\xef\xbb\xbf[1e400]") == [float("inf")]
    assert parsing.parse_json("[" + "9" * 5000 + ", 123456789012345678901]") == [
        float("inf"),
        123456789012345678901,
    ]
    for text in ("[" * 100_000, "[1", "", b"\xff"):
        with pytest.raises(ValueError) as caught:
            parsing.parse_json(text)
        assert "\n" not in str(caught.value)


Read = Callable[[Path], object]
TABLES: dict[str, tuple[Read, str]] = {
    "poses": (lambda path: trajectories.read_rows(path, ["t", "matrix"]), "# t\n"),
    "log": (trajectories.read_log, "\n"),
    "index": (trajectories.read_index, "# timestamp file\n"),
    "clip": (cameras.read, "http://video\n"),
    "matches": (lambda path: sparse_matches.read_pairs(path, "ab"), "frame0,frame1,x0,y0,x1,y1\n"),
    "hypersim": (
        lambda path: tables.read_projections(path.parent, path),
        ",".join(["scene_name", *(f"M_cam_from_uv_{r}{c}" for r in range(3) for c in range(3))])
        + "\n",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_of_too_many_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(parsing, "MAX_LINES", 20)
    read, first = TABLES[case]
    path = tmp_path / "t.txt"
    path.write_text(first + "\n" * 20)
    with pytest.raises(FileDefect, match=r"t\.txt has more than 20 lines"):
        read(path)


def test_a_pickle_cannot_repeat_a_text_for_ever() -> None:
    """A memoised text of 1 MB, made bytes 2000 times by five operations each: 2 GB."""
    text = b"\x80\x02]q\x00c_codecs\nencode\nq\x01X" + MB.to_bytes(4, "little") + b"a" * MB
    text += b"q\x02X\x06\x00\x00\x00latin1q\x03" + b"h\x01h\x02h\x03\x86R" * 2000 + b"."
    with peak_below(20 * MB), pytest.raises(ValueError, match="texts longer than the pickle"):
        pickled_values.read_object_array(text)


def test_a_pickle_of_too_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled_values, "_MOST_OPERATIONS", 100)
    data = b"\x80\x02" + b"]" * 102 + b"."
    with pytest.raises(ValueError, match="operations"):
        pickled_values.read_object_array(data)


def test_ordinary_pickles_are_read() -> None:
    values = np.empty(3, object)
    values[:] = ["a", None, np.eye(3)]
    for protocol in (2, 4):
        found = pickled_values.read_object_array(pickle.dumps(values, protocol))
        assert found[:2] == ["a", None]
        np.testing.assert_array_equal(found[2], np.eye(3))


def test_the_documented_limits_are_those_of_the_code() -> None:
    text = DOCS.read_text("utf-8")
    for module, name in re.findall(r"`(\w+)\.(MAX_\w+|_\w+)` = ", text):
        (stated,) = re.findall(rf"`{module}\.{name}` = ([\d ]+)", text)
        owner = {m.__name__.rpartition(".")[2]: m for m in MODULES}[module]
        assert int(stated.replace(" ", "")) == getattr(owner, name), name


MODULES = (files, parsing, co3d_index, co3d_annotations, array_files)
