"""Speed and memory of matching: ``python -m benchmarks precision``.

10,000 ordered pairs of views, 32×32 cells, features of 256 channels, one thread. Beside it stands a
loop in the published style: pair after pair, all cells with depth, cosine distances to the two
nearest of all cells of the other view, ratio test, the first 1000, errors, Python lists (written
after ``estimate_correspondence_xyz`` and the evaluation loop of github.com/mbanani/probe3d).
Both end in precision per rotation bin. They are timed in turn, in one process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cameo_data.correspondence import correspond_group
from cameo_data.types import Verdict
from cameo_train.matchers.grid_limits import token_error_px
from cameo_train.matchers.group import Found
from cameo_train.matchers.nearest import matched_tokens, unit_vectors
from cameo_train.matchers.queries import Queries
from cameo_train.precision.tally import Tally
from cameo_train.protocols.measurement import Protocol, protocol_of

HW, STRIDE, CHANNELS, VIEWS = (512, 512), 16, 256, 4
PAIRS, LOOP_PAIRS, ROUNDS = 10_000, 1_000, 10
# four views over so many degrees, in turn; without the widest more points are visible
SPREADS_DEG = {"wide": (45.0, 90.0, 135.0, 180.0), "narrow": (45.0, 90.0, 135.0)}
MATCHES = 1000


@dataclass(frozen=True, eq=False)
class Group:
    """Four views of one scene, as both ways need them."""

    queries: Queries
    rotation_deg: NDArray[np.float64]
    points: Tensor  # (V, K, 3) the world points of the cells' pixels
    known: Tensor  # (V, K) whether there is any
    K: Tensor  # (V, 3, 3)
    cam_from_world: Tensor  # (V, 4, 4)
    features: Tensor  # (V, C, h, w)


def protocol() -> Protocol:
    """The usual thresholds and bins."""
    return protocol_of(HW, [STRIDE])


@cache
def groups(views_over: str = "wide") -> list[Group]:
    """One group for each spread, with random features."""
    from benchmarks.supervision import room
    from cameo_data.transforms import relative_rotation_deg

    found = []
    rng = torch.Generator().manual_seed(0)
    plan = protocol()
    for spread in SPREADS_DEG[views_over]:
        views, points = room(spread)
        half = STRIDE // 2
        cells = points[0, :, :, half::STRIDE, half::STRIDE].flatten(2).transpose(1, 2)
        maps = correspond_group(views, STRIDE)
        rotation = relative_rotation_deg([v.camera.cam_from_world for v in views])
        visible = (maps.verdict == Verdict.VISIBLE).transpose(1, 0, 2, 3)
        view1, view0, row, column = np.nonzero(visible)
        bins = np.array([[plan.bin_of(float(r)) for r in line] for line in rotation])
        queries = Queries(
            view0, view1, row * (HW[1] // STRIDE) + column,
            maps.xy[view0, view1, row, column].astype(np.float64), bins[view0, view1],
            np.bincount(bins[~np.eye(VIEWS, dtype=bool)], minlength=plan.bins), 0,
        )  # fmt: skip
        grid = (HW[0] // STRIDE, HW[1] // STRIDE)
        found.append(
            Group(
                queries, rotation, cells, torch.isfinite(cells).all(-1),
                torch.from_numpy(np.stack([v.camera.K for v in views])).float(),
                torch.from_numpy(np.stack([v.camera.cam_from_world for v in views])).float(),
                torch.randn(VIEWS, CHANNELS, *grid, generator=rng),
            )
        )  # fmt: skip
    return found


def ours(pairs: int, views_over: str) -> NDArray[np.float64]:
    """Hits per query of each bin at 5 % of the diagonal."""
    plan, tally = protocol(), Tally.empty(1, protocol())
    made = groups(views_over)
    for number in range(-(-pairs // (VIEWS * (VIEWS - 1)))):
        group = made[number % len(made)]
        flat = unit_vectors(group.features)
        token = matched_tokens(flat, flat, group.queries).numpy()
        tally.add_pairs(0, group.queries.pairs, 0)
        error = token_error_px(token, group.queries.xy1, plan)
        tally.add(0, Found(group.queries.bin, error), plan)
    result: NDArray[np.float64] = tally.hits[0, :, 0] / np.maximum(tally.queries[0], 1)
    return result


def published_style(pairs: int, views_over: str) -> NDArray[np.float64]:
    """The same measurement pair by pair; mean over pairs of their recall."""
    plan, made = protocol(), groups(views_over)
    rotations, errors = [], []
    done = 0
    while done < pairs:
        group = made[done // (VIEWS * (VIEWS - 1)) % len(made)]
        for a in range(VIEWS):
            for b in range(VIEWS):
                if a == b or done == pairs:
                    continue
                done += 1
                errors.append(_pair(group, a, b))
                rotations.append(float(group.rotation_deg[a, b]))
    rotation = np.array(rotations)
    recall = np.array([float((e < plan.thresholds_px[0]).float().mean()) for e in errors])
    inside = [(rotation >= lo) & (rotation < hi)
              for lo, hi in zip(plan.bins_deg[:-1], plan.bins_deg[1:], strict=True)]  # fmt: skip
    return np.array([recall[i].mean() if i.any() else 0.0 for i in inside])


def _pair(group: Group, a: int, b: int) -> Tensor:
    grid = group.features.shape[-2:]
    resized = [
        functional.interpolate(group.features[v][None], size=grid, mode="bicubic")[0]
        for v in (a, b)
    ]
    f0, f1 = (f.flatten(1).T for f in resized)
    (f0, p0), (f1, p1) = (
        (f.flatten(1).T[group.known[v]], group.points[v][group.known[v]])
        for f, v in zip(resized, (a, b), strict=True)
    )
    f0, f1 = functional.normalize(f0, dim=-1), functional.normalize(f1, dim=-1)
    squared = f0.square().sum(1)[:, None] + f1.square().sum(1) - 2 * f0 @ f1.T
    nearest = squared.topk(2, dim=1, largest=False).indices
    distance = 1 - functional.cosine_similarity(f1[nearest], f0[:, None], dim=-1)
    distance = distance.clamp(min=1e-9)
    weight = 1 - distance[:, 0] / distance[:, 1]
    best = weight.topk(min(MATCHES, len(weight))).indices
    found, true = (
        _projected(p, group.K[b], group.cam_from_world[b]) for p in (p1[nearest[best, 0]], p0[best])
    )
    return (found - true).norm(dim=1)


def _projected(p_world: Tensor, K: Tensor, cam_from_world: Tensor) -> Tensor:
    p_cam = p_world @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    homogeneous = p_cam @ K.T
    return homogeneous[:, :2] / homogeneous[:, 2:].clamp(min=1e-9)


def times(views_over: str) -> dict[str, float]:
    """CPU seconds of both ways, a tenth of each in turn, so that what else runs slows both."""
    torch.set_num_threads(1)
    found = {"ours": 0.0, "published": 0.0}
    ours(VIEWS * (VIEWS - 1), views_over)  # compiles, renders the scenes
    for _ in range(ROUNDS):
        for name, work, pairs in (
            ("ours", ours, PAIRS),
            ("published", published_style, LOOP_PAIRS),
        ):
            start = time.process_time()
            work(pairs // ROUNDS, views_over)
            found[name] += time.process_time() - start
    return found


def memory(views_over: str) -> dict[str, float]:
    """Peak of this process for all pairs of ours, and what share of the cells was asked."""
    torch.set_num_threads(1)
    ours(PAIRS, views_over)
    cells = VIEWS * (VIEWS - 1) * (HW[0] // STRIDE) * (HW[1] // STRIDE)
    made = groups(views_over)
    return {
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "visible": float(np.mean([len(g.queries) for g in made])) / cells,
        "known": float(np.mean([g.known.float().mean() for g in made])),
    }


def apart(what: str, views_over: str) -> dict[str, float]:
    """``times`` or ``memory`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.precision", what, views_over]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def lines() -> Iterator[list[str]]:
    """Rows of the table."""
    for views_over in SPREADS_DEG:
        found = apart("times", views_over) | apart("memory", views_over)
        slow, fast = found["published"] / LOOP_PAIRS, found["ours"] / PAIRS
        yield [
            "pair by pair, published style", f"{LOOP_PAIRS:,}", f"{100 * found['known']:.0f} %",
            f"{1e3 * slow:.2f} ms", "–", "1.0",
        ]  # fmt: skip
        yield [
            "cameo_train.precision", f"{PAIRS:,}", f"{100 * found['visible']:.0f} %",
            f"{1e3 * fast:.2f} ms", f"{found['peak_gb']:.2f} GB", f"{slow / fast:.1f}",
        ]  # fmt: skip


HEADINGS = ["", "ordered pairs", "cells asked", "CPU time a pair", "peak memory", "times faster"]


if __name__ == "__main__":
    print(json.dumps({"times": times, "memory": memory}[sys.argv[1]](sys.argv[2])))
