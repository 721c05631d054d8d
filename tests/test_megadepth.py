"""MegaDepth in its three forms gives the cameras and depths that were rendered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mvs_fixtures import (
    HW,
    K,
    Truth,
    assert_exact,
    read_all,
    save_hdf5,
    save_image,
    truth,
    truths,
)
from scipy.spatial.transform import Rotation

from cameo_data.errors import DataError, Reason
from cameo_data.geometry import undistortion
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.megadepth.models import undistorted_K
from cameo_data.types import Camera, Lens

LENS = Lens("SIMPLE_RADIAL", (60.0, 32.0, 24.0, -0.1), HW)
DEPTHS = "phoenix/S6/zl548/MegaDepth_v1/0000/dense0"


def write_model(folder: Path, camera: str) -> None:
    """A COLMAP model as text, one camera for all images."""
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text(f"# Camera list\n1 {camera}\n")
    (folder / "points3D.txt").write_text("# none\n")
    rows = ["# Image list"]
    for i, true in enumerate(truths()):
        pose = true.camera.cam_from_world
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = " ".join(f"{v:.12f}" for v in (w, x, y, z, *pose[:3, 3]))
        rows += [f"{i + 1} {numbers} 1 {name(i)}", ""]
    (folder / "images.txt").write_text("\n".join(rows) + "\n")


def name(i: int) -> str:
    return f"photo_{i}.jpg"


def write_depths(root: Path, images: str, rendered: Sequence[Truth] | None = None) -> None:
    for i, true in enumerate(rendered or truths()):
        save_image(root / images / name(i), true.bgr)
        save_hdf5(root / DEPTHS / "depths" / f"photo_{i}.h5", "depth", true.z)


def write_undistorted(root: Path) -> Path:
    camera = f"PINHOLE {HW[1]} {HW[0]} {K[0, 0]} {K[1, 1]} {K[0, 2]} {K[1, 2]}"
    write_model(root / "Undistorted_SfM/0000/sparse-txt", camera)
    write_depths(root, "Undistorted_SfM/0000/images")
    return root


def write_info(root: Path, **changed: Any) -> Path:
    """LoFTR's index: an image that is not used, and one without depth."""
    write_depths(root, "Undistorted_SfM/0000/images")
    count = len(truths())
    columns: dict[str, list[Any]] = {
        "image_paths": [None, *(f"Undistorted_SfM/0000/images/{name(i)}" for i in range(count))],
        "depth_paths": [None, *(f"{DEPTHS}/depths/photo_{i}.h5" for i in range(count))],
        "intrinsics": [None, *([K] * count)],
        "poses": [None, *(true.camera.cam_from_world for true in truths())],
        "pair_infos": [((1, 2), 0.4, {"any": "thing"})],
    }
    columns |= changed
    arrays = {key: np.empty(len(column), object) for key, column in columns.items()}
    for key, column in columns.items():
        arrays[key][:] = column
    (root / "index").mkdir(exist_ok=True)
    np.savez(root / "index/0000_0.1_0.3.npz", **arrays)  # pickles them
    return root


def write_sfm(root: Path) -> Path:
    """As published: a model of distorted photographs, images of COLMAP's undistortion."""
    camera = f"SIMPLE_RADIAL {HW[1]} {HW[0]} {' '.join(str(v) for v in LENS.params)}"
    write_model(root / "MegaDepth_v1_SfM/0000/sparse/manhattan/0", camera)
    write_depths(root, f"{DEPTHS}/imgs", undistorted_truths())
    return root


def undistorted(lens: Lens) -> Any:
    """The camera that COLMAP makes of a lens's."""
    library = undistortion.colmap()
    return library.undistort_camera(
        library.UndistortCameraOptions(), undistortion.colmap_camera(lens)
    )


def undistorted_hw(lens: Lens) -> tuple[int, int]:
    return undistorted(lens).height, undistorted(lens).width


def undistorted_truths() -> list[Truth]:
    K_made = undistorted(LENS).calibration_matrix()
    poses = [true.camera.cam_from_world for true in truths()]
    return [truth(Camera(K_made, undistorted_hw(LENS), pose)) for pose in poses]


