"""Images that share a file with others: the frames of a video, the images of a ``.torch`` chunk.

``Frame.image_index`` says which image to read; it is read only when its frame is.
"""

from __future__ import annotations

from pathlib import Path

from cameo_data.io import torch_chunks, video_files
from cameo_data.io.image_files import RgbFile
from cameo_data.io.image_headers import ImageHeader
from cameo_data.types import ExifRule


def read_rgb(
    path: Path,
    index: tuple[int, ...],
    exif: ExifRule = "refuse",
    like_hw: tuple[int, int] | None = None,
) -> RgbFile:
    """One image of the file; an image of a chunk comes with its stored bytes.

    ``exif`` and ``like_hw`` are as in ``image_files.read_rgb``; frames of videos have no EXIF.

    Raises:
        FileDefect: the file is missing, damaged, too large, or ends before that image.
        ValueError: the index does not have the length that such a file needs.
    """
    if path.suffix == torch_chunks.SUFFIX:
        scene, number = index
        return torch_chunks.read_rgb(path, scene, number, exif, like_hw)
    (number,) = index
    rgb = video_files.read_frame(path, number)
    header = ImageHeader((rgb.shape[0], rgb.shape[1]), "video", "RGB")
    return RgbFile(rgb, b"", header, plain=False)
