"""Two-view geometry of matched pixels: distance from what is visible of the epipolar line, depth.

A pixel of view 0 at inverse depth w ≥ 0 lands in view 1 at r + w·e (homogeneous), where r is where
its point at infinity goes and e is K1 t. Only points in front of both cameras count, so the place
moves along a piece of the epipolar line: a segment or a half-line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cameo_data import transforms
from cameo_data.types import FloatArray


@dataclass(frozen=True, eq=False)
class EpipolarPiece:
    """Per match: the visible piece of the epipolar line in view 1, and the match's place on it.

    Attributes:
        distance_px: (N,) from the match to the piece; infinite where nothing of it is visible.
        parallax_px: (N,) from the piece's end at infinity to the nearest place; NaN without one.
        z0: (N,) depth in view 0 of the nearest place; NaN at infinity and where none is visible.
    """

    distance_px: FloatArray
    parallax_px: FloatArray
    z0: FloatArray


def pixel_transfer(
    K0: FloatArray, K1: FloatArray, cam1_from_cam0: FloatArray, xy0: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """r (N, 3) and e (3,) of the module's formula; r + w·e has depth(1) / depth(0) as its third."""
    homogeneous = np.concatenate([xy0, np.ones_like(xy0[..., :1])], -1)
    turn = K1 @ cam1_from_cam0[..., :3, :3] @ np.linalg.inv(K0)
    r = homogeneous @ np.swapaxes(turn, -1, -2)
    return r, (K1 @ cam1_from_cam0[..., :3, 3:])[..., 0]


def epipolar_piece(
    K0: FloatArray, K1: FloatArray, cam1_from_cam0: FloatArray, xy0: FloatArray, xy1: FloatArray
) -> EpipolarPiece:
    """Where each match (N, 2) of view 0 and view 1 lies relative to its epipolar line in view 1.

    All arguments may have leading axes, (P, 3, 3), (P, 4, 4) and (P, N, 2): one per pair.
    """
    r, e = pixel_transfer(K0, K1, cam1_from_cam0, xy0)
    e = e[..., None, :]  # one for all matches of a pair
    e_xy, e_z = e[..., :2], e[..., 2:]
    far = r[..., 2] > 0  # the point at infinity is in front of camera 1
    with np.errstate(divide="ignore", invalid="ignore"):
        start = np.where(far[..., None], r[..., :2] / r[..., 2:], e_xy / e_z)
        way = e_xy * r[..., 2:] - r[..., :2] * e_z
        way = np.where(far[..., None], way, -way)
        ending = far & (e[..., 2] > 0)  # the line ends in the epipole, else it goes on for ever
        length = np.where(ending, np.linalg.norm(e_xy / e_z - start, axis=-1), np.inf)
        norm = np.linalg.norm(way, axis=-1)
        unit = np.where(norm[..., None] > 0, way / norm[..., None], 0.0)
        along = np.clip(((xy1 - start) * unit).sum(-1), 0.0, length)
        nearest = start + along[..., None] * unit
        distance = np.linalg.norm(xy1 - nearest, axis=-1)
        # nearest = (r + w e)_xy / (r + w e)_z, solved for w along the line
        w = -((r[..., :2] - nearest * r[..., 2:]) * unit).sum(-1)
        w /= ((e_xy - nearest * e_z) * unit).sum(-1)
        z0 = np.where(w > 0, 1.0 / w, np.nan)
    seen = far | (e[..., 2] > 0)
    return EpipolarPiece(
        np.where(seen, distance, np.inf),
        np.where(far, along, np.nan),
        np.where(seen, z0, np.nan),
    )


def epipolar_distance(
    K0: FloatArray, K1: FloatArray, cam1_from_cam0: FloatArray, xy0: FloatArray, xy1: FloatArray
) -> FloatArray:
    """(N,) pixels: mean of the distances in both views."""
    there = epipolar_piece(K0, K1, cam1_from_cam0, xy0, xy1).distance_px
    back = epipolar_piece(K1, K0, transforms.invert(cam1_from_cam0), xy1, xy0).distance_px
    return (there + back) / 2


def transfer(
    K0: FloatArray, K1: FloatArray, cam1_from_cam0: FloatArray, xy0: FloatArray, z0: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Pixels (N, 2) in view 1, NaN behind it, and z-depth (N,) there, of pixels at depth ``z0``."""
    r, e = pixel_transfer(K0, K1, cam1_from_cam0, xy0)
    p = r * z0[:, None] + e
    front = p[:, 2] > 0
    xy1 = p[:, :2] / np.where(front, p[:, 2], 1.0)[:, None]
    return np.where(front[:, None], xy1, np.nan), p[:, 2]
