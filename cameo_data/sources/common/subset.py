"""Part of a dataset: scenes whose names match a pattern, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.sources.source import Source
from cameo_data.types import Scene


@dataclass(frozen=True, eq=False)
class Subset:
    """A source that offers some scenes of another source, in the same order.

    Attributes:
        names: names of the scenes.
    """

    whole: Source
    names: tuple[str, ...]
    failures: Sequence[Failure]

    @property
    def dataset(self) -> str:
        return self.whole.dataset

    def scene_ids(self) -> Sequence[str]:
        return self.names

    def scene(self, scene_id: str) -> Scene:
        return self.whole.scene(scene_id)


def subset(whole: Source, patterns: Sequence[str], limit: int | None) -> Source:
    """The scenes that match any of the patterns (all without patterns), at most ``limit``.

    In a pattern ``*`` stands for anything, ``?`` for a character, ``[ab]`` for either; case counts.
    Scenes that listing rejected count as failures where they match.

    Raises:
        DataError: no scene matches.
    """
    if not patterns and limit is None:
        return whole
    every = whole.scene_ids()
    names = [name for name in every if _matches(name, patterns)]
    failures = [f for f in whole.failures if f.scene_id is None or _matches(f.scene_id, patterns)]
    if not names and every:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=whole.dataset,
            found=f"no scene matches {' or '.join(repr(p) for p in patterns)}",
            expected=f"some of {len(every)}: {', '.join(every[:3])}{' …' if every[3:] else ''}",
            remedy="correct --scenes; * stands for anything",
        )
    return Subset(whole, tuple(names[:limit]), tuple(failures))


def unwrapped(source: Source) -> Source:
    """The dataset itself, if ``source`` is a part of it or attaches other depth to it."""
    while isinstance(whole := getattr(source, "whole", None), Source):
        source = whole
    return source


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
