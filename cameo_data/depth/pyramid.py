"""One view and its neighbours at several sizes: how deep to sweep, and the surface found.

The stages of ``surface`` in their order: a coarse sweep bounds the depth, a finer one finds the
surface, and the sizes up to the full one refine it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.depth.method import DepthScene
from cameo_data.depth.sparse import ENOUGH_POINTS, SparseScene
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import Camera

if TYPE_CHECKING:
    import torch

# Longer side at which planes are swept, at most; finer sizes refine.
SWEEP_SIDE = 384
# Windows are squares of 2·radius + 1: in the sweep, and around a surface.
SWEEP_RADIUS, SURFACE_RADIUS = 1, 2
# Offsets from the surface that are tried, in steps of the sweep; first wide, then fine.
WIDE = tuple(0.5 * k for k in range(-4, 5))
FINE = tuple(0.25 * k for k in range(-3, 4))
# Inverse depths are smoothed over differences of GUIDE_SPREAD steps of the sweep before they guide
# windows, and of FINAL_SPREAD at the end.
GUIDE_SPREAD, FINAL_SPREAD = 1.5, 0.7
# Distance between planes in the view that moves most, and limits of their number.
PLANE_PX = 1.0
MOST_PLANES, FEWEST_PLANES = 256, 16
# Without points, planes reach as near as this share of the image's width of parallax.
WIDEST_PARALLAX = 0.5
# With points, beyond the nearest and farthest of them by these factors.
NEARER, FARTHER = 2.5, 0.25
# Of the coarse sweep, costs that count as found, and the share of them at either end that may be
# wrong; of points, that share; and the margin around the rest.
FOUND_COST, STRAY_SHARE, STRAY_POINTS, MARGIN = 0.15, 0.02, 0.005, 1.3
# Smaller sizes at which the surface found is judged as well: on faint patterns and on carpets
# only large windows correlate.
JUDGED_AT = (2, 4)


class Pyramid:
    """A view and its neighbours at several sizes."""

    def __init__(self, scene: DepthScene, number: int, others: Sequence[int], device: str) -> None:
        self.scene, self.number, self.others, self.device = scene, number, others, device

    @property
    def factors(self) -> list[int]:
        """How much smaller the views are at each stage; the last is 1."""
        factor = 1
        while max(self.scene.camera(self.number).hw) / factor > SWEEP_SIDE:
            factor *= 2
        found = [factor]
        while found[-1] > 1:
            found.append(found[-1] // 2)
        return found

    def camera(self, number: int, factor: int) -> Camera:
        camera = self.scene.camera(number)
        hw = max(1, camera.hw[0] // factor), max(1, camera.hw[1] // factor)
        return cameras.resize(camera, hw)

    def grey(self, number: int, factor: int) -> torch.Tensor:
        """(H, W) in [−½, ½]."""
        import torch

        image = cv2.cvtColor(self.scene.image(number), cv2.COLOR_RGB2GRAY)
        height, width = self.camera(number, factor).hw
        if factor > 1:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image.astype(np.float32) / 255 - 0.5).to(self.device)

    def level(self, factor: int, radius: int) -> tuple[Any, list[Any]]:
        """The view and its neighbours as ``sweep`` compares them."""
        from cameo_data.depth import sweep

        own = self.camera(self.number, factor)
        ref = sweep.reference(self.grey(self.number, factor), radius, factor)
        return ref, [
            sweep.neighbour(own, self.camera(n, factor), self.grey(n, factor)) for n in self.others
        ]


def find_surface(
    work: Pyramid, near_far: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Inverse depth and cost (H, W) at full size, and the number of planes swept."""
    import torch

    from cameo_data.depth import surface, sweep

    first, *finer = work.factors
    planes = plane_count(work, near_far, first)
    levels = torch.linspace(*near_far, planes, device=work.device)
    step = float(levels[1] - levels[0])
    ref, others = work.level(first, SWEEP_RADIUS)
    w, _ = surface.first_surface(ref, others, levels)
    for factor in finer or [first]:
        ref, others = work.level(factor, SURFACE_RADIUS)
        w = surface.enlarged(w, work.camera(work.number, factor).hw)
        guide = surface.smooth(surface.median(surface.median(w)), GUIDE_SPREAD * step)
        w, _ = surface.refine(ref, others, guide, step, WIDE)
        for distance in (4, 2):
            w = surface.take_over(ref, others, w, distance)
        guide = surface.smooth(surface.median(surface.median(w)), GUIDE_SPREAD * step)
        w, _ = surface.refine(ref, others, guide, step, FINE)
        w = surface.smooth(surface.median(w), FINAL_SPREAD * step)
        # at twice the size a step in inverse depth is twice as many pixels
        step /= 2 if len(finer) > 1 else 1
    cost = sweep.cost(ref, others, w[None])[0]
    for factor in JUDGED_AT:
        ref, others = work.level(factor, SURFACE_RADIUS)
        small = surface.reduced(w, work.camera(work.number, factor).hw)
        seen = sweep.cost(ref, others, small[None])[0]
        cost = torch.minimum(cost, surface.enlarged(seen, (w.shape[0], w.shape[1])))
    return w.cpu().numpy(), cost.cpu().numpy(), planes


