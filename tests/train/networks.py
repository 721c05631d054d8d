"""Random instances of the real network classes, small enough for a test."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cameo_train import models
from cameo_train.models.hunyuan import HunyuanArguments
from cameo_train.models.unet import UNetArguments

# one head dimension of 8: the smallest that all fused kernels take
UNET = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "attention_head_dim": (2, 4),
    "norm_num_groups": 8,
    "cross_attention_dim": 8,
    "use_linear_projection": True,
}
# blocks as in Stable Diffusion 2.1: 16 self-attention layers
SD_BLOCKS = {
    "block_out_channels": (8, 8, 16, 16),
    "layers_per_block": 2,
    "attention_head_dim": (1, 1, 2, 2),
    "norm_num_groups": 4,
    "cross_attention_dim": 8,
    "use_linear_projection": True,
}
DIT = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "hidden_size": 16,
    "num_layers": 4,
    "mlp_ratio": 2.0,
    "patch_size": 2,
    "sample_size": 8,
    "learn_sigma": False,
    "cross_attention_dim": 8,
    "cross_attention_dim_t5": 8,
    "pooled_projection_dim": 8,
    "text_len": 2,
    "text_len_t5": 2,
    "use_style_cond_and_image_meta_size": False,
}
UNET_ARGUMENTS = UNetArguments(**UNET)
SD_ARGUMENTS = UNetArguments(**SD_BLOCKS)
DIT_ARGUMENTS = HunyuanArguments(**DIT)
NAMES = ("cat3d-tiny", "mvgenmaster-tiny", "hunyuan-dit-tiny")


def small(name: str, seed: int = 0, **changes: Any) -> models.MultiViewModel:
    """A preset with a backbone of a few thousand weights, on 2×2 patches."""
    torch.manual_seed(seed)
    backbone = DIT_ARGUMENTS if name.startswith("hunyuan") else UNET_ARGUMENTS
    changes = {"backbone": backbone, "latents": "patch:2", "layer": "", **changes}
    return models.build(name, **changes).eval()


class Products(TorchDispatchMode):
    """Queries and keys of every fused attention kernel, seen below autograd and autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.unfused = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "scaled_dot_product" in func.name() and "backward" not in func.name():
            self.seen.append((args[0], args[1]))
        self.unfused += "softmax" in func.name()
        return func(*args, **(kwargs or {}))
