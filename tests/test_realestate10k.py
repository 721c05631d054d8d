"""RealEstate10K's clips give back the cameras, pictures and depths that were written."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import epipolar
import numpy as np
import pytest
import realestate10k_clips as clips
from click.testing import CliRunner
from realestate10k_clips import CLIP, timestamp
from rgbd_recordings import HW, K, save, true_frames

from cameo_data import camera as cameras
from cameo_data.cli import main
from cameo_data.correspondence import correspond
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.sources import open_source, source_spec
from cameo_data.sources.realestate10k.cameras import intrinsics
from cameo_data.types import Camera, Scene, Verdict, View


def read_scene(root: Path, scene_id: str = CLIP, **options: Any) -> Scene:
    return open_source("realestate10k", root, options).scene(scene_id)


def views_of(scene: Scene, with_depth: bool = True) -> list[View]:
    return [
        read_view(frame, dataset="d", scene_id=scene.scene_id, with_depth=with_depth)
        for frame in scene.frames
    ]


def assert_true_cameras(scene: Scene, atol: float = 1e-7) -> None:
    assert not scene.failures
    assert [f.frame_id for f in scene.frames] == [str(timestamp(i)) for i in range(3)]
    for frame, truth in zip(scene.frames, true_frames(), strict=True):
        np.testing.assert_allclose(frame.camera.K, K, atol=100 * atol)
        np.testing.assert_allclose(
            frame.camera.cam_from_world, truth.camera.cam_from_world, atol=atol
        )


@pytest.mark.parametrize("suffix", [".png", ".npy", ".npz", ".h5"])
def test_images_and_depth_of_each_kind(suffix: str, tmp_path: Path) -> None:
    clips.write_clip(tmp_path)
    scene = read_scene(tmp_path, **clips.write_depth(tmp_path, suffix))
    assert_true_cameras(scene)
    assert scene.unit == "arbitrary"
    assert scene.frames[1].timestamp == pytest.approx(90.333667)
    for view, truth in zip(views_of(scene), true_frames(), strict=True):
        np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])
        np.testing.assert_allclose(view.depth.z, truth.millimetres / 1000, rtol=1e-6)
        assert view.depth_source == "estimated"


def test_matches_are_where_geometry_says(tmp_path: Path) -> None:
    clips.write_clip(tmp_path)
    clips.write_depth(tmp_path, ".npy")
    view0, _, view1 = views_of(read_scene(tmp_path))
    truth0, _, truth1 = true_frames()
    found = correspond(view0.depth, view0.camera, view1.depth, view1.camera, stride=1)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.mean() > 0.5
    p_world = cameras.unproject(truth0.camera, cameras.query_xy(HW), truth0.millimetres / 1000)
    xy1, _ = cameras.project(truth1.camera, p_world)
    assert np.abs(found.xy1 - xy1)[visible].max() < 1e-3


def test_stretched_frames_keep_their_intrinsics(tmp_path: Path) -> None:
    """Frames of another aspect, and depth of the film's, which is looked up per pixel."""
    clips.write_cameras(tmp_path)
    clips.write_depth(tmp_path, ".npy")
    for i, frame in enumerate(true_frames()):
        stretched = cv2.resize(frame.bgr, (128, 48))
        save(tmp_path / f"frames/{CLIP}/{timestamp(i)}.png", stretched)
    scene = read_scene(tmp_path)
    np.testing.assert_allclose(scene.frames[0].camera.K, K * [[2], [1], [1]], atol=1e-6)
    view0, _, view1 = views_of(scene)
    found = correspond(view0.depth, view0.camera, view1.depth, view1.camera, stride=1)
    visible = found.verdict == Verdict.VISIBLE
    assert visible.mean() > 0.5
    truth0, truth1 = true_frames()[0].camera, true_frames()[2].camera
    p_world = cameras.unproject(
        cameras.resize(truth0, (48, 128)), cameras.query_xy((48, 128)), view0.depth.z
    )
    xy1, _ = cameras.project(cameras.resize(truth1, (48, 128)), p_world)
    assert np.abs(found.xy1 - xy1)[visible].max() < 0.01


