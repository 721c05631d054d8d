"""Poses as data files state them, brought to the rigid transforms that they are equivalent to.

Two kinds of matrices project every point to the same pixel as a rigid one:

- homogeneous matrices multiplied by any number w: last row 0 0 0 w. They are divided by w.
- a rotation times one uniform scale s, the same in all frames of the scene: a scaled camera or
  parent in Blender, the scale of a Metashape chunk. The scale is taken out about the camera's
  centre, which stays where the matrix has it.

Factors that differ between frames, different scales along the axes, shears and reflections are
refused: which of the numbers is wrong cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from cameo_data import transforms
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray

Direction = Literal["world_from_cam", "cam_from_world"]

# Relative difference up to which two scales are equal: rotation_defect allows it in |s² − 1|.
SCALE_TOLERANCE = transforms.ROTATION_TOLERANCE / 2


@dataclass(eq=False)
class StatedPoses:
    """The poses of one scene's frames.

    Attributes:
        name: what messages call a pose of the data: ``transform_matrix``.
        scale: the factor that the rotations of most frames are multiplied by.
        mixed: most frames share no factor; only frames without a factor are read.
    """

    name: str
    direction: Direction
    scale: float = 1.0
    mixed: bool = False
    _scaled: int = field(default=0, init=False)
    _homogeneous: int = field(default=0, init=False)

    @classmethod
    def of(cls, matrices: Iterable[Any], direction: Direction, name: str) -> StatedPoses:
        """The scene's poses from all its matrices as stored; those that are not poses do not count.

        Args:
            matrices: 3×4 or 4×4 numbers each.
        """
        found = [transforms.uniform_scale(m) for m in map(_homogeneous, matrices) if m is not None]
        scales = [scale for scale in found if scale is not None]
        if scales:
            common = float(np.median(scales))
            alike = sum(_alike(scale, common) for scale in scales)
            if 2 * alike <= len(scales):
                return cls(name, direction, mixed=True)
            if not _alike(common, 1.0):
                return cls(name, direction, common)
        return cls(name, direction)

    def rigid(self, rows: Any) -> FloatArray:
        """The rigid (4, 4) transform that 3×4 or 4×4 numbers are equivalent to, same direction.

        Raises:
            FileDefect: there is none.
        """
        matrix = _homogeneous(rows)
        if matrix is None:
            if _is_transposed(rows):
                found = "transposed matrix, its translation in the last row"
                raise self._refused(found, "transpose it")
            raise self._refused(_malformed(rows), "leave the frame out")
        scale = transforms.uniform_scale(matrix)
        if scale is None or not _alike(scale, self.scale):
            raise self._unequal(rows, matrix, scale)
        if not np.array_equal(matrix, np.vstack([rows, [[0.0, 0, 0, 1]]])[:4]):
            self._homogeneous += 1
        if not _alike(scale, 1.0):
            self._scaled += 1
            matrix[:3, :3] /= self.scale
            if self.direction == "cam_from_world":
                matrix[:3, 3] /= self.scale
        pose = transforms.nearest_rotation(matrix)
        pose[3] = (0, 0, 0, 1)
        return pose

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the poses read so far."""
        notes = []
        if self._homogeneous:
            notes.append(
                f"{self.name}: {self._homogeneous} matrices with a last row other than 0 0 0 1 "
                "were divided by its last number"
            )
        if self._scaled:
            notes.append(
                f"{self.name}: the rotations of {self._scaled} frames are multiplied by "
                f"{self.scale:.6g}; the factor was taken out and the cameras stay in place. Depth "
                "is read in the unit of the cameras' positions; if yours is in the cameras' own "
                f"unit, multiply depth_scale by {self.scale_of_camera:.6g}"
            )
        return tuple(notes)

    @property
    def scale_of_camera(self) -> float:
        """World units per unit of the cameras' own coordinates."""
        return self.scale if self.direction == "world_from_cam" else 1 / self.scale

    def _unequal(self, rows: Any, matrix: FloatArray, scale: float | None) -> FileDefect:
        lines = "columns" if self.direction == "world_from_cam" else "rows"
        if scale is not None:
            last = np.ravel(rows)[-1] if np.shape(rows) == (4, 4) else 1.0
            divided = "" if last == 1 else f"matrix with last row 0 0 0 {last:g}: divided by it, a "
            others = (
                "most frames share no factor"
                if self.mixed
                else f"most frames times {self.scale:.6g}"
            )
            remedy = f"divide the first three {lines} by {scale / self.scale:.6g}"
            found = f"{divided}rotation times {scale:.6g} ({others})"
            return self._refused(found, f"{remedy}, or leave the frame out")
        lengths = _lengths(matrix, self.direction)
        if lengths is None:
            found = transforms.rotation_defect(matrix) or "reflection"
            return self._refused(found, "export right-handed, unsheared poses, or leave it out")
        factors = ", ".join(f"{length:.6g}" for length in lengths)
        which = "its length" if lines == "columns" else "the length of its first three numbers"
        if self.scale != 1:
            which += f" and multiply them by {self.scale:.6g}"
        return self._refused(
            f"rotation whose {lines} are multiplied by {factors}",
            f"divide each of the first three {lines} by {which}, or leave the frame out",
        )

    def _refused(self, found: str, remedy: str) -> FileDefect:
        way = "camera-to-world" if self.direction == "world_from_cam" else "world-to-camera"
        return FileDefect(
            Reason.BAD_POSE, f"{self.name} is a {found}", f"a rigid {way} matrix", remedy
        )


def _alike(a: float, b: float) -> bool:
    return abs(a / b - 1) <= SCALE_TOLERANCE


def _padded(rows: Any) -> FloatArray | None:
    """(4, 4) of 3×4 or 4×4 finite numbers, else None."""
    try:
        matrix = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0.0, 0, 0, 1]])
    return matrix if matrix.shape == (4, 4) and np.isfinite(matrix).all() else None


def _homogeneous(rows: Any) -> FloatArray | None:
    """(4, 4) with last row 0 0 0 1, else None."""
    matrix = _padded(rows)
    if matrix is None:
        return None
    last = matrix[3, 3]
    # 1e-6 as in rotation_defect, relative to the last number
    if not abs(last) > 1e-12 or np.abs(matrix[3, :3]).max() > 1e-6 * abs(last):
        return None
    if abs(last - 1) > 1e-6:
        matrix = matrix / last
    return matrix


def _is_transposed(rows: Any) -> bool:
    """Whether 4×4 numbers, once transposed, are a pose."""
    matrix = _padded(rows)
    turned = None if matrix is None else _homogeneous(matrix.T)
    return turned is not None and transforms.uniform_scale(turned) is not None


def _malformed(rows: Any) -> str:
    try:
        return transforms.rotation_defect(np.array(rows, np.float64)) or "matrix that is not a pose"
    except (ValueError, TypeError, OverflowError):
        return "value that is not a matrix of numbers"


def _lengths(matrix: FloatArray, direction: Direction) -> FloatArray | None:
    """Lengths of the columns (or rows) of a right-handed 3×3 part where they are orthogonal."""
    part = matrix[:3, :3] if direction == "world_from_cam" else matrix[:3, :3].T
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: FloatArray = np.linalg.norm(part, axis=0)
        if not (np.isfinite(lengths).all() and lengths.min() > 1e-9):
            return None
        scale = transforms.uniform_scale(part / lengths)
    return lengths if scale is not None else None
