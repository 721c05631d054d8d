"""The multi-view models are diffusers' networks, with attention that spans the views."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from networks import DIT, DIT_ARGUMENTS, NAMES, UNET, UNET_ARGUMENTS, small
from torch import nn

from cameo_data.geometry.raycast import placed, render
from cameo_data.types import Camera
from cameo_train import models
from cameo_train.models import joint, latents, loading, priors, rays, schedule

HW = (48, 64)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return small(request.param)


def permuted(given, order):
    moved = None if given.priors is None else given.priors[:, order]
    return replace(
        given, reference=given.reference[:, order], rays=given.rays[:, order], priors=moved
    )


# --- attention over views -----------------------------------------------------------------------


@torch.no_grad()
def test_every_view_reaches_every_view(model):
    noisy, step, given = model.example(views=3, hw=(8, 8))
    base = model(noisy, step, given)
    for source in range(3):
        changed = noisy.clone()
        changed[:, source, :, 0, 0] += 1
        moved = (model(changed, step, given) - base).abs().amax((0, 2, 3, 4))
        assert (moved > 1e-6).all(), f"view {source} moves {moved.tolist()}"


@torch.no_grad()
def test_groups_of_a_batch_do_not_mix(model):
    noisy, step, given = model.example(batch=2, views=2, hw=(8, 8))
    base = model(noisy, step, given)
    noisy[1] += 1
    got = model(noisy, step, given)
    torch.testing.assert_close(got[0], base[0])
    assert not torch.allclose(got[1], base[1])


@torch.no_grad()
def test_views_may_stand_in_any_order(model):
    noisy, step, given = model.example(views=4, hw=(8, 6))
    order = [2, 0, 3, 1]
    got = model(noisy[:, order], step, permuted(given, order))
    torch.testing.assert_close(got, model(noisy, step, given)[:, order], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["cat3d-tiny", "hunyuan-dit-tiny"])
def test_one_view_is_the_network_unchanged(name):
    from diffusers.models.attention_processor import AttnProcessor2_0, HunyuanAttnProcessor2_0

    network = small(name)
    inputs = network.example(views=1, hw=(8, 8))
    got = network(*inputs)
    original = AttnProcessor2_0() if name.startswith("cat") else HunyuanAttnProcessor2_0()
    network.backbone.set_attn_processor(original)
    assert torch.equal(got, network(*inputs))


@torch.no_grad()
def test_one_view_is_diffusers_unet_with_text_that_says_nothing():
    from diffusers import UNet2DConditionModel

    network = small("cat3d-tiny")
    plain = UNet2DConditionModel(**UNET, in_channels=12 + 7, out_channels=12).eval()
    plain.load_state_dict(network.backbone.state_dict(), strict=False)
    for name, module in plain.named_modules():
        if name.endswith("attn2"):  # text that says nothing
            nn.init.zeros_(module.to_out[0].weight)
            nn.init.zeros_(module.to_out[0].bias)
    noisy, step, given = network.example(views=1, hw=(8, 8))
    expected = plain(given.inputs(noisy)[:, 0], step, torch.zeros(1, 1, 8)).sample
    torch.testing.assert_close(network(noisy, step, given)[:, 0], expected)


@torch.no_grad()
def test_per_view_levels_do_not_join():
    split, whole = small("cat3d-tiny", per_view_levels=2), small("cat3d-tiny")
    noisy, step, given = split.example(views=2, hw=(8, 8))
    changed = noisy.clone()
    changed[:, 1] += 1
    for network, joins in ((split, False), (whole, True)):
        same = torch.allclose(
            network(changed, step, given)[:, 0], network(noisy, step, given)[:, 0]
        )
        assert same is not joins
    official = small("cat3d-tiny", per_view_levels=1)
    processors = official.backbone.attn_processors
    joined = {name for name, p in processors.items() if isinstance(p, joint.JointViews)}
    assert {name.split(".")[0] + name.split(".")[1] for name in joined} == {
        "down_blocks1", "mid_blockattentions", "up_blocks0",
    }  # fmt: skip


# --- they train ---------------------------------------------------------------------------------


def test_a_few_steps_lower_the_loss_and_reach_every_weight(model):
    network = small(model.preset.name, seed=1).train()
    noise = models.training_noise(network.preset)
    clean, _, given = network.example(batch=2, views=3, hw=(8, 8))
    step = torch.tensor([300, 700])
    noisy, target = models.noised(
        noise, clean, torch.randn(clean.shape, generator=torch.Generator().manual_seed(3)),
        step, given.reference,
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(8):
        loss = models.target_loss(network(noisy, step, given), target, given.reference)
        optimizer.zero_grad()
        loss.backward()
        unreached = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
        assert not unreached  # DDP would wait for them
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("name", ["cat3d-tiny", "hunyuan-dit-tiny"])
def test_a_null_text_trains_too(name):
    network = small(name, text="null")
    network(*network.example()).square().mean().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_all_presets_can_be_named_and_their_layer_exists():
    with torch.device("meta"):
        for name, preset in models.presets().items():
            network = models.build(name)
            grid = network.token_grid(preset.layer, preset.image_hw)
            assert grid == ((32, 32) if preset.latents in ("vae", "pixel") else (16, 16))
    with pytest.raises(ValueError, match="no model 'cat3d-tinny'; did you mean 'cat3d-tiny'"):
        models.build("cat3d-tinny")


@pytest.mark.parametrize("name", ["cat3d-tiny", "cat3d-sd21", "mvgenmaster-sd21", "hunyuan-dit"])
def test_manifests_name_models_and_layers_that_exist(name):
    from cameo_train.config import load

    config = load(ROOT / "manifests" / "train" / f"{name}.yaml", {})
    with torch.device("meta"):
        network = models.build(config.model)
    layer = config.layer or network.preset.layer
    assert network.heads(layer) > 1
    assert config.model == name


def test_sd21_has_the_official_layers_and_sizes():
    with torch.device("meta"):
        network = models.build("cat3d-sd21")
    layers = network.layers()
    assert len(layers) == 16
    assert layers[10].endswith("up_blocks.2.attentions.0.transformer_blocks.0.attn1")
    heads = [network.heads(name) for name in layers]
    assert heads == [5, 5, 10, 10, 20, 20, 20, 20, 20, 20, 10, 10, 10, 5, 5, 5]
    assert network.backbone.conv_in.weight.shape == (320, 4 + 7, 3, 3)
    joined = [isinstance(network.get_submodule(n).processor, joint.JointViews) for n in layers]
    assert joined == [head != 5 for head in heads]


# --- references and guidance --------------------------------------------------------------------


def test_references_stay_clean_and_carry_no_loss():
    preset = models.preset("cat3d-tiny")
    noise = models.training_noise(preset)
    clean = torch.randn(2, 3, 4, 2, 2)
    reference = torch.tensor([[True, False, False], [True, True, False]])
    noisy, target = models.noised(
        noise, clean, torch.randn_like(clean), torch.tensor([999, 500]), reference
    )
    assert torch.equal(noisy[reference], clean[reference])
    prediction = target.clone()
    prediction[reference] += 100
    assert models.target_loss(prediction, target, reference) == 0
    prediction[~reference] += 2
    assert models.target_loss(prediction, target, reference) == pytest.approx(4)


@torch.no_grad()
def test_what_is_withheld_cannot_be_seen(model):
    noisy, step, given = model.example(batch=2, views=2, hw=(8, 8))
    other_rays = replace(given, rays=torch.randn_like(given.rays))
    other_clean = torch.where(given.reference[..., None, None, None], noisy + 1, noisy)

    def same(a, b):
        return bool(torch.equal(model(*a), model(*b)))

    assert not same((noisy, step, given), (noisy, step, other_rays))
    assert same((noisy, step, given.null("camera")), (noisy, step, other_rays.null("camera")))
    assert not same((noisy, step, given.null("camera")), (other_clean, step, given.null("camera")))
    assert same(
        (noisy, step, given.null("reference")), (other_clean, step, given.null("reference"))
    )
    assert same((noisy, step, given.null("both")), (other_clean, step, other_rays.null("both")))
    if given.priors is not None:
        other = replace(given, priors=torch.randn_like(given.priors))
        for kind in ("camera", "reference"):
            assert same((noisy, step, given.null(kind)), (noisy, step, other.null(kind)))


def test_dropout_withholds_the_share_asked_for():
    given = models.build("cat3d-tiny").example(batch=4000, views=2, hw=(1, 1))[2]
    dropped = given.dropout(0.1, 0.3, torch.Generator().manual_seed(0))
    without_camera = (dropped.rays == 0).all((1, 2, 3, 4))
    assert float(without_camera.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert float(dropped.blank.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert torch.equal(given.dropout(0, 0).rays, given.rays)


# --- noise --------------------------------------------------------------------------------------


def test_noise_is_shifted_and_ends_in_nothing_but_noise():
    plain = schedule.shifted_betas(1.0)
    assert float(plain[0]) == pytest.approx(0.00085)
    assert float(plain[-1]) == pytest.approx(0.012)
    shifted = schedule.shifted_betas(4.0)
    torch.testing.assert_close((1 - shifted) / shifted, (1 - plain) / plain / 2)
    noise = models.training_noise(models.preset("cat3d-sd21"))
    assert float(noise.alphas_cumprod[-1]) == 0
    assert noise.config.prediction_type == "v_prediction"
    clean, random = torch.ones(1, 1, 1, 1, 1), torch.full((1, 1, 1, 1, 1), 3.0)
    noisy, target = models.noised(
        noise, clean, random, torch.tensor([999]), torch.tensor([[False]])
    )
    assert float(noisy) == 3
    assert float(target) == -1  # v = √ᾱ·noise − √(1−ᾱ)·clean


def test_ddim_from_pure_noise_reaches_the_clean_latents():
    preset = models.preset("cat3d-tiny")
    sampler, noise = models.ddim(preset), models.training_noise(preset)
    sampler.set_timesteps(10)
    assert int(sampler.timesteps[0]) == 999
    clean, start = torch.randn(1, 2, 3, 4, 4), torch.randn(1, 2, 3, 4, 4)
    x = start
    for t in sampler.timesteps:
        # a model that knows: v of the clean latents and the noise that x then holds
        alpha = noise.alphas_cumprod[t]
        held = (x - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        v = alpha.sqrt() * held - (1 - alpha).sqrt() * clean
        x = sampler.step(v, t, x).prev_sample
    torch.testing.assert_close(x, clean, rtol=1e-3, atol=1e-3)


# --- latents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, channels", [("pixel", 3), ("patch:4", 48)])
def test_patches_are_lossless(kind, channels):
    space = models.build_latents(kind)
    images = torch.rand(2, 3, 3, 8, 12)
    codes = space.encode(images)
    assert codes.shape == (2, 3, channels, 8 // space.factor, 12 // space.factor)
    assert latents.latent_space(kind) == (space.channels, space.factor) == (channels, space.factor)
    assert torch.equal(space.decode(codes), images)


def test_latents_say_what_does_not_fit():
    with pytest.raises(ValueError, match=r"images are 6×8 .h×w.; this model needs multiples of 4"):
        models.build_latents("patch:4").encode(torch.zeros(1, 1, 3, 6, 8))
    with pytest.raises(ValueError, match="latents of a VAE; give the folder or hub name"):
        models.build_latents("vae")
    for kind in ("patch", "patch:0", "patch:x", "vea"):
        with pytest.raises(ValueError, match="expected 'pixel', 'patch:P' or 'vae'"):
            latents.latent_space(kind)


# --- weights ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A folder like that of a diffusers pipeline: unet, transformer and vae, random."""
    from diffusers import AutoencoderKL, HunyuanDiT2DModel, UNet2DConditionModel

    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(5)
    UNet2DConditionModel(**UNET).save_pretrained(folder / "unet")
    HunyuanDiT2DModel(**{**DIT, "learn_sigma": True}, in_channels=4).save_pretrained(
        folder / "transformer"
    )
    AutoencoderKL(
        block_out_channels=(8,) * 4, norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")  # fmt: skip
    return folder


@torch.no_grad()
def test_pretrained_unet_is_taken_over_and_starts_as_it_was(pipeline):
    from diffusers import UNet2DConditionModel

    changes = {"backbone": UNET_ARGUMENTS, "latents": "vae", "text": "null"}
    network = models.build("cat3d-tiny", weights=pipeline, **changes).eval()
    plain = UNet2DConditionModel.from_pretrained(pipeline, subfolder="unet").eval()
    noisy, step, given = network.example(views=1, hw=(8, 8))
    expected = plain(noisy[:, 0], step, torch.zeros(1, 1, 8)).sample
    torch.testing.assert_close(network(noisy, step, given)[:, 0], expected)
    # the model's own folder does as well as the pipeline's
    again = models.build("cat3d-tiny", weights=pipeline / "unet", **changes)
    assert torch.equal(again.backbone.conv_in.weight, network.backbone.conv_in.weight)
    without = models.build(
        "cat3d-tiny", weights=pipeline, backbone=UNET_ARGUMENTS, latents="vae", qk_norm=True
    )
    assert torch.equal(without.backbone.conv_out.weight, plain.conv_out.weight)


@torch.no_grad()
def test_pretrained_hunyuan_is_taken_over_and_its_variance_dropped(pipeline):
    backbone = replace(DIT_ARGUMENTS, learn_sigma=True)
    network = models.build(
        "hunyuan-dit-tiny",
        weights=pipeline,
        backbone=backbone,
        latents="vae",
        text="null",
        out_of=2,
    ).eval()
    noisy, step, given = network.example(views=2, hw=(8, 8))
    out = network(noisy, step, given)
    assert out.shape == noisy.shape
    assert network.backbone.proj_out.out_features == 2 * 2 * 8
    other = replace(given, rays=torch.randn_like(given.rays))
    assert torch.equal(network(noisy, step, other), out)  # rays start without effect


def test_weights_that_do_not_fit_are_told_in_one_line(pipeline, tmp_path):
    wide = replace(UNET_ARGUMENTS, block_out_channels=(16, 48))
    for backbone in (wide, replace(UNET_ARGUMENTS, layers_per_block=2)):
        with pytest.raises(ValueError, match=r"weights of another architecture: .* and .* further"):
            models.build("cat3d-tiny", weights=pipeline, backbone=backbone, latents="vae")
    with pytest.raises(ValueError, match=r"no weights of UNet2DConditionModel at .*: [^\n]*$"):
        models.build("cat3d-tiny", weights=tmp_path, backbone=UNET_ARGUMENTS, latents="vae")


def test_widening_never_hides_another_size():
    with pytest.raises(ValueError, match="weight is 5×2×3×3, the model has 4×6×3×3"):
        loading.adopt(
            nn.Conv2d(6, 4, 3), {"weight": torch.ones(5, 2, 3, 3), "bias": torch.ones(4)},
            widened="weight",
        )  # fmt: skip


@torch.no_grad()
def test_a_vae_encodes_and_decodes(pipeline):
    space = models.build_latents("vae", pipeline)
    assert (space.channels, space.factor) == latents.latent_space("vae")
    images = torch.rand(1, 9, 3, 16, 24) * 2 - 1
    codes = space.encode(images)
    assert codes.shape == (1, 9, 4, 2, 3)
    assert space.decode(codes).shape == images.shape
    alone = space.vae.encode(images[:, 8]).latent_dist.mode() * space.vae.config.scaling_factor
    torch.testing.assert_close(codes[:, 8], alone)


# --- rays and priors ----------------------------------------------------------------------------


def scene(views=3):
    """A textured box before a wall, cameras on an arc; images, depths, cameras."""
    primitives = [
        placed("rect", (0, 0, 2), (40, 40, 1)),
        placed("box", (0, 0, 0), (0.8, 0.8, 0.8)),
    ]
    K = [[60.0, 0, HW[1] / 2], [0, 60.0, HW[0] / 2], [0, 0, 1]]
    cameras, images, depths = [], [], []
    for view in range(views):
        camera = Camera(K, HW, _pose((0, 0, 3), 0.2 * view))
        z = render(primitives, camera).t
        cameras.append(camera)
        depths.append(z.astype(np.float32))
        images.append(_paint(camera, z))
    return np.stack(images), np.stack(depths), cameras


def _pose(offset, angle):
    """cam_from_world of a camera turned about the vertical axis through the origin."""
    out = np.eye(4)
    out[:3, :3] = [
        [math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)],
    ]  # fmt: skip
    out[:3, 3] = offset
    return out


