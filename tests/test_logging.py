"""The library logs and never prints; the commands show what it logs."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cameo_data.cli.command import Command
from cameo_data.cli.group import lazy_group

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted(
    path
    for package in ("cameo_data", "cameo_train")
    for path in (ROOT / package).rglob("*.py")
    if "cli" not in path.relative_to(ROOT).parts
)


def printed(path: Path) -> list[int]:
    """Lines of a module that write to the terminal by themselves."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in ("print", "warnings.warn", "warn") or called.endswith(
            ("stderr.write", "stdout.write", "click.echo", "logging.basicConfig")
        ):
            lines.append(node.lineno)
    return lines


def test_the_library_prints_nothing():
    assert [f"{path.relative_to(ROOT)}:{line}" for path in LIBRARY for line in printed(path)] == []


def test_loggers_are_named_after_their_modules():
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                assert ast.unparse(node.args[0]) == "__name__", path


def test_without_a_handler_the_library_is_silent():
    code = (
        "import logging, cameo_data, cameo_train\n"
        "logging.getLogger('cameo_data.build').warning('a')\n"
        "logging.getLogger('cameo_train.matchers').warning('b')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture
def program(monkeypatch):
    """A group with one command, which logs."""

    @lazy_group("nowhere", {"log": "logs"})
    def main(traceback: bool) -> None:
        pass

    @click.command("log", cls=Command)
    @click.option("--json", is_flag=True)
    def command(json: bool) -> None:
        logging.getLogger("cameo_data.x").info("a note of 100%")
        logging.getLogger("cameo_train.y").warning("a warning")
        logging.getLogger("cameo_train.y").debug("too much")

    monkeypatch.setattr(main, "get_command", lambda ctx, name: command)
    return main


def test_commands_show_what_is_logged(program):
    result = CliRunner().invoke(program, ["log"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == ["a note of 100%", "a warning"]


def test_commands_that_print_json_show_none(program):
    result = CliRunner().invoke(program, ["log", "--json"])
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_command_leaves_the_loggers_as_they_were(program):
    before = [(log.level, list(log.handlers)) for log in map(logging.getLogger, ("cameo_data",))]
    CliRunner().invoke(program, ["log"])
    after = [(log.level, list(log.handlers)) for log in map(logging.getLogger, ("cameo_data",))]
    assert before == after
