"""Intrinsics as data files state them: compared with each other, the picture and what is usual.

A wrong focal length is the commonest silent fault of posed pictures: millimetres for pixels, the
angle of the longer side for that of the width, numbers for a picture of another size. Whatever is
stated twice is compared here, and every message gives the field of view that a statement implies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cameo_data.camera import field_of_view_deg
from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import FloatArray

# Two statements of a focal length may differ by this share. An angle written with two decimals of a
# radian or one of a degree is off by at most 0.8 % of the focal length between 40° and 120°.
FOCAL_TOLERANCE = 0.01
# Fields of view that no pinhole picture has. Telephoto lenses of 2000 mm still see 1.0° of a full
# frame; at 170° the picture's edge is stretched 130 times against its middle.
LEAST_FOV_DEG, LARGEST_FOV_DEG = 0.9, 170.0
# A principal point whose cx and cy are the same multiple of half the size, to within
# CENTER_TOLERANCE, is the middle of a picture of another size, unless the multiple is near one.
CENTER_TOLERANCE = 0.02
_NEAR_ONE = (0.8, 1.25)
# Principal points this near to the corner, in pixels, are shares of the picture, or left at zero;
# half a pixel more for those counted from the first pixel's centre.
_CORNER_PX = 1.5
# A note doubts focal lengths beyond these: rectilinear lenses end at about 125°, pixels of
# cameras are square to a few percent, and anamorphic ones are further off.
_WIDE_FOV_DEG = 130.0
_SQUARE_TOLERANCE = 0.1
# Sizes of reduced images are rounded to whole pixels; a turned or cropped one is off by far more.
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Focal:
    """One statement of a focal length, in pixels of a side of ``side`` pixels."""

    text: str
    pixels: float
    side: float

    @property
    def fov_deg(self) -> float:
        return float(np.degrees(2 * np.arctan2(self.side / 2, abs(self.pixels))))


def agreed(statements: Sequence[Focal], axis: str, other_side: float, remedy: str) -> float | None:
    """The first statement's focal length, once all agree; None without statements.

    Args:
        axis: ``width`` or ``height``, for messages.
        other_side: the picture's other side: an angle stated for it by mistake is recognised.

    Raises:
        FileDefect: two differ by more than FOCAL_TOLERANCE.
    """
    if not statements:
        return None
    first = statements[0]
    for other in statements[1:]:
        if abs(other.pixels / abs(first.pixels) - 1) <= FOCAL_TOLERANCE:
            continue
        found = (
            f"{first.text} is a field of view of {first.fov_deg:.1f}° across the {axis}, "
            f"{other.text} is {other.fov_deg:.1f}°"
        )
        if abs(other.pixels * other_side / other.side / abs(first.pixels) - 1) <= FOCAL_TOLERANCE:
            found += "; the latter would be right for the other side of the picture"
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            found,
            f"statements that agree within {FOCAL_TOLERANCE:.0%}",
            remedy,
        )
    return first.pixels


def check_view(K: FloatArray, hw: tuple[int, int], remedy: str) -> None:
    """Refuse a pinhole K whose field of view no picture of ``hw`` has.

    Raises:
        FileDefect: below LEAST_FOV_DEG or above LARGEST_FOV_DEG, or a principal point in the
            corner, as where K is in shares of the picture.
    """
    if np.abs(K[:2, 2]).max() <= _CORNER_PX < min(hw) / 4:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"the principal point ({K[0, 2]:.4g}, {K[1, 2]:.4g}) is in the corner of a "
            f"{hw[1]}×{hw[0]} picture (w×h): shares of its sides, or left at zero",
            "intrinsics in pixels of the picture",
            "multiply fx and cx by the width, fy and cy by the height if they are shares; "
            f"{remedy}",
        )
    horizontal, vertical = field_of_view_deg(K, hw)
    if min(horizontal, vertical) < LEAST_FOV_DEG or max(horizontal, vertical) > LARGEST_FOV_DEG:
        raise FileDefect(
            Reason.BAD_INTRINSICS,
            f"focal lengths {K[0, 0]:.6g}, {K[1, 1]:.6g} of a {hw[1]}×{hw[0]} picture (w×h) are a "
            f"field of view of {horizontal:.3g}° × {vertical:.3g}°",
            f"{LEAST_FOV_DEG:g}° to {LARGEST_FOV_DEG:g}°: focal lengths in pixels of the picture",
            remedy,
        )


def other_size(K: FloatArray, hw: tuple[int, int]) -> str | None:
    """Why the principal point makes K look made for a picture of another size, or None."""
    if np.abs(K[:2, 2]).max() <= _CORNER_PX:
        return None  # shares of the picture, which check_view refuses
    height, width = hw
    x, y = 2 * K[:2, 2]
    least, largest = _NEAR_ONE
    mean = float(np.sqrt(max(x / width, 0) * max(y / height, 0)))
    whole = _whole(mean)
    factor = mean if whole is None else whole
    if factor > 0 and not least <= factor <= largest and _is_middle(K, width, height, factor):
        about = "about " if whole is None else ""
        other, why = f"{about}{width * factor:.0f}×{height * factor:.0f}", ""
    elif not least <= width / height <= largest and _is_middle(K, height, width, 1):
        other, why = f"{height}×{width}", ": cx and cy are exchanged, or the picture is turned"
    else:
        return None
    return (
        f"the principal point ({K[0, 2]:g}, {K[1, 2]:g}) is the middle of a picture of {other}, "
        f"the picture is {width}×{height} (w×h){why}"
    )


def _whole(factor: float) -> float | None:
    """The whole number, or its inverse, within CENTER_TOLERANCE of a factor, or None."""
    below_one = 1 / max(round(1 / factor), 1) if factor > 0 else 0.0
    for near in (float(round(factor)), below_one):
        if abs(factor - near) <= CENTER_TOLERANCE * factor:
            return near
    return None


def _is_middle(K: FloatArray, width: float, height: float, factor: float) -> bool:
    ratios = 2 * K[:2, 2] / (width, height) / factor
    return bool(np.abs(ratios - 1).max() <= CENTER_TOLERANCE)


def doubts(K: FloatArray, hw: tuple[int, int], remedy: str) -> tuple[str, ...]:
    """Sentences on a K that can be right but seldom is.

    Args:
        remedy: what to do where pixels are square after all.
    """
    fx, fy = abs(K[0, 0]), abs(K[1, 1])
    found = []
    if abs(fx / fy - 1) > _SQUARE_TOLERANCE:
        found.append(
            f"fx {fx:.6g} and fy {fy:.6g} differ: the pixels are not square; if yours are, {remedy}"
        )
    if (widest := max(field_of_view_deg(unsigned(K), hw))) > _WIDE_FOV_DEG:
        found.append(
            f"focal lengths {fx:.6g}, {fy:.6g} are a field of view of {widest:.0f}°, wider than "
            "lenses without distortion have: are they in pixels?"
        )
    return tuple(found)


def unsigned(K: FloatArray) -> FloatArray:
    """K with positive focal lengths, to be judged apart from their signs."""
    out = np.array(K, np.float64)
    if out.ndim == 2 and min(out.shape) > 1:
        out[[0, 1], [0, 1]] = np.abs(out[[0, 1], [0, 1]])
    return out


def check_size(K: FloatArray, hw: tuple[int, int], remedy: str) -> None:
    """Refuse a K that looks made for a picture of another size.

    Raises:
        FileDefect: see ``other_size``.
    """
    if (found := other_size(K, hw)) is not None:
        raise FileDefect(Reason.BAD_INTRINSICS, found, "K of the picture's size", remedy)


def scale_to(
    made_for: tuple[float, float], hw: tuple[int, int], remedy: str
) -> tuple[float, float]:
    """Factors of K's rows from a picture of height and width ``made_for`` to one of ``hw``.

    Raises:
        FileDefect: the pictures differ in shape.
    """
    x, y = hw[1] / made_for[1], hw[0] / made_for[0]
    if abs(x / y - 1) > ASPECT_TOLERANCE:
        raise FileDefect(
            Reason.WRONG_SIZE,
            f"image is {hw[0]}×{hw[1]}, its intrinsics are for {made_for[0]:g}×{made_for[1]:g} "
            "(h×w)",
            "an image of that shape, of any size",
            remedy,
        )
    return x, y


@dataclass(eq=False)
class Mirrored:
    """What negative focal lengths mean, for all frames of a scene.

    A picture whose y axis runs against the camera's (ICL-NUIM: fy = −480) is the picture of a
    camera with y flipped, in a world with y flipped: K·M·X = (K·F)·(F·M·F)·(F·X) with
    F = diag(1, −1, 1). Every pixel and every z stays; the world is the mirror image of the stated
    one. Where both focal lengths are negative the camera is turned by 180° and the world stays.

    Attributes:
        signs: signs of fx and fy, the same in all frames.
    """

    signs: tuple[int, int] = (1, 1)
    _example: str = ""

    @classmethod
    def of(cls, focals: Iterable[tuple[float, float]]) -> Mirrored:
        """From all frames' fx and fy; the signs of most frames count."""
        found = [(-1 if fx < 0 else 1, -1 if fy < 0 else 1) for fx, fy in focals]
        signs = max(found, key=found.count) if found else (1, 1)
        return cls(signs)

    @property
    def flip(self) -> FloatArray:
        """F, (4, 4)."""
        return np.diag([*self.signs, 1.0, 1.0]).astype(np.float64)

    def K(self, stated: FloatArray) -> FloatArray:
        """K·F: positive focal lengths.

        Raises:
            FileDefect: the signs are not those of the scene's other frames.
        """
        signs = tuple(-1 if f < 0 else 1 for f in (stated[0, 0], stated[1, 1]))
        if signs != self.signs:
            raise FileDefect(
                Reason.BAD_INTRINSICS,
                f"focal lengths {stated[0, 0]:g}, {stated[1, 1]:g} have other signs than the "
                "scene's other cameras",
                "the same signs in all cameras of a scene",
                "correct these intrinsics",
            )
        if self.signs == (1, 1):
            return stated
        self._example = f"{stated[0, 0]:g}, {stated[1, 1]:g}"
        return stated @ self.flip[:3, :3]

    def cam_from_world(self, stated: FloatArray) -> FloatArray:
        """F·M·F, or F·M where F is a turn."""
        turned = self.flip @ stated
        return turned if self.signs[0] == self.signs[1] else turned @ self.flip

    def between(self, stated: FloatArray | None) -> FloatArray | None:
        """A transform between two cameras that are both flipped; None stays None."""
        return None if stated is None else self.flip @ stated @ self.flip

    def distortion(self, stated: tuple[float, ...]) -> tuple[float, ...]:
        """OpenCV's coefficients about the flipped axes.

        Raises:
            FileDefect: a tilted sensor, which is not flipped here.
        """
        sign_x, sign_y = self.signs
        # k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 τx τy
        by = (1, 1, sign_y, sign_x, 1, 1, 1, 1, sign_x, sign_x, sign_y, sign_y, 1, 1)
        if self.signs != (1, 1) and any(stated[12:]):
            raise FileDefect(
                Reason.BAD_INTRINSICS,
                "negative focal lengths with a tilted sensor (τx, τy)",
                "only one of the two",
                "undistort the pictures first",
            )
        return tuple(k * sign for k, sign in zip(stated, by, strict=False))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the frames read so far."""
        if not self._example:
            return ()
        if self.signs[0] == self.signs[1]:
            return (
                f"focal lengths {self._example}: negative ones say that the picture is turned by "
                "180° against the camera. The cameras are turned and K is made positive, which is "
                "the same picture; if `cameo-data check` disagrees, your poses are those of the "
                "picture already: state the focal lengths without their signs",
            )
        axis, way = ("x", "right") if self.signs[0] < 0 else ("y", "down")
        return (
            f"focal lengths {self._example}: a negative one says that the picture's {axis} runs "
            f"against the camera's. {axis} of cameras and world is flipped and K is made "
            "positive, which is the same picture; if `cameo-data check` disagrees, your poses "
            f"have {axis} {way} already: state the focal length without its sign",
        )