def _paint(camera, z):
    """A smooth colour of the place itself, so that every view sees it alike."""
    from cameo_data import camera as cameras

    points = cameras.unproject(camera, cameras.query_xy(camera.hw), z)
    return np.moveaxis(np.sin(1.5 * points + [0, 1, 2]), -1, 0).astype(np.float32)


def batch_of(images, depths, cameras, references):
    reference = torch.zeros(1, len(cameras), dtype=torch.bool)
    reference[:, :references] = True
    return SimpleNamespace(
        images=torch.from_numpy(images)[None],
        depth=torch.from_numpy(depths)[None],
        K=torch.from_numpy(np.stack([c.K for c in cameras])).float()[None],
        cam_from_world=torch.from_numpy(np.stack([c.cam_from_world for c in cameras])).float()[
            None
        ],
        reference=reference,
    )


def ray_map(batch, **changes):
    values = {"K": batch.K, "cam_from_world": batch.cam_from_world, "reference": batch.reference}
    return rays.ray_maps(**{**values, **changes}, image_hw=HW, latent_hw=(12, 16))


def test_rays_pass_through_the_pixels_and_their_camera():
    batch = batch_of(*scene(), references=1)
    got = ray_map(batch)
    direction, moment = got[0, :, :3], got[0, :, 3:]
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(3, 12, 16))
    assert float((direction * moment).sum(1).abs().max()) < 1e-6
    # the first reference is the frame: its rays are those of K, and pass through the origin
    x, y = (5 + 0.5) * 4, (2 + 0.5) * 4
    expected = torch.tensor([(x - 32) / 60, (y - 24) / 60, 1.0])
    torch.testing.assert_close(direction[0, :, 2, 5], expected / expected.norm())
    assert float(moment[0].abs().max()) < 1e-6
    # another camera's rays pass through its centre, whose distance is 1 for the farthest
    frame = rays.group_frame(batch.cam_from_world, batch.reference)
    centre = frame.frame_from_cam[0, 2, :3, 3] / frame.spread[0]
    assert float(centre.norm()) == pytest.approx(1)
    crossed = torch.cross(centre[:, None, None].expand_as(direction[2]), direction[2], dim=0)
    torch.testing.assert_close(crossed, moment[2])


