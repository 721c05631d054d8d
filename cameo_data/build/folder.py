"""A build's folder: where everything lies, whose recipe it is, and one build in it at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data import __version__, recipe_file
from cameo_data import recipe as recipes
from cameo_data.recipe import Recipe
from cameo_data.shards.writer import remove_partials
from cameo_data.work_folder import locked, read_json, write_bytes, write_json

# Raised when the layout of ``.build`` changes; a folder of another one is not gone on with.
WORK_VERSION = 1


@dataclass(frozen=True)
class Folder:
    """Paths of a build; ``.build`` holds what a resumed build needs and no reader does."""

    root: Path

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    @property
    def index(self) -> Path:
        """Written last: the mark of a finished build."""
        return self.root / "index.json"

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def failures(self) -> Path:
        return self.root / "failures.jsonl"

    @property
    def work(self) -> Path:
        return self.root / ".build"

    @property
    def identity(self) -> Path:
        return self.work / "identity.json"

    @property
    def plan(self) -> Path:
        return self.work / "plan.json"

    def survey(self, name: str) -> Path:
        return self.work / "survey" / f"{name}.npz"

    def record(self, index: int) -> Path:
        """Of a finished task."""
        return self.work / "tasks" / f"{index:06d}.json"


def load_recipe(folder: Folder) -> Recipe:
    """The resolved recipe that the build follows."""
    return recipes.make(recipe_file.load(folder.recipe))


def as_recorded(root: Path, recipe: Recipe) -> Recipe:
    """The recipe, its folders spelled as by the build that is in ``root`` already."""
    try:
        recorded = load_recipe(Folder(root)).source.model_dump(mode="json")
    except ValueError:  # no build yet, or another tool's: claiming says so
        return recipe
    return recipe.model_copy(update={"source": recipes.spelled_as(recorded, recipe.source)})


@contextmanager
def claimed(root: Path, recipe: Recipe) -> Iterator[Folder]:
    """The build's folder, locked against other builds, holding this recipe's build or nothing yet.

    Raises:
        ValueError: the folder holds other files, another recipe's build, or is being built in.
        OSError: it cannot be written.
    """
    folder = Folder(root)
    with locked(root, folder.work, folder.index):
        _identify(folder, recipe)
        yield folder


def _identify(folder: Folder, recipe: Recipe) -> None:
    """Writes whose build this is, or checks that it is the same one's."""
    new = identity(recipe)
    old = read_json(folder.identity)
    if old is None and (index := read_json(folder.index)) is not None:
        # a finished build that was copied without its .build
        keys = ("tool_version", "recipe_hash")
        old = {**new, **{key: index.get(key) for key in keys}}
    if old is not None and old != new:
        raise ValueError(
            f"{folder.root} holds a build of {_difference(folder, old, new, recipe)}; "
            "give another --out, or delete that folder to build anew"
        )
    if old is None:
        write_json(folder.identity, new)
    if not folder.index.exists():
        write_bytes(folder.recipe, recipe.yaml().encode())


def identity(recipe: Recipe) -> dict[str, Any]:
    """What must be equal for two runs to work on one build."""
    return {
        "recipe_hash": recipe.hash(),
        "tool_version": __version__,
        "work_version": WORK_VERSION,
    }


def _difference(folder: Folder, old: dict[str, Any], new: dict[str, Any], recipe: Recipe) -> str:
    if old.get("recipe_hash") == new["recipe_hash"]:
        return f"cameo {old.get('tool_version')}, this is {__version__}"
    try:
        before, now = load_recipe(folder).record(), recipe.record()
    except ValueError:
        return "another recipe"
    changed = [
        f"{key}: {there} there, {here} here"
        for key, there, here in _changes(before, now)
        if key not in recipes.NOT_HASHED
    ]
    return f"another recipe ({'; '.join(changed)})"


def _changes(
    before: Mapping[str, Any], now: Mapping[str, Any], within: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Keys whose values differ, those of tables in tables as ``source.options.split``."""
    for key in dict.fromkeys((*now, *before)):
        there, here = before.get(key), now.get(key)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _changes(there, here, f"{within}{key}.")
        elif there != here:
            yield f"{within}{key}", there, here


def sweep(folder: Folder, shard_names: set[str]) -> None:
    """Removes what a killed run left half-written, and shards that the plan does not know."""
    for place in (folder.root, folder.work, folder.work / "survey", folder.work / "tasks"):
        remove_partials(place)
    if folder.shards.is_dir():
        for path in folder.shards.iterdir():
            if path.name not in shard_names:
                path.unlink()
