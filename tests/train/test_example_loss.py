"""The example loss works as it would once installed: listed, chosen, trained with."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from plugin_packages import example_package
from runs import rows

from cameo_train import config
from cameo_train.cli import main
from cameo_train.supervision.heads import HeadMean
from cameo_train.supervision.per_key_view import NEAREST
from cameo_train.supervision.registry import REGISTRY, supervision
from cameo_train.supervision.strategy import TappedAttention
from cameo_train.supervision.supervised_rows import supervised_rows
from cameo_train.supervision.targets import TokenTargets

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "focal_loss"
GRID_HW = (3, 4)


@pytest.fixture
def focal(tmp_path, monkeypatch):
    """The example's module, while the package can be found."""
    with example_package(EXAMPLE, tmp_path / "site", monkeypatch):
        yield importlib.import_module("focal_loss")


def attention(seed=0):
    torch.manual_seed(seed)
    views, tokens = 3, GRID_HW[0] * GRID_HW[1]
    q, k = (torch.randn(1, 2, views * tokens, 8, requires_grad=True) for _ in range(2))
    index = torch.randint(0, tokens, (1, views, views, tokens, 1))
    weight = torch.rand(index.shape) * (1 - torch.eye(views))[None, :, :, None, None]
    mixed = TappedAttention(q, k, 0.5, HeadMean(), GRID_HW)
    return mixed, supervised_rows(TokenTargets(index, weight))


def loss_and_gradient(of, seed=0):
    tapped, picked = attention(seed)
    value = of.loss(tapped, picked, picked.total_weight)
    return value, *torch.autograd.grad(value, (tapped.q, tapped.k))


def test_without_the_package_the_loss_is_unknown():
    assert "focal" not in REGISTRY.names()
    with pytest.raises(ValueError, match=r"'focal': unknown loss; .*install that package"):
        config.load(None, {"shards": "s", "out": "o", "target_kind": "focal"})


def test_it_is_short_and_found(focal):
    assert len((EXAMPLE / "focal_loss.py").read_text("utf-8").splitlines()) < 50
    assert supervision("focal") is focal.FOCAL
    assert REGISTRY.names()[-1] == "focal"


def test_without_focus_it_is_the_ordinary_loss(focal):
    for found, expected in zip(
        loss_and_gradient(focal.FocalLoss(gamma=0.0)), loss_and_gradient(NEAREST), strict=True
    ):
        assert torch.equal(found, expected)


def test_rows_that_match_well_count_less(focal):
    focused, ordinary = loss_and_gradient(focal.FOCAL)[0], loss_and_gradient(NEAREST)[0]
    assert 0 < focused < ordinary
    tapped, picked = attention()
    slow = 0.0
    for group in picked.groups:
        part = slice(group.start, group.stop)
        first = group.key_view * picked.tokens
        keys = tapped.k[0, :, first : first + picked.tokens]
        p = (tapped.q[0, :, picked.query[part]] @ keys.mT * 0.5).mean(0).softmax(-1)
        p = p.gather(-1, picked.index[part])
        slow -= (picked.weight[part] * (1 - p) ** 2 * p.log()).sum() / picked.total_weight
    torch.testing.assert_close(focused, slow)


def test_a_run_trains_with_it(focal, tiny_build, tmp_path, small):
    def fit(kind):
        out = tmp_path / kind
        given = ["--shards", tiny_build[0], "--out", out, "--model", "small", "--workers", 0]
        given += ["--steps", 2, "--target-kind", kind, "--log-every", 1, "--json"]
        done = CliRunner().invoke(main, ["fit", *map(str, given)])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["finished"]
        return rows(out)

    focused, ordinary = fit("focal"), fit("nearest")
    assert [row["rows"] for row in focused] == [row["rows"] for row in ordinary]
    assert focused[0]["diffusion"] == ordinary[0]["diffusion"]
    assert 0 < focused[0]["correspondence"] < ordinary[0]["correspondence"]
    assert focused[1]["diffusion"] != ordinary[1]["diffusion"]
    assert config.load(tmp_path / "focal" / "config.yaml", {}).target_kind == "focal"
