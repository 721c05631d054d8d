"""Patches as features: their cosine similarity is the normalised cross-correlation (NCC)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad, unfold

from cameo_data import UsageError
from cameo_train.matchers.argument import Argument


class Patches:
    """A patch around the middle of each cell, all colours, without its mean."""

    def __init__(self, name: str, side: int, stride: int) -> None:
        self.name, self.side, self.stride = name, side, stride

    def descriptors(self, images: Tensor) -> Tensor:
        """(B, 3·side², h, w) of images (B, 3, H, W) in [−1, 1]."""
        height, width = images.shape[-2:]
        if height % self.stride or width % self.stride:
            raise UsageError(
                f"{self.name}: images are {height}×{width} (h×w); expected multiples of the "
                f"stride {self.stride}; give another, as in patches:@stride=8"
            )
        margin = (self.side - self.stride) // 2
        patches = unfold(pad(images, [margin] * 4, "replicate"), self.side, stride=self.stride)
        centred = normalize(patches - patches.mean(1, keepdim=True), dim=1)
        return centred.unflatten(-1, (height // self.stride, width // self.stride))


def load(argument: str | None, device: torch.device) -> Patches:
    """Of ``patches:@side=16@stride=8``; the images come on the device already."""
    read = Argument("patches", argument)
    stride = read.option("stride", 8, low=1)
    side = read.option("side", 2 * stride, low=stride)
    read.close()
    if (side - stride) % 2:
        raise UsageError(f"{read.name}: side − stride is odd; expected an even difference")
    return Patches(read.name, side, stride)
