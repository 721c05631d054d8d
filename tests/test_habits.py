"""The same checks everywhere: in the Makefile, before commits, and in continuous integration."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
HOOKS = ROOT / ".pre-commit-config.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def recipe(target: str) -> list[str]:
    """The commands of a target, with the variables that they use filled in."""
    found = re.search(rf"^{target}:.*\n((?:\t.+\n)+)", MAKEFILE, re.M)
    assert found is not None, target
    lines = [line.strip() for line in found[1].splitlines()]
    return [line.replace("$(BIN)", ".venv/bin").replace("$(VENV)", ".venv") for line in lines]


def hooks() -> list[dict[str, Any]]:
    [repository] = yaml.safe_load(HOOKS.read_text("utf-8"))["repos"]
    assert repository["repo"] == "local"  # the environment's tools, so one version of each
    listed: list[dict[str, Any]] = repository["hooks"]
    return listed


def test_the_hooks_run_what_make_check_runs() -> None:
    assert [hook["entry"] for hook in hooks()] == recipe("check")
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in hooks())
    slow = [hook["id"] for hook in hooks() if hook.get("stages") == ["pre-push"]]
    assert slow == ["pytest", "mkdocs"]


def test_pre_commit_takes_the_file() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(HOOKS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_runs_the_targets_on_every_python_that_is_declared() -> None:
    text = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    [job] = yaml.safe_load(text)["jobs"].values()
    declared = [
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    ]
    assert job["strategy"]["matrix"]["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"
    targets = [
        target
        for step in job["steps"]
        for target in re.findall(r"^make (\w+)$", step.get("run", ""), re.M)
    ]
    assert targets == ["test", "wheel"]
    for target in targets:
        assert recipe(target)


def test_our_own_runner_runs_the_first_of_them() -> None:
    assert (ROOT / ".ci/run").read_text("utf-8").splitlines()[-1] == "make test"


def test_types_and_syntax_are_checked_for_the_oldest_python() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert tools["mypy"]["python_version"] == oldest
    assert tools["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
