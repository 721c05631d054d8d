"""LPIPS of images, where its weights are at hand; nothing is ever downloaded.

The metric is torchmetrics', of the AlexNet that Zhang et al. 2018 recommend for comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cameo_data.errors import install
from cameo_data.io.parsing import one_line

# torchvision's AlexNet_Weights.DEFAULT
BACKBONE = "alexnet-owt-7be5be79.pth"
BACKBONE_URL = f"https://download.pytorch.org/models/{BACKBONE}"


def missing() -> str | None:
    """Why there is no LPIPS here, and what to do; None where there is."""
    try:
        _metric_class()
    except Exception as error:  # a torchvision of another torch's build fails with any of several
        return (
            f"torchmetrics and torchvision do not load ({one_line(error)}); "
            f"{install('torchvision')}"
        )
    path = Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE
    if not path.is_file():
        return f"{path} is not there; put {BACKBONE_URL} there"
    return None


def lpips(found: Tensor, truth: Tensor) -> Tensor | None:
    """Mean over images (N, 3, H, W) in [0, 1], 0 where they are equal; None where ``missing``."""
    if missing() is not None:
        return None
    metric = _metric().to(found.device)
    with torch.autocast(found.device.type, enabled=False):
        distance: Tensor = metric(found.float().clamp(0, 1), truth.float().clamp(0, 1))
    metric.reset()
    return distance


@cache
def _metric() -> Any:
    state = torch.random.get_rng_state()  # it is filled with random weights before it is loaded
    made: nn.Module = _metric_class()(net_type="alex", normalize=True)
    torch.random.set_rng_state(state)
    return made


def _metric_class() -> Callable[..., nn.Module]:
    import torchvision.models  # noqa: F401 — only this tells whether it was built for this torch
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    made: Callable[..., nn.Module] = LearnedPerceptualImagePatchSimilarity
    return made
