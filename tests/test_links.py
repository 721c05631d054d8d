"""Links: a person's own are followed, wherever they lead; what a data file says leads nowhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import co3d_dataset
import colmap_recordings
import nerfstudio_scenes
import numpy as np
import pytest
import realestate10k_clips
import rgbd_recordings as recordings
import test_generic
import test_hypersim
import test_megadepth
import test_middlebury
import test_mvsnet_sources
import test_wildrgbd
from build_scenes import write_scenes
from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources import open_source, source_names
from cameo_data.sources.common.scene_folders import find_scenes
from cameo_data.sources.common.scene_walk import MAX_DEPTH

SCENE = "rec"


# the layouts of clusters


def by_disk(root: Path, store: Path) -> None:
    """Scene folders on another disk."""
    recordings.write_scannet(store / SCENE)
    (root / SCENE).symlink_to(store / SCENE)


def by_parts(root: Path, store: Path) -> None:
    """Folders of pictures on another disk, small files in place."""
    recordings.write_scannet(root / SCENE)
    for name in ("color", "depth"):
        store.mkdir(exist_ok=True)
        (root / SCENE / name).rename(store / name)
        (root / SCENE / name).symlink_to(store / name)


def by_hub(root: Path, store: Path) -> None:
    """The Hugging Face hub's cache: snapshots of relative links to blobs named by their hash."""
    recordings.write_scannet(root / SCENE)
    link_every_file(root, store, relative=True)


def by_dvc(root: Path, store: Path) -> None:
    """DVC with cache.type symlink: absolute links to read-only files of a shared cache."""
    recordings.write_scannet(root / SCENE)
    link_every_file(root, store / "files/md5", relative=False)
    for path in store.rglob("*"):
        if path.is_file():
            path.chmod(0o444)


def by_annex(root: Path, store: Path) -> None:
    """git-annex: relative links into .git/annex of the repository that the root is."""
    recordings.write_scannet(root / SCENE)
    (root / ".git").mkdir()
    link_every_file(root, root / ".git/annex/objects", relative=True)


def by_file(root: Path, store: Path) -> None:
    """Frames chosen one by one: ln -s of some pictures."""
    recordings.write_scannet(store / SCENE, count=5)
    shutil.copytree(store / SCENE, root / SCENE)
    for folder, suffix in (("color", "jpg"), ("depth", "png"), ("pose", "txt")):
        shutil.rmtree(root / SCENE / folder)
        (root / SCENE / folder).mkdir()
        for path in sorted((store / SCENE / folder).iterdir())[:3]:
            assert path.suffix == f".{suffix}"
            (root / SCENE / folder / path.name).symlink_to(path)


def by_root(root: Path, store: Path) -> None:
    """The root itself is a link."""
    recordings.write_scannet(store / SCENE)
    root.rmdir()
    root.symlink_to(store)


LAYOUTS = (by_disk, by_parts, by_hub, by_dvc, by_annex, by_file, by_root)


