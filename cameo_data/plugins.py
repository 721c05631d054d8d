"""Kinds of things found by name: ours, and those that other installed packages offer.

Each kind has an entry point group. A package adds to it with a line in its ``pyproject.toml``; see
``docs/examples``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from cameo_data.errors import UsageError
from cameo_data.suggestions import suggestion

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """One kind of thing that packages can add to.

    Nothing is imported before ``load``. A built-in name cannot be taken by a package.

    Attributes:
        what: the kind, as messages call it.
        group: of the entry points.
        builtin: name -> ``module:attribute``.
    """

    what: str
    group: str
    builtin: Mapping[str, str]

    def names(self) -> list[str]:
        """The built-in names in their own order, then the added ones, sorted."""
        return [*self.builtin, *self.added()]

    def added(self) -> list[str]:
        """Names that other packages offer, sorted."""
        return sorted({point.name for point in entry_points(group=self.group)} - set(self.builtin))

    def load(self, name: str, kind: type[T], *, classes: bool = False) -> T:
        """The thing called ``name``.

        Args:
            classes: a class may be offered too; it is called without arguments.

        Raises:
            UsageError: no such name; the message has the nearest, or all.
            ValueError: two packages offer it, it cannot be imported, or it is not a ``kind``.
        """
        if (value := self.builtin.get(name)) is not None:
            # a package that ours imports may be missing: that error names the extra to install
            point = EntryPoint(name, value, self.group)
            return self._checked(point, _loaded(point, classes), kind)
        points = list(dict.fromkeys(entry_points(group=self.group, name=name)))
        if not points:
            raise UsageError(f"unknown {self.what} {name!r}; {suggestion(name, self.names())}")
        if len(points) > 1:
            found = " and ".join(sorted(map(_origin, points)))
            raise ValueError(
                f"{self.what} {name!r} is offered by {found}; uninstall all but one of them"
            )
        return self._added(points[0], kind, classes)

    def _added(self, point: EntryPoint, kind: type[T], classes: bool) -> T:
        try:
            found = _loaded(point, classes)
        except Exception as error:  # code of another package, which may fail in any way
            said = " ".join(str(error).split())
            raise ValueError(
                f"{self._told(point)} cannot be loaded: {type(error).__name__}: {said}; "
                "update or uninstall that package"
            ) from error
        return self._checked(point, found, kind)

    def _checked(self, point: EntryPoint, found: Any, kind: type[T]) -> T:
        if not isinstance(found, kind):
            raise ValueError(
                f"{self._told(point)} gives {type(found).__name__}; expected {kind.__name__}"
            )
        return found

    def _told(self, point: EntryPoint) -> str:
        return f"{self.what} {point.name!r} of {_origin(point)}"


def _loaded(point: EntryPoint, classes: bool) -> Any:
    found = point.load()
    return found() if classes and isinstance(found, type) else found


def _origin(point: EntryPoint) -> str:
    """The package that offers a name, where known, and the object that it stands for."""
    package = "" if point.dist is None else f"package {point.dist.name}, "
    return f"{package}entry point {point.value}"
