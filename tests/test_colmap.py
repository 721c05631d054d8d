"""COLMAP's models and dense workspaces, as text and binary, with and without rigs."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
from colmap_recordings import (
    HW,
    LENSES,
    PINHOLE,
    SCENE,
    K,
    array_bytes,
    colour_of,
    names,
    pose_words,
    poses,
    take,
    to_binary,
    write_dense,
    write_sparse,
    write_text_model,
)
from rgbd_recordings import save

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.correspondence import correspond_prepared, prepare
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.geometry import raycast
from cameo_data.sources import open_source, source_spec
from cameo_data.types import Camera, Lens, Scene, Verdict


def read(root: Path, **options: Any) -> Scene:
    """The only scene."""
    source = open_source("colmap", root, options)
    (scene_id,) = source.scene_ids()
    return source.scene(scene_id)


def assert_poses(scene: Scene, count: int = 3) -> None:
    assert [frame.frame_id for frame in scene.frames] == names(count)
    for frame, pose in zip(scene.frames, poses(count), strict=True):
        assert np.abs(frame.camera.cam_from_world - pose).max() < 1e-12


def refused(root: Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(root, **options)
    assert "\n" not in str(caught.value)
    return caught.value


# What is read


@pytest.mark.parametrize("form", ["text", "binary", "binary without rigs"])
def test_a_sparse_model_gives_its_cameras(form, tmp_path):
    root = write_sparse(tmp_path / "chair")
    if form != "text":
        to_binary(root / "sparse/0", root / "sparse/binary", rigs=form == "binary")
        shutil.rmtree(root / "sparse/0")
        (root / "sparse/binary").rename(root / "sparse/0")
    scene = read(root)
    assert (scene.scene_id, scene.unit, scene.failures) == ("chair", "arbitrary", ())
    assert_poses(scene)
    for frame in scene.frames:
        assert np.array_equal(frame.camera.K, K)
        assert (frame.distortion, frame.depth) == (None, None)


def test_a_distorted_camera_is_undistorted(tmp_path):
    lens = Lens("OPENCV_FISHEYE", LENSES["OPENCV_FISHEYE"], HW)
    scene = read(write_sparse(tmp_path / "s", lens))
    frame = scene.frames[1]
    assert frame.distortion == lens
    view = read_view(frame, dataset="colmap", scene_id="s", with_depth=False)
    expected = colour_of(raycast.render(SCENE, view.camera))[..., ::-1]
    assert np.median(np.abs(view.image.astype(float) - expected)) <= 1
    assert not view.depth.valid.any()
    assert view.depth_source == "none"


def test_rigs_and_frames_compose_the_pose(tmp_path):
    """Hand-made files: a rig of two cameras at one moment; the second stands beside the first."""
    root = tmp_path / "rig"
    beside = np.eye(4)
    beside[:3, 3] = (-0.2, 0.01, 0.02)
    rig_from_world = poses()[0]
    model = root / "sparse"
    model.mkdir(parents=True)
    sensor = f"CAMERA 2 1 {pose_words(beside)}"
    (model / "rigs.txt").write_text(f"1 2 CAMERA 1 {sensor}\n")
    (model / "cameras.txt").write_text(
        "".join(f"{n} PINHOLE 64 48 60 61 32 23.75\n" for n in (1, 2))
    )
    data = "2 CAMERA 1 1 CAMERA 2 2"
    (model / "frames.txt").write_text(f"1 1 {pose_words(rig_from_world)} {data}\n")
    unused = "1 0 0 0 0 0 0"  # with frames, COLMAP takes the pose from there
    (model / "images.txt").write_text(f"1 {unused} 1 left/a.png\n\n2 {unused} 2 right/a.png\n\n")
    (model / "points3D.txt").write_text("# none\n")
    for side in ("left", "right"):
        save(root / "images" / side / "a.png", np.zeros((*HW, 3), np.uint8))
    for ext in ("txt", "bin"):
        if ext == "bin":
            to_binary(model, model)
        scene = read(root)
        assert [frame.frame_id for frame in scene.frames] == ["left/a.png", "right/a.png"]
        found = [frame.camera.cam_from_world for frame in scene.frames]
        assert np.abs(found[0] - rig_from_world).max() < 1e-12
        assert np.abs(found[1] - beside @ rig_from_world).max() < 1e-12


def test_tracks_are_matches_where_there_is_no_depth(tmp_path):
    lens = Lens("SIMPLE_RADIAL", LENSES["SIMPLE_RADIAL"], HW)
    scene = read(write_sparse(tmp_path / "s", lens))
    assert scene.matches is not None
    assert {path.name for path in scene.matches.paths} == {"images.txt", "points3D.txt"}
    pair = scene.matches.between("view1.png", "view3.png")
    assert len(pair.xy0) > 15
    back = scene.matches.between("view3.png", "view1.png")
    assert np.array_equal(pair.xy0, back.xy1)
    # stored pixel -> ray -> exact surface -> stored pixel of the other image
    camera = pycolmap.Camera(model=lens.model, width=64, height=48, params=list(lens.params))
    world_from_cam = transforms.invert(poses()[0])
    rays = camera.cam_ray_from_img(np.ascontiguousarray(pair.xy0)) @ world_from_cam[:3, :3].T
    hits = raycast.cast(SCENE, np.broadcast_to(world_from_cam[:3, 3], rays.shape), rays)
    world = world_from_cam[:3, 3] + rays * hits.t[:, None]
    p_cam = (np.c_[world, np.ones(len(world))] @ poses()[2].T)[:, :3]
    assert np.abs(camera.img_from_cam(p_cam) - pair.xy1).max() < 1e-9


# Dense workspaces: COLMAP's other pixel convention


def test_dense_depth_belongs_to_the_rays_that_colmap_computes(tmp_path):
    scene = read(write_dense(tmp_path / "s"))
    assert scene.matches is None
    assert_poses(scene)
    for frame, pose in zip(scene.frames, poses(), strict=True):
        view = read_view(frame, dataset="colmap", scene_id="s")
        assert view.depth_source == "colmap_geometric"
        # mvs/patch_match_cuda.cu, ComputePointAtDepth: depth · K⁻¹ (col, row, 1), K as in the model
        columns, rows = np.meshgrid(np.arange(64), np.arange(48))
        z = view.depth.z.astype(np.float64)
        rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T
        by_colmap = transforms.apply(transforms.invert(pose), rays * z[..., None])
        by_us = cameras.unproject(view.camera, cameras.query_xy(HW), z)
        assert np.abs(by_us - by_colmap).max() < 1e-9
        # and these points lie on the true surfaces
        true = raycast.depth_of(raycast.render(SCENE, view.camera))
        assert np.abs(view.depth.z - true).max() < 1e-5


@pytest.mark.parametrize("center, exact", [("integer", True), ("half", False)])
def test_only_the_dense_convention_makes_matches_exact(center, exact, tmp_path):
    scene = read(write_dense(tmp_path / "s"), depth_pixel_center=center)
    views = [read_view(frame, dataset="colmap", scene_id="s") for frame in scene.frames]
    prepared = [prepare(view.depth, view.camera) for view in views]
    found = correspond_prepared(prepared[0], prepared[2], 1)
    seen = found.verdict == Verdict.VISIBLE
    assert seen.mean() > 0.5
    # the pictures, too, are those that COLMAP's rays see: true pixels of the same points
    shifted = [Camera(K + _HALF, HW, pose) for pose in poses()]
    z = raycast.render(SCENE, shifted[0]).t
    true, _ = cameras.project(shifted[2], cameras.unproject(shifted[0], cameras.query_xy(HW), z))
    error = np.linalg.norm(found.xy1 - true, axis=-1)[seen]
    assert (np.quantile(error, 0.99) < 1e-3) == exact
    assert (np.median(error) < 0.02) == exact


_HALF = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def test_depth_maps_of_a_reduced_size(tmp_path):
    """COLMAP's half pixel is one of the depth map: here two pixels of the image."""
    scene = read(write_dense(tmp_path / "s", shrunk=4))
    frame = scene.frames[1]
    assert frame.depth is not None
    assert frame.depth.hw == (12, 16)
    assert frame.camera.K[0, 2] == K[0, 2] + 2
    view = read_view(frame, dataset="colmap", scene_id="s")
    true = raycast.depth_of(raycast.render(SCENE, view.camera))
    error = np.abs(view.depth.z - true)[view.depth.valid] / true[view.depth.valid]
    assert view.depth.valid.mean() > 0.9
    assert np.median(error) < 1e-5
    expected = colour_of(raycast.render(SCENE, view.camera))[..., ::-1]
    assert np.median(np.abs(view.image.astype(float) - expected)) == 0


