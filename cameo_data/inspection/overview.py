"""What a dataset holds, seen quickly: some of its scenes listed, one frame of each read.

However large the dataset, a bounded number of scenes is opened and memory holds one row for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cameo_data import transforms
from cameo_data.camera import field_of_view_deg
from cameo_data.errors import DataError, Failure
from cameo_data.frames import read_view
from cameo_data.inspection import foreground
from cameo_data.io import boundary
from cameo_data.sources import Source
from cameo_data.sources.common.unused_totals import merged, scenes_by_note
from cameo_data.types import FloatArray, Frame, Progress, Scene, Unused

Spread = tuple[float, float, float]  # least, median, largest

# Frames of a scene whose rotations are compared, spread evenly: 2016 pairs.
ROTATION_FRAMES = 64
# Failures kept in full; all are counted.
MAX_FAILURES = 200


@dataclass
class SceneRow:
    """What was found of one scene.

    Attributes:
        listed, rejected: frames offered for reading, and those that listing rejected.
        with_depth: of the listed.
        matches: whether sparse matches stand in for depth.
        rotation_deg: the widest between two of its views; None of a single one.
        fov_deg: horizontal and vertical field of view, each (least, median, largest).
        neighbours, extent: distance of the cameras of consecutive frames (median) and of the two
            furthest apart, in scene units; None of a single frame.
        read: frames read; valid_share and depth are their mean share of known depth and its range.
        foreground_share: mean share of foreground in the masks of the frames read; None without.
        failed: failures of the scene and its frames.
        notes, unused: see ``Scene``.
    """

    scene_id: str
    listed: int = 0
    rejected: int = 0
    with_depth: int = 0
    matches: bool = False
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    unit: str = ""
    rotation_deg: float | None = None
    fov_deg: tuple[Spread, Spread] | None = None
    neighbours: float | None = None
    extent: float | None = None
    read: int = 0
    valid_share: float | None = None
    depth: tuple[float, float] | None = None
    foreground_share: float | None = None
    failed: int = 0
    notes: tuple[str, ...] = ()
    unused: tuple[Unused, ...] = ()

    @property
    def found(self) -> int:
        """Frames, those that failed included."""
        return self.listed + self.rejected

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "scene_id": self.scene_id,
            "frames_found": self.found,
            "frames_listed": self.listed,
            "frames_with_depth": self.with_depth,
            "sparse_matches": self.matches,
            "sizes": [{"hw": hw, "frames": n} for hw, n in sorted(self.sizes.items())],
            "unit": self.unit,
            "largest_rotation_deg": self.rotation_deg,
            "fov_deg": _fov_record(self.fov_deg),
            "neighbour_distance": self.neighbours,
            "extent": self.extent,
            "frames_read": self.read,
            "valid_depth_share": self.valid_share,
            "depth_range": self.depth,
            "foreground_share": self.foreground_share,
            "failures": self.failed,
            "notes": list(self.notes),
            "unused": [asdict(unused) for unused in self.unused],
        }


@dataclass
class Overview:
    """A dataset's scenes, some of them looked into.

    Attributes:
        scenes: that the source lists; ``rows`` are of those looked into, spread evenly over them.
        failures: the first MAX_FAILURES; ``reasons`` counts all.
    """

    scenes: int
    rows: list[SceneRow] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return sum(self.reasons.values())

    @property
    def notes(self) -> dict[str, list[str]]:
        """Scenes by what is noted of them."""
        return scenes_by_note((row.scene_id, row.notes) for row in self.rows)

    @property
    def unused(self) -> list[Unused]:
        """Unused files of all scenes looked into, by kind, the most frequent first."""
        return merged(one for row in self.rows for one in row.unused)

    @property
    def complete(self) -> bool:
        """Whether every scene was looked into."""
        return len(self.rows) == self.scenes

    @property
    def frames(self) -> int:
        """Found in the scenes looked into."""
        return sum(row.found for row in self.rows)

    @property
    def estimated_frames(self) -> int:
        """Of all scenes; exact where every one was looked into."""
        return round(self.frames * self.scenes / len(self.rows)) if self.rows else 0

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sizes: Counter[tuple[int, int]] = sum((row.sizes for row in self.rows), Counter())
        listed = sum(row.listed for row in self.rows)
        with_depth = sum(row.with_depth for row in self.rows)
        shares = [row.valid_share for row in self.rows if row.valid_share is not None]
        turned = [row.rotation_deg for row in self.rows if row.rotation_deg is not None]
        return {
            "scenes_found": self.scenes,
            "scenes_looked_into": len(self.rows),
            "frames_found": self.frames,
            "frames_estimated": self.estimated_frames,
            "sizes": [{"hw": hw, "frames": n} for hw, n in sizes.most_common()],
            "frames_with_depth_share": round(with_depth / listed, 4) if listed else None,
            "scenes_with_sparse_matches": sum(row.matches for row in self.rows),
            "valid_depth_share": round(float(np.mean(shares)), 4) if shares else None,
            "largest_rotation_deg": [round(f(turned), 1) for f in (min, np.median, max)]
            if turned
            else None,
            "failures": self.failed,
            "failures_by_reason": dict(self.reasons.most_common()),
            "notes": self.notes,
            "unused": [asdict(unused) for unused in self.unused],
            "first_failures": [failure.record() for failure in self.failures],
            "scenes": [row.record() for row in self.rows],
        }

    def _add(self, failure: Failure) -> None:
        self.reasons[failure.reason.value] += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(failure)


def overview(source: Source, look: int, read_all: bool, progress: Progress) -> Overview:
    """What is in a dataset.

    Args:
        look: scenes to look into at most; 0 for all.
        read_all: read every frame of them, not only the middle one.
    """
    scene_ids = source.scene_ids()
    found = Overview(len(scene_ids))
    for failure in source.failures:
        found._add(failure)
    chosen = evenly(scene_ids, look or len(scene_ids))
    for number, scene_id in enumerate(chosen):
        row = SceneRow(scene_id)
        try:
            with boundary.reading(source.dataset, scene_id):
                scene = source.scene(scene_id)
                _list_frames(row, scene)
        except DataError as error:
            failures = [error.failure]
        else:
            middle = len(scene.frames) // 2
            frames = scene.frames if read_all else scene.frames[middle : middle + 1]
            failures = [*scene.failures, *_read(row, scene, frames)]
        row.failed = len(failures)
        for failure in failures:
            found._add(failure)
        found.rows.append(row)
        progress("scenes", number + 1, len(chosen))
    return found


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """At most ``count`` of the items, spread evenly, first and last included."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _list_frames(row: SceneRow, scene: Scene) -> None:
    row.listed = len(scene.frames)
    row.rejected = sum(failure.frame_id is not None for failure in scene.failures)
    row.with_depth = sum(frame.depth is not None for frame in scene.frames)
    row.matches = scene.matches is not None
    row.sizes = Counter(frame.camera.hw for frame in scene.frames)
    row.unit = scene.unit
    row.notes, row.unused = scene.notes, scene.unused
    if scene.frames:
        views = [field_of_view_deg(f.camera.K, f.camera.hw) for f in scene.frames]
        horizontal, vertical = np.array(views).T
        row.fov_deg = (_spread(horizontal), _spread(vertical))
    if len(scene.frames) > 1:
        some = evenly(scene.frames, ROTATION_FRAMES)
        poses = np.array([frame.camera.cam_from_world for frame in some])
        centers = np.array([frame.camera.world_from_cam[:3, 3] for frame in scene.frames])
        steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
        row.neighbours = _rounded(np.median(steps))
        few = np.array(evenly(list(centers), ROTATION_FRAMES))
        row.extent = _rounded(np.linalg.norm(few[:, None] - few, axis=-1).max())
        row.rotation_deg = round(float(transforms.relative_rotation_deg(poses).max()), 1)


