"""Pictures and masks: which kinds of files are read, and what is said of those that are not."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import rgbd_recordings as recordings
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from cameo_data.cli import main
from cameo_data.errors import Reason
from cameo_data.io import image_files, png_files
from cameo_data.io.files import FileDefect

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (24, 31, 3), np.uint8)
GREY16 = RNG.integers(0, 65536, (24, 31), np.uint16)

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)
UNREAD = {
    "heic": (HEIC, "HEIC", "convert to JPEG or PNG"),
    "avif": (HEIC.replace(b"ftypheic", b"ftypavif"), "AVIF", "convert to JPEG or PNG"),
    "video": (HEIC.replace(b"ftypheic", b"ftypisom"), "a video", "extract its frames"),
    "jxl": (b"\xff\x0a" + bytes(50), "JPEG XL", "convert to JPEG or PNG"),
    "jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "JPEG 2000", "convert to JPEG or PNG"),
    "gif": (b"GIF89a" + bytes(50), "GIF", "convert to JPEG or PNG"),
    "exr": (b"\x76\x2f\x31\x01" + bytes(50), "OpenEXR", "tone-map it"),
    "hdr": (b"#?RADIANCE\n" + bytes(50), "Radiance HDR", "tone-map it"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid x", "a Git LFS", "git lfs pull"),
    "page": (b"<!DOCTYPE html><html>404</html>", "a web page", "download the file again"),
}


@pytest.mark.parametrize("kind", UNREAD)
@pytest.mark.parametrize("ending", ["own", "jpg"])
def test_files_of_other_kinds_are_called_by_their_kind(
    kind: str, ending: str, tmp_path: Path
) -> None:
    data, name, remedy = UNREAD[kind]
    path = tmp_path / f"0000.{kind if ending == 'own' else ending}"
    path.write_bytes(data)
    for read in (image_files.read_hw, image_files.read_rgb, image_files.read_mask):
        with pytest.raises(FileDefect) as caught:
            read(path)
        assert caught.value.reason is Reason.UNREADABLE_IMAGE
        assert f"{path.name} is {name}" in str(caught.value)
        assert "which is not supported; expected JPEG, PNG" in str(caught.value)
        assert remedy in str(caught.value)


def test_a_recording_of_heic_pictures_and_its_remedy(tmp_path: Path) -> None:
    folder = recordings.write_dvmvs(tmp_path / "scene")
    pictures = {path: path.read_bytes() for path in (folder / "images").iterdir()}
    for path in pictures:
        path.write_bytes(HEIC)
    done = CliRunner().invoke(main, ["inspect", "rgbd", str(folder)])
    assert done.exit_code == 3
    assert "is HEIC, which is not supported" in done.output
    for path, data in pictures.items():  # converted, as the message says
        path.write_bytes(data)
    assert CliRunner().invoke(main, ["inspect", "rgbd", str(folder)]).exit_code == 0


def test_big_tiffs_are_tiffs(tmp_path: Path) -> None:
    image = Image.fromarray(RGB)
    image.save(tmp_path / "a.tif", big_tiff=True, tiffinfo={0x0112: 6})
    assert (tmp_path / "a.tif").read_bytes()[2] == 43
    with pytest.raises(FileDefect, match="EXIF orientation 6"):
        image_files.read_hw(tmp_path / "a.tif")
    file = image_files.read_rgb(tmp_path / "a.tif", "stored")
    np.testing.assert_array_equal(file.rgb, RGB)
    assert image_files.read_hw(tmp_path / "a.tif", "displayed") == (31, 24)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiffs_of_floats_are_no_pictures_and_say_so(
    dtype: type, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.tif"
    assert cv2.imwrite(str(path), RGB.astype(dtype) / 255)
    assert image_files.read_hw(path) == (24, 31)
    for read in (image_files.read_rgb, image_files.read_mask):
        with pytest.raises(FileDefect, match=r"a TIFF of floating-point.*convert to 8-bit PNG"):
            read(path)
    assert capfd.readouterr().err == ""
    values = image_files.read_unchanged(path, Reason.UNREADABLE_DEPTH)
    np.testing.assert_array_equal(values, RGB.astype(dtype) / 255)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "bmp", "ppm"])
def test_every_kind_of_picture_that_is_read(kind: str, tmp_path: Path) -> None:
    recordings.save(tmp_path / f"a.{kind}", RGB)
    expected = cv2.imread(str(tmp_path / f"a.{kind}"))[..., ::-1]
    file = image_files.read_rgb(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(file.rgb, expected)
    assert image_files.read_hw(tmp_path / f"a.{kind}") == (24, 31)
    assert file.plain == (kind in ("jpg", "png", "webp"))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "bmp", "ppm"])
def test_damaged_pictures_end_in_a_defect_or_a_picture(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    recordings.save(tmp_path / f"a.{kind}", RGB)
    whole = (tmp_path / f"a.{kind}").read_bytes()
    path = tmp_path / "b.img"
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 400), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(bytes(data[: rng.integers(len(data) // 2, len(data) + 1)]))
        for read in (image_files.read_hw, image_files.read_rgb, image_files.read_mask):
            try:
                read(path, "stored") if read is not image_files.read_mask else read(path)
            except FileDefect:
                continue
    assert "libpng" not in capfd.readouterr().err


# --- PNG ----------------------------------------------------------------------------------------


def png(image: NDArray[np.generic]) -> bytes:
    return bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_pngs_of_every_kind_are_decoded_as_before(
    mode: str, interlaced: bool, tmp_path: Path
) -> None:
    image = Image.fromarray(GREY16) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    data = io.BytesIO()
    image.save(data, "PNG")
    if interlaced:
        data = io.BytesIO(interlace(data.getvalue()))
    path = tmp_path / "a.png"
    path.write_bytes(data.getvalue())
    expected = cv2.imdecode(np.frombuffer(data.getvalue(), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(image_files.read_rgb(path).rgb, expected)


def interlace(data: bytes) -> bytes:
    """The picture in Adam7's order, which no encoder here writes; rows without filters."""
    parts = dict(png_files.chunks(data))
    header = bytearray(parts[b"IHDR"])
    header[12] = 1
    bits = header[8] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[header[9]]
    image = Image.open(io.BytesIO(data))
    pixels = np.asarray(image)
    if image.mode == "I;16":
        pixels = pixels.astype(">u2").view(np.uint8).reshape(*pixels.shape, 2)
    raw = b""
    for x, y, dx, dy in png_files.ADAM7:
        for row in pixels[y::dy, x::dx]:
            if len(row):
                packed = np.packbits(row) if bits == 1 else np.ascontiguousarray(row)
                raw += b"\0" + packed.tobytes()
    kept = [(b"IHDR", bytes(header))]
    kept += [(kind, parts[kind]) for kind in (b"PLTE",) if kind in parts]
    return png_files.join([*kept, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])


