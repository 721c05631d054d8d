"""Draws the figures of the documentation from a rendered scene: ``python docs/draw_figures.py``.

The pictures come from our own renderer, matcher and report code, so they show what the software
does. The same code gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from figure_scene import Shot, camera, shoot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import NDArray
from PIL import Image

from cameo_data import camera as cameras
from cameo_data.correspondence import correspond
from cameo_data.report import matches, overlay, palette
from cameo_data.transforms import rotation_angle_deg
from cameo_data.types import Camera, Correspondence, DepthMap, Verdict

MAX_BYTES = 300_000  # so that pages load on a slow connection
INK, SOFT = "#23272f", "#7d8796"
AXES = (("x", "#d43d2a"), ("y", "#1f9d4c"), ("z", "#2c62d6"))
HW = (384, 512)


def view_a(hw: tuple[int, int] = HW) -> Camera:
    """View A of all figures."""
    return camera((-1.1, -3.6, 1.7), (-0.1, 1.0, 0.75), hw)


def view_b(hw: tuple[int, int] = HW) -> Camera:
    """View B of most figures: 40° to the right of A."""
    return camera((2.0, -3.0, 1.45), (0.1, 0.9, 0.75), hw)


def matched(a: Shot, b: Shot, stride: int = 1) -> Correspondence:
    """The correspondence from A to B."""
    return correspond(a.depth, a.camera, b.depth, b.camera, stride=stride)


def draw_matches() -> NDArray[np.uint8]:
    """The README's first picture."""
    a, b = shoot(view_a((432, 576))), shoot(view_b((432, 576)))
    return matches.side_by_side(a.image, b.image, matched(a, b), visible=18, hidden=7, mark=1.2)


def draw_queries() -> NDArray[np.uint8]:
    """The query grid at stride 16, and where B sees its points."""
    a, b = shoot(view_a()), shoot(view_b())
    return matches.token_grid(a.image, b.image, matched(a, b, 16))


def draw_verdicts() -> Figure:
    """All six verdicts at once: B is among the objects, and part of its depth is missing."""
    a = shoot(view_a())
    b = shoot(camera((1.0, -1.3, 1.25), (-2.4, 0.25, 0.45), HW, 0.6))
    z, valid = b.depth.z, b.depth.valid.copy()
    hole = _disc(valid.shape, (318.0, 176.0), 50.0)
    valid[hole] = False
    b = Shot(b.camera, b.image, DepthMap(np.where(valid, z, np.float32(0)), valid))
    match = matched(a, b)
    seen_b = b.image.copy()
    seen_b[hole] = overlay.faded(b.image)[hole]
    fig = Figure(figsize=(10.4, 3.6), layout="constrained")
    axes = fig.subplots(1, 3)
    titles = ("view A", "view B, part of its depth missing", "verdicts of A's pixels in B")
    for ax, image, title in zip(
        axes, (a.image, seen_b, overlay.verdicts(a.image, match)), titles, strict=True
    ):
        ax.imshow(image)
        ax.set_title(title, fontsize=10, color=INK, loc="left")
        ax.axis("off")
    handles = [
        Rectangle((0, 0), 1, 1, color=palette.hex_of(palette.VERDICT_RGB[v])) for v in Verdict
    ]
    labels = [f"{v.value} {v.name}: {palette.VERDICT_MEANING[v]}" for v in Verdict]
    fig.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8.5,
        columnspacing=1.2,
    )
    return fig


def draw_confidence() -> NDArray[np.uint8]:
    """B warped into A, verdicts, confidence."""
    a, b = shoot(view_a()), shoot(view_b())
    match = matched(a, b)
    tiles = (
        overlay.warp(a.image, b.image, match),
        overlay.verdicts(a.image, match),
        overlay.confidence(a.image, match),
    )
    return np.hstack([matches.resized(tile, 0.75) for tile in tiles])


def draw_axes() -> Figure:
    """The two cameras and the world, seen by a third camera through our own projection."""
    onlooker = camera((4.6, -8.4, 4.6), (-0.1, -0.8, 0.55), (430, 720), 1.0)
    grey = shoot(onlooker).image.mean(-1, keepdims=True)
    picture = np.broadcast_to(140 + 0.45 * grey, (*onlooker.hw, 3)).astype(np.uint8)
    ax = _picture_axes(picture)
    _draw_triad(ax, onlooker, np.eye(4), "world", 0.9, (-36.0, 6.0))
    for name, view in (("A", view_a()), ("B", view_b())):
        _draw_frustum(ax, onlooker, view)
        _draw_triad(ax, onlooker, view.world_from_cam, f"camera {name}", 0.75)
    angle = float(rotation_angle_deg(view_b().cam_from_world @ view_a().world_from_cam))
    ax.text(
        0.985, 0.04, f"rotation between A and B: {angle:.0f}°", transform=ax.transAxes,
        ha="right", fontsize=10, color=INK,
    )  # fmt: skip
    return _figure_of(ax)


