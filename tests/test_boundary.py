"""Whatever reading raises is a counted failure with its place, in every command that reads."""

import errno
import json
import struct
import tokenize

import numpy as np
import pytest
import trapped_source
from build_scenes import copy_scenes
from click.testing import CliRunner

from cameo_data import sources
from cameo_data.cli import main
from cameo_data.errors import DataError, UsageError
from cameo_data.io import boundary
from cameo_data.shards.verify import verify_build

ERRORS = [
    ValueError("not one of mine\nand more of it"),
    TypeError("an int is not a str"),
    np.linalg.LinAlgError("Singular matrix"),
    tokenize.TokenError("EOF in multi-line statement"),
    struct.error("unpack requires a buffer of 4 bytes"),
    KeyError("fl_x"),
    AttributeError("no such thing"),
    ZeroDivisionError("division by zero"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    AssertionError(),
    PermissionError(errno.EACCES, "Permission denied", "depth/0001.png"),
]
MEANINGFUL = [
    MemoryError("out of memory"),
    RecursionError("too deep"),
    KeyboardInterrupt(),
    SystemExit(4),
    OSError(errno.ENOSPC, "No space left on device", "x"),
    OSError(errno.EMFILE, "Too many open files", "x"),
    UsageError("no such option"),
]


@pytest.fixture
def scene_ids(tiny_scenes, monkeypatch):
    monkeypatch.setitem(sources._BUILTIN, "trapped", "trapped_source:SPEC")
    monkeypatch.setattr(trapped_source, "RAISES", {})
    return sorted(path.name for path in tiny_scenes.iterdir())


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_becomes_one_line_with_its_place(error):
    with pytest.raises(DataError) as caught, boundary.reading("set", "scene", "7"):
        raise error
    first = str(error).splitlines()[0] if str(error) else ""
    failure = caught.value.failure
    assert (failure.scene_id, failure.frame_id, failure.reason) == ("scene", "7", "reading_failed")
    assert failure.message.startswith(
        f"set scene frame 7: reading it raised {type(error).__name__}"
    )
    assert "\n" not in failure.message
    assert "and more of it" not in failure.message
    if not isinstance(error, OSError):
        assert first in failure.message


@pytest.mark.parametrize("error", MEANINGFUL, ids=lambda error: type(error).__name__)
def test_what_is_not_the_datas_fault_keeps_its_meaning(error):
    with pytest.raises(type(error)) as caught, boundary.reading("set", "scene", "7"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_build_counts_a_frame_whose_reading_raises(error, scene_ids, tiny_scenes, tmp_path):
    trapped_source.RAISES[scene_ids[0], "0001"] = error
    out = tmp_path / "shards"
    flags = ["--views", 3, "--stride", 8, "--min-overlap", 0.05, "--workers", 1]
    result = call("build-corr", "trapped", tiny_scenes, "--out", out, *flags)
    assert result.exit_code == 3, result.output
    [failure] = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert (failure["scene_id"], failure["frame_id"]) == (scene_ids[0], "0001")
    assert verify_build(out).ok


def test_a_build_counts_a_scene_whose_listing_raises(scene_ids, tiny_scenes, tmp_path):
    trapped_source.RAISES[scene_ids[0], None] = TypeError("unhashable")
    flags = ["--views", 3, "--stride", 8, "--min-overlap", 0.05, "--max-failures", 1]
    result = call(
        "build-corr", "trapped", tiny_scenes, "--out", tmp_path / "s", "--workers", 1, *flags
    )
    assert result.exit_code == 3, result.output
    [failure] = map(json.loads, (tmp_path / "s" / "failures.jsonl").read_text().splitlines())
    assert (failure["scene_id"], failure["frame_id"]) == (scene_ids[0], None)
    assert "TypeError: unhashable" in failure["found"]


@pytest.mark.parametrize("place", [None, "0001"])
@pytest.mark.parametrize(
    "command", [("inspect", "--read-all"), ("check",), ("depth", "fuse")], ids=lambda c: c[0]
)
def test_every_command_that_reads_counts_it(command, place, scene_ids, tiny_scenes, tmp_path):
    trapped_source.RAISES[scene_ids[0], place] = struct.error("4 bytes")
    name, *rest = command
    method = rest if name == "depth" else []
    flags = ["--out", tmp_path / "d", "--max-failures", "50%", "--workers", 1, "-m", "side=32"]
    flags = flags if name == "depth" else rest
    result = call(name, *method, "trapped", tiny_scenes, *flags)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 1, 3)
    said = result.output
    if name == "depth":
        said = (tmp_path / "d" / "failures.jsonl").read_text()
    where = scene_ids[0] if place is None else f"{scene_ids[0]} frame 0001"
    assert f"{where}: reading it raised error: 4 bytes" in said


def test_a_file_that_cannot_be_opened_for_want_of_handles_is_no_failure_of_a_frame(
    tiny_scenes, tmp_path, monkeypatch
):
    from cameo_data.io import files

    def refuse(path, *_args, **_kwargs):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(files.Path, "read_bytes", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        files.read_bytes(next(tiny_scenes.glob("*/images/*.png")), "unreadable_image")


def test_an_exception_while_the_dataset_is_listed_names_the_dataset(
    scene_ids, tiny_scenes, monkeypatch
):
    def broken(self):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(trapped_source.Trapped, "scene_ids", broken, raising=False)
    result = call("inspect", "trapped", tiny_scenes)
    assert result.exit_code == 1
    assert "error: synthetic: reading it raised LinAlgError: Singular matrix" in result.stderr


def test_a_camera_that_breaks_arithmetic_is_counted(tiny_scenes, tmp_path):
    """A principal point of 1.8e19 is finite, and breaks arithmetic much later."""
    from build_scenes import edit

    scenes = copy_scenes(tiny_scenes, tmp_path / "scenes")
    first = sorted(scenes.iterdir())[0]

    def wild(record):
        record["frames"][1]["K"][0][2] = 1.8e19

    edit(first, wild)
    flags = ["--views", 3, "--stride", 8, "--min-overlap", 0.05, "--workers", 1]
    result = call("build-corr", "synthetic", scenes, "--out", tmp_path / "s", *flags)
    assert result.exit_code == 3, result.output
    [failure] = map(json.loads, (tmp_path / "s" / "failures.jsonl").read_text().splitlines())
    assert failure["frame_id"] == "0001"
    assert failure["reason"] == "bad_intrinsics"
