"""``--scenes``, ``--limit`` and ``--split``, and a look at datasets of many scenes."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build_scenes import recipe
from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.inspection.overview import MAX_FAILURES, evenly, overview
from cameo_data.recipe import source_recipe
from cameo_data.sources.common.subset import subset
from cameo_data.types import Camera, Frame, Scene

TINY = ["--views", "3", "--stride", "8", "--min-overlap", "0.05", "--workers", "1"]


def run(*args: Any) -> Any:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def one_line(result: Any, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    [line] = result.stderr.splitlines()
    return str(line)


@dataclass
class Listed:
    """A dataset of ``count`` scenes without any files; remembers which were opened."""

    count: int
    dataset: str = "listed"
    failures: tuple[Failure, ...] = ()
    opened: list[str] = field(default_factory=list)

    def scene_ids(self) -> Sequence[str]:
        return [f"train/{i:05d}" for i in range(self.count)]

    def scene(self, scene_id: str) -> Scene:
        self.opened.append(scene_id)
        poses = [np.eye(4), np.diag([-1.0, -1, 1, 1]), np.eye(4)]
        missing = Path("missing.png")
        frames = tuple(
            Frame(str(i), Camera(np.diag([9.0, 9, 1]), (6, 8), pose), missing)
            for i, pose in enumerate(poses)
        )
        lost = Failure(Reason.BAD_POSE, "listed", scene_id, "3", "f", "e", "r")
        return Scene("listed", scene_id, frames, "metre", (lost,))


def silent(stage: str, done: int, total: int) -> None:
    pass


def test_an_overview_opens_a_bounded_number_of_scenes() -> None:
    source = Listed(20_000)
    tracemalloc.start()
    found = overview(source, 100, False, silent)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(source.opened) == len(found.rows) == 100
    assert source.opened[0] == "train/00000"
    assert source.opened[-1] == "train/19999"
    assert peak < 4e6
    assert (found.frames, found.estimated_frames) == (400, 80_000)
    assert found.reasons == {"bad_pose": 100, "missing_file": 100}
    assert len(found.failures) == min(200, MAX_FAILURES)
    record = found.record()
    assert record["largest_rotation_deg"] == [180, 180, 180]
    assert record["frames_with_depth_share"] == 0


def test_an_overview_of_all() -> None:
    source = Listed(150)
    assert overview(source, 0, False, silent).complete
    assert len(source.opened) == 150


def test_evenly() -> None:
    assert evenly(range(5), 9) == [0, 1, 2, 3, 4]
    assert evenly(range(101), 3) == [0, 50, 100]


@pytest.mark.parametrize(
    "patterns, limit, chosen",
    [
        (["train/0000[12]"], None, ["train/00001", "train/00002"]),
        (["*7", "train/00001"], 2, ["train/00001", "train/00007"]),
        ([], 1, ["train/00000"]),
    ],
)
def test_subsets_keep_the_order(patterns: list[str], limit: int | None, chosen: list[str]) -> None:
    assert list(subset(Listed(20), patterns, limit).scene_ids()) == chosen


def test_a_subset_keeps_its_own_failures() -> None:
    def lost(scene_id: str | None) -> Failure:
        return Failure(Reason.BAD_NAME, "listed", scene_id, None, "f", "e", "r")

    whole = Listed(3, failures=(lost(None), lost("train/x"), lost("test/x")))
    assert [f.scene_id for f in subset(whole, ["train*"], None).failures] == [None, "train/x"]


def test_no_match_is_one_line() -> None:
    with pytest.raises(DataError, match=r"no scene matches 'a' or 'b'; expected some of 20"):
        subset(Listed(20), ["a", "b"], None)


def test_a_build_of_a_subset(tiny_scenes: Path, tmp_path: Path) -> None:
    first, second = sorted(path.name for path in tiny_scenes.iterdir())
    for out, flags, used in (
        ("a", ["--scenes", f"*{second[-4:]}"], second),
        ("b", ["--limit", "1"], first),
    ):
        args = ["build-corr", "synthetic", tiny_scenes, "--out", tmp_path / out, *TINY, *flags]
        built = run(*args, "--json")
        assert built.exit_code == 0, built.output
        counts = json.loads(built.stdout)["counts"]
        assert counts["scenes"]["found"] == 1
        assert counts["frames"]["found"] == 6
        index = json.loads((tmp_path / out / "index.json").read_text())
        assert {scene for shard in index["shards"] for scene in shard["scenes"]} == {used}
        kept = (tmp_path / out / "recipe.yaml").read_text()
        again = run(
            "build-corr", "--manifest", tmp_path / out / "recipe.yaml", "--out", tmp_path / out
        )
        assert again.exit_code == 0, again.output
        assert (tmp_path / out / "recipe.yaml").read_text() == kept


def test_flags_override_the_subset_of_a_manifest(tiny_scenes: Path) -> None:
    from cameo_data.cli.build_corr import resolve_recipe

    values = recipe(tiny_scenes, source={
        "name": "synthetic", "root": str(tiny_scenes), "scenes": "a*", "limit": 3,
    })  # fmt: skip
    assert (values.source.scenes, values.source.limit) == (("a*",), 3)
    path = tiny_scenes.parent / "subset.yaml"
    path.write_text(values.yaml())
    made = resolve_recipe(None, None, path, {"scenes": ["b*"]}, {})
    assert (made.source.scenes, made.source.limit) == (("b*",), 3)


@pytest.mark.parametrize("command", ["build-corr", "inspect", "check"])
def test_a_split_of_a_format_without_splits(
    command: str, tiny_scenes: Path, tmp_path: Path
) -> None:
    out = ["--out", tmp_path / "out"] if command == "build-corr" else []
    line = one_line(run(command, "synthetic", tiny_scenes, "--split", "train", *out), 2)
    assert "source 'synthetic' has no splits" in line


def test_a_split_is_an_option_of_the_format() -> None:
    made = source_recipe({"name": "realestate10k", "root": "x", "options": {"split": "test"}})
    assert made.options["split"] == "test"


def test_a_split_given_twice(tiny_scenes: Path) -> None:
    result = run("inspect", "synthetic", tiny_scenes, "--split", "a", "-o", "split=b")
    assert result.exit_code == 2
    assert "give --split NAME or -o split=NAME, not both" in result.stderr


def test_the_guess_is_said(tiny_scenes: Path, tmp_path: Path) -> None:
    result = run("build-corr", "auto", tiny_scenes, "--out", tmp_path / "x", *TINY, "--dry-run")
    assert f"{tiny_scenes} looks like format synthetic" in result.stderr
    assert json.loads(run("inspect", "auto", tiny_scenes, "--json").stdout)["guessed"] is True


def test_inspect_of_a_part(tiny_scenes: Path) -> None:
    result = run("inspect", "synthetic", tiny_scenes, "--limit", 1)
    assert "synthetic (format synthetic): 1 scene, 6 frames" in result.stdout
    looked = run("inspect", "synthetic", tiny_scenes, "--look", 1)
    assert "2 scenes, about 12 frames; 1 scenes looked into" in looked.stdout
