"""The input of a pair of views: two prepared views and the geometry between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.correspondence.steps import NO_STEPS, Steps
from cameo_data.types import Camera


@dataclass(frozen=True, eq=False)
class PreparedView:
    """A view prepared once for all pairs that it is part of.

    Attributes:
        inverse_depth: (H + 2·PAD, W + 2·PAD) float32, 0 where unknown and in the margin.
        cells: uint8 of the same shape; says which cells between four pixels are smooth.
        mask: (H, W) bool or None; restricts queries and targets in this view.
        steps: the steps in which depth is stored, if any.
        sparse: whether most known pixels lack a known neighbour.
    """

    camera: Camera
    inverse_depth: NDArray[np.float32]
    cells: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    steps: Steps = NO_STEPS
    sparse: bool = False


@dataclass(frozen=True, eq=False)
class PairGeometry:
    """The map of a homogeneous pixel (u, v, 1) with inverse depth w from view 0 to view 1.

    Attributes:
        homography: (3, 3), K1 R K0⁻¹: where points at infinity go.
        epipole1: (3,), K1 t; the landing place is (homography · (u, v, 1) + epipole1 · w), and
            its inverse depth w divided by the third coordinate.
        epipole0: (3,), K0 · (camera 1's centre in camera 0).
        plane_map: (3, 3), homography⁻ᵀ: maps the coefficients of inverse depth as a linear
            function of (u, v, 1) from view 0 to view 1, up to scale.
    """

    homography: NDArray[np.float64]
    epipole1: NDArray[np.float64]
    epipole0: NDArray[np.float64]
    plane_map: NDArray[np.float64]

    @classmethod
    def between(cls, camera0: Camera, camera1: Camera) -> PairGeometry:
        """The map between two cameras of one world."""
        cam1_from_cam0 = camera1.cam_from_world @ camera0.world_from_cam
        homography = camera1.K @ cam1_from_cam0[:3, :3] @ np.linalg.inv(camera0.K)
        return cls(
            homography,
            camera1.K @ cam1_from_cam0[:3, 3],
            camera0.K @ transforms.invert(cam1_from_cam0)[:3, 3],
            np.ascontiguousarray(np.linalg.inv(homography).T),
        )
