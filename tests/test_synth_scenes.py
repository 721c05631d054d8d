"""Procedural scenes: layouts, paths, textures and rendering, before anything is written."""

import numpy as np
import pytest

from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.geometry import raycast
from cameo_data.synth import generate, paths, render
from cameo_data.synth.layouts import LAYOUTS, MIXED
from cameo_data.synth.stage import Sky, Stage, Surface
from cameo_data.types import Verdict

HW = (48, 64)


def scene(kind, path="orbit", index=0, frames=6, hw=HW, **options):
    settings = generate.plan(
        index + 1, kind=kind, path=path, seed=11, frames=frames, hw=hw, **options
    )[index]
    return generate.make_scene(settings)


def linear(image):
    """Linear light of 8-bit sRGB (IEC 61966-2-1)."""
    x = image / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("path", paths.PATHS)
def test_depth_is_the_ray_casters_bit_for_bit(kind, path):
    stage, views = scene(kind, path, frames=3)
    for view in views:
        hits = raycast.render(stage.primitives, view)
        picture = render.render(stage, view, samples=1)
        np.testing.assert_array_equal(picture.z, raycast.depth_of(hits))
        np.testing.assert_array_equal(picture.primitive, hits.primitive)


def test_a_bare_room_is_closed_and_holds_nothing():
    stage, views = scene("bare-room")
    assert [p.kind for p in stage.primitives] == ["rect"] * 6
    assert all(render.render(stage, view, 1).z.all() for view in views)
    # nothing hides anything: what another view does not see is outside its picture
    exact = raycast.oracle(stage.primitives, views[0], views[-1], stride=4)
    assert set(np.unique(exact.verdict)) <= {Verdict.VISIBLE, Verdict.OUTSIDE, Verdict.BEHIND}


@pytest.mark.parametrize("index", range(3))
def test_a_room_is_closed_and_other_scenes_have_sky(index):
    stage, views = scene("room", index=index)
    assert all(render.render(stage, view, 1).z.all() for view in views)
    for kind in ("objects", "outdoor"):
        stage, views = scene(kind, index=index)
        sky = np.mean([render.render(stage, view, 1).z == 0 for view in views])
        assert 0.02 < sky < 0.6


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("path", paths.PATHS)
def test_points_of_two_views_coincide(kind, path):
    """What the oracle calls visible lies, by both depth maps, at one place in the world."""
    stage, views = scene(kind, path)
    camera0, camera1 = views[0], views[1]
    exact = raycast.oracle(stage.primitives, camera0, camera1, stride=4)
    seen = exact.verdict == Verdict.VISIBLE
    assert seen.sum() > 20
    z0 = raycast.cast_pixels(stage.primitives, camera0, cameras.query_xy(HW, 4)[seen]).t
    p0 = cameras.unproject(camera0, cameras.query_xy(HW, 4)[seen], z0)
    z1 = raycast.cast_pixels(stage.primitives, camera1, exact.xy1[seen]).t
    p1 = cameras.unproject(camera1, exact.xy1[seen], z1)
    # xy1 is float32: a thousandth of a pixel at most, so millimetres at the far ends
    assert np.median(np.linalg.norm(p0 - p1, axis=-1)) < 1e-4


@pytest.mark.parametrize("kind", LAYOUTS)
def test_views_agree_about_colours(kind):
    """Median difference of visible matches is small, and far below that of unrelated places."""
    stage, views = scene(kind, hw=(120, 160), frames=12)
    pictures = [render.render(stage, view).image.astype(float) for view in views[:2]]
    exact = raycast.oracle(stage.primitives, views[0], views[1], stride=2)
    seen = exact.verdict == Verdict.VISIBLE
    x, y = exact.xy1[seen].T.astype(int)
    there = pictures[1][y, x]
    # a cell's centre is a corner of four pixels: the mean of its cell
    here = pictures[0].reshape(60, 2, 80, 2, 3).mean((1, 3))[seen]
    difference = np.abs(here - there).max(-1)
    unrelated = np.abs(here - np.random.default_rng(0).permutation(there)).max(-1)
    assert np.median(difference) < 16
    assert np.median(difference) < 0.25 * np.median(unrelated)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_small_picture_is_the_large_one_downsampled(kind):
    """No aliasing, and no drift of colour or light with size."""
    stage, views = scene(kind, hw=(64, 64), frames=2)
    small = linear(render.render(stage, views[0]).image)
    large = linear(render.render(stage, cameras.resize(views[0], (256, 256))).image)
    reduced = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert abs((reduced - small).mean()) < 0.003
    assert np.abs(reduced - small).mean() < 0.015
    # one sample a pixel does alias: the bound above says something
    rough = linear(render.render(stage, views[0], samples=1).image)
    assert np.abs(reduced - rough).mean() > 1.8 * np.abs(reduced - small).mean()


