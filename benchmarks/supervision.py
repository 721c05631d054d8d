"""``python -m benchmarks.supervision``: every figure of ``docs/supervision.md``, as Markdown.

Four views of a furnished room, 512×512 pixels, 32×32 tokens, 10 heads of 64 channels: the sizes of
the layer that the official configuration supervises. Each way runs alone in a fresh process, on
one thread, with the same queries, keys, points and mixing head. Peak memory is the process's
largest resident size above what it held once the tensors were loaded (Linux only). The official
formulation on whole attention maps needs some 6 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cameo_data.camera import query_xy, unproject
from cameo_data.correspondence import PreparedView, correspond_group, prepare
from cameo_data.geometry import raycast
from cameo_data.synth.generate import make_scene, plan
from cameo_data.types import Verdict
from cameo_train.supervision.heads import HeadMLP
from cameo_train.supervision.loss import correspondence_loss
from cameo_train.supervision.official import FLOOR, official_loss, official_matches, official_rows
from cameo_train.supervision.reference import dense_official_loss
from cameo_train.supervision.supervised_rows import SupervisedRows, supervised_rows
from cameo_train.supervision.targets import TARGET_KINDS, TokenTargets, token_targets

IMAGE_HW, GRID_HW = (512, 512), (32, 32)
STRIDE = 16
VIEWS, REFERENCES, HEADS, CHANNELS = 4, 2, 10, 64
ROTATIONS_DEG = (60.0, 90.0, 120.0, 180.0)
MEASURED_AT_DEG = 90.0
PARTS = ("q", "k", "1st weight", "1st bias", "2nd weight")  # the 2nd bias has no influence


def room(rotation_deg: float, seed: int = 0) -> tuple[list[PreparedView], Tensor]:
    """Four prepared views over so many degrees, and their point maps (1, V, 3, H, W)."""
    settings = plan(
        1, kind="room", path="orbit", seed=seed, frames=VIEWS, hw=IMAGE_HW,
        rotation_range_deg=rotation_deg,
    )[0]  # fmt: skip
    stage, cameras = make_scene(settings)
    views, points = [], []
    for camera in cameras:
        depth = raycast.depth_of(raycast.render(stage.primitives, camera))
        views.append(prepare(depth, camera))
        points.append(unproject(camera, query_xy(camera.hw), depth).transpose(2, 0, 1))
    return views, torch.from_numpy(np.stack(points)[None].astype(np.float32))


def own_targets(views: list[PreparedView], kind: str) -> TokenTargets:
    """Targets computed from depth and pose."""
    maps = correspond_group(views, 1 if kind == "patch" else STRIDE)
    return token_targets(
        maps.xy, maps.verdict, maps.confidence,
        image_hw=IMAGE_HW, grid_hw=GRID_HW, kind=kind,  # type: ignore[arg-type]
    )  # fmt: skip


# --- one way, in a process of its own


def _head(state: dict[str, Tensor]) -> HeadMLP:
    head = HeadMLP(HEADS)
    head.load_state_dict(state)
    return head


def _loss_of(way: str, q: Tensor, k: Tensor, head: HeadMLP, case: dict[str, Any]) -> Tensor:
    sizes = {"references": REFERENCES, "grid_hw": GRID_HW}
    if way == "dense":
        return dense_official_loss(q, k, case["points"], head_mix=head.mlp, **sizes)
    if way == "official":
        return official_loss(q, k, case["points"], head_mix=head, **sizes)
    return correspondence_loss(q, k, TokenTargets(*case[way]), head_mix=head)


def _resident_gb(field: str) -> float:
    """A figure of ``/proc/self/status``: VmRSS is what is held now, VmHWM the most so far."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e9


