"""The pictures and depth maps of one RealEstate10K clip, matched to its camera lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cameo_data.errors import Reason
from cameo_data.io import files, image_files, torch_chunks, video_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import natural_key, printable
from cameo_data.sources.realestate10k import cameras as camera_lines
from cameo_data.sources.realestate10k import files as clip_files
from cameo_data.sources.realestate10k.cameras import CameraFile, CameraLine
from cameo_data.sources.realestate10k.files import Clip
from cameo_data.types import DepthRef, ExifRule

Match = Literal["timestamp", "order"]

# Depth in 16-bit PNGs is in thousandths of the unit unless an option says otherwise.
_MILLI = 0.001


@dataclass(frozen=True)
class ClipImages:
    """The pictures of a clip.

    Attributes:
        of: finds a line's file and, if that holds many, its place in it; raises FileDefect.
        hw: size of most of them.
        extra: files that no line names.
    """

    of: Callable[[CameraLine], tuple[Path, tuple[int, ...] | None]]
    hw: tuple[int, int]
    extra: tuple[Path, ...] = ()


def open_clip(clip: Clip, match: Match, exif: ExifRule) -> tuple[CameraFile, ClipImages]:
    """The clip's camera lines and pictures; a few headers are read.

    Raises:
        FileDefect: one of the two is missing, unreadable or does not fit the other.
    """
    if clip.frames is None:
        return _from_chunk(clip, exif)
    cameras = camera_lines.read(files.inside(clip.cameras.parent, clip.cameras))
    frames = files.inside(clip.frames.parent, clip.frames)
    if frames.is_dir():
        return cameras, _from_folder(frames, cameras, match, exif)
    return cameras, _from_video(frames, cameras)


def open_depths(
    folder: Path,
    clip: Clip,
    lines: Sequence[CameraLine],
    image_hw: tuple[int, int],
    scale: float | None,
    source: str,
) -> dict[int, DepthRef]:
    """Depth of lines by timestamp; {} where there is none. One file's size is taken for all.

    Raises:
        FileDefect: a link leads out of the clip's folder, or none is readable.
    """
    depths: dict[int, DepthRef] = {}
    wanted = {line.timestamp_us for line in lines}
    for stem, path in clip_files.list_depth(folder, clip).items():
        if not stem.isdecimal() or int(stem) not in wanted:
            continue  # counted by the source
        files.inside(path.parent.parent, files.inside(path.parent, path))
        suffix = path.suffix.lower()
        unit = scale or (_MILLI if suffix == ".png" else 1.0)
        depths[int(stem)] = DepthRef(path, clip_files.DEPTH_CODECS[suffix], unit, source=source)
    if not depths:
        return depths
    hw = _first_hw(list(depths.values()))
    return {t: ref if hw == image_hw else replace(ref, hw=hw) for t, ref in depths.items()}


def _first_hw(refs: Sequence[DepthRef]) -> tuple[int, int]:
    """Size of the first depth map that can be read: a damaged one is its own frame's failure.

    Raises:
        FileDefect: none can be read; the first one's defect.
    """
    first: FileDefect | None = None
    for ref in refs:
        try:
            return image_sizes.depth_hw(ref)
        except FileDefect as defect:
            first = first or defect
    assert first is not None
    raise first


def _from_chunk(clip: Clip, exif: ExifRule) -> tuple[CameraFile, ClipImages]:
    scene = torch_chunks.read_scene(files.inside(clip.cameras.parent, clip.cameras), clip.name)
    if not scene.images:
        raise _no_frames(clip.cameras, f"scene {clip.name!r} has no images")
    hws = []
    for number in image_sizes.spread(len(scene.images)):
        data = torch_chunks.image_bytes(scene, number)
        rgb = image_files.decode_rgb(data, f"{clip.name} image {number}", exif).rgb
        hws.append((rgb.shape[0], rgb.shape[1]))
    cameras = camera_lines.from_rows(scene.timestamps, scene.cameras)
    return cameras, ClipImages(
        lambda line: (clip.cameras, (scene.index, line.number)), max(hws, key=hws.count)
    )


def _from_video(path: Path, cameras: CameraFile) -> ClipImages:
    count = video_files.count_frames(path, cameras.count + 1)
    if count != cameras.count:
        more = "more than " if count > cameras.count else ""
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} has {more}{min(count, cameras.count)} frames for {cameras.count} lines",
            "a frame per line, in their order",
            "extract the frames at the timestamps into CLIP/TIMESTAMP.jpg",
        )
    return ClipImages(lambda line: (path, (line.number,)), video_files.video_hw(path))


def _from_folder(folder: Path, cameras: CameraFile, match: Match, exif: ExifRule) -> ClipImages:
    listed = clip_files.list_images(folder)
    if not listed:
        raise _no_frames(folder, f"{printable(folder.name)} holds no images")
    by_line = _by_order(listed, cameras) if match == "order" else _by_time(folder, listed, cameras)
    hw = image_sizes.common_hw(folder, list(by_line.values()), exif)

    def of(line: CameraLine) -> tuple[Path, None]:
        path = by_line.get(line.number)
        if path is None:
            raise FileDefect(
                Reason.MISSING_FILE,
                f"no image {line.timestamp_us} in {folder.name}",
                "one named by the timestamp",
                "extract it, or leave the frame out",
            )
        files.checked_size(
            files.inside(folder, path), files.MAX_FRAME_BYTES, Reason.UNREADABLE_IMAGE
        )
        return path, None

    used = set(by_line.values())
    return ClipImages(of, hw, tuple(p for p in listed.values() if p not in used))


def _by_time(folder: Path, listed: dict[str, Path], cameras: CameraFile) -> dict[int, Path]:
    """Line number -> image of its timestamp."""
    times = {int(stem): path for stem, path in listed.items() if stem.isdecimal()}
    found = {
        line.number: times[line.timestamp_us]
        for line in cameras.lines
        if line.timestamp_us in times
    }
    if not found:
        first = min(listed.values(), key=lambda path: natural_key(path.name))
        raise FileDefect(
            Reason.UNASSOCIATED,
            f"images of {folder.name} are not named by timestamps (first: {printable(first.name)})",
            "names such as 158692025.jpg",
            "rename them, or give match=order if there is one for each line",
        )
    return found


def _by_order(listed: dict[str, Path], cameras: CameraFile) -> dict[int, Path]:
    ordered = sorted(listed.values(), key=lambda path: natural_key(path.name))
    if len(ordered) != cameras.count:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{len(ordered)} images for {cameras.count} lines",
            "as many of each, since they are matched by order",
            "complete the clip, or name its images by timestamps",
        )
    return {line.number: ordered[line.number] for line in cameras.lines}


def _no_frames(path: Path, found: str) -> FileDefect:
    return FileDefect(
        Reason.MISSING_FILE, found, "frames of the clip", f"extract them, or remove {path.name}"
    )