def test_undistorted_is_what_was_rendered(tmp_path: Path) -> None:
    write_undistorted(tmp_path)
    assert source_spec("megadepth").recognise(tmp_path)
    scene, views = read_all("megadepth", tmp_path)
    assert_exact(views, truths())
    assert (scene.scene_id, scene.unit) == ("0000", "arbitrary")


def test_scene_info_is_what_was_rendered(tmp_path: Path) -> None:
    write_info(tmp_path)
    scene, views = read_all("megadepth", tmp_path, {"scene_info": "index/*.npz"})
    assert_exact(views, truths())
    assert scene.scene_id == "0000_0.1_0.3"


def test_scene_info_with_the_published_images(tmp_path: Path) -> None:
    """D2-Net's images are no longer published; MegaDepth_v1 has the same beside its depth."""
    write_info(tmp_path)
    published = tmp_path / DEPTHS / "imgs"
    shutil.move(tmp_path / "Undistorted_SfM/0000/images", published)
    frames = read_all("megadepth", tmp_path, {"scene_info": "index/*.npz"})[0].frames
    assert [frame.image_path.parent for frame in frames] == [published] * 3


def test_scene_info_runs_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.write_text, (trap, "ran"))

    write_info(tmp_path, poses=[None, Runs(), *(t.camera.cam_from_world for t in truths()[1:])])
    scene = open_source("megadepth", tmp_path, {"scene_info": "index/*.npz"}).scene("0000_0.1_0.3")
    assert not trap.exists()
    assert len(scene.frames) == 2
    assert "expected 4×4 numbers" in scene.failures[0].message


def test_published_form_is_what_was_rendered(tmp_path: Path) -> None:
    write_sfm(tmp_path)
    scene, views = read_all("megadepth", tmp_path)
    assert scene.scene_id == "0000/0"
    assert_exact(views, undistorted_truths())


@pytest.mark.parametrize("k", [-0.12, 0.08])
@pytest.mark.parametrize("shrink", [1.0, 0.6])
def test_camera_of_colmaps_undistorted_image(k: float, shrink: float) -> None:
    """A photograph's point lies in the undistorted image where the found K says."""
    lens = Lens("SIMPLE_RADIAL", (1200.0, 800.0, 600.0, k), (1200, 1600))
    whole = undistorted_K(lens, undistorted_hw(lens))
    hw = tuple(round(n * shrink) for n in undistorted_hw(lens))
    found = undistorted_K(lens, (hw[0], hw[1]))
    np.testing.assert_allclose(found[0], whole[0] * hw[1] / undistorted_hw(lens)[1])
    # no blank pixels, says COLMAP: the undistorted image's corners lie on the photograph
    corners = np.array([[0, 0], [hw[1], 0], [0, hw[0]], [hw[1], hw[0]]], float)
    rays = (corners - found[:2, 2]) / np.diag(found)[:2]
    r2 = (rays**2).sum(-1, keepdims=True)
    stored = rays * (1 + k * r2) * 1200 + [800, 600]
    assert (stored >= -2).all()
    assert (stored <= [1602, 1202]).all()


def test_published_image_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_sfm(tmp_path)
    path = tmp_path / DEPTHS / "imgs" / name(0)
    save_image(path, cv2.imread(str(path))[:, :-9])
    scene = open_source("megadepth", tmp_path).scene("0000/0")
    (failure,) = scene.failures
    assert failure.reason == Reason.WRONG_SIZE
    height, width = undistorted_hw(LENS)
    assert f"image is {width - 9}×{height}, COLMAP undistorts its 64×48 photograph to " in (
        failure.message
    )


def test_published_model_may_spell_the_ending_otherwise(tmp_path: Path) -> None:
    write_sfm(tmp_path)
    path = tmp_path / "MegaDepth_v1_SfM/0000/sparse/manhattan/0/images.txt"
    path.write_text(path.read_text().replace(".jpg", ".JPG"))
    assert len(read_all("megadepth", tmp_path)[1]) == 3


def test_maps_of_order_only_are_no_depth(tmp_path: Path) -> None:
    write_undistorted(tmp_path)
    order = truths()[1].z.copy()
    order[:20] = -1
    save_hdf5(tmp_path / DEPTHS / "depths/photo_1.h5", "depth", order)
    with pytest.raises(DataError, match=r"photo_1\.h5 only orders foreground and") as caught:
        read_all("megadepth", tmp_path)
    assert caught.value.failure.reason == Reason.EMPTY_DEPTH


