"""VGGT (Wang et al. 2025), if its package is installed: tokens of its aggregator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cameo_train.matchers.argument import Argument
from cameo_train.matchers.dino import chosen
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.images import WholeCells, check_images
from cameo_train.matchers.loading import no_weights, unusable


class VggtFeatures:
    """Patch tokens of one layer of the aggregator, with each image as a separate scene.

    VGGT is made for several views of a scene at once; here its tokens are features of one image,
    and its global attention stays within it. A token is the concatenation of the layer's tokens
    after attention within the frame and after global attention.

    Args:
        aggregator: ``VGGT().aggregator``; takes images in [0, 1].
        layer: pair of a frame and a global block, counted from 0; negative numbers count from the
            last.
    """

    def __init__(self, aggregator: Any, name: str, *, layer: int = -1) -> None:
        self.aggregator, self.name = aggregator, name
        self.layer = chosen(layer, int(aggregator.depth), name, "layers")
        self.patch = int(aggregator.patch_size)
        self.whole = WholeCells(name, self.patch)

    @torch.no_grad()
    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, h, w) patch features; images are resized to the nearest multiple of a patch."""
        check_images(images, self.name)
        images = self.whole(images.float())
        h, w = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        layers, start = self.aggregator((images[:, None] + 1) / 2)[:2]
        tokens: Tensor = layers[self.layer][:, 0, start:]
        return tokens.transpose(1, 2).reshape(len(tokens), -1, h, w)


def load(argument: str | None, device: torch.device) -> VggtFeatures:
    """``vggt:WEIGHTS[@layer=N]``.

    Raises:
        MissingWeights: the package is not installed, or the weights are missing.
        UsageError: an unknown option, or a layer that the model does not have.
    """
    read = Argument("vggt", argument)
    layer = read.option("layer", -1)
    read.close()
    try:
        from vggt.models.vggt import VGGT
    except ImportError as error:
        raise MissingWeights(
            f"vggt cannot be loaded ({error}); install github.com/facebookresearch/vggt"
        ) from None
    if read.main is None:
        raise no_weights("vggt", "facebook/VGGT-1B (not for commercial use)")
    try:
        model = VGGT.from_pretrained(read.main, strict=True)
    except Exception as error:  # OSError, RuntimeError, safetensors' and the hub's own kinds
        raise unusable("vggt", read.main, error) from None
    aggregator = model.aggregator.float().eval().requires_grad_(False).to(device)
    return VggtFeatures(aggregator, read.name, layer=layer)
