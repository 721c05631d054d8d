"""Losses by name: which there are, what they refuse, how a wrong or broken one is told."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from cameo_data.errors import UsageError
from cameo_train import config
from cameo_train.cli import main
from cameo_train.data.batches import batches, plan
from cameo_train.supervision.heads import HeadMean
from cameo_train.supervision.official import official_loss, point_map
from cameo_train.supervision.registry import REGISTRY, supervision
from cameo_train.supervision.strategy import Supervision, TappedAttention
from cameo_train.supervision.supervised_rows import DIRECTIONS
from cameo_train.supervision.targets import TARGET_KINDS

NEEDED = {"shards": "s", "out": "o"}
HASHES = {
    "nearest": "9bed925a10df4d44df976066b7c811cf13eb47b6ffeb45fd0eef908b29dc2f83",
    "official": "c2290bc2e33db9f43ff47647614c6f4d4599384a814d2b1d08c238248ee3063f",
}
OWN = """
from cameo_train.supervision.strategy import Supervision

class Own(Supervision):
    targets = None
    refuses = ("{refused}",)

    def loss(self, attention, rows, normalizer):
        return attention.q.sum()
"""


def loaded(**values):
    return config.load(None, {**NEEDED, **values})


def test_each_kind_of_targets_has_its_loss():
    assert REGISTRY.names() == [*TARGET_KINDS, "official"]
    assert [supervision(kind).targets for kind in TARGET_KINDS] == list(TARGET_KINDS)
    assert supervision("official").targets is None


def test_help_lists_the_losses():
    shown = CliRunner().invoke(main, ["fit", "--help"]).output
    assert "--target-kind [nearest|bilinear|patch|official]" in " ".join(shown.split())


def test_configurations_of_before_have_the_same_hash():
    # recorded when target_kind was a closed list of names
    assert loaded().hash() == HASHES["nearest"]
    assert loaded(target_kind="official").hash() == HASHES["official"]


@pytest.mark.parametrize(
    "values, says",
    [
        ({"target_kind": "nearst"}, "target_kind: 'nearst': unknown loss; did you mean 'nearest'?"),
        ({"target_kind": "x"}, "expected one of nearest, bilinear, patch, official"),
        ({"target_kind": 3}, "target_kind: 3: "),
        (
            {"target_kind": "official", "max_rows": 5},
            "target_kind official: this loss does not take max_rows; leave it out",
        ),
        (
            {"target_kind": "official", "shuffle_matches": True},
            "target_kind official: this loss does not take shuffle_matches; leave it out",
        ),
    ],
)
def test_a_wrong_loss_is_one_line(values, says):
    with pytest.raises(UsageError) as caught:
        loaded(**values)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "code, says",
    [
        (
            "import nowhere_at_all",
            "loss 'own' of package own_loss, entry point own_loss:Own cannot",
        ),
        ("Own = 3", "gives int; expected Supervision"),
        (OWN.format(refused="seeds"), "target_kind own refuses 'seeds', which is not an option"),
    ],
)
def test_a_broken_loss_is_one_line(install, code, says):
    install("own_loss", code, {"cameo_train.losses": {"own": "own_loss:Own"}})
    with pytest.raises(UsageError) as caught:
        loaded(target_kind="own")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_of_a_package_needs_no_targets_and_may_refuse(install, tiny_build):
    install(
        "own_loss", OWN.format(refused="max_rows"), {"cameo_train.losses": {"own": "own_loss:Own"}}
    )
    with pytest.raises(UsageError, match="own: this loss does not take max_rows"):
        loaded(target_kind="own", max_rows=2)
    found = loaded(target_kind="own", shards=str(tiny_build[0]))
    batch = next(batches(found.shards, plan(found, (6, 8)), batch=1, seed=0))
    assert batch.targets is None
    with pytest.raises(ValueError, match=r"Own has no targets, so it must define rows\(\)"):
        supervision("own").rows(batch, (6, 8), DIRECTIONS)


def test_the_official_loss_of_a_batch(tiny_build):
    found = loaded(target_kind="official", shards=str(tiny_build[0]))
    batch = next(batches(found.shards, plan(found, (6, 8)), batch=2, seed=0))
    torch.manual_seed(0)
    q, k = (torch.randn(2, 2, batch.views * 48, 4) for _ in range(2))
    official = supervision("official")
    assert isinstance(official, Supervision)
    rows = official.rows(batch, (6, 8), DIRECTIONS)
    assert len(rows) > 0
    tapped = TappedAttention(q, k, 0.5, HeadMean(), (6, 8))
    # its rows are weighted already: nothing else divides their sum
    value = official.loss(tapped, rows, torch.tensor(7.0))
    expected = official_loss(
        q, k, point_map(batch.depth, batch.K, batch.cam_from_world),
        references=int(batch.reference[0].sum()), grid_hw=(6, 8), head_mix=HeadMean(), scale=0.5,
    )  # fmt: skip
    assert torch.equal(value, expected)
