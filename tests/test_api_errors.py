"""A mistake in a call is told in one line, in the words that the command has for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cameo_data import cli as data_cli
from cameo_data.build import build
from cameo_data.correspondence import correspond, correspond_group, prepare
from cameo_data.errors import DataError, UsageError
from cameo_data.recipe import Recipe, SourceRecipe
from cameo_data.shards.reader import ShardReader
from cameo_data.sources import open_source
from cameo_data.sources.rgbd.options import RgbdOptions
from cameo_data.types import Camera
from cameo_train import cli as train_cli
from cameo_train.config import TrainConfig


def said(group, *args):
    """What a command says of an error."""
    result = CliRunner().invoke(group, [str(arg) for arg in args])
    assert result.exit_code in (1, 2), result.output
    return result.stderr.removeprefix("error: ").strip()


def raised(kind, call, *args, **options):
    with pytest.raises(kind) as caught:
        call(*args, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert "pydantic" not in text
    return text


def manifest(folder: Path, text: str) -> Path:
    path = folder / "manifest.yaml"
    path.write_text(text, "utf-8")
    return path


SOURCE = SourceRecipe(name="synthetic", root="scenes")
YAML = "source: {name: synthetic, root: scenes}\n"


@pytest.mark.parametrize(
    "text, values",
    [
        (YAML + "view: 3", {"source": SOURCE, "view": 3}),
        (YAML + "views: 99", {"source": SOURCE, "views": 99}),
        (YAML + "size: [1]\nseed: -1", {"source": SOURCE, "size": [1], "seed": -1}),
        ("source: {name: synthetic}", {"source": {"name": "synthetic"}}),
        (
            "source: {name: synthetic, root: scenes, rot: 1}",
            {"source": {"name": "synthetic", "root": "scenes", "rot": 1}},
        ),
        (
            "source: {name: synthetik, root: scenes}",
            {"source": {"name": "synthetik", "root": "scenes"}},
        ),
        (
            "source: {name: rgbd, root: r, options: {layuot: x}}",
            {"source": {"name": "rgbd", "root": "r", "options": {"layuot": "x"}}},
        ),
    ],
)
def test_a_recipe_in_python_fails_as_its_file_does(tmp_path, text, values):
    path = manifest(tmp_path, text)
    by_command = said(data_cli.main, "build-corr", "--manifest", path, "--out", tmp_path / "out")
    assert raised(UsageError, Recipe, **values) == by_command


def test_a_recipes_source_alone_names_its_place():
    text = raised(UsageError, SourceRecipe, name="synthetic", root="scenes", rot=1)
    assert text == "unknown key 'source.rot'; did you mean 'root'?"


@pytest.mark.parametrize(
    "option, value", [("layuot", "auto"), ("depth_scale", "wide"), ("split", "train")]
)
def test_a_sources_option_in_python_fails_as_the_flag_does(tmp_path, option, value):
    by_command = said(data_cli.main, "inspect", "rgbd", tmp_path, "-o", f"{option}={value}")
    assert raised(UsageError, open_source, "rgbd", tmp_path, **{option: value}) == by_command
    assert raised(UsageError, open_source, "rgbd", tmp_path, {option: value}) == by_command


def test_an_options_record_made_by_hand():
    text = raised(UsageError, RgbdOptions, depth_scal=2)
    assert text == "unknown key 'depth_scal'; did you mean 'depth_scale'?"


def test_a_folder_that_is_not_there_fails_as_in_the_commands(tmp_path):
    missing = tmp_path / "nowhere"
    by_command = said(data_cli.main, "inspect", "co3d", missing)
    assert raised(DataError, open_source, "co3d", missing) == by_command
    assert "no index.json; expected a finished build" in raised(DataError, ShardReader, missing)
    by_command = said(data_cli.main, "stats", tmp_path)
    assert raised(DataError, ShardReader, tmp_path) == by_command


@pytest.mark.parametrize(
    "line, values",
    [
        ("stepz: 3", {"stepz": 3}),
        ("steps: 0", {"steps": 0}),
        ("references: [3, 1]", {"references": (3, 1)}),
        ("fsdp: true\nmixed_precision: fp16", {"fsdp": True, "mixed_precision": "fp16"}),
    ],
)
def test_a_training_configuration_in_python_fails_as_its_file_does(tmp_path, line, values):
    path = manifest(tmp_path, f"shards: shards\nout: run\n{line}\n")
    by_command = said(train_cli.main, "fit", "--manifest", path)
    assert raised(UsageError, TrainConfig, shards="shards", out="run", **values) == by_command


def test_a_build_says_what_it_takes(tmp_path):
    recipe = {"source": {"name": "synthetic", "root": "scenes"}}
    text = raised(UsageError, build, recipe, tmp_path / "out")
    assert text == "recipe is a dict; expected a Recipe: Recipe(source=SourceRecipe(…), …)"
    text = raised(UsageError, build, Recipe(source=SOURCE), tmp_path / "out", workers=0)
    assert text == "workers is 0; expected 1 or more"
    missing = Recipe(source=SourceRecipe(name="synthetic", root=str(tmp_path / "none")))
    by_command = said(
        data_cli.main, "build-corr", "synthetic", tmp_path / "none", "--out", tmp_path / "out"
    )
    assert raised(DataError, build, missing, tmp_path / "out") == by_command
    (tmp_path / "file").write_text("mine")
    raised((ValueError, OSError), build, missing, str(tmp_path / "file"))


CAMERA = Camera([[50, 0, 32], [0, 50, 24], [0, 0, 1]], (48, 64))
DEPTH = np.ones((48, 64))


@pytest.mark.parametrize(
    "args, options, text",
    [
        ((np.ones((2, 48, 64)), CAMERA, DEPTH, CAMERA), {}, "depth is 2×48×64, camera says 48×64"),
        ((DEPTH, CAMERA, np.ones((24, 32)), CAMERA), {}, "depth is 24×32, camera says 48×64"),
        ((DEPTH, CAMERA, DEPTH, CAMERA), {"stride": 0}, "stride is 0; expected 1 to 48"),
        ((DEPTH, CAMERA, DEPTH, CAMERA), {"stride": 2.5}, "stride is 2.5; expected 1 to 48"),
        (
            (DEPTH, CAMERA, DEPTH, CAMERA),
            {"mask0": np.ones((3, 3), bool)},
            "mask is 3×3, camera says 48×64 (h×w); resize one to the other",
        ),
        (
            (DEPTH, CAMERA, DEPTH, CAMERA),
            {"mask1": np.ones((48, 64))},
            "mask holds float64; expected bool: mask > 0",
        ),
        ((DEPTH, CAMERA.K, DEPTH, CAMERA), {}, "camera is a ndarray; expected a Camera"),
        ((np.full((48, 64), "x"), CAMERA, DEPTH, CAMERA), {}, "depth holds <U1; expected numbers"),
    ],
)
def test_correspond_says_what_does_not_fit(args, options, text):
    assert raised(ValueError, correspond, *args, **options).startswith(text)


def test_a_group_takes_prepared_views():
    text = raised(ValueError, correspond_group, [DEPTH, DEPTH], 16)
    assert text == "a view of a group is a ndarray; expected what prepare(depth, camera) gives"
    text = raised(ValueError, correspond_group, [prepare(DEPTH, CAMERA)], 16)
    assert text == "a group has at least two views, got 1"
