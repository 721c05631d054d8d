"""What a run can name: architecture, size, space it works in, noise, supervised layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cameo_data.errors import UsageError
from cameo_data.suggestions import nearest

Architecture = Literal["unet", "hunyuan-dit"]
Text = Literal["removed", "null"]


@dataclass(frozen=True)
class Preset:
    """A model without its weights.

    Attributes:
        backbone: arguments of the diffusers class, without the numbers of channels that go in and
            out; these follow from ``latents`` and the conditioning.
        latents: ``pixel``, ``patch:P`` (P×P pixels become channels of one cell; lossless) or
            ``vae``.
        image_hw: size that the model is meant for; others work.
        layer: attention layer that is supervised where the run names none.
        text: cross-attention to text is ``removed``, or gets a ``null`` text: a learned token in
            the UNet, HunyuanDiT's own padding tokens there.
        per_view_levels: so many of the UNet's finest levels keep attention within each view.
        qk_norm: layer norm of queries and keys in the UNet, as the official configuration adds.
        prior_octaves: octaves of the encoded canonical coordinates; None for no 3-D priors.
        snr_shift, zero_terminal_snr: of the noise schedule, see ``schedule``.
        out_of: for one prediction channel so many come out of the network; HunyuanDiT's released
            weights also predict a variance, which is dropped.
    """

    name: str
    architecture: Architecture
    backbone: Mapping[str, Any] = field(repr=False)
    latents: str
    image_hw: tuple[int, int]
    layer: str
    text: Text = "removed"
    per_view_levels: int = 0
    qk_norm: bool = False
    prior_octaves: int | None = None
    snr_shift: float = 4.0
    zero_terminal_snr: bool = True
    out_of: int = 1


# Two resolutions, 7 attention layers, 2.6 million weights; 64×64 px become 16×16 and 8×8 tokens.
_TINY_UNET = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "block_out_channels": (64, 96),
    "layers_per_block": 1,
    "attention_head_dim": (4, 4),
    "norm_num_groups": 16,
    "cross_attention_dim": 32,
    "use_linear_projection": True,
}

# unet/config.json of stabilityai/stable-diffusion-2-1; what is not given here is diffusers' default
_SD21 = {
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}

_TINY_DIT = {
    "num_attention_heads": 3,
    "attention_head_dim": 32,
    "hidden_size": 96,
    "num_layers": 6,
    "mlp_ratio": 4.0,
    "patch_size": 1,
    "sample_size": 16,
    "learn_sigma": False,
    "cross_attention_dim": 32,
    "cross_attention_dim_t5": 32,
    "pooled_projection_dim": 32,
    "text_len": 1,
    "text_len_t5": 1,
    "use_style_cond_and_image_meta_size": False,
}

# transformer/config.json of Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers
_HUNYUAN_12 = {
    "num_attention_heads": 16,
    "attention_head_dim": 88,
    "hidden_size": 1408,
    "num_layers": 40,
    "mlp_ratio": 4.3637,
    "patch_size": 2,
    "sample_size": 128,
    "learn_sigma": True,
    "cross_attention_dim": 1024,
    "cross_attention_dim_t5": 2048,
    "pooled_projection_dim": 1024,
    "text_len": 77,
    "text_len_t5": 256,
    "use_style_cond_and_image_meta_size": False,
}

_CAT3D_TINY = Preset(
    "cat3d-tiny", "unet", _TINY_UNET, "patch:4", (64, 64), "up_blocks.1.attentions.0"
)
_CAT3D_SD21 = Preset(
    "cat3d-sd21", "unet", _SD21, "vae", (512, 512), "up_blocks.2.attentions.0",
    per_view_levels=1, qk_norm=True,
)  # fmt: skip

_HUNYUAN_TINY = Preset(
    "hunyuan-dit-tiny", "hunyuan-dit", _TINY_DIT, "patch:4", (64, 64), "blocks.3"
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _CAT3D_TINY,
        _CAT3D_SD21,
        # as large, for where there are no weights: the VAE's cells hold 4 channels, these 192
        replace(_CAT3D_SD21, name="cat3d-sd21-patch", latents="patch:8", image_hw=(256, 256)),
        replace(_CAT3D_TINY, name="mvgenmaster-tiny", prior_octaves=4),
        replace(_CAT3D_SD21, name="mvgenmaster-sd21", prior_octaves=8),
        _HUNYUAN_TINY,
        # every pixel a token: 16 times the tokens of the one above
        replace(_HUNYUAN_TINY, name="hunyuan-dit-tiny-pixel", latents="pixel", image_hw=(32, 32)),
        Preset(
            "hunyuan-dit", "hunyuan-dit", _HUNYUAN_12, "vae", (512, 512), "blocks.24",
            text="null", out_of=2,
        ),
    )
}  # fmt: skip


def preset(name: str | Preset, **changes: Any) -> Preset:
    """A preset by name, with some of its fields changed.

    Raises:
        UsageError: no such preset; the nearest names are given.
    """
    if isinstance(name, str):
        if name not in PRESETS:
            near = nearest(name, PRESETS) or list(PRESETS)
            raise UsageError(f"there is no model {name!r}; nearest: {', '.join(near)}")
        name = PRESETS[name]
    return replace(name, **changes)
