"""The depth methods on exact scenes: right where they say something, silent where they cannot."""

import dataclasses
import json
import shutil
import sys
import types

import cv2
import depth_scenes
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cameo_data import transforms
from cameo_data.cli import main
from cameo_data.depth import (
    alignment,
    computation,
    fuse,
    method_spec,
    networks,
    planesweep,
    sparse,
)
from cameo_data.depth import colmap as colmap_method
from cameo_data.depth.method import DepthScene
from cameo_data.errors import Reason
from cameo_data.geometry.sparse_matches import read_pairs
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthMap


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return depth_scenes.write(tmp_path_factory.mktemp("methods") / "scenes")


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def all_steps(name, scene, **options):
    spec, resolved = method_spec(name), computation.method_options(name, options)
    prepared = {} if spec.prepare is None else spec.prepare(scene, resolved)
    raw = [spec.estimate(scene, n, resolved, prepared) for n in range(len(scene))]
    if spec.check is None:
        return raw
    return [spec.check(scene, n, resolved, prepared, raw.__getitem__) for n in range(len(scene))]


def off(found: DepthMap, exact: DepthMap):
    """Relative errors where both are known."""
    both = found.valid & exact.valid
    return np.abs(found.z[both] - exact.z[both]) / exact.z[both]


# planesweep


def test_planesweep_is_right_and_sure_where_it_is_right(scenes):
    scene = depth_scenes.opened(scenes)
    found = all_steps("planesweep", scene)
    errors, sky = [], 0
    for number, one in enumerate(found):
        exact = scene.given_depth(number)
        errors.append(off(one.depth, exact))
        sky += int((one.depth.valid & ~exact.valid).sum())
        assert one.confidence is not None
        assert np.all((one.confidence > 0) == one.depth.valid)
        assert one.facts["confirmed_by"] == 2
        assert np.mean(one.depth.valid[exact.valid]) > 0.4
    error = np.concatenate(errors)
    assert np.median(error) < 0.006
    assert np.mean(error > 0.05) < 0.05  # at 160×120 outlines are a larger share than at 512
    assert sky < 0.02 * len(error)
    sure = np.concatenate(
        [f.confidence[f.depth.valid & scene.given_depth(n).valid] for n, f in enumerate(found)]
    )
    low, high = error[sure < np.median(sure)], error[sure >= np.median(sure)]
    assert np.mean(high > 0.02) < 0.7 * np.mean(low > 0.02)


def test_planesweep_does_not_know_the_unit(scenes, tmp_path):
    small = tmp_path / "scenes"
    shutil.copytree(scenes, small)

    def shrink(poses):
        return [np.block([[p[:3, :3], 1e-3 * p[:3, 3:]], [p[3:]]]) for p in poses]

    depth_scenes.change_poses(small / "objects-0000", shrink)
    one, two = depth_scenes.opened(scenes), depth_scenes.opened(small)
    options = planesweep.PlanesweepOptions()
    a = planesweep.estimate(one, 2, options, planesweep.prepare(one, options))
    b = planesweep.estimate(two, 2, options, planesweep.prepare(two, options))
    known = a.depth.valid & b.depth.valid
    assert np.mean(a.depth.valid == b.depth.valid) > 0.99
    apart = np.abs(1000 * b.depth.z[known] / a.depth.z[known] - 1)
    # where hypotheses cost the same, as in the sky, rounding decides
    assert np.median(apart) < 1e-5
    assert np.mean(apart < 1e-2) > 0.85


def refusal(root, *options):
    """Reasons of the failures of a planesweep run."""
    result = call("depth", "planesweep", "synthetic", root, "--out", root.parent / "depth",
                  "--workers", 1, *options)  # fmt: skip
    assert result.exit_code == 1, result.output
    lines = (root.parent / "depth" / "failures.jsonl").read_text().splitlines()
    return [Reason(json.loads(line)["reason"]) for line in lines], result.stderr


@pytest.fixture
def changed(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "scenes")
    return tmp_path / "scenes"


def test_pure_rotation_is_refused(changed):
    def on_the_spot(poses):
        return [np.block([[p[:3, :3], np.zeros((3, 1))], [p[3:]]]) for p in poses]

    depth_scenes.change_poses(changed / "objects-0000", on_the_spot)
    reasons, text = refusal(changed)
    assert reasons == [Reason.NO_PARALLAX]
    assert "all views are from one place; expected views from different places" in text


def test_wrong_poses_are_refused(changed):
    depth_scenes.change_poses(
        changed / "objects-0000", lambda poses: [transforms.invert(p) for p in poses]
    )
    reasons, text = refusal(changed)
    assert set(reasons) <= {Reason.BAD_POSE, Reason.NO_PARALLAX, Reason.EMPTY_DEPTH}
    assert "fit the poses" in text


