"""Suggestions for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection

# Below this difflib ratio, names are too different to be a typing error.
LEAST_LIKENESS = 0.5


def suggestion(name: str, known: Collection[str]) -> str:
    """``did you mean 'views'?``, or a list of all known names where none is similar.

    >>> suggestion("vews", ["views", "seed"])
    "did you mean 'views'?"
    >>> suggestion("x", ["views", "seed"])
    'expected one of views, seed'
    """
    near = nearest(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"


def nearest(name: str, known: Collection[str], most: int = 3) -> list[str]:
    """At most ``most`` known names that are similar, the most similar first.

    >>> nearest("vews", ["views", "seed", "view"])
    ['views', 'view']
    """
    return difflib.get_close_matches(name, known, most, LEAST_LIKENESS)