def test_rays_do_not_depend_on_the_worlds_frame_or_unit():
    batch = batch_of(*scene(), references=2)
    world = torch.from_numpy(_pose((5, -3, 2), 1.1)).float()
    moved = batch.cam_from_world @ world
    torch.testing.assert_close(
        ray_map(batch, cam_from_world=moved), ray_map(batch), atol=1e-5, rtol=1e-4
    )
    scaled = batch.cam_from_world.clone()
    scaled[..., :3, 3] *= 250
    torch.testing.assert_close(
        ray_map(batch, cam_from_world=scaled), ray_map(batch), atol=1e-5, rtol=1e-4
    )


def test_cameras_at_one_place_have_no_moment():
    # far from the origin, so that rounding moves their centres
    place = np.eye(4)
    place[:3, 3] = [300, -200, 100]
    poses = np.stack([_pose((0, 0, 0), a) @ place for a in (0, 0.5, 1.0)])
    poses = torch.from_numpy(poses).float()[None]
    K = torch.tensor([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]).expand(1, 3, 3, 3)
    got = ray_map(batch_of(*scene(), references=1), K=K, cam_from_world=poses)
    assert float(got[:, :, 3:].abs().max()) < 1e-3


@pytest.mark.parametrize("references", [1, 2])
def test_priors_show_each_view_as_it_is_where_they_know(references):
    images, depths, cameras = scene()
    reference = np.arange(3) < references
    hidden = depths.copy()
    hidden[references:] = np.nan  # the targets' depth is not read
    blank = np.where(reference[:, None, None, None], images, np.float32(np.nan))
    warped = priors.warp_references(blank, hidden, cameras, reference)
    for view in range(3):
        known = warped.known[view]
        assert known.mean() > 0.6
        error = np.abs(warped.colors[view] - images[view])[:, known].max(0)
        assert np.quantile(error, 0.97) < 0.05
        assert (warped.colors[view][:, ~known] == 0).all()
        exact = np.linalg.norm(
            warped.points_world[view] - _points(cameras[view], depths[view]), axis=-1
        )[known]
        assert np.quantile(exact, 0.97) < 0.02
    if references == 2:
        alone = priors.warp_references(blank, hidden, cameras, np.arange(3) < 1)
        assert warped.known[2].sum() > alone.known[2].sum()


