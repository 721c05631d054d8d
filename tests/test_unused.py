"""Whatever lies in a scene's folder and belongs to no frame is counted with its reason."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import test_generic
import test_hypersim
import test_megadepth
import test_middlebury
import test_mvsnet_sources
import test_scannetpp
import test_wildrgbd
from build_scenes import write_scenes
from click.testing import CliRunner
from co3d_dataset import triple, write_category, write_lists
from colmap_recordings import write_dense
from nerfstudio_scenes import write_nerfstudio
from realestate10k_clips import CLIP, write_clip, write_depth
from rgbd_recordings import OPTIONS_7SCENES, write_7scenes, write_open3d, write_scannet, write_tum

from cameo_data.cli import main
from cameo_data.sources import open_source, source_names
from cameo_data.sources.common import unused
from cameo_data.sources.common.unused import LINKED, MAPS, OTHER, UNLISTED, unused_files
from cameo_data.types import Scene, Unused


@dataclass(frozen=True)
class Case:
    """A scene of a format.

    Attributes:
        strays: what each extra file, by its path below the root, should be counted as.
        always: what the whole fixture leaves unused already.
    """

    source: str
    write: Callable[[Path], Any]
    strays: dict[str, str]
    always: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def realestate10k(root: Path) -> None:
    write_clip(root)
    write_depth(root, ".npy")


SEQUENCE = "apple/110_13051_23361"
MESH = "0000/dense0"
PUBLISHED = f"{test_megadepth.DEPTHS}"

CASES = {
    "colmap": Case(
        "colmap",
        write_dense,
        {
            "images/new.jpg": "pictures that the model does not register",
            "images/sub/new.jpg": "pictures that the model does not register",
            "stereo/depth_maps/new.jpg.geometric.bin": "depth maps of pictures that the model does "
            "not register",
            "masks/new.jpg.png": "masks of pictures that the model does not register",
            "database.db": OTHER,
        },
    ),
    "generic": Case(
        "generic",
        test_generic.write,
        {
            "images/new.png": "pictures that no entry of cameo.json names",
            "depth/new.png": "depth maps that no entry of cameo.json names",
            "elsewhere/new.PNG": MAPS,
            "notes.md": OTHER,
        },
    ),
    "nerfstudio": Case(
        "nerfstudio",
        write_nerfstudio,
        {
            "images/new.png": "pictures that no entry names",
            "depth/new.png": "depth maps that no entry names",
            "masks/new.png": "masks that no entry names",
            "images_4/frame_00001.png": "pictures of another size (choose them with -o images=…)",
            "sparse_pc.ply": OTHER,
        },
    ),
    "7scenes": Case(
        "rgbd",
        write_7scenes,
        {"frame-000000.color.bmp": MAPS, "info.txt": OTHER},
        options=OPTIONS_7SCENES,
    ),
    "scannet": Case(
        "rgbd",
        write_scannet,
        {"color/9.gif": "files beside the colour images that color/*.{jpg,jpeg,png,JPG,JPEG,PNG} "
         "does not match"},
        always={OTHER: 2},  # intrinsic/extrinsic_*.txt
    ),
    "tum": Case(
        "rgbd",
        write_tum,
        {
            "rgb/1305031109.0.png": "files beside the colour images that rgb.txt does not list",
            "depth/1305031109.0.png": "files beside the depth images that depth.txt does not list",
            "accelerometer.txt": OTHER,
        },
        options={"intrinsics": "60,60,32,24"},
    ),
    "open3d": Case("rgbd", write_open3d, {"scene/integrated.ply": OTHER}),
    "masks": Case(
        "rgbd",
        write_7scenes,
        {"masks/frame-000007.png": "masks without a colour image"},
        options={**OPTIONS_7SCENES, "mask": "masks/frame-*.{png,jpg}"},
    ),
    "co3d": Case(
        "co3d",
        write_category,
        {
            f"{SEQUENCE}/images/new.jpg": "pictures that frame_annotations.jgz does not name",
            f"{SEQUENCE}/depths/new.png": "depth maps that frame_annotations.jgz does not name",
            f"{SEQUENCE}/depth_masks/new.png": "masks of depth maps that frame_annotations.jgz "
            "does not name",
            f"{SEQUENCE}/masks/new.png": "masks that frame_annotations.jgz does not name",
            f"{SEQUENCE}/pointcloud.ply": OTHER,
        },
    ),
    "scannetpp": Case(
        "scannetpp",
        test_scannetpp.write_scene,
        {
            "data/0a5c013435/dslr/resized_images/new.JPG": "pictures that the model does not "
            "register",
            "data/0a5c013435/dslr/resized_anon_masks/new.png": "masks of pictures that the model "
            "does not register",
            "data/0a5c013435/dslr/render_depth/new.png": "depth maps of pictures that the "
            "model does not register",
        },
    ),
    "hypersim": Case(
        "hypersim",
        lambda root: test_hypersim.write(root, {"ai_001_001": test_hypersim.PLAIN}),
        {
            "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.0077.depth_meters.hdf5": "depth "
            "maps without a picture",
            "ai_001_001/images/scene_cam_00_final_hdf5/frame.0000.diffuse.hdf5": "renderings of "
            "other kinds, which this source does not read",
            "ai_001_001/_detail/cam_00/camera_keyframe_look_at_positions.hdf5": MAPS,
        },
    ),
    "blendedmvs": Case(
        "blendedmvs",
        test_mvsnet_sources.write_blended,
        {
            "5a3ca9cb270f0e3f14d0eddb/rendered_depth_maps/00000077.pfm": "depth maps without a "
            "camera file",
        },
        always={"copies of the pictures (choose masked or blended: -o images=…)": 3, OTHER: 1},
    ),
    "dtu": Case(
        "dtu",
        test_mvsnet_sources.write_dtu,
        {"Depths/scan1_train/depth_map_0077.pfm": "depth maps without a picture"},
        always={"pictures under another light (choose it with -o light=…)": 3},
    ),
    "wildrgbd": Case(
        "wildrgbd",
        test_wildrgbd.write_scene,
        {
            "rgb/00077.png": "pictures of frames without a line in cam_poses.txt",
            "depth/00077.png": "depth maps of frames without a line in cam_poses.txt",
            "masks/00077.png": "masks of frames without a line in cam_poses.txt",
        },
    ),
    "middlebury": Case(
        "middlebury", test_middlebury.write_2014, {"im1E.png": MAPS, "calib.bak": OTHER}
    ),
    "realestate10k": Case(
        "realestate10k",
        realestate10k,
        {
            f"depth/{CLIP}/77.npy": "depth maps that match no line of the camera file",
            f"frames/{CLIP}/readme.md": OTHER,
        },
    ),
    "synthetic": Case(
        "synthetic",
        lambda root: write_scenes(root, scenes=1, frames=2),
        {
            "objects-0000/images/new.png": "pictures that no entry of scene.json names",
            "objects-0000/depth/new.npy": "depth maps that no entry of scene.json names",
        },
    ),
    "megadepth sfm": Case(
        "megadepth",
        test_megadepth.write_sfm,
        {f"{PUBLISHED}/depths/new.h5": "depth maps without a picture"},
    ),
    "megadepth undistorted": Case(
        "megadepth",
        test_megadepth.write_undistorted,
        {
            f"{PUBLISHED}/depths/new.h5": "depth maps without a picture",
            "Undistorted_SfM/0000/images/new.jpg": "pictures that the model or index does not name",
        },
    ),
    "megadepth scene_info": Case(
        "megadepth",
        test_megadepth.write_info,
        {
            f"{PUBLISHED}/depths/new.h5": "depth maps without a picture",
            "Undistorted_SfM/0000/images/new.jpg": "pictures that the model or index does not name",
        },
        always={"entries of the index that name no picture": 1},
        options={"scene_info": "index/*.npz"},
    ),
}  # fmt: skip


def read(case: Case, root: Path) -> Scene:
    source = open_source(case.source, root, case.options)
    (scene_id,) = source.scene_ids()
    return source.scene(scene_id)


def counts(scene: Scene) -> dict[str, int]:
    return {one.what: one.count for one in scene.unused}


def test_every_source_is_here():
    assert {case.source for case in CASES.values()} == {
        name for name in source_names() if not name.startswith("example")
    }


@pytest.mark.parametrize("name", CASES)
def test_what_no_frame_uses_is_counted_and_nothing_else(name, tmp_path):
    case = CASES[name]
    root = tmp_path / "scene"
    case.write(root)
    if name == "masks":
        (root / "masks").mkdir()
        for number in range(3):
            (root / f"masks/frame-{number:06d}.png").write_bytes(b"x")
    whole = read(case, root)
    assert counts(whole) == case.always
    for path in case.strays:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"never opened")
    (root / ".DS_Store").touch()
    expected = dict(case.always)
    for what in case.strays.values():
        expected[what] = expected.get(what, 0) + 1
    scene = read(case, root)
    assert counts(scene) == expected
    assert (len(scene.frames), scene.failures) == (len(whole.frames), whole.failures)
    shown = [path for one in scene.unused for path in one.examples]
    assert all(
        1 <= len(one.examples) <= 3 or one.what.startswith("entries") for one in scene.unused
    )
    assert any(stray.endswith(shown_path) for stray in case.strays for shown_path in shown)


@pytest.mark.parametrize(
    "name, damaged",
    [
        ("colmap", "images/view2.png"),
        ("generic", "images/1.png"),
        ("nerfstudio", "images/frame_00002.png"),
        ("synthetic", "objects-0000/images/0001.png"),
        ("co3d", f"{SEQUENCE}/images/frame000002.jpg"),
        ("scannetpp", "data/0a5c013435/dslr/resized_images/view2.png"),
        ("wildrgbd", "rgb/00001.png"),
        ("7scenes", "frame-000001.color.png"),
        ("scannet", "color/1.jpg"),
        ("blendedmvs", "5a3ca9cb270f0e3f14d0eddb/blended_images/00000001.jpg"),
    ],
)
def test_other_files_of_a_frame_that_fails_are_not_counted_again(name, damaged, tmp_path):
    case = CASES[name]
    case.write(tmp_path / "scene")
    (tmp_path / "scene" / damaged).unlink()
    scene = read(case, tmp_path / "scene")
    assert len(scene.failures) == 1
    assert counts(scene) == case.always


def test_a_pose_file_without_a_picture_is_a_failure(tmp_path):
    root = write_scannet(tmp_path / "s")
    shutil.copy(root / "pose/0.txt", root / "pose/77.txt")
    scene = read(CASES["scannet"], root)
    assert len(scene.frames) == 3
    (failure,) = scene.failures
    assert failure.frame_id == "pose 77"
    assert "pose file 77.txt has no colour image" in failure.message
    (root / "pose/77.txt").unlink()  # the remedy
    assert read(CASES["scannet"], root).failures == ()


def test_poses_of_a_trajectory_without_a_picture_are_counted(tmp_path):
    """A recording thinned by hand keeps its trajectory: no frame is lost."""
    root = write_scannet(tmp_path / "s", count=4)
    rows = [f"{n} {(root / f'pose/{n}.txt').read_text()}" for n in range(4)]
    shutil.rmtree(root / "pose")
    (root / "all.txt").write_text("\n".join(" ".join(row.split()) for row in rows))
    (root / "rgbd.yaml").write_text(
        "color: color/*.jpg\ndepth: depth/*.png\nintrinsics: intrinsic/intrinsic_color.txt\n"
        "poses: all.txt\npose_columns: name matrix\n"
    )
    (root / "color/3.jpg").unlink()
    (root / "depth/3.png").unlink()
    scene = read(Case("rgbd", write_scannet, {}), root)
    assert (len(scene.frames), scene.failures) == (3, ())
    assert scene.unused[0] == Unused("poses in all.txt without a colour image", 1, ("3",))


def test_one_damaged_depth_map_is_one_frames_matter(tmp_path):
    case = CASES["realestate10k"]
    case.write(tmp_path)
    first = min((tmp_path / "depth" / CLIP).iterdir())
    first.write_bytes(b"no depth")
    assert len(read(case, tmp_path).frames) == 3


def test_hypersim_keyframes_without_a_picture(tmp_path):
    case = CASES["hypersim"]
    case.write(tmp_path)
    preview = tmp_path / "ai_001_001/images/scene_cam_00_final_preview"
    (preview / "frame.0001.tonemap.jpg").unlink()
    assert read(case, tmp_path).unused == (
        Unused("camera keyframes without a picture", 1, ("keyframe 1",)),
        Unused(
            "depth maps without a picture",
            1,
            ("images/scene_cam_00_geometry_hdf5/frame.0001.depth_meters.hdf5",),
        ),
    )


def test_megadepth_photographs_that_were_not_published(tmp_path):
    case = CASES["megadepth sfm"]
    case.write(tmp_path)
    (tmp_path / PUBLISHED / "imgs/photo_1.jpg").unlink()
    assert counts(read(case, tmp_path)) == {
        "photographs of the model without a picture": 1,
        "depth maps without a picture": 1,
    }


def test_frames_that_were_not_asked_for_are_counted_as_such(tmp_path):
    device = test_scannetpp.write_scene(tmp_path)
    flags = device / "nerfstudio/transforms.json"
    flags.write_text(flags.read_text().replace('"is_bad": false', '"is_bad": true', 1))
    left_out = "files of frames flagged as bad or outside the list of -o frames"
    assert counts(read(CASES["scannetpp"], tmp_path)) == {left_out: 3}
    write_category(tmp_path / "co3d")
    sequence = SEQUENCE.rpartition("/")[2]
    lists = {"train": [triple(sequence, n) for n in (1, 2)], "val": [], "test": []}
    write_lists(tmp_path / "co3d", "apple", "some", lists)
    options = {"subset": "some", "split": "train"}
    scene = read(Case("co3d", write_category, {}, options=options), tmp_path / "co3d")
    assert counts(scene) == {"files of frames that the set list or batch does not name": 4}


def test_inspect_counts_them(tmp_path):
    root = test_generic.write(tmp_path / "s")
    shutil.copy(root / "images/0.png", root / "images/new.png")
    done = CliRunner().invoke(main, ["inspect", "generic", str(root), "--json"])
    assert json.loads(done.stdout)["unused"] == [
        {
            "what": "pictures that no entry of cameo.json names",
            "count": 1,
            "examples": ["images/new.png"],
        }
    ]
    plain = CliRunner().invoke(main, ["inspect", "generic", str(root)])
    assert (
        "not used (1): pictures that no entry of cameo.json names (images/new.png)" in plain.stdout
    )


# The listing itself


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_huge_folder_is_not_listed_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(unused, "MOST_LISTED", 10)
    touch(tmp_path, *(f"a/{n}.png" for n in range(25)), "b/0.png", "c/0.png")
    found = {one.what: one for one in unused_files(tmp_path, [], [])}
    assert found[MAPS].count == 10
    assert found[UNLISTED].count == 3
    assert found[UNLISTED].examples == ("a/", "b/", "c/")


def test_linked_folders_are_listed_where_frames_use_them(tmp_path):
    elsewhere = touch(tmp_path / "disk", "a.png", "b.png")
    scene = touch(tmp_path / "scene", "c.png")
    (scene / "images").symlink_to(elsewhere)
    (scene / "loop").symlink_to(scene)
    found = unused_files(scene, [scene / "images/a.png"], [("images/*", "pictures")])
    assert found == (
        Unused("pictures", 1, ("images/b.png",)),
        Unused(MAPS, 1, ("c.png",)),
        Unused(LINKED, 1, ("loop/",)),
    )


def test_files_named_another_way_are_the_same(tmp_path, monkeypatch):
    scene = touch(tmp_path / "scene", "images/a.png", "b[1].png")
    link = tmp_path / "link"
    link.symlink_to(scene)
    named = [link / "images/../images/a.png", scene / "./b[1].png"]
    assert unused_files(scene, named, []) == ()
    monkeypatch.chdir(scene)
    assert unused_files(Path(), [Path("images/a.png"), scene / "b[1].png"], []) == ()


def test_a_folder_that_cannot_be_listed_is_counted(tmp_path, monkeypatch):
    touch(tmp_path, "a/0.png")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(unused.os, "scandir", scandir)
    assert unused_files(tmp_path, [], []) == (Unused(UNLISTED, 1, ("a/",)),)


def test_names_that_cannot_be_printed(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.png")).touch()
    touch(tmp_path, "line\nbreak.png")
    (found,) = unused_files(tmp_path, [], [])
    assert found.count == 2
    assert all(name.isprintable() for name in found.examples)


@pytest.mark.parametrize("mark", [".build/identity.json", ".depth/lock", "croissant.json"])
def test_what_our_own_commands_write_in_a_scene_is_not_the_scenes(tmp_path, mark):
    for name in (f"out/{mark}", "out/README.md", "out/shards/x.tar", "notes/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert unused_files(tmp_path, (), ()) == (Unused(OTHER, 1, ("notes/README.md",)),)
