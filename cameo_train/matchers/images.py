"""Images in the form that extractors need, and grids over them."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cameo_data.errors import UsageError

LOG = logging.getLogger(__name__)


class WholeCells:
    """Resizes images to the nearest whole number of cells and notes each size once.

    A resized image covers the same view, so token (i, j) of h×w stays at ((j + 0.5)·W/w,
    (i + 0.5)·H/h) of the original.

    Attributes:
        notes: one line per image size that was resized, for the report.
    """

    def __init__(self, name: str, cell: int) -> None:
        self.name, self.cell = name, cell
        self.notes: list[str] = []

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, h·cell, w·cell) of (B, 3, H, W)."""
        hw = (images.shape[-2], images.shape[-1])
        new = tuple(max(1, round(n / self.cell)) * self.cell for n in hw)
        if new == hw:
            return images
        note = (
            f"{self.name}: images of {hw[0]}×{hw[1]} (h×w) are resized to {new[0]}×{new[1]}, "
            f"a whole number of {self.cell}-pixel cells"
        )
        if note not in self.notes:
            self.notes.append(note)
            LOG.warning("%s", note)
        return functional.interpolate(
            images, size=new, mode="bicubic", antialias=True, align_corners=False
        ).clamp(-1, 1)


def check_images(images: Tensor, name: str) -> tuple[int, int]:
    """H and W of (B, 3, H, W) images.

    Raises:
        ValueError: the images have another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"{name}: images are {tuple(images.shape)}; expected (B, 3, H, W)")
    return images.shape[-2], images.shape[-1]


def grid_centres(hw: tuple[int, int], stride: int, name: str) -> tuple[tuple[int, int], Tensor]:
    """A grid of H // stride by W // stride cells over an image: its (h, w), and (h·w, 2) centres.

    Raises:
        UsageError: the image is smaller than one cell.
    """
    h, w = hw[0] // stride, hw[1] // stride
    if not h or not w:
        raise UsageError(
            f"{name}: stride is {stride}, images are {hw[0]}×{hw[1]}; give a smaller one"
        )
    y, x = ((torch.arange(n) + 0.5) * (size / n) for n, size in ((h, hw[0]), (w, hw[1])))
    return (h, w), torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def grey(image: Tensor) -> NDArray[np.uint8]:
    """(H, W) 8-bit grey of a (3, H, W) image in [−1, 1]."""
    import cv2

    rgb = ((image.float().cpu().movedim(0, -1) + 1) * 127.5).round().clamp(0, 255)
    found: NDArray[np.uint8] = cv2.cvtColor(rgb.byte().numpy(), cv2.COLOR_RGB2GRAY)
    return found
