"""The example package works as it would once installed: found, listed, read, built, verified.

It is not installed: ``plugin_packages`` lays down what an installer writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from plugin_packages import example_package

from cameo_data import sources
from cameo_data.cli import main
from cameo_data.correspondence import correspond
from cameo_data.errors import DataError
from cameo_data.frames import read_view
from cameo_data.types import Verdict

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "turntable_source"


@pytest.fixture
def captures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one capture, while the package can be found."""
    with example_package(EXAMPLE, tmp_path / "site", monkeypatch):
        import turntable_source

        turntable_source.write_example(tmp_path / "captures" / "box")
        yield tmp_path / "captures"


def test_without_the_package_the_format_is_unknown() -> None:
    assert "turntable" not in sources.source_names()
    with pytest.raises(ValueError, match="unknown source 'turntable'"):
        sources.source_spec("turntable")


def test_what_no_view_uses_is_counted(captures: Path) -> None:
    (captures / "box/new.png").touch()
    every = sources.open_source("turntable", captures, {"every": 2}).scene("box")
    left_out, stray = every.unused
    assert left_out.what == "files of views that -o every passes over"
    assert left_out.count > len(every.frames) / 2
    assert stray.examples == ("new.png",)
    whole = sources.open_source("turntable", captures, {}).scene("box")
    assert [one.examples for one in whole.unused] == [("new.png",)]


def test_the_package_is_found_and_recognises_its_folders(captures: Path) -> None:
    assert "turntable" in sources.source_names()
    shown = CliRunner().invoke(main, ["sources", "turntable"])
    assert shown.exit_code == 0, shown.output
    assert "counter-clockwise" in shown.output
    assert sources.source_spec("turntable").recognise(captures)
    assert sources.source_spec("turntable").recognise(captures / "box")
    assert not sources.source_spec("turntable").recognise(captures.parent / "site")


def test_its_cameras_agree_with_its_depth(captures: Path) -> None:
    scene = sources.open_source("turntable", captures, {"every": "2"}).scene("box")
    assert [frame.frame_id for frame in scene.frames[:2]] == ["000.png", "002.png"]
    first, second = (
        read_view(frame, dataset="turntable", scene_id="box") for frame in scene.frames[:2]
    )
    found = correspond(first.depth, first.camera, second.depth, second.camera)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.sum() > 0.4 * first.depth.valid.sum()
    column, row = found.xy1[visible].astype(int).T
    difference = np.abs(first.image[visible].astype(float) - second.image[row, column])
    assert np.median(difference) < 10


def test_it_builds_and_verifies(captures: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "shards")
    arguments = ["build-corr", "turntable", str(captures), "--out", out, "--workers", "1", "--json"]
    built = CliRunner().invoke(main, arguments)
    assert built.exit_code == 0, built.output
    frames = json.loads(built.stdout)["counts"]["frames"]
    assert (frames["found"], frames["failed"]) == (12, 0)
    assert frames["used"] > 4
    verified = CliRunner().invoke(main, ["verify", out])
    assert verified.exit_code == 0, verified.output


def test_its_errors_are_of_one_kind_with_ours(captures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no capture in .*; expected folders with a turntable.js"):
        sources.open_source("turntable", tmp_path / "site")
    with pytest.raises(ValueError, match="every"):
        sources.open_source("turntable", captures, {"every": 0})
    path = captures / "box" / "turntable.json"
    capture = json.loads(path.read_text())
    capture["views"][1]["image"] = "../../secret.png"
    capture["views"][2]["image"] = "missing.png"
    path.write_text(json.dumps(capture))
    scene = sources.open_source("turntable", captures).scene("box")
    assert [failure.reason for failure in scene.failures] == ["bad_name", "missing_file"]
    path.write_text(json.dumps({**capture, "radius": -1}))
    with pytest.raises(DataError, match="radius: input should be greater than 0"):
        sources.open_source("turntable", captures).scene("box")
