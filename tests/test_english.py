"""Phrases that read as translated do not come back; each failure says what to write instead.

A line in ``PLACES`` adds a page or a folder, of code too. Text between backticks is skipped, so
that a page can quote a message word for word.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# folders or files, and the ending of what is read there
PLACES = {
    "README.md": ".md",
    "CONTRIBUTING.md": ".md",
    "CHANGELOG.md": ".md",
    "benchmarks": ".py",
    "cameo_data": ".py",
    "cameo_train": ".py",
    "docs": ".md",
    "manifests": ".yaml",
}

# what must not come back -> what to write instead
PHRASES = {
    r"\b(?:is|are|was|were) no (?:folder|file|number|image|picture|text|option|key|name)s?\b": (
        '"is not a …"'
    ),
    r"\bstands? (?:twice|in(?! for\b)|at|beside|there|here)\b": '"appears twice in", "is in"',
    r"\b\w+s? lies? (?:twice|in|at|beside|there|here)\b": '"is in"',
    r"\bso (?:many|much) (?:tokens|steps|frames|pixels|views|images|pairs|samples|memory)\b": (
        '"this many tokens", "the number of tokens"'
    ),
    r"^(?:[#|*-] *)*Of (?!course\b)[\w' ]+\.$": '"AdamW learning rate." or "Applies to every run."',
    r"\b[Hh]ow (?:is|are) \w+\.": '"The measurement protocol."',
    r"\*\*(?:Asked|Counted|Judged)\*\* (?:is|are)\b": '"The queries are the points that"',
    r"\bbesides\b": '"also" or "other than"',
    r"\banew\b": '"again"',
    r"\bin silence\b|\bwithout a word\b": '"silently" or "without an error"',
    r"\b(?:is|are|was|were) (?:said|asked|told) (?:once|twice|so|of|for|to)\b": (
        "who reports or needs what"
    ),
    r"\b(?:is|are) asked for\?": '"are matched?"',
    r"\b(?:that|this|which) is said\b": '"the command reports it"',
    r"\b(?:knows?|says?) nothing (?:of|besides)\b": "what is missing",
    r"\b(?:bits|bytes|codes|tokens|images|matches) a (?:channel|pixel|view|side|GPU|query)\b": (
        '"per channel", "per pixel"'
    ),
}
COMPILED = {re.compile(phrase, re.M): instead for phrase, instead in PHRASES.items()}
QUOTED = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.M | re.S)


def files() -> list[Path]:
    found: set[Path] = set()
    for place, ending in PLACES.items():
        path = ROOT / place
        found |= set(path.rglob(f"*{ending}")) if path.is_dir() else {path}
    return sorted(found)


def findings(text: str) -> list[str]:
    """One line for each phrase that must not come back: line number, words, what to write."""
    blanked = QUOTED.sub(lambda m: re.sub(r"[^\n]", "`", m[0]), text)
    return [
        f"line {blanked.count(chr(10), 0, found.start()) + 1}: {found[0]!r}; write {instead}"
        for phrase, instead in COMPILED.items()
        for found in phrase.finditer(blanked)
    ]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_comes_back(path: Path) -> None:
    assert findings(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "x.npz is no image that we know",
        "frame_number 7 stands twice in the file",
        "what files lie in the folder",
        "a layer of so many tokens",
        "the folder. Adds:\nOf every run.",
        "How is measured.",
        "**Asked** are the points that are visible",
        "what it says besides",
        "is written anew",
        "it stops in silence",
        "which is said once",
        "Which points are asked for?",
        "better, but bad, and that is said",
        "says nothing of the others",
        "tokens a side",
    ],
)
def test_a_phrase_is_found(text: str) -> None:
    assert len(findings(text)) >= 1


def test_usual_words_and_quotations_pass() -> None:
    text = "Of course, one lies on a line; a zero stands in for it.\n`x is no file` is printed."
    assert findings(text) == []


def test_a_finding_says_where_and_what_to_write() -> None:
    assert findings("One.\nIt is written anew.") == ["line 2: 'anew'; write \"again\""]
