"""MVSNet's ``*_cam.txt``, which BlendedMVS and the processed DTU share.

Format (github.com/YoYo000/MVSNet, README, "Camera Files")::

    extrinsic
    E00 E01 E02 E03      world to camera, OpenCV axes
    …                    four rows
    intrinsic
    K00 K01 K02
    …                    three rows
    DEPTH_MIN DEPTH_INTERVAL [DEPTH_NUM [DEPTH_MAX]]

MVSNet puts the first pixel's centre at (0.5, 0.5) (``homography_warping.py``, ``get_pixel_grids``)
and scales K by rows alone, so K is in our pixels already.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.stated_intrinsics import check_view
from cameo_data.types import FloatArray, intrinsics_defect

_EXTRINSIC, _INTRINSIC = 1, 18  # indices of the first number after each heading
_WORD_COUNTS = (27, 29, 30, 31)  # without a range, with two, three and four numbers of it


@dataclass(frozen=True, eq=False)
class CamFile:
    """What a ``cam.txt`` says; lengths in the file's unit.

    Attributes:
        K: (3, 3), for the size that the data set's page states.
        cam_from_world: (4, 4), exactly rigid.
    """

    K: FloatArray
    cam_from_world: FloatArray


def read_cam(path: Path) -> CamFile:
    """The camera.

    Raises:
        FileDefect: not of that form, or without a rigid pose or a pinhole K.
    """
    words = files.read_text(path).split()
    headings_fit = len(words) in _WORD_COUNTS and (words[0], words[17]) == (
        "extrinsic",
        "intrinsic",
    )
    try:
        if not headings_fit:
            raise ValueError
        pose = np.array([float(x) for x in words[_EXTRINSIC : _EXTRINSIC + 16]]).reshape(4, 4)
        K = np.array([float(x) for x in words[_INTRINSIC : _INTRINSIC + 9]]).reshape(3, 3)
    except ValueError:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} is not an MVSNet camera ({len(words)} words)",
            "'extrinsic', 4×4 numbers, 'intrinsic', 3×3 numbers, a depth range",
            "unpack it again",
        ) from None
    if (defect := transforms.rotation_defect(pose)) is not None:
        raise _bad(Reason.BAD_POSE, path, defect, "a rigid world-to-camera transform")
    if (defect := intrinsics_defect(K)) is not None:
        raise _bad(Reason.BAD_INTRINSICS, path, defect, "a pinhole K")
    return CamFile(K, transforms.nearest_rotation(pose))


def check_center(path: Path, K: FloatArray, hw: tuple[int, int]) -> None:
    """Refuse a K whose principal point shows that it was made for an image of another size.

    Raises:
        FileDefect: the principal point is not in the middle half of the image, or its field of
            view is beyond reason.
    """
    check_view(K, hw, "unpack the camera file again")
    x, y = K[0, 2] / hw[1], K[1, 2] / hw[0]
    if not (0.25 < x < 0.75 and 0.25 < y < 0.75):
        found = f"principal point {K[0, 2]:.0f}, {K[1, 2]:.0f} of a {hw[1]}×{hw[0]} image (w×h)"
        raise _bad(Reason.BAD_INTRINSICS, path, found, "one near the middle: K of this image size")


def _bad(reason: Reason, path: Path, found: str, expected: str) -> FileDefect:
    return FileDefect(reason, f"{path.name}: {found}", expected, "unpack it again")
