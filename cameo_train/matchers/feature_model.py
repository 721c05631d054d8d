"""The interface of everything that can be measured."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class MissingWeights(ValueError):
    """Weights, or a package that carries or runs them, are not here; one line says what to get."""


class DenseFeatures(Protocol):
    """A descriptor for each cell of a grid over an image.

    Attributes:
        name: how its rows are called.
    """

    name: str

    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, h, w) float32 of images (B, 3, H, W) in [−1, 1], RGB.

        Token (row i, column j) lies at pixel ((j + 0.5)·W/w, (i + 0.5)·H/h).
        """
        ...


class KeypointMatcher(Protocol):
    """Matches of its own choosing between two images.

    Attributes:
        name: how its rows are called.
    """

    name: str

    def matches(self, image0: Tensor, image1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """xy0 (N, 2), xy1 (N, 2) and score (N,) of images (3, H, W) in [−1, 1], RGB.

        Pixels as everywhere: the top-left one's centre is (0.5, 0.5). A higher score is better.
        """
        ...
