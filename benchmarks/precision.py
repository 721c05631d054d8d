"""Speed and memory of matching: ``python -m benchmarks precision``.

10,000 ordered pairs of views, 32×32 cells, features of 256 channels, one thread. Beside it stands a
loop in the published style: pair after pair, all cells with depth, cosine distances to the two
nearest of all cells of the other view, ratio test, the first 1000, errors, Python lists (written
after ``estimate_correspondence_xyz`` and the evaluation loop of github.com/mbanani/probe3d).
Both end in precision per rotation bin. Each runs in a process of its own.
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
from cameo_train.precision.group import Found
from cameo_train.precision.limits import token_error_px
from cameo_train.precision.nearest import matched_tokens, unit_vectors
from cameo_train.precision.protocol import Protocol, protocol_of
from cameo_train.precision.queries import Queries
from cameo_train.precision.tally import Tally

HW, STRIDE, CHANNELS, VIEWS = (512, 512), 16, 256, 4
PAIRS, LOOP_PAIRS = 10_000, 1_000
# four views over so many degrees, in turn
SPREADS_DEG = (45.0, 90.0, 135.0, 180.0)
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
def groups() -> list[Group]:
    """One group for each spread, with random features."""
    from benchmarks.supervision import room
    from cameo_data.transforms import relative_rotation_deg

    found = []
    rng = torch.Generator().manual_seed(0)
    plan = protocol()
    for spread in SPREADS_DEG:
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


def ours(pairs: int) -> NDArray[np.float64]:
    """Hits per query of each bin at 5 % of the diagonal."""
    plan, tally = protocol(), Tally.empty(1, protocol())
    made = groups()
    for number in range(-(-pairs // (VIEWS * (VIEWS - 1)))):
        group = made[number % len(made)]
        flat = unit_vectors(group.features)
        token = matched_tokens(flat, flat, group.queries).numpy()
        tally.add_pairs(0, group.queries.pairs, 0)
        error = token_error_px(token, group.queries.xy1, plan)
        tally.add(0, Found(group.queries.bin, error), plan)
    result: NDArray[np.float64] = tally.hits[0, :, 0] / np.maximum(tally.queries[0], 1)
    return result


def published_style(pairs: int) -> NDArray[np.float64]:
    """The same question asked pair by pair; mean over pairs of their recall."""
    plan, made = protocol(), groups()
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


def measure(way: str, pairs: int) -> dict[str, float]:
    """CPU seconds and peak memory of one way, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.precision", way, str(pairs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(way: str, pairs: int) -> None:
    """Prints the figures of one way as JSON."""
    torch.set_num_threads(1)
    work = {"ours": ours, "published": published_style}[way]
    work(VIEWS * (VIEWS - 1))  # compiles, renders the scenes
    start_cpu, start = time.process_time(), time.perf_counter()
    work(pairs)
    print(
        json.dumps(
            {
                "cpu_s": time.process_time() - start_cpu,
                "wall_s": time.perf_counter() - start,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
                "visible": float(np.mean([len(g.queries) for g in groups()]))
                / (VIEWS * (VIEWS - 1) * (HW[0] // STRIDE) * (HW[1] // STRIDE)),
                "known": float(np.mean([g.known.float().mean() for g in groups()])),
            }
        )
    )  # fmt: skip


def lines() -> Iterator[list[str]]:
    """Rows of the table."""
    found = {"published": measure("published", LOOP_PAIRS), "ours": measure("ours", PAIRS)}
    each = {"published": LOOP_PAIRS, "ours": PAIRS}
    per_pair = {way: found[way]["cpu_s"] / each[way] for way in found}
    titles = {"published": "pair by pair, published style", "ours": "cameo_train.precision"}
    shares = {"published": found["published"]["known"], "ours": found["ours"]["visible"]}
    for way, title in titles.items():
        yield [
            title, f"{each[way]:,}", f"{100 * shares[way]:.0f} %", f"{1e3 * per_pair[way]:.2f} ms",
            f"{found[way]['peak_gb']:.2f} GB", f"{per_pair['published'] / per_pair[way]:.1f}",
        ]  # fmt: skip


HEADINGS = ["", "ordered pairs", "cells asked", "CPU time a pair", "peak memory", "times faster"]


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
