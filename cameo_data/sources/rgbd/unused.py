"""Files in a recording's folder that belong to no frame: poses, masks, pictures, the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path

from cameo_data.errors import Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import Listed, printable
from cameo_data.sources.common.unused import of_names, relative, unused_files
from cameo_data.sources.rgbd.options import DESCRIPTION_FILE, Recording
from cameo_data.sources.rgbd.pairs import Candidate, key_of
from cameo_data.types import Unused


def poses_alone(
    recording: Recording, candidates: Sequence[Candidate], poses: Iterable[Listed]
) -> Iterator[tuple[str, FileDefect]]:
    """(frame id, defect) of each pose file whose frame has neither colour nor depth."""
    key = key_of(recording)
    known = {key(one) for x in candidates for one in (x.color, x.depth) if one is not None}
    for listed in poses:
        if key(listed) not in known:
            yield (
                f"pose {printable(listed.name)}",
                FileDefect(
                    Reason.UNASSOCIATED,
                    f"pose file {printable(listed.path.name)} has no colour image",
                    f"one that {recording.color} matches",
                    "restore the image, or remove the pose file",
                ),
            )


def unused(
    folder: Path,
    recording: Recording,
    candidates: Sequence[Candidate],
    poses: Iterable[Listed],
    masks: Mapping[str, Path],
    rows_alone: Sequence[str],
    others: Sequence[str] = (),
) -> tuple[Unused, ...]:
    """Files, and rows of a file of poses, that belong to no frame.

    Files of frames that fail count here; files of the recordings in the folders ``others``
    count there.
    """
    frames = {candidate.frame_id for candidate in candidates}
    named = [one.path for x in candidates for one in (x.color, x.depth) if one is not None]
    named += [listed.path for listed in poses]
    named += [path for name, path in masks.items() if name in frames]
    stated = (recording.poses, recording.intrinsics, recording.depth_intrinsics,
              recording.color_from_depth, recording.color, recording.depth)  # fmt: skip
    read = [escape(text) for text in stated if text is not None and "*" not in text]
    read += [f"{escape(name)}/*" for name in others]
    kinds = []
    if recording.mask is not None:
        kinds.append((re.sub(r"\{[^{}]*\}", "*", recording.mask), "masks without a colour image"))
    for what, pattern, listed in (
        ("colour images", recording.color, [x.color for x in candidates]),
        ("depth images", recording.depth, [x.depth for x in candidates]),
    ):
        verb = "does not match" if "*" in pattern else "does not list"
        parents = {relative(folder, one.path).rpartition("/")[0] for one in listed if one}
        kind = f"files beside the {what} that {pattern} {verb}"
        kinds += [(f"{escape(parent)}/*", kind) for parent in sorted(parents - {""})]
    found = unused_files(folder, named, kinds, read=(DESCRIPTION_FILE, *read))
    if not rows_alone:
        return found
    what = f"poses in {recording.poses} without a colour image"
    return (of_names(what, len(rows_alone), rows_alone), *found)
