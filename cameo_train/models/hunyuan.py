"""HunyuanDiT over several views: ``hunyuan-dit``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from diffusers import HunyuanDiT2DModel
from diffusers.models.embeddings import get_2d_rotary_pos_embed
from torch import Tensor, nn

from cameo_train.models.architecture import Architecture
from cameo_train.models.joint import JointViews
from cameo_train.models.latents import check_divisible
from cameo_train.models.loading import adopt, pretrained
from cameo_train.models.model_preset import Preset, Text
from cameo_train.models.multiview import MultiViewModel

# HunyuanDiT's positions are those of a 512-pixel image: 32×32 tokens of 16 pixels
# (diffusers pipeline_hunyuandit, base_size).
BASE_TOKENS = 32
TEXT_LAYERS = r"^blocks\.\d+\.(attn2|norm2)\."


@dataclass(frozen=True, kw_only=True)
class HunyuanArguments:
    """Arguments of ``HunyuanDiT2DModel``, except the numbers of input and output channels."""

    num_attention_heads: int
    attention_head_dim: int
    hidden_size: int
    num_layers: int
    mlp_ratio: float
    patch_size: int
    sample_size: int
    learn_sigma: bool
    cross_attention_dim: int
    cross_attention_dim_t5: int
    pooled_projection_dim: int
    text_len: int
    text_len_t5: int
    use_style_cond_and_image_meta_size: bool = False


@dataclass(frozen=True, kw_only=True)
class HunyuanPreset(Preset):
    """A HunyuanDiT without its weights.

    Attributes:
        text: ``removed`` for no cross-attention to text, ``null`` for HunyuanDiT's own padding
            tokens as the text.
        out_of: network output channels per channel of the prediction; the released weights also
            predict a variance, which is dropped.
    """

    architecture: str = "hunyuan-dit"
    backbone: HunyuanArguments
    text: Text = "removed"
    out_of: int = 1


class NoText(nn.Module):
    """Replaces cross-attention and adds nothing."""

    def forward(self, hidden_states: Tensor, **_: object) -> Tensor:
        return torch.zeros_like(hidden_states)


class MultiViewHunyuanDiT(MultiViewModel):
    """``HunyuanDiT2DModel`` whose blocks attend over the tokens of all views.

    Each view has the same two-dimensional rotary positions; rays tell the views apart.
    """

    preset: HunyuanPreset

    def __init__(self, preset: HunyuanPreset) -> None:
        super().__init__(preset)
        self.backbone = HunyuanDiT2DModel(**asdict(preset.backbone), in_channels=self.in_channels)
        width, patch = preset.backbone.hidden_size, preset.backbone.patch_size
        # The class derives the number of output channels from the number of input channels.
        self.backbone.out_channels = preset.out_of * self.latent_channels
        self.backbone.proj_out = nn.Linear(width, patch * patch * self.backbone.out_channels)
        self.patch = patch
        for block in self.backbone.blocks:
            block.attn1.set_processor(JointViews(block.attn1.processor, self.view_shape))
            if preset.text == "removed":
                block.attn2, block.norm2 = NoText(), nn.Identity()
        if preset.text == "removed":
            self.backbone.text_embedder.requires_grad_(False)
            self.backbone.text_embedding_padding.requires_grad_(False)

    def predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        hw = (x.shape[-2], x.shape[-1])
        check_divisible(hw, self.patch)
        config = self.preset.backbone
        text = x.new_zeros(len(x), config.text_len, config.cross_attention_dim)
        text_t5 = x.new_zeros(len(x), config.text_len_t5, config.cross_attention_dim_t5)
        out: Tensor = self.backbone(
            x,
            timestep.to(x.dtype),  # its dtype becomes the embedding's
            encoder_hidden_states=text,
            text_embedding_mask=x.new_zeros(text.shape[:2]),
            encoder_hidden_states_t5=text_t5,
            text_embedding_mask_t5=x.new_zeros(text_t5.shape[:2]),
            image_rotary_emb=self._rotary((hw[0] // self.patch, hw[1] // self.patch), x.device),
            return_dict=False,
            **self._image_size(x),
        )[0]
        return out

    def _rotary(self, grid_hw: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
        """(K, head dim) cosines and sines over a square of ``BASE_TOKENS``, as in pretraining."""
        longer = max(grid_hw)
        size = [round(BASE_TOKENS * n / longer) for n in grid_hw]
        start = [round((BASE_TOKENS - n) / 2) for n in size]
        stop = [a + n for a, n in zip(start, size, strict=True)]
        found: tuple[Tensor, Tensor] = get_2d_rotary_pos_embed(
            self.preset.backbone.attention_head_dim, (start, stop), grid_hw, device=device
        )
        return found

    def _image_size(self, x: Tensor) -> dict[str, Tensor]:
        """Original size, target size and crop, and style 0, for releases up to 1.1."""
        if not self.preset.backbone.use_style_cond_and_image_meta_size:
            return {}
        height, width = x.shape[-2] * self.factor, x.shape[-1] * self.factor
        sizes = x.new_tensor([height, width, height, width, 0, 0]).repeat(len(x), 1)
        style = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return {"image_meta_size": sizes, "style": style}

    def checkpointed(self) -> list[nn.Module]:
        return list(self.backbone.blocks)

    def load(self, weights: str | Path) -> None:
        state = pretrained(HunyuanDiT2DModel, weights, "transformer").state_dict()
        adopt(
            self.backbone,
            state,
            widened="pos_embed.proj.weight",
            removed=TEXT_LAYERS if self.preset.text == "removed" else None,
        )


_TINY = HunyuanPreset(
    name="hunyuan-dit-tiny",
    backbone=HunyuanArguments(
        num_attention_heads=3,
        attention_head_dim=32,
        hidden_size=96,
        num_layers=6,
        mlp_ratio=4.0,
        patch_size=1,
        sample_size=16,
        learn_sigma=False,
        cross_attention_dim=32,
        cross_attention_dim_t5=32,
        pooled_projection_dim=32,
        text_len=1,
        text_len_t5=1,
    ),
    latents="patch:4",
    image_hw=(64, 64),
    layer="blocks.3",
)
_RELEASED = HunyuanPreset(
    name="hunyuan-dit",
    # transformer/config.json of Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers
    backbone=HunyuanArguments(
        num_attention_heads=16,
        attention_head_dim=88,
        hidden_size=1408,
        num_layers=40,
        mlp_ratio=4.3637,
        patch_size=2,
        sample_size=128,
        learn_sigma=True,
        cross_attention_dim=1024,
        cross_attention_dim_t5=2048,
        pooled_projection_dim=1024,
        text_len=77,
        text_len_t5=256,
    ),
    latents="vae",
    image_hw=(512, 512),
    layer="blocks.24",
    text="null",
    out_of=2,
)

ARCHITECTURE = Architecture(
    "hunyuan-dit",
    MultiViewHunyuanDiT,
    (
        _TINY,
        # Every pixel is a token, which makes 16 times as many tokens as in the preset above.
        replace(_TINY, name="hunyuan-dit-tiny-pixel", latents="pixel", image_hw=(32, 32)),
        _RELEASED,
    ),
    compared=("hunyuan-dit-tiny",),
)
