"""Every parser of foreign bytes gives a value or its one error, whatever happened to the bytes.

``PARSERS`` lists them all: a new parser gets a line. How to run more examples: ``fuzzing``.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import co3d_dataset
import colmap_recordings
import cv2
import numpy as np
import pytest
import realestate10k_clips
import yaml
from build_scenes import write_scenes
from fuzzing import budget, damage, value_or_defect
from hypothesis import given
from hypothesis import strategies as st
from mvs_fixtures import cam_text, save_hdf5, save_pfm, truths
from rgbd_recordings import quaternion_line, true_frames
from shard_fixtures import make_build, make_sample
from test_hypersim import MATRIX
from test_middlebury import calib

from cameo_data import recipe
from cameo_data.errors import DataError, UsageError
from cameo_data.geometry import sparse_matches
from cameo_data.io import (
    array_files,
    depth_files,
    image_files,
    records,
    torch_chunks,
    video_files,
    yaml_files,
)
from cameo_data.io.files import FileDefect
from cameo_data.shards import archive, index, pack, unpack
from cameo_data.sources.attached_depth import folder as depth_folder
from cameo_data.sources.co3d import annotations as co3d_annotations
from cameo_data.sources.co3d import index as co3d_index
from cameo_data.sources.co3d import sets
from cameo_data.sources.colmap import model as colmap_model
from cameo_data.sources.common import mvsnet_cameras, trajectories
from cameo_data.sources.generic import records as generic_records
from cameo_data.sources.hypersim import tables
from cameo_data.sources.middlebury import files as middlebury_files
from cameo_data.sources.nerfstudio import records as nerfstudio_records
from cameo_data.sources.realestate10k import cameras
from cameo_data.sources.realestate10k import files as realestate10k_files
from cameo_data.sources.rgbd import calibration, options
from cameo_data.sources.rgbd import source as rgbd
from cameo_data.sources.wildrgbd import frames as wildrgbd_frames
from cameo_data.synth import record as synth_record
from cameo_train import config as train_config

Z = np.linspace(0.5, 4, 12 * 16, dtype=np.float32).reshape(12, 16)
CODES = (1000 * Z).astype(np.uint16)
GREY = (60 * Z).astype(np.uint8)


@dataclass(frozen=True)
class Parser:
    """How a parser is called, and valid bytes for it.

    Attributes:
        name: of the file.
        valid: bytes of the file, or of what is inside it where ``wrap`` makes the file of them.
        read: the parser; given the file.
        allowed: the errors that it may raise.
        examples: in an ordinary run.
    """

    name: str
    valid: Callable[[], bytes]
    read: Callable[[Path], object]
    allowed: tuple[type[Exception], ...] = (FileDefect,)
    wrap: Callable[[bytes], bytes] = bytes
    examples: int = 30


def encoded(ext: str, image: np.ndarray, *flags: int) -> Callable[[], bytes]:
    return lambda: bytes(cv2.imencode(ext, image, list(flags))[1].tobytes())


def saved(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(data: bytes, name: str = "depth.npy") -> bytes:
    """An archive whose checksums are right, so that its member is read."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return stream.getvalue()


