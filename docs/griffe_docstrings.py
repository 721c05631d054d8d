"""Two habits of our docstrings, told to the reader of Google's style.

``Example:`` is read as ``Examples:``, so that its lines are shown as code; and arguments that share
a description (``q, k: …``) get it each.
"""

import re
from typing import Any

import griffe

# a line of several names, and the lines that go on with it
SHARED = re.compile(r"^( +)(\*{0,2}\w+(?:, \*{0,2}\w+)+): (.*(?:\n\1 +\S.*)*)$", re.M)


def _each(found: re.Match[str]) -> str:
    indent, names, text = found.groups()
    return "\n".join(f"{indent}{name}: {text}" for name in names.split(", "))


class OurDocstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is None:
            return
        text = "\n" + obj.docstring.value
        text = text.replace("\nExample:\n", "\nExamples:\n")
        head, args, tail = text.partition("\nArgs:\n")
        if not args:
            head, args, tail = text.partition("\nAttributes:\n")
        section, gap, rest = tail.partition("\n\n")
        obj.docstring.value = (head + args + SHARED.sub(_each, section) + gap + rest)[1:]
