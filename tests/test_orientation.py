"""EXIF orientation: one rule for all sources, and no stored picture that a reader would turn."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import nerfstudio_scenes
import numpy as np
import pytest
import rgbd_recordings as recordings
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from cameo_data.cli import main
from cameo_data.errors import DataError
from cameo_data.frames import read_view
from cameo_data.io import image_files, orientation, png_files
from cameo_data.io.files import FileDefect
from cameo_data.sources import open_source, source_names, source_spec
from cameo_data.types import Scene, View

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.integers(0, 255, (6, 8, 3), np.uint8), (32, 24))
TURNED = [2, 3, 4, 5, 6, 7, 8]


def encode(rgb: NDArray[Any], tag: int, kind: str = "JPEG", xmp: bool = False) -> bytes:
    """A picture with an orientation tag, in EXIF or in XMP."""
    data = io.BytesIO()
    more: dict[str, Any] = {}
    if xmp:
        more["xmp"] = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
            f'tiff:Orientation="{tag}"/></rdf:RDF></x:xmpmeta>'
        ).encode()
        if kind == "PNG":
            more["pnginfo"] = PngInfo()
            more["pnginfo"].add_itxt("XML:com.adobe.xmp", more.pop("xmp").decode())
    elif kind == "TIFF":
        more["tiffinfo"] = {orientation.TAG: tag}
    else:
        exif = Image.Exif()
        exif[orientation.TAG] = tag
        more["exif"] = exif
    if kind == "WEBP":
        more["lossless"] = True
    Image.fromarray(np.ascontiguousarray(rgb)).save(data, kind, **more)
    return data.getvalue()


def shown(data: bytes) -> NDArray[np.uint8]:
    """The picture as a viewer shows it."""
    image = Image.open(io.BytesIO(data))
    return np.asarray((ImageOps.exif_transpose(image) or image).convert("RGB"))


@pytest.mark.parametrize("tag", TURNED)
def test_turning_is_what_viewers_do(tag: int) -> None:
    data = encode(SMOOTH, tag, "PNG")
    np.testing.assert_array_equal(orientation.turn(SMOOTH, tag), shown(data))
    np.testing.assert_array_equal(orientation.turn_back(shown(data), tag), SMOOTH)
    assert orientation.turned_hw(SMOOTH.shape[:2], tag) == shown(data).shape[:2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("tag", TURNED)
def test_each_rule_on_each_kind_of_file(kind: str, tag: int, tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(encode(SMOOTH, tag, kind))
    displayed = shown(path.read_bytes())
    with pytest.raises(FileDefect, match=rf"EXIF orientation {tag} .*exif_orientation=displayed"):
        image_files.read_rgb(path)
    with pytest.raises(FileDefect, match="EXIF"):
        image_files.read_hw(path)
    for rule, expected in (
        ("stored", orientation.turn_back(displayed, tag)),
        ("displayed", displayed),
    ):
        file = image_files.read_rgb(path, rule)  # type: ignore[arg-type]
        np.testing.assert_array_equal(file.rgb, expected)
        assert image_files.read_hw(path, rule) == expected.shape[:2]  # type: ignore[arg-type]
        assert file.plain == (rule == "stored" and kind != "TIFF")
        if file.plain:
            np.testing.assert_array_equal(shown(file.data), expected)
            image = Image.open(io.BytesIO(file.data))
            assert ImageOps.exif_transpose(image).size == image.size
            assert dict(image.getexif()) == {}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_tag_in_xmp_counts_as_well(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(encode(SMOOTH, 6, kind, xmp=True))
    assert shown(path.read_bytes()).shape == (32, 24, 3)  # viewers turn it
    with pytest.raises(FileDefect, match="EXIF orientation 6"):
        image_files.read_rgb(path)
    file = image_files.read_rgb(path, "stored")
    assert file.plain
    np.testing.assert_array_equal(shown(file.data), file.rgb)


@pytest.mark.parametrize("where", ["behind the pixels", "in ImageMagick's profile"])
def test_a_png_may_hide_its_tag(where: str, tmp_path: Path) -> None:
    exif = exif_of(6).tobytes()
    parts = [c for c in png_files.chunks(encode(SMOOTH, 6, "PNG")) if c[0] != b"eXIf"]
    if where == "behind the pixels":
        parts.insert(-1, (b"eXIf", exif.removeprefix(b"Exif\0\0")))
    else:
        text = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
        profile = b"Raw profile type exif\0\0" + zlib.compress(text)
        parts.insert(1, (b"zTXt", profile))
    path = tmp_path / "a.png"
    path.write_bytes(png_files.join(parts))
    assert shown(path.read_bytes()).shape == (32, 24, 3)  # viewers find it
    for read in (image_files.read_hw, image_files.read_rgb):
        with pytest.raises(FileDefect, match="EXIF orientation 6"):
            read(path)
    file = image_files.read_rgb(path, "stored")
    assert file.plain
    np.testing.assert_array_equal(shown(file.data), SMOOTH)


@pytest.mark.parametrize("tag", [0, 1, 9])
def test_tags_that_turn_nothing_leave_the_bytes_alone(tag: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(SMOOTH, tag))
    file = image_files.read_rgb(path)
    assert file.plain
    assert file.data == path.read_bytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_taking_the_tag_out_leaves_profile_and_pixels(kind: str, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[orientation.TAG] = 3
    path = tmp_path / "a.img"
    Image.fromarray(SMOOTH).save(path, kind, exif=exif, icc_profile=profile)
    file = image_files.read_rgb(path, "stored")
    assert Image.open(io.BytesIO(file.data)).info["icc_profile"] == profile
    before = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file.data))), before)


def test_depth_with_a_tag_is_refused(tmp_path: Path) -> None:
    from cameo_data.io import depth_files
    from cameo_data.types import DepthRef

    exif = Image.Exif()
    exif[orientation.TAG] = 6
    path = tmp_path / "d.png"
    Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(path, exif=exif)
    with pytest.raises(FileDefect, match=r"d\.png has EXIF orientation 6.*write it again without"):
        depth_files.read_depth(DepthRef(path, "uint16", 0.001))


# --- recordings whose pictures are stored turned, everything else as displayed -------------------


def write(folder: Path, *, displayed: bool = True, square: bool = False) -> Path:
    """A recording with JPEGs of orientation 6; K, poses and depth are of one of the two pictures.

    Returns:
        The folder; ``rgbd.yaml`` in it describes all but the orientation.
    """
    side = slice(0, 48) if square else slice(None)
    lines = []
    for i, frame in enumerate(recordings.true_frames(6)):
        rgb = np.ascontiguousarray(frame.bgr[:, side, ::-1])
        # shown, the stored pixels are turned clockwise
        stored = orientation.turn_back(rgb, 6) if displayed else rgb
        (folder / "color").mkdir(parents=True, exist_ok=True)
        Image.fromarray(stored).save(
            folder / f"color/{i}.jpg", quality=97, exif=exif_of(6), subsampling=0
        )
        recordings.save(folder / f"depth/{i}.png", frame.millimetres[:, side])
        lines.append(" ".join(f"{v:.9f}" for v in frame.camera.world_from_cam.ravel()))
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    (folder / "rgbd.yaml").write_text(
        "color: color/*.jpg\ndepth: depth/*.png\nposes: poses.txt\n"
        f"intrinsics: {recordings.INTRINSICS}\n"
    )
    return folder


def exif_of(tag: int) -> Image.Exif:
    exif = Image.Exif()
    exif[orientation.TAG] = tag
    return exif


def views_of(name: str, folder: Path, **options: Any) -> tuple[Scene, list[View]]:
    source = open_source(name, folder, options)
    scene = source.scene(source.scene_ids()[0])
    return scene, [
        read_view(frame, dataset=scene.dataset, scene_id=scene.scene_id) for frame in scene.frames
    ]


def assert_true(views: list[View]) -> None:
    """Pictures, depth and cameras are those of the rendered frames."""
    assert len(views) == 6
    for view, truth in zip(views, recordings.true_frames(6), strict=True):
        width = view.image.shape[1]
        error = np.abs(view.image.astype(int) - truth.bgr[:, :width, ::-1].astype(int))
        assert error.mean() < 4
        np.testing.assert_allclose(view.depth.z, truth.millimetres[:, :width] / 1000, rtol=1e-4)
        np.testing.assert_allclose(view.camera.K, recordings.K)
        np.testing.assert_allclose(
            view.camera.cam_from_world, truth.camera.cam_from_world, atol=1e-6
        )


@pytest.mark.parametrize("square", [False, True])
def test_pictures_turned_by_exif_are_refused_and_both_remedies_work(
    square: bool, tmp_path: Path
) -> None:
    folder = write(tmp_path / "shown", square=square)
    with pytest.raises(DataError, match=r"EXIF orientation 6 \(turn it by 90° clockwise") as caught:
        views_of("rgbd", folder)
    assert "-o exif_orientation=stored or -o exif_orientation=displayed" in str(caught.value)
    assert ("its depth has the shape of the displayed one" in str(caught.value)) == (not square)
    scene, views = views_of("rgbd", folder, exif_orientation="displayed")
    assert_true(views)
    assert all(view.encoded is None for view in views)
    assert "the tag is followed" in scene.notes[0]

    folder = write(tmp_path / "kept", displayed=False, square=square)
    scene, views = views_of("rgbd", folder, exif_orientation="stored")
    assert_true(views)
    assert "the tag is ignored" in scene.notes[0]
    for view in views:
        assert view.encoded is not None
        np.testing.assert_array_equal(shown(view.encoded.data), view.image)


def test_the_wrong_choice_is_found_where_sizes_tell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"aspects 1\.33 and 0\.75.*exif_orientation=displayed"):
        views_of("rgbd", write(tmp_path / "shown"), exif_orientation="stored")


@pytest.mark.parametrize("displayed", [False, True])
def test_a_stated_size_of_K_decides(displayed: bool, tmp_path: Path) -> None:
    folder = write(tmp_path / "scene", displayed=displayed)
    scene, views = views_of("rgbd", folder, intrinsics_size="64x48")
    assert_true(views)
    assert "as the size that K is for shows" in scene.notes[0]


def test_one_turned_picture_costs_only_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "scene", displayed=False)
    for i in (0, 1, 2, 4, 5):
        image = Image.open(folder / f"color/{i}.jpg")
        image.save(folder / f"color/{i}.jpg", quality=97)
    done = CliRunner().invoke(main, ["inspect", "rgbd", str(folder), "--read-all"])
    assert done.exit_code == 3
    assert "3.jpg has EXIF orientation 6" in done.output
    assert "1 cannot be used: 1 unreadable_image" in done.output


def test_a_build_of_turned_pictures(tmp_path: Path) -> None:
    """The shards' pictures are those that depth belongs to, and no reader turns them again."""
    import tarfile

    folder = write(tmp_path / "scene")
    build = ["build-corr", "rgbd", str(folder), "--views", "2", "--workers", "1"]
    done = CliRunner().invoke(main, [*build, "--out", str(tmp_path / "refused")])
    assert done.exit_code == 1
    assert "EXIF" in done.output
    done = CliRunner().invoke(
        main, [*build, "-o", "exif_orientation=displayed", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "encoded as jpg (--image-format, --image-quality), 0 kept byte for byte" in done.output
    truth = {str(i): f.bgr[..., ::-1] for i, f in enumerate(recordings.true_frames(6))}
    checked = 0
    for shard in sorted((tmp_path / "out").rglob("*.tar")):
        with tarfile.open(shard) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
        for name in [n for n in members if n.endswith(".json")]:
            for view, frame_id in enumerate(json.loads(members[name])["frame_ids"]):
                stem = name.removesuffix("json")
                (data,) = (d for n, d in members.items() if n.startswith(f"{stem}{view}.")
                           and n.rpartition(".")[2] in ("jpg", "png", "webp"))  # fmt: skip
                error = np.abs(shown(data).astype(int) - truth[frame_id].astype(int))
                assert error.mean() < 5
                checked += 1
    assert checked >= 2


def test_generic_and_nerfstudio_follow_the_same_rule(tmp_path: Path) -> None:
    folder = write(tmp_path / "generic")
    frames = [
        {
            "image": f"color/{i}.jpg",
            "depth": f"depth/{i}.png",
            "pose": frame.camera.world_from_cam.tolist(),
        }
        for i, frame in enumerate(recordings.true_frames(6))
    ]
    record = {
        "format": "cameo-1", "poses": "world_from_cam", "K": recordings.K.tolist(),
        "depth_scale": 0.001, "unit": "metre", "frames": frames,
    }  # fmt: skip
    (folder / "cameo.json").write_text(json.dumps(record))
    scene, _ = views_of("generic", folder)
    assert len(scene.failures) == 6
    assert "EXIF" in scene.failures[0].message
    assert_true(views_of("generic", folder, exif_orientation="displayed")[1])
    (folder / "cameo.json").write_text(json.dumps({**record, "K_size": [64, 48]}))
    assert_true(views_of("generic", folder)[1])

    entries = [
        {
            "file_path": f"color/{i}.jpg",
            "depth_file_path": f"depth/{i}.png",
            "transform_matrix": nerfstudio_scenes.opengl(frame.camera),
        }
        for i, frame in enumerate(recordings.true_frames(6))
    ]
    K = recordings.K
    values = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "frames": entries}
    (folder / "transforms.json").write_text(json.dumps(values))
    scene, _ = views_of("nerfstudio", folder)
    assert len(scene.failures) == 6
    assert "EXIF" in scene.failures[0].message
    assert_true(views_of("nerfstudio", folder, exif_orientation="displayed")[1])
    (folder / "transforms.json").write_text(json.dumps({**values, "w": 64, "h": 48}))
    scene, views = views_of("nerfstudio", folder)
    assert_true(views)
    assert "EXIF orientation 6" in scene.notes[0]


def test_masks_follow_the_rule_too(tmp_path: Path) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[:6, :20] = 255
    path = tmp_path / "m.png"
    Image.fromarray(mask).save(path, exif=exif_of(6))
    with pytest.raises(FileDefect, match="EXIF"):
        image_files.read_mask(path)
    np.testing.assert_array_equal(image_files.read_mask(path, exif="stored"), mask > 0)
    np.testing.assert_array_equal(
        image_files.read_mask(path, exif="displayed"), orientation.turn(mask, 6) > 0
    )


def test_every_source_of_pictures_has_the_option() -> None:
    without = {"synthetic"}  # renders its own
    for name in set(source_names()) - without:
        spec = source_spec(name)
        if spec.open.__module__.startswith("cameo_data."):
            assert "exif_orientation" in spec.options.model_fields, name


def test_sources_of_colmap_models_ignore_the_tag() -> None:
    for name in ("colmap", "scannetpp", "megadepth"):
        assert source_spec(name).options().exif_orientation == "stored"  # type: ignore[attr-defined]


def test_videos_that_ask_to_be_turned_are_refused(tmp_path: Path) -> None:
    from cameo_data.io import video_files

    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    assert video_files.video_hw(path) == (48, 64)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # of a track header, version 0 (ISO 14496-12)
    turn = (0, 0x10000, 0, -0x10000, 0, 0, 48 << 16, 0, 0x40000000)
    data[matrix : matrix + 36] = struct.pack(">9i", *turn)
    path.write_bytes(bytes(data))
    with pytest.raises(FileDefect, match=r"asks players to turn it by 90°.*extract its frames"):
        video_files.video_hw(path)


def test_colmap_counts_stored_pixels(tmp_path: Path) -> None:
    """A tag is ignored, as COLMAP does; where that cannot be, the message says EXIF."""
    import colmap_recordings

    plain = colmap_recordings.write_dense(tmp_path / "plain")
    root = colmap_recordings.write_dense(tmp_path / "tagged")
    for path in (root / "images").iterdir():
        image = Image.open(path)
        image.save(path, exif=exif_of(6))
    expected = views_of("colmap", plain)[1]
    scene, found = views_of("colmap", root)
    assert "the tag is ignored" in scene.notes[0]
    for view, truth in zip(found, expected, strict=True):
        np.testing.assert_array_equal(view.image, truth.image)
        np.testing.assert_array_equal(view.depth.z, truth.depth.z)
        assert view.encoded is not None
        np.testing.assert_array_equal(shown(view.encoded.data), truth.image)
    # turned pictures of which the model says the displayed size
    for path in (root / "images").iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(orientation.turn_back(pixels, 6)).save(path, exif=exif_of(6))
    with pytest.raises(DataError, match=r"EXIF orientation is 6: choose between"):
        views_of("colmap", root)
    for view, truth in zip(
        views_of("colmap", root, exif_orientation="displayed")[1], expected, strict=True
    ):
        np.testing.assert_array_equal(view.image, truth.image)


def test_chunks_of_jpegs_follow_the_rule(tmp_path: Path) -> None:
    with pytest.raises(FileDefect, match="EXIF orientation 8"):
        image_files.decode_rgb(encode(SMOOTH, 8), "chunk, scene 0")
    file = image_files.decode_rgb(encode(SMOOTH, 8), "chunk, scene 0", "by_size", (24, 32))
    assert file.rgb.shape == (24, 32, 3)
    file = image_files.decode_rgb(encode(SMOOTH, 8), "chunk, scene 0", "by_size", (32, 24))
    assert file.rgb.shape == (32, 24, 3)
    with pytest.raises(FileDefect, match="EXIF orientation 3"):  # no size tells
        image_files.decode_rgb(encode(SMOOTH, 3), "chunk, scene 0", "by_size", (24, 32))