@cache
def made(write: Callable[[Path], Any], name: str) -> bytes:
    """Bytes of a file that a fixture writes into a folder."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "x")
        return (Path(folder) / "x" / name).read_bytes()


def written(write: Callable[[Path], Any], name: str) -> Callable[[], bytes]:
    return lambda: made(write, name)


def exr(path: Path) -> None:
    library = pytest.importorskip("OpenEXR")
    path.mkdir()
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    with library.File(header, {"Z": Z}) as file:
        file.write(str(path / "d.exr"))


def objects() -> bytes:
    values = np.empty(3, object)
    values[:] = ["a/b.jpg", None, np.eye(3)]
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def model_bytes(name: str) -> Callable[[], bytes]:
    return written(colmap_recordings.write_sparse, f"sparse/0/{name}")


@cache
def text_model() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        colmap_recordings.write_text_model(
            model, colmap_recordings.PINHOLE, colmap_recordings.poses()
        )
        return {path.name: path.read_bytes() for path in model.iterdir()}


@cache
def binary_model() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for name, data in text_model().items():
            (base / name).write_bytes(data)
        made_in = colmap_recordings.to_binary(base, base / "bin")
        return {path.name: path.read_bytes() for path in made_in.iterdir()}


def read_model(path: Path) -> None:
    """The model of which ``path`` is one file; the others are intact."""
    files = text_model() if path.suffix == ".txt" else binary_model()
    for name, data in files.items():
        if name != path.name:
            (path.parent / name).write_bytes(data)
    colmap_model.read_model(path.parent)


def read_co3d_frames(path: Path) -> None:
    found = co3d_index.FrameIndex(path)
    for sequence in list(found.spans)[:3]:
        for values in found.read(sequence):
            co3d_annotations.parse(co3d_annotations.Co3dFrameRecord, values, "x")


def read_co3d_sequences(path: Path) -> None:
    for values in co3d_annotations.read_records(path):
        co3d_annotations.parse(co3d_annotations.SequenceRecord, values, "x")


def read_set_list(path: Path) -> None:
    folder = path.parent / "set_lists"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "set_lists_x.json")
    sets.read_set_list(path.parent, "x", None)


def read_eval_batches(path: Path) -> None:
    folder = path.parent / "eval_batches"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "eval_batches_x.json")
    sets.read_eval_batches(path.parent, "x")


def read_transforms(path: Path) -> None:
    file = nerfstudio_records.read(path)
    for number, values in enumerate(file.record.frames):
        nerfstudio_records.frame_name(values, number)
        value_or_defect(partial(nerfstudio_records.read_entry, file, values))


def read_generic(path: Path) -> None:
    scene = generic_records.read_scene(path.parent)
    for values in scene.frames:
        value_or_defect(partial(generic_records.read_frame, values))


def read_synthetic(path: Path) -> None:
    scene = synth_record.read_scene(path.parent)
    for values in scene.frames:
        value_or_defect(partial(synth_record.read_frame, values))


def read_film(path: Path) -> None:
    video_files.video_hw(path)
    video_files.count_frames(path, 10)
    video_files.read_frame(path, 1)


def read_calibration(path: Path) -> None:
    calibration.read_intrinsics(path.parent, path.name, "integer", (48, 64))


def read_shard(path: Path) -> None:
    known = shard_index()
    table = archive.read_table(path, known.shards[0], known.members)
    for entry in table:
        archive.read_members(path, entry)


@cache
def shard_build() -> tuple[bytes, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        make_build(Path(folder), shards=1, samples=2)
        (shard,) = (Path(folder) / "shards").iterdir()
        return shard.read_bytes(), (Path(folder) / "index.json").read_bytes()


def shard_index() -> index.BuildIndex:
    return records.parse(index.BuildIndex, shard_build()[1], "index")


def read_member(name: str, path: Path) -> None:
    """A sample, one member of which is the file's bytes and its checksum right."""
    packed = {**pack.pack_sample(make_sample(strides=(1, 16), masks=True)), name: path.read_bytes()}
    unpack.unpack_sample(packed)


def member(name: str) -> Parser:
    packed = partial(pack.pack_sample, make_sample(strides=(1, 16), masks=True))
    return Parser(
        name, lambda: packed()[name], partial(read_member, name), (ValueError,), bytes, 30
    )


def read_recipe(path: Path) -> None:
    recipe.make(yaml_files.load(path))


def read_depth_archive(path: Path) -> None:
    depth_folder.load_depth(path)


def codec(name: str, ext: str, valid: Callable[[], bytes], **more: Any) -> Parser:
    def read(path: Path) -> None:
        value_or_defect(partial(depth_files.depth_hw, path, name))
        depth_files.CODECS[name](path)

    return Parser(f"d{ext}", valid, read, **more)


def text(value: str) -> Callable[[], bytes]:
    return value.encode