def test_which_depth_maps(tmp_path):
    both = write_dense(tmp_path / "both")
    write_dense(tmp_path / "photo", "photometric")
    for file in (tmp_path / "photo/stereo/depth_maps").iterdir():
        shutil.copy(file, both / "stereo/depth_maps" / file.name)
    sources = {
        (name, depth): read(tmp_path / name, depth=depth).frames[0].depth
        for name, depth in [
            ("both", "auto"),
            ("both", "photometric"),
            ("photo", "auto"),
            ("both", "none"),
        ]
    }
    found = {key: ref.source if ref else None for key, ref in sources.items()}
    assert found == {
        ("both", "auto"): "colmap_geometric",
        ("both", "photometric"): "colmap_photometric",
        ("photo", "auto"): "colmap_photometric",
        ("both", "none"): None,
    }
    without = read(both, depth="none")
    assert without.matches is not None
    # without depth the images are read by the convention of the model
    assert np.array_equal(without.frames[0].camera.K, K)


def test_masks_beside_the_images(tmp_path):
    root = write_sparse(tmp_path / "s")
    save(root / "masks/view2.png.png", np.full(HW, 255, np.uint8))
    assert [f.mask_path is not None for f in read(root).frames] == [False, True, False]
    assert read(root, masks="other").frames[1].mask_path is None