def link_every_file(root: Path, store: Path, relative: bool) -> None:
    """Moves every file into a store of blobs and leaves links."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts:
            name = hashlib.sha256(bytes(path)).hexdigest()
            blob = store / name[:2] / name
            blob.parent.mkdir(parents=True, exist_ok=True)
            path.rename(blob)
            target = os.path.relpath(blob, path.parent) if relative else blob
            path.symlink_to(target)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts_of_clusters_are_read(layout: Callable[[Path, Path], None], tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    layout(root, tmp_path / "store")
    result = CliRunner().invoke(main, ["inspect", "auto", str(root), "--read-all", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["source"], found["failures"]) == ("rgbd", 0)
    plain = open_source("rgbd", recordings.write_scannet(tmp_path / "plain")).scene("plain")
    source = open_source("rgbd", root)
    assert source.scene_ids() == [SCENE]
    scene = source.scene(SCENE)
    assert len(scene.frames) == len(plain.frames) == 3
    for ours, theirs in zip(scene.frames, plain.frames, strict=True):
        view, true = (read_view(f, dataset="rgbd", scene_id=SCENE) for f in (ours, theirs))
        assert np.array_equal(view.image, true.image)
        assert np.array_equal(ours.camera.cam_from_world, theirs.camera.cam_from_world)


def test_scenes_found_by_options_are_read_through_links(tmp_path: Path) -> None:
    recordings.write_scannet(tmp_path / "store/a")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "store/a")
    options = {
        "color": "color/*.jpg",
        "depth": "depth/*.png",
        "poses": "pose/*.txt",
        "intrinsics": "60,61,31.5,23.25",
        "layout": "custom",
    }
    assert len(open_source("rgbd", tmp_path / "root", options).scene("a").frames) == 3


# every source


def _scenes(root: Path) -> Path:
    return write_scenes(root, scenes=1, frames=2)


def _in(folder: str, write: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda root: write(root / folder)


SOURCES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "rgbd": ("rgbd", _in("a", recordings.write_tum)),
    "rgbd described": ("rgbd", _in("a", recordings.write_dvmvs)),
    "nerfstudio": ("nerfstudio", _in("a", nerfstudio_scenes.write_nerfstudio)),
    "nerfstudio blender": ("nerfstudio", _in("a", nerfstudio_scenes.write_blender)),
    "colmap": ("colmap", _in("a", colmap_recordings.write_sparse)),
    "colmap dense": ("colmap", _in("a", colmap_recordings.write_dense)),
    "generic": ("generic", _in("a", test_generic.write)),
    "co3d": ("co3d", co3d_dataset.write_category),
    "blendedmvs": ("blendedmvs", test_mvsnet_sources.write_blended),
    "dtu": ("dtu", test_mvsnet_sources.write_dtu),
    "middlebury": ("middlebury", _in("a", test_middlebury.write_2014)),
    "hypersim": (
        "hypersim",
        lambda root: test_hypersim.write(root, {"ai_001_001": test_hypersim.PLAIN}),
    ),
    "megadepth": ("megadepth", test_megadepth.write_undistorted),
    "realestate10k": ("realestate10k", realestate10k_clips.write_clip),
    "synthetic": ("synthetic", _scenes),
    "wildrgbd": (
        "wildrgbd",
        _in("pear/scenes/scene_000", test_wildrgbd.write_scene),
    ),
}


def _read(source: str, root: Path) -> list[Any]:
    options = {"intrinsics": recordings.INTRINSICS} if source == "rgbd" else {}
    opened = open_source(source, root, options)
    scenes = [opened.scene(scene_id) for scene_id in opened.scene_ids()]
    assert scenes
    return [
        (scene.scene_id, [f.frame_id for f in scene.frames], [f.message for f in scene.failures])
        for scene in scenes
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_reads_a_dataset_of_links(name: str, tmp_path: Path) -> None:
    source, write = SOURCES[name]
    (tmp_path / "root").mkdir()
    write(tmp_path / "root")
    plain = _read(source, tmp_path / "root")
    assert any(frames for _, frames, _ in plain)
    link_every_file(tmp_path / "root", tmp_path / "store", relative=True)
    assert _read(source, tmp_path / "root") == plain
    (tmp_path / "root").rename(tmp_path / "moved")
    (tmp_path / "root").symlink_to("moved")
    assert _read(source, tmp_path / "root") == plain


# what is left out


def is_scene(folder: Path) -> bool:
    return (folder / "scene").is_file()


def mark(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scene").touch()
    return folder


def ids(root: Path) -> list[str]:
    return list(find_scenes(root, "mine", is_scene)[0])


def test_a_folder_reached_by_two_ways_is_one_scene(tmp_path: Path) -> None:
    root = tmp_path / "root"
    mark(root / "real")
    (root / "again").symlink_to(root / "real")
    elsewhere = mark(tmp_path / "elsewhere/scene")
    (root / "one").symlink_to(elsewhere)
    (root / "two").symlink_to(elsewhere)
    assert ids(root) == ["one", "real"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    mark(root / "a/scene_0")
    mark(tmp_path / "beside")
    (root / "up").symlink_to("..")
    (root / "a/round").symlink_to(root)
    (root / "x").symlink_to(root / "y")
    (root / "y").symlink_to(root / "x")
    (tmp_path / "other").mkdir()
    mark(tmp_path / "other/deep/scene_1")
    (tmp_path / "other/back").symlink_to(root)
    (root / "other").symlink_to(tmp_path / "other")
    assert ids(root) == ["a/scene_0", "other/deep/scene_1"]


def test_links_do_not_look_deeper_than_folders(tmp_path: Path) -> None:
    deep = tmp_path / "store/1/2/3"
    mark(deep)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "store")
    assert MAX_DEPTH == 3
    assert ids(tmp_path / "root") == []
    (tmp_path / "root/near").symlink_to(tmp_path / "store/1")
    assert ids(tmp_path / "root") == ["near/2/3"]


def test_a_link_to_a_disk_that_is_not_mounted_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    recordings.write_scannet(root / "here")
    (root / "gone").symlink_to(tmp_path / "mnt/gone")
    source = open_source("rgbd", root)
    assert source.scene_ids() == ["here"]
    (failure,) = source.failures
    assert failure.reason == Reason.MISSING_FILE
    assert f"rgbd gone: folder is a link to {tmp_path / 'mnt/gone'}, which is missing" in (
        failure.message
    )
    shutil.rmtree(root / "here")
    with pytest.raises(DataError) as caught:
        open_source("rgbd", root)
    assert "1 folder was left out, first gone: folder is a link to" in str(caught.value)
    recordings.write_scannet(tmp_path / "mnt/gone")  # the remedy: mount the disk
    assert open_source("rgbd", root).scene_ids() == ["gone"]


def test_data_that_is_not_fetched_is_counted_with_the_remedy(tmp_path: Path) -> None:
    folder = recordings.write_scannet(tmp_path / "rec")
    path = sorted((folder / "color").iterdir())[1]
    path.rename(tmp_path / "blob")
    path.symlink_to(".git/annex/objects/XY/blob")
    scene = open_source("rgbd", folder).scene("rec")
    (failure,) = scene.failures
    assert failure.reason == Reason.MISSING_FILE
    assert "is a link to .git/annex/objects/XY/blob, which is missing" in failure.message
    assert "git annex get" in failure.remedy
    blob = folder / "color/.git/annex/objects/XY/blob"
    blob.parent.mkdir(parents=True)
    (tmp_path / "blob").rename(blob)  # the remedy
    assert not open_source("rgbd", folder).scene("rec").failures


def test_a_root_that_is_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"root is a link to .*gone, which is missing"):
        open_source("rgbd", tmp_path / "root")


def test_a_folder_that_may_not_be_listed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings.write_7scenes(tmp_path / "closed/a")
    listed = Path.iterdir

    def denied(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", denied)  # root may list everything
    with pytest.raises(DataError, match=r"first closed: folder cannot be listed \(Permission den"):
        open_source("rgbd", tmp_path)


# attacks: what a data file says


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A scene's folder with a file, a link to a file and one to a folder outside; a secret."""
    scene = tmp_path / "scene"
    (scene / "images").mkdir(parents=True)
    (scene / "images/1.png").touch()
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    for path in (
        outside / "2.png",
        outside / "4.png",
        outside / "inner/3.png",
        tmp_path / "secret.png",
    ):
        path.touch()
    (scene / "2.png").symlink_to(outside / "2.png")
    (scene / "linked").symlink_to(outside / "inner")
    (scene / "zero").symlink_to("/dev/zero")
    (scene / "environ").symlink_to("/proc/self/environ")
    (scene / "round").symlink_to(scene / "round")
    return scene, tmp_path / "secret.png"


