"""One CO3D frame: its record becomes a camera and files, or a reason why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import depth_files, files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.co3d.annotations import Co3dFrameRecord, DepthRecord, ViewpointRecord
from cameo_data.sources.common.stated_intrinsics import check_view
from cameo_data.types import Camera, DepthCodec, DepthRef, ExifRule, Frame, intrinsics_defect

# PyTorch3D cameras have x left, y up, z forward; OpenCV cameras x right, y down, z forward.
OPENCV_FROM_PYTORCH3D = np.diag([-1.0, -1.0, 1.0, 1.0])

# Folders of a sequence, and what they hold.
FILE_PLACES = {
    "images": "pictures",
    "depths": "depth maps",
    "depth_masks": "masks of depth maps",
    "masks": "masks",
}

# A JPEG of one colour takes 6 bits per block of luma and at most 8 per block of chroma, 0.03 bytes
# per pixel, plus some tables. Larger files are not opened to see whether they are black.
_BLACK_BYTES_PER_PIXEL = 0.04
_BLACK_BYTES = 4096
# JPEG may store black as 1 or 2 of 255.
_BLACK_LEVEL = 8


def camera_from_viewpoint(viewpoint: ViewpointRecord, hw: tuple[int, int]) -> Camera:
    """The pinhole camera of a PyTorch3D viewpoint, under docs/conventions.md.

    With row vectors X_cam = X_world R + T in axes x left, y up, and F = diag(−1, −1, 1),

        cam_from_world = [F Rᵀ | F T]

    In normalised device coordinates x and y point left and up as well, and the image's *edges* lie
    at ±1, so no half pixel comes in. With s = (min(H, W)/2, min(H, W)/2) for ``ndc_isotropic``,
    where the shorter side spans [−1, 1], and s = (W/2, H/2) for ``ndc_norm_image_bounds``, where
    both do,

        fx = s_x f_x    fy = s_y f_y    cx = W/2 − s_x p_x    cy = H/2 − s_y p_y

    Sources: CO3D's ``data_types.py`` for the fields; PyTorch3D's ``docs/notes/cameras.md`` for the
    axes; ``_get_pytorch3d_camera`` and ``_convert_ndc_to_pixels`` in its ``implicitron/dataset``
    for both formats.

    Raises:
        FileDefect: an unknown format, or numbers that do not make a camera.
    """
    height, width = hw
    size = np.array([width, height], np.float64)
    if viewpoint.intrinsics_format == "ndc_isotropic":
        half = np.full(2, size.min() / 2)
    elif viewpoint.intrinsics_format == "ndc_norm_image_bounds":
        half = size / 2
    else:
        raise FileDefect(
            Reason.UNKNOWN_CAMERA_MODEL,
            f"intrinsics_format {viewpoint.intrinsics_format!r}",
            "ndc_isotropic or ndc_norm_image_bounds",
            "convert the annotations to one of them",
        )
    K = np.eye(3)
    K[[0, 1], [0, 1]] = half * viewpoint.focal_length
    K[:2, 2] = size / 2 - half * viewpoint.principal_point
    pytorch3d_from_world = np.eye(4)
    pytorch3d_from_world[:3, :3] = np.transpose(viewpoint.R)
    pytorch3d_from_world[:3, 3] = viewpoint.T
    cam_from_world = OPENCV_FROM_PYTORCH3D @ pytorch3d_from_world
    if (defect := intrinsics_defect(K)) is not None:
        raise _bad_camera(Reason.BAD_INTRINSICS, f"viewpoint gives a {defect}")
    check_view(K, hw, "leave the frame out")
    if (defect := transforms.rotation_defect(cam_from_world)) is not None:
        raise _bad_camera(Reason.BAD_POSE, f"viewpoint gives a {defect}")
    return Camera(K, hw, transforms.nearest_rotation(cam_from_world))


@dataclass(eq=False)
class FrameReader:
    """Frames of one sequence from their records.

    Attributes:
        root: the dataset's folder, which paths in records start from.
        folder: the sequence's folder, which they may not leave.
        mask_threshold: least probability that counts as foreground.
        depth_masks: whether pixels outside the depth mask lose their depth.
        exif: see ``Frame.exif_orientation``; records state the size that the viewpoint is for.
    """

    root: Path
    folder: Path
    mask_threshold: float
    depth_masks: bool
    exif: ExifRule
    _depth_hw: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def frame(self, record: Co3dFrameRecord) -> Frame:
        """The frame.

        Raises:
            FileDefect: redacted, without viewpoint or files, or not as documented.
        """
        hw = record.image.size
        if min(hw) < 1 or hw[0] * hw[1] > image_files.MAX_PIXELS:
            raise FileDefect(
                Reason.BAD_METADATA,
                f"image size {hw[0]}×{hw[1]} (h×w)",
                f"1 to {image_files.MAX_PIXELS} pixels",
                "download the annotations again",
            )
        image = self._image(record)
        if record.viewpoint is None:
            raise _bad_camera(Reason.BAD_POSE, "viewpoint is null")
        return Frame(
            frame_id=str(record.frame_number),
            camera=camera_from_viewpoint(record.viewpoint, hw),
            image_path=image,
            depth=None if record.depth is None else self._depth(record.depth, hw),
            mask_path=None if record.mask is None else self._existing(record.mask.path),
            mask_threshold=self.mask_threshold,
            timestamp=record.frame_timestamp,
            exif_orientation=self.exif,
        )

    def _image(self, record: Co3dFrameRecord) -> Path:
        hidden = (record.meta or {}).get("frame_type") == "test_unseen"
        try:
            path = self._existing(record.image.path)
        except FileDefect:
            if hidden:
                raise _redacted("its image is withheld") from None
            raise
        if _is_black(path, record.image.size):
            raise _redacted("its image is black")
        return path

    def _depth(self, record: DepthRecord, hw: tuple[int, int]) -> DepthRef:
        path = self._existing(record.path)
        if hw not in self._depth_hw:  # in v1 depth is smaller than the image; one header is enough
            self._depth_hw[hw] = depth_files.depth_hw(path, DepthCodec.FLOAT16_PNG)
        depth_hw = self._depth_hw[hw]
        mask = record.mask_path if self.depth_masks else None
        return DepthRef(
            path=path,
            codec=DepthCodec.FLOAT16_PNG,
            scale=record.scale_adjustment,
            hw=None if depth_hw == hw else depth_hw,
            source="colmap",
            mask_path=None if mask is None else self._existing(mask),
        )

    def _existing(self, name: str) -> Path:
        path = files.inside(self.folder, self.root / name)
        if not path.is_file():
            raise FileDefect(
                Reason.MISSING_FILE, f"{name} is missing", "a file", "download its chunk again"
            )
        return path


def record_files(root: Path, values: Iterable[Any]) -> list[Path]:
    """Every file that raw records name, whether or not it exists."""
    places = (("image", "path"), ("depth", "path"), ("depth", "mask_path"), ("mask", "path"))
    paths = []
    for value in values:
        for part, key in places:
            record = value.get(part)
            text = record.get(key) if isinstance(record, dict) else None
            if isinstance(text, str) and text and "\0" not in text:
                paths.append(root / text)
    return paths


def _is_black(path: Path, hw: tuple[int, int]) -> bool:
    """Whether the image is all black; only files small enough for that are opened."""
    try:
        if path.stat().st_size > hw[0] * hw[1] * _BLACK_BYTES_PER_PIXEL + _BLACK_BYTES:
            return False
        return int(image_files.read_rgb(path, "stored").rgb.max()) <= _BLACK_LEVEL
    except (OSError, FileDefect):
        return False  # reading the frame will report what is wrong with it


def _redacted(found: str) -> FileDefect:
    return FileDefect(
        Reason.REDACTED,
        f"frame of the hidden test set: {found}",
        "a picture",
        "leave it out: CO3D publishes its camera only",
    )


def _bad_camera(reason: Reason, found: str) -> FileDefect:
    return FileDefect(
        reason, found, "a PyTorch3D camera", "leave the frame out or correct the annotations"
    )