PNG16, TIFF, PGM = encoded(".png", CODES), encoded(".tiff", Z), encoded(".pgm", CODES)
MATRIX_TEXT = "\n".join(" ".join(f"{v:.6f}" for v in row) for row in np.eye(4)) + "\n"
PARSERS = {
    # pictures
    "jpg": Parser("i.jpg", encoded(".jpg", GREY), image_files.read_rgb),
    "png": Parser("i.png", encoded(".png", GREY), image_files.read_rgb),
    "webp": Parser("i.webp", encoded(".webp", cv2.merge([GREY] * 3)), image_files.read_rgb),
    "bmp": Parser("i.bmp", encoded(".bmp", GREY), image_files.read_rgb),
    "ppm": Parser("i.ppm", encoded(".ppm", cv2.merge([GREY] * 3)), image_files.read_rgb),
    "tiff": Parser("i.tiff", encoded(".tiff", GREY), image_files.read_rgb),
    "mask": Parser("m.png", encoded(".png", GREY), image_files.read_mask),
    "film": Parser(
        "v.mp4",
        written(
            lambda p: realestate10k_clips.write_video(p / "v.mp4", [f.bgr for f in true_frames()]),
            "v.mp4",
        ),
        read_film,
        examples=25,
    ),
    # depth, by codec
    "uint16": codec("uint16", ".png", PNG16),
    "uint16 pgm": codec("uint16", ".pgm", PGM),
    "uint16 tiff": codec("uint16", ".tiff", encoded(".tiff", CODES)),
    "uint16_swapped": codec("uint16_swapped", ".pgm", PGM),
    "sun_rotated": codec("sun_rotated", ".png", PNG16),
    "nyu_disparity": codec("nyu_disparity", ".pgm", PGM),
    "float16_png": codec("float16_png", ".png", PNG16),
    "float tiff": codec("float", ".tiff", TIFF),
    "float exr": codec("float", ".exr", written(exr, "d.exr")),
    "float pfm": codec("float", ".pfm", written(lambda p: save_pfm(p / "d.pfm", Z), "d.pfm")),
    "uint8": codec("uint8", ".png", encoded(".png", GREY)),
    "pfm": codec("pfm", ".pfm", written(lambda p: save_pfm(p / "d.pfm", Z), "d.pfm")),
    "dtu": codec("dtu", ".pfm", written(lambda p: save_pfm(p / "d.pfm", Z), "d.pfm")),
    "npy": codec("npy", ".npy", lambda: npy(Z), examples=150),
    "npz": codec("npz", ".npz", lambda: saved(depth=Z)),
    "npz inside": codec("npz", ".npz", lambda: npy(Z), wrap=zipped, examples=150),
    "hdf5": codec("hdf5", ".h5", written(lambda p: save_hdf5(p / "d.h5", "depth", Z), "d.h5")),
    "megadepth": codec(
        "megadepth", ".h5", written(lambda p: save_hdf5(p / "d.h5", "depth", Z), "d.h5")
    ),
    "colmap": codec("colmap", ".bin", lambda: colmap_recordings.array_bytes(Z)),
    "confidence": Parser(
        "d.npz", lambda: npy(GREY), depth_files.read_confidence,
        wrap=partial(zipped, name="confidence.npy"),
    ),
    "depth folder": Parser(
        "0.npz", lambda: saved(depth=Z, confidence=GREY), read_depth_archive
    ),
    # arrays of paths, pickled
    "objects": Parser(
        "l.npz", objects, lambda path: array_files.read_npz_list(path, "paths"),
        wrap=partial(zipped, name="paths.npy"), examples=200,
    ),
    "chunk": Parser(
        "000000.torch",
        written(lambda p: realestate10k_clips.write_chunk(p), "train/000000.torch"),
        lambda path: torch_chunks.read_rgb(path, 1, 0),
        examples=20,
    ),
    # COLMAP
    **{name: Parser(name, lambda name=name: {**text_model(), **binary_model()}[name], read_model)
       for name in ("cameras.txt", "images.txt", "points3D.txt", "cameras.bin", "images.bin",
                    "points3D.bin", "rigs.bin", "frames.bin")},
    # JSON
    "cameo.json": Parser(
        "cameo.json",
        lambda: json.dumps({
            "format": "cameo-1", "poses": "cam_from_world", "K": np.eye(3).tolist(),
            "depth_scale": 0.001, "unit": "metre",
            "frames": [{"image": "0.png", "depth": "0d.png", "pose": np.eye(4).tolist()}],
        }).encode(),
        read_generic,
    ),
    "transforms.json": Parser(
        "transforms.json",
        lambda: json.dumps({
            "fl_x": 60.0, "cx": 32, "w": 64, "h": 48, "camera_model": "OPENCV", "k1": 0.0,
            "frames": [{"file_path": "0.png", "transform_matrix": np.eye(4).tolist()}],
        }).encode(),
        read_transforms,
    ),
    "metadata": Parser(
        "metadata",
        lambda: json.dumps({"w": 64, "h": 48, "K": [60, 0, 0, 0, 60, 0, 32, 24, 1]}).encode(),
        lambda path: wildrgbd_frames._read_camera(path.parent, "integer"),
    ),
    "intrinsics.json": Parser(
        "i.json",
        lambda: json.dumps(
            {"width": 64, "height": 48, "intrinsic_matrix": [60, 0, 0, 0, 61, 0, 31, 23, 1]}
        ).encode(),
        read_calibration,
    ),
    "scene.json": Parser(
        "scene.json",
        written(lambda p: write_scenes(p, scenes=1, frames=2), "objects-0000/scene.json"),
        read_synthetic,
    ),
    "index of chunks": Parser(
        "index.json", lambda: b'{"00ff": "000000.torch"}', realestate10k_files._read_index
    ),
    "co3d frames": Parser(
        "frame_annotations.jgz",
        lambda: json.dumps(
            [co3d_dataset.frame_record("apple", "1_2_3", 1, true_frames()[0])] * 2
        ).encode(),
        read_co3d_frames, wrap=partial(gzip.compress, mtime=0),
    ),
    "co3d gzip": Parser(
        "frame_annotations.jgz",
        lambda: gzip.compress(b'[{"sequence_name": "a"}, {"sequence_name": "b"}]', mtime=0),
        lambda path: [co3d_index.FrameIndex(path).read("a")],
    ),
    "co3d sequences": Parser(
        "sequence_annotations.jgz",
        lambda: json.dumps([co3d_dataset.sequence_record("apple", "1_2_3")]).encode(),
        read_co3d_sequences, wrap=partial(gzip.compress, mtime=0),
    ),
    "co3d set list": Parser(
        "s.json", lambda: json.dumps({"train": [["1_2_3", 1, "a.jpg"]], "test": []}).encode(),
        read_set_list,
    ),
    "co3d batches": Parser(
        "b.json", lambda: json.dumps([[["1", 1, "a.jpg"], ["1", 2, "b.jpg"]]]).encode(),
        read_eval_batches,
    ),
    # text
    "matrix": Parser("p.txt", text(MATRIX_TEXT), trajectories.read_matrix),
    "trajectory": Parser(
        "t.txt",
        text("\n".join(f"1.5 {quaternion_line(f.camera)}" for f in true_frames())),
        lambda path: trajectories.read_rows(
            path, trajectories.parse_columns(trajectories.TUM_COLUMNS)
        ),
    ),
    "poses by name": Parser(
        "t.txt",
        text("0 " + MATRIX_TEXT.replace("\n", " ")),
        lambda path: trajectories.read_rows(path, ("name", "matrix")),
    ),
    "log": Parser("t.log", text("0 0 1\n" + MATRIX_TEXT), trajectories.read_log),
    "tum index": Parser("rgb.txt", text("# t\n1.5 rgb/1.5.png\n"), trajectories.read_index),
    "intrinsics": Parser("k.txt", text("60 0 31\n0 61 23\n0 0 1\n"), read_calibration),
    "transform": Parser(
        "e.txt", text(MATRIX_TEXT),
        lambda path: calibration.read_transform(path.parent, path.name),
    ),
    "calib.txt": Parser(
        "calib.txt", lambda: calib(truths()[0], truths()[0]).replace("3.0", "0").encode(),
        middlebury_files.read_calib,
    ),
    "dmin.txt": Parser("dmin.txt", text("270\n"), middlebury_files.read_dmin),
    "cam.txt": Parser(
        "0_cam.txt",
        lambda: cam_text(truths()[0].camera.K, truths()[0].camera.cam_from_world).encode(),
        mvsnet_cameras.read_cam,
    ),
    "clip.txt": Parser(
        "c.txt",
        lambda: realestate10k_clips.camera_text([f.camera for f in true_frames()]).encode(),
        cameras.read,
    ),
    "hypersim cameras": Parser(
        "c.csv",
        text(",".join(["scene_name", *MATRIX]) + "\nai_001_001" + ",1.0" * 9 + "\n"),
        lambda path: tables.read_projections(path.parent, path),
    ),
    "hypersim scene": Parser(
        "metadata_scene.csv", text("parameter_name,parameter_value\nmeters_per_asset_unit,0.02\n"),
        lambda path: _hypersim_unit(path),
    ),
    "matches": Parser(
        "m.csv", text("frame0,frame1,x0,y0,x1,y1\na,b,1.5,2,3,4\n"),
        lambda path: sparse_matches.read_pairs(path, ["a", "b"]),
    ),
    # YAML
    "recipe": Parser(
        "r.yaml",
        text("source: {name: rgbd, root: x, options: {intrinsics: '1,2,3,4'}}\nviews: 3\n"),
        read_recipe, (UsageError, ValueError),
    ),
    "rgbd.yaml": Parser(
        "rgbd.yaml", text("layout: tum\ndepth_scale: 0.001\nintrinsics: '60,61,31,23'\n"),
        lambda path: rgbd.describe(path.parent, options.RgbdOptions()),
    ),
    "yaml": Parser(
        "y.yaml", text("a: &a {b: [1, 2.5, yes, null]}\nc: *a\nd: 2024-01-01\n"),
        lambda path: yaml_files.parse_yaml(path.read_text("utf-8", "replace")), (yaml.YAMLError,),
        examples=150,
    ),
    "training": Parser(
        "t.yaml", text("shards: d\nout: o\nsteps: 10\nmodel: cat3d-tiny\nlr: 0.001\n"),
        lambda path: train_config.load(path, {}), (UsageError, ValueError),
    ),
    # folders of depth
    "depth index": Parser(
        "depth.json",
        lambda: json.dumps({
            "format_version": 1, "tool_version": "0.1.0", "method": "sweep", "options": {},
            "source": {"name": "rgbd"}, "counts": {"frames": 3}, "scenes": {"a/b": "a-b"},
        }).encode(),
        lambda path: depth_folder.read_index(path.parent), (DataError,),
    ),
    # shards
    "shard": Parser("s.tar", lambda: shard_build()[0], read_shard, (DataError,), examples=80),
    "index.json": Parser(
        "index.json", lambda: shard_build()[1], lambda path: index.read_index(path.parent),
        (DataError,),
    ),
    **{name: member(name) for name in
       ("json", "0.png", "0.depth.png16", "0.mask.png8", "xy16.npy", "verdict16.npy",
        "intrinsics.npy", "cam_from_world.npy", "xy1.0-1.x.png16")},
}  # fmt: skip


def _hypersim_unit(path: Path) -> None:
    (path.parent / "_detail").mkdir(exist_ok=True)
    shutil.copy(path, path.parent / "_detail" / path.name)
    tables.read_metres_per_unit(path.parent)


@pytest.mark.parametrize("case", PARSERS)
def test_valid_bytes_are_read(case: str, tmp_path: Path) -> None:
    """Else the fuzzing would only see one refusal."""
    parser = PARSERS[case]
    path = tmp_path / parser.name
    path.write_bytes(parser.wrap(parser.valid()))
    parser.read(path)


@pytest.mark.parametrize("case", PARSERS)
def test_damaged_bytes_give_a_value_or_the_one_error(
    case: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    parser = PARSERS[case]
    valid = parser.valid()
    path = tmp_path_factory.mktemp("fuzz") / parser.name

    @budget(parser.examples)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        damaged = data.draw(damage())(valid)
        path.write_bytes(parser.wrap(damaged))
        value_or_defect(partial(parser.read, path), parser.allowed)

    run()