def _spread(values: FloatArray) -> Spread:
    least, median, largest = (round(float(f(values)), 2) for f in (np.min, np.median, np.max))
    return least, median, largest


def _rounded(value: Any) -> float:
    return float(f"{float(value):.4g}")


def _fov_record(fov: tuple[Spread, Spread] | None) -> dict[str, Spread] | None:
    return None if fov is None else {"horizontal": fov[0], "vertical": fov[1]}


def _read(row: SceneRow, scene: Scene, frames: Sequence[Frame]) -> list[Failure]:
    """Reads frames into the row; the failures of those that cannot be."""
    shares, nearest, farthest, failures = [], [], [], []
    masks = foreground.Masks()
    dataset, scene_id = scene.dataset, scene.scene_id
    for frame in frames:
        try:
            with boundary.reading(dataset, scene_id, frame.frame_id):
                with_depth = frame.depth is not None
                view = read_view(frame, dataset=dataset, scene_id=scene_id, with_depth=with_depth)
                masks.add(frame, view.mask)
                if with_depth:
                    z = view.depth.z[view.depth.valid]
                    shares.append(float(view.depth.valid.mean()))
                    nearest.append(float(z.min()))
                    farthest.append(float(z.max()))
        except DataError as error:
            failures.append(error.failure)
        else:
            row.read += 1
    if shares:
        row.valid_share = round(float(np.mean(shares)), 4)
        row.depth = (min(nearest), max(farthest))
    row.foreground_share = masks.share
    row.notes = (*row.notes, *masks.notes())
    return failures