@pytest.mark.parametrize("path", paths.PATHS)
@pytest.mark.parametrize("kind", LAYOUTS)
def test_rotations_fill_the_range_that_was_asked_for(kind, path):
    for index, asked in enumerate((15, 60, 180)):
        _, views = scene(kind, path, index=index, frames=16, rotation_range_deg=asked)
        widest = transforms.relative_rotation_deg(
            np.stack([view.cam_from_world for view in views])
        ).max()
        assert widest <= asked
        assert widest > (0.97 if path == "orbit" else 0.85) * asked


def test_an_orbit_covers_all_rotations_and_meets_its_start():
    _, views = scene("objects", "orbit", frames=36)
    angles = transforms.relative_rotation_deg(np.stack([v.cam_from_world for v in views]))
    assert np.histogram(angles, bins=np.arange(0, 181, 15))[0].all()
    steps = np.diagonal(np.roll(angles, -1, axis=1))
    assert steps.max() < 1.6 * np.median(steps)


@pytest.mark.parametrize("path", paths.PATHS)
def test_a_path_is_smooth(path):
    _, views = scene("room", path, frames=60)
    eyes = np.array([view.world_from_cam[:3, 3] for view in views])
    steps = np.linalg.norm(np.diff(eyes, axis=0), axis=-1)
    assert steps.max() < 0.5
    assert np.abs(np.diff(steps)).max() < 0.25 * steps.max()


@pytest.mark.parametrize("kind", LAYOUTS)
def test_no_camera_stands_in_or_at_a_solid(kind):
    for index in range(6):
        stage, views = scene(kind, "video", index=index, frames=8)
        assert paths.clear_of(stage.primitives, views)


def test_a_camera_near_a_solid_is_noticed():
    stage, views = scene("objects")
    eye = views[0].world_from_cam[:3, 3]
    ball = raycast.placed("sphere", eye + np.array([0.3, 0, 0]), (0.4, 0.4, 0.4))
    assert not paths.clear_of([*stage.primitives, ball], views)


@pytest.mark.parametrize("kind", MIXED)
def test_scenes_hold_solids_planes_and_thin_parts(kind):
    kinds, thinnest = set(), []
    for index in range(6):
        stage, _ = scene(kind, index=index, frames=1)
        kinds |= {p.kind for p in stage.primitives}
        thinnest += [
            np.linalg.norm(p.world_from_object[:3, :3], axis=0).min()
            for p in stage.primitives
            if p.kind != "rect"
        ]
    assert kinds == set(raycast.KINDS)
    assert min(thinnest) < 0.05


def test_texture_scale_changes_patterns_and_nothing_else():
    fine, views = scene("room")
    coarse, same = scene("room", texture_scale=3.0)
    assert all(
        b.cell == pytest.approx(3 * a.cell, abs=2e-3)
        for a, b in zip(fine.surfaces, coarse.surfaces, strict=True)
    )
    a, b = render.render(fine, views[0]), render.render(coarse, same[0])
    np.testing.assert_array_equal(a.z, b.z)

    def roughness(picture):
        steps = np.abs(np.diff(picture.image.astype(float), axis=1)).max(-1)
        return steps[np.diff(picture.primitive, axis=1) == 0].mean()

    assert roughness(b) < 0.8 * roughness(a)


def test_wrong_settings_are_refused():
    space = LAYOUTS["room"](np.random.default_rng(0), 1.0)[1]
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown path 'zigzag'"):
        paths.camera_path(space, "zigzag", 3, HW, 90, rng)
    with pytest.raises(ValueError, match="0 frames"):
        paths.camera_path(space, "orbit", 0, HW, 90, rng)
    with pytest.raises(ValueError, match="rotation range is 200"):
        paths.camera_path(space, "orbit", 3, HW, 200, rng)
    with pytest.raises(ValueError, match="0 samples"):
        render.render(*_one_view(), samples=0)
    with pytest.raises(ValueError, match="unknown pattern 'stripes'"):
        Surface("stripes", "vivid", 1.0, 0)
    with pytest.raises(ValueError, match="unknown tone"):
        Surface("tiles", "grey", 1.0, 0)
    with pytest.raises(ValueError, match="positive length"):
        Surface("tiles", "vivid", 0.0, 0)
    with pytest.raises(ValueError, match="has surface 1"):
        Stage(
            (raycast.placed("box", (0, 0, 0), (1, 1, 1), surface=1),),
            (),
            Sky((0,) * 3, (0,) * 3, 0),
        )


def _one_view():
    stage, views = scene("objects", frames=1)
    return stage, views[0]
