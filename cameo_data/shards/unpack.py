"""Turns the members of a shard into a sample and checks each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.io import records
from cameo_data.shards import fixed_point, layout, members
from cameo_data.shards.depth16 import EncodedDepth, decode_depth
from cameo_data.shards.layout import FULL_STRIDE, SampleMeta
from cameo_data.types import (
    Camera,
    DepthMap,
    EncodedImage,
    PairMaps,
    Sample,
    SparseMatches,
    Verdict,
)


def unpack_sample(found: Mapping[str, bytes], *, keep_encoded: bool = False) -> Sample:
    """The sample in these members, each of which is checked.

    Args:
        keep_encoded: also keep the image files' bytes, as ``Sample.encoded``.

    Raises:
        ValueError: a member is missing, not expected, damaged, or contradicts another; the
            message begins with its name.
    """
    meta = read_meta(found)
    exts = image_exts(found, len(meta.frame_ids))
    masks = layout.mask_member(0) in found
    matched = layout.MATCH_XY in found
    expected = layout.expected_members(meta, exts, masks, matched)
    if missing := sorted(expected - found.keys()):
        raise ValueError(f"{missing[0]} is missing")
    if extra := sorted(found.keys() - expected):
        raise ValueError(f"{extra[0]} belongs to no sample of this kind")
    source = _Reader(found, meta, exts)
    return Sample(
        key=meta.key,
        dataset=meta.dataset,
        scene_id=meta.scene_id,
        frame_ids=meta.frame_ids,
        unit=meta.unit,
        cameras=source.cameras(),
        images=tuple(source.image(n) for n in range(source.views)),
        encoded=source.encoded() if keep_encoded else (),
        depths=tuple(source.depth(n) for n in range(source.views)),
        masks=tuple(source.mask(n) if masks else None for n in range(source.views)),
        correspondence={stride: source.maps(stride) for stride in meta.strides},
        rotation_deg=np.array(meta.rotation_deg, np.float64),
        overlap=np.array(meta.overlap, np.float64),
        depth_source=meta.depth_source,
        overlap_stride=meta.overlap_stride,
        restricted_to_mask=meta.restricted_to_mask,
        matches=source.matches() if matched else None,
        extra=meta.extra,
    )


def read_meta(found: Mapping[str, bytes]) -> SampleMeta:
    """The sample's record.

    Raises:
        ValueError: missing, or not in the format's form; one line.
    """
    if layout.JSON not in found:
        raise ValueError("json is missing")
    return records.parse(SampleMeta, found[layout.JSON], "json")


def image_exts(names: Mapping[str, Any], views: int) -> list[str]:
    """The extension of each view's image.

    Raises:
        ValueError: a view has none, or two.
    """
    out = []
    for n in range(views):
        exts = [ext for ext in layout.IMAGE_EXTS if layout.image_member(n, ext) in names]
        if len(exts) != 1:
            raise ValueError(f"{n}.jpg, {n}.png or {n}.webp: found {len(exts)} of them, expected 1")
        out.append(exts[0])
    return out


class _Reader:
    """Members of one sample, decoded on request; errors name the member."""

    def __init__(self, found: Mapping[str, bytes], meta: SampleMeta, exts: list[str]) -> None:
        self._found, self._meta, self._exts = found, meta, exts
        self.views = len(meta.frame_ids)
        self.hw = meta.hw

    def cameras(self) -> tuple[Camera, ...]:
        K = self._array(layout.INTRINSICS, (self.views, 3, 3), "<f8")
        poses = self._array(layout.CAM_FROM_WORLD, (self.views, 4, 4), "<f8")
        return tuple(Camera(K[n], self.hw, poses[n]) for n in range(self.views))

    def image(self, n: int) -> NDArray[np.uint8]:
        name = layout.image_member(n, self._exts[n])
        with self._named(name):
            return members.decode_image(self._found[name], self._exts[n], self.hw)

    def encoded(self) -> tuple[EncodedImage, ...]:
        return tuple(
            EncodedImage(ext, self._found[layout.image_member(n, ext)])
            for n, ext in enumerate(self._exts)
        )

    def depth(self, n: int) -> DepthMap:
        low, high = self._meta.depth_inverse_range[n]
        name = layout.depth_member(n)
        codes = self._png(name, 16)
        if high == 0.0 and codes.any():
            raise ValueError(f"{name}: has depth, but json gives it no range")
        return decode_depth(EncodedDepth(codes, low, high, self._meta.depth_max_rel_error[n]))

    def mask(self, n: int) -> NDArray[np.bool_]:
        return np.asarray(self._png(layout.mask_member(n), 8) > 127)

    def maps(self, stride: int) -> PairMaps:
        xy, verdict, confidence = (
            self._full_maps() if stride == FULL_STRIDE else self._strided_maps(stride)
        )
        if verdict.size and verdict.max() > max(Verdict):
            raise ValueError(f"{layout.array_member('verdict', stride)}: unknown verdict")
        return PairMaps(
            stride,
            fixed_point.decode_xy(xy, self._meta.xy_steps_per_px),
            verdict,
            fixed_point.decode_confidence(confidence),
        )

    def matches(self) -> dict[tuple[int, int], SparseMatches]:
        views = self._array(layout.MATCH_VIEWS, (None, 2), "u1").astype(np.int64)
        xy = self._array(layout.MATCH_XY, (len(views), 2, 2), "<f4")
        height, width = self.hw
        if not ((xy >= 0) & (xy < (width, height))).all():
            raise ValueError(f"{layout.MATCH_XY}: pixels outside the views")
        order = views[:, 0] * self.views + views[:, 1]
        rising = (views[:, 0] < views[:, 1]).all() and (np.diff(order) >= 0).all()
        if not rising or (views >= self.views).any():
            raise ValueError(f"{layout.MATCH_VIEWS}: not pairs a < b of views, rising")
        found = {}
        for rows in np.split(np.arange(len(order)), np.flatnonzero(np.diff(order)) + 1):
            if len(rows):
                a, b = views[rows[0]].tolist()
                found[a, b] = SparseMatches(*xy[rows].astype(np.float64).transpose(1, 0, 2))
        return found

    def _strided_maps(self, stride: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        grid = (self.views, self.views, self.hw[0] // stride, self.hw[1] // stride)
        return (
            self._array(layout.array_member("xy", stride), (*grid, 2), "<u2"),
            self._array(layout.array_member("verdict", stride), grid, "u1"),
            self._array(layout.array_member("confidence", stride), grid, "u1"),
        )

    def _full_maps(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        grid = (self.views, self.views, *self.hw)
        xy = np.zeros((*grid, 2), np.uint16)
        verdict = np.full(grid, Verdict.NO_DEPTH, np.uint8)
        confidence = np.zeros(grid, np.uint8)
        for pair in layout.ordered_pairs(self.views):
            for plane, axis in enumerate("xy"):
                name = layout.map_member(f"xy.{axis}", pair, "png16")
                xy[pair][..., plane] = self._png(name, 16)
            for what, out in (("verdict", verdict), ("confidence", confidence)):
                out[pair] = self._png(layout.map_member(what, pair, "png8"), 8)
        return xy, verdict, confidence

    def _array(self, name: str, shape: tuple[int | None, ...], dtype: str) -> NDArray[Any]:
        with self._named(name):
            return members.decode_npy(self._found[name], shape, dtype)

    def _png(self, name: str, bits: int) -> NDArray[Any]:
        with self._named(name):
            return members.decode_png(self._found[name], self.hw, bits)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
