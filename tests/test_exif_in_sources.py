"""Each source asks about pictures that EXIF turns, or says what it does; the option reaches it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import co3d_dataset
import colmap_recordings
import numpy as np
import pytest
import realestate10k_clips
import rgbd_recordings
import test_hypersim
import test_megadepth
import test_middlebury
import test_mvsnet_sources
import test_scannetpp
import test_wildrgbd
from PIL import Image, ImageOps

from cameo_data.errors import DataError
from cameo_data.frames import read_view
from cameo_data.io import orientation, png_files
from cameo_data.sources import open_source
from cameo_data.types import View

Write = Callable[[Path], object]
# source -> (writer of a small scene, options, whether it refuses by default)
SOURCES: dict[str, tuple[Write, dict[str, Any], bool]] = {
    "blendedmvs": (test_mvsnet_sources.write_blended, {}, True),
    "co3d": (co3d_dataset.write_category, {}, True),
    "colmap": (colmap_recordings.write_dense, {}, False),
    "dtu": (test_mvsnet_sources.write_dtu, {}, True),
    "hypersim": (
        lambda root: test_hypersim.write(root, {"ai_001_001": test_hypersim.PLAIN}), {}, True,
    ),
    "megadepth": (test_megadepth.write_undistorted, {}, False),
    "middlebury": (lambda root: test_middlebury.write_2014(root / "a"), {}, True),
    "realestate10k": (realestate10k_clips.write_clip, {}, True),
    "rgbd": (rgbd_recordings.write_dvmvs, {}, True),
    "scannetpp": (test_scannetpp.write_iphone, {"device": "iphone"}, False),
    "wildrgbd": (lambda root: test_wildrgbd.write_scene(root / "a/scenes/b"), {}, True),
}  # fmt: skip
HALF_TURN = 3  # of which no size tells


def views_of(source: str, root: Path, options: dict[str, Any]) -> tuple[list[View], list[Path]]:
    """All views of the first scene, and their pictures' files."""
    opened = open_source(source, root, options)
    scene = opened.scene(opened.scene_ids()[0])
    if scene.failures:
        raise DataError(**_fields(scene.failures[0]))
    with_depth = scene.matches is None and all(frame.depth for frame in scene.frames)
    views = [
        read_view(frame, dataset="d", scene_id="s", with_depth=with_depth) for frame in scene.frames
    ]
    return views, [frame.image_path for frame in scene.frames]


def _fields(failure: Any) -> dict[str, Any]:
    names = ("reason", "dataset", "scene_id", "frame_id", "found", "expected", "remedy")
    return {name: getattr(failure, name) for name in names}


def add_tag(path: Path, tag: int) -> None:
    """The same picture with an orientation; its pixels stay as they are coded."""
    data, exif = path.read_bytes(), Image.Exif()
    exif[orientation.TAG] = tag
    body = exif.tobytes()
    if data.startswith(b"\xff\xd8"):
        segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
        path.write_bytes(data[:2] + segment + data[2:])
    else:
        first, *rest = png_files.chunks(data)
        path.write_bytes(png_files.join([first, (b"eXIf", body.removeprefix(b"Exif\0\0")), *rest]))


@pytest.mark.parametrize("source", SOURCES)
def test_turned_pictures(source: str, tmp_path: Path) -> None:
    write, options, refuses = SOURCES[source]
    write(tmp_path)
    expected, paths = views_of(source, tmp_path, options)
    for path in set(paths):
        add_tag(path, HALF_TURN)
    if refuses:
        with pytest.raises(DataError, match=r"EXIF orientation 3.*exif_orientation=stored"):
            views_of(source, tmp_path, options)
    else:
        opened = open_source(source, tmp_path, options)
        notes = opened.scene(opened.scene_ids()[0]).notes
        assert any("EXIF orientation 3" in note and "is ignored" in note for note in notes)
    stored, _ = views_of(source, tmp_path, {**options, "exif_orientation": "stored"})
    shown, _ = views_of(source, tmp_path, {**options, "exif_orientation": "displayed"})
    for view, turned, truth in zip(stored, shown, expected, strict=True):
        np.testing.assert_array_equal(view.image, truth.image)
        np.testing.assert_array_equal(view.depth.z, truth.depth.z)
        assert (view.encoded is None) == (truth.encoded is None)
        if view.encoded is not None:
            image = Image.open(io.BytesIO(view.encoded.data))
            assert ImageOps.exif_transpose(image).tobytes() == image.tobytes()
        assert turned.encoded is None
        if truth.encoded is not None:  # nothing was undistorted
            np.testing.assert_array_equal(turned.image, truth.image[::-1, ::-1])
