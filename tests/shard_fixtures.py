"""Small samples and finished builds for the tests of shards, made from exactly rendered scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import acceptance_scene, view_pairs
from cameo_data import transforms
from cameo_data.correspondence import correspond_group, prepare
from cameo_data.geometry import raycast
from cameo_data.shards.depth16 import quantise_depth
from cameo_data.shards.index import BuildIndex, write_index
from cameo_data.shards.writer import ShardRecord, write_shard
from cameo_data.types import Camera, DepthMap, EncodedImage, Sample

HW = (48, 64)


def image_of(camera: Camera, seed: int) -> NDArray[np.uint8]:
    """Any picture that compresses: smooth noise in colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (camera.hw[1], camera.hw[0])), np.uint8)


@cache
def make_sample(
    key: str = "scene-a_000000",
    *,
    strides: tuple[int, ...] = (8, 16),
    ext: str = "png",
    masks: bool = False,
    restricted: bool = False,
    hw: tuple[int, int] = HW,
    pair: int = 3,
    scene_id: str = "scene/a, Küche",
) -> Sample:
    """A sample of the two views of one pair and a third from another."""
    pairs = list(view_pairs(hw))
    cameras = (pairs[pair].camera0, pairs[pair].camera1, pairs[0].camera0)
    primitives = acceptance_scene()
    depths = tuple(
        quantise_depth(DepthMap.from_array(raycast.depth_of(raycast.render(primitives, camera))))
        for camera in cameras
    )
    images = tuple(image_of(camera, seed) for seed, camera in enumerate(cameras))
    mask = np.zeros(hw, np.bool_)
    mask[:, hw[1] // 4 :] = True
    views = [
        prepare(depth, camera, mask if restricted else None)
        for depth, camera in zip(depths, cameras, strict=True)
    ]
    overlap = np.mean(correspond_group(views, 16).verdict == 5, axis=(2, 3))
    np.fill_diagonal(overlap, 1.0)
    return Sample(
        key=key,
        dataset="test set",
        scene_id=scene_id,
        frame_ids=("frame.000 1", "frame.000 2", "übrig"),
        unit="metre",
        cameras=cameras,
        images=images,
        encoded=tuple(encode_image(image, ext) for image in images),
        depths=depths,
        masks=tuple(mask if masks else None for _ in cameras),
        correspondence={stride: correspond_group(views, stride) for stride in strides},
        rotation_deg=transforms.relative_rotation_deg([c.cam_from_world for c in cameras]),
        overlap=overlap,
        depth_source="exact",
        overlap_stride=16,
        restricted_to_mask=restricted,
        extra={"strategy": "video", "bin": 1},
    )


def encode_image(image: NDArray[np.uint8], ext: str) -> EncodedImage:
    """An image file of RGB pixels."""
    ok, data = cv2.imencode(f".{ext}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert ok
    return EncodedImage(ext, data.tobytes())


def make_build(
    folder: Path,
    *,
    shards: int = 2,
    samples: int = 2,
    strides: tuple[int, ...] = (8, 16),
    **kinds: Any,
) -> BuildIndex:
    """A finished build of a few samples that differ in their keys only."""
    base = make_sample(strides=strides, **kinds)
    groups = [
        [replace(base, key=f"scene-{'abcdef'[n]}_{i:06d}") for i in range(samples)]
        for n in range(shards)
    ]
    return build_of(folder, groups)


def build_of(folder: Path, groups: Sequence[Sequence[Sample]]) -> BuildIndex:
    """A finished build of these samples, by shard."""
    records = [
        write_shard(folder / "shards" / f"tiny-{n:06d}.tar", samples)
        for n, samples in enumerate(groups)
    ]
    return finish(folder, records)


def finish(folder: Path, records: Sequence[ShardRecord]) -> BuildIndex:
    """The index and companions of shards that are already there."""
    (folder / "recipe.yaml").write_text("views: 3\n")
    (folder / "failures.jsonl").write_text("{}\n")
    return write_index(
        folder,
        recipe={"views": 3},
        recipe_hash="0" * 64,
        tool_version="0.1.0",
        shards=records,
        counts={"frames_found": 3, "frames_used": 3},
    )
