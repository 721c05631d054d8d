"""``--traceback`` reaches every command: the error itself comes out, not its one line."""

from __future__ import annotations

import ast
import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cameo_data import cli as data_cli
from cameo_data.errors import DataError
from cameo_train import cli as train_cli

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {"cameo-data": data_cli.main, "cameo-train": train_cli.main}
# command -> arguments with which it fails after it has begun; {here}: empty folder, {file}: a file
FAILING = {
    "cameo-data demo": "--out {file} --scenes 1 --frames 4 --size 64 --workers 1",
    "cameo-data synth": "{file}/scenes --scenes 1 --frames 1 --size 16 --workers 1",
    "cameo-data sources": "nosuch",
    "cameo-data inspect": "rgbd {here}/nosuch",
    "cameo-data check": "rgbd {here}/nosuch",
    "cameo-data depth": "fuse rgbd {here}/nosuch --out {here}/depth",
    "cameo-data build-corr": "rgbd {here}/nosuch --out {here}/shards",
    "cameo-data status": "{here}/nosuch",
    "cameo-data verify": "{here}/nosuch",
    "cameo-data stats": "{here}",
    "cameo-data preview": "{here}",
    "cameo-train fit": "--shards {here}/nosuch --out {here}/run --steps 1",
    "cameo-train precision": "--shards {here}/nosuch --features sift --out {here}/out",
    "cameo-train reproduce": "--out {file} --quick",
}


def run(words: str, tmp_path: Path, *shared: str) -> Result:
    file = tmp_path / "file"
    file.touch()
    here = tmp_path / "empty"
    here.mkdir(exist_ok=True)
    program, *arguments = words.format(here=here, file=file).split()
    return CliRunner().invoke(GROUPS[program], [*shared, *arguments])


def test_every_command_is_tried() -> None:
    every = {
        f"{program} {name}"
        for program, group in GROUPS.items()
        for name in group.list_commands(click.Context(group))
    }
    # `models` reads nothing that could fail: a broken package is part of its result
    assert every - {"cameo-train models"} == FAILING.keys()


@pytest.mark.parametrize("command", FAILING)
def test_a_traceback_can_be_asked_for_with_every_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_args: object, **_options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    # whatever it finds wrong is its result; only trouble of another kind is an error
    monkeypatch.setattr("cameo_data.shards.verify.verify_build", no_disk)
    words = f"{command} {FAILING[command]}"
    short = run(words, tmp_path)
    assert isinstance(short.exception, SystemExit), short.exception
    assert short.exit_code in (1, 2)
    assert "error: " in short.stderr.splitlines()[-1]
    full = run(words, tmp_path, "--traceback")
    assert isinstance(full.exception, (DataError, ValueError, OSError)), full.output


def test_errors_are_made_one_line_in_one_place() -> None:
    """A second handler, inside a command, would not know of ``--traceback``."""
    users = [
        path.name
        for package in ("cameo_data", "cameo_train")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and "errors_in_one_line" in ast.unparse(node.func)
    ]
    assert users == ["group.py"]