def test_cameras_turned_by_a_few_degrees_are_refused(changed):
    rng = np.random.default_rng(1)

    def turned(poses):
        made = []
        for pose in poses:
            turn = np.eye(4)
            turn[:3, :3] = cv2.Rodrigues(np.radians(5) * rng.standard_normal(3))[0]
            made.append(turn @ pose)
        return made

    depth_scenes.change_poses(changed / "objects-0000", turned)
    reasons, text = refusal(changed)
    assert reasons == [Reason.BAD_POSE]
    assert "fit the poses; expected at least 30 %" in text


def test_pictures_without_a_mark_give_no_depth(changed):
    rng = np.random.default_rng(0)
    for path in (changed / "objects-0000" / "images").iterdir():
        noise = rng.normal(128, 2, (*depth_scenes.HW, 3))
        cv2.imwrite(str(path), noise.clip(0, 255).astype(np.uint8))
    reasons, _ = refusal(changed)
    assert set(reasons) == {Reason.EMPTY_DEPTH}


def test_poses_of_other_frames_are_refused_or_empty(changed):
    depth_scenes.change_poses(
        changed / "objects-0000", lambda poses: [poses[i] for i in (3, 0, 4, 2, 1)]
    )
    reasons, _ = refusal(changed)
    assert set(reasons) <= {Reason.BAD_POSE, Reason.EMPTY_DEPTH}


def test_one_view_is_refused(tmp_path):
    root = depth_scenes.write(tmp_path / "scenes", frames=1)
    assert refusal(root)[0] == [Reason.TOO_FEW_VIEWS]


def test_blank_pictures_end_empty(changed):
    import cv2

    for seed, path in enumerate(sorted((changed / "objects-0000" / "images").iterdir())):
        noise = np.random.default_rng(seed).normal(0, 1, (*depth_scenes.HW, 3))
        cv2.imwrite(str(path), np.clip(128 + noise, 0, 255).astype(np.uint8))
    reasons, text = refusal(changed)
    assert set(reasons) == {Reason.EMPTY_DEPTH}
    assert "kept no pixel" in text


def test_points_have_the_exact_depth(scenes):
    scene = depth_scenes.opened(scenes)
    found = sparse.survey(scene, 4)
    errors = []
    for number in range(len(scene)):
        xy, w = found.points(number)
        column, row = np.floor(xy).astype(int).T
        exact = scene.given_depth(number)
        known = exact.valid[row, column]
        errors.append(np.abs(1 / w - exact.z[row, column])[known] / exact.z[row, column][known])
    error = np.concatenate(errors)
    assert len(error) > 100
    assert np.median(error) < 0.02
    # of an arc the frames beside are the neighbours
    assert set(found.neighbours[2, :2]) <= {0, 1, 3, 4}


# fuse


