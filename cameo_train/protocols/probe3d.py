"""The correspondence evaluations of Probe3D (El Banani et al. 2024) on NAVI and ScanNet.

Formulation after github.com/mbanani/probe3d, commit a1f1464: evaluate_navi_correspondence.py,
evaluate_scannet_correspondence.py and evals/utils/correspondence.py. In both, every 4th pixel with
depth is matched, by the cosine of the features, with all such points of the other view; the 1000
matches with the smallest ratio of nearest to second nearest distance count, whether the other view
sees the point or not.

- NAVI: features are interpolated bicubically to the grid. The error is between the two points, in
  space, and between their projections into view 1.
- ScanNet: features are read bilinearly at the grid's points. The error is between the projections,
  in pixels of the quarter-size grid: 10 px are 40 px of the image.

Both take a grid point's depth from the top-left pixel of its 4×4 pixels but place it (ScanNet), or
read its feature (NAVI), at their centre: 1.5 px away, in both views. We keep that.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cameo_train.protocols.named import PairErrors
from cameo_train.protocols.nearest import two_best

STEP = 4  # pixels per grid point: scale_factor 0.25 of both configurations
MATCHES = 1000  # num_corr
SMALLEST = 1e-9  # least distance and depth: the published code clamps here


def navi_errors(
    features0: Tensor,
    features1: Tensor,
    points0: Tensor,
    points1: Tensor,
    cam1_from_cam0: Tensor,
    K1: Tensor,
    *,
    matches: int = MATCHES,
) -> PairErrors:
    """The matches of one ordered pair that count.

    Args:
        features0, features1: (C, h, w), over the whole image, any grid.
        points0, points1: (3, H, W) points of the pixels, each in its own camera's frame, z ≤ 0
            where unknown (``points_of``).
        cam1_from_cam0: (4, 4).
        K1: (3, 3) intrinsics of view 1, in pixels.

    Returns:
        Errors in pixels of the image and in the scene's unit; none if either view has fewer than
        two points.

    Raises:
        ValueError: the sizes do not fit each other.
    """
    _check(features0, features1, points0, points1, channels=3)
    described = []
    for features, points in ((features0, points0), (features1, points1)):
        grid = _every_step(points)
        hw = (grid.shape[1], grid.shape[2])
        upsampled = functional.interpolate(features[None].float(), size=hw, mode="bicubic")[0]
        known = grid[2] > 0
        xy = _centres(hw, grid)
        described.append((upsampled[:, known].T, grid[:, known].T, xy[known] * STEP))
    (f0, p0, xy0), (f1, p1, xy1) = described
    return _errors(f0, f1, p0, p1, xy0, xy1, cam1_from_cam0, K1, matches)


def scannet_errors(
    features0: Tensor,
    features1: Tensor,
    depth0: Tensor,
    depth1: Tensor,
    K0: Tensor,
    K1: Tensor,
    cam1_from_cam0: Tensor,
    *,
    matches: int = MATCHES,
) -> PairErrors:
    """The matches of one ordered pair that count.

    Args:
        features0, features1: (C, h, w), over the whole image, any grid.
        depth0, depth1: (H, W) z-depth, ≤ 0 where unknown.
        K0, K1: (3, 3) intrinsics, in pixels of the depth.
        cam1_from_cam0: (4, 4).

    Returns:
        Errors in pixels of the quarter-size grid and in the scene's unit; none if either view has
        fewer than two points.

    Raises:
        ValueError: the sizes do not fit each other.
    """
    _check(features0, features1, depth0[None], depth1[None], channels=1)
    described = []
    for features, depth, K in ((features0, depth0, K0), (features1, depth1, K1)):
        z = _every_step(depth[None].float())[0]
        small = _quarter(K)
        points = _unproject(z, small)
        known = z > 0
        xy = _centres((z.shape[0], z.shape[1]), z)[known]
        size = torch.tensor([z.shape[1], z.shape[0]], dtype=xy.dtype, device=xy.device)
        read = functional.grid_sample(
            features[None].float(), (2 * xy / size - 1)[None, None], align_corners=False
        )[0, :, 0].T
        described.append((read, points[:, known].T, xy * STEP))
    (f0, p0, xy0), (f1, p1, xy1) = described
    return _errors(f0, f1, p0, p1, xy0, xy1, cam1_from_cam0, _quarter(K1), matches)


def points_of(depth: Tensor, K: Tensor) -> Tensor:
    """(3, H, W) points of the pixels' centres in the camera's frame; 0 where the depth is ≤ 0.

    Args:
        depth: (H, W) z-depth.
        K: (3, 3) intrinsics, in pixels of the depth.
    """
    return _unproject(torch.where(depth > 0, depth, 0.0).float(), K)


def ratio_matches(features0: Tensor, features1: Tensor, matches: int) -> tuple[Tensor, Tensor]:
    """Indices into (N, C) and (M, C) features of the best ranked matches, best first.

    Each of the N features takes the nearest of the M by cosine. Matches are ranked by one minus the
    ratio of its cosine distance to the second nearest's.
    """
    f0, f1 = (functional.normalize(f, dim=-1) for f in (features0, features1))
    _, two = two_best(lambda block: block @ f1.T, f0, len(f1))
    # Compute the distances again as 1 − cosine of the pair: the ratio of tiny distances depends on
    # the rounding.
    distance = torch.stack([1 - functional.cosine_similarity(f1[i], f0) for i in two.T], 1)
    distance = distance.clamp(min=SMALLEST)
    weight = 1 - distance[:, 0] / distance[:, 1]
    best = weight.topk(min(matches, len(weight))).indices
    return best, two[best, 0]


def _errors(
    features0: Tensor,
    features1: Tensor,
    points0: Tensor,
    points1: Tensor,
    xy0: Tensor,
    xy1: Tensor,
    cam1_from_cam0: Tensor,
    K1: Tensor,
    matches: int,
) -> PairErrors:
    if min(len(features0), len(features1)) < 2:
        none = features0.new_zeros(0)
        return PairErrors(none.view(0, 2), none.view(0, 2), none, none)
    index0, index1 = ratio_matches(features0, features1, matches)
    rigid = cam1_from_cam0.to(points0)
    moved = points0[index0] @ rigid[:3, :3].T + rigid[:3, 3]
    found = points1[index1]
    return PairErrors(
        xy0=xy0[index0],
        xy1=xy1[index1],
        error_px=(_project(moved, K1) - _project(found, K1)).norm(dim=1),
        error_3d=(moved - found).norm(dim=1),
    )


def _project(points: Tensor, K: Tensor) -> Tensor:
    """(N, 2) pixels; points behind the camera land far away and miss, as in the published code."""
    homogeneous = points @ K.to(points).T
    return homogeneous[:, :2] / homogeneous[:, 2:].clamp(min=SMALLEST)


def _unproject(z: Tensor, K: Tensor) -> Tensor:
    xy = _centres((z.shape[0], z.shape[1]), z)
    rays = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ K.inverse().to(z).T
    return (rays * z[..., None]).movedim(-1, 0)


def _centres(hw: tuple[int, int], like: Tensor) -> Tensor:
    """(h, w, 2) centres of a grid's cells, in cells."""
    y, x = (torch.arange(n, dtype=like.dtype, device=like.device) + 0.5 for n in hw)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _every_step(values: Tensor) -> Tensor:
    """(..., H // 4, W // 4) values that nearest-neighbour interpolation by 0.25 takes."""
    h, w = (n // STEP * STEP for n in values.shape[-2:])
    return values[..., :h:STEP, :w:STEP]


def _quarter(K: Tensor) -> Tensor:
    return torch.cat([K[:2] / STEP, K[2:]])


def _check(
    features0: Tensor, features1: Tensor, at0: Tensor, at1: Tensor, *, channels: int
) -> None:
    for name, features, at in (("0", features0, at0), ("1", features1, at1)):
        if features.ndim != 3 or at.ndim != 3 or len(at) != channels:
            raise ValueError(
                f"view {name}: features are {tuple(features.shape)}, points or depth "
                f"{tuple(at.shape)}; expected (C, h, w) and ({channels}, H, W)"
            )
    if len(features0) != len(features1):
        raise ValueError(f"features have {len(features0)} and {len(features1)} channels")
