"""Multi-view models of Stable Diffusion's UNet: ``cat3d`` and ``mvgenmaster``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from cameo_train.models.architecture import Architecture
from cameo_train.models.joint import JointViews
from cameo_train.models.loading import adopt, pretrained
from cameo_train.models.model_preset import Preset, Text
from cameo_train.models.multiview import MultiViewModel
from cameo_train.taps.adapters import DiffusersUNet

TEXT_LAYERS = r"\.transformer_blocks\.\d+\.(attn2|norm2)\."


@dataclass(frozen=True, kw_only=True)
class UNetArguments:
    """Arguments of ``UNet2DConditionModel``; the defaults are Stable Diffusion 2's.

    The numbers of input and output channels are not fields: they follow from ``Preset.latents`` and
    the conditioning.
    """

    block_out_channels: tuple[int, ...]
    attention_head_dim: tuple[int, ...]
    cross_attention_dim: int
    layers_per_block: int = 2
    down_block_types: tuple[str, ...] = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    up_block_types: tuple[str, ...] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    norm_num_groups: int = 32
    use_linear_projection: bool = True


@dataclass(frozen=True, kw_only=True)
class UNetPreset(Preset):
    """A UNet without its weights.

    Attributes:
        text: ``removed`` for no cross-attention to text, ``null`` for a learned token as the text.
        per_view_levels: number of the finest levels that keep attention within each view.
        qk_norm: layer norm of queries and keys, which the official configuration adds.
    """

    architecture: str = "unet"
    backbone: UNetArguments
    text: Text = "removed"
    per_view_levels: int = 0
    qk_norm: bool = False


class MultiViewUNet(MultiViewModel):
    """``UNet2DConditionModel`` over several views.

    Rays, reference mask and priors are additional channels of the first convolution. Attention
    joins the views in all but the ``per_view_levels`` finest levels.
    """

    preset: UNetPreset

    def __init__(self, preset: UNetPreset) -> None:
        super().__init__(preset)
        self.backbone = UNet2DConditionModel(
            **asdict(preset.backbone),
            in_channels=self.in_channels,
            out_channels=self.latent_channels,
        )
        if preset.text == "null":
            self.null_text = nn.Parameter(torch.zeros(1, 1, preset.backbone.cross_attention_dim))
        for block in self._transformers():
            if preset.text == "removed":
                block.attn2 = block.norm2 = None
        for name, layer in self.backbone.named_modules():
            if isinstance(layer, Attention) and not layer.is_cross_attention:
                self._join(name, layer)

    def _transformers(self) -> list[BasicTransformerBlock]:
        return [m for m in self.backbone.modules() if isinstance(m, BasicTransformerBlock)]

    def _join(self, name: str, layer: Attention) -> None:
        if self.preset.qk_norm:
            size = layer.inner_dim // layer.heads
            layer.norm_q, layer.norm_k = nn.LayerNorm(size), nn.LayerNorm(size)
        if DiffusersUNet().level(self.backbone, name) >= self.preset.per_view_levels:
            layer.set_processor(JointViews(AttnProcessor2_0(), self.view_shape))

    def predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        text = None
        if self.preset.text == "null":
            text = self.null_text.to(x.dtype).expand(len(x), -1, -1)
        out: Tensor = self.backbone(x, timestep, text, return_dict=False)[0]
        return out

    def checkpointed(self) -> list[nn.Module]:
        blocks = [*self.backbone.down_blocks, self.backbone.mid_block, *self.backbone.up_blocks]
        return [m for block in blocks for m in (*block.resnets, *getattr(block, "attentions", ()))]

    def load(self, weights: str | Path) -> None:
        state = pretrained(UNet2DConditionModel, weights, "unet").state_dict()
        adopt(
            self.backbone,
            state,
            widened="conv_in.weight",
            added=r"\.attn1\.norm_[qk]\." if self.preset.qk_norm else None,
            removed=TEXT_LAYERS if self.preset.text == "removed" else None,
        )


# Two resolutions, 7 attention layers, 2.6 million weights; 64×64 px become 16×16 and 8×8 tokens.
_CAT3D_TINY = UNetPreset(
    name="cat3d-tiny",
    backbone=UNetArguments(
        block_out_channels=(64, 96),
        attention_head_dim=(4, 4),
        cross_attention_dim=32,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        norm_num_groups=16,
    ),
    latents="patch:4",
    image_hw=(64, 64),
    layer="up_blocks.1.attentions.0",
)
_CAT3D_SD21 = UNetPreset(
    name="cat3d-sd21",
    # unet/config.json of stabilityai/stable-diffusion-2-1
    backbone=UNetArguments(
        block_out_channels=(320, 640, 1280, 1280),
        attention_head_dim=(5, 10, 20, 20),
        cross_attention_dim=1024,
    ),
    latents="vae",
    image_hw=(512, 512),
    layer="up_blocks.2.attentions.0",
    per_view_levels=1,
    qk_norm=True,
)

ARCHITECTURE = Architecture(
    "unet",
    MultiViewUNet,
    (
        _CAT3D_TINY,
        _CAT3D_SD21,
        # A network of the same size for use without weights: these cells have 192 channels, the
        # VAE's 4.
        replace(_CAT3D_SD21, name="cat3d-sd21-patch", latents="patch:8", image_hw=(256, 256)),
        replace(_CAT3D_TINY, name="mvgenmaster-tiny", prior_octaves=4),
        replace(_CAT3D_SD21, name="mvgenmaster-sd21", prior_octaves=8),
    ),
    compared=("cat3d-tiny", "mvgenmaster-tiny"),
)
