"""Files of a Hypersim trajectory, and those of them that no frame uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cameo_data.sources.common.file_listing import first_number
from cameo_data.sources.common.unused import of_names, unused_files
from cameo_data.sources.common.unused_totals import EXAMPLES
from cameo_data.types import Unused

FRAME = "frame.*.tonemap.jpg"
KEYFRAME_FILES = ("camera_keyframe_orientations.hdf5", "camera_keyframe_positions.hdf5")


def unused(folder: Path, camera: str, names: Sequence[str], keyframes: int) -> tuple[Unused, ...]:
    """Files of the trajectory alone, and keyframes whose pictures were not released."""
    detail, images = f"_detail/{camera}", f"images/scene_{camera}_"
    named = [folder / detail / name for name in KEYFRAME_FILES]
    for name in names:
        named.append(folder / f"{images}final_preview/{FRAME.replace('*', name)}")
        named.append(folder / f"{images}geometry_hdf5/frame.{name}.depth_meters.hdf5")
    kinds = (
        (f"{images}geometry_hdf5/*.depth_meters.hdf5", "depth maps without a picture"),
        (f"{images}*", "renderings of other kinds, which this source does not read"),
    )
    try:
        parts = sorted(path.name for path in (folder / "images").glob(f"scene_{camera}_*"))
    except OSError:
        parts = []
    found = unused_files(
        folder, named, kinds, within=(detail, *(f"images/{name}" for name in parts))
    )
    pictured = {first_number(name) for name in names}
    alone = [number for number in range(keyframes) if number not in pictured]
    if alone:
        examples = [f"keyframe {number}" for number in alone[:EXAMPLES]]
        found = (of_names("camera keyframes without a picture", len(alone), examples), *found)
    return found
