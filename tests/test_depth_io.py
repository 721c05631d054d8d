"""Every depth codec reads back what was written in its encoding, and refuses what is not it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import rgbd_recordings as recordings

from cameo_data.errors import Reason
from cameo_data.io import depth_files
from cameo_data.io.files import FileDefect
from cameo_data.types import DepthCodec, DepthRef

VALUES = (np.arange(12 * 16).reshape(12, 16) * 331 % 65536).astype(np.uint16)
METRES = (VALUES / 1000).astype(np.float32)


@pytest.mark.parametrize("ext", ["png", "pgm", "tiff"])
def test_uint16(ext: str, tmp_path: Path) -> None:
    recordings.save(tmp_path / f"d.{ext}", VALUES)
    np.testing.assert_array_equal(depth_files.read_uint16(tmp_path / f"d.{ext}"), VALUES)
    assert depth_files.depth_hw(tmp_path / f"d.{ext}", "uint16") == (12, 16)


def test_pgm_has_the_high_byte_first(tmp_path: Path) -> None:
    (tmp_path / "d.pgm").write_bytes(b"P5\n2 1\n65535\n\x01\x02\x03\x04")
    assert depth_files.read_uint16(tmp_path / "d.pgm").tolist() == [[0x0102, 0x0304]]
    assert depth_files.read_uint16_swapped(tmp_path / "d.pgm").tolist() == [[0x0201, 0x0403]]


def test_sun_rotation(tmp_path: Path) -> None:
    recordings.save(tmp_path / "d.png", (VALUES << 3) | (VALUES >> 13))
    np.testing.assert_array_equal(depth_files.read_sun_rotated(tmp_path / "d.png"), VALUES)


def test_nyu_disparity(tmp_path: Path) -> None:
    raw = np.array([[2047, 1093, 1092, 0, 900]], np.uint16)
    recordings.save(tmp_path / "d.pgm", raw.byteswap())
    expected = [[0, 0, 351.3 / 0.5, 351.3 / 1092.5, 351.3 / 192.5]]
    np.testing.assert_allclose(
        depth_files.read_nyu_disparity(tmp_path / "d.pgm"), expected, rtol=1e-6
    )


@pytest.mark.parametrize("ext", ["tiff", "pfm"])
def test_float(ext: str, tmp_path: Path) -> None:
    recordings.save(tmp_path / f"d.{ext}", METRES)
    np.testing.assert_array_equal(depth_files.read_float(tmp_path / f"d.{ext}"), METRES)
    assert depth_files.depth_hw(tmp_path / f"d.{ext}", "float") == (12, 16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint16, np.int32])
def test_npy(dtype: type, tmp_path: Path) -> None:
    array = (VALUES // 64).astype(dtype)
    for name, shaped in (("a.npy", array), ("b.npy", array[..., None])):
        np.save(tmp_path / name, shaped)
        np.testing.assert_array_equal(depth_files.read_npy(tmp_path / name), array)
        assert depth_files.depth_hw(tmp_path / name, "npy") == (12, 16)


@pytest.mark.parametrize("channels", ["Z", "Y", "RGB"])
def test_exr(channels: str, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    path = tmp_path / "d.exr"
    pixels = dict.fromkeys(channels, METRES)
    if channels == "Z":
        pixels["R"] = METRES + 1  # a rendered image beside its depth
    with exr.File(header, pixels) as file:
        file.write(str(path))
    np.testing.assert_array_equal(depth_files.read_float(path), METRES)
    assert depth_files.depth_hw(path, "float") == (12, 16)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileDefect, match=r"d\.exr cannot be read"):
        depth_files.read_float(path)


def test_exr_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    (tmp_path / "d.exr").write_bytes(b"v/1\x01")
    with pytest.raises(FileDefect, match=r"pip install 'cameo-mv\[exr\]', or convert"):
        depth_files.read_float(tmp_path / "d.exr")


def test_scale_and_markers_of_nothing(tmp_path: Path) -> None:
    recordings.save(tmp_path / "d.png", np.array([[0, 5000, 65535, 7]], np.uint16))
    depth = DepthRef(tmp_path / "d.png", "uint16", 1 / 5000, invalid=(65535, 7))
    depth_map = depth_files.read_depth(depth)
    assert depth_map.valid.tolist() == [[False, True, False, False]]
    np.testing.assert_allclose(depth_map.z, [[0, 1, 0, 0]])


def test_nan_infinity_and_negative_depth_are_invalid(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[np.nan, np.inf, -1, 0, 2.5]]))
    depth_map = depth_files.read_depth(DepthRef(tmp_path / "d.npy", "npy", 1.0))
    assert depth_map.valid.tolist() == [[False, False, False, False, True]]
    assert depth_map.z.tolist() == [[0, 0, 0, 0, 2.5]]


def test_unknown_codec_is_a_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown depth codec 'x'; expected one of uint16, "):
        DepthRef(tmp_path / "d.png", "x", 1.0)  # type: ignore[arg-type]


def test_every_codec_has_one_reader() -> None:
    assert set(depth_files.CODECS) == set(DepthCodec)
    by_name = DepthRef(Path("d.png"), "float16_png", 1.0)  # type: ignore[arg-type]
    assert by_name.codec is DepthCodec.FLOAT16_PNG


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def archived() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", b"")
    return stream.getvalue()


def huge_npy() -> bytes:
    """A header of a few bytes that claims 10¹⁰ pixels."""
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (100_000, 100_000)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def saved_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


REFUSED = {
    "pickle": ("npy", pickled(), "holds object of shape 1; expected an (H, W) array"),
    "archive": ("npy", archived(), "is an archive of arrays"),
    "bomb": ("npy", huge_npy(), "holds uint8 of shape 100000×100000; expected"),
    "truncated array": ("npy", saved_npy(METRES)[:-8], "holds 888 bytes; expected 896 bytes"),
    "row": ("npy", saved_npy(METRES[0]), "holds float32 of shape 16; expected an (H, W)"),
    "stack": ("npy", saved_npy(np.ones((2, 3, 4))), "holds float64 of shape 2×3×4; expected"),
    "complex": ("npy", saved_npy(METRES + 1j), "holds complex64 of shape 12×16; expected"),
    "no array": ("npy", b"hello", "cannot be read"),
    "16-bit as float": ("float", cv2.imencode(".png", VALUES)[1].tobytes(), "holds uint16"),
    "float as 16-bit": ("uint16", cv2.imencode(".tiff", METRES)[1].tobytes(), "holds float32"),
    "truncated PGM": ("uint16", cv2.imencode(".pgm", VALUES)[1].tobytes()[:-9], "cannot be dec"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    codec, data, message = REFUSED[case]
    path = tmp_path / "d.bin"
    path.write_bytes(data)
    with pytest.raises(FileDefect) as error:
        depth_files.CODECS[codec](path)
    assert error.value.reason == Reason.UNREADABLE_DEPTH
    assert message in str(error.value)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name, codec, scale, median",
    [
        ("TUM_depth.png", "uint16", 1 / 5000, 2.42),
        ("SUN_depth.png", "sun_rotated", 0.001, 2.72),
        ("NYU_depth.pgm", "nyu_disparity", 1.0, 3.27),
    ],
)
def test_real_encodings(name: str, codec: str, scale: float, median: float, realdata: Path) -> None:
    path = realdata / "rgbd_single_encodings" / name
    depth = depth_files.read_depth(DepthRef(path, codec, scale))
    assert np.median(depth.z[depth.valid]) == pytest.approx(median, abs=0.01)


def test_values_that_float32_cannot_hold_are_no_depth(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[1e300, -1e300, 2.0]]))
    depth_map = depth_files.read_depth(DepthRef(tmp_path / "d.npy", "npy", 1e30))
    assert depth_map.valid.tolist() == [[False, False, True]]


HEADERS = {
    "unclosed": b"{'descr': '<f4', 'fortran_order': False, 'shape': (12, 16",
    "no types": b"{'descr': 3, 'fortran_order': False, 'shape': (12, 16), }",
    "no literal": b"{'descr': '<f4', 'fortran_order': False, 'shape': (12, 16/0), }",
    "bytes": b"{'descr': '\xff', 'fortran_order': False, 'shape': (12, 16), }",
    "nul": b"{'descr': '<f4'\0, 'fortran_order': False, 'shape': (12, 16), }",
    "nested": b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"-" * 5000 + b"1}",
    "brackets": b"(" * 900,
    "negative": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-12, -16), }",
    "truth": b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 192), }",
    "huge": b"{'descr': '<f4', 'fortran_order': False, 'shape': (12, 9" + b"9" * 4500 + b"), }",
    "empty": b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 16), }",
    "odd literal": b"{'descr': '<f4', 'fortran_order': False, 'shape': (12, 1_6if 1else 2), }",
    "of Python 2": b"{'descr': '<f4', 'fortran_order': False, 'shape': (12L, 160L), }",
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("codec", ["npy", "npz"])
def test_damaged_npy_headers_are_one_error(tmp_path: Path, case: str, codec: str) -> None:
    header = HEADERS[case]
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + METRES.tobytes()
    path = tmp_path / f"d.{codec}"
    if codec == "npy":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("depth.npy", data)
    with pytest.raises(FileDefect) as error:
        depth_files.CODECS[codec](path)
    assert error.value.reason == Reason.UNREADABLE_DEPTH
    assert "\n" not in str(error.value)
