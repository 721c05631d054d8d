"""What is written once stays written once: each of these words of code has one home."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# regular expression -> the file that alone holds it
HOMES = {
    r"\bdifflib\b": "cameo_data/suggestions.py",
    r"""(split|partition)\("@"\)""": "cameo_train/matchers/argument.py",
    r"\[x×\]|split\(.x.\)": "cameo_data/io/parsing.py",
    r"min\(1\.0, \w+ / max\(hw\)\)": "cameo_data/camera.py",
    r"\"[^\"]*\bdepth\.png16\"": "cameo_data/shards/layout.py",
    r"'s'\}|'s' \*": "cameo_data/errors.py",
    r"class TooMany": "cameo_data/errors.py",
    r"class Failure\w*\b(?!Info)": "cameo_data/errors.py",
    r"os\.fsync\(": "cameo_data/io/whole_files.py",
    r"(partial|temporary)\.replace\(|os\.replace\(": "cameo_data/io/whole_files.py",
}


def holders(pattern):
    """Paths of our modules that hold a pattern, relative to the root."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("cameo_data", "cameo_train")
        for path in (ROOT / package).rglob("*.py")
        if re.search(pattern, path.read_text("utf-8"))
    }


@pytest.mark.parametrize("pattern", HOMES)
def test_it_has_one_home(pattern: str) -> None:
    assert holders(pattern) == {HOMES[pattern]}