@pytest.mark.parametrize(
    "name", ["images/1.png", "2.png", "linked/3.png", "images/../images/1.png", "./images/1.png"]
)
def test_paths_below_the_folder_as_written(name: str, places: tuple[Path, Path]) -> None:
    scene, _ = places
    assert files.inside(scene, scene / name) == scene / name


def test_absolute_paths_that_lie_in_the_folder(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, _ = places
    monkeypatch.chdir(scene.parent)
    for name in ("images/1.png", "2.png"):
        files.inside(Path("scene"), Path("scene") / scene / name)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "images/../../secret.png",
        "linked/../4.png",  # the system goes up from where the link leads
        "linked/../../secret.png",
        "/etc/passwd",
        "environ",
        "zero",
        "round",
    ],
)
def test_paths_that_lead_out(name: str, places: tuple[Path, Path]) -> None:
    scene, _ = places
    with pytest.raises(FileDefect) as caught:
        files.inside(scene, scene / name)
    assert caught.value.reason == Reason.BAD_NAME


def test_the_remedy_of_a_path_that_leads_out_works(places: tuple[Path, Path]) -> None:
    scene, secret = places
    with pytest.raises(FileDefect, match="put the file there, or a link to it, and name that"):
        files.inside(scene, scene / "../secret.png")
    (scene / "mine.png").symlink_to(secret)
    files.inside(scene, scene / "mine.png")


