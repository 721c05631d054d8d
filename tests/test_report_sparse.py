"""Reports of builds whose matches come from tracks: they speak of matches, not of missing depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from colmap_recordings import HW, LENSES, write_dense, write_sparse

from cameo_data import ShardReader, recipe
from cameo_data.build import build
from cameo_data.cli import main
from cameo_data.report import agreement, summary
from cameo_data.types import Lens

LENS = Lens("SIMPLE_RADIAL", LENSES["SIMPLE_RADIAL"], HW)


def make(root: Path, out: Path) -> Path:
    source = {"name": "colmap", "root": str(root)}
    values = {"source": source, "views": 3, "min_overlap": 0.01, "groups_per_scene": 1}
    build(recipe.make({**values, "size": "36x36"}), out)
    return out


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracks")
    write_sparse(folder / "data/s", LENS)
    return make(folder / "data", folder / "out")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    write_sparse(folder / "data/a", LENS)
    write_dense(folder / "data/b")
    return make(folder / "data", folder / "out")


def run(*args: Any) -> str:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.stdout


def counted(build_dir: Path) -> tuple[int, int]:
    """Matches and pairs of the samples without depth."""
    sparse = [sample for sample in ShardReader(build_dir) if sample.sparse]
    matches = [len(p.xy0) for sample in sparse for p in (sample.matches or {}).values()]
    return sum(matches), sum(len(s.cameras) * (len(s.cameras) - 1) // 2 for s in sparse)


def test_stats_count_matches(tracks: Path) -> None:
    text = run("stats", tracks)
    assert "NO_DEPTH" not in text
    assert "VISIBLE" not in text
    assert f"Sparse matches between two views, {counted(tracks)[0]} in all (pairs)" in text
    assert "Overlap: share of queries whose cell holds a match" in text
    record = json.loads(run("stats", tracks, "--json"))
    assert record["verdict_shares"] is None
    assert record["samples_without_depth"] == record["samples"] == 1
    pairs = sum(record["sparse_matches_per_pair"]["counts"])
    assert (record["sparse_matches"], pairs) == counted(tracks)


def test_inspect_says_that_there_are_matches(tracks: Path) -> None:
    data = tracks.parent / "data"
    assert "1 scene with sparse matches, which a build stores" in run("inspect", "colmap", data)
    assert json.loads(run("inspect", "colmap", data, "--json"))["scenes_with_sparse_matches"] == 1


def test_samples_with_depth_keep_their_verdicts(mixed: Path) -> None:
    text = run("stats", mixed)
    assert "in 1 sample without depth" in text
    record = json.loads(run("stats", mixed, "--json"))
    with_depth = [summary.record_of(s) for s in ShardReader(mixed) if not s.sparse]
    alone = summary.summarise(with_depth).verdict_shares
    assert list(record["verdict_shares"].values()) == pytest.approx(alone, abs=1e-6)
    assert (record["samples"], record["samples_without_depth"]) == (2, 1)


def test_the_page_draws_matches_and_no_empty_pictures(tracks: Path, tmp_path: Path) -> None:
    run("preview", tracks, "--out", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    for word in ("NO_DEPTH", "VISIBLE", "warped into", "hidden", "confidence of"):
        assert word not in html.split("</style>")[1], word
    assert "Sparse matches between two views" in html
    assert "as points and lines" in html


def test_plots_are_of_matches(tracks: Path, tmp_path: Path) -> None:
    run("stats", tracks, "--out", tmp_path / "plot.svg")
    svg = (tmp_path / "plot.svg").read_text()
    assert "Sparse matches" in svg
    assert "NO_DEPTH" not in svg


def test_colours_of_matches_both_ways(tracks: Path) -> None:
    (sample,) = ShardReader(tracks)
    found = {(a, b): one for a, b, one in agreement.of_sample(sample)}
    assert len(found) == 6
    for (a, b), one in found.items():
        assert (
            one.points
            == found[b, a].points
            == len((sample.matches or {})[min(a, b), max(a, b)].xy0)
        )
        assert one.median_warped == found[b, a].median_warped
        assert one.median_warped is not None
        assert one.median_unwarped is not None
        assert one.median_warped < one.median_unwarped
