"""The interfaces of the feature models and matchers that can be measured."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class MissingWeights(ValueError):
    """Weights, or a package that contains or runs them, are missing; one line says what to get."""


class DenseFeatures(Protocol):
    """A model that gives a descriptor for each cell of a grid over an image.

    Attributes:
        name: name of its rows.
    """

    name: str

    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, h, w) float32 descriptors of images (B, 3, H, W) in [−1, 1], RGB.

        Token (row i, column j) is at pixel ((j + 0.5)·W/w, (i + 0.5)·H/h).
        """
        ...


class KeypointMatcher(Protocol):
    """A matcher that chooses its own points in two images.

    Attributes:
        name: name of its rows.
    """

    name: str

    def matches(self, image0: Tensor, image1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """xy0 (N, 2), xy1 (N, 2) and score (N,) of images (3, H, W) in [−1, 1], RGB.

        As everywhere, the centre of the top-left pixel is (0.5, 0.5). A higher score is better.
        """
        ...
