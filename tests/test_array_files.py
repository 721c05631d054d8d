"""PFM, NumPy archives and HDF5: read as written, and refused before anything harmful happens."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from mvs_fixtures import save_hdf5, save_pfm

from cameo_data.errors import Reason
from cameo_data.io import array_files, depth_files
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthRef

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) + 0.25


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.003922, 255.0])
def test_pfm_is_bottom_up_in_either_byte_order(
    tmp_path: Path, big_endian: bool, scale: float
) -> None:
    save_pfm(tmp_path / "d.pfm", VALUES, big_endian=big_endian, scale=scale)
    np.testing.assert_array_equal(array_files.read_pfm(tmp_path / "d.pfm"), VALUES)
    for codec in ("pfm", "float"):
        np.testing.assert_array_equal(depth_files.CODECS[codec](tmp_path / "d.pfm"), VALUES)
        assert depth_files.depth_hw(tmp_path / "d.pfm", codec) == (3, 4)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"Pf\n4 3\n-1.0\n" + VALUES.tobytes()[:-1], "holds 59 bytes; expected 60 bytes"),
        (b"Pf\n4 3\n-1.0\n" + VALUES.tobytes() + b"x", "holds 61 bytes; expected 60 bytes"),
        (b"PF\n4 3\n-1.0\n" + 3 * VALUES.tobytes(), "is a colour PFM"),
        (b"Pf\n4 3\n0\n" + VALUES.tobytes(), "has no PFM header"),
        (b"P5\n4 3\n255\n" + bytes(12), "has no PFM header"),
        (b"Pf\n999999 999999\n-1\n", "is 999999×999999"),
    ],
)
def test_pfm_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "d.pfm").write_bytes(data)
    with pytest.raises(FileDefect, match=message):
        array_files.read_pfm(tmp_path / "d.pfm")


@pytest.mark.parametrize("names", [("arr_0",), ("depth", "other")])
def test_npz(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.savez_compressed(tmp_path / "d.npz", **{name: VALUES + i for i, name in enumerate(names)})
    np.testing.assert_array_equal(array_files.read_npz(tmp_path / "d.npz"), VALUES)
    np.testing.assert_array_equal(depth_files.CODECS["npz"](tmp_path / "d.npz"), VALUES)


def test_npz_that_is_ambiguous(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=VALUES, b=VALUES)
    with pytest.raises(FileDefect, match="holds 'a', 'b'; expected an array called depth or"):
        array_files.read_npz(tmp_path / "d.npz")


def test_npz_pickle_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", np.array([None, 1], object))
    with pytest.raises(FileDefect, match=r"of type object; expected numbers \(nothing is unpick"):
        array_files.read_npz(tmp_path / "d.npz")


def header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


@pytest.mark.parametrize(
    "shape, message",
    [((100_000, 100_000), "is 100000×100000"), ((9000, 9000), "cannot be read")],
)
def test_npz_header_is_not_believed(tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("depth.npy", header(shape) + VALUES.tobytes())
    with pytest.raises(FileDefect, match=message):
        array_files.read_npz(tmp_path / "d.npz")


def test_npz_cut_short(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", VALUES)
    data = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileDefect, match="cannot be read") as caught:
        array_files.read_npz(tmp_path / "d.npz")
    assert caught.value.reason == Reason.UNREADABLE_DEPTH


@pytest.mark.parametrize("name", ["depth", "dataset", "anything"])
@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "uint16"])
def test_hdf5(tmp_path: Path, name: str, dtype: str) -> None:
    save_hdf5(tmp_path / "d.h5", name, VALUES.astype(dtype))
    np.testing.assert_array_equal(
        depth_files.CODECS["hdf5"](tmp_path / "d.h5"), VALUES.astype(dtype).astype(np.float32)
    )


def outside(tmp_path: Path) -> Path:
    """A file that no reader of the other file may open."""
    save_hdf5(tmp_path / "secret.h5", "depth", VALUES)
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    return tmp_path / "secret.h5"


def link_out(file: h5py.File, secret: Path) -> None:
    file["depth"] = h5py.ExternalLink(str(secret), "depth")


def soft_link(file: h5py.File, secret: Path) -> None:
    file["elsewhere"] = VALUES
    file["depth"] = h5py.SoftLink("/elsewhere")


def store_out(file: h5py.File, secret: Path) -> None:
    raw = str(secret.with_suffix(".raw"))
    file.create_dataset("depth", VALUES.shape, "f4", external=[(raw, 0, VALUES.nbytes)])


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout(VALUES.shape, "f4")
    layout[...] = h5py.VirtualSource(str(secret), "depth", VALUES.shape)
    file.create_virtual_dataset("depth", layout)


def group(file: h5py.File, secret: Path) -> None:
    file.create_group("depth")


def texts(file: h5py.File, secret: Path) -> None:
    file["depth"] = ["a", "b"]


def huge(file: h5py.File, secret: Path) -> None:
    file.create_dataset("depth", (1_000_000, 1_000_000), "f4", chunks=(100, 100))


def huge_chunk(file: h5py.File, secret: Path) -> None:
    file.create_dataset(
        "depth", (8, 8), "f4", maxshape=(None, None), chunks=(20_000, 20_000), compression="gzip"
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (link_out, "holds 'depth' as a link"),
        (soft_link, "holds 'depth' as a link"),
        (store_out, "keeps 'depth' in another file"),
        (virtual, "keeps 'depth' in another file"),
        (group, "holds 'depth' as a group"),
        (texts, "of type object"),
        (huge, "is 1000000×1000000"),
        (huge_chunk, "is 20000×20000"),
    ],
)  # fmt: skip
def test_hdf5_refused(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    secret = outside(tmp_path)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        make(file, secret)
    with pytest.raises(FileDefect, match=message):
        array_files.read_hdf5(tmp_path / "d.h5")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_hdf5_cut_short(tmp_path: Path, keep: float) -> None:
    save_hdf5(tmp_path / "d.h5", "depth", np.random.default_rng(0).random((80, 80)))
    data = (tmp_path / "d.h5").read_bytes()
    (tmp_path / "d.h5").write_bytes(data[: int(keep * len(data))] or b"no HDF5")
    with pytest.raises(FileDefect, match="cannot be read"):
        array_files.read_hdf5(tmp_path / "d.h5")


def test_distance_along_the_ray_becomes_z(tmp_path: Path) -> None:
    """A wall at z = 2 is farther from the camera's centre towards the corners."""
    K = np.array([[3.0, 0, 2], [0, 3, 1.5], [0, 0, 1]])
    x, y = np.meshgrid(np.arange(4) + 0.5, np.arange(3) + 0.5)
    distance = 2 * np.sqrt(((x - 2) / 3) ** 2 + ((y - 1.5) / 3) ** 2 + 1)
    np.save(tmp_path / "d.npy", distance)
    ref = DepthRef(tmp_path / "d.npy", "npy", 1.0, camera_K=K, along_ray=True)
    np.testing.assert_allclose(depth_files.read_depth(ref).z, 2.0, rtol=1e-6)
    with pytest.raises(ValueError, match="need camera_K"):
        depth_files.read_depth(DepthRef(tmp_path / "d.npy", "npy", 1.0, along_ray=True))


def test_disparity_becomes_z(tmp_path: Path) -> None:
    disparity = np.array([[4, 0, 1], [np.inf, np.nan, -2]], np.float32)
    np.save(tmp_path / "d.npy", disparity)
    ref = DepthRef(tmp_path / "d.npy", "npy", 1.0, stereo=(12.0, 2.0))
    found = depth_files.read_depth(ref)
    np.testing.assert_allclose(found.z, [[2, 6, 4], [0, 0, 0]])
    ref = DepthRef(tmp_path / "d.npy", "npy", 1.0, stereo=(12.0, 2.0), invalid=(0.0,))
    assert not depth_files.read_depth(ref).valid[0, 1]


@pytest.mark.parametrize("scale", ["1.2.3", ".", "1e", "--1", "nan"])
def test_pfm_scales_that_are_no_numbers(tmp_path: Path, scale: str) -> None:
    (tmp_path / "d.pfm").write_bytes(f"Pf\n4 3\n{scale}\n".encode() + VALUES.tobytes())
    with pytest.raises(FileDefect, match=r"d\.pfm has no PFM header"):
        array_files.read_pfm(tmp_path / "d.pfm")
