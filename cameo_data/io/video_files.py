"""Single frames of video files, decoded in order; files stay open between reads.

Seeking is not used: where it lands depends on the codec, and a neighbouring frame has another pose.
Reading an earlier frame starts the video again, at about 1 ms per skipped frame (384×256).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io import files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import decoding

SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi")
# An hour of video at 100 Mbit/s.
MAX_VIDEO_BYTES = 45_000_000_000
_EXPECTED = "a complete video"
_REMEDY = "copy it again, or extract its frames to images"
# Open videos per thread: a sample's views come from one scene and so one video; one more is kept
# for a change of scene.
_MAX_OPEN = 2
# Containers that hold their own frames. Other files that FFmpeg plays (playlists, concatenation
# scripts) may name more files or addresses, so a file is never opened on its name alone.
_MATROSKA = b"\x1a\x45\xdf\xa3"


@dataclass
class _Film:
    """An open video; ``position`` is the number of the next frame."""

    capture: Any
    position: int = 0
    last: NDArray[np.uint8] | None = None


class _Films(threading.local):
    """Videos that this thread has open, the most recently used last."""

    def __init__(self) -> None:
        self.opened: OrderedDict[tuple[str, int, int], _Film] = OrderedDict()


_films = _Films()


def video_hw(path: Path) -> tuple[int, int]:
    """Height and width from the video's header.

    Raises:
        FileDefect: missing, not a video, or too large.
    """
    film = _film(path)
    height = int(film.capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    width = int(film.capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    return height, width


def count_frames(path: Path, at_most: int) -> int:
    """Frames in the video, counted no further than ``at_most``.

    Headers state a number too, which some writers estimate and a cut file does not hold.

    Raises:
        FileDefect: missing, not a video, or too large.
    """
    film = _rewound(path)
    with _decoding(path):
        while film.position < at_most and film.capture.grab():
            film.position += 1
    count = film.position
    _close(path)
    return count


def read_frame(path: Path, number: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of frame ``number``, counted from 0 in the order they are shown.

    Raises:
        FileDefect: missing, not a video, too large, or it ends before that frame.
    """
    film = _film(path)
    if film.last is not None and film.position == number + 1:
        return film.last.copy()
    if film.position > number:
        film = _rewound(path)
    with _decoding(path):
        while film.position < number and film.capture.grab():
            film.position += 1
        read, bgr = film.capture.read() if film.position == number else (False, None)
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8) if read else None
    if rgb is None:
        ended = film.position
        _close(path)
        raise _unreadable(path, f"ends after {ended} frames, before frame {number}")
    film.position += 1
    film.last = rgb
    return rgb.copy()


def _film(path: Path) -> _Film:
    """The open video, wherever it stands."""
    key = _key(path)
    film = _films.opened.get(key)
    if film is None:
        film = _films.opened[key] = _Film(_open(path))
        while len(_films.opened) > _MAX_OPEN:
            _films.opened.popitem(last=False)[1].capture.release()
    _films.opened.move_to_end(key)
    return film


def _rewound(path: Path) -> _Film:
    """The video at its first frame."""
    if _film(path).position:
        _close(path)
    return _film(path)


def _close(path: Path) -> None:
    film = _films.opened.pop(_key(path), None)
    if film is not None:
        film.capture.release()


def _key(path: Path) -> tuple[str, int, int]:
    size = files.checked_size(path, MAX_VIDEO_BYTES, Reason.UNREADABLE_IMAGE)
    return str(path), size, path.stat().st_mtime_ns


def _open(path: Path) -> Any:
    with _decoding(path), path.open("rb") as stream:
        start = stream.read(12)
    avi = start[:4] == b"RIFF" and start[8:] == b"AVI "
    if not (start[4:8] == b"ftyp" or start[:4] == _MATROSKA or avi):
        raise _unreadable(path, "is not an MP4, QuickTime, Matroska, WebM or AVI file")
    # one thread: the same frames on every machine, and builds run many processes already
    settings = [cv2.CAP_PROP_N_THREADS, 1]
    with _quiet(), _decoding(path):
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, settings)
    if not capture.isOpened():
        raise _unreadable(path, "cannot be opened as a video")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # as stored, like images
    turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    if turned:
        capture.release()
        raise FileDefect(
            Reason.UNREADABLE_IMAGE,
            f"{path.name} asks players to turn it by {turned}°",
            "frames stored as they are shown, since nothing says which K and poses are for",
            "extract its frames as pictures (ffmpeg turns them), or take the rotation out of the "
            "video (ffmpeg -display_rotation 0 -i IN -c copy OUT) if K is for the stored frames",
        )
    width, height = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not 0 < width * height <= image_files.MAX_PIXELS:
        capture.release()
        raise _unreadable(path, f"has frames of {height:.0f}×{width:.0f} pixels")
    return capture


def _decoding(path: Path) -> AbstractContextManager[None]:
    """Around FFmpeg at work on the file: whatever it raises is a defect of the file."""
    return decoding(path.name, Reason.UNREADABLE_IMAGE, _EXPECTED, _REMEDY)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps OpenCV and FFmpeg from writing to the terminal: a failure is our own line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read once, at first use
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _unreadable(path: Path, defect: str) -> FileDefect:
    return FileDefect(
        Reason.UNREADABLE_IMAGE,
        f"{path.name} {defect}",
        _EXPECTED,
        _REMEDY,
    )
