"""Architectures are found by name, ours and those of packages; what is wrong is one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from plugin_packages import installer
from runs import SMALL

from cameo_data.errors import UsageError
from cameo_train import models
from cameo_train.cli import main
from cameo_train.matchers.run_attention import checkpoints_of
from cameo_train.models import registry
from cameo_train.models.architecture import Architecture
from cameo_train.models.model_preset import Preset
from cameo_train.reproduce import arms

ROOT = Path(__file__).parents[2]
FOREIGN = """
from dataclasses import replace
from cameo_train.models import Architecture
from cameo_train.models.unet import ARCHITECTURE, MultiViewUNet

TINY = ARCHITECTURE.presets[0]
NARROW = replace(TINY, name="narrow", architecture="foreign", image_hw=(32, 32))
FOUND = Architecture("foreign", MultiViewUNet, (NARROW,), compared=("narrow",))
TAKEN = Architecture("taken", MultiViewUNet, (replace(TINY, architecture="taken"),))
OTHER = 7
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Offers attributes of a module as entry points of our group."""

    def offer(**points):
        groups = {
            registry.REGISTRY.group: {name: f"foreign_models:{at}" for name, at in points.items()}
        }
        install("foreign_models", FOREIGN, groups)
        registry._known.cache_clear()

    with installer(tmp_path, monkeypatch) as install:
        yield offer
    registry._known.cache_clear()


def test_every_architecture_of_ours_is_one_line_and_registers_itself():
    assert list(models.architectures()) == list(registry.REGISTRY.builtin)
    for name, architecture in models.architectures().items():
        assert architecture.name == name
        assert architecture.presets


def test_models_of_a_package_can_be_named_like_ours(foreign):
    foreign(foreign="FOUND")
    assert list(models.presets())[-1] == "narrow"
    with torch.device("meta"):
        network = models.build("narrow")
    assert network.preset.image_hw == (32, 32)
    with pytest.raises(UsageError, match="no model 'narow'; did you mean 'narrow'"):
        models.build("narow")
    with pytest.raises(UsageError, match=r"no preset of that name; .*, narrow$"):
        checkpoints_of(Path("nowhere"))
    listed = CliRunner().invoke(main, ["models"])
    assert listed.exit_code == 0, listed.output
    assert listed.stdout.splitlines()[-1].split()[:4] == ["narrow", "foreign", "patch:4", "32×32"]
    chosen = arms.choose(["architecture"], model="cat3d-tiny", layers=[], steps=1)
    assert chosen[-1].name == "cameo@narrow"


@pytest.mark.parametrize(
    "attribute, line",
    [
        (
            "absent",
            r" of package foreign_models, entry point foreign_models:absent cannot be loaded: "
            r"AttributeError: .*; update or uninstall that package",
        ),
        (
            "OTHER",
            " of package foreign_models, entry point foreign_models:OTHER gives int; expected "
            "Architecture",
        ),
        ("TAKEN", ": model 'cat3d-tiny' is already registered; rename the preset"),
    ],
)
def test_a_broken_package_is_one_line_and_harms_no_other_model(foreign, attribute, line):
    foreign(broken=attribute)
    assert models.preset("cat3d-tiny").name == "cat3d-tiny"
    where = "architecture 'broken'"
    with pytest.raises(UsageError, match=f"^there is no model 'narrow'; .*{where}{line}") as caught:
        models.preset("narrow")
    assert "\n" not in str(caught.value)
    assert len(registry.problems()) == 1
    listed = CliRunner().invoke(main, ["models"])
    assert listed.exit_code == 1
    assert re.match(f"error: {where}{line}\n$", listed.stderr)


def test_an_architecture_holds_its_own_presets():
    unet = models.architectures()["unet"].model
    with pytest.raises(ValueError, match="preset 'small' is of architecture 'unet'; expected 'x'"):
        Architecture("x", unet, (SMALL,))
    with pytest.raises(ValueError, match="'unet' compares 'tiny', which is none of its presets"):
        Architecture("unet", unet, (SMALL,), compared=("tiny",))


def test_unknown_fields_and_architectures_are_refused():
    with pytest.raises(UsageError, match="'cat3d-tiny' has no 'latent'; did you mean 'latents'"):
        models.build("cat3d-tiny", latent="pixel")
    with pytest.raises(UsageError, match="no architecture 'unett'; did you mean 'unet'"):
        models.build("cat3d-tiny", architecture="unett")


class Plain(models.MultiViewModel):
    """The least that a model has."""


def test_a_model_without_weights_or_blocks_says_so():
    plain = Plain(
        Preset(name="plain", architecture="plain", latents="vae", image_hw=(8, 8), layer="0",
               vae_space=(16, 4))
    )  # fmt: skip
    assert (plain.latent_channels, plain.factor) == (16, 4)
    with pytest.raises(UsageError, match=r"'plain' takes no pretrained weights; .* --weights"):
        plain.load("folder")
    with pytest.raises(UsageError, match="'plain' has no blocks to recompute; train it without"):
        plain.enable_gradient_checkpointing()


def test_the_page_lists_every_model():
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = [name for cell in table for name in re.findall("`([^`]+)`", cell)]
    assert sorted(listed) == sorted(models.presets())
