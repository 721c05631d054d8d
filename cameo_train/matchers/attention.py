"""Attention of any layer as a matcher: a query's match is the key with the largest logit.

Queries and keys are tapped while the model denoises the group: references clean, targets noisy.
Within one view the softmax keeps the order, so logits are compared. Shapes: B groups, V views, h
heads, K tokens per view, d channels per head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from cameo_train import taps
from cameo_train.matchers.dense import errors_of
from cameo_train.matchers.group import Found, MatcherGroup, Row, check_finite, on_grid
from cameo_train.matchers.nearest import matched_tokens
from cameo_train.matchers.queries import Queries
from cameo_train.protocols.measurement import Protocol
from cameo_train.supervision.heads import HeadLinear, HeadMean
from cameo_train.taps.layers import plain

# Runs the model on groups whose target views are noised to a timestep.
Run = Callable[[Sequence[MatcherGroup], int], object]
# Logits (heads × rows × keys) of a chunk of a mixing head's rows.
MIX_CHUNK = 1 << 20
# Mixed logits closer to the best than this share of the largest are compared in float64. The share
# is many times the rounding error of float32 in a head.
MIX_ROOM = 1e-5

SELECTION = {
    "mean": "largest logit, mean of all heads",
    "trained": "largest logit, through the trained mixing head",
    "head": "largest logit of one head",
}


@dataclass(frozen=True)
class AttentionReading:
    """One way to read one layer.

    Attributes:
        layer: path of the module; number: in the order in which layers run.
        heads: ``mean``, ``trained``, or ``head 3``.
        main: whether this layer represents the model.
    """

    layer: str
    number: int
    heads: str
    main: bool = True


class AttentionMatcher:
    """Rows of a model, one for every reading at every noise level.

    Args:
        model: any model that ``taps.tap`` accepts.
        run: function that runs the model.
        mixes: trained mixing heads by layer.
        input_shape: views and size of the model's input for groups, if the model does not know
            them.
        name, spec, step: fields of the rows.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        readings: Sequence[AttentionReading],
        timesteps: Sequence[int],
        protocol: Protocol,
        *,
        spec: str,
        name: str,
        step: int | None = None,
        mixes: Mapping[str, nn.Module] | None = None,
        input_shape: Callable[[Sequence[MatcherGroup]], tuple[int, tuple[int, int]]] | None = None,
    ) -> None:
        self.model, self.run, self.protocol = model, run, protocol
        self.readings, self.timesteps = list(readings), list(timesteps)
        self.mixes, self.input_shape = dict(mixes or {}), input_shape
        self.notes: list[str] = []
        self.rows: Sequence[Row] = [
            Row(
                spec=spec,
                name=name,
                selection=SELECTION[reading.heads.split()[0]],
                kind="attention",
                layer=plain(reading.layer),
                layer_number=reading.number,
                heads=reading.heads,
                timestep=timestep,
                step=step,
                main=reading.main,
            )
            for timestep in self.timesteps
            for reading in self.readings
        ]

    @torch.no_grad()
    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """Errors of all readings at all noise levels."""
        per_group: list[list[Found]] = [[] for _ in groups]
        for timestep in self.timesteps:
            tapped = self._tapped(groups, timestep)
            for reading in self.readings:
                for number, group in enumerate(groups):
                    q, k = (x[number] for x in tapped[reading.layer])
                    per_group[number].append(self._read(reading, q, k, group))
        yield from per_group

    def _tapped(
        self, groups: Sequence[MatcherGroup], timestep: int
    ) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        """Queries and keys by layer, for each group (V, h, K, d), scaled, on the layer's grid."""
        views = len(groups[0].images)
        shape = {}
        if self.input_shape is not None:
            count, hw = self.input_shape(groups)
            shape = {"views": count, "hw": hw}
        with ExitStack() as stack:
            open_taps = {
                layer: stack.enter_context(taps.tap(self.model, layer, **shape))  # type: ignore[arg-type]
                for layer in dict.fromkeys(r.layer for r in self.readings)
            }
            self.run(groups, timestep)
            out = {}
            for layer, tap in open_taps.items():
                grid = tap.layout.grid_hw
                q, k = (
                    x.float().reshape(*x.shape[:2], views, -1, x.shape[3]).transpose(1, 2)
                    for x in (tap.grid_queries() * tap.scale, tap.grid_keys())
                )
                out[layer] = (
                    [self._on_grid(x, grid, layer, g) for x, g in zip(q, groups, strict=True)],
                    [self._on_grid(x, grid, layer, g) for x, g in zip(k, groups, strict=True)],
                )
        return out

    def _on_grid(self, x: Tensor, grid: tuple[int, int], layer: str, group: MatcherGroup) -> Tensor:
        """(V, h, cells, d) of (V, h, K, d)."""
        name = f"layer {plain(layer)}"
        check_finite(x, name, group)
        if grid == self.protocol.grid_hw:
            return x
        heads, d = x.shape[1], x.shape[3]
        maps = x.transpose(2, 3).reshape(len(x), heads * d, *grid)
        maps = on_grid(maps, self.protocol.grid_hw, self.protocol.hw, name)
        rows, columns = self.protocol.grid_hw
        note = f"{name}: {grid[0]}×{grid[1]} tokens are read bilinearly at {rows}×{columns}"
        if note not in self.notes:
            self.notes.append(note)
        return maps.reshape(len(x), heads, d, -1).transpose(2, 3).contiguous()

    def _read(self, reading: AttentionReading, q: Tensor, k: Tensor, group: MatcherGroup) -> Found:
        if reading.heads.startswith("head "):
            head = int(reading.heads.split()[1])
            token = matched_tokens(q[:, head], k[:, head], group.queries)
        elif reading.heads == "mean":
            token = matched_tokens(_side_by_side(q), _side_by_side(k), group.queries)
        else:
            token = mixed_tokens(q, k, self.mixes[reading.layer], group.queries)
        return errors_of(token, group, self.protocol)


