"""The argument of a kind of features: ``dinov2:WEIGHTS@layer=8@norm=no``."""

from __future__ import annotations

from typing import TypeVar

from cameo_data.errors import UsageError

T = TypeVar("T", int, float, bool)
SWITCH = {"yes": True, "no": False}


class Argument:
    """Weights and options of one kind, read option by option.

    Attributes:
        name: kind and argument as given.
        main: the text before the first option; None if there is none.
    """

    def __init__(self, kind: str, argument: str | None) -> None:
        self.kind = kind
        self.name = kind if argument is None else f"{kind}:{argument}"
        first, *rest = (argument or "").split("@")
        while rest and "=" not in rest[0]:  # a folder may have an @ in its name
            first += "@" + rest.pop(0)
        self.main = first or None
        self._given: dict[str, str] = {}
        for option in rest:
            key, _, value = option.partition("=")
            if key in self._given:
                raise UsageError(f"{self.name}: {key} is given twice")
            self._given[key] = value
        self._known: list[str] = []

    def text(self, key: str, *choices: str) -> str | None:
        """The value of an option as given, or None.

        Raises:
            UsageError: the value is not one of the choices.
        """
        self._known.append(key)
        text = self._given.get(key)
        if text is not None and choices and text not in choices:
            expected = " or ".join(choices)
            raise UsageError(f"{self.name}: {key} is {text!r}; expected {expected}")
        return text

    def option(self, key: str, default: T, *, low: T | None = None, high: T | None = None) -> T:
        """The value of an option, converted to its default's type (yes or no for a bool).

        Raises:
            UsageError: the value has another type, or is outside ``low`` to ``high`` (inclusive).
        """
        self._known.append(key)
        text = self._given.get(key)
        if text is None:
            return default
        if isinstance(default, bool):
            if text not in SWITCH:
                raise UsageError(f"{self.name}: {key} is {text!r}; expected yes or no")
            return SWITCH[text]
        expected = "a whole number" if isinstance(default, int) else "a number"
        try:
            value = type(default)(text)
        except ValueError:
            raise UsageError(f"{self.name}: {key} is {text!r}; expected {expected}") from None
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            limits = f"from {low}" if high is None else f"from {low} to {high}"
            raise UsageError(f"{self.name}: {key} is {text}; expected {expected} {limits}")
        return value

    def close(self) -> None:
        """Raises UsageError if an option was given that the kind does not have."""
        for key in self._given:
            if key not in self._known:
                known = ", ".join(self._known) or "none"
                raise UsageError(f"{self.name}: unknown option {key!r}; expected one of: {known}")
