"""The example of a depth method works as it would once installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from plugin_packages import example_package

from cameo_data.cli import main
from cameo_data.frames import read_view
from cameo_data.sources import open_source

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "ground_depth"


def depth(*words):
    return CliRunner().invoke(main, ["depth", "ground", "synthetic", *map(str, words)])


def test_it_gives_the_depth_of_the_ground(tiny_scenes, tmp_path, monkeypatch):
    out = tmp_path / "depth"
    with example_package(EXAMPLE, tmp_path / "site", monkeypatch):
        done = depth(tiny_scenes, "--out", out, "--workers", 1)
        assert done.exit_code == 0, done.output
        above = depth(tiny_scenes, "--out", tmp_path / "above", "--workers", 1, "-m", "height=100")
        assert above.exit_code == 1
        assert "no ray of the camera meets the ground" in (
            tmp_path / "above" / "failures.jsonl"
        ).read_text("utf-8")
    source = open_source("synthetic", tiny_scenes)
    for scene_id in source.scene_ids():
        for frame in source.scene(scene_id).frames:
            exact = read_view(frame, dataset="synthetic", scene_id=scene_id).depth
            (path,) = (out / "scenes").glob(f"{scene_id}/{Path(frame.frame_id).stem}*.npz")
            with np.load(path) as file:
                known = (file["depth"] > 0) & exact.valid
                off = np.abs(file["depth"][known] / exact.z[known] - 1)
            assert (off > -1e-3).all()  # things stand on the ground and hide it, never below
            assert (off < 1e-3).mean() > 0.15
