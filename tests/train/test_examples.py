"""The examples of an architecture, a tap and a matcher work as they would once installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from networks import Products
from plugin_packages import example_package

from cameo_data.errors import UsageError
from cameo_train import models, taps
from cameo_train.cli import main
from cameo_train.matchers import registry as matchers_registry
from cameo_train.models import registry as models_registry
from cameo_train.taps import adapters

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
DINO = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 2,
    "num_register_tokens": 3, "attn_implementation": "sdpa",
}  # fmt: skip


@pytest.fixture
def example(request, tmp_path, monkeypatch):
    """The package named by the test's parameter, installed; what was found before is forgotten."""
    with example_package(EXAMPLES / request.param, tmp_path / "site", monkeypatch):
        forget()
        yield
    forget()


def forget():
    for module in (models_registry, matchers_registry, adapters):
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def run(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def precision(shards, out, features, *words):
    """Rows of the results by name."""
    run("precision", "--shards", shards, "--features", features, "--out", out, *words)
    return json.loads((out / "results.json").read_text("utf-8"))["rows"]


@pytest.mark.parametrize("example", ["tiny_dit"], indirect=True)
def test_an_architecture(example, tiny_build, tmp_path):
    shards, out = tiny_build[0], tmp_path / "run"
    given = ["--shards", shards, "--out", out, "--model", "tiny-dit", "--steps", 2, "--workers", 0]
    last = json.loads(run("fit", *given, "--gradient-checkpointing", "--json"))["last"]
    assert last["rows"] > 0
    assert 0 < last["correspondence"] < 10
    features = f"attention:{out},attention:tiny-dit"
    rows = precision(shards, tmp_path / "precision", features, "--layers", "all")
    layers = {row["layer"] for row in rows if row["kind"] == "attention"}
    assert layers == {f"blocks.{n}.attention" for n in range(4)}
    with pytest.raises(UsageError, match="no model 'tiny-dyt'; did you mean 'tiny-dit'"):
        models.build("tiny-dyt")


@pytest.mark.parametrize("example", ["dino_tap"], indirect=True)
@pytest.mark.parametrize("name", ["Dinov2WithRegisters", "DINOv3ViT"])
def test_a_tap(example, name):
    import transformers

    config = getattr(transformers, f"{name}Config")
    size = {"image_size": 8} if name.startswith("Dinov2") else {"intermediate_size": 32}
    model = getattr(transformers, f"{name}Model")(config(**size, **DINO)).eval()
    with taps.tap(model, 1, views=2, hw=(8, 6)) as tapped, Products() as seen, torch.no_grad():
        model(torch.randn(4, 3, 8, 6))
    assert torch.equal(tapped.queries, seen.seen[1][0])
    assert tapped.queries.shape == (4, 2, 1 + 3 + 12, 8)
    assert tapped.layout.extra_tokens == 4
    assert torch.equal(tapped.grid_keys()[0, :, 12:], tapped.keys[1, :, 4:])


@pytest.mark.parametrize("example", ["patch_matcher"], indirect=True)
def test_a_matcher(example, tiny_build, tmp_path):
    rows = precision(tiny_build[0], tmp_path / "precision", "patches:@side=12,chance")
    everywhere = {row["name"]: row["bins"][-1]["precision"]["10%"][0] for row in rows}
    assert everywhere["patches:@side=12"] > everywhere["chance"]
    made = matchers_registry._factory("patches")("@side=10@stride=2", torch.device("cpu"))
    image = torch.rand(1, 3, 12, 16)
    found = made.descriptors(image)
    assert found.shape == (1, 300, 6, 8)
    # the patch of a cell lies around the cell's middle: rows 0 to 9 belong to the cell of rows 4, 5
    patch = image[0, :, 0:10, 2:12].flatten() - image[0, :, 0:10, 2:12].mean()
    torch.testing.assert_close(found[0, :, 2, 3], patch / patch.norm())
    with pytest.raises(UsageError, match=r"images are 11×16 \(h×w\); expected multiples"):
        made.descriptors(torch.rand(1, 3, 11, 16))
    with pytest.raises(UsageError, match="side − stride is odd"):
        matchers_registry._factory("patches")("@side=9", torch.device("cpu"))
