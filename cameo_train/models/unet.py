"""Multi-view models of Stable Diffusion's UNet: ``cat3d`` and ``mvgenmaster``."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from cameo_train.models.joint import JointViews
from cameo_train.models.loading import adopt, pretrained
from cameo_train.models.multiview import MultiViewModel
from cameo_train.models.presets import Preset
from cameo_train.taps.adapters import DiffusersUNet

TEXT_LAYERS = r"\.transformer_blocks\.\d+\.(attn2|norm2)\."


class MultiViewUNet(MultiViewModel):
    """``UNet2DConditionModel`` over several views.

    Rays, reference mask and priors are further channels of the first convolution. Attention joins
    the views in all but the ``per_view_levels`` finest levels.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.backbone = UNet2DConditionModel(
            **{**preset.backbone, "in_channels": self.in_channels},
            out_channels=self.latent_channels,
        )
        if preset.text == "null":
            self.null_text = nn.Parameter(
                torch.zeros(1, 1, int(preset.backbone["cross_attention_dim"]))
            )
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
