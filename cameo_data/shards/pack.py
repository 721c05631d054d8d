"""A sample as the members of a shard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cameo_data.io import records
from cameo_data.shards import checksums, fixed_point, layout, members
from cameo_data.shards.depth16 import EncodedDepth, decode_depth, encode_depth
from cameo_data.shards.layout import FORMAT_VERSION, FULL_STRIDE, SampleMeta
from cameo_data.types import DepthMap, PairMaps, Sample, SparseMatches

Members = dict[str, bytes]


def pack_sample(sample: Sample) -> Members:
    """Member name -> bytes; the same sample always gives the same bytes.

    Raises:
        ValueError: the sample contradicts itself, an image is not encoded, or a depth map did
            not come from ``quantise_depth`` (the correspondences would not belong to it).
    """
    hw = _check(sample)
    encoded = [_encode_exactly(depth) for depth in sample.depths]
    steps = fixed_point.steps_per_px(hw)
    out: Members = {
        layout.JSON: _meta(sample, hw, encoded, steps).to_json(),
        layout.INTRINSICS: members.encode_npy(np.stack([c.K for c in sample.cameras])),
        layout.CAM_FROM_WORLD: members.encode_npy(
            np.stack([c.cam_from_world for c in sample.cameras])
        ),
    }
    for n, image in enumerate(sample.encoded):
        out[layout.image_member(n, image.ext)] = image.data
        out[layout.depth_member(n)] = members.encode_png(encoded[n].codes)
        mask = sample.masks[n]
        if mask is not None:
            out[layout.mask_member(n)] = members.encode_png(mask.astype(np.uint8) * np.uint8(255))
    for stride in sorted(sample.correspondence):
        out.update(pack_maps(sample.correspondence[stride], hw, steps))
    if sample.matches is not None:
        out.update(_pack_matches(sample.matches))
    out[layout.CRC32] = checksums.made(out)
    return out


def _pack_matches(matches: Mapping[tuple[int, int], SparseMatches]) -> Members:
    pairs = sorted(matches)
    views = [np.repeat([pair], len(matches[pair].xy0), 0) for pair in pairs]
    xy = [np.stack([matches[pair].xy0, matches[pair].xy1], 1) for pair in pairs]
    return {
        layout.MATCH_VIEWS: members.encode_npy(
            np.concatenate([np.zeros((0, 2)), *views]).astype(np.uint8)
        ),
        layout.MATCH_XY: members.encode_npy(
            np.concatenate([np.zeros((0, 2, 2)), *xy]).astype(np.float32)
        ),
    }


def pack_maps(maps: PairMaps, hw: tuple[int, int], steps: int) -> Members:
    """Members for the correspondences at one stride, of images of size ``hw``."""
    codes: dict[str, NDArray[Any]] = {
        "xy": fixed_point.encode_xy(maps.xy, hw, steps),
        "verdict": maps.verdict,
        "confidence": fixed_point.encode_confidence(maps.confidence),
    }
    if maps.stride != FULL_STRIDE:
        return {
            layout.array_member(what, maps.stride): members.encode_npy(array)
            for what, array in codes.items()
        }
    out: Members = {}
    for pair in layout.ordered_pairs(maps.verdict.shape[0]):
        for plane, axis in enumerate("xy"):
            name = layout.map_member(f"xy.{axis}", pair, "png16")
            out[name] = members.encode_png(np.ascontiguousarray(codes["xy"][pair][..., plane]))
        for what in ("verdict", "confidence"):
            out[layout.map_member(what, pair, "png8")] = members.encode_png(codes[what][pair])
    return out


def _check(sample: Sample) -> tuple[int, int]:
    """Size of the sample's views; ValueError where its parts contradict each other."""
    views = len(sample.frame_ids)
    hws = {camera.hw for camera in sample.cameras}
    hws |= {depth.hw for depth in sample.depths}
    hws |= {mask.shape for mask in sample.masks if mask is not None}
    if len(hws) != 1:
        raise ValueError(f"sample {sample.key!r}: views of sizes {sorted(hws)}; expected one size")
    (hw,) = hws
    for name in ("cameras", "encoded", "depths", "masks"):
        if len(getattr(sample, name)) != views:
            count = len(getattr(sample, name))
            raise ValueError(f"sample {sample.key!r}: {count} {name} for {views} views")
    if len({mask is None for mask in sample.masks}) != 1:
        raise ValueError(f"sample {sample.key!r}: some views have masks and some have none")
    for image in sample.encoded:
        if image.ext not in layout.IMAGE_EXTS:
            raise ValueError(f"sample {sample.key!r}: image of kind {image.ext!r}")
        members.check_image(image.data, image.ext, hw)
    for stride, maps in sample.correspondence.items():
        grid = (views, views, hw[0] // stride, hw[1] // stride)
        if maps.stride != stride or maps.verdict.shape != grid or maps.xy.shape != (*grid, 2):
            raise ValueError(f"sample {sample.key!r}: maps of stride {stride} have another size")
    for (a, b), pair in (sample.matches or {}).items():
        xy = np.concatenate([pair.xy0, pair.xy1]).astype(np.float32)
        if not (0 <= a < b < views and pair.xy0.shape == pair.xy1.shape and _within(xy, hw)):
            raise ValueError(f"sample {sample.key!r}: matches of views {a}, {b} are not inside")
    return hw


def _within(xy: NDArray[np.float32], hw: tuple[int, int]) -> bool:
    return bool(((xy >= 0) & (xy < (hw[1], hw[0]))).all())


def _encode_exactly(depth: DepthMap) -> EncodedDepth:
    encoded = encode_depth(depth)
    if not np.array_equal(decode_depth(encoded).z, np.where(depth.valid, depth.z, 0)):
        raise ValueError("depth is not quantised; pass it through quantise_depth before matching")
    return encoded


def _meta(
    sample: Sample, hw: tuple[int, int], encoded: list[EncodedDepth], steps: int
) -> SampleMeta:
    return records.made(
        SampleMeta,
        f"sample {sample.key!r}",
        format_version=FORMAT_VERSION,
        key=sample.key,
        dataset=sample.dataset,
        scene_id=sample.scene_id,
        frame_ids=sample.frame_ids,
        hw=hw,
        unit=sample.unit,
        strides=tuple(sorted(sample.correspondence)),
        rotation_deg=_rows(sample.rotation_deg),
        overlap=_rows(sample.overlap),
        overlap_stride=sample.overlap_stride,
        depth_source=sample.depth_source,
        depth_inverse_range=tuple((depth.inv_min, depth.inv_max) for depth in encoded),
        depth_max_rel_error=tuple(depth.max_rel_error for depth in encoded),
        xy_steps_per_px=steps,
        restricted_to_mask=sample.restricted_to_mask,
        extra=dict(sample.extra),
    )


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
