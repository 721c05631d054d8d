"""The unused files and notes of several scenes, merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cameo_data.types import Unused

# File names given as examples per kind.
EXAMPLES = 3


def merged(found: Iterable[Unused]) -> list[Unused]:
    """One entry per kind of file, counts added up, the most frequent first."""
    kinds: dict[str, Unused] = {}
    for one in found:
        old = kinds.get(one.what, Unused(one.what, 0))
        examples = (*old.examples, *one.examples)[:EXAMPLES]
        kinds[one.what] = Unused(one.what, old.count + one.count, examples)
    return sorted(kinds.values(), key=lambda one: (-one.count, one.what))


def scenes_by_note(found: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    """The scenes that each note applies to, from (scene id, notes) of every scene."""
    scenes: dict[str, list[str]] = {}
    for scene_id, notes in found:
        for note in notes:
            scenes.setdefault(note, []).append(scene_id)
    return scenes
