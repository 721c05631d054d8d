"""Checks that a depth map without its own K can cover the whole of its picture."""

from __future__ import annotations

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import same_aspect


def check_depth(name: str, depth_hw: tuple[int, int], image_hw: tuple[int, int]) -> None:
    """Refuse a depth map whose aspect differs from its picture's, since no scaling makes it fit.

    Raises:
        FileDefect: the aspects differ by more than rounding to whole pixels explains.
    """
    if same_aspect(depth_hw, image_hw):
        return
    remedy = (
        "crop depth or pictures to the same view and resize them, or give the depth camera's own "
        "intrinsics where the format has them"
    )
    if same_aspect(depth_hw[::-1], image_hw):
        remedy = (
            "it fits when turned by 90°: turn the depth maps, or the pictures with their K and "
            "poses (pictures with an EXIF orientation: -o exif_orientation=displayed or stored)"
        )
    raise FileDefect(
        Reason.WRONG_SIZE,
        f"depth {name} is {depth_hw[1]}×{depth_hw[0]}, its picture {image_hw[1]}×{image_hw[0]} "
        f"(w×h): aspects {depth_hw[1] / depth_hw[0]:.2f} and {image_hw[1] / image_hw[0]:.2f}",
        "depth that covers the whole picture, of the same aspect within 2 %",
        remedy,
    )
