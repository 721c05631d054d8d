"""The planted mistakes that the check names, scene by scene."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.check.plants import PLANTS
from benchmarks.check.scenes import FRAMES, SCENES, capture, written
from cameo_data.check import SceneCheck, check_scene

PAIRS = 24
NOTHING = "nothing"
HEADINGS = ["planted", *SCENES]


def checked(scene: str, plant: str = NOTHING, pairs: int = PAIRS) -> SceneCheck:
    """The check of a scene with this mistake in it."""
    taken = capture(scene)
    if plant != NOTHING:
        taken = PLANTS[plant][0](taken)
    with tempfile.TemporaryDirectory() as folder:
        return check_scene(written(taken, Path(folder) / "scene"), views=FRAMES, pairs=pairs)


def applies(scene: str, plant: str) -> bool:
    """Whether the mistake applies to the scene."""
    return plant == NOTHING or not PLANTS[plant][2] or capture(scene).taken[0].z is not None


def outcome(check: SceneCheck, plant: str) -> str:
    """In few words: ``named``, the other names, ``bad`` without a name, or ``consistent``."""
    names = sorted(mistake.suspect.value for mistake in check.mistakes)
    expected = [] if plant == NOTHING else sorted(name.value for name in PLANTS[plant][1])
    if names:
        return "named" if names == expected else " + ".join(names)
    return "bad" if check.verdict == "inconsistent" else check.verdict


def rows() -> Iterator[list[str]]:
    """A row per mistake."""
    for plant in (NOTHING, *PLANTS):
        cells = [
            outcome(checked(scene, plant), plant) if applies(scene, plant) else "–"
            for scene in SCENES
        ]
        yield [plant, *cells]
