"""OCCLUDED against true occlusion on Middlebury *cones*, which has a disparity map of each view:
``python -m benchmarks.middlebury``.

The truth is read off the two maps directly, not through the source or its depth. A pixel of view A
with disparity d lands on the same row of view B, d to the side. Around that place lie two pixels of
B. The point is

- hidden, if both show a disparity more than 1 px larger: something nearer is in front;
- seen, if both show its own disparity to within 1 px;
- not judged otherwise. That is: d unknown (stored as 0), the place outside B, a hole in B's map at
  either pixel, a place on the outline of an object (the two pixels see different surfaces, and maps
  rounded to 1/4 px cannot say which side the point is on), or a background that B claims to see
  through the point (the maps contradict one another).

1 px is four steps of the maps' rounding, and the threshold of the data's own README. ``at_nearest``
judges outlines too, by the nearer of the two pixels: the harder and less certain figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.real import REALDATA
from cameo_data.correspondence import correspond
from cameo_data.frames import read_view
from cameo_data.sources import open_source
from cameo_data.types import Correspondence, Verdict

FOLDER = "middlebury_cones"
MAPS = ("disp2.pgm", "disp6.pgm")
LEVELS_PER_PIXEL = 4
THRESHOLD_PX = 1.0


@dataclass(frozen=True)
class Occlusion:
    """One direction; counts are of pixels.

    Attributes:
        inside: pixels of known disparity that land inside the other view.
        judged: of these, where the truth is known.
        hidden: of these, truly occluded.
        called: judged pixels called OCCLUDED.
        right: both.
        visible_recall: share of truly seen pixels called VISIBLE.
    """

    name: str
    inside: int
    judged: int
    hidden: int
    called: int
    right: int
    visible_recall: float

    @property
    def precision(self) -> float:
        """Share of pixels called OCCLUDED that are hidden."""
        return self.right / self.called

    @property
    def recall(self) -> float:
        """Share of hidden pixels that were called OCCLUDED."""
        return self.right / self.hidden


def measure(root: Path = REALDATA, *, at_nearest: bool = False) -> list[Occlusion]:
    """Both directions at every pixel."""
    folder = root / FOLDER
    source = open_source("middlebury", folder)
    (scene_id,) = source.scene_ids()
    frames = source.scene(scene_id).frames
    views = [read_view(f, dataset=source.dataset, scene_id=scene_id) for f in frames]
    maps = [_disparity(folder / name) for name in MAPS]
    found = []
    for a, b, side in ((0, 1, -1), (1, 0, 1)):
        said = correspond(views[a].depth, views[a].camera, views[b].depth, views[b].camera)
        name = f"{views[a].frame_id} → {views[b].frame_id}"
        found.append(_compare(name, said, maps[a], maps[b], side, at_nearest))
    return found


def _disparity(path: Path) -> NDArray[np.float64]:
    stored = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(stored, np.float64) / LEVELS_PER_PIXEL


def _compare(
    name: str,
    said: Correspondence,
    d0: NDArray[np.float64],
    d1: NDArray[np.float64],
    side: int,
    at_nearest: bool,
) -> Occlusion:
    width = d0.shape[1]
    x = np.arange(width) + 0.5 + side * d0
    inside = (d0 > 0) & (x >= 0) & (x < width)
    before = x if at_nearest else x - 0.5
    after = x if at_nearest else x + 0.5
    hidden, seen = inside.copy(), inside.copy()
    for place in (before, after):
        column = np.floor(place).astype(np.intp).clip(0, width - 1)
        there = np.take_along_axis(d1, column, 1)
        hidden &= (there > 0) & (there > d0 + THRESHOLD_PX)
        seen &= (there > 0) & (np.abs(there - d0) <= THRESHOLD_PX)
    judged = hidden | seen
    called = judged & (said.verdict == Verdict.OCCLUDED)
    return Occlusion(
        name,
        int(inside.sum()),
        int(judged.sum()),
        int(hidden.sum()),
        int(called.sum()),
        int((called & hidden).sum()),
        float((said.verdict == Verdict.VISIBLE)[seen].mean()),
    )


def rows(root: Path = REALDATA) -> list[list[str]]:
    """A table's rows: direction, how outlines are judged, pixels, precision, recall."""
    found = []
    for at_nearest, outlines in ((False, "left out"), (True, "nearer pixel")):
        for one in measure(root, at_nearest=at_nearest):
            judged = f"{one.judged:,} of {one.inside:,}"
            figures = (one.precision, one.recall, one.visible_recall)
            found.append([one.name, outlines, judged, f"{one.hidden:,}",
                          *(f"{figure:.4f}" for figure in figures)])  # fmt: skip
    return found


HEADINGS = ["pair", "outlines", "pixels judged", "hidden", "precision of OCCLUDED", "recall",
            "recall of VISIBLE"]  # fmt: skip


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print(table(HEADINGS, rows()))