def draw_pixels() -> Figure:
    """A 5 × 4 image: corners, centres, extent; the cells of stride 2 over it."""
    fig = Figure(figsize=(10.4, 3.3), layout="constrained")
    left, right = fig.subplots(1, 2)
    tones = np.random.default_rng(5).uniform(0.72, 0.95, (4, 5))
    for ax, title in ((left, "stride 1: every pixel"), (right, "stride 2: cells of 2 × 2 pixels")):
        ax.imshow(tones, cmap="gray", vmin=0, vmax=1, extent=(0, 5, 4, 0))
        ax.set_xticks(range(6))
        ax.set_yticks(range(5))
        ax.grid(color="white", linewidth=1.5)
        ax.tick_params(length=0, colors=SOFT)
        ax.set_title(title, fontsize=11, color=INK, loc="left")
        ax.set(xlim=(-0.1, 8.1), ylim=(4.1, -0.1))
        for spine in ax.spines.values():
            spine.set_visible(False)
    _dots(left, cameras.query_xy((4, 5), 1), 26)
    _dots(right, cameras.query_xy((4, 5), 2), 60)
    for row, column in np.ndindex(2, 2):
        right.add_patch(Rectangle((2 * column, 2 * row), 2, 2, fill=False, edgecolor=INK, lw=1.8))
    _callout(left, (0, 0), (6.6, 0.35), "corner (0, 0)")
    _callout(left, (0.5, 0.5), (6.6, 1.4), "centre (0.5, 0.5)")
    _callout(left, (5, 4), (6.6, 2.8), "corner (W, H) = (5, 4)")
    _callout(right, (1, 1), (6.6, 0.35), "query (1, 1)")
    _callout(right, (3, 3), (6.6, 1.4), "query (3, 3)")
    _callout(right, (4.5, 3), (6.6, 2.8), "in no whole cell:\nnot queried")
    return fig


def draw_chain() -> Figure:
    """From a pixel of A to a pixel of B, with the names that cancel."""
    fig = Figure(figsize=(10, 2.5), layout="constrained")
    ax = fig.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 2.5))
    ax.axis("off")
    stops = ("xy0", "p_cam0", "p_world", "p_cam1", "xy1")
    notes = ("pixel of A", "point, camera A", "point, world", "point, camera B", "pixel of B")
    steps = ("K0⁻¹, depth z0", "world_from_cam0", "cam1_from_world", "K1, divide by z")
    places = np.linspace(0.75, 9.25, 5)
    for x, stop, note in zip(places, stops, notes, strict=True):
        ax.add_patch(Rectangle((x - 0.55, 1.42), 1.1, 0.5, facecolor="#e9eef6", edgecolor="none"))
        ax.text(x, 1.67, stop, ha="center", va="center", family="monospace", fontsize=11, color=INK)
        ax.text(x, 1.27, note, ha="center", va="center", fontsize=9, color=SOFT)
    for start, end, step in zip(places[:-1], places[1:], steps, strict=True):
        ax.add_patch(_arrow((start + 0.6, 1.67), (end - 0.6, 1.67), INK))
        ax.text(
            (start + end) / 2, 2.1, step, ha="center", family="monospace", fontsize=9.5, color=INK
        )
    _cancelling(ax, 0.42)
    return fig


def _cancelling(ax: Axes, y: float) -> None:
    """Writes ``cam1_from_cam0 = cam1_from_world @ world_from_cam0``, inner names struck out."""
    parts = (
        ("cam1", "#2c62d6"), ("_from_", INK), ("cam0", "#d43d2a"), (" = ", INK),
        ("cam1", "#2c62d6"), ("_from_", INK), ("world", SOFT), (" @ ", INK),
        ("world", SOFT), ("_from_", INK), ("cam0", "#d43d2a"),
    )  # fmt: skip
    width = 0.135  # width of a monospace character at this size
    x = 5 - width * sum(len(text) for text, _ in parts) / 2
    for text, colour in parts:
        for letter in text:
            ax.text(
                x + width / 2, y, letter, ha="center", family="monospace", fontsize=15, color=colour
            )
            x += width
        if text == "world":
            ax.plot([x - width * len(text), x], [y + 0.09] * 2, color=SOFT, linewidth=1.6)