# Where projects are


def test_layouts_and_names_of_scenes(tmp_path):
    write_sparse(tmp_path / "a/room10")
    write_sparse(tmp_path / "a/room9")
    write_dense(tmp_path / "b/dense")  # with a model before undistortion beside it
    write_text_model(tmp_path / "b/sparse/0", PINHOLE, poses())
    several = write_sparse(tmp_path / "c")
    write_text_model(several / "sparse/1", PINHOLE, poses(2))
    write_sparse(tmp_path / "d/dense/0")
    flat = write_sparse(tmp_path / "e")
    for file in (flat / "sparse/0").iterdir():
        file.rename(flat / file.name)
    shutil.rmtree(flat / "sparse")
    source = open_source("colmap", tmp_path)
    assert source.scene_ids() == [
        "a/room9",
        "a/room10",
        "b",
        "c/sparse/0",
        "c/sparse/1",
        "d",
        "e",
    ]
    counts = {name: len(source.scene(name).frames) for name in source.scene_ids()}
    assert counts == {**dict.fromkeys(counts, 3), "c/sparse/1": 2}
    assert source.scene("b").frames[0].depth is not None
    with pytest.raises(ValueError, match="unknown scene 'c'"):
        source.scene("c")


def test_recognised(tmp_path):
    spec = source_spec("colmap")
    assert not spec.recognise(tmp_path)
    assert not spec.recognise(tmp_path / "none")
    write_sparse(tmp_path / "s")
    assert spec.recognise(tmp_path)
    assert spec.recognise(tmp_path / "s")


# What is refused, and how


def test_no_project(tmp_path):
    assert "no COLMAP model in" in str(refused(tmp_path))
    assert "none does not exist" in str(refused(tmp_path / "none"))


def test_images_that_are_not_there(tmp_path):
    root = write_sparse(tmp_path / "s")
    (root / "images/view2.png").unlink()
    scene = read(root)
    assert [f.frame_id for f in scene.frames] == ["view1.png", "view3.png"]
    (failure,) = scene.failures
    assert failure.message == (
        "colmap s frame view2.png: view2.png is missing; expected a file; "
        "restore it or remove its frame"
    )
    shutil.rmtree(root / "images")
    error = refused(root)
    assert "the folder images is missing; expected the model's images" in str(error)


def test_images_that_lead_out(tmp_path):
    root = write_sparse(tmp_path / "s")
    save(tmp_path / "secret.png", np.zeros((*HW, 3), np.uint8))
    text = (root / "sparse/0/images.txt").read_text()
    (root / "sparse/0/images.txt").write_text(text.replace("view2.png", "../../secret.png"))
    (failure,) = read(root).failures
    assert failure.reason == Reason.BAD_NAME
    assert "leads out of s" in failure.message


def test_an_image_twice(tmp_path):
    root = write_sparse(tmp_path / "s")
    text = (root / "sparse/0/images.txt").read_text()
    (root / "sparse/0/images.txt").write_text(text.replace("view2.png", "view1.png"))
    (failure,) = read(root).failures
    assert failure.reason == Reason.DUPLICATE_ID


def test_a_pose_that_is_none(tmp_path):
    root = write_sparse(tmp_path / "s")
    path = root / "sparse/0/images.txt"
    path.write_text(path.read_text().replace(pose_words(poses()[1]), "0 0 0 0 1 2 3"))
    scene = read(root)
    (failure,) = scene.failures
    assert (failure.frame_id, failure.reason) == ("view2.png", Reason.BAD_POSE)


