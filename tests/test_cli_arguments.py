"""What click takes without a word and we do not: options given twice, addresses as paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cameo_data import cli as data_cli
from cameo_data import open_source
from cameo_data.errors import UsageError
from cameo_data.recipe import make
from cameo_train import cli as train_cli
from cameo_train.config import load

GROUPS = {"cameo-data": data_cli.main, "cameo-train": train_cli.main}


def commands() -> Iterator[tuple[str, click.Group, str]]:
    for program, group in GROUPS.items():
        for name in group.list_commands(click.Context(group)):
            yield program, group, name


COMMANDS = [
    pytest.param(group, name, id=f"{program} {name}") for program, group, name in commands()
]


def parameters(group: click.Group, name: str) -> list[click.Parameter]:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command.params


def written(option: click.Option) -> list[str]:
    """The option with some value of its type."""
    if option.is_flag:
        return [option.opts[0]]
    kind: Any = option.type
    value = kind.choices[0] if isinstance(kind, click.Choice) else "1"
    return [option.opts[0], *[str(value)] * option.nargs]


def run(group: click.Group, *args: object) -> Result:
    return CliRunner().invoke(group, [str(arg) for arg in args])


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_an_option_that_takes_one_value_is_refused_twice(group: click.Group, name: str) -> None:
    options = [p for p in parameters(group, name) if isinstance(p, click.Option)]
    single = [option for option in options if not option.multiple and not option.is_eager]
    assert single
    for option in single:
        result = run(group, name, *written(option), *written(option))
        assert result.exit_code == 2, option.opts
        message = f"{max(option.opts, key=len)} is given 2 times; give it once"
        assert message in result.stderr.splitlines()[-1], result.stderr


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_an_address_is_refused_wherever_a_text_is_given(
    group: click.Group, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for parameter in parameters(group, name):
        text = not isinstance(parameter.type, (click.Choice, click.types.BoolParamType))
        number = isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType))
        if not text or number or getattr(parameter, "is_flag", False):
            continue
        flag = parameter.opts[:1] if isinstance(parameter, click.Option) else []
        result = run(group, name, *flag, "s3://bucket/x")
        assert result.exit_code == 2, parameter.opts
        line = result.stderr.splitlines()[-1]
        assert "'s3://bucket/x' is remote (s3://); expected a local path; copy or mount" in line
    assert not list(tmp_path.iterdir())


def test_an_address_within_a_value_is_refused() -> None:
    result = run(data_cli.main, "inspect", "rgbd", "x", "-o", "poses=gs://bucket/poses.txt")
    assert "--option: 'poses=gs://bucket/poses.txt' is remote (gs://)" in result.stderr
    features = ["--features", "sift,dinov3:https://host/model"]
    result = run(train_cli.main, "precision", "--out", "x", *features)
    assert "--features: 'sift,dinov3:https://host/model' is remote (https://)" in result.stderr


def test_options_that_repeat_may_be_repeated(tmp_path: Path) -> None:
    args = ["build-corr", "rgbd", tmp_path, "--out", tmp_path / "x", "--stride", 8, "--stride", 16]
    assert "times" not in run(data_cli.main, *args, "--scenes", "a", "--scenes", "b").stderr


def test_the_groups_own_option(tmp_path: Path) -> None:
    result = run(data_cli.main, "--traceback", "--traceback", "sources")
    assert result.exit_code == 2
    assert "--traceback is given 2 times" in result.stderr


def test_an_address_in_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("source:\n  name: rgbd\n  root: s3://bucket/recordings\n")
    result = run(data_cli.main, "build-corr", "--manifest", path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    where = f"error: recipe {path}: source root: 's3://bucket/recordings' is remote (s3://)"
    assert result.stderr.startswith(where)
    path.write_text("shards: hf://datasets/someone/shards\nout: run\n")
    with pytest.raises(UsageError, match=r"shards: 'hf://datasets/someone/shards' is remote"):
        load(path, {})


def test_an_address_in_python() -> None:
    with pytest.raises(UsageError, match=r"root: .s3://bucket. is remote"):
        open_source("rgbd", "s3://bucket")
    with pytest.raises(UsageError, match=r"root: .s3://bucket. is remote"):
        make({"source": {"name": "rgbd", "root": "s3://bucket"}})