def depth_range(
    work: Pyramid, sparse: SparseScene, near: float | None, far: float | None
) -> tuple[float, float]:
    """Least and largest inverse depth to sweep; ``near`` and ``far`` are depths that are given.

    Raises:
        FileDefect: they leave no range.
    """
    import torch

    from cameo_data.depth import surface

    wide = _bounds(work, sparse)
    factor = 2 * work.factors[0]
    ref, others = work.level(factor, SURFACE_RADIUS)
    levels = torch.linspace(*wide, plane_count(work, wide, factor), device=work.device)
    w, cost = surface.first_surface(ref, others, levels)
    found = w[cost < FOUND_COST].cpu().numpy()
    _, points = sparse.points(work.number)
    low, high = wide
    if len(found) > ENOUGH_POINTS:
        ends = [np.quantile(found, [STRAY_SHARE, 1 - STRAY_SHARE])]
        if len(points) >= ENOUGH_POINTS:
            ends.append(np.quantile(points, [STRAY_POINTS, 1 - STRAY_POINTS]))
        low = max(float(np.min(ends)) / MARGIN, wide[0])
        high = min(float(np.max(ends)) * MARGIN, wide[1])
    low = 1 / far if far is not None else low
    high = 1 / near if near is not None else high
    if not low < high:
        raise FileDefect(
            Reason.METHOD_FAILED,
            f"depth from {1 / high:.3g} to {1 / low:.3g}",
            "near below far",
            "correct -m near and -m far, or leave them out",
        )
    return float(low), float(high)


def _bounds(work: Pyramid, sparse: SparseScene) -> tuple[float, float]:
    """Inverse depths that surely enclose the view's: by its points, or else by parallax."""
    _, mine = sparse.points(work.number)
    points = mine if len(mine) >= ENOUGH_POINTS else sparse.w
    nearest = _parallax_bound(work)
    if len(points) < ENOUGH_POINTS:
        # far away to the eye is a thousandth of the nearest inverse depth
        return nearest * 1e-3, nearest
    low, high = np.quantile(points, [0.02, 0.98])
    return FARTHER * float(low), max(NEARER * float(high), 2 * FARTHER * float(low))


def _parallax_bound(work: Pyramid) -> float:
    """Inverse depth at which the nearest neighbour sees a point half an image aside."""
    from cameo_data.depth import sweep

    own = work.scene.camera(work.number)
    moved = []
    for n in work.others:
        _, b = sweep.epipolar(own, work.scene.camera(n))
        moved.append(float(np.linalg.norm(b)) / own.hw[1])
    return WIDEST_PARALLAX / min(m for m in moved if m > 0)


def plane_count(work: Pyramid, near_far: tuple[float, float], factor: int) -> int:
    """So many that half of the views see neighbouring planes ``PLANE_PX`` apart or less."""
    from cameo_data.depth import sweep

    own = work.camera(work.number, factor)
    x, y = np.meshgrid(np.linspace(0.1, 0.9, 5) * own.hw[1], np.linspace(0.1, 0.9, 5) * own.hw[0])
    pixels = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], -1)
    w = np.linspace(*near_far, 17)[:, None, None]
    lengths = []
    for n in work.others:
        A, b = sweep.epipolar(own, work.camera(n, factor))
        moved = pixels @ A.T + w * b
        ahead = moved[..., 2:] > 0
        at = np.where(ahead, moved[..., :2] / np.where(ahead, moved[..., 2:], 1.0), np.nan)
        limit = np.array([own.hw[1], own.hw[0]])
        at = np.where(
            (at > -limit).all(-1) & (at < 2 * limit).all(-1), at.transpose(2, 0, 1), np.nan
        )
        steps = np.linalg.norm(np.diff(at.transpose(1, 2, 0), axis=0), axis=-1)
        lengths.append(float(np.quantile(np.nansum(steps, 0), 0.75)))
    return int(np.clip(np.ceil(np.median(lengths) / PLANE_PX) + 1, FEWEST_PLANES, MOST_PLANES))