def test_split(tmp_path: Path) -> None:
    write_undistorted(tmp_path)
    shutil.copytree(tmp_path / "Undistorted_SfM/0000", tmp_path / "Undistorted_SfM/0015")
    (tmp_path / "test_scenes.txt").write_text("0015\n")
    assert open_source("megadepth", tmp_path).scene_ids() == ["0000", "0015"]
    assert open_source("megadepth", tmp_path, {"split": "test_scenes"}).scene_ids() == ["0015"]


SMALL = [None, *([np.array([[60.0, 0, 16], [0, 60, 12], [0, 0, 1]])] * 3)]
UP = "../"
INFO_BREAKS: list[tuple[dict[str, Any], Reason, str]] = [
    ({"poses": [None, *([np.eye(4) * 2] * 3)]}, Reason.BAD_POSE, "last row"),
    ({"poses": [None, *([np.eye(3)] * 3)]}, Reason.BAD_METADATA, "expected 4×4 numbers"),
    ({"poses": [None] * 4}, Reason.BAD_METADATA, "expected 4×4 numbers"),
    ({"intrinsics": SMALL}, Reason.BAD_INTRINSICS, "principal point 16, 12 of a 64×48 image"),
    ({"intrinsics": [None, *([-K] * 3)]}, Reason.BAD_INTRINSICS, "focal lengths -60, -61"),
    ({"image_paths": [None, UP, UP, UP]}, Reason.BAD_NAME, "leads out of"),
    ({"image_paths": [None, *(["no.jpg"] * 3)]}, Reason.MISSING_FILE, "no.jpg is missing"),
    ({"depth_paths": [None, *(["/etc/passwd"] * 3)]}, Reason.BAD_NAME, "passwd leads out of"),
]


@pytest.mark.parametrize("changed, reason, message", INFO_BREAKS)
def test_broken_entries(
    changed: dict[str, Any], reason: Reason, message: str, tmp_path: Path
) -> None:
    write_info(tmp_path, **changed)
    scene = open_source("megadepth", tmp_path, {"scene_info": "index/*.npz"}).scene("0000_0.1_0.3")
    assert not scene.frames
    assert {failure.reason for failure in scene.failures} == {reason}
    assert message in scene.failures[0].message


def shorten(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-200])


def drop(archive: Path) -> None:
    np.savez(archive, image_paths=np.zeros(3))


def shuffle(archive: Path) -> None:
    with np.load(archive, allow_pickle=True) as stored:  # our own file
        arrays = dict(stored)
    np.savez(archive, **{**arrays, "poses": arrays["poses"][1:]})


@pytest.mark.parametrize(
    "breaks, message",
    [
        (shorten, "cannot be read"),
        (drop, "holds 'image_paths'; expected an array called depth_paths"),
        (shuffle, "4 image_paths, 4 depth_paths, 4 intrinsics, 3 poses; expected as many of each"),
    ],
)
def test_broken_archive(breaks: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    write_info(tmp_path)
    breaks(tmp_path / "index/0000_0.1_0.3.npz")
    with pytest.raises(DataError, match=message):
        open_source("megadepth", tmp_path, {"scene_info": "index/*.npz"}).scene("0000_0.1_0.3")


def test_undistorted_needs_a_pinhole(tmp_path: Path) -> None:
    write_undistorted(tmp_path)
    path = tmp_path / "Undistorted_SfM/0000/sparse-txt/cameras.txt"
    path.write_text(f"1 SIMPLE_RADIAL {HW[1]} {HW[0]} 60 32 24 0.1\n")
    failures = open_source("megadepth", tmp_path).scene("0000").failures
    assert {failure.reason for failure in failures} == {Reason.UNKNOWN_CAMERA_MODEL}


def test_nothing_there(tmp_path: Path) -> None:
    assert not source_spec("megadepth").recognise(tmp_path)
    with pytest.raises(DataError, match="megadepth: no scene of layout sfm in"):
        open_source("megadepth", tmp_path)