def test_a_camera_that_colmap_does_not_know(tmp_path):
    root = write_sparse(tmp_path / "s")
    path = root / "sparse/0/cameras.txt"
    path.write_text(path.read_text().replace("PINHOLE", "KANNALA"))
    error = refused(root)
    assert error.failure.reason == Reason.UNKNOWN_CAMERA_MODEL
    assert "camera 7 is of model 'KANNALA'" in str(error)


def test_a_binary_camera_that_colmap_does_not_know(tmp_path):
    root = write_sparse(tmp_path / "s")
    to_binary(root / "sparse/0", root / "sparse/0")
    path = root / "sparse/0/cameras.bin"
    data = bytearray(path.read_bytes())
    data[12:16] = struct.pack("<i", 99)
    path.write_bytes(data)
    error = refused(root)
    assert error.failure.reason == Reason.UNKNOWN_CAMERA_MODEL
    assert "camera model with code 99" in str(error)


@pytest.mark.parametrize("name", ["cameras", "images", "points3D", "rigs", "frames"])
@pytest.mark.parametrize("kept", [1, 12, 20, -1])
def test_binary_models_cut_short(name, kept, tmp_path):
    """COLMAP itself reads some of these for ever."""
    root = write_sparse(tmp_path / "s")
    to_binary(root / "sparse/0", root / "sparse/0")
    path = root / f"sparse/0/{name}.bin"
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    error = refused(root)
    assert error.failure.reason == Reason.BAD_METADATA
    assert f"{name}.bin is cut short after {len(data[:kept])} bytes" in str(error)
    path.write_bytes(data + b"\0")
    assert f"{name}.bin holds 1 bytes after its last entry" in str(refused(root))


@pytest.mark.parametrize("name", ["cameras", "images"])
def test_a_model_without_one_of_its_files(name, tmp_path):
    root = write_sparse(tmp_path / "s")
    (root / f"sparse/0/{name}.txt").unlink()
    assert "no COLMAP model in" in str(refused(root))


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("cameras", "7 PINHOLE 64", "7 PINHOLE x"),
        ("cameras", "60.0 61.0 32.0", "60.0 61.0"),
        ("images", " 7 view1.png", " 8 view1.png"),
    ],
)
def test_text_models_that_make_no_sense(name, old, new, tmp_path):
    root = write_sparse(tmp_path / "s")
    path = root / f"sparse/0/{name}.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    error = refused(root)
    assert error.failure.reason in (Reason.BAD_METADATA, Reason.BAD_INTRINSICS)
    assert "COLMAP cannot read the model in 0" in str(error)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "holds 0 bytes"),
        (b"P5 64 48 255\n", "does not begin with width&height&channels&"),
        (b"64&48&3&" + bytes(64 * 48 * 12), "is 48×64 (h×w) with 3 channels"),
        (b"64&48&1&" + bytes(64 * 48 * 4 - 1), "holds 12295 bytes but states 48×64 (h×w)"),
        (b"999999&999999&1&" + bytes(8), "is 999999×999999 (h×w)"),
    ],
)
def test_depth_maps_that_are_none(data, message, tmp_path):
    root = write_dense(tmp_path / "s")
    (root / "stereo/depth_maps/view2.png.geometric.bin").write_bytes(data)
    (failure,) = read(root).failures
    assert (failure.frame_id, failure.reason) == ("view2.png", Reason.UNREADABLE_DEPTH)
    assert message in failure.message


def test_depth_maps_that_are_missing(tmp_path):
    root = write_dense(tmp_path / "s")
    (root / "stereo/depth_maps/view2.png.geometric.bin").unlink()
    (failure,) = read(root).failures
    assert failure.reason == Reason.NO_DEPTH
    assert "there is no view2.png.geometric.bin" in failure.message
    assert "holds no photometric depth maps" in str(refused(root, depth="photometric"))


def test_depth_maps_of_distorted_cameras(tmp_path):
    root = write_dense(tmp_path / "s")
    shutil.rmtree(root / "sparse")
    write_text_model(root / "sparse", Lens("RADIAL", LENSES["RADIAL"], HW), poses())
    failures = read(root).failures
    assert len(failures) == 3
    assert "camera of a dense workspace is RADIAL; expected PINHOLE" in failures[0].message


def test_negative_and_missing_depth_is_unknown(tmp_path):
    root = write_dense(tmp_path / "s")
    z = take(PINHOLE, poses()[0], 0.0).z.copy()
    z[:10], z[10:20] = -1, np.nan
    (root / "stereo/depth_maps/view1.png.geometric.bin").write_bytes(array_bytes(z))
    view = read_view(read(root).frames[0], dataset="colmap", scene_id="s")
    assert not view.depth.valid[:20].any()
    assert view.depth.valid[20:].all()
