"""Names that packages add: found, loaded, and each fault told in one line."""

from __future__ import annotations

import pytest
from plugin_packages import Install

from cameo_data.errors import UsageError
from cameo_data.plugins import Registry
from cameo_data.sources import SourceSpec, source_names, source_spec
from cameo_data.sources.synthetic import SPEC

REGISTRY = Registry("source", "cameo_data.sources", {"ours": "cameo_data.sources.synthetic:SPEC"})
SOURCE = "from cameo_data.sources.synthetic import SPEC\nNUMBER = 3\n"


def test_ours_come_first_and_cannot_be_replaced(install: Install) -> None:
    install("late", SOURCE, {"cameo_data.sources": {"b": "late:SPEC", "a": "late:SPEC"}})
    install("thief", SOURCE, {"cameo_data.sources": {"ours": "thief:NUMBER"}})
    assert REGISTRY.names() == ["ours", "a", "b"]
    assert REGISTRY.added() == ["a", "b"]
    assert REGISTRY.load("ours", SourceSpec) is SPEC
    assert REGISTRY.load("b", SourceSpec) is SPEC


def test_a_class_is_called_where_one_may_be_offered(install: Install) -> None:
    install("lists", "class Mine(list): ...\n", {"cameo_data.sources": {"mine": "lists:Mine"}})
    assert REGISTRY.load("mine", list, classes=True) == []
    with pytest.raises(ValueError, match="gives type; expected list"):
        REGISTRY.load("mine", list)


def test_an_unknown_name_has_the_nearest(install: Install) -> None:
    install("late", SOURCE, {"cameo_data.sources": {"turntable": "late:SPEC"}})
    with pytest.raises(UsageError, match=r"^unknown source 'turntabel'; did you mean 'turntable'"):
        REGISTRY.load("turntabel", SourceSpec)
    with pytest.raises(UsageError, match=r"^unknown source 'x'; expected one of ours, turntable$"):
        REGISTRY.load("x", SourceSpec)


@pytest.mark.parametrize(
    "code, value, says",
    [
        ("", "broken:SPEC", "cannot be loaded: AttributeError: "),
        ("import nowhere_at_all", "broken:SPEC", "cannot be loaded: ModuleNotFoundError: No modul"),
        ("raise OSError('a\\nb')", "broken:SPEC", "cannot be loaded: OSError: a b; update or "),
        (SOURCE, "broken:NUMBER", "gives int; expected SourceSpec"),
    ],
)
def test_a_broken_entry_point_is_one_line(
    install: Install, code: str, value: str, says: str
) -> None:
    install("broken", code, {"cameo_data.sources": {"mine": value}})
    with pytest.raises(ValueError, match="source 'mine'") as caught:
        source_spec("mine")
    assert f"source 'mine' of package broken, entry point {value} {says}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "mine" in source_names()


def test_two_packages_of_one_name_are_both_named(install: Install) -> None:
    for name in ("first", "second"):
        install(name, SOURCE, {"cameo_data.sources": {"mine": f"{name}:SPEC"}})
    with pytest.raises(ValueError, match=r"'mine' is offered by package .*first.* and .*second.*"):
        REGISTRY.load("mine", SourceSpec)
