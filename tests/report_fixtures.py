"""Tiny samples whose colours live on the surfaces, and finished builds of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import acceptance_scene, view_pairs
from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.correspondence import correspond_group, prepare
from cameo_data.geometry import raycast
from cameo_data.shards.depth16 import quantise_depth
from cameo_data.shards.index import write_index
from cameo_data.shards.writer import write_shard
from cameo_data.types import Camera, DepthMap, EncodedImage, Sample, Verdict

HW = (96, 128)
COUNTS = {
    "frames": {"found": 30, "used": 18, "left_out": 9, "failed": 3},
    "failures": {"total": 3, "allowed": 3, "by_reason": {"bad_pose": 1, "unreadable_depth": 2}},
}


def picture(camera: Camera) -> tuple[NDArray[np.uint8], DepthMap]:
    """The acceptance scene in colours that are a smooth function of the place in the world."""
    hits = raycast.render(acceptance_scene(), camera)
    depth = DepthMap.from_array(raycast.depth_of(hits))
    p_world = cameras.unproject(
        camera, cameras.query_xy(camera.hw), np.where(depth.valid, depth.z, 1.0)
    )
    waves = np.stack([np.sin(3 * p_world[..., i] + p_world[..., i - 1]) for i in range(3)], -1)
    image = np.where(depth.valid[..., None], 128 + 110 * waves, 200.0)
    return image.astype(np.uint8), quantise_depth(depth)


@cache
def make_sample(strides: tuple[int, ...] = (8, 16), *, masked: bool = False) -> Sample:
    """Four views, turned 5° to 60° against each other."""
    pairs = list(view_pairs(HW))
    views = (pairs[0].camera0, pairs[0].camera1, pairs[6].camera1, pairs[10].camera1)
    images, depths = zip(*map(picture, views), strict=True)
    mask = np.zeros(HW, np.bool_)
    mask[:, HW[1] // 2 :] = True
    ready = [
        prepare(depth, camera, mask if masked else None)
        for depth, camera in zip(depths, views, strict=True)
    ]
    overlap = np.mean(correspond_group(ready, 16).verdict == Verdict.VISIBLE, axis=(2, 3))
    np.fill_diagonal(overlap, 1.0)
    return Sample(
        key="scene-000000",
        dataset="tiny",
        scene_id='kitchen <1> & "büro"',
        frame_ids=("frame 0", "frame 1", "<script>alert(1)</script>", "frame.3"),
        unit="metre",
        cameras=views,
        images=images,
        encoded=tuple(_png(image) for image in images),
        depths=depths,
        masks=tuple(mask if masked else None for _ in views),
        correspondence={stride: correspond_group(ready, stride) for stride in strides},
        rotation_deg=transforms.relative_rotation_deg([c.cam_from_world for c in views]),
        overlap=overlap,
        depth_source="exact",
        restricted_to_mask=masked,
    )


def make_build(
    folder: Path, *, samples: int = 3, strides: tuple[int, ...] = (8, 16), name: str = "tiny build"
) -> Path:
    """A finished build in two shards."""
    sample = make_sample(strides)
    named = [replace(sample, key=f"scene-{i:06d}") for i in range(samples)]
    parts = [named[:1], named[1:]] if samples > 1 else [named]
    shards = [
        write_shard(folder / "shards" / f"tiny-{n:06d}.tar", part) for n, part in enumerate(parts)
    ]
    (folder / "failures.jsonl").write_text("")
    write_index(
        folder,
        recipe={"strategy": "uniform", "seed": 4},
        recipe_hash="0" * 64,
        tool_version="0.1.0",
        shards=shards,
        counts=COUNTS,
        name=name,
    )
    return folder


def _png(image: NDArray[np.uint8]) -> EncodedImage:
    good, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert good
    return EncodedImage("png", data.tobytes())