def noisy(scene, tmp_path, seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for number, frame in enumerate(scene.scene.frames):
        exact = scene.given_depth(number)
        z = exact.z * (1 + 0.01 * rng.standard_normal(exact.hw))
        z[rng.random(exact.hw) < 0.2] = 0
        path = tmp_path / f"{number}.npy"
        np.save(path, z.astype(np.float32))
        frames.append(dataclasses.replace(frame, depth=dataclasses.replace(frame.depth, path=path)))
    return DepthScene(dataclasses.replace(scene.scene, frames=tuple(frames)))


def test_fused_depth_is_nearer_to_the_truth_and_has_fewer_holes(scenes, tmp_path):
    exact = depth_scenes.opened(scenes)
    scene = noisy(exact, tmp_path)
    for number, one in enumerate(all_steps("fuse", scene)):
        before, truth = scene.given_depth(number), exact.given_depth(number)
        assert one.depth.valid.mean() > before.valid.mean()
        assert np.mean(one.depth.valid[before.valid]) > 0.95
        assert np.median(off(one.depth, truth)) < 0.6 * np.median(off(before, truth))
        assert np.median((one.depth.z - truth.z)[one.depth.valid & truth.valid]) < 5e-3
    bare = dataclasses.replace(
        scene.scene,
        frames=tuple(dataclasses.replace(f, depth=None) for f in scene.scene.frames),
    )
    with pytest.raises(FileDefect, match="fuse needs the dataset's own depth"):
        fuse.prepare(DepthScene(bare), fuse.FuseOptions())


def test_what_a_view_measured_is_not_overruled():
    own = DepthMap.from_array(np.array([[2.0, 2.0, 0.0, 0.0, 2.0, 2.0]]))
    seen = DepthMap.from_array(np.array([[2.02, 3.0, 2.5, 2.5, 0.0, 3.0]]))
    cosine = np.array([[1.0, 1.0, 1.0, 0.01, 0.0, 1.0]], np.float32)
    in_the_air = np.array([[False, True, False, False, False, False]])
    kept, confidence = fuse.reconcile(own, seen, cosine, True, in_the_air)
    np.testing.assert_allclose(kept.z, [[2.02, 0, 2.5, 0, 2, 2]], rtol=1e-6)
    assert confidence[0, 0] > 0.8
    np.testing.assert_allclose(confidence[0, 1:], [0, 0.5, 0, 0.25, 0.1])
    kept, _ = fuse.reconcile(own, seen, cosine, False, in_the_air)
    assert kept.valid.tolist() == [[True, False, False, False, True, True]]


def test_depth_in_the_air_goes_and_what_the_surface_lacks_stays(scenes, tmp_path):
    exact = depth_scenes.opened(scenes)
    truth = exact.given_depth(0)
    own = truth.z.copy()
    rows, columns = slice(70, 80), slice(60, 70)
    own[rows, columns] *= 0.7  # a flying piece: the other views see what is behind it
    seen = truth.z.copy()
    missing = slice(95, 105)
    seen[missing] *= 0.8  # the surface is in front of what all views measured
    others = [(exact.given_depth(n), exact.camera(n)) for n in range(1, len(exact))]
    found = fuse.looked_through(
        DepthMap.from_array(own), DepthMap.from_array(seen), exact.camera(0), others
    )
    assert found[rows, columns].mean() > 0.9
    assert found[missing].mean() < 0.02
    found[rows, columns] = found[missing] = False
    assert not found.any()  # elsewhere nothing is disputed


# model


def test_alignment_finds_scale_and_shift_among_wrong_anchors():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 5, 400)
    w = 0.07 * p + 0.2
    wrong = rng.random(400) < 0.3
    w[wrong] = rng.uniform(0.1, 2, wrong.sum())
    found = alignment.fit(p, w * (1 + 0.01 * rng.standard_normal(400)))
    assert found.scale == pytest.approx(0.07, rel=0.02)
    assert found.shift == pytest.approx(0.2, rel=0.02)
    with pytest.raises(FileDefect, match="fit one scale and shift"):
        alignment.fit(p, rng.uniform(0.1, 5, 400))
    with pytest.raises(FileDefect, match="fit one scale and shift"):
        alignment.fit(-p, 0.07 * p + 0.2)
    with pytest.raises(FileDefect, match="3 points of known depth"):
        alignment.fit(p[:3], w[:3])