def _points(camera, z):
    from cameo_data import camera as cameras

    return cameras.unproject(camera, cameras.query_xy(camera.hw), z)


def test_canonical_coordinates_are_one_for_one_point_and_bounded():
    images, depths, cameras = scene()
    reference = np.array([True, False, False])
    warped = priors.warp_references(images, depths, cameras, reference)
    got = priors.canonical(warped, depths, cameras, 0)
    assert np.abs(got).max() < 2
    # unit: the median depth of the first reference, so scale does not matter
    far = [Camera(c.K, c.hw, _scaled(c.cam_from_world, 50)) for c in cameras]
    again = priors.canonical(
        priors.warp_references(images, depths * 50, far, reference), depths * 50, far, 0
    )
    # pixels at the edges may fall to either side
    assert (np.abs(again - got).max(1) < 1e-3).mean() > 0.98


def _scaled(pose, factor):
    out = pose.copy()
    out[:3, 3] *= factor
    return out


def test_mvgenmaster_sees_the_references_colours_and_places():
    network = small("mvgenmaster-tiny")
    batch = batch_of(*scene(), references=1)
    space = models.build_latents("patch:2")
    given = network.condition(batch, space)
    assert given.priors is not None
    assert given.priors.shape == (1, 3, network.prior_channels, 24, 32)
    colors, share = given.priors[:, :, :12], given.priors[:, :, 12]
    # a reference's prior is its own image; a target's resembles it where known
    torch.testing.assert_close(colors[:, 0], space.encode(batch.images)[:, 0])
    whole = share[0, 2] == 1
    error = (colors[0, 2] - space.encode(batch.images)[0, 2]).abs().amax(0)[whole]
    assert float(error.quantile(0.95)) < 0.05
    # the codes of places have unit length per octave and coordinate, or are withheld
    sines, cosines = given.priors[:, :, 13:].chunk(2, 2)
    length = sines**2 + cosines**2
    assert set(length.round(decimals=4).unique().tolist()) <= {0.0, 1.0}
    prediction = network(space.encode(batch.images), torch.tensor([500]), given)
    assert prediction.shape == (1, 3, 12, 24, 32)
    assert small("cat3d-tiny").condition(batch, space).priors is None
