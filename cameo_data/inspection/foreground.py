"""How much of its pictures a scene's masks call foreground, and whether they look like masks.

Confidence maps (0, 1, 2) and label maps are given as masks now and then: they are background
everywhere, since foreground starts at half of white.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cameo_data.geometry import undistortion
from cameo_data.io import image_files
from cameo_data.types import Frame

# Masks hold two values, or many where their outlines are smooth; fewer than so many are labels.
_FEW_VALUES = 16


@dataclass
class Masks:
    """What the masks of a scene's frames hold; frames without a mask are ignored."""

    shares: list[float] = field(default_factory=list)
    levels: set[int] = field(default_factory=set)
    white: int = 255

    def add(self, frame: Frame, mask: NDArray[np.bool_] | None) -> None:
        """Takes in a frame's mask as it was read, and the levels in its file.

        Raises:
            FileDefect: the file has changed since.
        """
        if mask is None or frame.mask_path is None:
            return
        hw = undistortion.stored_hw(frame)
        grey = image_files.read_grey(frame.mask_path, frame.exif_orientation, hw)
        self.shares.append(float(mask.mean()))
        self.levels.update(np.unique(grey).tolist())
        self.white = int(np.iinfo(grey.dtype).max)

    @property
    def share(self) -> float | None:
        """Mean share of foreground; None where there was no mask."""
        return round(float(np.mean(self.shares)), 4) if self.shares else None

    def notes(self) -> tuple[str, ...]:
        """What is odd about them, as sentences."""
        if not self.shares:
            return ()
        held = sorted(self.levels)
        if self.share == 0:
            what = "and are background everywhere"
        elif 2 < len(held) <= _FEW_VALUES and held[-1] < self.white:
            what = "which look like labels or levels of confidence"
        else:
            return ()
        listed = ", ".join(map(str, held[:8])) + (" …" if len(held) > 8 else "")
        return (
            f"masks hold only {listed} {what}: a pixel is foreground from half of white on "
            f"({self.white // 2 + 1} of {self.white}; 1 in files of 0 and 1); write masks of 0 and "
            f"{self.white}",
        )