@pytest.fixture(scope="module")
def network_folders(tmp_path_factory):
    """Small random networks of the real classes, as ``transformers`` saves them."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("networks")
    stages = {"out_features": [f"stage{i}" for i in (1, 2, 3, 4)], "reshape_hidden_states": False}
    backbone = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        **stages,
    )  # fmt: skip
    small = {"reassemble_hidden_size": 32, "neck_hidden_sizes": [8, 8, 8, 8]}
    found = {}
    for kind in ("relative", "metric"):
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone, fusion_hidden_size=8, head_hidden_size=4, patch_size=14,
            depth_estimation_type=kind, max_depth=10, **small,
        )  # fmt: skip
        found[kind] = root / kind
        transformers.DepthAnythingForDepthEstimation(config).save_pretrained(found[kind])
    size = {"height": 56, "width": 56}
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    for folder in found.values():
        DPTImageProcessorPil(size=size, ensure_multiple_of=14).save_pretrained(folder)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, inverse", [("relative", True), ("metric", False)])
def test_networks_of_transformers_load_and_predict(network_folders, kind, inverse):
    network = networks.load(str(network_folders[kind]), "cpu")
    assert network.inverse is inverse
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    values = network.predict([image])
    assert values.shape == (60, 80)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


class Oracle:
    """A network that is right up to scale and shift, but for one corner."""

    multi_view = False

    def __init__(self, scene, inverse):
        self.inverse = inverse
        self.by_image = {
            scene.image(n).tobytes(): scene.given_depth(n).z for n in range(len(scene))
        }

    def predict(self, images):
        z = self.by_image[images[0].tobytes()]
        w = np.where(z > 0, 1 / np.where(z > 0, z, 1), 0.01)
        w[:30, :40] *= 1 + np.random.default_rng(int(1e6 * w.sum()) % 999).uniform(0.3, 1)
        return (40 * w - 2 if self.inverse else 0.1 / w).astype(np.float32)


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("anchors", ["points", "planesweep"])
def test_a_network_is_brought_to_the_scenes_scale(scenes, monkeypatch, inverse, anchors):
    scene = depth_scenes.opened(scenes)
    oracle = Oracle(scene, inverse)
    monkeypatch.setattr(networks, "load", lambda model, device: oracle)
    found = all_steps("model", scene, model="oracle", anchors=anchors)
    errors = [off(one.depth, scene.given_depth(n)) for n, one in enumerate(found)]
    assert np.median(np.concatenate(errors)) < 0.01
    assert np.mean(np.concatenate(errors) > 0.1) < 0.04
    assert all(one.facts["anchors"] == anchors for one in found)
    exact = [scene.given_depth(n).valid for n in range(len(scene))]
    wrong = [one.depth.valid[:30, :40][v[:30, :40]] for one, v in zip(found, exact, strict=True)]
    assert np.mean(np.concatenate(wrong)) < 0.5  # what is wrong differently is dropped


@pytest.mark.filterwarnings("ignore")
def test_a_random_network_is_refused_not_trusted(scenes, tmp_path, network_folders):
    result = call("depth", "model", "synthetic", scenes, "--out", tmp_path / "d", "--workers", 1,
                  "-m", f"model={network_folders['relative']}")  # fmt: skip
    assert result.exit_code == 1
    assert "no_anchor" in result.stderr
    assert "fit one scale and shift" in result.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model, says",
    [("nowhere/at/all", "no depth network can be loaded"), ("vggt:x", "vggt is not installed")],
)
def test_a_network_that_is_not_there_is_one_line(scenes, tmp_path, model, says, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = call("depth", "model", "synthetic", scenes, "--out", tmp_path / "d", "--workers", 1,
                  "-m", f"model={model}")  # fmt: skip
    assert result.exit_code == 1
    assert says in result.stderr.splitlines()[-1]


def test_vggt_is_shown_the_neighbours_too(monkeypatch):
    shown = []

    class VGGT(torch.nn.Module):
        @classmethod
        def from_pretrained(cls, name):
            return cls()

        def forward(self, images):
            shown.append(images.shape)
            return {"depth": images.mean(2)[..., None] + 1}

    package, module = types.ModuleType("vggt.models"), types.ModuleType("vggt.models.vggt")
    module.VGGT = VGGT
    top = types.ModuleType("vggt")
    monkeypatch.setattr(networks.util, "find_spec", lambda name: object())
    for name, value in (("vggt", top), ("vggt.models", package), ("vggt.models.vggt", module)):
        monkeypatch.setitem(sys.modules, name, value)
    network = networks._Vggt("weights", "cpu")
    images = [np.full((60, 80, 3), value, np.uint8) for value in (51, 102, 255)]
    values = network.predict(images)
    assert shown == [(1, 3, 3, 392, 518)]
    np.testing.assert_allclose(values, 1.2, rtol=1e-5)
    assert values.shape == (60, 80)
    assert network.multi_view


# colmap


def test_colmap_gives_sparse_matches_that_build_corr_stores(scenes, tmp_path):
    out = tmp_path / "d"
    result = call("depth", "colmap", "synthetic", scenes, "--out", out, "--workers", 1,
                  "-m", "mode=sparse")  # fmt: skip
    assert result.exit_code == 0, result.output
    scene = depth_scenes.opened(scenes)
    ids = [frame.frame_id for frame in scene.scene.frames]
    table = read_pairs(out / "scenes" / "objects-0000" / "matches.csv", ids)
    errors = []
    for a in range(len(ids) - 1):
        pair = table.between(ids[a], ids[a + 1])
        exact, camera = scene.given_depth(a), scene.camera(a)
        column, row = np.floor(pair.xy0).astype(int).T
        from cameo_data import camera as cameras

        known = exact.valid[row, column]
        points = cameras.unproject(camera, pair.xy0[known], exact.z[row, column][known])
        there, _ = cameras.project(scene.camera(a + 1), points)
        errors.append(np.linalg.norm(there - pair.xy1[known], axis=1))
    assert len(np.concatenate(errors)) > 40
    assert np.median(np.concatenate(errors)) < 0.5
    built = call("build-corr", "synthetic", scenes, "--depth", out, "--out", tmp_path / "s",
                 "--workers", 1, "--views", 2, "--min-overlap", 0.01)  # fmt: skip
    assert built.exit_code == 0, built.output
    assert call("verify", tmp_path / "s").exit_code == 0


def test_dense_stereo_without_cuda_is_refused_in_clear_words(scenes, tmp_path, monkeypatch):
    library = colmap_method.undistortion.colmap()
    monkeypatch.setattr(library, "has_cuda", False)
    result = call("depth", "colmap", "synthetic", scenes, "--out", tmp_path / "d", "--workers", 1,
                  "-m", "mode=dense")  # fmt: skip
    assert result.exit_code == 1
    assert "no CUDA" in result.stderr
    assert "-m mode=sparse, or use planesweep" in result.stderr