def test_a_dataset_in_memory_is_no_device() -> None:
    assert not files._is_systems(Path("/dev/shm/scene/1.png"))
    assert files._is_systems(Path("/dev/zero"))


@pytest.mark.parametrize("name", sorted(source_names()))
def test_every_source_says_why_a_root_cannot_be_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "closed").mkdir()
    listed = Path.iterdir

    def denied(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    for root, says in {
        "nowhere": "nowhere does not exist",
        "link": "link is a link to gone, which is missing",
        "closed": r"closed cannot be listed \(Permission denied\)",
    }.items():
        with pytest.raises(DataError, match=says):
            open_source(name, tmp_path / root)


@pytest.mark.parametrize("name", ["co3d", "wildrgbd"])
def test_categories_on_a_disk_that_is_not_mounted_are_counted(name: str, tmp_path: Path) -> None:
    SOURCES[name][1](tmp_path)
    assert not open_source(name, tmp_path).failures
    (tmp_path / "zebra").symlink_to("/mnt/gone")
    (failure,) = open_source(name, tmp_path).failures
    assert failure.message.startswith(f"{name} zebra: folder is a link to /mnt/gone, which is mis")


# source -> folder that its scenes lie in, and how a dataset of it is written
FIXED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "dtu": ("Rectified", test_mvsnet_sources.write_dtu),
    "megadepth": ("Undistorted_SfM", test_megadepth.write_undistorted),
    "synthetic": (".", _scenes),
    "wildrgbd": ("pear/scenes", _in("pear/scenes/scene_000", test_wildrgbd.write_scene)),
}


@pytest.mark.parametrize("name", FIXED)
def test_scenes_that_cannot_be_listed_are_counted(name: str, tmp_path: Path) -> None:
    where, write = FIXED[name]
    write(tmp_path)
    before = list(open_source(name, tmp_path).scene_ids())
    (tmp_path / where / "gone").symlink_to("/mnt/gone")
    (tmp_path / where / "new\nline").mkdir()
    source = open_source(name, tmp_path)
    assert list(source.scene_ids()) == before
    assert [f.reason for f in source.failures] == [Reason.MISSING_FILE, Reason.BAD_NAME]
    assert "is a link to /mnt/gone, which is missing" in source.failures[0].message
    assert "\n" not in source.failures[1].message
