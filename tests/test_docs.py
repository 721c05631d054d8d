"""The documentation holds: links lead somewhere, code runs, commands and options exist."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import runpy
from pathlib import Path

import click
import pytest
import yaml

from cameo_data.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
MODULES = sorted(
    path for name in ("cameo_data", "cameo_train") for path in (ROOT / name).rglob("*.py")
)
# examples that need files of the reader's own are marked +SKIP
EXAMPLE = re.compile(r">>> (?!.*\+SKIP)")
WITH_EXAMPLES = [path for path in MODULES if EXAMPLE.search(path.read_text(encoding="utf-8"))]
MAX_FIGURE_BYTES = 300_000


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for language, code in found if language in languages]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """As GitHub and mkdocs make them of headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.M)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"[\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name_of(page)} links to {target}"
        assert linked.is_relative_to(ROOT), f"{name_of(page)} links out of the repository: {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_blocks_parse(page):
    for code in blocks(page, "python"):
        ast.parse(code)
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)


def test_examples_of_the_conventions_run():
    examples = blocks(ROOT / "docs" / "conventions.md", "python")
    assert examples
    for code in examples:
        assert "assert" in code
        exec(compile(code, "docs/conventions.md", "exec"), {})  # noqa: S102 - our own page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_options_exist(page):
    for code in blocks(page, "", "sh", "bash", "shell", "console", "text"):
        for line in code.replace("\\\n", " ").splitlines():
            words = line.partition(" #")[0].split()
            words = words[1:] if words[:1] == ["$"] else words
            if words[:1] == ["cameo-data"] and len(words) > 1:
                check_command(words[1:], f"{name_of(page)}: {line.strip()}")


def check_command(words: list[str], where: str) -> None:
    if words[0].startswith("-"):
        return
    context = click.Context(main)
    command = main.get_command(context, words[0])
    assert command is not None, where
    known = {"--help", "-h"}
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    for word in words[1:]:
        if word in {"|", ">", "&&", ";"}:
            return
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in known, where


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_doctests(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed


def test_options_are_described_as_the_models_describe_them():
    written = runpy.run_path(str(ROOT / "docs" / "write_options.py"))
    remedy = "run python docs/write_options.py"
    assert (ROOT / "docs" / "options.md").read_text("utf-8") == written["page"](), remedy


def test_figures_are_small_and_all_of_them_shown():
    figures = sorted((ROOT / "docs" / "figures").glob("*.*"))
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert figures
    for figure in figures:
        assert figure.stat().st_size <= MAX_FIGURE_BYTES, figure.name
        assert f"figures/{figure.name}" in text, figure.name
