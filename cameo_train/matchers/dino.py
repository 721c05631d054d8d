"""DINOv2 (Oquab et al. 2024) and DINOv3 (Siméoni et al. 2025) through transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cameo_data.errors import UsageError, needs
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.feature_model import MissingWeights
from cameo_train.matchers.images import WholeCells, check_images
from cameo_train.matchers.loading import no_weights, pretrained, unusable

# kind -> model_type of its configurations -> class
MODELS = {
    "dinov2": {
        "dinov2": "Dinov2Model",
        "dinov2_with_registers": "Dinov2WithRegistersModel",
    },
    "dinov3": {"dinov3_vit": "DINOv3ViTModel", "dinov3_convnext": "DINOv3ConvNextModel"},
}
EXAMPLES = {
    "dinov2": "facebook/dinov2-base",
    "dinov3": "facebook/dinov3-vitb16-pretrain-lvd1689m (behind a licence form)",
}
# ImageNet's values. All models were trained with them except the satellite models, whose
# preprocessor_config.json states their own.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoVit:
    """Patch tokens of one block of a vision transformer; class and register tokens are dropped.

    Args:
        model: transformers' Dinov2Model, Dinov2WithRegistersModel or DINOv3ViTModel.
        layer: block, counted from 0; negative numbers count from the last.
        norm: whether to apply the model's final layer norm, as its authors do for any block;
            Probe3D does not.
        class_token: whether to append the class token to every patch token, as Probe3D does for
            DINOv2.
        mean, std: mean and standard deviation of RGB in [0, 1].
    """

    def __init__(
        self,
        model: Any,
        name: str,
        *,
        layer: int = -1,
        norm: bool = True,
        class_token: bool = False,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ) -> None:
        self.model, self.name = model, name
        self.layer = chosen(layer, model.config.num_hidden_layers, name, "blocks")
        self.norm = (model.norm if hasattr(model, "norm") else model.layernorm) if norm else None
        self.class_token = class_token
        patch = model.config.patch_size
        self.patch = int(patch if isinstance(patch, int) else patch[0])
        self.whole = WholeCells(name, self.patch)
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))

    @torch.no_grad()
    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, h, w) patch features; images are resized to the nearest multiple of a patch."""
        check_images(images, self.name)
        images = self.whole(images.float())
        h, w = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        pixels = ((images + 1) / 2 - self.mean.to(images)) / self.std.to(images)
        # [0] is the input of the first block.
        tokens: Tensor = self.model(pixels, output_hidden_states=True).hidden_states[self.layer + 1]
        if self.norm is not None:
            tokens = self.norm(tokens)
        maps = tokens[:, -h * w :].transpose(1, 2).reshape(len(tokens), -1, h, w)
        if self.class_token:
            first = tokens[:, 0, :, None, None].expand(-1, -1, h, w)
            maps = torch.cat([maps, first], 1)
        return maps.contiguous()


class DinoConvNext:
    """The map after one stage of a ConvNeXt; the stages have 4, 8, 16 and 32 pixels per cell.

    Args:
        model: transformers' DINOv3ConvNextModel.
        layer: stage, counted from 0; negative numbers count from the last.
        norm: whether to apply the final layer norm; it exists for the last stage only.
        mean, std: mean and standard deviation of RGB in [0, 1].
    """

    def __init__(
        self,
        model: Any,
        name: str,
        *,
        layer: int = -1,
        norm: bool = True,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ) -> None:
        stages = len(model.config.depths)
        self.model, self.name = model, name
        self.layer = chosen(layer, stages, name, "stages")
        self.norm = model.layer_norm if norm and self.layer == stages - 1 else None
        self.whole = WholeCells(name, 4 * 2 ** (stages - 1))
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))

    @torch.no_grad()
    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, h, w) features; images are resized to the nearest multiple of the last stage's
        cell."""
        check_images(images, self.name)
        images = self.whole(images.float())
        pixels = ((images + 1) / 2 - self.mean.to(images)) / self.std.to(images)
        maps: Tensor = self.model(pixels, output_hidden_states=True).hidden_states[self.layer + 1]
        if self.norm is not None:
            maps = self.norm(maps.movedim(1, -1)).movedim(-1, 1)
        return maps.contiguous()


def load(kind: str, argument: str | None, device: torch.device) -> DinoVit | DinoConvNext:
    """``dinov2`` or ``dinov3``, ``:WEIGHTS[@layer=N][@norm=yes|no][@class=no|yes]``.

    Raises:
        MissingWeights: the weights are missing or belong to another kind of model.
        UsageError: an unknown option, or a layer that the model does not have.
    """
    read = Argument(kind, argument)
    layer = read.option("layer", -1)
    norm = read.option("norm", True)
    class_token = read.option("class", False)
    read.close()
    if read.main is None:
        raise no_weights(kind, EXAMPLES[kind])
    cls = model_class(kind, read.main)
    model = pretrained(cls, read.main, kind).to(device)
    mean, std = normalisation(read.main)
    if model.config.model_type == "dinov3_convnext":
        if class_token:
            raise UsageError(f"{read.name}: a ConvNeXt has no class token; leave class out")
        return DinoConvNext(model, read.name, layer=layer, norm=norm, mean=mean, std=std)
    return DinoVit(
        model, read.name, layer=layer, norm=norm, class_token=class_token, mean=mean, std=std
    )


def model_class(kind: str, weights: str) -> Any:
    """The transformers class that the configuration of a folder or hub id names."""
    try:
        import transformers

        found = transformers.AutoConfig.from_pretrained(weights).model_type
    except ImportError:
        raise MissingWeights(needs(kind, "transformers")) from None
    except Exception as error:  # OSError, ValueError, the hub's own kinds
        raise unusable(kind, weights, error) from None
    if found not in MODELS[kind]:
        raise MissingWeights(
            f"{kind}: {weights} is a {found} model; expected {' or '.join(MODELS[kind])}, such as "
            f"{EXAMPLES[kind]}"
        )
    return getattr(transformers, MODELS[kind][found])


def normalisation(weights: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB in ``preprocessor_config.json``, else ImageNet's."""
    from transformers.utils import cached_file

    path = cached_file(
        weights,
        "preprocessor_config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    if path is None:
        return MEAN, STD
    values = json.loads(Path(path).read_text("utf-8"))
    return tuple(values.get("image_mean", MEAN)), tuple(values.get("image_std", STD))


def chosen(layer: int, layers: int, name: str, what: str) -> int:
    """A layer's index from 0.

    Raises:
        UsageError: the model has no such layer.
    """
    if not -layers <= layer < layers:
        raise UsageError(f"{name}: layer is {layer}; the model has {what} 0 to {layers - 1}")
    return layer % layers
