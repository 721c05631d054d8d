"""Precision against rotation: its numbers are those of slow twins, and its limits are exact."""

from __future__ import annotations

import csv
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import small_run

from cameo_data import ShardReader
from cameo_data.errors import UsageError
from cameo_data.types import Verdict
from cameo_train.cli import main
from cameo_train.matchers import grid_limits, registry
from cameo_train.matchers.best_candidate import best_of
from cameo_train.matchers.dense import FeatureMatcher
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.group import Found, Row, group_of, on_grid
from cameo_train.matchers.nearest import matched_tokens, unit_vectors
from cameo_train.matchers.queries import Queries, queries_of
from cameo_train.precision import measurement
from cameo_train.precision.results import row_result
from cameo_train.precision.tally import Tally
from cameo_train.protocols.measurement import Protocol, protocol_of, threshold
from cameo_train.training import loop

HW = (48, 64)


@pytest.fixture(scope="module")
def shards(tiny_build) -> Path:
    return tiny_build[0]


@pytest.fixture(scope="module")
def plan() -> Protocol:
    return protocol_of(HW, [8], thresholds=("5px", "10%"), bins_deg=(0, 20, 40, 180))


@pytest.fixture(scope="module")
def groups(shards, plan):
    reader = ShardReader(shards)
    return [group_of(s, queries_of(s, plan), torch.device("cpu")) for s in reader]


def precision(*args):
    return CliRunner().invoke(main, ["precision", *map(str, args)])


def measured(shards, out, *args):
    done = precision("--shards", shards, "--out", out, *args)
    assert done.exit_code == 0, done.output
    return json.loads((out / "results.json").read_text())


def bins_of(results, label):
    return {b["bin"]: b for row in results["rows"] if row["label"] == label for b in row["bins"]}


def test_queries_are_the_visible_ones_of_all_ordered_pairs(groups, plan):
    for group in groups:
        maps, asked = group.sample.correspondence[8], group.queries
        views = len(group.images)
        off_diagonal = ~np.eye(views, dtype=bool)[:, :, None, None]
        visible = (maps.verdict == Verdict.VISIBLE) & off_diagonal
        assert len(asked) == visible.sum()
        assert asked.pairs.sum() + asked.left_out == views * (views - 1)
        row, column = np.divmod(asked.token, plan.grid_hw[1])
        assert visible[asked.view0, asked.view1, row, column].all()
        np.testing.assert_array_equal(asked.xy1, maps.xy[asked.view0, asked.view1, row, column])
        assert (np.diff(asked.view1) >= 0).all()


