"""A build's folder: where everything lies, whose recipe it is, and one build in it at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cameo_data import __version__
from cameo_data import recipe as recipes
from cameo_data.io import yaml_files
from cameo_data.io.whole_files import remove_partials
from cameo_data.io.work_folder import changes, locked, read_json, write_bytes, write_json
from cameo_data.recipe import Recipe

# Raised when the layout of ``.build`` changes; a folder with another layout is not resumed.
WORK_VERSION = 2


@dataclass(frozen=True)
class Folder:
    """Paths of a build; ``.build`` holds what a resumed build needs and no reader does.

    Attributes:
        replaced: what was there before and gave way to this build, in a sentence; or nothing.
    """

    root: Path
    replaced: str = field(default="", compare=False)

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

    @property
    def check(self) -> Path:
        """What ``check`` said of some scenes."""
        return self.work / "check.json"

    def survey(self, name: str) -> Path:
        return self.work / "survey" / f"{name}.npz"

    def record(self, index: int) -> Path:
        """Of a finished task."""
        return self.work / "tasks" / f"{index:06d}.json"


def load_recipe(folder: Folder) -> Recipe:
    """The resolved recipe that the build follows."""
    return recipes.make(yaml_files.load(folder.recipe))


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

    Another recipe's build gives way where it never came to a shard.

    Raises:
        ValueError: the folder holds other files, another recipe's build, or is being built in.
        OSError: it cannot be written.
    """
    folder = Folder(root)
    with locked(root, folder.work, folder.index):
        yield Folder(root, _identify(folder, recipe))


def _identify(folder: Folder, recipe: Recipe) -> str:
    """Writes whose build this is, or checks that it is the same one's; see ``Folder.replaced``."""
    new = identity(recipe)
    old = read_json(folder.identity)
    if old is None and (index := read_json(folder.index)) is not None:
        # a finished build that was copied without its .build
        keys = ("tool_version", "recipe_hash")
        old = {**new, **{key: index.get(key) for key in keys}}
    replaced = ""
    if old is not None and old != new:
        other = _difference(folder, old, new, recipe)
        if _has_shards(folder):
            raise ValueError(
                f"{folder.root} holds a build of {other}; "
                "give another --out, or delete that folder to start again"
            )
        _clear(folder)
        replaced = f"{folder.root} held a build of {other} without any shard; this one takes over"
        old = None
    if old is None or not folder.identity.exists():
        write_json(folder.identity, new)
    if not folder.index.exists():
        write_bytes(folder.recipe, recipe.yaml().encode())
    return replaced


def _has_shards(folder: Folder) -> bool:
    """Whether a build came far enough to be worth keeping."""
    return folder.index.exists() or any(folder.shards.glob("*.tar"))


def _clear(folder: Folder) -> None:
    """Removes what a build without shards left behind."""
    for path in (folder.plan, folder.check, folder.failures):
        path.unlink(missing_ok=True)
    for place in (folder.work / "survey", folder.work / "tasks"):
        shutil.rmtree(place, ignore_errors=True)


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
        for key, there, here in changes(before, now)
        if key not in recipes.NOT_HASHED
    ]
    return f"another recipe ({'; '.join(changed)})"


def sweep(folder: Folder, shard_names: set[str]) -> None:
    """Removes what a killed run left half-written, and shards that the plan does not know."""
    for place in (folder.root, folder.work, folder.work / "survey", folder.work / "tasks"):
        remove_partials(place)
    if folder.shards.is_dir():
        for path in folder.shards.iterdir():
            if path.name not in shard_names:
                path.unlink()