def _disc(hw: tuple[int, ...], centre: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    return np.asarray((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2)


def _picture_axes(image: NDArray[np.uint8]) -> Axes:
    """Axes in an image's own pixels, filling the figure."""
    fig = Figure(figsize=(image.shape[1] / 80, image.shape[0] / 80))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.imshow(image, extent=(0, image.shape[1], image.shape[0], 0))
    ax.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    ax.axis("off")
    return ax


def _figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    return figure


def _draw_triad(
    ax: Axes,
    onlooker: Camera,
    world_from_frame: NDArray[np.float64],
    name: str,
    length: float,
    name_at: tuple[float, float] = (0.0, -13.0),
) -> None:
    origin = world_from_frame[:3, 3]
    tips = origin + length * world_from_frame[:3, :3].T
    start, _ = cameras.project(onlooker, origin)
    for (label, colour), tip in zip(AXES, cameras.project(onlooker, tips)[0], strict=True):
        ax.add_patch(_arrow(tuple(start), tuple(tip), colour, 2.6))
        beyond = tip + 11 * (tip - start) / np.linalg.norm(tip - start)
        ax.text(
            *beyond, label, color=colour, fontsize=12, fontweight="bold", ha="center", va="center"
        )
    ax.text(
        start[0] + name_at[0],
        start[1] + name_at[1],
        name,
        fontsize=11,
        color=INK,
        ha="center",
        fontweight="bold",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5},
    )


def _draw_frustum(ax: Axes, onlooker: Camera, view: Camera, z: float = 1.1) -> None:
    """The image's outline at depth ``z`` and the rays to its corners."""
    height, width = view.hw
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    outline, _ = cameras.project(onlooker, cameras.unproject(view, corners, np.full(4, z)))
    eye, _ = cameras.project(onlooker, view.world_from_cam[:3, 3])
    ax.fill(*outline.T, facecolor="white", alpha=0.35, edgecolor=INK, linewidth=1.4)
    ax.plot(*np.vstack([outline, outline[:1]]).T, color=INK, linewidth=1.4)
    for corner in outline:
        ax.plot(*np.stack([eye, corner]).T, color=INK, linewidth=0.9)


def _arrow(start: Any, end: Any, colour: str, width: float = 1.6) -> FancyArrowPatch:
    return FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=13, color=colour, linewidth=width,
        shrinkA=0, shrinkB=0,
    )  # fmt: skip


def _dots(ax: Axes, xy: NDArray[np.float64], size: float) -> None:
    points = xy.reshape(-1, 2)
    ax.scatter(
        *points.T, s=size, c=palette.position_rgb(points, (4, 5)) / 255, edgecolors=INK, zorder=3
    )


def _callout(ax: Axes, at: tuple[float, float], text_at: tuple[float, float], text: str) -> None:
    ax.annotate(
        text, at, text_at, color=INK, fontsize=10, ha="center", va="center", annotation_clip=False,
        arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkB": 2},
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )  # fmt: skip


FIGURES: dict[str, Callable[[], NDArray[np.uint8] | Figure]] = {
    "matches": draw_matches,
    "axes": draw_axes,
    "pixels": draw_pixels,
    "chain": draw_chain,
    "queries": draw_queries,
    "verdicts": draw_verdicts,
    "confidence": draw_confidence,
}


def encode(drawing: NDArray[np.uint8] | Figure) -> bytes:
    """A PNG of at most ``MAX_BYTES``, with the finest steps of grey level that fit.

    Raises:
        ValueError: it does not fit even in steps of 16 levels, where steps become visible.
    """
    if isinstance(drawing, Figure):
        buffer = io.BytesIO()
        drawing.savefig(buffer, format="png", dpi=100, facecolor="white")
        decoded = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)
        drawing = np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
    for step in (1, 2, 4, 6, 8, 12, 16):
        coarse = np.clip(np.rint(drawing / step) * step, 0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(coarse).save(out, format="PNG", optimize=True)
        if out.tell() <= MAX_BYTES:
            return out.getvalue()
    raise ValueError(f"PNG of {out.tell()} bytes; expected at most {MAX_BYTES}; draw it smaller")


def main() -> None:
    """Draw all figures, or those named."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(FIGURES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures")
    arguments = parser.parse_args()
    mpl.rcParams["font.family"] = "DejaVu Sans"  # ships with matplotlib, so the same everywhere
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or FIGURES:
        data = encode(FIGURES[name]())
        (arguments.out / f"{name}.png").write_bytes(data)
        print(f"{name}.png {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
