"""Networks that predict depth: those of ``transformers``, and VGGT where it is installed.

Weights are safetensors or load with ``weights_only``; no code of a model's repository is run.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import needs
from cameo_data.io.parsing import one_line

# Architectures whose output is depth itself, whatever its scale; the others' is inverse depth.
DEPTH_OUTPUT = ("zoedepth", "depth_pro", "glpn", "prompt_depth_anything")
# VGGT works on images of this width whose sides are multiples of its patches (its
# ``load_and_preprocess_images``).
VGGT_WIDTH, VGGT_PATCH = 518, 14


class Network(Protocol):
    """A loaded network.

    Attributes:
        inverse: its values are inverse depth up to scale and shift, else depth.
        multi_view: it looks at the neighbours too.
    """

    inverse: bool
    multi_view: bool

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(H, W) values for the first of the (H, W, 3) images."""


@functools.lru_cache(maxsize=1)
def load(model: str, device: str) -> Network:
    """The network in a folder, or of that name on the hub; ``vggt:…`` is one of VGGT's.

    Raises:
        ValueError: it cannot be loaded; the message says why and what to do.
    """
    if model.startswith("vggt:"):
        return _Vggt(model.removeprefix("vggt:"), device)
    return _Transformers(model, device)


class _Transformers:
    multi_view = False

    def __init__(self, model: str, device: str) -> None:
        try:
            library: Any = import_module("transformers")
        except ImportError:
            raise ValueError(needs("method model", "transformers")) from None
        try:
            self._processor = library.AutoImageProcessor.from_pretrained(model)
            self._model = library.AutoModelForDepthEstimation.from_pretrained(model)
        except (OSError, ValueError, ImportError, KeyError) as error:
            kind = "folder" if Path(model).is_dir() else "name"
            raise ValueError(
                f"no depth network can be loaded from the {kind} {model!r} "
                f"({one_line(error)}); give -m model=FOLDER with config.json, "
                "preprocessor_config.json and weights, or a name on the hub "
                "such as depth-anything/Depth-Anything-V2-Small-hf"
            ) from None
        self._model.to(device).eval()
        self._device = device
        config = self._model.config
        metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        self.inverse = not (metric or config.model_type in DEPTH_OUTPUT)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        torch = import_module("torch")
        image = images[0]
        inputs = self._processor(images=image, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            outputs = self._model(**inputs)
        size = [(image.shape[0], image.shape[1])]
        try:
            found = self._processor.post_process_depth_estimation(outputs, target_sizes=size)
        except TypeError:  # ZoeDepth's takes the sizes that its padding began with
            found = self._processor.post_process_depth_estimation(outputs, source_sizes=size)
        values = found[0]["predicted_depth"].float().cpu().numpy()
        return np.asarray(values, np.float32)


class _Vggt:
    multi_view = True
    inverse = False

    def __init__(self, model: str, device: str) -> None:
        if util.find_spec("vggt") is None:
            raise ValueError(
                "the package vggt is not installed; get it from github.com/facebookresearch/vggt, "
                "or give a network that transformers loads"
            )
        network = import_module("vggt.models.vggt").VGGT.from_pretrained(model)
        self._model, self._device = network.to(device).eval(), device

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        torch = import_module("torch")
        functional = import_module("torch.nn.functional")
        hw = images[0].shape[:2]
        height = max(1, round(VGGT_WIDTH * hw[0] / hw[1] / VGGT_PATCH)) * VGGT_PATCH
        stack = []
        for image in images:
            tensor = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
            stack.append(
                functional.interpolate(
                    tensor, (height, VGGT_WIDTH), mode="bilinear", antialias=True
                )
            )
        batch = torch.cat(stack)[None].to(self._device)
        with torch.inference_mode():
            depth = self._model(batch)["depth"][0, 0, ..., 0].float()
        found = functional.interpolate(depth[None, None], tuple(hw), mode="bilinear")[0, 0]
        return np.asarray(found.cpu().numpy(), np.float32)
