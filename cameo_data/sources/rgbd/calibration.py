"""Intrinsics and camera-to-camera transforms, from numbers or from the files that hold them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.stated_intrinsics import check_size, check_view, scale_to, unsigned
from cameo_data.types import FloatArray, intrinsics_defect

# What intrinsics may be for; the model of the options has refused anything else.
_SIDES = (1, 99_999)

_REMEDY = "give intrinsics=fx,fy,cx,cy, or intrinsics_size=WIDTHxHEIGHT, the size that they are for"
# Keys read from a JSON file of intrinsics, and other writers' names for lens coefficients.
_KEYS = {"intrinsic_matrix", "fx", "fy", "cx", "cy", "width", "height"}
_LENS = ("coeffs", "distortion", "dist_coeffs", "distortion_coefficients", "k1", "k2", "p1", "p2")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"


def read_intrinsics(
    folder: Path,
    given: str,
    pixel_center: str,
    image_hw: tuple[int, int],
    made_for: str | None = None,
) -> FloatArray:
    """(3, 3) K of images of size ``image_hw``, with (0.5, 0.5) as the first pixel's centre.

    Focal lengths keep the signs that they are stated with (``stated_intrinsics.Mirrored``).

    Args:
        given: ``fx,fy,cx,cy``, nine numbers, or a file of the scene.
        made_for: ``WIDTHxHEIGHT`` of the images that it was made for, if they have been resized.

    Raises:
        FileDefect: missing file, no pinhole matrix, or a principal point outside the image.
    """
    K, file_hw = _parse_intrinsics(folder, given)
    if (defect := intrinsics_defect(unsigned(K))) is not None:
        raise _bad(f"intrinsics {given!r} are a {defect}")
    if pixel_center == "integer":
        K[:2, 2] += 0.5
    if made_for is not None:
        height, width = parsing.parse_hw(made_for, _SIDES)
        if file_hw is not None and file_hw != (height, width):
            raise _bad(
                f"{given} says that it is for {file_hw[1]}×{file_hw[0]} images, intrinsics_size "
                f"says {width}×{height} (w×h)"
            )
        factors = scale_to((height, width), image_hw, "correct intrinsics_size")
        K *= np.array([*factors, 1.0])[:, None]
    elif file_hw is not None and file_hw != image_hw:
        raise _bad(
            f"{given} is for {file_hw[0]}×{file_hw[1]} images, these are "
            f"{image_hw[0]}×{image_hw[1]} (h×w)",
        )
    elif file_hw is None:
        check_size(K, image_hw, _REMEDY)
    check_view(unsigned(K), image_hw, _REMEDY)
    if not (0 <= K[0, 2] <= image_hw[1] and 0 <= K[1, 2] <= image_hw[0]):
        raise _bad(
            f"principal point ({K[0, 2]:g}, {K[1, 2]:g}) outside the "
            f"{image_hw[0]}×{image_hw[1]} (h×w) image",
        )
    return K


def unread_keys(folder: Path, given: str, distortion: tuple[float, ...]) -> tuple[str, ...]:
    """A note on keys of a JSON file of intrinsics that are not read.

    Args:
        distortion: as given for the recording.

    Raises:
        FileDefect: the file states a distortion, and none is given.
    """
    if not given.endswith(".json") or _numbers(given) is not None:
        return ()
    record: Any = parsing.parse_json(files.read_text(files.inside(folder, folder / given)))
    stated = {key: record[key] for key in _LENS if _any(record.get(key))}
    if stated and not distortion:
        found = ", ".join(f"{key} = {value}" for key, value in stated.items())
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"{given} states a distorted lens ({printable(found[:120])}), the options do not",
            "distortion in the options, which fix its order",
            "give distortion=k1,k2,p1,p2,k3, or distortion=0,0,0,0 for images that are undistorted",
        )
    unread = sorted(printable(key[:40]) for key in record.keys() - _KEYS - stated.keys())
    return (f"{given}: keys that are not read: {', '.join(unread[:20])}",) if unread else ()


def stated_hw(folder: Path, given: str, made_for: str | None) -> tuple[int, int] | None:
    """The (height, width) that the intrinsics are for, where one is stated.

    Raises:
        FileDefect: as ``read_intrinsics``.
    """
    if made_for is not None:
        return parsing.parse_hw(made_for, _SIDES)
    hw = _parse_intrinsics(folder, given)[1]
    return hw if hw is not None and min(hw) > 0 else None


def read_transform(folder: Path, given: str) -> FloatArray:
    """(4, 4) rigid transform from ``tx,ty,tz``, a 3×4 or 4×4 matrix, or a file of the scene.

    Raises:
        FileDefect: missing file, or not a rigid transform.
    """
    numbers = _numbers(given)
    if numbers is None:
        numbers = _numbers(files.read_text(files.inside(folder, folder / given))) or []
    if len(numbers) not in (3, 12, 16):
        raise _bad(f"color_from_depth has {len(numbers)} numbers", "3, 12 or 16 numbers")
    out = np.eye(4)
    if len(numbers) == 3:
        out[:3, 3] = numbers
    else:
        out[: len(numbers) // 4] = np.reshape(numbers, (-1, 4))
    if (defect := transforms.rotation_defect(out)) is not None:
        raise _bad(f"color_from_depth is a {defect}", "a rigid transform")
    return transforms.nearest_rotation(out)


def _parse_intrinsics(folder: Path, given: str) -> tuple[FloatArray, tuple[int, int] | None]:
    """K as written, and the image size where the file states it."""
    numbers = _numbers(given)
    if numbers is not None:
        return _matrix(numbers, given), None
    text = files.read_text(files.inside(folder, folder / given))
    if given.endswith(".json"):
        return _from_json(text, given)
    return _matrix(_numbers(text) or [], given), None


def _from_json(text: str, name: str) -> tuple[FloatArray, tuple[int, int] | None]:
    """Open3D's ``intrinsic_matrix`` (column by column) and size, or fx, fy, cx, cy."""
    try:
        record: Any = parsing.parse_json(text)
        if "intrinsic_matrix" in record:
            K = np.array(record["intrinsic_matrix"], np.float64).reshape(3, 3).T.copy()
        else:
            K = _matrix([float(record[key]) for key in ("fx", "fy", "cx", "cy")], name)
        hw = (int(record["height"]), int(record["width"])) if "height" in record else None
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _bad(f"{name} holds no intrinsics ({type(error).__name__}: {error})") from None
    return K, hw


