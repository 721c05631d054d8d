"""Runs of a network of a few thousand weights on the tests' shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from networks import UNET_ARGUMENTS

from cameo_train import config
from cameo_train.config import TrainConfig
from cameo_train.models import preset

# 48×64 images are 12×16 cells, and 6×8 tokens in the middle: stride 8, which the shards store
SMALL = preset("cat3d-tiny", name="small", backbone=UNET_ARGUMENTS, layer="mid_block.attentions.0")


def small_run(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    """A configuration; the preset ``small`` must be known."""
    values = {"shards": str(shards), "out": str(out), "model": "small", "workers": 0, "lr": 3e-3}
    return config.load(None, {**values, "steps": 4, "batch": 2, **changes})


def over(given: Sequence[Any], changes: Sequence[Any]) -> list[Any]:
    """Flags with a value each, and ``changes``, which take the place of the same flags."""
    pairs = zip(given[::2], given[1::2], strict=True)
    return [*(item for pair in pairs if pair[0] not in changes for item in pair), *changes]


def rows(out: Path) -> list[dict[str, Any]]:
    """``metrics.jsonl`` without what the clock says."""
    lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