def test_cropped_frames_beside_the_films_depth(tmp_path: Path) -> None:
    """Depth of the whole film is looked up where the cropped frame was; any other is refused."""
    clips.write_cameras(tmp_path)
    clips.write_depth(tmp_path, ".npy")
    for i, frame in enumerate(true_frames()):
        save(tmp_path / f"frames/{CLIP}/{timestamp(i)}.png", frame.bgr[:, 8:56])
    view = views_of(read_scene(tmp_path, frame_fit="cropped"))[0]
    truth = true_frames()[0].millimetres / 1000
    # the film is 65 wide where ours is 64: a column off at most, on smooth surfaces
    error = np.abs(view.depth.z / truth[:, 8:56] - 1)
    assert np.median(error) < 0.005
    for path in (tmp_path / "depth").rglob("*.npy"):
        np.save(path, np.rot90(np.load(path)))
    with pytest.raises(DataError, match=r"it fits when turned by 90°|crop depth or pictures"):
        views_of(read_scene(tmp_path, frame_fit="cropped"))


@pytest.mark.parametrize("hw, window", [((90, 90), (0, 35)), ((45, 160), (22.5, 0))])
def test_cropped_frames_lose_their_sides(
    hw: tuple[int, int], window: tuple[float, float], tmp_path: Path
) -> None:
    film = Camera([[120, 0, 81], [0, 120, 44], [0, 0, 1]], (90, 160))
    row = clips.camera_row(film)
    found = intrinsics((row[0], row[1], row[2], row[3]), hw, "cropped")
    expected = film.K - [[0, 0, window[1]], [0, 0, window[0]], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # of the film's own shape, a reduced frame is neither cropped nor stretched
    reduced = intrinsics((row[0], row[1], row[2], row[3]), (45, 80), "cropped")
    np.testing.assert_allclose(reduced, cameras.resize(film, (45, 80)).K)


def test_frame_fit_reaches_the_cameras(tmp_path: Path) -> None:
    clips.write_cameras(tmp_path)
    for i, frame in enumerate(true_frames()):
        save(tmp_path / f"frames/{CLIP}/{timestamp(i)}.png", frame.bgr[:, 8:56])
    focal = read_scene(tmp_path, frame_fit="cropped").frames[0].camera.K
    # square pixels make the film 65 wide where ours is 64: fx follows it
    np.testing.assert_allclose(focal[[0, 1], [0, 1]], [61, 61], atol=1e-5)
    stretched = read_scene(tmp_path).frames[0].camera.K
    np.testing.assert_allclose(stretched[[0, 1], [0, 1]], [45, 61], atol=1e-5)


def grey_video(path: Path, count: int) -> Path:
    return clips.write_video(path, [np.full((*HW, 3), 20 * i + 10, np.uint8) for i in range(count)])


def test_video_frames_are_read_one_by_one_in_any_order(tmp_path: Path) -> None:
    path = clips.write_cameras(tmp_path)
    grey_video(tmp_path / f"videos/{CLIP}.mp4", 3)
    scene = read_scene(tmp_path)
    assert_true_cameras(scene)
    assert [frame.image_index for frame in scene.frames] == [(0,), (1,), (2,)]
    for i in (2, 0, 1, 1, 2):
        view = read_view(scene.frames[i], dataset="d", scene_id=CLIP, with_depth=False)
        assert abs(float(view.image.mean()) - (20 * i + 10)) < 4
        assert view.encoded is None
    assert path.is_file()


def test_images_go_before_videos(tmp_path: Path) -> None:
    clips.write_clip(tmp_path)
    grey_video(tmp_path / f"videos/{CLIP}.mp4", 3)
    assert all(frame.image_index is None for frame in read_scene(tmp_path).frames)


def test_videos_in_folders_of_their_film(tmp_path: Path) -> None:
    clips.write_cameras(tmp_path)
    path = grey_video(tmp_path / f"video_clips/xxxxxxxxxxx/{CLIP}.mp4", 3)
    assert [frame.image_path for frame in read_scene(tmp_path).frames] == [path] * 3


def test_chunks(tmp_path: Path) -> None:
    chunk = clips.write_chunk(tmp_path)
    clips.write_depth(tmp_path, ".npy")
    source = open_source("realestate10k", tmp_path)
    assert source.scene_ids() == [f"train/{CLIP}", "train/" + "aa" * 8]
    scene = source.scene(f"train/{CLIP}")
    assert_true_cameras(scene, atol=1e-6)  # float32
    assert scene.frames[2].image_path == chunk
    assert scene.frames[2].image_index == (1, 2)
    for view, stored in zip(views_of(scene), clips.chunk_scene()["images"], strict=True):
        assert view.encoded is not None
        assert view.encoded.data == stored.numpy().tobytes()
        assert view.encoded.ext == "jpg"


@pytest.mark.parametrize("folder", ["", "RealEstate10K", "pose_files", "cameras", "poses"])
def test_camera_folders_are_found(folder: str, tmp_path: Path) -> None:
    clips.write_cameras(tmp_path, folder)
    clips.write_images(tmp_path, "images")
    (tmp_path / folder / "LICENSE.txt").write_text("no clip")
    assert source_spec("realestate10k").recognise(tmp_path)
    source = open_source("realestate10k", tmp_path)
    assert source.scene_ids() == [CLIP]
    assert not source.failures


def test_splits(tmp_path: Path) -> None:
    clips.write_cameras(tmp_path, "RealEstate10K/train")
    clips.write_cameras(tmp_path, "RealEstate10K/test", "11" * 8)
    clips.write_images(tmp_path, "frames/train")
    clips.write_images(tmp_path, "RealEstate10K/test", "11" * 8)  # beside the camera file
    assert source_spec("realestate10k").recognise(tmp_path)
    source = open_source("realestate10k", tmp_path)
    assert source.scene_ids() == ["test/" + "11" * 8, f"train/{CLIP}"]
    assert len(source.scene(f"train/{CLIP}").frames) == 3
    only = open_source("realestate10k", tmp_path, {"split": "test"})
    assert only.scene_ids() == ["test/" + "11" * 8]


def test_images_by_order(tmp_path: Path) -> None:
    clips.write_cameras(tmp_path)
    for i, frame in enumerate(true_frames()):
        save(tmp_path / f"frames/{CLIP}/{i + 8}.png", frame.bgr)  # 8, 9, 10
    for view, truth in zip(
        views_of(read_scene(tmp_path, match="order"), with_depth=False), true_frames(), strict=True
    ):
        np.testing.assert_array_equal(view.image, truth.bgr[..., ::-1])


def test_clips_without_frames_are_one_failure(tmp_path: Path) -> None:
    clips.write_clip(tmp_path)
    for i in range(5):
        clips.write_cameras(tmp_path, clip=f"{i:016x}")
    source = open_source("realestate10k", tmp_path)
    assert source.scene_ids() == [CLIP]
    (failure,) = source.failures
    assert "5 of 6 camera files have no frames (first: 0000000000000000)" in failure.message


def test_without_depth_it_lists_and_the_build_says_what_to_do(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "data")
    assert_true_cameras(read_scene(tmp_path / "data"))
    args = ["build-corr", "realestate10k", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 1
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert "no depth" in line
    assert "attach precomputed depth" in line


def test_listing_takes_constant_memory_per_clip(tmp_path: Path) -> None:
    count = 4_000
    for folder in ("pose_files", "videos"):
        (tmp_path / folder).mkdir()
    for i in range(count):
        (tmp_path / "pose_files" / f"{i:016x}.txt").touch()
        (tmp_path / "videos" / f"{i:016x}.mp4").touch()
    assert len(open_source("realestate10k", tmp_path).scene_ids()) == count
    tracemalloc.start()
    open_source("realestate10k", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / count < 4000


def edit_line(number: int, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Changes the words of one line of the camera file; line 0 is the address."""

    def damage(root: Path) -> None:
        path = root / f"pose_files/{CLIP}.txt"
        lines = path.read_text().splitlines()
        lines[number] = " ".join(change(lines[number].split()))
        path.write_text("\n".join(lines) + "\n")

    return damage


def set_word(column: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda words: [*words[:column], text, *words[column + 1 :]]


def remove_image(root: Path) -> None:
    (root / f"frames/{CLIP}/{timestamp(1)}.png").unlink()


def add_image(root: Path) -> None:
    save(root / f"frames/{CLIP}/77.png", np.zeros((*HW, 3), np.uint8))


FRAME_DEFECTS: dict[str, tuple[Callable[[Path], None], Reason, str]] = {
    "too few numbers": (
        edit_line(2, lambda words: words[:-1]),
        Reason.BAD_METADATA,
        "frame line 2 of 00ff00ff00ff00ff.txt has 18 numbers; expected 19",
    ),
    "no number": (edit_line(2, set_word(3, "x")), Reason.BAD_METADATA, "txt: not a number"),
    "negative time": (edit_line(2, set_word(0, "-5")), Reason.BAD_METADATA, "the timestamp -5"),
    "distortion": (edit_line(2, set_word(5, "0.1")), Reason.BAD_INTRINSICS, "0.1 0.000000000 in"),
    "no focal length": (edit_line(2, set_word(1, "0")), Reason.BAD_INTRINSICS, "focal lengths 0"),
    "not finite": (edit_line(2, set_word(4, "nan")), Reason.BAD_INTRINSICS, "NaN or infinite"),
    "no rotation": (edit_line(2, set_word(7, "3")), Reason.BAD_POSE, "is not a rotation"),
    "twice": (
        edit_line(2, set_word(0, str(timestamp(0)))),
        Reason.DUPLICATE_ID,
        "timestamp 90000000 appears twice",
    ),
    "no image": (remove_image, Reason.MISSING_FILE, f"no image {timestamp(1)} in {CLIP}"),
    "image of no line": (add_image, Reason.UNASSOCIATED, "77.png matches no line"),
}


@pytest.mark.parametrize("name", FRAME_DEFECTS)
def test_frame_defects_are_counted(name: str, tmp_path: Path) -> None:
    damage, reason, says = FRAME_DEFECTS[name]
    clips.write_clip(tmp_path / "d")
    damage(tmp_path / "d")
    scene = read_scene(tmp_path / "d")
    of_reason = [failure for failure in scene.failures if failure.reason == reason]
    assert of_reason
    assert says in of_reason[0].message
    assert all(failure.frame_id is not None for failure in scene.failures)
    assert len(scene.frames) == (3 if name == "image of no line" else 2)


def only_text(text: str) -> Callable[[Path], None]:
    return lambda root: (root / f"pose_files/{CLIP}.txt").write_text(text) and None


def rename_images(root: Path) -> None:
    for i in range(3):
        folder = root / f"frames/{CLIP}"
        (folder / f"{timestamp(i)}.png").rename(folder / f"frame_{i}.png")


def empty_images(root: Path) -> None:
    for path in (root / f"frames/{CLIP}").iterdir():
        path.unlink()


def video_of(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        empty_images(root)
        (root / f"frames/{CLIP}").rmdir()
        make(root / f"frames/{CLIP}.mp4")

    return damage


def cut_video(path: Path) -> None:
    data = grey_video(path, 3).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")


SCENE_DEFECTS: dict[str, tuple[Callable[[Path], None], Reason, str]] = {
    "no address": (
        edit_line(0, lambda _: ["0"] * 19),
        Reason.BAD_METADATA,
        "does not start with an address",
    ),
    "empty": (only_text(f"{clips.ADDRESS}\n\n"), Reason.BAD_METADATA, "has no frames"),
    "names": (rename_images, Reason.UNASSOCIATED, "not named by timestamps (first: frame_0.png)"),
    "no images": (empty_images, Reason.MISSING_FILE, "holds no images"),
    "long video": (
        video_of(lambda path: grey_video(path, 5)),
        Reason.BAD_METADATA,
        "has more than 3 frames for 3 lines",
    ),
    "short video": (
        video_of(lambda path: grey_video(path, 2)),
        Reason.BAD_METADATA,
        "has 2 frames for 3 lines",
    ),
    "cut video": (video_of(cut_video), Reason.UNREADABLE_IMAGE, "cannot be opened as a video"),
    "playlist": (video_of(playlist), Reason.UNREADABLE_IMAGE, "is not an MP4, QuickTime, Matroska"),
}


@pytest.mark.parametrize("name", SCENE_DEFECTS)
def test_scene_defects_are_one_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damage, reason, says = SCENE_DEFECTS[name]
    clips.write_clip(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError) as caught:
        read_scene(tmp_path)
    assert caught.value.failure.reason == reason
    assert says in str(caught.value)
    assert f"realestate10k {CLIP}: " in str(caught.value)
    assert capfd.readouterr() == ("", "")  # neither OpenCV nor FFmpeg adds to the line


def test_video_that_shrinks_after_listing(tmp_path: Path) -> None:
    clips.write_cameras(tmp_path)
    path = grey_video(tmp_path / f"videos/{CLIP}.mp4", 3)
    scene = read_scene(tmp_path)
    grey_video(path, 1)
    with pytest.raises(DataError, match="ends after 1 frames, before frame 2"):
        read_view(scene.frames[2], dataset="d", scene_id=CLIP, with_depth=False)


class Attack:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "done"))


def test_chunk_that_runs_code_is_refused(tmp_path: Path) -> None:
    clips.write_chunk(tmp_path, [{**clips.chunk_scene(), "url": Attack(tmp_path / "owned")}])
    with pytest.raises(DataError, match="holds more than tensors and plain values"):
        read_scene(tmp_path, f"train/{CLIP}")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda s: s.pop("images"), "has no images"),
        (lambda s: s["images"].pop(), "has 3 timestamps, 2 images, cameras 3×18"),
        (lambda s: s.update(cameras=s["cameras"][:, :16]), "cameras 3×16"),
        (
            lambda s: s.update(timestamps=s["timestamps"].float()),
            "unexpected timestamps or cameras",
        ),
        (lambda s: s.update(images=[s["cameras"]] * 3), "images of another type"),
        (lambda s: s.update(images=[s["images"][0][:1].expand(10**9)] * 3), "of 1000000000 bytes"),
        (lambda s: s.update(key="other"), "has no scene '00ff00ff00ff00ff'"),
    ],
)
def test_broken_chunks(change: Callable[[Any], Any], says: str, tmp_path: Path) -> None:
    scene = clips.chunk_scene()
    change(scene)
    clips.write_chunk(tmp_path, [scene])
    (tmp_path / "train/index.json").write_text(f'{{"{CLIP}": "000000.torch"}}')
    with pytest.raises(DataError) as caught:
        read_scene(tmp_path, f"train/{CLIP}")
    assert says in str(caught.value)


def test_damaged_chunk_and_index(tmp_path: Path) -> None:
    path = clips.write_chunk(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"000000.torch cannot be read \("):
        read_scene(tmp_path, f"train/{CLIP}")
    (tmp_path / "train/index.json").write_text('{"a": "../../secret.torch"}')
    with pytest.raises(DataError, match=r"index.json holds something else"):
        open_source("realestate10k", tmp_path)
    (tmp_path / "train/index.json").write_text("{")
    with pytest.raises(DataError, match=r"index.json is not JSON"):
        open_source("realestate10k", tmp_path)


@pytest.mark.parametrize("folder", ["missing", "empty", "cameras only"])
def test_roots_without_clips(folder: str, tmp_path: Path) -> None:
    root = tmp_path / folder
    if folder != "missing":
        root.mkdir()
    if folder == "cameras only":
        clips.write_cameras(root)
    says = {
        "missing": "missing does not exist",
        "empty": "no camera file of RealEstate10K",
        "cameras only": "1 camera files and no frames",
    }
    with pytest.raises(DataError, match=says[folder]):
        open_source("realestate10k", root)
    assert source_spec("realestate10k").recognise(root) == (folder == "cameras only")


@pytest.mark.realdata
def test_real_clips(realdata: Path) -> None:
    root = realdata / "realestate10k"
    assert source_spec("realestate10k").recognise(root)
    source = open_source("realestate10k", root)
    scenes = [source.scene(scene_id) for scene_id in source.scene_ids()]
    assert [len(scene.frames) for scene in scenes] == [16] * 5
    assert not source.failures
    assert not any(scene.failures for scene in scenes)
    medians = [m for scene in scenes for m in epipolar.median_px(scene, 2)]
    assert np.median(medians) < 0.3  # 0.26 when written, of 145 pairs; the set's README says 0.27
    cropped = open_source("realestate10k", root, {"frame_fit": "cropped"})
    wrong = epipolar.median_px(cropped.scene(source.scene_ids()[0]), 2)
    assert np.median(wrong) > 1.5 * np.median(epipolar.median_px(scenes[0], 2))


@pytest.mark.realdata
def test_real_images_are_the_video_frames(realdata: Path) -> None:
    root = realdata / "realestate10k"
    clip = "0bf152ef84195293"
    images = views_of(read_scene(root, clip, frames="frames_decoded"), with_depth=False)
    video = views_of(read_scene(root, clip), with_depth=False)
    for image, frame in zip(images, video, strict=True):
        assert np.abs(image.image.astype(float) - frame.image).mean() < 4  # JPEG
        np.testing.assert_array_equal(image.camera.K, frame.camera.K)
