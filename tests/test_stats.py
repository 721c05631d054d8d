"""``cameo-data stats`` through click's runner."""

import json

import pytest
from click.testing import CliRunner
from report_fixtures import COUNTS, make_build, make_sample

from cameo_data.cli import main
from cameo_data.cli.common import ExitCode
from cameo_data.report import reading, summary
from cameo_data.shards.index import write_index
from cameo_data.shards.reader import ShardReader
from cameo_data.shards.writer import write_shard


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return make_build(tmp_path_factory.mktemp("stats") / "tiny")


def run(*arguments):
    return CliRunner().invoke(main, ["stats", *map(str, arguments)])


def test_prints_accounting_shares_and_colours(build):
    result = run(build, "--colours", 1)
    assert result.exit_code == ExitCode.DONE, result.output
    assert "30 found = 18 used + 9 left out + 3 failed" in result.stdout
    assert "unreadable_depth" in result.stdout
    assert "3 with 12 views in all, 36 ordered pairs" in result.stdout
    assert "VISIBLE" in result.stdout
    assert "Colour difference" in result.stdout
    assert "Colour difference" not in run(build, "--colours", 0).stdout


def test_json_is_one_object_whose_sums_add_up(build):
    result = run(build, "--json", "--colours", 2)
    record = json.loads(result.stdout)
    frames = record["frames"]
    assert frames["found"] == frames["used"] + frames["left_out"] + frames["failed"] == 30
    assert frames["reasons"] == COUNTS["failures"]["by_reason"]
    assert sum(record["verdict_shares"].values()) == pytest.approx(1, abs=1e-5)
    assert sum(record["rotation_deg"]["counts"]) == 3 * 6
    colours = record["colours"]
    assert colours["groups"] == 2
    assert colours["pairs"] == sum(one["pairs"] for one in colours["by_rotation"]) == 24
    assert colours["median_colour_difference"] < colours["median_colour_difference_unwarped"]
    assert record["plot"] is None
    assert result.stderr == ""


def test_reading_members_alone_gives_the_numbers_of_whole_samples(build):
    reader = ShardReader(build)
    fast, largest = reading.read_numbers(reader, lambda *_: None)
    slow = summary.summarise(map(summary.record_of, reader))
    assert fast.record() == slow.record()
    assert largest == [float(sample.rotation_deg.max()) for sample in reader]


@pytest.mark.parametrize("strides", [(), (1,)])
def test_builds_without_strided_maps_are_counted_from_whole_samples(tmp_path, strides):
    reader = ShardReader(make_build(tmp_path / "d", samples=1, strides=strides))
    numbers, _ = reading.read_numbers(reader, lambda *_: None)
    assert numbers.stride == (strides[0] if strides else summary.DEFAULT_STRIDE)
    assert numbers.recomputed is (not strides)
    assert numbers.verdict_shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", ["s.png", "new/folder/s.svg"])
def test_plots_go_where_asked(build, tmp_path, name):
    result = run(build, "--colours", 0, "--out", tmp_path / name)
    assert result.exit_code == ExitCode.DONE, result.output
    assert (tmp_path / name).stat().st_size > 5000
    assert f"Plots are in {tmp_path / name}" in result.stdout


def test_dry_run_writes_no_plot(build, tmp_path):
    result = run(build, "--colours", 0, "--out", tmp_path / "s.png", "--dry-run")
    assert result.exit_code == ExitCode.DONE
    assert "would be in" in result.stdout
    assert not list(tmp_path.iterdir())


def test_unknown_plot_format_is_one_line(build, tmp_path):
    result = run(build, "--out", tmp_path / "s.gif")
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.count("\n") == 1
    assert "expected .png, .svg, .pdf" in result.stderr


def test_unfinished_build_is_one_line(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.count("\n") == 1
    assert "index.json" in result.stderr


def test_build_that_counted_no_frames_says_what_to_do(tmp_path):
    shard = write_shard(tmp_path / "shards" / "a-000000.tar", [make_sample()])
    write_index(tmp_path, recipe={}, recipe_hash="0", tool_version="0", shards=[shard], counts={})
    result = run(tmp_path)
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.count("\n") == 1
    assert "expected found, used, left_out and failed" in result.stderr


def test_damaged_member_names_shard_and_sample(tmp_path):
    build = make_build(tmp_path / "d", samples=1)
    shard = build / "shards" / "tiny-000000.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(b"\x93NUMPY", data.index(b"scene-000000.verdict8.npy"))
    data[at + 9] ^= 0xFF  # the array's header
    shard.write_bytes(bytes(data))
    result = run(build, "--colours", 0)
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.count("\n") == 1
    assert "scene-000000" in result.stderr
    assert "tiny-000000.tar" in result.stderr


def test_help_has_an_example():
    result = run("--help")
    assert "cameo-data stats shards" in result.output