def damaged(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with the body of its chunks of a kind replaced, checksums right."""
    found = dict(png_files.chunks(data))
    found[kind] = body
    return png_files.join(found.items())


def pixels(data: bytes) -> bytes:
    return dict(png_files.chunks(data))[b"IDAT"]


def test_damaged_pngs_are_refused_without_a_word_on_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = png(RGB)
    packed = pixels(sound)
    raw = zlib.decompress(packed)
    palette = io.BytesIO()
    Image.fromarray(RGB).convert("P").save(palette, "PNG")
    cases = {
        "cut pixels": (damaged(sound, b"IDAT", packed[:-30]), "pixels unpack to"),
        "flipped bit": (damaged(sound, b"IDAT", flip(packed)), "cannot be unpacked"),
        "too few rows": (damaged(sound, b"IDAT", zlib.compress(raw[:-94])), "of 2256"),
        "wild filter": (damaged(sound, b"IDAT", zlib.compress(b"\x09" + raw[1:])), "filtered"),
        "no pixels": (damaged(sound, b"IDAT", b""), "pixels unpack to 0 bytes"),
        "no palette": (damaged(palette.getvalue(), b"PLTE", b""), "is"),
        "cut file": (sound[:-20], "is cut short"),
        "header": (damaged(sound, b"IHDR", RGB.tobytes()[:13]), "is"),
    }
    capfd.readouterr()
    for name, (data, message) in cases.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        for read in (image_files.read_rgb, image_files.read_mask):
            with pytest.raises(FileDefect, match=message):
                read(path)
        with pytest.raises(FileDefect):
            image_files.read_unchanged(path, Reason.UNREADABLE_DEPTH)
    assert capfd.readouterr().err == ""


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 0x55]) + data[-2:]


def test_odd_profiles_and_trailing_pixels_are_read_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = png(RGB)
    parts = png_files.chunks(sound)
    parts.insert(1, (b"iCCP", b"x\0\0" + zlib.compress(b"abc")))
    parts.insert(1, (b"gAMA", bytes(4)))
    more = zlib.compress(zlib.decompress(pixels(sound)) + b"more")
    for data in (png_files.join(parts), damaged(sound, b"IDAT", more)):
        (tmp_path / "a.png").write_bytes(data)
        np.testing.assert_array_equal(image_files.read_rgb(tmp_path / "a.png").rgb, RGB[..., ::-1])
    assert capfd.readouterr().err == ""


def test_colour_of_16_bits_is_not_copied_as_it_is(tmp_path: Path) -> None:
    """Pillow calls it RGB and cuts each value to its high byte; a reader may scale instead."""
    deep = RNG.integers(0, 65536, (24, 31, 3), np.uint16)
    recordings.save(tmp_path / "a.png", deep)
    file = image_files.read_rgb(tmp_path / "a.png")
    assert not file.plain
    np.testing.assert_array_equal(file.rgb, (deep >> 8).astype(np.uint8)[..., ::-1])


# --- masks --------------------------------------------------------------------------------------

MASK = np.zeros((24, 31), np.uint8)
MASK[3:9, 4:20] = 1


@pytest.mark.parametrize(
    "stored",
    [MASK * 255, MASK, MASK.astype(np.uint16), MASK.astype(np.uint16) * 65535, MASK * 128],
    ids=["255", "1", "1 of 16 bits", "65535", "128"],
)
def test_masks_of_every_white(stored: NDArray[np.generic], tmp_path: Path) -> None:
    recordings.save(tmp_path / "m.png", stored)
    np.testing.assert_array_equal(image_files.read_mask(tmp_path / "m.png"), MASK > 0)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "bmp", "pgm"])
def test_masks_in_every_kind_of_picture(kind: str, tmp_path: Path) -> None:
    recordings.save(tmp_path / f"m.{kind}", MASK * 255)
    found = image_files.read_mask(tmp_path / f"m.{kind}")
    assert found.shape == MASK.shape
    assert np.mean(found != (MASK > 0)) < 0.02  # JPEG and WebP blur the outline


def recording_with_masks(folder: Path, mask: NDArray[np.generic]) -> Path:
    recordings.write_dvmvs(folder, count=4)
    for path in (folder / "images").iterdir():
        recordings.save(folder / f"mask/{path.stem}.png", mask)
    return folder


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.output


@pytest.mark.parametrize("labels", [3, 8])
def test_confidence_and_label_maps_as_masks_are_noted(labels: int, tmp_path: Path) -> None:
    values = (np.arange(48 * 64).reshape(48, 64) % labels).astype(np.uint8)
    folder = recording_with_masks(tmp_path / "scene", values)
    given = ["rgbd", str(folder), "-o", "mask=mask/*.png"]
    code, text = invoke("inspect", *given)
    listed = ", ".join(map(str, range(labels)))
    assert code == 0
    assert f"masks hold only {listed} and are background everywhere" in text
    assert "128 of 255" in text
    code, text = invoke("inspect", *given, "--json")
    assert json.loads(text)["scenes"][0]["foreground_share"] == 0

    build = ["build-corr", *given, "--views", "2", "--workers", "1", "--restrict-to-mask"]
    code, text = invoke(*build, "--out", str(tmp_path / "a"))
    assert code == 1
    assert "look at the masks" in text
    # both remedies: without the restriction, and with masks of 0 and 255
    code, text = invoke(*build[:-1], "--out", str(tmp_path / "b"))
    assert code == 0, text
    recording_with_masks(folder, np.where(values > 0, 255, 0).astype(np.uint8))
    code, text = invoke(*build, "--out", str(tmp_path / "c"), "--min-overlap", "0.05")
    assert code == 0, text


def test_inspect_shows_the_foreground_of_each_scene(tmp_path: Path) -> None:
    half = np.zeros((48, 64), np.uint8)
    half[:, 16:] = 255
    recording_with_masks(tmp_path / "masked", half)
    code, text = invoke("inspect", "rgbd", str(tmp_path), "-o", "mask=mask/*.png")
    assert code == 0
    header, row = (line for line in text.splitlines() if line.startswith(("scene ", "masked")))
    assert header.endswith("foreground")
    assert row.endswith("75 %")
    assert "note" not in text