def test_the_kernel_is_the_plain_argmax(groups, plan):
    rng = torch.Generator().manual_seed(0)
    group = groups[0]
    q, k = (unit_vectors(torch.randn(3, 5, *plan.grid_hw, generator=rng)) for _ in range(2))
    asked = group.queries
    slow = [
        int((k[b].double() @ q[a, t].double()).argmax())
        for a, b, t in zip(asked.view0, asked.view1, asked.token, strict=True)
    ]
    for chunk in (None, 1, 100, 10_000):
        assert matched_tokens(q, k, asked, chunk=chunk).tolist() == slow
    # of equal products the first, whatever the chunks
    ties = torch.ones(7, 4)
    assert best_of(ties, torch.ones(9, 4), chunk=9).tolist() == [0] * 7


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    shares=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    distinct=st.sampled_from([1, 2, 5, 1000]),
    chunk=st.sampled_from([None, 1, 60]),
)
def test_one_product_for_both_ways_is_two_searches(seed, shares, distinct, chunk):
    """Also where features repeat, down to a single one, and where a view asks nothing."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, (distinct, 4)).astype(np.float32)
    units = torch.from_numpy(kinds[rng.integers(0, distinct, (3, 30))])
    parts = [
        (np.full(len(token), a), np.full(len(token), b), token)
        for (b, a), share in zip(permutations(range(3), 2), shares, strict=True)
        for token in [np.flatnonzero(rng.random(30) < share)]
    ]
    view0, view1, token = (np.concatenate(x) for x in zip(*parts, strict=True))
    asked = Queries(view0, view1, token, np.zeros((len(token), 2)), view0, view0, 0)
    found = matched_tokens(units, units, asked, chunk=chunk)
    assert torch.equal(found, matched_tokens(units, units.clone(), asked))
    slow = (units[view0, token].double()[:, None] * units[view1].double()).sum(-1).argmax(1)
    assert torch.equal(found, slow)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([4, 8, 16]))
def test_limits_are_those_of_all_candidates(seed, stride):
    plan = protocol_of(HW, [stride], stride=stride, thresholds=("3px", "10%", "40%"))
    xy1 = np.random.default_rng(seed).random((20, 2)) * (HW[1], HW[0])
    distance = np.linalg.norm(xy1[:, None] - plan.candidates_xy(), axis=-1)
    np.testing.assert_allclose(grid_limits.ceiling_px(xy1, plan), distance.min(1))
    within = (distance[..., None] <= plan.thresholds_px).mean(1)
    np.testing.assert_allclose(grid_limits.chance(xy1, plan), within)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_tallies_add_up_and_medians_lie_within_their_level(seed):
    plan = protocol_of(HW, [8], thresholds=("5px",), bins_deg=(0, 90, 180))
    rng = np.random.default_rng(seed)
    errors, bins = rng.gamma(1.0, 6.0, 400), rng.integers(0, 2, 400)
    whole, one, other = (Tally.empty(2, plan) for _ in range(3))
    for tally in (whole, one):
        tally.add_pairs(1, np.array([3, 4]), 5)
    whole.add(1, Found(bins, errors), plan)
    one.add(1, Found(bins[:150], errors[:150]), plan)
    other.add(1, Found(bins[150:], errors[150:]), plan)
    for name, value in (one + other).arrays().items():
        np.testing.assert_array_equal(value, whole.arrays()[name])
    for number, found in enumerate(row_result(Row("x", "x", "y"), whole, plan).bins[:2]):
        mine = errors[bins == number]
        assert found.precision[0].value == pytest.approx((mine <= 5).mean(), abs=1e-6)
        assert abs(found.median_px.value - np.median(mine)) <= found.median_within_px + 0.2
        # one scene alone has no spread
        assert found.precision[0].low is None


def test_oracle_is_the_ceiling_and_chance_the_floor(shards, tmp_path):
    found = measured(shards, tmp_path / "p", "--features", "oracle,chance", "--bin", 0, "--bin", 90,
                     "--bin", 180)  # fmt: skip
    ceiling, oracle = (bins_of(found, name) for name in ("ceiling of the grid", "oracle"))
    floor, chance = (bins_of(found, name) for name in ("chance (computed)", "chance"))
    assert oracle.keys() == {"0–90°", "90–180°", "all"}
    for name, one in oracle.items():
        assert one["precision"] == ceiling[name]["precision"]
        assert one["queries"] > 0
        # two scenes are too few for an interval to hold what is drawn at random within each
        for limit, (value, _, _) in chance[name]["precision"].items():
            assert value == pytest.approx(floor[name]["precision"][limit][0], abs=0.01)
    rows = list(csv.DictReader((tmp_path / "p" / "results.csv").read_text().splitlines()))
    assert len(rows) == 4 * 3 * 4
    assert all(row["grid"] and row["visibility filter"] and row["bins_deg"] for row in rows)
    page = (tmp_path / "p" / "precision.html").read_text()
    assert "://" not in page
    assert {"rotation.png", "rotation.svg"} <= {p.name for p in (tmp_path / "p").iterdir()}


def test_bins_without_pairs_are_empty_not_zero(shards, tmp_path):
    found = measured(shards, tmp_path, "--features", "oracle", "--bin", 0, "--bin", 1, "--bin",
                     180)  # fmt: skip
    empty = bins_of(found, "oracle")["0–1°"]
    assert (empty["pairs"], empty["queries"]) == (0, 0)
    assert empty["precision"]["5%"] == [None, None, None]
    assert "–" in precision("--shards", shards, "--out", tmp_path, "--features", "oracle",
                            "--bin", 0, "--bin", 1, "--bin", 180).output  # fmt: skip


def test_batches_change_no_number_and_what_is_done_is_kept(shards, tmp_path, monkeypatch):
    features = ["--features", "sift,chance"]
    one = measured(shards, tmp_path / "1", *features, "--batch", 1)
    three = measured(shards, tmp_path / "3", *features, "--batch", 3)
    assert one["rows"] == three["rows"]

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(measurement, "_groups", refuse)
    assert measured(shards, tmp_path / "1", *features)["rows"] == one["rows"]


def test_a_stopped_run_goes_on_to_the_same_numbers(shards, tmp_path, monkeypatch):
    whole = measured(shards, tmp_path / "whole", "--features", "chance", "--batch", 1)
    monkeypatch.setattr(measurement, "SAVE_EVERY_S", 0.0)
    read, seen = measurement.queries_of, []

    def stops(sample, plan):
        seen.append(sample.key)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return read(sample, plan)

    given = ["--shards", shards, "--out", tmp_path / "p", "--features", "chance", "--batch", 1]
    monkeypatch.setattr(measurement, "queries_of", stops)
    assert precision(*given).exit_code == 75
    monkeypatch.setattr(measurement, "queries_of", read)
    assert precision(*given).exit_code == 0
    again = json.loads((tmp_path / "p" / "results.json").read_text())
    assert again["rows"] == whole["rows"]


class _Features:
    """Features that are what they are told to be."""

    name = "made up"

    def __init__(self, values):
        self.values = values

    def descriptors(self, images):
        return self.values.expand(len(images), *self.values.shape[-3:]).clone()


def test_bad_features_are_named(groups, plan):
    values = torch.randn(1, 4, 6, 8)
    values[0, 0, 2, 3] = torch.nan
    matcher = FeatureMatcher(_Features(values), "made up", plan)
    message = rf"made up: NaN or infinite features in sample {groups[0].key}, view 0"
    with pytest.raises(ValueError, match=message):
        list(matcher.found(groups[:1]))
    with pytest.raises(ValueError, match="a grid of 8×8 features does not fit images of 48×64"):
        on_grid(torch.zeros(1, 4, 8, 8), plan.grid_hw, HW, "x")


def test_other_rows_go_on_where_weights_are_missing(shards, tmp_path, monkeypatch):
    def missing(argument, device):
        raise MissingWeights("nowhere: fetch them")

    monkeypatch.setattr(registry, "_factory", lambda kind: missing)
    done = precision("--shards", shards, "--out", tmp_path, "--features", "dinov2:x,oracle")
    assert done.exit_code == 3
    assert "not measured: dinov2:x: nowhere: fetch them" in done.output
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["missing"] == [{"features": "dinov2:x", "message": "nowhere: fetch them"}]
    assert "oracle" in [row["label"] for row in record["rows"]]
    assert "fetch them" in (tmp_path / "precision.html").read_text()


@pytest.mark.usefixtures("small")
def test_attention_of_a_run_by_layer_head_and_checkpoint(shards, tmp_path):
    settings_ = {"steps": 4, "checkpoint_every": 2, "keep_checkpoints": 5, "size": 48}
    loop.fit(small_run(shards, tmp_path / "run", weight=1.0, **settings_))
    found = measured(
        shards, tmp_path / "p", "--features", f"attention:{tmp_path / 'run'}", "--layers", "all",
        "--heads", "auto", "--heads", "best", "--checkpoints", "all",
    )  # fmt: skip
    rows = [row for row in found["rows"] if row["kind"] == "attention"]
    assert {row["step"] for row in rows} == {2, 4}
    assert len({row["layer"] for row in rows}) > 1
    assert any(row["heads"].startswith("best (head") for row in rows)
    trained = [row for row in rows if row["heads"] == "trained"]
    assert {row["step"] for row in trained} == {2, 4}
    assert len({row["layer"] for row in trained}) == 1
    for row in rows:
        assert 0 <= row["bins"][-1]["precision"]["5%"][0] <= 1
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert {"layers.svg", "training.png"} <= names


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--features", "shift"], "unknown features 'shift'; did you mean 'sift'?"),
        (["--features", "oracle,oracle"], "features 'oracle' appear twice"),
        (["--features", "oracle", "--bin", 30, "--bin", 20], "expected two or more rising ones"),
        (["--features", "oracle", "--threshold", "5"], "expected pixels or % of the diagonal"),
        (["--features", "attention:/nowhere"], "no checkpoint there and no preset"),
        (["--features", "attention:run@size=all"], "size is 'all'; expected any"),
        (["--features", "attention:run@size=any@size=any"], "size is given twice"),
        (["--features", "attention:run@colour=red"], "expected one of: weights, size"),
        (["--features", "oracle", "--stride", 100], "stride 100 leaves no cell"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_line(shards, tmp_path, args, message):
    done = precision("--shards", shards, "--out", tmp_path / "p", *args)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert done.output.count("\n") == 1


def test_thresholds_read_as_they_are_written():
    assert threshold("8px").px(HW) == 8
    assert threshold("10%").px((30, 40)) == 5
    with pytest.raises(UsageError):
        threshold("0px")


def test_results_do_not_go_into_a_build(shards):
    for args in (
        ["--shards", shards, "--features", "oracle"],
        ["--compare", "a", "--compare", "b"],
    ):
        done = precision("--out", shards, *args)
        assert done.exit_code == 1
        assert "is the folder of a build" in done.output