def mixed_tokens(q: Tensor, k: Tensor, mix: nn.Module, asked: Queries) -> Tensor:
    """(N,) cell with the largest mixed logit; q (scaled) and k are (V, h, K, d).

    A linear mix of the heads' logits is a single product of longer vectors.
    """
    if isinstance(mix, HeadMean):
        return matched_tokens(_side_by_side(q), _side_by_side(k), asked)
    if isinstance(mix, HeadLinear):
        weighted = q * mix.weight.to(q).view(1, -1, 1, 1)
        return matched_tokens(_side_by_side(weighted), _side_by_side(k), asked)
    starts = torch.searchsorted(
        torch.from_numpy(asked.view1).contiguous(), torch.arange(len(q) + 1)
    ).tolist()
    view0, token = (torch.from_numpy(x).to(q.device) for x in (asked.view0, asked.token))
    step = max(1, MIX_CHUNK // (k.shape[1] * k.shape[2]))
    found = []
    for view, (start, stop) in enumerate(pairwise(starts)):
        keys = k[view].transpose(1, 2)
        for i in range(start, stop, step):
            part = slice(i, min(i + step, stop))
            rows = q[view0[part], :, token[part]].transpose(0, 1)
            found.append(_best_mixed(mix(rows @ keys), rows, keys, mix))
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)


def _best_mixed(mixed: Tensor, rows: Tensor, keys: Tensor, mix: nn.Module) -> Tensor:
    """(n,) best key by mixed logits (n, K), on the CPU; close candidates compared in float64.

    Args:
        rows: (h, n, d); keys: (h, d, K).
        mix: mixing head, applied to each (query, key) separately.
    """
    top, best = mixed.max(1, keepdim=True)
    least = top - MIX_ROOM * mixed.abs().amax(1, keepdim=True)
    found = best[:, 0].cpu()
    close = ((mixed >= least).sum(1) > 1).nonzero()[:, 0]
    for number in close.tolist():
        rivals = (mixed[number] >= least[number]).nonzero()[:, 0]
        logits = rows[:, number, None].double() @ keys[..., rivals].double()
        found[number] = rivals[mix(logits)[0].argmax()].cpu()
    return found


def _side_by_side(x: Tensor) -> Tensor:
    """(V, K, h·d) from (V, h, K, d): the product becomes the sum over heads."""
    return x.transpose(1, 2).flatten(2)
