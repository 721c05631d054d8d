"""Intrinsics and camera-to-camera transforms, from numbers or from the files that hold them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from cameo_data import files, transforms
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.types import FloatArray, intrinsics_defect

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"


def read_intrinsics(
    folder: Path,
    given: str,
    pixel_center: str,
    image_hw: tuple[int, int],
    made_for: str | None = None,
) -> FloatArray:
    """(3, 3) K of images of size ``image_hw``, with (0.5, 0.5) as the first pixel's centre.

    Args:
        given: ``fx,fy,cx,cy``, nine numbers, or a file of the scene.
        made_for: ``WIDTHxHEIGHT`` of the images that it was made for, if they have been resized.

    Raises:
        FileDefect: missing file, no pinhole matrix, or a principal point outside the image.
    """
    K, file_hw = _parse_intrinsics(folder, given)
    if (defect := intrinsics_defect(K)) is not None:
        raise _bad(f"intrinsics {given!r} are a {defect}")
    if pixel_center == "integer":
        K[:2, 2] += 0.5
    if made_for is not None:
        width, height = (int(n) for n in made_for.split("x"))
        file_hw = (height, width)
        K *= np.array([image_hw[1] / width, image_hw[0] / height, 1.0])[:, None]
    elif file_hw is not None and file_hw != image_hw:
        raise _bad(
            f"{given} is for {file_hw[0]}×{file_hw[1]} images, these are "
            f"{image_hw[0]}×{image_hw[1]} (h×w)",
        )
    if not (0 <= K[0, 2] <= image_hw[1] and 0 <= K[1, 2] <= image_hw[0]):
        raise _bad(
            f"principal point ({K[0, 2]:g}, {K[1, 2]:g}) outside the "
            f"{image_hw[0]}×{image_hw[1]} (h×w) image",
        )
    return K


def stated_hw(folder: Path, given: str, made_for: str | None) -> tuple[int, int] | None:
    """The (height, width) that the intrinsics are for, where one is stated.

    Raises:
        FileDefect: as ``read_intrinsics``.
    """
    if made_for is not None:
        width, height = (int(n) for n in made_for.split("x"))
        return (height, width) if min(height, width) > 0 else None
    hw = _parse_intrinsics(folder, given)[1]
    return hw if hw is not None and min(hw) > 0 else None


def read_transform(folder: Path, given: str) -> FloatArray:
    """(4, 4) rigid transform from ``tx,ty,tz``, a 3×4 or 4×4 matrix, or a file of the scene.

    Raises:
        FileDefect: missing file, or no rigid transform.
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
        record: Any = json.loads(text)
        if "intrinsic_matrix" in record:
            K = np.array(record["intrinsic_matrix"], np.float64).reshape(3, 3).T.copy()
        else:
            K = _matrix([float(record[key]) for key in ("fx", "fy", "cx", "cy")], name)
        hw = (int(record["height"]), int(record["width"])) if "height" in record else None
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise _bad(f"{name} holds no intrinsics ({type(error).__name__}: {error})") from None
    return K, hw


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
    remedy = "give intrinsics=fx,fy,cx,cy, or intrinsics_size=WIDTHxHEIGHT of resized images"
    if "color_from_depth" in found:
        remedy = "give color_from_depth=tx,ty,tz or a matrix"
    return FileDefect(Reason.BAD_INTRINSICS, found, expected, remedy)
