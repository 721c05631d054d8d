"""Changes of a group of views that carry its cameras, depths and matches along.

Each returns a new ``Sample``; matches are moved, never computed again, so they stay exactly those
of the shard. Conventions: ``docs/conventions.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.frames import resize_view
from cameo_data.types import Camera, DepthMap, PairMaps, Sample, Verdict, View

# x → −x of camera and world alike: what a mirror beside the scene shows
_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def reorder(sample: Sample, order: Sequence[int]) -> Sample:
    """The views in another order, or some of them."""
    chosen = list(order)
    pick = np.ix_(chosen, chosen)
    maps = {
        stride: PairMaps(stride, one.xy[pick], one.verdict[pick], one.confidence[pick])
        for stride, one in sample.correspondence.items()
    }
    return replace(
        sample,
        frame_ids=tuple(sample.frame_ids[i] for i in chosen),
        cameras=tuple(sample.cameras[i] for i in chosen),
        images=tuple(sample.images[i] for i in chosen),
        encoded=tuple(sample.encoded[i] for i in chosen) if sample.encoded else (),
        depths=tuple(sample.depths[i] for i in chosen),
        masks=tuple(sample.masks[i] for i in chosen),
        correspondence=maps,
        rotation_deg=sample.rotation_deg[pick],
        overlap=sample.overlap[pick],
    )


def flip(sample: Sample) -> Sample:
    """All views mirrored left to right: the scene in a mirror, a scene as good as the first."""
    width = sample.cameras[0].hw[1]

    def camera(old: Camera) -> Camera:
        K = old.K.copy()
        K[0, 2] = width - K[0, 2]
        K[0, 1] = -K[0, 1]
        return Camera(K, old.hw, _MIRROR @ old.cam_from_world @ _MIRROR)

    def maps(old: PairMaps) -> PairMaps:
        xy = old.xy[..., ::-1, :].copy()
        # [0, W) is open on the right: what was at 0 must not come out at W
        xy[..., 0] = np.minimum(width - xy[..., 0], np.nextafter(np.float32(width), np.float32(0)))
        return PairMaps(
            old.stride, xy, old.verdict[..., ::-1].copy(), old.confidence[..., ::-1].copy()
        )

    if width % max(sample.correspondence, default=1):
        raise ValueError(
            f"width {width} is no multiple of stride {max(sample.correspondence)}; a flip would "
            "move the query grid"
        )
    return replace(
        sample,
        cameras=tuple(camera(c) for c in sample.cameras),
        images=tuple(np.ascontiguousarray(image[:, ::-1]) for image in sample.images),
        encoded=(),
        depths=tuple(_window(d, np.s_[:, ::-1]) for d in sample.depths),
        masks=tuple(None if m is None else np.ascontiguousarray(m[:, ::-1]) for m in sample.masks),
        correspondence={stride: maps(one) for stride, one in sample.correspondence.items()},
    )


def crop(sample: Sample, top: int, left: int, hw: tuple[int, int]) -> Sample:
    """One window of all views. Points that land outside it become OUTSIDE.

    Raises:
        ValueError: the window leaves the images, or does not lie on the grid of every stored
            stride.
    """
    for stride in sample.correspondence:
        if any(v % stride for v in (top, left, *hw)):
            raise ValueError(
                f"window {hw[0]}×{hw[1]} at ({top}, {left}) is not on the grid of stride {stride}"
            )
    window = np.s_[top : top + hw[0], left : left + hw[1]]
    return replace(
        sample,
        cameras=tuple(cameras.crop(c, top, left, hw) for c in sample.cameras),
        images=tuple(np.ascontiguousarray(image[window]) for image in sample.images),
        encoded=(),
        depths=tuple(_window(d, window) for d in sample.depths),
        masks=tuple(None if m is None else np.ascontiguousarray(m[window]) for m in sample.masks),
        correspondence={
            stride: _cropped(one, top, left, hw) for stride, one in sample.correspondence.items()
        },
    )


def scaled_hw(hw: tuple[int, int], side: int) -> tuple[int, int]:
    """The size of the same shape whose shorter side is ``side``.

    Raises:
        ValueError: the longer side would be no whole number of pixels.
    """
    short = min(hw)
    if any(v * side % short for v in hw):
        raise ValueError(
            f"images of {hw[0]}×{hw[1]} (h×w) cannot be scaled to a shorter side of {side}: "
            f"the longer one would be {max(hw) * side / short:g} pixels"
        )
    return hw[0] * side // short, hw[1] * side // short


def resize(sample: Sample, side: int) -> Sample:
    """All views scaled to a shorter side of ``side`` pixels; matches are left out.

    Depth is looked up at the new pixels' centres, as when shards are built.

    Raises:
        ValueError: as of ``scaled_hw``.
    """
    hw = scaled_hw(sample.cameras[0].hw, side)
    parts = zip(
        sample.frame_ids, sample.cameras, sample.images, sample.depths, sample.masks, strict=True
    )
    views = [
        resize_view(View(frame_id, camera, image, depth, mask), hw)
        for frame_id, camera, image, depth, mask in parts
    ]
    return replace(
        sample,
        cameras=tuple(view.camera for view in views),
        images=tuple(view.image for view in views),
        encoded=(),
        depths=tuple(view.depth for view in views),
        masks=tuple(view.mask for view in views),
        correspondence={},
    )


def _cropped(maps: PairMaps, top: int, left: int, hw: tuple[int, int]) -> PairMaps:
    s = maps.stride
    window = np.s_[:, :, top // s : (top + hw[0]) // s, left // s : (left + hw[1]) // s]
    xy = maps.xy[window] - np.array([left, top], np.float32)
    verdict, confidence = maps.verdict[window].copy(), maps.confidence[window].copy()
    landed = np.isfinite(xy).all(-1)
    outside = landed & ~((xy >= 0) & (xy < np.array([hw[1], hw[0]], np.float32))).all(-1)
    xy[outside] = np.nan
    verdict[outside] = Verdict.OUTSIDE
    confidence[outside] = 0
    return PairMaps(s, xy, verdict, confidence)


def _window(depth: DepthMap, window: Any) -> DepthMap:
    return DepthMap(
        np.ascontiguousarray(depth.z[window]), np.ascontiguousarray(depth.valid[window])
    )


def shares(maps: Mapping[int, PairMaps]) -> NDArray[np.float64]:
    """(6,) shares of the verdicts over all ordered pairs at the finest stored stride."""
    if not maps:
        return np.zeros(len(Verdict))
    verdict = maps[min(maps)].verdict
    off_diagonal = ~np.eye(verdict.shape[0], dtype=bool)
    counts = np.bincount(verdict[off_diagonal].reshape(-1), minlength=len(Verdict))
    found: NDArray[np.float64] = counts / max(1, counts.sum())
    return found
