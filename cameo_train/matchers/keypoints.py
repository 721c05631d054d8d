"""Kinds of matchers that choose their own points: SIFT, and ALIKED or DISK with LightGlue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cameo_data.errors import UsageError
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.feature_model import KeypointMatcher
from cameo_train.matchers.features import no_main
from cameo_train.matchers.images import grey

Matches = tuple[Tensor, Tensor, Tensor]
MIN_SIDE = 16  # pixels: DISK's coarsest cell; no detector here finds anything in a smaller image
HALF = 0.5  # from the centre of the first pixel, where OpenCV and kornia count from, to its corner


class SiftMatcher:
    """OpenCV's SIFT keypoints; matches that are nearest both ways and pass Lowe's ratio test.

    The score is one minus the ratio of the distances to the nearest and the second nearest.

    Args:
        ratio: largest ratio that is kept.
        max_keypoints: number of the strongest keypoints to keep per image; 0 keeps all.
    """

    def __init__(self, name: str, *, ratio: float, max_keypoints: int) -> None:
        import cv2

        self.name, self.ratio = name, ratio
        # Without precise upscaling all keypoints are off by a quarter of a pixel.
        self.sift = cv2.SIFT.create(nfeatures=max_keypoints, enable_precise_upscale=True)
        self.matcher = cv2.BFMatcher()

    def matches(self, image0: Tensor, image1: Tensor) -> Matches:
        """xy0, xy1 and scores, on the device of the images."""
        (xy0, values0), (xy1, values1) = (self._detected(i) for i in (image0, image1))
        if min(len(xy0), len(xy1)) < 2:
            return _none(image0)
        index, score = [], []
        back = [match.trainIdx for match in self.matcher.match(values1, values0)]
        for first, second in self.matcher.knnMatch(values0, values1, k=2):
            ratio = first.distance / second.distance if second.distance else 1.0
            if ratio <= self.ratio and back[first.trainIdx] == first.queryIdx:
                index.append((first.queryIdx, first.trainIdx))
                score.append(1 - ratio)
        if not index:
            return _none(image0)
        at, device = torch.tensor(index), image0.device
        scores = torch.tensor(score, dtype=torch.float32, device=device)
        return xy0[at[:, 0]].to(device), xy1[at[:, 1]].to(device), scores

    def _detected(self, image: Tensor) -> tuple[Tensor, Any]:
        points, values = self.sift.detectAndCompute(grey(image), None)
        xy = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
        return torch.from_numpy(xy) + HALF, values


class LightGlueMatcher:
    """Keypoints of ALIKED or DISK, matched by LightGlue; the score is LightGlue's, in [0, 1].

    Images keep their own size; LightGlue's scripts resize them to 1024 pixels first.

    Args:
        extract: function from (1, 3, H, W) in [0, 1] to keypoints (N, 2), counted from the centre
            of the first pixel, and descriptors (N, D).
        lightglue: network from ``lightglue_weights.lightglue`` for these features.
    """

    def __init__(
        self, extract: Callable[[Tensor], tuple[Tensor, Tensor]], lightglue: Any, name: str
    ) -> None:
        self.extract, self.lightglue, self.name = extract, lightglue, name

    @torch.no_grad()
    def matches(self, image0: Tensor, image1: Tensor) -> Matches:
        """xy0, xy1 and scores, on the device of the images."""
        found = []
        for image in (image0, image1):
            hw = (image.shape[-2], image.shape[-1])
            if min(hw) < MIN_SIDE:
                raise UsageError(
                    f"{self.name}: images are {hw[0]}×{hw[1]}; needs {MIN_SIDE} pixels a side"
                )
            xy, values = self.extract((image.float()[None] + 1) / 2)
            size = torch.tensor([[hw[1], hw[0]]], device=image.device)
            found.append({"keypoints": xy[None], "descriptors": values[None], "image_size": size})
        if not all(view["keypoints"].shape[1] for view in found):
            return _none(image0)
        matched = self.lightglue({"image0": found[0], "image1": found[1]})
        at = matched["matches"][0]
        xy0, xy1 = (view["keypoints"][0, at[:, i]] + HALF for i, view in enumerate(found))
        return xy0, xy1, matched["scores"][0]


def _none(image: Tensor) -> Matches:
    empty = image.new_zeros(0, dtype=torch.float32)
    return empty.view(0, 2), empty.view(0, 2), empty


def _sift(argument: str | None, device: torch.device) -> KeypointMatcher:
    read = Argument("sift-matches", argument)
    ratio = read.option("ratio", 0.8, low=0.0, high=1.0)  # Lowe 2004, section 7.1
    max_keypoints = read.option("max", 2048, low=0)
    read.close()
    no_main(read)
    return SiftMatcher(read.name, ratio=ratio, max_keypoints=max_keypoints)


def _lightglue(kind: str, argument: str | None, device: torch.device) -> KeypointMatcher:
    from cameo_train.matchers import lightglue_weights

    read = Argument(f"{kind}-lightglue", argument)
    most = read.option("max", lightglue_weights.MAX_KEYPOINTS, low=1)
    read.close()
    no_main(read)
    # LightGlue was trained on the descriptors of these two: ALIKED n16, and DISK trained with depth
    net = (
        lightglue_weights.aliked("n16", max_keypoints=most)
        if kind == "aliked"
        else lightglue_weights.disk()
    )
    net.to(device)

    def extract(image: Tensor) -> tuple[Tensor, Tensor]:
        if kind == "aliked":
            found = net(image)[0]
        else:
            found = net(image, n=most, pad_if_not_divisible=True)[0]
        return found.keypoints, found.descriptors

    return LightGlueMatcher(extract, lightglue_weights.lightglue(kind).to(device), read.name)


# kind -> factory of its argument (what follows the colon, None without) and the device
KEYPOINTS: dict[str, Callable[[str | None, torch.device], KeypointMatcher]] = {
    "sift-matches": _sift,
    "aliked-lightglue": partial(_lightglue, "aliked"),
    "disk-lightglue": partial(_lightglue, "disk"),
}