def _any(values: Any) -> bool:
    """Whether any number of a value from JSON is not zero."""
    return any(map(_any, values)) if isinstance(values, list) else values not in (None, 0, "")


def _matrix(numbers: list[float], name: str) -> FloatArray:
    if len(numbers) == 4:
        fx, fy, cx, cy = numbers
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    if len(numbers) == 9:
        return np.reshape(numbers, (3, 3)).astype(np.float64)
    if len(numbers) in (12, 16):  # ScanNet pads K to 4×4
        return np.reshape(numbers, (-1, 4))[:3, :3].astype(np.float64)
    raise _bad(f"intrinsics {name!r} hold {len(numbers)} numbers")


def _numbers(text: str) -> list[float] | None:
    """The numbers that a text consists of, or None when it is something else (a file name)."""
    words = [word for word in re.split(r"[,;\s\[\]]+", text.strip()) if word]
    if not words or any(re.fullmatch(_NUMBER, word, re.IGNORECASE) is None for word in words):
        return None
    return [float(word) for word in words]


def _bad(
    found: str, expected: str = "fx, fy, cx, cy or a 3×3 matrix for these images"
) -> FileDefect:
    remedy = _REMEDY
    if "color_from_depth" in found:
        remedy = "give color_from_depth=tx,ty,tz or a matrix"
    return FileDefect(Reason.BAD_INTRINSICS, found, expected, remedy)