def run_way(way: str, folder: Path) -> None:
    """Measure one way on the saved case; figures and gradients go into the folder."""
    torch.set_num_threads(1)
    case = torch.load(folder / "case.pt", weights_only=True)
    q, k, head = case["q"].requires_grad_(), case["k"].requires_grad_(), _head(case["head"])
    (torch.randn(4, 64, 64).requires_grad_() @ torch.randn(4, 64, 64)).sum().backward()  # warm up
    Path("/proc/self/clear_refs").write_text("5")  # resets the largest resident size
    before = _resident_gb("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    loss = _loss_of(way, q, k, head, case)
    gradients = torch.autograd.grad(loss, [q, k, *head.parameters()])
    figures = {
        "loss": loss.item(),
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_gb": _resident_gb("VmHWM") - before,
    }
    torch.save(list(gradients), folder / f"{way}.pt")
    (folder / f"{way}.json").write_text(json.dumps(figures), "utf-8")


def measure(way: str, folder: Path) -> tuple[dict[str, float], list[Tensor]]:
    """Figures and gradients of one way."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.supervision", way, str(folder)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    figures = json.loads((folder / f"{way}.json").read_text("utf-8"))
    return figures, torch.load(folder / f"{way}.pt", weights_only=True)


def in_float64(case: dict[str, Any], rows: SupervisedRows) -> tuple[float, list[Tensor]]:
    """The official loss and its gradients in double precision, by plain autograd, in pieces."""
    q, k = case["q"].double().requires_grad_(), case["k"].double().requires_grad_()
    head = _head(case["head"]).double()
    total = 0.0
    for group in rows.groups:
        first = group.key_view * rows.tokens
        for start in range(group.start, group.stop, 64):
            part = slice(start, min(start + 64, group.stop))
            keys = k[group.batch, :, first : first + rows.tokens]
            product = q[group.batch, :, rows.query[part]] @ keys.transpose(1, 2)
            p = head(product / CHANNELS**0.5).softmax(-1).gather(-1, rows.index[part])
            loss = -(rows.weight[part] * (p + FLOOR).log()).sum()
            loss.backward()
            total += loss.item()
    return total, [
        g for g in (q.grad, k.grad, *(p.grad for p in head.parameters())) if g is not None
    ]


# --- tables


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cost_tables() -> Iterator[str]:
    """Time, memory and gradients of the official formulation and of ours."""
    views, points = room(MEASURED_AT_DEG)
    torch.manual_seed(0)
    q, k = (torch.randn(1, HEADS, VIEWS * 32 * 32, CHANNELS) for _ in range(2))
    case: dict[str, Any] = {"q": q, "k": k, "head": HeadMLP(HEADS).state_dict(), "points": points}
    for kind in TARGET_KINDS:
        targets = own_targets(views, kind)
        case[kind] = (targets.index, targets.weight)
    official = official_rows(points, references=REFERENCES, grid_hw=GRID_HW)
    names = {
        "dense": ("official formulation, whole attention maps", len(official)),
        "official": ("the same loss, `official_loss`", len(official)),
        **{
            kind: (
                f"`correspondence_loss`, {kind}",
                len(supervised_rows(TokenTargets(*case[kind]))),
            )
            for kind in TARGET_KINDS
        },
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(case, folder / "case.pt")
        found = {way: measure(way, folder) for way in names}
    dense = found["dense"][0]
    lines = []
    for way, (title, rows) in names.items():
        f = found[way][0]
        lines.append(
            [title, f"{rows:,}", f"{f['wall_s']:.2f} s", f"{f['cpu_s']:.2f} s",
             f"{f['peak_gb']:.3f} GB", f"{dense['cpu_s'] / f['cpu_s']:.1f}",
             f"{dense['peak_gb'] / f['peak_gb']:.1f}", f"{f['loss']:.7f}"]
        )  # fmt: skip
    headings = ["", "rows with a target", "time", "CPU time", "peak memory", "times faster",
                "times less memory", "loss"]  # fmt: skip
    yield "### Forward and backward, one thread\n"
    yield table(headings, lines)
    yield "### Relative differences (norm of the difference over norm)\n"
    yield table(*_differences(found, in_float64(case, official)))


def _differences(
    found: dict[str, tuple[dict[str, float], list[Tensor]]], exact: tuple[float, list[Tensor]]
) -> tuple[list[str], list[list[str]]]:
    dense, ours = found["dense"], found["official"]

    def line(
        title: str, one: tuple[float, list[Tensor]], other: tuple[float, list[Tensor]]
    ) -> list[str]:
        gradients = [
            ((a.double() - b.double()).norm() / b.double().norm()).item()
            for a, b in zip(one[1][:5], other[1][:5], strict=True)
        ]
        return [title, *(f"{d:.1e}" for d in (abs(one[0] - other[0]) / other[0], *gradients))]

    one, two = (dense[0]["loss"], dense[1]), (ours[0]["loss"], ours[1])
    lines = [
        line("`official_loss`, official formulation", two, one),
        line("official formulation, float64", one, exact),
        line("`official_loss`, float64", two, exact),
    ]
    return ["between", "loss", *(f"gradient in {part}" for part in PARTS)], lines


def supervised_table() -> Iterator[str]:
    """Share of all (query, key view) pairs that each way supervises, over rotation."""
    lines = []
    for rotation in ROTATIONS_DEG:
        views, points = room(rotation)
        matches = official_matches(points, references=REFERENCES, grid_hw=GRID_HW)
        verdict = torch.from_numpy(correspond_group(views, STRIDE).verdict).flatten(2)[None]
        visible, hidden = verdict == Verdict.VISIBLE, verdict == Verdict.OCCLUDED
        pairs = VIEWS * (VIEWS - 1) * verdict.shape[-1]
        targets = matches.passed & matches.target
        lines.append(
            [f"{rotation:g}°", *(f"{100 * float(share):.1f} %" for share in (
                matches.passed.sum() / pairs,
                targets.sum() / matches.passed.sum(),
                (targets & ~visible).sum() / targets.sum(),
                (matches.passed & hidden).sum() / hidden.sum(),
                targets.sum() / pairs,
                visible.sum() / pairs,
            ))]
        )  # fmt: skip
    yield "### What is supervised\n"
    yield table(
        ["views over", "official: rows that count", "of these, with a target",
         "of the targets, not visible", "of hidden tokens, pass", "pairs with a target, official",
         "pairs with a target, verdicts"],
        lines,
    )  # fmt: skip


def target_table() -> Iterator[str]:
    """Time to make targets of four views of 512×512 pixels."""
    views, points = room(MEASURED_AT_DEG)
    lines = []
    jobs: dict[str, Callable[[], object]] = {
        f"{kind}, from depth and pose": lambda kind=kind: own_targets(views, kind)  # type: ignore[misc]
        for kind in TARGET_KINDS
    }
    jobs["nearest points of point maps (`official_rows`)"] = lambda: official_rows(
        points, references=REFERENCES, grid_hw=GRID_HW
    )
    torch.set_num_threads(1)
    for name, job in jobs.items():
        best = float("inf")
        for _ in range(4):
            start = time.process_time()
            job()
            best = min(best, time.process_time() - start)
        lines.append([name, f"{1e3 * best:.0f} ms"])
    yield "### Making the targets of one group\n"
    yield table(["targets", "CPU time, fastest of 4"], lines)


def main() -> None:
    """All tables; or, called by ``measure``, one way."""
    if len(sys.argv) == 3:
        run_way(sys.argv[1], Path(sys.argv[2]))
        return
    for part in (cost_tables, supervised_table, target_table):
        for text in part():
            print(text, flush=True)


if __name__ == "__main__":
    main()
