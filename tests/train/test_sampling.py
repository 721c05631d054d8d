"""Sampled views, the numbers that judge them, and the pictures."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import small
from runs import small_run

from cameo_train.models import build_latents
from cameo_train.report import attention
from cameo_train.training import loop, perceptual, sampling


@pytest.fixture
def alexnet(monkeypatch, tmp_path):
    """torchvision's AlexNet by its published layers, for torchmetrics; weights in torch's cache."""

    def made(weights=None):
        conv, relu, pool = torch.nn.Conv2d, torch.nn.ReLU, torch.nn.MaxPool2d
        model = torch.nn.Module()
        model.features = torch.nn.Sequential(
            conv(3, 64, 11, 4, 2), relu(), pool(3, 2), conv(64, 192, 5, 1, 2), relu(), pool(3, 2),
            conv(192, 384, 3, 1, 1), relu(), conv(384, 256, 3, 1, 1), relu(),
            conv(256, 256, 3, 1, 1), relu(), pool(3, 2),
        )  # fmt: skip
        if weights is not None:
            path = tmp_path / "checkpoints" / perceptual.BACKBONE
            model.load_state_dict(torch.load(path, weights_only=True))
        return model

    import torchmetrics.functional.image.lpips as lpip

    torchvision = types.ModuleType("torchvision")
    torchvision.models = types.ModuleType("torchvision.models")
    torchvision.models.alexnet = made
    torchvision.models.AlexNet_Weights = types.SimpleNamespace(DEFAULT="default")
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "torchvision.models", torchvision.models)
    monkeypatch.setattr(lpip, "_TORCHVISION_AVAILABLE", True)
    monkeypatch.setattr(
        "torchmetrics.image.lpip._TORCHVISION_AVAILABLE", True, raising=False
    )  # fmt: skip
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    perceptual._metric.cache_clear()
    yield made
    perceptual._metric.cache_clear()


def test_lpips_where_its_weights_are_at_hand(alexnet, tmp_path):
    found, truth = torch.rand(2, 2, 3, 64, 64)
    assert perceptual.lpips(found, truth) is None
    assert perceptual.missing() == (
        f"{tmp_path}/checkpoints/{perceptual.BACKBONE} is not there; "
        f"put {perceptual.BACKBONE_URL} there"
    )
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(5)
    backbone = alexnet()
    torch.save(backbone.state_dict(), tmp_path / "checkpoints" / perceptual.BACKBONE)
    assert perceptual.missing() is None
    state = torch.get_rng_state()
    first = perceptual.lpips(found, truth)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(first, slow_lpips(backbone.features, found, truth))
    assert perceptual.lpips(found, found) == 0
    assert perceptual.lpips(found, truth) == first


def slow_lpips(features, found, truth):
    """Zhang et al. 2018, equation 1, with the published linear weights."""
    import torchmetrics.functional.image.lpips as lpip

    shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])
    x, y = ((2 * i - 1 - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for i in (found, truth))
    path = Path(lpip.__file__).parent / "lpips_models" / "alex.pth"
    linear = torch.load(path, weights_only=True, map_location="cpu")
    total = torch.zeros(len(found))
    for layer, stop in enumerate((2, 5, 8, 10, 12)):
        a, b = (features[:stop](i) for i in (x, y))
        a, b = (i / (i.square().sum(1, keepdim=True).sqrt() + 1e-8) for i in (a, b))
        weight = linear[f"lin{layer}.model.1.weight"][0]
        total += ((a - b).square() * weight).sum(1).mean((1, 2))
    return total.mean().detach()


def test_lpips_is_left_out_in_one_line(monkeypatch):
    broken = types.ModuleType("torchvision")
    broken.__path__ = []
    monkeypatch.setitem(sys.modules, "torchvision", broken)
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    assert "pip install 'cameo-mv[lpips]'" in perceptual.missing()
    assert "\n" not in perceptual.missing()


def slow_ssim(x, y):
    """Window by window, from the definition (Wang et al. 2004, equation 13)."""
    offsets = np.arange(11) - 5
    g = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    g /= g.sum()
    found = []
    for c in range(3):
        for i in range(x.shape[1] - 10):
            for j in range(x.shape[2] - 10):
                a, b = (image[c, i : i + 11, j : j + 11] for image in (x, y))
                ma, mb = (g * a).sum(), (g * b).sum()
                va, vb = (g * (a - ma) ** 2).sum(), (g * (b - mb) ** 2).sum()
                cov = (g * (a - ma) * (b - mb)).sum()
                top = (2 * ma * mb + 0.01**2) * (2 * cov + 0.03**2)
                found.append(top / ((ma**2 + mb**2 + 0.01**2) * (va + vb + 0.03**2)))
    return np.mean(found)


def test_ssim_and_psnr_equal_their_definitions():
    rng = np.random.default_rng(0)
    x = rng.random((2, 3, 13, 15))
    y = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)
    found = sampling.ssim(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(found, [slow_ssim(*pair) for pair in zip(x, y, strict=True)], 1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sampling.ssim(torch.from_numpy(x), torch.from_numpy(y)), found)
    noise = sampling.psnr(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(noise, -10 * np.log10(((x - y) ** 2).mean((1, 2, 3))), 1e-5)
    same = torch.from_numpy(x)
    assert torch.equal(sampling.ssim(same, same), torch.ones(2))
    assert torch.isinf(sampling.psnr(same, same)).all()
    with pytest.raises(ValueError, match="needs 11 px a side, images are 8×15"):
        sampling.ssim(same[..., :8, :], same[..., :8, :])


class Oracle(torch.nn.Module):
    """Predicts v as if it knew the clean latents, when it sees the cameras; else for zeros."""

    def __init__(self, preset, truth):
        super().__init__()
        self.preset, self.truth = preset, truth
        self.alphas = sampling.ddim(preset).alphas_cumprod

    def forward(self, noisy, timestep, given):
        alpha = self.alphas[timestep].view(-1, 1, 1, 1, 1)
        clean = self.truth if given.rays.any() else torch.zeros_like(self.truth)
        # x = √α·clean + √(1 − α)·ε and v = √α·ε − √(1 − α)·clean
        noise = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean


@pytest.mark.parametrize("guidance, times", [(1.0, 1.0), (3.0, 3.0)])
def test_an_oracle_samples_the_truth_and_guidance_leads_away_from_no_cameras(guidance, times):
    """Oracles are linear in what they know: guided by g, the sample is g times the truth."""
    model = small("cat3d-tiny")
    _, _, given = model.example(2, 3, (4, 4))
    truth = torch.randn(2, 3, model.latent_channels, 4, 4)
    oracle = Oracle(model.preset, truth)
    found = sampling.sample_latents(oracle, truth, given, steps=10, guidance=guidance, rescale=0)
    reference = given.reference
    assert torch.equal(found[reference], truth[reference])
    torch.testing.assert_close(found[~reference], times * truth[~reference], rtol=1e-3, atol=1e-3)


def test_samples_repeat_and_keep_the_references(tiny_build, tmp_path, small):
    config = small_run(tiny_build[0], tmp_path, references=(1, 1))
    model = loop.untrained(config).model.train()
    space = build_latents(model.preset.latents)
    (batch,) = sampling.fixed_batches(config.model_copy(update={"sample_groups": 3}))
    one, other = (sampling.sample(model, batch, space, steps=2) for _ in range(2))
    assert model.training
    assert torch.equal(one, other)
    assert torch.equal(one[:, 0], batch.images[:, 0])
    assert one.abs().max() <= 1
    assert sampling.quality(batch.images, batch).ssim == 1
    assert sampling.quality(one, batch).psnr < 30
    picture = sampling.picture(one, batch)
    # 48×64 is drawn twice as large, in two rows a sample
    assert picture.shape == (4 * (96 + 22), 3 * (128 + 6), 3)
    np.testing.assert_array_equal(
        picture[16 : 16 + 96 : 2, :128:2], sampling.rgb(batch.images[0, 0])
    )


def test_pictures_of_a_run(tiny_build, tmp_path, small):
    out = tmp_path / "run"
    config = small_run(tiny_build[0], out, steps=2, sample_every=2, ema=0.5, sample_groups=3)
    result = loop.fit(config)
    assert (out / "samples" / "step-0000002.png").read_bytes().startswith(b"\x89PNG")
    assert {"psnr", "ssim"} <= result.last.keys()
    path = attention.before_and_after(config, result.checkpoint)
    assert path.read_bytes().startswith(b"\x89PNG")
    plan = attention.plain_plan(config, (6, 8))
    batch = next(attention.batches(config.shards, plan, batch=1, seed=0))
    queries = attention.choose(batch.targets)
    assert 0 < len(queries) <= attention.QUERIES
    for query in queries:
        assert query.matches[query.view] == -1
        for view, match in enumerate(query.matches):
            weight = batch.targets.weight[0, query.view, view, query.token].sum()
            assert (match >= 0) == bool(weight > 0)
    space = build_latents("patch:4")
    maps = attention.attention(loop.untrained(config), batch, space, queries)
    assert maps.shape == (len(queries), 3, 6, 8)
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(len(queries), 3))


@pytest.mark.parametrize("withheld, guidance", [(0.0, 1.0), (0.1, sampling.GUIDANCE)])
def test_a_run_that_never_withheld_cameras_is_sampled_without_guidance(
    withheld, guidance, tiny_build, tmp_path, monkeypatch, small
):
    given = []

    def sample(model, batch, space, **options):
        given.append(options["guidance"])
        return batch.images

    monkeypatch.setattr(sampling, "sample", sample)
    config = small_run(tiny_build[0], tmp_path, camera_dropout=withheld, sample_groups=2)
    sampling.sample_and_compare(config, None, None, "cpu", tmp_path / "x.png")
    assert given == [guidance]
