"""EXIF orientation: whether K, depth and poses follow a picture's stored or its displayed pixels.

Cameras store pixels in the sensor's order and a tag (1 to 8, TIFF 6.0 and EXIF 2.3) that asks
viewers to turn or mirror them. Some tools that estimate K and poses follow the tag and some ignore
it, and no file says which; docs/conventions.md has the rule that follows from this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.types import ExifRule

T = TypeVar("T", bound=np.generic)

TAG = 0x0112
STORED = 1
# What the tag asks a viewer to do with the stored pixels (EXIF 2.3, table 6).
MEANINGS = {
    2: "mirror it",
    3: "turn it by 180°",
    4: "flip it",
    5: "transpose it",
    6: "turn it by 90° clockwise",
    7: "transpose it over the other diagonal",
    8: "turn it by 90° counter-clockwise",
}
# Two aspects closer than this count as equal, since sizes are rounded to whole pixels.
ASPECT_TOLERANCE = 0.02
# XMP's spelling of the tag, as an attribute or an element; Pillow and exiftool honour it too.
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def tag_of(exif: Any, xmp: bytes | str | None) -> int:
    """The orientation (1 to 8) in an image's metadata: EXIF's, else XMP's; 1 where neither has one.

    Undefined values (0, 9 …) are ignored, as every viewer does.
    """
    value = exif.get(TAG)
    if value is None and xmp:
        found = _XMP.search(xmp if isinstance(xmp, bytes) else xmp.encode("utf-8", "ignore"))
        value = None if found is None else int(found[1])
    return value if isinstance(value, int) and value in MEANINGS else STORED


def is_quarter_turn(tag: int) -> bool:
    """Whether the orientation swaps height and width."""
    return tag >= 5


def turned_hw(hw: tuple[int, int], tag: int) -> tuple[int, int]:
    """Size at which a viewer shows stored pixels of size ``hw``."""
    return (hw[1], hw[0]) if is_quarter_turn(tag) else hw


def turn(pixels: NDArray[T], tag: int) -> NDArray[T]:
    """The displayed picture from stored pixels (H, W, …)."""
    if is_quarter_turn(tag):
        pixels = pixels.swapaxes(0, 1)
    if tag in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if tag in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def turn_back(pixels: NDArray[T], tag: int) -> NDArray[T]:
    """The stored pixels of a displayed picture."""
    return turn(pixels, {6: 8, 8: 6}.get(tag, tag))


@dataclass(eq=False)
class TurnedPictureError(FileDefect):
    """A picture with a tag where nothing tells which pixels K, depth and poses follow."""

    hw: tuple[int, int]
    tag: int

    def beside(self, depth_hw: tuple[int, int]) -> FileDefect:
        """The same error, with what the shape of the picture's depth suggests."""
        fits = [same_aspect(shown, depth_hw) for shown in (self.hw, turned_hw(self.hw, self.tag))]
        if fits[0] == fits[1]:
            return self
        whose = "stored" if fits[0] else "displayed"
        return replace(self, found=f"{self.found}; its depth has the shape of the {whose} one")


def rule_of_stated_size(option: ExifRule) -> ExifRule:
    """The rule where the format states the size that K is for: ``by_size`` replaces ``refuse``."""
    return "by_size" if option == "refuse" else option


def settle(
    rule: ExifRule,
    tag: int,
    hw: tuple[int, int],
    like_hw: tuple[int, int] | None,
    name: str,
    reason: Reason = Reason.UNREADABLE_IMAGE,
) -> int:
    """The turn to apply to a file's pixels before anything else: ``tag``, or 1 for none.

    Args:
        hw: size of the stored pixels.
        like_hw: for ``by_size``, the size that K is stated for, or one of the same aspect.

    Raises:
        FileDefect: the rule is to refuse, or the sizes do not decide.
    """
    if tag == STORED or rule == "stored":
        return STORED
    if rule == "displayed":
        return tag
    if rule == "by_size" and like_hw is not None:
        fits = [same_aspect(shown, like_hw) for shown in (hw, turned_hw(hw, tag))]
        if fits[0] != fits[1]:
            return STORED if fits[0] else tag
    raise refusal(name, tag, hw, reason)


def refusal(name: str, tag: int, hw: tuple[int, int], reason: Reason) -> FileDefect:
    """The defect of a picture with a tag where nothing says what K, depth and poses follow."""
    shown = turned_hw(hw, tag)
    sizes = f"{hw[1]}×{hw[0]} (w×h) as stored"
    if shown != hw:
        sizes += f", {shown[1]}×{shown[0]} as displayed"
    if reason is Reason.UNREADABLE_DEPTH:
        return FileDefect(
            reason,
            f"{name} has EXIF orientation {tag} ({MEANINGS[tag]} to show it; {sizes})",
            "depth without an orientation tag",
            "write it again without the tag",
        )
    return TurnedPictureError(
        reason,
        f"{name} has EXIF orientation {tag} ({MEANINGS[tag]} to show it; {sizes})",
        "an option that says whether K, depth, masks and poses are for the stored or the displayed "
        "picture",
        "give -o exif_orientation=stored or -o exif_orientation=displayed, and run "
        "`cameo-data check` on the result",
        hw,
        tag,
    )


def same_aspect(hw: tuple[int, int], other_hw: tuple[int, int]) -> bool:
    """Whether two pictures can show the same field of view, up to rounding to whole pixels."""
    aspects = hw[1] / hw[0], other_hw[1] / other_hw[0]
    if max(aspects) <= min(aspects) * (1 + ASPECT_TOLERANCE):
        return True
    # each side of the smaller picture may have been rounded by less than a pixel
    small, large = sorted((hw, other_hw), key=lambda size: size[0] * size[1])
    scales = [(large[i] / (small[i] + 1), large[i] / max(small[i] - 1, 0.5)) for i in (0, 1)]
    return max(low for low, _ in scales) < min(high for _, high in scales)
