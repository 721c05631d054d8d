"""Scenes as folders: what all sources made of them share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.common.recognition import formats_of
from cameo_data.sources.common.scene_folders import (
    MOST_LOOKED_INTO,
    FolderSource,
    find_scenes,
    looks_like,
)


def is_scene(folder: Path) -> bool:
    return (folder / "scene").is_file()


def test_a_format_is_recognised_by_any_of_its_first_scenes(tmp_path: Path) -> None:
    for name in ("a/1", "b/2"):
        (tmp_path / name).mkdir(parents=True)
    assert not looks_like(tmp_path, is_scene)
    (tmp_path / "b/2/scene").touch()
    assert looks_like(tmp_path, is_scene)
    assert looks_like(tmp_path / "b/2", is_scene)
    assert not looks_like(tmp_path, is_scene, max_depth=1)
    assert not looks_like(tmp_path / "b/2/scene", is_scene)
    assert not looks_like(tmp_path / "none", is_scene)


def test_recognising_takes_no_longer_for_more_folders(tmp_path: Path) -> None:
    """Of `auto`, every format asks: 20 000 folders of another one must not take seconds each."""
    for number in range(2 * MOST_LOOKED_INTO):
        (tmp_path / f"{number:05d}").mkdir()
    asked: list[Path] = []

    def remember(folder: Path) -> bool:
        asked.append(folder)
        return is_scene(folder)

    assert not looks_like(tmp_path, remember)
    assert len(asked) == MOST_LOOKED_INTO
    (tmp_path / f"{2 * MOST_LOOKED_INTO - 1:05d}/scene").touch()
    assert len(find_scenes(tmp_path, "mine", is_scene)[0]) == 1  # listing looks everywhere


def test_a_defect_of_a_scene_says_which(tmp_path: Path) -> None:
    def read(folder: Path, scene_id: str) -> None:
        raise FileDefect(Reason.BAD_POSE, "no pose", "one", "add it")

    source = FolderSource("mine", {"a": tmp_path}, (), read)  # type: ignore[arg-type]
    assert source.scene_ids() == ["a"]
    with pytest.raises(Exception, match="mine a: no pose; expected one; add it"):
        source.scene("a")
    with pytest.raises(ValueError, match="unknown scene 'b'; there are 1"):
        source.scene("b")


# format -> where it keeps a scene, as deep as listing looks
DEEP = {
    "rgbd": ["rgb.txt", "depth.txt", "groundtruth.txt"],
    "nerfstudio": ["transforms.json"],
    "generic": ["cameo.json"],
    "colmap": ["sparse/0/cameras.bin", "sparse/0/images.bin", "sparse/0/points3D.bin"],
    "scannetpp": ["dslr/colmap/cameras.txt"],
    "blendedmvs": ["cams/0_cam.txt", "blended_images/0.jpg", "rendered_depth_maps/0.pfm"],
    "middlebury": ["im0.png", "im1.png", "disp0.pfm", "disp1.pfm", "calib.txt"],
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_format_recognises_what_it_lists(name: str, depth: int, tmp_path: Path) -> None:
    folder = tmp_path.joinpath("root", *"abc"[:depth])
    for file in DEEP[name]:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert len(open_source(name, tmp_path / "root").scene_ids()) == 1
    assert formats_of(tmp_path / "root") == [name]


def test_what_lies_inside_another_formats_scene_is_part_of_it(tmp_path: Path) -> None:
    model = ("cameras.txt", "images.txt", "points3D.txt")
    (tmp_path / "hash/colmap/sparse/0").mkdir(parents=True)
    for file in ("transforms.json", *(f"colmap/sparse/0/{name}" for name in model)):
        (tmp_path / "hash" / file).touch()
    assert source_spec("colmap").recognise(tmp_path)
    assert formats_of(tmp_path) == ["nerfstudio"]
    for name in model:  # side by side: both are meant
        (tmp_path / "hash" / name).touch()
    assert formats_of(tmp_path) == ["colmap", "nerfstudio"]
