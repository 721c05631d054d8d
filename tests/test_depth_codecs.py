"""Every depth codec that the pages name is read through both sources that take a codec by name."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import rgbd_recordings as recordings
from mvs_fixtures import save_pfm
from numpy.typing import NDArray

from cameo_data.frames import read_view
from cameo_data.io import depth_files
from cameo_data.io.depth_files import CODECS
from cameo_data.sources import open_source

Millimetres = NDArray[np.uint16]


def exr(path: Path, channels: dict[str, NDArray[Any]]) -> None:
    library = pytest.importorskip("OpenEXR")
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    with library.File(header, channels) as file:
        file.write(str(path))


def layered_exr(path: Path, mm: Millimetres) -> None:
    """As Blender writes it: colour, normals and depth in layers of one file."""
    z = metres(mm)
    names = ("Combined.R", "Combined.G", "Combined.B", "Combined.A", "Normal.X", "Normal.Z")
    channels = {f"ViewLayer.{name}": z * (2 + i) for i, name in enumerate(names)}
    exr(path, {**channels, "ViewLayer.Depth.Z": z})


def exr_in_parts(path: Path, mm: Millimetres) -> None:
    library = pytest.importorskip("OpenEXR")
    z, kind = metres(mm), library.scanlineimage
    parts = [
        library.Part({"type": kind}, {"R": z * 2, "G": z * 3, "B": z * 4}, "rgb"),
        library.Part({"type": kind}, {"Z": z}, "depth"),
    ]
    with library.File(parts) as file:
        file.write(str(path))


def hdf5(path: Path, name: str, values: NDArray[Any]) -> None:
    with h5py.File(path, "w") as file:
        file[name] = values
        file["other"] = np.zeros(3)


def nyu_raw(mm: Millimetres) -> NDArray[np.uint16]:
    disparity = np.where(mm > 0, 1092.5 - 351.3 / np.maximum(mm / 1000, 1e-3), 2047)
    return np.asarray(np.round(disparity).clip(0, 2047), np.uint16).byteswap()


def colmap(path: Path, mm: Millimetres) -> None:
    height, width = mm.shape
    path.write_bytes(f"{width}&{height}&1&".encode() + metres(mm).astype("<f4").tobytes())


def metres(mm: Millimetres) -> NDArray[np.float32]:
    return (mm / 1000).astype(np.float32)


# case: codec, file ending, scale, writer, relative error of the encoding
Case = tuple[str, str, float, Callable[[Path, Millimetres], object], float]
CASES: dict[str, Case] = {
    "uint16 png": ("uint16", "png", 0.001, recordings.save, 0),
    "uint16 pgm": ("uint16", "pgm", 0.001, recordings.save, 0),
    "uint16 tiff": ("uint16", "tiff", 0.001, recordings.save, 0),
    "uint16_swapped": (
        "uint16_swapped", "pgm", 0.001, lambda p, mm: recordings.save(p, mm.byteswap()), 0,
    ),
    "sun_rotated": (
        "sun_rotated", "png", 0.001, lambda p, mm: recordings.save(p, (mm << 3) | (mm >> 13)), 0,
    ),
    "nyu_disparity": (
        "nyu_disparity", "pgm", 1, lambda p, mm: recordings.save(p, nyu_raw(mm)), 0.01,
    ),
    "float tiff": ("float", "tiff", 1, lambda p, mm: recordings.save(p, metres(mm)), 0),
    "float64 tiff": ("float", "tif", 1, lambda p, mm: recordings.save(p, mm / 1000), 0),
    "float pfm": ("float", "pfm", 1, lambda p, mm: save_pfm(p, metres(mm)), 0),
    "float exr": ("float", "exr", 1, lambda p, mm: exr(p, {"Z": metres(mm)}), 0),
    "float exr of one channel": ("float", "exr", 1, lambda p, mm: exr(p, {"Y": metres(mm)}), 0),
    "float exr in layers": ("float", "exr", 1, layered_exr, 0),
    "float exr in parts": ("float", "exr", 1, exr_in_parts, 0),
    "npy": ("npy", "npy", 1, lambda p, mm: np.save(p, metres(mm)), 0),
    "npz": ("npz", "npz", 1, lambda p, mm: np.savez(p, depth=metres(mm), K=np.eye(3)), 0),
    "npz of one": ("npz", "npz", 1, lambda p, mm: np.savez_compressed(p, mm / 1000), 0),
    "hdf5": ("hdf5", "h5", 1, lambda p, mm: hdf5(p, "dataset", metres(mm)), 0),
    "megadepth": ("megadepth", "h5", 1, lambda p, mm: hdf5(p, "depth", metres(mm)), 0),
    "pfm": ("pfm", "pfm", 1, lambda p, mm: save_pfm(p, metres(mm)), 0),
    "dtu": ("dtu", "pfm", 1, lambda p, mm: save_pfm(p, metres(mm)), 0),
    "uint8": (
        "uint8", "png", 0.05, lambda p, mm: recordings.save(p, (mm / 50).astype(np.uint8)), 0.05,
    ),
    "float16_png": (
        "float16_png", "png", 1,
        lambda p, mm: recordings.save(p, metres(mm).astype(np.float16).view(np.uint16)), 1e-3,
    ),
    "colmap": ("colmap", "bin", 1, colmap, 0),
}  # fmt: skip


def write(folder: Path, case: Case) -> Path:
    """A scene that the sources rgbd and generic read alike."""
    codec, ending, scale, save, _ = case
    (folder / "depth").mkdir(parents=True)
    frames = []
    for i, frame in enumerate(recordings.true_frames()):
        recordings.save(folder / f"color/{i}.png", frame.bgr)
        save(folder / f"depth/{i}.{ending}", frame.millimetres)
        pose = frame.camera.world_from_cam
        (folder / f"pose{i}.txt").write_text(recordings.lines(pose))
        frames.append(
            {"image": f"color/{i}.png", "depth": f"depth/{i}.{ending}", "pose": pose.tolist()}
        )
    record = {
        "format": "cameo-1", "poses": "world_from_cam", "K": recordings.K.tolist(),
        "depth_codec": codec, "depth_scale": scale, "unit": "metre", "frames": frames,
    }  # fmt: skip
    (folder / "cameo.json").write_text(json.dumps(record))
    (folder / "rgbd.yaml").write_text(
        f"color: color/*.png\ndepth: depth/*.{ending}\nposes: pose*.txt\n"
        f"intrinsics: {recordings.INTRINSICS}\ndepth_codec: {codec}\ndepth_scale: {scale}\n"
    )
    return folder


@pytest.mark.parametrize("source", ["rgbd", "generic"])
@pytest.mark.parametrize("name", CASES)
def test_depth_comes_back(name: str, source: str, tmp_path: Path) -> None:
    case = CASES[name]
    opened = open_source(source, write(tmp_path / "scene", case))
    scene = opened.scene(opened.scene_ids()[0])
    assert (len(scene.frames), scene.failures) == (3, ())
    for frame, truth in zip(scene.frames, recordings.true_frames(), strict=True):
        view = read_view(frame, dataset="d", scene_id="s")
        np.testing.assert_array_equal(view.depth.valid, truth.millimetres > 0)
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=case[4] + 1e-6)


def test_no_codec_is_left_out() -> None:
    assert {case[0] for case in CASES.values()} == set(CODECS)


@pytest.mark.parametrize("name", CASES)
def test_sizes_are_read_from_headers(name: str, tmp_path: Path) -> None:
    codec, ending, _, save, _ = CASES[name]
    path = tmp_path / f"d.{ending}"
    save(path, recordings.true_frames()[0].millimetres)
    assert depth_files.depth_hw(path, codec) == recordings.HW


def test_layers_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    z = np.ones((4, 6), np.float32)
    exr(tmp_path / "d.exr", {"A.Depth.Z": z, "B.Depth.Z": 2 * z, "R": z})
    with pytest.raises(Exception, match=r"2 channels that differ \(A\.Depth\.Z, B\.Depth\.Z\)"):
        depth_files.read_float(tmp_path / "d.exr")


def test_a_tiff_may_be_of_either_byte_order(tmp_path: Path) -> None:
    """Big-endian TIFF of 32-bit floats, written by hand."""
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    entries = [
        (256, 4, 3), (257, 4, 2), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 200),
        (277, 3, 1), (278, 4, 2), (279, 4, 24), (339, 3, 3),
    ]  # fmt: skip
    ifd = struct.pack(">H", len(entries))
    for tag, kind, value in entries:
        packed = struct.pack(">H2x", value) if kind == 3 else struct.pack(">I", value)
        ifd += struct.pack(">HHI", tag, kind, 1) + packed
    data = b"MM\0*" + struct.pack(">I", 8) + ifd + b"\0\0\0\0"
    (tmp_path / "d.tif").write_bytes(data.ljust(200, b"\0") + values.tobytes())
    np.testing.assert_array_equal(depth_files.read_float(tmp_path / "d.tif"), values)
    assert depth_files.depth_hw(tmp_path / "d.tif", "float") == (2, 3)
    assert cv2.imread(str(tmp_path / "d.tif"), cv2.IMREAD_UNCHANGED).shape == (2, 3)
