"""Where RealEstate10K's clips are: camera files, and frames and depth as people keep them.

Folders are listed by name only, once per source: 20 000 clips take a fraction of a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io import files, parsing, torch_chunks, video_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import is_text
from cameo_data.types import DepthCodec

# Folder names in use, tried in this order; "" is the root itself.
CAMERA_FOLDERS = ("", "RealEstate10K", "pose_files", "cameras", "poses")
FRAME_FOLDERS = ("frames", "images", "rgb", "videos", "video_clips", "reference_videos")
VIDEO_FOLDERS = ("videos", "video_clips")
SPLITS = ("train", "val", "test")
INDEX = "index.json"

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
DEPTH_CODECS = {
    ".png": DepthCodec.UINT16,
    ".npy": DepthCodec.NPY,
    ".npz": DepthCodec.NPZ,
    ".h5": DepthCodec.HDF5,
    ".hdf5": DepthCodec.HDF5,
}

# Clips are called by 16 hexadecimal digits; other text files, such as a licence, are not.
_CLIP = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Clip:
    """One clip; ``cameras`` is its text file, or the chunk that holds it.

    Attributes:
        name: the clip, without its split.
        frames: a folder of images or a video; None for a chunk, which holds its own.
    """

    name: str
    split: str
    cameras: Path
    frames: Path | None

    @property
    def scene_id(self) -> str:
        return f"{self.split}/{self.name}" if self.split else self.name


@dataclass(frozen=True)
class Clips:
    """All clips found, by scene id; ``without_frames`` are the scene ids of the others."""

    found: dict[str, Clip]
    without_frames: tuple[str, ...]


def find_clips(
    root: Path, cameras: str | None, frames: str | None, split: str | None
) -> Clips | None:
    """Clips below ``root``; None without any camera file or chunk.

    Raises:
        FileDefect: an index of chunks is unreadable.
    """
    if cameras is None and frames is None and (chunks := _chunk_clips(root, split)):
        return Clips({clip.scene_id: clip for clip in chunks}, ())
    located = _camera_files(root, cameras, split)
    if located is None:
        return None
    base, by_split = located
    folders = [root / frames] if frames is not None else [root / name for name in FRAME_FOLDERS]
    folders += [] if frames is not None else [base]
    found: dict[str, Clip] = {}
    missing: list[str] = []
    for part, names in by_split.items():
        places = _frame_places(folders, part)
        for name in names:
            clip = Clip(name, part, base / part / f"{name}.txt", places.get(name))
            if clip.frames is None:
                missing.append(clip.scene_id)
            else:
                found[clip.scene_id] = clip
    return Clips(dict(sorted(found.items())), tuple(sorted(missing)))


def looks_like(root: Path) -> bool:
    """Whether a folder holds camera files or indexed chunks; never raises."""
    try:
        if any((root / part / INDEX).is_file() for part in ("", *SPLITS)):
            return any(
                entry.name.endswith(torch_chunks.SUFFIX)
                for part in ("", *SPLITS)
                if (root / part).is_dir()
                for entry in _entries(root / part)
            )
        located = _camera_files(root, None, None)
        if located is None:
            return False
        base, by_split = located
        part, names = next(iter(by_split.items()))
        with (base / part / f"{names[0]}.txt").open("rb") as stream:
            return stream.read(4096).lstrip(b"\xef\xbb\xbf").startswith(b"http")
    except OSError:
        return False


def list_images(folder: Path) -> dict[str, Path]:
    """Images of a clip's folder by stem."""
    return _by_stem(folder, IMAGE_SUFFIXES)


def list_depth(folder: Path, clip: Clip) -> dict[str, Path]:
    """Depth files of a clip by stem, in ``folder/split/clip`` or ``folder/clip``; {} without."""
    for part in dict.fromkeys((clip.split, "")):
        found = _by_stem(folder / part / clip.name, tuple(DEPTH_CODECS))
        if found:
            return found
    return {}


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    paths = (Path(entry.path) for entry in _entries(folder) if not entry.name.startswith("."))
    return {path.stem: path for path in paths if path.suffix.lower() in suffixes}


def _camera_files(
    root: Path, cameras: str | None, split: str | None
) -> tuple[Path, dict[str, list[str]]] | None:
    """The folder of camera files, and in it the clips' names by split ("" for none)."""
    for name in CAMERA_FOLDERS if cameras is None else (cameras,):
        base = root / name
        if not base.is_dir():
            continue
        parts = SPLITS if split is None else (split,)
        by_split = {part: names for part in parts if (names := _texts(base / part, cameras))}
        if split is None and (names := _texts(base, cameras)):
            by_split[""] = names
        if by_split:
            return base, by_split
    return None


def _texts(folder: Path, cameras: str | None) -> list[str]:
    """Stems of the camera files in a folder: all texts if an option named it, else clips'."""
    if not folder.is_dir():
        return []
    stems = (e.name[:-4] for e in _entries(folder) if e.name.endswith(".txt"))
    named = cameras is not None
    return [
        stem
        for stem in stems
        if (is_text(stem) and not stem.startswith(".") if named else _CLIP.fullmatch(stem))
    ]


def _frame_places(folders: list[Path], split: str) -> dict[str, Path]:
    """Clip name -> folder of images or video; the first folder that has it, images over videos."""
    places: dict[str, Path] = {}
    for base in folders:
        for folder in dict.fromkeys((base / split, base)):
            if not folder.is_dir():
                continue
            images, videos = _images_and_videos(folder)
            if base.name in VIDEO_FOLDERS:  # in CameraCtrl's layout, by the video they are cut from
                for path in images.values():
                    videos |= _images_and_videos(path)[1]
            places = videos | images | places
    return places


def _images_and_videos(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Folders by name, and videos by stem."""
    images: dict[str, Path] = {}
    videos: dict[str, Path] = {}
    for entry in _entries(folder):
        stem, dot, suffix = entry.name.rpartition(".")
        if dot + suffix.lower() in video_files.SUFFIXES:
            videos[stem] = Path(entry.path)
        elif entry.is_dir():
            images[entry.name] = Path(entry.path)
    return images, videos


def _chunk_clips(root: Path, split: str | None) -> list[Clip]:
    """Clips that an index of chunks lists."""
    clips = []
    for part in ("", *SPLITS) if split is None else (split,):
        index = root / part / INDEX
        if not index.is_file():
            continue
        for key, name in _read_index(index).items():
            clips.append(Clip(key, part, root / part / name, None))
    return sorted(clips, key=lambda clip: clip.scene_id)


def _read_index(path: Path) -> dict[str, str]:
    expected = 'pixelSplat\'s {"KEY": "000000.torch", …}'
    remedy = "write it again with the tool that wrote the chunks"
    try:
        values = parsing.parse_json(files.read_text(path, parsing.MAX_JSON_BYTES))
    except ValueError as error:
        raise FileDefect(
            Reason.BAD_METADATA, f"{path.name} is not JSON ({error})", expected, remedy
        ) from None
    plain = isinstance(values, dict) and all(
        isinstance(name, str) and Path(name).name == name and name.endswith(torch_chunks.SUFFIX)
        for name in values.values()
    )
    if not plain or not all(is_text(key) and key for key in values):
        raise FileDefect(Reason.BAD_METADATA, f"{path.name} holds something else", expected, remedy)
    return dict(values)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries
