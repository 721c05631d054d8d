"""A picture of one layer's attention: where some queries look in every other view, and where their
points really are, before and after training, side by side.

Shapes: B, V views, h, w token grid, K = h·w tokens per view, N queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cameo_data.report import palette
from cameo_train import taps
from cameo_train.config import TrainConfig
from cameo_train.data.batches import Batch, batches, plain_plan
from cameo_train.models import Latents, build_latents, noised
from cameo_train.supervision.heads import HeadMean
from cameo_train.supervision.targets import TokenTargets
from cameo_train.training import checkpoint, sampling
from cameo_train.training.loop import untrained
from cameo_train.training.objective import Objective, condition
from cameo_train.training.sampling import Image

QUERIES = 4
# Out of 1000: targets are noisy, but shapes are still visible.
TIMESTEP = 300
_ROOM = 4  # candidates per query, so that the chosen ones are not close together
# Least multiple of uniform attention that is drawn brightest, so that uniform attention is dark.
_BRIGHT = 10.0
# Opacity of the least and the most attention over the grey view.
_FAINT, _STRONG = 0.2, 0.8
SIDE = 160  # least side of a tile in pixels


@dataclass(frozen=True, eq=False)
class Query:
    """A token of one view and its true match in each view.

    Attributes:
        matches: (V,) token with the largest target weight; −1 if the point is not VISIBLE.
    """

    view: int
    token: int
    matches: tuple[int, ...]


def choose(targets: TokenTargets, count: int = QUERIES, view: int = 0) -> list[Query]:
    """Queries of one view of the first sample that most other views see, spread over the view.

    Fewer where fewer tokens have any match.
    """
    weight = targets.weight[0, view].cpu()
    seen = (weight.sum(-1) > 0).sum(0).numpy()
    candidates = np.zeros(0, np.int64)
    for least in range(targets.views - 1, 0, -1):
        candidates = np.flatnonzero(seen >= least)
        if len(candidates) >= _ROOM * count:
            break
    heaviest = weight.argmax(-1, keepdim=True)
    landing = targets.index[0, view].cpu().gather(-1, heaviest)[..., 0]
    landing = torch.where(weight.sum(-1) > 0, landing, -1)
    positions = np.linspace(0, len(candidates) - 1, min(count, len(candidates)))
    tokens = candidates[positions.round().astype(int)]
    return [Query(view, int(t), tuple(landing[:, t].tolist())) for t in tokens]


@torch.no_grad()
def attention(
    objective: Objective,
    batch: Batch,
    space: Latents,
    queries: Sequence[Query],
    *,
    head_mix: nn.Module | None = None,
    timestep: int = TIMESTEP,
    seed: int = 0,
) -> Tensor:
    """(N, V, h, w) attention of the first sample's queries over each view; sums to 1 per view.

    Args:
        head_mix: mixing head through which the layer is read; the objective's own if None.
        timestep: noise of the target views; the noise itself is the same for the same ``seed``.
    """
    model = objective.model
    latents, given = condition(model, batch, space)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    step = torch.full((len(latents),), timestep, device=latents.device)
    noisy, _ = noised(objective.scheduler, latents, noise, step, given.reference)
    with taps.tap(model, objective.layer) as tapped:
        model(noisy, step, given)
        q, k = tapped.grid_queries()[0].float(), tapped.grid_keys()[0].float()
        scale = tapped.scale
    mix = head_mix or objective.head_mix
    tokens = k.shape[1] // batch.views
    picked = q[:, [query.view * tokens + query.token for query in queries]]
    maps = [
        mix(picked @ keys.transpose(1, 2) * scale).softmax(-1) for keys in k.split(tokens, dim=1)
    ]
    return torch.stack(maps, 1).view(len(queries), batch.views, *objective.grid_hw)


def picture(batch: Batch, queries: Sequence[Query], columns: Sequence[tuple[str, Tensor]]) -> Image:
    """A row for each query: its view, then for each column all other views with its attention.

    A cross marks the query, a ring its true match (none if it is hidden), a dot the token that gets
    the most attention.

    Args:
        columns: label, such as ``before``, and (N, V, h, w) of ``attention``.
    """
    images = [sampling.rgb(image) for image in batch.images[0]]
    rows = []
    for number, query in enumerate(queries):
        others = [v for v in range(batch.views) if v != query.view]
        tiles = [_marked(images[query.view], query.token, columns[0][1].shape[-2:])]
        labels = [f"query {number + 1}, view {query.view + 1}"]
        for label, maps in columns:
            shown = maps[number].float().cpu().numpy()
            tiles += [_heated(images[v], shown[v], query.matches[v]) for v in others]
            labels += [f"{label}, view {v + 1}" for v in others]
        rows.append(sampling.row(tiles, labels))
    return np.concatenate(rows)


def before_and_after(config: TrainConfig, trained: Path) -> Path:
    """Writes ``attention.png`` next to the checkpoints of a run and returns its path.

    Before training the mixing head is random, so the layer is read through the heads' mean; after
    training it is read through its own head if it was supervised.

    Args:
        trained: a checkpoint.
    """
    objective = untrained(config).eval()
    space = build_latents(objective.model.preset.latents, config.weights)
    wanted = replace(plain_plan(config, objective.grid_hw), references=(1, 1))
    batch = next(batches(config.shown_shards, wanted, batch=1, seed=0))
    assert batch.targets is not None
    queries = choose(batch.targets)
    if not queries:
        raise ValueError(f"sample {batch.keys[0]}: no view shares visible points with its first")
    before = attention(objective, batch, space, queries, head_mix=HeadMean())
    objective.load_state_dict(checkpoint.load(trained).weights)
    own = None if config.weight else HeadMean()
    after = attention(objective, batch, space, queries, head_mix=own)
    path = Path(config.out) / "attention.png"
    sampling.write_png(path, picture(batch, queries, [("before", before), ("after", after)]))
    return path


def _heated(image: Image, weights: NDArray[np.float32], match: int) -> Image:
    """A grey view under its attention; more attention hides more of the view."""
    side = _scale(image)
    grey = image.mean(-1, keepdims=True).repeat(3, -1).repeat(side, 0).repeat(side, 1)
    level = np.minimum(weights / max(float(weights.max()), _BRIGHT / weights.size), 1.0)
    heat = palette.heat_rgb(level)
    cell = grey.shape[0] // weights.shape[0]
    opacity = (_FAINT + (_STRONG - _FAINT) * level)[..., None]
    heat, opacity = (x.repeat(cell, 0).repeat(cell, 1) for x in (heat, opacity))
    out = np.ascontiguousarray((1 - opacity) * grey + opacity * heat).round().astype(np.uint8)
    _dot(out, int(weights.argmax()), weights.shape)
    if match >= 0:
        _ring(out, match, weights.shape)
    return out


def _marked(image: Image, token: int, grid_hw: Sequence[int]) -> Image:
    side = _scale(image)
    out = np.ascontiguousarray(image.repeat(side, 0).repeat(side, 1))
    place = _centre(out, token, grid_hw)
    for color, width in (((255, 255, 255), 4), (palette.HIDDEN_RGB, 2)):
        cv2.drawMarker(out, place, color, cv2.MARKER_CROSS, _radius(out) * 2, width, cv2.LINE_AA)
    return out


def _ring(out: Image, token: int, grid_hw: Sequence[int]) -> None:
    place = _centre(out, token, grid_hw)
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.circle(out, place, _radius(out), color, width, cv2.LINE_AA)


def _dot(out: Image, token: int, grid_hw: Sequence[int]) -> None:
    place = _centre(out, token, grid_hw)
    for color, radius in (((255, 255, 255), 4), (palette.HIDDEN_RGB, 3)):
        cv2.circle(out, place, radius, color, -1, cv2.LINE_AA)


def _centre(out: Image, token: int, grid_hw: Sequence[int]) -> tuple[int, int]:
    row, column = divmod(token, grid_hw[1])
    return (
        int((column + 0.5) * out.shape[1] / grid_hw[1]),
        int((row + 0.5) * out.shape[0] / grid_hw[0]),
    )


def _radius(out: Image) -> int:
    return max(5, int(max(out.shape[:2])) // 20)


def _scale(image: Image) -> int:
    return max(1, -(-SIDE // int(max(image.shape[:2]))))
