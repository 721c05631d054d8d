"""Held-out scores: the same for all runs of the same weights, and higher where it was learnt."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from runs import small_run

from cameo_data.errors import DataError
from cameo_train.models import build_latents
from cameo_train.training import loop, validation

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def shards(tiny_build) -> Path:
    return tiny_build[0]


def scores(config, objective=None):
    objective = objective or loop.untrained(config)
    space = build_latents(objective.model.preset.latents)
    return validation.measure(config, objective, space, "cpu")


def test_scores_depend_on_the_weights_alone(shards, tmp_path):
    config = small_run(shards, tmp_path, validation=str(shards), validation_samples=4)
    other = config.model_copy(update={"flip": False, "lr": 1.0, "shuffle_matches": True})
    objective = loop.untrained(config).train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = scores(config, objective)
    assert torch.equal(torch.get_rng_state(), before)
    assert objective.training
    assert scores(other, objective) == one
    assert one.reading == "head mix"
    assert one.loss > 0


def test_batches_of_another_size_give_the_same_groups(shards, tmp_path):
    """Reference views are drawn per batch, so one is asked for."""
    config = small_run(
        shards, tmp_path, validation=str(shards), validation_samples=4, references=(1, 1)
    )
    one, two = (scores(config.model_copy(update={"batch": b})) for b in (1, 4))
    assert one.loss == pytest.approx(two.loss, rel=1e-5)
    assert one.precision == pytest.approx(two.precision, abs=1e-6)


def test_an_unsupervised_layer_is_read_in_the_best_way(shards, tmp_path):
    config = small_run(shards, tmp_path, validation=str(shards), weight=0.0)
    objective = loop.untrained(config)
    found = scores(config, objective)
    ways = validation.readings(objective, supervised=False)
    assert list(ways) == ["mean", *(f"head {h}" for h in range(len(ways) - 1))]
    logits = torch.randn(len(ways) - 1, 5, 7)
    assert torch.equal(ways["head 1"](logits), logits[1])
    assert found.reading in ways
    assert 0 < found.precision < 1


def test_precision_rises_where_matches_are_taught(shards, tmp_path):
    """Trained on what it is measured on, the supervised layer finds it; without, it does not."""
    given = {"validation": str(shards), "validation_samples": 4, "validate_every": 20}
    given |= {"steps": 40, "batch": 4, "flip": False, "shuffle_views": False}
    found = {}
    for weight in (0.0, 1.0):
        config = small_run(shards, tmp_path / str(weight), weight=weight, **given)
        steps = []
        result = loop.fit(config, steps.append)
        assert [row["step"] for row in steps if "validation_loss" in row] == [20, 40]
        found[weight] = result.last["validation_precision"]
    assert found[1.0] > found[0.0] + 0.1


def test_groups_without_matches_have_no_precision(shards, tmp_path):
    config = small_run(shards, tmp_path, validation=str(shards))
    nothing = validation.Scores(0.5, math.nan, "mean")
    assert "validation_precision" not in nothing.record()
    assert scores(config).record().keys() == {"validation_loss", "validation_precision", "reading"}


def test_held_out_shards_that_are_not_there_end_a_run_before_its_first_step(shards, tmp_path):
    config = small_run(shards, tmp_path / "run", validation=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere"):
        loop.fit(config)
    assert not (tmp_path / "run").exists()
