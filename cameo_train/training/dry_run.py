"""What a run would do, found without training: the model, its tokens, the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cameo_data import ShardReader
from cameo_train.config import TrainConfig
from cameo_train.data import batches
from cameo_train.models import build
from cameo_train.taps import adapter_of, resolve
from cameo_train.taps.layers import plain


def facts(config: TrainConfig) -> dict[str, Any]:
    """Facts for people and for JSON; the network is not filled with weights.

    Raises:
        DataError: the shards cannot be read.
        ValueError: model, layer and shards do not fit each other.
    """
    reader = ShardReader(config.shards)
    first, _, _ = batches.read_around(reader, 0)
    hw = first.cameras[0].hw
    window = hw if config.crop is None else (config.crop, config.crop)
    seen = batches.trained_hw(config, hw)
    with torch.device("meta"):
        model = build(config.model)
    layers = list(adapter_of(model).layers(model))
    layer = resolve(layers, config.layer or model.preset.layer)
    grid = model.token_grid(layer, seen)
    wanted = batches.plan(config, grid)
    batches.targets_of(batches.changed(first, wanted, np.random.default_rng(0)), wanted)
    return {
        "model": model.preset.name,
        "architecture": model.preset.architecture,
        "parameters": sum(p.numel() for p in model.parameters()),
        "latents": f"{model.latent_channels}×{seen[0] // model.factor}×{seen[1] // model.factor}",
        "attention_layers": len(layers),
        "supervised_layer": plain(layer) if config.weight else "none",
        "tokens_per_view": f"{grid[0]}×{grid[1]}",
        "matches_at_stride": batches.token_stride(window, grid),
        "stored_strides": sorted(first.correspondence),
        "samples": len(reader),
        "views": len(first.images),
        "image": f"{seen[0]}×{seen[1]}",
        "steps_per_epoch": len(reader) // config.batch // config.accumulate,
    }
