"""Dense descriptors of local features: ALIKED, DISK and SIFT, at every cell instead of at their
own keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cameo_train.matchers.images import check_images, grey, grid_centres

# One image at a time: at 512×512 one map takes 130 MB, and there are several.


class DenseAliked:
    """ALIKED's descriptors at the centres of a grid's cells, as at its own keypoints.

    The network's feature map has one vector per pixel; a descriptor is read from it at 16 (n32: 32)
    places around its point, which the network chooses. So these are ALIKED's real descriptors,
    unit vectors of 128 (t16: 64) channels; only the points are ours. Images of any size are padded
    with their border around the middle to multiples of 32 and the maps cut back.

    Args:
        net: network from ``lightglue_weights.aliked``.
        stride: pixels per cell.
    """

    def __init__(self, net: Any, name: str, *, stride: int) -> None:
        self.net, self.name, self.stride = net, name, stride

    @torch.no_grad()
    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, H // stride, W // stride)."""
        hw = check_images(images, self.name)
        grid_hw, xy = grid_centres(hw, self.stride, self.name)
        # in ALIKED's frame −1 and 1 are the centres of the first and the last pixel
        last = torch.tensor([hw[1] - 1, hw[0] - 1])
        at = ((xy - 0.5) / last * 2 - 1).to(images.device)
        found = []
        for image in torch.split(images, 1):
            features, _ = self.net.extract_dense_map((image.float() + 1) / 2)
            found.append(self.net.desc_head(features, [at])[0][0])
        return torch.stack(found).transpose(1, 2).reshape(len(images), -1, *grid_hw)


class DenseDisk:
    """DISK's map of descriptors, one per pixel, read bilinearly at the centres of a grid's cells.

    Descriptors are unit vectors of 128 channels. Images of any size are padded with zeros at the
    right and the bottom to multiples of 16 and the map cut back, as kornia does.

    Args:
        net: network from ``lightglue_weights.disk``.
        stride: pixels per cell.
    """

    def __init__(self, net: Any, name: str, *, stride: int) -> None:
        self.net, self.name, self.stride = net, name, stride

    @torch.no_grad()
    def descriptors(self, images: Tensor) -> Tensor:
        """(B, C, H // stride, W // stride)."""
        hw = check_images(images, self.name)
        grid_hw, xy = grid_centres(hw, self.stride, self.name)
        at = (xy / torch.tensor([hw[1], hw[0]]) * 2 - 1).to(images.device)
        pad = (0, -hw[1] % 16, 0, -hw[0] % 16)
        found = []
        for image in torch.split(images, 1):
            _, maps = self.net.heatmap_and_dense_descriptors(
                functional.pad((image.float() + 1) / 2, pad)
            )
            maps = maps[..., : hw[0], : hw[1]]
            read = functional.grid_sample(maps, at.view(1, *grid_hw, 2), align_corners=False)
            found.append(functional.normalize(read, dim=1))
        return torch.cat(found)


class DenseSift:
    """OpenCV's SIFT descriptors (Lowe 2004), upright, at the centres of a grid's cells.

    A descriptor is 4×4 histograms of gradients in 8 directions, over a window of ``patch`` pixels
    per side; values are 0 to 255. Upright means that an image rotated in its plane has other
    descriptors.

    Args:
        patch: width of the window in pixels.
        stride: pixels per cell.
    """

    def __init__(self, name: str, *, patch: float, stride: int) -> None:
        import cv2

        self.name, self.patch, self.stride = name, patch, stride
        self.sift = cv2.SIFT.create()

    def descriptors(self, images: Tensor) -> Tensor:
        """(B, 128, H // stride, W // stride)."""
        import cv2

        hw = check_images(images, self.name)
        grid_hw, xy = grid_centres(hw, self.stride, self.name)
        # Each of the 4 histograms per side is 3 scales wide, and a keypoint's size is 2 scales.
        # OpenCV counts from the centre of the first pixel.
        size = self.patch / 4 / 3 * 2
        points = [cv2.KeyPoint(x, y, size, 0) for x, y in (xy - 0.5).tolist()]
        found = []
        for image in images:
            kept, values = self.sift.compute(grey(image), points)
            if len(kept) != len(points):
                raise ValueError(f"{self.name}: OpenCV dropped {len(points) - len(kept)} points")
            found.append(np.asarray(values).T.reshape(-1, *grid_hw))
        return torch.from_numpy(np.stack(found)).float().to(images.device)
