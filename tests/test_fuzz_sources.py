"""One damaged file of a scene costs frames, or the scene, and each loss is one line.

A scene of each source is read whole after one of its files was damaged: nothing but counted
failures may come of it. How to run more examples: ``fuzzing``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import co3d_dataset
import colmap_recordings
import nerfstudio_scenes
import pytest
import realestate10k_clips
import rgbd_recordings
import test_generic
import test_hypersim
import test_megadepth
import test_middlebury
import test_mvsnet_sources
import test_scannetpp
import test_wildrgbd
from build_scenes import write_scenes
from fuzzing import budget, damage, value_or_defect
from hypothesis import given
from hypothesis import strategies as st

from cameo_data.errors import DataError
from cameo_data.frames import read_image, read_view
from cameo_data.sources import open_source


@dataclass(frozen=True)
class Family:
    """A source and a small scene for it."""

    source: str
    write: Callable[[Path], object]
    options: dict[str, Any] = field(default_factory=dict)


def clip_and_depth(root: Path) -> None:
    realestate10k_clips.write_clip(root)
    realestate10k_clips.write_depth(root, ".npz")


FAMILIES = {
    "7-Scenes": Family("rgbd", rgbd_recordings.write_7scenes, rgbd_recordings.OPTIONS_7SCENES),
    "TUM": Family("rgbd", rgbd_recordings.write_tum, {"intrinsics": rgbd_recordings.INTRINSICS}),
    "ScanNet": Family("rgbd", rgbd_recordings.write_scannet),
    "Open3D": Family("rgbd", rgbd_recordings.write_open3d),
    "DVMVS": Family("rgbd", rgbd_recordings.write_dvmvs),
    "co3d": Family("co3d", co3d_dataset.write_category),
    "clip": Family("realestate10k", clip_and_depth),
    "chunk": Family("realestate10k", realestate10k_clips.write_chunk),
    "colmap": Family("colmap", colmap_recordings.write_dense),
    "nerfstudio": Family("nerfstudio", nerfstudio_scenes.write_nerfstudio),
    "instant-ngp": Family("nerfstudio", nerfstudio_scenes.write_ngp),
    "middlebury": Family("middlebury", test_middlebury.write_2014),
    "middlebury npz": Family("middlebury", test_middlebury.write_npz),
    "scannetpp": Family("scannetpp", test_scannetpp.write_scene),
    "hypersim": Family(
        "hypersim", lambda root: test_hypersim.write(root, {"ai_001_001": test_hypersim.TILTED})
    ),
    "megadepth": Family("megadepth", test_megadepth.write_undistorted),
    "megadepth index": Family(
        "megadepth", test_megadepth.write_info, {"scene_info": "index/*.npz"}
    ),
    "blendedmvs": Family("blendedmvs", test_mvsnet_sources.write_blended),
    "dtu": Family("dtu", test_mvsnet_sources.write_dtu),
    "wildrgbd": Family(
        "wildrgbd", lambda root: test_wildrgbd.write_scene(root / "apple/scenes/scene_000")
    ),
    "generic": Family("generic", test_generic.write),
    "synthetic": Family("synthetic", lambda root: write_scenes(root, scenes=1, frames=3)),
}


def read_all(family: Family, root: Path) -> int:
    """How many frames of all scenes are read; the others are failures."""
    source = open_source(family.source, root, family.options)
    read = 0
    for scene_id in source.scene_ids():
        failed = value_or_defect(partial(source.scene, scene_id), (DataError,))
        if failed is not None:
            continue
        scene = source.scene(scene_id)
        assert all("\n" not in failure.message for failure in scene.failures)
        for frame in scene.frames:
            reader = read_view if frame.depth is not None else read_image
            view = partial(reader, frame, dataset=source.dataset, scene_id=scene_id)
            read += value_or_defect(view, (DataError,)) is None
    return read


def smaller_first(path: Path) -> tuple[int, str]:
    return path.stat().st_size, str(path)


@pytest.mark.parametrize("case", FAMILIES)
def test_a_damaged_file_is_counted(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    family = FAMILIES[case]
    root = tmp_path_factory.mktemp("scene") / "root"
    family.write(root)
    assert read_all(family, root) > 0
    files = sorted((path for path in root.rglob("*") if path.is_file()), key=smaller_first)
    # pictures are most of the files, and all alike
    texts = [path for path in files if path.suffix not in (".png", ".jpg", ".ppm")]
    pictures = [path for path in files if path not in texts][:2]

    @budget(15)
    @given(st.sampled_from([*texts[:12], *pictures]), st.data())
    def run(path: Path, data: st.DataObject) -> None:
        whole = path.read_bytes()
        try:
            path.write_bytes(data.draw(damage())(whole))
            value_or_defect(partial(read_all, family, root), (DataError,))
        finally:
            path.write_bytes(whole)

    run()
